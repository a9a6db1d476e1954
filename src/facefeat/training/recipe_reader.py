"""From a recipe's table to its dataclasses, with messages that name the key and its line."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, get_type_hints

from facefeat.errors import RecipeError, SchemaError, did_you_mean
from facefeat.image.align import ALIGNMENTS
from facefeat.schema import get_schema
from facefeat.training.losses import check_kind
from facefeat.training.recipe import (
    BALANCES,
    LOSSES,
    MAX_SEED,
    PRECISIONS,
    WEIGHTINGS,
    AttributeLoss,
    Phase,
    Recipe,
)


def read_recipe(table: Mapping[str, Any], where: str, text: str) -> Recipe:
    """The recipe of a table; `where` begins every message, `text` is the file, for the line. Raises RecipeError."""
    reader = Reader(where, text)
    recipe: Recipe = reader.read(Recipe, table, ())
    _check_values(recipe, reader)
    return recipe


class Reader:
    """Turns tables into the dataclasses of a recipe, with messages that name the key and its line."""

    def __init__(self, where: str, text: str) -> None:
        self.where, self.text = where, text

    def fail(self, keys: tuple[str, ...], message: str) -> RecipeError:
        return RecipeError(f"{self.where}{self._line(keys)}: {'.'.join(keys)}: {message}")

    def check(self, checks: Iterable[tuple[tuple[str, ...], Any, bool, str]]) -> None:
        """Each a key, its value, whether that is possible, and what would be. Raises RecipeError at the first."""
        for keys, value, ok, valid in checks:
            if not ok:
                raise self.fail(keys, f"impossible value. Received: {value!r}. Valid: {valid}.")

    def known(self, keys: tuple[str, ...], value: str, valid: Collection[str], what: str) -> None:
        """Raises RecipeError that names the nearest where the value is not one of the valid ones."""
        if value not in valid:
            raise self.fail(keys, f"no such {what}. {did_you_mean(value, valid)}")

    def _line(self, keys: tuple[str, ...]) -> str:
        """Where a key stands in the file; of one that is not there, the table that it is missing from."""
        found = key_lines(self.text)
        while keys and keys not in found:
            keys = keys[:-1]
        return f", line {found[keys]}" if keys else ""

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
        made = kind(**{k: self._value(k, hints[k], v, (*keys, k)) for k, v in table.items()})
        if "warmup_epochs" in hints and "warmup_epochs" not in table:
            # The default is for runs of some length: nobody who asks for one epoch has asked for as long a warm-up.
            made = dataclasses.replace(made, warmup_epochs=min(made.warmup_epochs, max(made.epochs, 0) / 2))
        return made

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
    taught = recipe.teacher.weight or recipe.teacher.labels
    checks: list[tuple[tuple[str, ...], Any, bool, str]] = [
        (("seed",), recipe.seed, 0 <= recipe.seed <= MAX_SEED, f"0 to {MAX_SEED}"),
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
        (("teacher", "labels"), recipe.teacher.labels, recipe.teacher.labels >= 0, "0 or more"),
        (("teacher", "file"), recipe.teacher.file, bool(recipe.teacher.file) or not taught, "a path"),
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
    reader.known(("train", "mixed_precision"), t.mixed_precision, PRECISIONS, "precision")
    reader.known(("alignment",), recipe.alignment, ALIGNMENTS, "alignment")
    try:
        attributes = get_schema(recipe.schema).attributes
    except SchemaError as e:
        raise reader.fail(("schema",), str(e)) from None
    for name, loss in recipe.loss.items():
        reader.known(("loss", name), name, attributes, "attribute")
        wrong = check_kind(attributes[name], loss.kind)
        if wrong:
            raise reader.fail(("loss", name, "kind"), wrong)


_TRAINABLE = "all, head, or last N"


def _trainable(value: str) -> bool:
    return re.fullmatch(r"all|head|last [1-9]\d*", value) is not None


_SPACE = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_SCALAR = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'  # strings of several lines, then of one, then all else
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|[^,\]}#\n]+",
    re.DOTALL,
)


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Where each key and table of a valid TOML text stands: its path -> its line, from 1.

    An element of an array counts as a key: its number, from 1. A table that has no line of its own, as `train` of
    `train.epochs = 3`, stands where it is first named.
    """
    return _Places(text).found


class _Places:
    """Walks through a TOML text. `tomllib` has read it already, so that what is not valid need not be told."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[tuple[str, ...], int] = {}
        self.arrays = Counter[tuple[str, ...]]()
        table: tuple[str, ...] = ()
        while self._next():
            if self._take("["):
                line, array = self._line(), self._take("[")
                table = self._header(self._keys(), array)
                self._note(table, line)
                self._take("]")
                self._take("]")
            else:
                self._pair(table)

    def _next(self) -> str:
        """The first character after space, commas and comments; "" at the end."""
        self._match(_SPACE)
        return self.text[self.at : self.at + 1]

    def _take(self, mark: str) -> bool:
        """Whether this comes next; then it is passed."""
        here = self._next() == mark
        self.at += here
        return here

    def _match(self, pattern: re.Pattern[str]) -> str:
        """What matches here, and is passed. Where nothing does, the text is no TOML, and is passed whole."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else len(self.text)
        return found.group() if found else ""

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _note(self, path: tuple[str, ...], line: int) -> None:
        for i in range(1, len(path)):
            self.found.setdefault(path[:i], line)
        self.found[path] = line

    def _keys(self) -> tuple[str, ...]:
        """A key, or several with dots between them."""
        keys = []
        while self._next():
            key = self._match(_KEY)
            keys.append(tomllib.loads(f"key = {key}")["key"] if key[:1] in ('"', "'") else key)
            if not self._take("."):
                break
        return tuple(keys)

    def _header(self, keys: tuple[str, ...], array: bool) -> tuple[str, ...]:
        """The path of a table: in an array of tables, with the number of the element that it is, or is in."""
        path: tuple[str, ...] = ()
        for i, key in enumerate(keys, 1):
            path = (*path, key)
            self.arrays[path] += array and i == len(keys)
            if self.arrays[path]:
                path = (*path, str(self.arrays[path]))
        return path

    def _pair(self, table: tuple[str, ...]) -> None:
        line = self._line()
        path = (*table, *self._keys())
        self._note(path, line)
        self._take("=")
        self._value(path)

    def _value(self, path: tuple[str, ...]) -> None:
        if self._take("{"):
            while self._next() and not self._take("}"):
                self._pair(path)
        elif self._take("["):
            number = 0
            while self._next() and not self._take("]"):
                number += 1
                self._note((*path, str(number)), self._line())
                self._value((*path, str(number)))
        else:
            self._match(_SCALAR)
