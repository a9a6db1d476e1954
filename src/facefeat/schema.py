"""Schemas: the attributes of one labelling, each with its kind: what it is, and what only that kind knows.

A schema is data: `fairface` and `utkface` are TOML files in `assets/schemas`, and a user's own has the same form:

    name = "office"

    [attributes.gender]
    classes = ["Male", "Female"]
    aliases = { m = "Male", f = "Female" }

    [attributes.age]
    kind = "ordered"                  # which `years` or `ordered = true` say, too
    classes = ["young", "old"]
    years = [[0, 39], [40, 116]]      # inclusive; consecutive
    exact = true                      # labels may be years; the model then learns a distribution over single years

    [attributes.wears]
    kind = "multilabel"
    classes = ["glasses", "hat"]

    [attributes.yaw]
    kind = "continuous"
    unit = "degrees"
    range = [-90, 90]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import LabelError, SchemaError, UnknownComponentError, did_you_mean
from facefeat.plugins.kinds import get_kind
from facefeat.types import YEARS
from facefeat.utils.files import nearest_file, read_toml
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    from facefeat.plugins.contracts import AttributeKind
    from facefeat.types import Axis

BUILTIN_SCHEMAS = ("fairface", "utkface")
_FOLDER = Path(__file__).parent / "assets" / "schemas"
_FIELDS = ("classes", "ordered", "years", "exact", "aliases", "missing", "rest", "unclear")
"""Keys of an attribute's table that are fields; what else its kind knows goes to `options`."""


def fold(label: str) -> str:
    """The label in the form that is compared: without case, runs of spaces and underscores."""
    return " ".join(label.replace("_", " ").split()).casefold()


@dataclass(frozen=True)
class Attribute:
    """One thing that a model reads from a face.

    classes: names in their natural order. ordered: whether that order means something.
    years: inclusive (first, last) years of each class, consecutive, for age; empty otherwise.
    exact: labels may be exact years, and a head has one logit per year instead of one per class.
    aliases: other spellings of a class -> the class.
    kind: name of its `AttributeKind`; by default "ordered" where it has an order or years, else "categorical".
    options: what only that kind knows, such as unit and range of a "continuous" one.
    missing: what people call themselves and no class says, such as "Latino". rest: the class of all that fits no other.
    unclear: another attribute -> its classes at which this one is hard to tell, such as gender of a baby.
    Raises SchemaError where these do not fit together, or there is no such kind.

    Example:
        >>> Attribute("mood", ("glad", "sad"), aliases={"happy": "glad"}).index("happy")
        0
    """

    name: str
    classes: tuple[str, ...] = ()
    ordered: bool = False
    years: tuple[tuple[int, int], ...] = ()
    exact: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    rest: str = ""
    unclear: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"attribute {self.name!r}"
        if not self.name.isidentifier() or not self.name.islower():
            raise SchemaError(f"{where}: a name is lower-case letters, digits and '_'. Received: {self.name!r}.")
        if self.rest and self.rest not in self.classes:
            raise SchemaError(f"{where}: 'rest' names no class. {did_you_mean(self.rest, self.classes)}")
        object.__setattr__(self, "kind", self.kind or self._default_kind)
        _kind_of(where, self.kind).check(self)

    @property
    def _default_kind(self) -> str:
        return "ordered" if self.ordered or self.years else "categorical"

    @property
    def strategy(self) -> AttributeKind:
        """How it is learnt, predicted, measured and formatted: the object that its kind names."""
        return get_kind(self.kind)

    @property
    def outputs(self) -> int:
        """Width of a head's output."""
        return self.strategy.outputs(self)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of faces in tables: its classes, or the ranges of a number."""
        return self.strategy.groups(self)

    @property
    def axis(self) -> Axis | None:
        """The scale along which a face can be moved; None where there is no order."""
        return self.strategy.axis(self)

    @property
    def exclusive(self) -> bool:
        """Whether each face is in one class."""
        return self.strategy.exclusive(self)

    @property
    def meaning(self) -> tuple[object, ...]:
        """What two attributes must agree on for their labels to mean the same: all but spellings and cautions."""
        return self.kind, self.classes, self.ordered, self.years, self.exact, dict(self.options)

    def index(self, label: object) -> int:
        """Position in `classes` of a label by its name or alias (case, spaces and underscores do not matter).

        Raises LabelError where no class has that name.
        """
        text = fold(str(label))
        for i, name in enumerate(self.classes):
            if fold(name) == text:
                return i
        for alias, target in self.aliases.items():
            if fold(alias) == text:
                return self.classes.index(target)
        raise LabelError(f"no such {self.name}. {did_you_mean(str(label), self.classes)}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `Attribute.from_dict`."""
        fields = {
            "classes": list(self.classes),
            "ordered": self.ordered,
            "years": [list(y) for y in self.years],
            "exact": self.exact,
            "aliases": dict(self.aliases),
        }
        keys = self.strategy.keys
        kind = {} if self.kind == self._default_kind else {"kind": self.kind}
        cautions = {
            "missing": list(self.missing),
            "rest": self.rest,
            "unclear": {k: list(v) for k, v in self.unclear.items()},
        }
        kept = {k: v for k, v in cautions.items() if v}
        return {k: v for k, v in fields.items() if k in keys} | kind | kept | dict(self.options)

    @classmethod
    def from_dict(cls, name: str, value: Mapping[str, Any]) -> Attribute:
        """An attribute from a TOML or JSON table. Raises SchemaError for unknown keys and wrong types."""
        where = f"attribute {name!r}"
        if not isinstance(value, Mapping):
            raise SchemaError(f"{where}: must be a table. Received: {value!r}.")
        kind = value.get("kind", "")
        if not isinstance(kind, str):
            raise SchemaError(f"{where}: 'kind' must be a name. Received: {kind!r}.")
        keys = ("kind", *_kind_of(where, kind or "categorical").keys)
        for key in value:
            if key not in keys:
                raise SchemaError(f"{where}: unknown key. {did_you_mean(key, keys)}")
        if "classes" in keys and "classes" not in value:
            raise SchemaError(f"{where}: 'classes' is missing.")
        classes, years = value.get("classes", []), value.get("years", [])
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
        missing, unclear, rest = value.get("missing", []), value.get("unclear", {}), value.get("rest", "")
        if not _names(missing) or not isinstance(unclear, Mapping) or not all(map(_names, unclear.values())):
            raise SchemaError(f"{where}: 'missing' and each of 'unclear' must be lists of names. Received: {value!r}.")
        if not isinstance(rest, str):
            raise SchemaError(f"{where}: 'rest' must be the name of a class. Received: {rest!r}.")
        return cls(
            name,
            tuple(classes),
            ordered=value.get("ordered", False),
            years=tuple((y[0], y[1]) for y in years),
            exact=value.get("exact", False),
            aliases=dict(aliases),
            kind=kind,
            options={k: v for k, v in value.items() if k not in (*_FIELDS, "kind")},
            missing=tuple(missing),
            rest=rest,
            unclear={k: tuple(v) for k, v in unclear.items()},
        )


def _names(value: object) -> bool:
    """Whether it is a list of names, each on one line: they are shown in sentences."""
    return isinstance(value, list) and all(isinstance(v, str) and v == one_line(v, 60) for v in value)


def _kind_of(where: str, name: str) -> AttributeKind:
    try:
        return get_kind(name)
    except UnknownComponentError as e:
        raise SchemaError(f"{where}: {e}") from None


def number_attribute(name: str, low: float, high: float, unit: str = "units") -> Attribute:
    """An attribute of kind "continuous" between two numbers."""
    return Attribute(name, kind="continuous", options={"unit": unit, "range": [low, high]})


@dataclass(frozen=True)
class Schema:
    """The attributes of one labelling, by name. Raises SchemaError without any.

    Example:
        >>> schema = Schema.from_dict({"name": "mine", "attributes": {"mood": {"classes": ["glad", "sad"]}}})
        >>> schema["mood"].classes
        ('glad', 'sad')
    """

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
        """The attribute that is an age in years, if there is one."""
        return next((a for a in self.attributes.values() if a.axis is not None and a.axis.unit == YEARS), None)

    @property
    def meaning(self) -> dict[str, tuple[object, ...]]:
        """What two schemas must agree on for their labels to mean the same."""
        return {name: a.meaning for name, a in self.attributes.items()}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `Schema.from_dict`."""
        return {"name": self.name, "attributes": {k: a.to_dict() for k, a in self.attributes.items()}}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Schema:
        """A schema from a TOML or JSON table. Raises SchemaError for unknown keys and wrong types."""
        if not isinstance(value, Mapping):
            raise SchemaError(f"schema: must be a table. Received: {value!r:.200}.")
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


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name of a file
        return False


def get_schema(value: str | Path | Mapping[str, Any] | Schema) -> Schema:
    """A schema from its built-in name ("fairface", "utkface"), a TOML file, a table or a Schema.

    Raises SchemaError for an unknown name, an unreadable file or a table that does not fit.
    """
    if isinstance(value, Schema):
        return value
    if isinstance(value, Mapping):
        return Schema.from_dict(value)
    if not isinstance(value, str | Path):
        raise SchemaError(
            f"a schema is a built-in name, a .toml file, a table or a Schema. Received: {type(value).__name__}."
        )
    if value in BUILTIN_SCHEMAS:
        return _builtin(str(value))
    path = Path(value)
    if path.suffix != ".toml":
        own = path.with_name(f"{path.name}.toml") if path.name else path
        hint = f"Did you mean {str(own)!r}?" if _is_file(own) else f"Or the path of a .toml file.{nearest_file(path)}"
        raise SchemaError(f"no such schema. {did_you_mean(str(value), BUILTIN_SCHEMAS)} {hint}")
    try:
        _, table = read_toml(path)
    except OSError as e:
        raise SchemaError(f"cannot read the schema {str(path)!r}: {e.strerror or e}{nearest_file(path)}") from None
    except ValueError as e:
        raise SchemaError(f"{str(path)!r} is not valid TOML: {e}") from None
    return Schema.from_dict(table)
