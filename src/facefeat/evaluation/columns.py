"""Which column of a table of predictions is what: guessed from the names and values, or as `--map` says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError, did_you_mean
from facefeat.evaluation.mapping import VALID, pairs_of
from facefeat.evaluation.table import MISSING, NUMBERS
from facefeat.schema import get_schema
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    import pandas as pd

ROLES = ("truth", "prediction", "confidence")
WORDS = {
    "truth": "true truth label labelled labeled gt groundtruth actual target reference".split(),
    "prediction": "pred predicted prediction predictions dominant answer output estimated estimate value".split(),
    "confidence": "probability confidence score prob conf certainty".split(),
}
"""What names of columns have at their beginning or end."""
UNNAMED = "answer"
"""The attribute of columns such as `y_true` and `y_pred`."""
FILES = {"file", "filename", "source", "path", "image", "img", "id", "face", "split", "index", "url", "name", "reason"}
"""Columns that name a picture, and are no group."""
NOT_NAMES = {"split", "reason"}
GUESSED_GROUPS = 200
"""Different values, above which a column is not guessed to be a group."""
_SYNONYMS = {"sex": "gender", "ethnicity": "race"}


def names_of_pictures(columns: Iterable[str]) -> list[str]:
    """Those of the columns that together name a face: "file", "source" and "face"."""
    return [c for c in columns if set(_tokens(c)) & (FILES - NOT_NAMES)]


@dataclass(frozen=True)
class AttributeColumns:
    """The columns of one attribute, "" where there is none; probabilities: class, as it stands there -> column."""

    truth: str = ""
    prediction: str = ""
    confidence: str = ""
    probabilities: Mapping[str, str] = field(default_factory=dict)

    @property
    def used(self) -> list[str]:
        """All that it has."""
        return [c for c in (self.truth, self.prediction, self.confidence, *self.probabilities.values()) if c]


@dataclass(frozen=True)
class Columns:
    """What each column of a table is. groups: columns whose values are groups of faces. unused: all others.

    classes: attribute -> other spelling of a class, folded -> the class, as `--map ATTRIBUTE.class.Man=Male` says.
    """

    attributes: Mapping[str, AttributeColumns]
    groups: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    classes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def describe(self) -> list[str]:
        """A sentence for each attribute, one for the groups and one for what is not used."""
        out = []
        for name, a in self.attributes.items():
            more = f", confidence {a.confidence!r}" if a.confidence else ""
            more += f", probabilities of {len(a.probabilities)} classes" if a.probabilities else ""
            out.append(f"{name}: truth {a.truth!r}, prediction {a.prediction!r}{more}")
        if self.groups:
            out.append(f"groups: {', '.join(map(repr, self.groups))}")
        if self.unused:
            out.append(f"not used: {', '.join(map(repr, self.unused))}")
        return out


def find_columns(sample: pd.DataFrame, mapped: Sequence[str] = ()) -> Columns:
    """What the columns of a table are. sample: its first rows. mapped: "ROLE=COLUMN" or files of such; they come first.

    Raises InputError where no attribute has both truth and prediction, or `mapped` names a role or column there is not.
    """
    names = [str(c) for c in sample.columns]
    attributes, groups, ignored, classes = _mapped(names, mapped)
    taken = {c for a in attributes.values() for c in a.used} | {*groups, *ignored}
    plain = []
    for name in names:
        if name in taken:
            continue
        attribute, role = _role(name)
        if role and not getattr(attributes.get(attribute, AttributeColumns()), role):
            attributes[attribute] = _with(attributes.get(attribute), role, name)
        else:
            plain.append(name)
    attributes, plain = _completed(attributes, plain)
    whole = {n: a for n, a in attributes.items() if a.truth and a.prediction}
    for name, a in attributes.items():
        if name not in whole:
            plain += [c for c in a.used if c not in ignored]
    if not whole:
        listed = ", ".join(map(repr, names)) or "(none)"
        raise InputError(
            f"no column was found for truth and prediction of an attribute. Columns: {listed}. "
            "Next: --map gender.truth=COLUMN --map gender.prediction=COLUMN"
        )
    for name in classes:
        if name not in whole:
            raise InputError(f"--map {name}.class: no such attribute here. {did_you_mean(name, list(whole))}")
    for name, a in whole.items():
        found = {} if a.probabilities else _probabilities(sample, name, a, plain)
        if found:
            whole[name] = replace(a, probabilities=found)
            plain = [c for c in plain if c not in found.values()]
    # Another column of an attribute's name, such as the class of an age beside its years, is no group of its own.
    left = [c for c in plain if c not in ignored and attribute_name(c) not in whole]
    guessed = [c for c in left if _is_group(sample, c)]
    unused = tuple(c for c in names if c in ignored or (c in plain and c not in guessed))
    return Columns(whole, (*groups, *guessed), unused, classes)


def _mapped(
    names: Sequence[str], mapped: Sequence[str]
) -> tuple[dict[str, AttributeColumns], list[str], list[str], dict[str, dict[str, str]]]:
    attributes: dict[str, AttributeColumns] = {}
    groups: list[str] = []
    ignored: list[str] = []
    classes: dict[str, dict[str, str]] = {}
    for role, column, where in pairs_of(mapped):
        parts = role.split(".", 2)
        if len(parts) == 3 and parts[1] == "class":
            classes.setdefault(attribute_name(parts[0]), {})[parts[2].casefold()] = column
            continue
        if column not in names:
            column = next((n for n in names if n.casefold() == column.casefold()), column)
        if column not in names:
            raise InputError(f"{where}: no such column. {did_you_mean(column, names)}")
        if role == "group":
            groups.append(column)
        elif role == "ignore":
            ignored.append(column)
        elif len(parts) == 2 and parts[1] in ROLES:
            name = attribute_name(parts[0])
            attributes[name] = _with(attributes.get(name), parts[1], column)
        elif len(parts) == 3 and parts[1] == "probability":
            name = attribute_name(parts[0])
            a = attributes.get(name, AttributeColumns())
            attributes[name] = replace(a, probabilities={**a.probabilities, parts[2]: column})
        else:
            raise InputError(f"{where}: no such role. Received: {role!r}. Valid: {VALID}.")
    return attributes, groups, ignored, classes


def _with(a: AttributeColumns | None, role: str, column: str) -> AttributeColumns:
    changed: dict[str, Any] = {role: column}
    return replace(a or AttributeColumns(), **changed)


def attribute_name(text: str) -> str:
    """A text as the name of an attribute: "Sex " as "gender", "Skin tone" as "skin_tone"."""
    name = re.sub(r"\W+", "_", text.casefold(), flags=re.ASCII).strip("_")
    name = _SYNONYMS.get(name, name) or UNNAMED
    return name if name.isidentifier() else f"a_{name}"


def _tokens(name: str) -> list[str]:
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)  # "TrueAge"
    text = re.sub(r"ground[\W_]*truth", "groundtruth", text, flags=re.IGNORECASE)
    return [t for t in re.split(r"[\W_]+", text.casefold()) if t]


def _role(name: str) -> tuple[str, str]:
    """(attribute, role) that a column's name tells; ("", "") where it tells none."""
    tokens = _tokens(name)
    for role, words in WORDS.items():
        for at in (0, -1):
            if tokens and tokens[at] in words:
                left = tokens[1:] if at == 0 else tokens[:-1]
                if tokens[at] == "value" and not left:
                    continue
                return attribute_name("_".join([] if left == ["y"] else left)), role
    return "", ""


def _completed(
    attributes: dict[str, AttributeColumns], plain: list[str]
) -> tuple[dict[str, AttributeColumns], list[str]]:
    """Where an attribute has one of truth and prediction, the column that is named just as it is the other."""
    left = list(plain)
    for name, a in attributes.items():
        missing = [r for r in ("truth", "prediction") if not getattr(a, r)]
        same = [c for wanted in (f"{name}_years", name) for c in left if attribute_name(c) == wanted]
        if len(missing) == 1 and same:
            attributes[name] = _with(a, missing[0], same[0])
            left.remove(same[0])
    return attributes, left


def _probabilities(sample: pd.DataFrame, name: str, a: AttributeColumns, plain: Iterable[str]) -> dict[str, str]:
    """Class, as it stands in the table -> the column of its probability."""
    pd = import_pandas()
    found_values = pd.concat([sample[a.truth], sample[a.prediction]]).dropna().astype(str).str.strip().unique()
    values = [] if len(found_values) > GUESSED_GROUPS else list(found_values)
    values += get_schema("utkface")["age"].classes if name == "age" else ()
    found = {}
    by_tokens = {tuple(_tokens(c)): c for c in plain}
    for value in values:
        kind = tuple(_tokens(value))
        places = [(*own, *word, *kind) for own in (tuple(_tokens(name)), ("sex",), ()) for word in _PROBABLE]
        column = next((by_tokens[p] for p in places if p in by_tokens), None)
        if kind and column is not None and is_number(sample[column]):
            found[str(value)] = column
    return found if len(found) > 1 else {}


_PROBABLE = ((), ("prob",), ("probability",), ("p",), ("score",), ("confidence",))


def is_number(column: pd.Series) -> bool:
    """Whether nearly all values that are there are numbers."""
    pd = import_pandas()
    known = column.dropna()
    if pd.api.types.is_numeric_dtype(known):
        return len(known) > 0
    known = known.astype(str).str.strip()
    known = known[~known.str.casefold().isin(MISSING)]
    return len(known) > 0 and bool(pd.to_numeric(known, errors="coerce").notna().mean() >= NUMBERS)


def _is_group(sample: pd.DataFrame, column: str) -> bool:
    tokens = _tokens(column)
    if "group" in tokens:
        return True
    if set(WORDS["confidence"]) & set(tokens):
        return False
    values = sample[column].dropna()
    distinct = values.nunique()
    few = 1 < distinct <= min(GUESSED_GROUPS, max(2, len(values) // 2))
    if few and is_number(values) and (import_pandas().to_numeric(values, errors="coerce") % 1 > 0).any():
        return False  # a measurement, such as the column `quality` of our own tables
    return few and not FILES & set(tokens) and (distinct <= 20 or not is_number(values))
