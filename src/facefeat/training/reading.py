"""From tables to frozen dataclasses: types and bounds are those of the fields, messages name the key and its line.

    @dataclass(frozen=True)
    class Training:
        epochs: Annotated[int, Range(1)] = 20
        mixed_precision: Annotated[str, OneOf(PRECISIONS, "precision")] = "auto"

        def problems(self) -> Iterator[Problem]:      # optional: what depends on several fields
            ...

        def completed(self, given: Collection[str]) -> Self:      # optional: defaults that follow from other keys
            ...

        @classmethod
        def collected(cls, table: Mapping[str, Any]) -> Mapping[str, Any]:      # optional: keys that are no fields
            ...

A field may also be another such dataclass (a table), a tuple of them (a list of tables), a mapping to them (a table of
tables), or a mapping to anything (a table that is taken unchanged).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

from facefeat.errors import RecipeError, did_you_mean

T = TypeVar("T")
Problem = tuple[tuple[str, ...], str]
"""The key, relative to its dataclass, and what is the matter with its value."""
MOST_LINES, MOST_CHARACTERS = 1000, 65_536
"""A recipe of more lines or letters gets messages without lines: finding one means reading the text some times."""
_MOST_ITEMS = 1000
_LARGEST = 2**53
"""Whole numbers above it are none that a run can count to."""
_TYPE_NAMES = {str: "string", int: "whole number", float: "number", bool: "true or false"}


def impossible(value: object, valid: object) -> str:
    """The message for a value out of its bounds."""
    return f"impossible value. Received: {_shown(value)}. Valid: {valid}."


def _shown(value: object) -> str:
    """A value for a message: as Python writes it, and not too long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of over 4,300 digits; TOML has them, in hexadecimal
        return "a number of over 4,300 digits"
    return text if len(text) <= 200 else f"{text[:200]}…"


class Constraint(Protocol):
    """What the `Annotated` type of a field says of its values."""

    def problem(self, value: Any) -> str:
        """What is wrong with a value, "" for nothing."""
        ...


@dataclass(frozen=True)
class Range:
    """A number from low to high; above: not low itself, below: not high itself. unit: for messages."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False
    unit: str = ""

    def problem(self, value: float) -> str:
        fits = self.low <= value <= self.high and not (self.above and value == self.low)
        return "" if fits and not (self.below and value == self.high) else impossible(value, self)

    def __str__(self) -> str:
        if self.high == math.inf:
            text = f"over {self.low:g}" if self.above else f"{self.low:g} or more"
        elif self.above:
            text = f"over {self.low:g}, {'under' if self.below else 'at most'} {self.high:.12g}"
        else:
            text = f"{self.low:g} to {'under ' * self.below}{self.high:.12g}"
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True)
class OneOf:
    """One of some names. what: what they name."""

    names: Collection[str]
    what: str

    def problem(self, value: str) -> str:
        return "" if value in self.names else f"no such {self.what}. {did_you_mean(value, self.names)}"


@dataclass(frozen=True)
class Matches:
    """A text of a pattern. valid: the pattern in words."""

    pattern: str
    valid: str

    def problem(self, value: str) -> str:
        return "" if re.fullmatch(self.pattern, value) else impossible(value, self.valid)


def read(kind: type[T], table: Any, where: str, text: str = "") -> T:
    """The dataclass of a table. where: begins every message; text: the TOML that the table is of, for the line.

    Raises RecipeError for an unknown or missing key, a wrong type or an impossible value.
    """
    return _Reader(where, text).read(kind, table, ())


def _elsewhere(key: str, hints: Mapping[str, Any]) -> str:
    """Which table a key belongs to, where it is none of these but one of a table's inside; else nothing."""
    for name, kind in hints.items():
        names = [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
        near = difflib.get_close_matches(key, names, 1, 0.85)
        if near:
            return f" Next: {near[0]!r} below [{name}]."
    return ""


@dataclass(frozen=True)
class _Reader:
    where: str
    text: str

    def fail(self, keys: tuple[str, ...], message: str) -> RecipeError:
        at = next((n for i in range(len(keys), 0, -1) if (n := line_of(self.text, keys[:i]))), 0)
        return RecipeError(f"{self.where}{f', line {at}' if at else ''}: {'.'.join(keys)}: {message}")

    def read(self, kind: type[T], table: Any, keys: tuple[str, ...]) -> T:
        hints = _hints(kind)  # type: ignore[arg-type]
        if collected := getattr(kind, "collected", None):
            table = collected(self.table(table, keys))
        for key in self.table(table, keys):
            if key not in hints:
                raise self.fail((*keys, key), f"unknown key. {did_you_mean(key, hints)}{_elsewhere(key, hints)}")
        missing = dataclasses.MISSING
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if field.name not in table and field.default is missing and field.default_factory is missing:
                raise self.fail((*keys, field.name), "is missing.")
        made: Any = kind(**{k: self.value(hints[k], v, (*keys, k)) for k, v in table.items()})
        if hasattr(made, "completed"):
            made = made.completed(table.keys())
        for inner, message in made.problems() if hasattr(made, "problems") else ():
            raise self.fail((*keys, *inner), message)
        return made

    def table(self, value: Any, keys: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.fail(keys, f"must be a table. Received: {_shown(value)}.")
        return value

    def value(self, hint: Any, value: Any, keys: tuple[str, ...]) -> Any:
        constraints: Sequence[Constraint] = getattr(hint, "__metadata__", ())
        hint = get_args(hint)[0] if constraints else hint
        if dataclasses.is_dataclass(hint):
            return self.read(hint, value, keys)  # type: ignore[arg-type]
        if get_origin(hint) is tuple:
            inner = get_args(hint)[0]
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise self.fail(keys, f"must be a list of tables [[{'.'.join(keys)}]]. Received: {_shown(value)}.")
            if len(value) > _MOST_ITEMS:
                raise self.fail(keys, f"is too long. Received: {len(value):,} tables. Valid: up to {_MOST_ITEMS:,}.")
            return tuple(self.read(inner, v, (*keys, str(i))) for i, v in enumerate(value, 1))
        if get_origin(hint) is Mapping:
            inner = get_args(hint)[1]
            tables = dataclasses.is_dataclass(inner)
            return {k: self.read(inner, v, (*keys, k)) if tables else v for k, v in self.table(value, keys).items()}
        if type(value) is int and abs(value) > _LARGEST:
            raise self.fail(keys, f"is too large. Received: {_shown(value)}. Valid: up to {_LARGEST}.")
        if hint is float and type(value) is int:
            value = float(value)
        if type(value) is not hint:
            raise self.fail(keys, f"must be a {_TYPE_NAMES[hint]}. Received: {_shown(value)}.")
        if hint is float and not math.isfinite(value):
            raise self.fail(keys, f"must be finite. Received: {_shown(value)}.")
        for constraint in constraints:
            if wrong := constraint.problem(value):
                raise self.fail(keys, wrong)
        return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """Name -> type of the fields of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """The line, from 1, where a key of a valid TOML text stands; 0 for one that is not there, or not known.

    keys: its path; an element of an array counts as a key, its number, from 1. Libraries that read TOML keep no
    positions (tomlkit keeps the text, but not where a key is in it), so the text's beginnings are read: the key's line
    comes after the longest beginning that is TOML and lacks it.
    """
    lines = text.split("\n")

    def has(n: int, end: str = "") -> bool | None:
        """Whether the first n lines have the key; None where they are no TOML: they end within a value."""
        try:
            value: Any = tomllib.loads("\n".join(lines[:n]) + end)
        except (ValueError, RecursionError):
            return None
        for key in keys:
            if isinstance(value, list):
                value = dict(zip(map(str, range(1, len(value) + 1)), value, strict=True))
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        return True

    if len(lines) > MOST_LINES or len(text) > MOST_CHARACTERS or not has(len(lines)):
        return 0
    without, within = 0, len(lines)
    while within - without > 1:
        middle = (without + within) // 2
        at = next(n for n in range(middle, without - 1, -1) if has(n) is not None)
        if at == without:  # the lines between are of one value
            at = next(n for n in range(middle, within + 1) if has(n) is not None)
            if at == within:
                break
        without, within = (without, at) if has(at) else (at, within)
    start = without + 1
    # In an array of several lines: the first line up to which the array, closed, has the element.
    return next((n for n in range(start, within) if has(n, "\n]")), start)
