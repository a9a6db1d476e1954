"""Recipes: a TOML file with everything that a training run depends on.

The tables of a recipe are the dataclasses below; their fields are its keys, their defaults its defaults.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facefeat.errors import RecipeError, did_you_mean

_FOLDER = Path(__file__).parent.parent / "assets" / "recipes"
LOSSES = ("cross-entropy", "distribution", "focal", "ordinal", "squared")
BALANCES = ("none", "inverse", "effective")
WEIGHTINGS = ("fixed", "uncertainty")
PRECISIONS = ("auto", "float32", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")
MAX_SEED = 2**32 - 1
"""NumPy takes no seed above it."""


@dataclass(frozen=True)
class AttributeLoss:
    """How one attribute is learnt.

    kind: "cross-entropy" over classes; "distribution": cross-entropy against a normal distribution around the true
    year (attribute with exact years) or class (ordered attribute); "focal", "ordinal" or "squared": see the table in
    `training.losses`. sigma: standard deviation of the distribution, in years or classes. gamma: of the focal loss.
    weight: factor in the total loss. label_smoothing: share of the target spread evenly over all outputs.
    balance: "none", or weights that make up for rare classes, "inverse" or "effective" (`losses.class_weights`).
    """

    kind: str = "cross-entropy"
    weight: float = 1.0
    label_smoothing: float = 0.0
    sigma: float = 2.0
    gamma: float = 2.0
    balance: str = "none"


@dataclass(frozen=True)
class Augment:
    """Random changes of the training crops, drawn anew for every crop and epoch. All are off but the mirror.

    flip: mirror half of the crops. rotation: degrees either way. shift: fraction of the side. zoom: fraction of the
    size either way. shear: how far the top moves against the bottom, and left against right, as a fraction of the side.
    brightness, contrast, saturation: fraction either way. hue: fraction of half the colour circle either way.
    randaugment: how many of nine changes each crop gets, at `magnitude`, 0 to 1 (Cubuk et al., "RandAugment", 2020).
    jpeg: share of crops compressed as a JPEG of a quality between jpeg_low and jpeg_high.
    erase: share of crops that lose a rectangle (Zhong et al., "Random erasing", AAAI 2020).
    coarse_dropout: share of the squares of an 8 x 8 grid that turn black.
    mixup, cutmix: alpha of the Beta distribution that says how much of another crop comes in, blended (Zhang et al.,
    "mixup", ICLR 2018) or as a rectangle (Yun et al., "CutMix", ICCV 2019); with both, each crop draws one of them.
    """

    flip: bool = True
    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    randaugment: int = 0
    magnitude: float = 0.3
    jpeg: float = 0.0
    jpeg_low: int = 25
    jpeg_high: int = 40
    erase: float = 0.0
    coarse_dropout: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0


@dataclass(frozen=True)
class Phase:
    """A part of a run with an optimiser, a warm-up and a cosine decay of its own.

    trainable: "all", "head" (the backbone is frozen), or "last N": the head and the last N layers of the backbone that
    have weights. A frozen layer's batch-norm statistics stay as they are.
    learning_rate: 0 for the one of [train]. warmup_epochs: linear warm-up; where a file does not give it, no more than
    half of the epochs.
    """

    epochs: int
    trainable: str = "all"
    learning_rate: float = 0.0
    warmup_epochs: float = 1.0


@dataclass(frozen=True)
class Optimisation:
    """The loop: AdamW (Loshchilov and Hutter, 2019), linear warm-up, cosine decay to zero.

    epochs, learning_rate, warmup_epochs, trainable: of a run of one phase; with `phases` (tables [[train.phases]], see
    Phase) those count instead. warmup_epochs: as of a Phase. weight_decay leaves biases and normalisation alone.
    clip_norm: bound of the global gradient norm, 0 for none. patience: epochs without a better validation score before
    the phase ends, 0 for never. weighting: of the attributes' losses, "fixed" (the `weight` of each) or by learnt
    "uncertainty" (Kendall et al., "Multi-task learning using uncertainty", CVPR 2018).
    mixed_precision: "auto" is mixed_bfloat16 on an accelerator and float32 on CPU; or one of PRECISIONS.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    trainable: str = "all"
    phases: tuple[Phase, ...] = ()
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    patience: int = 0
    weighting: str = "fixed"
    mixed_precision: str = "auto"

    def plan(self) -> tuple[Phase, ...]:
        """The phases of the run, each with its learning rate: at least one."""
        one = Phase(self.epochs, self.trainable, self.learning_rate, self.warmup_epochs)
        return tuple(
            dataclasses.replace(p, learning_rate=p.learning_rate or self.learning_rate) for p in self.phases or (one,)
        )


@dataclass(frozen=True)
class Teacher:
    """Another network's embeddings or probabilities of the faces, which are learnt, too (`training.teacher`).

    file: .npz with `files` (N,), named as in the data set, and `embeddings` (N, K), or `probabilities_ATTRIBUTE` (N,
    classes). weight: of the embeddings in the loss, 0 to leave them. labels: of the probabilities.
    """

    file: str = ""
    weight: float = 0.0
    labels: float = 0.0


@dataclass(frozen=True)
class ComponentChoice:
    """A component by name, with the configuration that its `build` takes."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on; see the module's tables.

    alignment: the geometry of the crops (`facefeat.image.align.ALIGNMENTS`). image_size: side of a crop in pixels.
    start: name or folder of a preset whose backbone weights the run starts from; empty for the backbone's own.
    loss: attribute -> AttributeLoss; attributes left out use plain cross-entropy.
    """

    name: str
    summary: str = ""
    schema: str = "utkface"
    alignment: str = "utkface"
    image_size: int = 96
    seed: int = 1
    start: str = ""
    backbone: ComponentChoice = field(default_factory=lambda: ComponentChoice("compact"))
    head: ComponentChoice = field(default_factory=lambda: ComponentChoice("mlp"))
    train: Optimisation = field(default_factory=Optimisation)
    augment: Augment = field(default_factory=Augment)
    teacher: Teacher = field(default_factory=Teacher)
    loss: Mapping[str, AttributeLoss] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `recipe_from_dict` is the inverse."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> Recipe:
        """A copy with other values: keys of the recipe, or of its [train] table. Checked like a file.

        A number of epochs is shared out among the phases in proportion, at least one each; a warm-up shrinks to half
        of what is left. With another learning rate those that phases have of their own change in proportion.
        """
        table = self.to_dict()
        for key, value in changes.items():
            (table["train"] if key in table["train"] else table)[key] = value
        rate = changes.get("learning_rate")
        if isinstance(rate, int | float) and "phases" not in changes:
            for phase in table["train"]["phases"]:
                phase["learning_rate"] *= rate / self.train.learning_rate
        if isinstance(changes.get("epochs"), int) and "phases" not in changes:
            whole = sum(p.epochs for p in self.train.phases)
            for phase in table["train"]["phases"]:
                phase["epochs"] = max(1, round(phase["epochs"] * changes["epochs"] / whole))
            if "warmup_epochs" not in changes:
                for part in (table["train"], *table["train"]["phases"]):
                    part["warmup_epochs"] = min(part["warmup_epochs"], max(part["epochs"], 0) / 2)
        return recipe_from_dict(table)


def list_recipes() -> dict[str, Path]:
    """The recipes that ship in the package: name -> file."""
    return {p.stem: p for p in sorted(_FOLDER.glob("*.toml"))}


def load_recipe(value: str | Path | Recipe) -> Recipe:
    """A recipe from its name, a TOML file, or a Recipe.

    Raises RecipeError for an unknown name, invalid TOML, an unknown key (with its line and the nearest valid key), a
    wrong type or an impossible value.
    """
    if isinstance(value, Recipe):
        return value
    table, where, text = read_toml(value, list_recipes())
    return recipe_from_dict(table, where, text)


def read_toml(value: str | Path, shipped: Mapping[str, Path]) -> tuple[dict[str, Any], str, str]:
    """The table of a recipe by its shipped name or its file, the path for messages, and the text. Raises RecipeError.

    The table has a `name`: the file's, where it gives none.
    """
    path = shipped.get(str(value), Path(value))
    if str(value) not in shipped and path.suffix != ".toml":
        raise RecipeError(f"no such recipe. {did_you_mean(str(value), shipped)} Or the path of a .toml file.")
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except OSError as e:
        raise RecipeError(f"cannot read the recipe {str(path)!r}: {e.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise RecipeError(f"{str(path)!r} is not valid TOML: {e}") from None
    table.setdefault("name", path.stem)
    return table, str(path), text


def recipe_from_dict(table: Mapping[str, Any], where: str = "recipe", text: str = "") -> Recipe:
    """A recipe from a table; `text` lets messages name the line. Raises RecipeError."""
    from facefeat.training.recipe_reader import read_recipe

    return read_recipe(table, where, text)
