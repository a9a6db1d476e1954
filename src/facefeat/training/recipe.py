"""Recipes: a TOML file with everything that a training run depends on.

The tables of a recipe are the dataclasses below; their fields are its keys, their defaults its defaults.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from facefeat.errors import RecipeError, did_you_mean

_FOLDER = Path(__file__).parent.parent / "recipes"
LOSSES = ("cross-entropy", "distribution")


@dataclass(frozen=True)
class AttributeLoss:
    """How one attribute is learnt.

    kind: "cross-entropy" over classes, or "distribution": cross-entropy against a normal distribution around the true
    year (attribute with exact years) or class (ordered attribute), after Gao et al., "Deep label distribution
    learning", TIP 2017. sigma: its standard deviation, in years or classes. weight: factor in the total loss.
    label_smoothing: share of the target spread evenly over all outputs.
    """

    kind: str = "cross-entropy"
    weight: float = 1.0
    label_smoothing: float = 0.0
    sigma: float = 2.0


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
class Optimisation:
    """The loop: AdamW (Loshchilov and Hutter, 2019), linear warm-up, cosine decay to zero.

    weight_decay leaves biases and normalisation alone. clip_norm: bound of the global gradient norm, 0 for none.
    patience: epochs without a better validation score before the run stops, 0 for never.
    mixed_precision: "auto" is bfloat16 on an accelerator and float32 on CPU; or a Keras dtype policy.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    patience: int = 0
    mixed_precision: str = "auto"


@dataclass(frozen=True)
class ComponentChoice:
    """A component by name, with the configuration that its `build` takes."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on; see the module's tables.

    alignment: the geometry of the crops (`facefeat.image.ALIGNMENTS`). image_size: side of a crop in pixels.
    loss: attribute -> AttributeLoss; attributes left out use plain cross-entropy.
    """

    name: str
    summary: str = ""
    schema: str = "utkface"
    alignment: str = "utkface"
    image_size: int = 96
    seed: int = 1
    backbone: ComponentChoice = field(default_factory=lambda: ComponentChoice("compact"))
    head: ComponentChoice = field(default_factory=lambda: ComponentChoice("three-head"))
    train: Optimisation = field(default_factory=Optimisation)
    augment: Augment = field(default_factory=Augment)
    loss: Mapping[str, AttributeLoss] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `recipe_from_dict` is the inverse."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> Recipe:
        """A copy with other values: keys of the recipe, or of its [train] table. Checked like a file."""
        table = self.to_dict()
        for key, value in changes.items():
            (table["train"] if key in table["train"] else table)[key] = value
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
    shipped = list_recipes()
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
    return recipe_from_dict(table, where=str(path), text=text)


def recipe_from_dict(table: Mapping[str, Any], where: str = "recipe", text: str = "") -> Recipe:
    """A recipe from a table; `text` lets messages name the line. Raises RecipeError."""
    reader = _Reader(where, text)
    recipe: Recipe = reader.read(Recipe, table, ())
    _check_values(recipe, reader)
    return recipe


class _Reader:
    """Turns tables into the dataclasses above, with messages that name the key and its line."""

    def __init__(self, where: str, text: str) -> None:
        self.where = where
        self.lines = text.splitlines()

    def fail(self, keys: tuple[str, ...], message: str) -> RecipeError:
        return RecipeError(f"{self.where}{self._line(keys)}: {'.'.join(keys)}: {message}")

    def _line(self, keys: tuple[str, ...]) -> str:
        table = ""
        for number, line in enumerate(self.lines, 1):
            bare = line.split("#")[0].strip()
            if bare.startswith("["):
                table = bare.strip("[] ")
                if table == ".".join(keys):
                    return f", line {number}"
            elif bare.split("=")[0].strip().strip('"') == keys[-1] and table == ".".join(keys[:-1]):
                return f", line {number}"
        return ""

    def read(self, kind: Any, table: Any, keys: tuple[str, ...]) -> Any:
        if not isinstance(table, Mapping):
            raise self.fail(keys, f"must be a table. Received: {table!r}.")
        hints = get_type_hints(kind)
        for key in table:
            if key not in hints:
                raise self.fail((*keys, key), f"unknown key. {did_you_mean(key, hints)}")
        required = [f.name for f in dataclasses.fields(kind) if _required(f) and f.name not in table]
        if required:
            raise self.fail((*keys, required[0]), "is missing.")
        return kind(**{k: self._value(k, hints[k], v, (*keys, k)) for k, v in table.items()})

    def _value(self, name: str, hint: Any, value: Any, keys: tuple[str, ...]) -> Any:
        if dataclasses.is_dataclass(hint):
            return self.read(hint, value, keys)
        if name == "loss":
            if not isinstance(value, Mapping):
                raise self.fail(keys, f"must be a table. Received: {value!r}.")
            return {k: self.read(AttributeLoss, v, (*keys, k)) for k, v in value.items()}
        if name == "config":
            if not isinstance(value, Mapping):
                raise self.fail(keys, f"must be a table. Received: {value!r}.")
            return dict(value)
        if hint is float and type(value) is int:
            value = float(value)
        if type(value) is not hint:
            raise self.fail(keys, f"must be a {_TYPE_NAMES[hint]}. Received: {value!r}.")
        if hint is float and not math.isfinite(value):
            raise self.fail(keys, f"must be finite. Received: {value!r}.")
        return value


_TYPE_NAMES = {str: "string", int: "whole number", float: "number", bool: "true or false"}


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _check_values(recipe: Recipe, reader: _Reader) -> None:
    t, a = recipe.train, recipe.augment
    checks: list[tuple[tuple[str, ...], Any, bool, str]] = [
        (("image_size",), recipe.image_size, 16 <= recipe.image_size <= 1024, "16 to 1024"),
        (("train", "epochs"), t.epochs, t.epochs >= 1, "1 or more"),
        (("train", "batch_size"), t.batch_size, t.batch_size >= 1, "1 or more"),
        (("train", "learning_rate"), t.learning_rate, 0 < t.learning_rate <= 10, "over 0, at most 10"),
        (("train", "warmup_epochs"), t.warmup_epochs, 0 <= t.warmup_epochs < t.epochs, "0 to under epochs"),
        (("train", "weight_decay"), t.weight_decay, 0 <= t.weight_decay < 10, "0 to 10"),
        (("train", "clip_norm"), t.clip_norm, t.clip_norm >= 0, "0 or more"),
        (("train", "patience"), t.patience, t.patience >= 0, "0 or more"),
        (("augment", "rotation"), a.rotation, 0 <= a.rotation <= 180, "0 to 180 degrees"),
        (("augment", "randaugment"), a.randaugment, 0 <= a.randaugment <= 9, "0 to 9 changes"),
        (("augment", "jpeg_low"), a.jpeg_low, 1 <= a.jpeg_low <= 100, "1 to 100"),
        (("augment", "jpeg_high"), a.jpeg_high, a.jpeg_low <= a.jpeg_high <= 100, "jpeg_low to 100"),
    ]
    for key in ("shift", "zoom", "shear", "brightness", "contrast", "saturation", "coarse_dropout"):
        checks.append((("augment", key), getattr(a, key), 0 <= getattr(a, key) < 1, "0 to under 1"))
    for key in ("hue", "magnitude", "jpeg", "erase", "mixup", "cutmix"):
        checks.append((("augment", key), getattr(a, key), 0 <= getattr(a, key) <= 1, "0 to 1"))
    for name, loss in recipe.loss.items():
        checks += [
            (("loss", name, "kind"), loss.kind, loss.kind in LOSSES, " or ".join(LOSSES)),
            (("loss", name, "weight"), loss.weight, loss.weight >= 0, "0 or more"),
            (("loss", name, "label_smoothing"), loss.label_smoothing, 0 <= loss.label_smoothing < 1, "0 to under 1"),
            (("loss", name, "sigma"), loss.sigma, loss.sigma > 0, "over 0"),
        ]
    for keys, value, ok, valid in checks:
        if not ok:
            raise reader.fail(keys, f"impossible value. Received: {value!r}. Valid: {valid}.")
