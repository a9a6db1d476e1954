"""Every shipped recipe trains: its own backbone, head, phases, freezing, augmentation and losses, on a few pictures.

Pictures are 32 pixels and weights random, because published weights need a connection; all else is the recipe's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facefeat import FaceFeatureModel
from facefeat.data import load_dataset
from facefeat.schema import get_schema
from facefeat.training import list_recipes, load_recipe
from facefeat.training.recipe import Recipe
from made import squares

pytestmark = pytest.mark.recipes
PRETRAINED = {"vggface", "vgg16", "vgg19", "resnet50", "convnext-tiny", "mobilenet"}


def distillation_file(csv: Path, folder: Path) -> Path:
    """What a network knew that has an embedding of each face, and is of no opinion."""
    files = np.array([str(f) for f in load_dataset(csv, schema="utkface").table["file"]])
    said = {f"probabilities_{n}": np.full((len(files), k), 1 / k, "float32") for n, k in (("gender", 2), ("race", 5))}
    rng = np.random.default_rng(0)
    np.savez(
        folder / "distillation.npz", files=files, embeddings=rng.normal(size=(len(files), 7)).astype("float32"), **said
    )
    return folder / "distillation.npz"


@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_the_recipe_trains(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "cache"))
    shipped = load_recipe(name)
    table = shipped.replace(epochs=1, batch_size=8).to_dict()
    if not shipped.start:
        table["image_size"] = 32
    if shipped.backbone.name in PRETRAINED and not shipped.start:
        table["backbone"]["config"]["weights"] = None
    csv = squares(tmp_path / "data", 16)
    table["sources"] = []  # tests/test_sources.py trains on those of a recipe
    if shipped.distillation.file:
        table["distillation"]["file"] = str(distillation_file(csv, tmp_path))
    recipe = Recipe.from_dict(table)
    if recipe.schema == "fairface":
        # Ages as classes and seven races, in place of years and five.
        classes = get_schema("fairface")["race"].classes
        text = csv.read_text()
        for old, new in zip(("Asian", "Others"), (classes[2], classes[4]), strict=True):
            text = text.replace(old, new)
        csv.write_text(text)
    data = load_dataset(csv, schema=recipe.data_schema)
    assert len(data) == 16, data.skipped
    model = FaceFeatureModel.from_recipe(recipe, detector="whole-image", schema=data.schema)
    log = model.fit(data.split("train"), data.split("val"), recipe)
    assert len(log.epochs) == len(recipe.train.plan())
    assert np.isfinite([e["loss"] for e in log.epochs]).all()
    batch = model.predict_faces(data.crops(recipe.image_size)[:4])
    assert set(batch.labels) == set(data.schema.attributes)
