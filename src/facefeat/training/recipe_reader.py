"""From a recipe's table to its dataclasses, with messages that name the key and its line."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_type_hints

from facefeat.errors import RecipeError, SchemaError, did_you_mean
from facefeat.image import ALIGNMENTS
from facefeat.schema import get_schema
from facefeat.training.recipe import BALANCES, LOSSES, WEIGHTINGS, AttributeLoss, Phase, Recipe


def read_recipe(table: Mapping[str, Any], where: str, text: str) -> Recipe:
    """The recipe of a table; `where` begins every message, `text` is the file, for the line. Raises RecipeError."""
    reader = Reader(where, text)
    recipe: Recipe = reader.read(Recipe, table, ())
    _check_values(recipe, reader)
    return recipe


class Reader:
    """Turns tables into the dataclasses of a recipe, with messages that name the key and its line."""

    def __init__(self, where: str, text: str) -> None:
        self.where = where
        self.lines = text.splitlines()

    def fail(self, keys: tuple[str, ...], message: str) -> RecipeError:
        return RecipeError(f"{self.where}{self._line(keys)}: {'.'.join(keys)}: {message}")

    def check(self, checks: Iterable[tuple[tuple[str, ...], Any, bool, str]]) -> None:
        """Each a key, its value, whether that is possible, and what would be. Raises RecipeError at the first."""
        for keys, value, ok, valid in checks:
            if not ok:
                raise self.fail(keys, f"impossible value. Received: {value!r}. Valid: {valid}.")

    def _line(self, keys: tuple[str, ...]) -> str:
        table, tables = "", Counter[str]()
        for number, line in enumerate(self.lines, 1):
            bare = line.split("#")[0].strip()
            if bare.startswith("["):
                table = bare.strip("[] ")
                if bare.startswith("[["):
                    tables[table] += 1
                    table += f".{tables[table]}"
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
        if name == "phases":
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise self.fail(keys, f"must be a list of tables [[train.phases]]. Received: {value!r}.")
            return tuple(self.read(Phase, v, (*keys, str(i))) for i, v in enumerate(value, 1))
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


def _check_values(recipe: Recipe, reader: Reader) -> None:
    t, a = recipe.train, recipe.augment
    checks: list[tuple[tuple[str, ...], Any, bool, str]] = [
        (("image_size",), recipe.image_size, 16 <= recipe.image_size <= 1024, "16 to 1024"),
        (("train", "epochs"), t.epochs, t.epochs >= 1, "1 or more"),
        (("train", "batch_size"), t.batch_size, t.batch_size >= 1, "1 or more"),
        (("train", "learning_rate"), t.learning_rate, 0 < t.learning_rate <= 10, "over 0, at most 10"),
        (("train", "trainable"), t.trainable, _trainable(t.trainable), _TRAINABLE),
        (("train", "weighting"), t.weighting, t.weighting in WEIGHTINGS, " or ".join(WEIGHTINGS)),
        (("train", "weight_decay"), t.weight_decay, 0 <= t.weight_decay < 10, "0 to 10"),
        (("train", "clip_norm"), t.clip_norm, t.clip_norm >= 0, "0 or more"),
        (("train", "patience"), t.patience, t.patience >= 0, "0 or more"),
        (("teacher", "weight"), recipe.teacher.weight, recipe.teacher.weight >= 0, "0 or more"),
        (("teacher", "file"), recipe.teacher.file, bool(recipe.teacher.file) or not recipe.teacher.weight, "a path"),
        (("augment", "rotation"), a.rotation, 0 <= a.rotation <= 180, "0 to 180 degrees"),
        (("augment", "randaugment"), a.randaugment, 0 <= a.randaugment <= 9, "0 to 9 changes"),
        (("augment", "jpeg_low"), a.jpeg_low, 1 <= a.jpeg_low <= 100, "1 to 100"),
        (("augment", "jpeg_high"), a.jpeg_high, a.jpeg_low <= a.jpeg_high <= 100, "jpeg_low to 100"),
    ]
    for i, phase in enumerate(t.plan()):
        at = ("train", "phases", str(i + 1)) if t.phases else ("train",)
        checks += [
            ((*at, "epochs"), phase.epochs, phase.epochs >= 1, "1 or more"),
            ((*at, "trainable"), phase.trainable, _trainable(phase.trainable), _TRAINABLE),
            ((*at, "learning_rate"), phase.learning_rate, 0 < phase.learning_rate <= 10, "over 0, at most 10"),
            ((*at, "warmup_epochs"), phase.warmup_epochs, 0 <= phase.warmup_epochs < phase.epochs, "0 to under epochs"),
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
            (("loss", name, "gamma"), loss.gamma, 0 <= loss.gamma <= 20, "0 to 20"),
            (("loss", name, "balance"), loss.balance, loss.balance in BALANCES, " or ".join(BALANCES)),
        ]
    reader.check(checks)
    if recipe.alignment not in ALIGNMENTS:
        raise reader.fail(("alignment",), f"no such alignment. {did_you_mean(recipe.alignment, ALIGNMENTS)}")
    try:
        attributes = get_schema(recipe.schema).attributes
    except SchemaError as e:
        raise reader.fail(("schema",), str(e)) from None
    for name in recipe.loss:
        if name not in attributes:
            raise reader.fail(("loss", name), f"no such attribute. {did_you_mean(name, attributes)}")


_TRAINABLE = "all, head, or last N"


def _trainable(value: str) -> bool:
    return re.fullmatch(r"all|head|last [1-9]\d*", value) is not None
