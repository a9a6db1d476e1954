"""Small things that several tests make: coloured squares that a tiny model can learn, and the recipe that does it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facefeat.types import Answers, FaceBatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facefeat.data import FaceDataset
    from facefeat.schema import Schema
    from facefeat.training import Recipe

RACES = ("White", "Black", "Asian", "Indian", "Others")
TINY = {"widths": [8, 8], "blocks": [1, 1], "stem": 8}


class Copies:
    """A reporter that copies the folder of a run after these epochs: what a kill at that moment would leave."""

    def __init__(self, folder: Path, *after: int) -> None:
        self.folder, self.after, self.epochs = folder, after, 0

    def started(self, epochs: int, first_epoch: int, batches: int) -> None:
        """Nothing to do."""

    def batch(self, epoch: int, done: int, loss: float) -> None:
        """Nothing to do."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Called after the checkpoint of each epoch."""
        self.epochs += 1
        if self.epochs in self.after:
            shutil.copytree(self.folder, self.at(self.epochs))

    def at(self, epochs: int) -> Path:
        """The copy that was made after so many epochs."""
        return self.folder.with_name(f"{self.folder.name}-{epochs}")


def squares(folder: Path, faces: int = 48) -> Path:
    """A CSV of `faces` pictures of 40 pixels: their colour tells race, their stripes gender, their brightness age."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,split,age,gender,race"]
    for i in range(faces):
        race, gender, age = i % 5, (i // 5) % 2, int(rng.integers(1, 90))
        picture = np.zeros((40, 40, 3))
        picture[..., race % 3] = 120 + 60 * (race // 3)
        picture[:: 2 + 4 * gender] += 60
        picture = picture * (0.6 + age / 225) + rng.normal(0, 4, picture.shape)
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(folder / f"{i}.png")
        split = "val" if i % 4 == 3 else "train"
        rows.append(f"{i}.png,{split},{age},{('Male', 'Female')[gender]},{RACES[race]}")
    table = folder / "faces.csv"
    table.write_text("\n".join(rows) + "\n", "utf-8")
    return table


def dataset(folder: Path, faces: int = 48) -> FaceDataset:
    """The squares as a data set of the utkface schema."""
    from facefeat.data import load_dataset

    return load_dataset(squares(folder, faces), schema="utkface")


def recipe_of(folder: Path, text: str) -> Recipe:
    """The recipe in a file of this text."""
    from facefeat.training import load_recipe

    file = folder / "mine.toml"
    file.write_text(text, "utf-8")
    return load_recipe(file)


def tiny_recipe(**changes: Any) -> Recipe:
    """Two epochs of a network of a few thousand weights at 32 pixels, with every kind of augmentation."""
    from facefeat.training.recipe import Recipe

    table: dict[str, Any] = {
        "name": "tiny",
        "image_size": 32,
        "backbone": {"name": "compact", "config": TINY},
        "head": {"name": "mlp", "config": {"trunk": [], "dropout": 0.1}},
        "train": {"epochs": 2, "batch_size": 12, "warmup_epochs": 0.5, "mixed_precision": "float32"},
        "augment": {"rotation": 5.0, "shift": 0.05, "zoom": 0.1, "brightness": 0.1, "contrast": 0.1},
        "loss": {"age": {"kind": "distribution", "sigma": 3.0}, "race": {"label_smoothing": 0.1}},
    }
    return Recipe.from_dict(table).replace(**changes)


def targets_of(schema: Schema, labels: Mapping[str, np.ndarray], years: np.ndarray | None = None) -> dict[str, Any]:
    """Attribute -> targets from positions of classes (-1 where unknown) and years (NaN where unknown)."""
    out = {}
    for name, attribute in schema.attributes.items():
        index = np.where(labels[name] >= 0, labels[name], np.nan)[:, None].astype("float32")
        if attribute.kind == "ordered":
            exact = np.full(len(index), np.nan) if years is None or not attribute.exact else years
            index = np.concatenate([index, exact[:, None]], axis=1).astype("float32")
        out[name] = index
    return out


def batch_of(
    probabilities: Mapping[str, np.ndarray], classes: Mapping[str, tuple[str, ...]], years: np.ndarray | None = None
) -> FaceBatch:
    """Answers of these probabilities; those of "age" have years, where there are any."""
    made = {}
    for name, p in probabilities.items():
        labels = np.asarray(classes[name])[p.argmax(axis=1)]
        number = {"values": years, "unit": "years", "kind": "ordered"} if name == "age" and years is not None else {}
        made[name] = Answers(labels, p, classes[name], confidence=p.max(axis=1), **number)
    return FaceBatch(made)
