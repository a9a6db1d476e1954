"""Schemas: the attributes of one labelling, their classes by name, and for age the years of each class.

A schema is data: `fairface` and `utkface` are TOML files in `assets/schemas`, and a user's own has the same form:

    name = "office"

    [attributes.gender]
    classes = ["Male", "Female"]
    aliases = { m = "Male", f = "Female" }

    [attributes.age]
    classes = ["young", "old"]
    ordered = true
    years = [[0, 39], [40, 116]]      # inclusive; consecutive
    exact = true                      # labels may be years; the model then learns a distribution over single years
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import LabelError, SchemaError, did_you_mean
from facefeat.utils.files import read_regular
from facefeat.utils.text import printable

if TYPE_CHECKING:
    from facefeat.types import FloatArray

BUILTIN_SCHEMAS = ("fairface", "utkface")
MAX_YEARS = 150
"""No age lies above it."""
_FOLDER = Path(__file__).parent / "assets" / "schemas"
_ATTRIBUTE_KEYS = ("classes", "ordered", "years", "exact", "aliases")


def _fold(label: str) -> str:
    return " ".join(label.replace("_", " ").split()).casefold()


@dataclass(frozen=True)
class Attribute:
    """One thing that a model reads from a face.

    classes: names in their natural order, at least two. ordered: whether that order means something.
    years: inclusive (first, last) years of each class, consecutive, for age; empty otherwise.
    exact: labels may be exact years, and a head has one logit per year instead of one per class.
    aliases: other spellings of a class -> the class.
    Raises SchemaError where these do not fit together.
    """

    name: str
    classes: tuple[str, ...]
    ordered: bool = False
    years: tuple[tuple[int, int], ...] = ()
    exact: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"attribute {self.name!r}"
        if not self.name.isidentifier() or not self.name.islower():
            raise SchemaError(f"{where}: a name is lower-case letters, digits and '_'. Received: {self.name!r}.")
        folded = [_fold(c) for c in self.classes]
        if len(folded) < 2 or len(set(folded)) != len(folded):
            raise SchemaError(f"{where}: needs at least two classes of different names. Received: {self.classes}.")
        if "" in folded:  # in a table, an empty cell is an unknown label
            raise SchemaError(f"{where}: a class needs a name. Received: {self.classes}.")
        for text in (*self.classes, *self.aliases):
            if printable(text) != text or len(text.splitlines()) > 1:
                raise SchemaError(f"{where}: a class is text on one line. Received: {text!r}.")
        meant = dict(zip(folded, self.classes, strict=True))
        for alias, target in self.aliases.items():
            if target not in self.classes:
                raise SchemaError(f"{where}: alias {alias!r} names no class. {did_you_mean(target, self.classes)}")
            if not _fold(alias) or meant.setdefault(_fold(alias), target) != target:
                raise SchemaError(f"{where}: alias {alias!r} of {target!r} is empty or the name of another class.")
        if self.years:
            if len(self.years) != len(self.classes):
                raise SchemaError(f"{where}: {len(self.classes)} classes but {len(self.years)} ranges of years.")
            for (first, last), (nxt, _) in zip(self.years, [*self.years[1:], (self.years[-1][1] + 1, 0)], strict=True):
                if first > last or nxt != last + 1 or first < 0:
                    raise SchemaError(f"{where}: ranges of years must be consecutive. Received: {self.years}.")
            if self.years[-1][1] > MAX_YEARS:  # an exact attribute has one output per year
                raise SchemaError(f"{where}: years go up to {MAX_YEARS} at most. Received: {self.years[-1]}.")
        elif self.exact:
            raise SchemaError(f"{where}: exact = true needs the years of each class.")

    @property
    def outputs(self) -> int:
        """Width of a head's logits: one per year where labels are exact years, else one per class."""
        return len(self.grid) if self.exact else len(self.classes)

    @property
    def grid(self) -> range:
        """The years from the first class's first to the last class's last; empty where there are none."""
        return range(self.years[0][0], self.years[-1][1] + 1) if self.years else range(0)

    def index(self, label: object) -> int:
        """Position in `classes` of a label by its name or alias (case, spaces and underscores do not matter).

        Raises LabelError where no class has that name.
        """
        text = _fold(str(label))
        for i, name in enumerate(self.classes):
            if _fold(name) == text:
                return i
        for alias, target in self.aliases.items():
            if _fold(alias) == text:
                return self.classes.index(target)
        raise LabelError(f"no such {self.name}. {did_you_mean(str(label), self.classes)}")

    def index_of_years(self, years: float) -> int:
        """Position of the class that holds an age in years; ages past the last class count as the last.

        Raises LabelError for a negative age, NaN, or an attribute without years.
        """
        if not self.years or not math.isfinite(years) or years < self.years[0][0]:
            raise LabelError(f"no such {self.name}. Received: {years!r}. Valid: years from {self._first_year()}.")
        for i, (_, last) in enumerate(self.years):
            if years < last + 1:
                return i
        return len(self.years) - 1

    def _first_year(self) -> str:
        return str(self.years[0][0]) if self.years else "(none: this attribute has no years)"

    def class_matrix(self) -> FloatArray:
        """(outputs, K) float32 of 0 and 1: sums the probabilities of a head's outputs into those of the classes."""
        import numpy as np

        if not self.exact:
            return np.eye(len(self.classes), dtype="float32")
        matrix = np.zeros((self.outputs, len(self.classes)), "float32")
        for k, (first, last) in enumerate(self.years):
            matrix[first - self.grid[0] : last + 1 - self.grid[0], k] = 1.0
        return matrix

    def output_years(self) -> FloatArray:
        """(outputs,) float32: the age in years that each output stands for: itself, or the middle of its class.

        The last class, open above, counts as twelve years wide at most. Raises SchemaError without years.
        """
        import numpy as np

        if not self.years:
            raise SchemaError(f"attribute {self.name!r} has no years")
        return np.asarray(self.grid, "float32") if self.exact else self.class_years()

    def class_years(self) -> FloatArray:
        """(K,) float32: the middle of each class's years, the last class counted as twelve years wide at most."""
        import numpy as np

        last = len(self.years) - 1
        ends = [b + 1 if k < last else min(b + 1, a + 12) for k, (a, b) in enumerate(self.years)]
        return np.asarray([(a + end) / 2 for (a, _), end in zip(self.years, ends, strict=True)], "float32")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `Attribute.from_dict`."""
        return {
            "classes": list(self.classes),
            "ordered": self.ordered,
            "years": [list(y) for y in self.years],
            "exact": self.exact,
            "aliases": dict(self.aliases),
        }

    @classmethod
    def from_dict(cls, name: str, value: Mapping[str, Any]) -> Attribute:
        """An attribute from a TOML or JSON table. Raises SchemaError for unknown keys and wrong types."""
        where = f"attribute {name!r}"
        if not isinstance(value, Mapping):
            raise SchemaError(f"{where}: must be a table. Received: {value!r}.")
        for key in value:
            if key not in _ATTRIBUTE_KEYS:
                raise SchemaError(f"{where}: unknown key. {did_you_mean(key, _ATTRIBUTE_KEYS)}")
        if "classes" not in value:
            raise SchemaError(f"{where}: 'classes' is missing.")
        classes, years = value["classes"], value.get("years", [])
        if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
            raise SchemaError(f"{where}: 'classes' must be a list of strings. Received: {classes!r}.")
        pairs_ok = isinstance(years, list) and all(
            isinstance(y, list) and len(y) == 2 and all(type(v) is int for v in y) for y in years
        )
        if not pairs_ok:
            raise SchemaError(f"{where}: 'years' must be a list of [first, last] whole numbers. Received: {years!r}.")
        for key in ("ordered", "exact"):
            if not isinstance(value.get(key, False), bool):
                raise SchemaError(f"{where}: {key!r} must be true or false. Received: {value[key]!r}.")
        aliases = value.get("aliases", {})
        if not isinstance(aliases, Mapping) or not all(isinstance(v, str) for v in aliases.values()):
            raise SchemaError(f"{where}: 'aliases' must be a table of strings. Received: {aliases!r}.")
        return cls(
            name,
            tuple(classes),
            ordered=value.get("ordered", False),
            years=tuple((y[0], y[1]) for y in years),
            exact=value.get("exact", False),
            aliases=dict(aliases),
        )


@dataclass(frozen=True)
class Schema:
    """The attributes of one labelling, by name. Raises SchemaError without any."""

    name: str
    attributes: Mapping[str, Attribute]

    def __post_init__(self) -> None:
        if not self.attributes:
            raise SchemaError(f"schema {self.name!r} has no attributes")

    def __getitem__(self, name: str) -> Attribute:
        if name not in self.attributes:
            raise SchemaError(f"no such attribute in schema {self.name!r}. {did_you_mean(name, self.attributes)}")
        return self.attributes[name]

    @property
    def age(self) -> Attribute | None:
        """The attribute that has years, if there is one."""
        return next((a for a in self.attributes.values() if a.years), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `Schema.from_dict`."""
        return {"name": self.name, "attributes": {k: a.to_dict() for k, a in self.attributes.items()}}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Schema:
        """A schema from a TOML or JSON table. Raises SchemaError for unknown keys and wrong types."""
        for key in value:
            if key not in ("name", "attributes"):
                raise SchemaError(f"schema: unknown key. {did_you_mean(key, ('name', 'attributes'))}")
        attributes = value.get("attributes")
        if not isinstance(value.get("name"), str) or not isinstance(attributes, Mapping):
            raise SchemaError("schema: needs a string 'name' and a table [attributes.NAME] for each attribute.")
        return cls(value["name"], {k: Attribute.from_dict(k, v) for k, v in attributes.items()})


@cache
def _builtin(name: str) -> Schema:
    return Schema.from_dict(tomllib.loads((_FOLDER / f"{name}.toml").read_text("utf-8")))


def get_schema(value: str | Path | Mapping[str, Any] | Schema) -> Schema:
    """A schema from its built-in name ("fairface", "utkface"), a TOML file, a table or a Schema.

    Raises SchemaError for an unknown name, an unreadable file or a table that does not fit.
    """
    if isinstance(value, Schema):
        return value
    if isinstance(value, Mapping):
        return Schema.from_dict(value)
    if value in BUILTIN_SCHEMAS:
        return _builtin(str(value))
    path = Path(value)
    if path.suffix != ".toml":
        raise SchemaError(f"no such schema. {did_you_mean(str(value), BUILTIN_SCHEMAS)} Or the path of a .toml file.")
    try:
        table = tomllib.loads(read_regular(path, 1024**2).decode("utf-8-sig"))  # Windows' editors put a mark first
    except OSError as e:
        raise SchemaError(f"cannot read the schema {str(path)!r}: {e.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise SchemaError(f"{str(path)!r} is not valid TOML: {e}") from None
    return Schema.from_dict(table)
