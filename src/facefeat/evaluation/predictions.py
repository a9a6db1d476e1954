"""Anyone's predictions beside labels: read from a table, with the classes of both brought together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import DataError, InputError, LabelError
from facefeat.evaluation.columns import AttributeColumns, Columns, find_columns, is_number, names_of_pictures
from facefeat.evaluation.groups import Groups, Quantity
from facefeat.evaluation.mapping import check_labels
from facefeat.evaluation.table import MISSING, NumberColumn, TextColumn, parts
from facefeat.schema import BUILTIN_SCHEMAS, Attribute, Schema, fold, get_schema, number_attribute
from facefeat.utils.frames import import_pandas
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.types import FaceBatch, FloatArray

MOST_CLASSES = 1000
"""Different values of a column, above which it cannot be of classes or groups."""
NUMBER_VALUES = 20
"""Different numbers in the first part of a column, above which it is taken for a number and not for classes."""
SUM_WITHIN, BAD_SHARE = 0.02, 0.01
"""How far from 1 a row of probabilities may sum, and the share of rows that may do otherwise."""
SPELLINGS = {
    "gender": {"man": "Male", "men": "Male", "m": "Male", "boy": "Male",
               "woman": "Female", "women": "Female", "f": "Female", "w": "Female", "girl": "Female"},
}  # fmt: skip
KNOWN = ("age", "gender", "race")
"""Attributes whose classes are those of a built-in schema, where the labels fit."""
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_RANGE = re.compile(r"(\d+)\D*")


@dataclass(frozen=True)
class Scored:
    """Answers to one attribute beside its labels, N faces.

    truth, answer: (N,) int, positions of classes, -1 where unknown. confidence: (N,) float32, the probability of the
    answer, and probabilities: (N, K) float32, None where there are none. true_value, value: (N,) float32, where it is
    a number or stands for one.
    """

    attribute: Attribute
    truth: np.ndarray
    answer: np.ndarray
    confidence: FloatArray | None = None
    probabilities: FloatArray | None = None
    true_value: FloatArray | None = None
    value: FloatArray | None = None

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool."""
        numbers = self.true_value is not None and np.isfinite(self.true_value)
        return np.asarray((self.truth >= 0) | numbers)

    @property
    def answered(self) -> np.ndarray:
        """(N,) bool."""
        numbers = self.value is not None and np.isfinite(self.value)
        return np.asarray((self.answer >= 0) | numbers)

    def quantities(self) -> list[Quantity]:
        """What is measured on each face: accuracy, the error of a number, and whether there was an answer."""
        name, out = self.attribute.name, []
        both = (self.truth >= 0) & (self.answer >= 0)
        if both.any():
            out.append(Quantity(name, "accuracy", np.where(both, self.truth == self.answer, np.nan)))
        error = self.error
        if error is not None and np.isfinite(error).any():
            out.append(Quantity(name, "mae", np.abs(error)))
        if (self.labelled & ~self.answered).any():
            out.append(Quantity(name, "answered", np.where(self.labelled, self.answered, np.nan)))
        return out

    @property
    def error(self) -> np.ndarray | None:
        """(N,) predicted minus labelled, NaN where unknown; None without numbers."""
        if self.true_value is None or self.value is None:
            return None
        return np.asarray(self.value - self.true_value, "float64")

    def take(self, rows: np.ndarray) -> Scored:
        """Those of these rows."""
        names = ("truth", "answer", "confidence", "probabilities", "true_value", "value")
        found: dict[str, Any] = {n: v[rows] for n in names if (v := getattr(self, n)) is not None}
        return replace(self, **found)


@dataclass(frozen=True)
class Predictions:
    """A table of predictions, read. scored: attribute -> answers and labels. more: other groups of faces, by column.

    notes: a sentence for everything in the table that a reader should know. keys: (N,) uint64, a hash of the columns
    that name the picture, such as `file`; None where there are none.
    """

    name: str
    columns: Columns
    scored: Mapping[str, Scored]
    more: Mapping[str, Groups]
    notes: tuple[str, ...]
    faces: int
    keys: np.ndarray | None = None

    @property
    def schema(self) -> Schema:
        """Its attributes."""
        return Schema(re.sub(r"\W+", "-", self.name) or "table", {n: s.attribute for n, s in self.scored.items()})

    @property
    def groups(self) -> dict[str, Groups]:
        """The classes of each attribute's labels, and the other groups."""
        out = {n: Groups.of_codes(s.attribute.classes, s.truth) for n, s in self.scored.items() if s.attribute.classes}
        more = {f"{n} (column)" if n in out else n: g for n, g in self.more.items()}
        return {n: g for n, g in (out | more).items() if len(g.rows)}

    def quantities(self) -> list[Quantity]:
        """Of all attributes."""
        return [q for s in self.scored.values() for q in s.quantities()]


def read_predictions(source: Any, mapped: Sequence[str] = (), name: str = "") -> Predictions:
    """Read a table of labels and predictions, a row for each face.

    Args:
        source: a DataFrame, or the path of a CSV file (comma, semicolon or tab; UTF-8, UTF-16 or Windows-1252) or
            Parquet file.
        mapped: "ROLE=COLUMN" or the path of a CSV or TOML file of such, as `--map`: what the guess got wrong.
        name: what the audit calls it; by default the file's name.

    Raises:
        InputError: for columns that cannot be found or do not fit.
        DataError: for a file that cannot be read.
    """
    title = name or (Path(os.fspath(source)).name if isinstance(source, str | os.PathLike) else "the table")
    every = parts(source)
    first = next(every, None)
    if first is None or not len(first):
        raise DataError(f"{title!r} has no rows. Expected a header line, then one line per face.")
    columns = find_columns(first, mapped)
    stores = _stores(first, columns)
    named = names_of_pictures(columns.unused)
    hashes, keys = [], []
    for part in chain([first], every):
        _add(part, stores, title)
        hashes.append(row_hashes(part))
        if named:
            keys.append(row_hashes(part[named]))
    notes: list[str] = []
    scored = {n: _scored(n, c, stores, columns.classes.get(n, {}), notes) for n, c in columns.attributes.items()}
    if not any((s.labelled & s.answered).any() for s in scored.values()):
        raise InputError(f"no row of {title!r} has both a label and a prediction, so there is nothing to measure.")
    more = {c: _group(c, stores[c], notes) for c in columns.groups}
    rows = np.concatenate(hashes)
    _note_copies(rows, columns, first, notes)
    return Predictions(title, columns, scored, {n: g for n, g in more.items() if g is not None}, tuple(notes),
                       len(rows), np.concatenate(keys) if named else None)  # fmt: skip


def prediction_frame(batch: FaceBatch, dataset: FaceDataset) -> pd.DataFrame:
    """The predictions of a model of ours beside the labels, as `read_predictions` takes them.

    Columns: file, ATTRIBUTE_true (the most exact label that there is: years of an age, or its class where no face has
    years), then those of `FaceBatch.to_frame`.
    """
    pd = import_pandas()
    table = dataset.table
    true = {}
    for n, a in dataset.schema.attributes.items():
        known = [c for c in a.strategy.stored(a) if table[c].notna().any()]
        true[f"{n}_true"] = table[known[-1] if known else n]
    return pd.concat([pd.DataFrame({"file": table["file"], **true}), batch.to_frame()], axis=1)


def _stores(sample: pd.DataFrame, columns: Columns) -> dict[str, TextColumn | NumberColumn]:
    stores: dict[str, TextColumn | NumberColumn] = {c: TextColumn() for c in columns.groups}
    for name, a in columns.attributes.items():
        missing = MISSING - set(columns.classes.get(name, ()))
        for c in (a.truth, a.prediction):
            many = is_number(sample[c]) and sample[c].nunique() > NUMBER_VALUES
            stores[c] = NumberColumn() if many else TextColumn(missing)
        # "20-29" is never a number, so where one side has many numbers the other's few are numbers as well.
        sides = [stores[a.truth], stores[a.prediction]]
        if any(isinstance(s, NumberColumn) for s in sides):
            for c in (a.truth, a.prediction):
                stores[c] = NumberColumn() if is_number(sample[c]) else stores[c]
        stores |= {c: NumberColumn() for c in [a.confidence, *a.probabilities.values()] if c}
    return stores


def _add(part: pd.DataFrame, stores: Mapping[str, TextColumn | NumberColumn], title: str) -> None:
    for column, store in stores.items():
        if column not in part:
            raise DataError(f"{title!r} has no column {column!r} in all its parts.")
        store.add(part[column])
        if isinstance(store, TextColumn) and len(store.values) > MOST_CLASSES:
            raise InputError(
                f"the column {column!r} has more than {MOST_CLASSES:,} different values: it has no classes or groups. "
                f"Next: --map ignore={column}, or map the right column"
            )


def row_hashes(part: pd.DataFrame) -> np.ndarray:
    """(N,) uint64, alike for rows that are copies of each other."""
    pd = import_pandas()
    return np.asarray(pd.util.hash_pandas_object(part, index=False).to_numpy())


def _note_copies(hashes: np.ndarray, columns: Columns, sample: pd.DataFrame, notes: list[str]) -> None:
    # Without a name of the picture or probabilities, two faces may well have the same row.
    telling = any(sample[c].nunique() > len(sample) / 2 for c in columns.unused) or any(
        a.probabilities or a.confidence for a in columns.attributes.values()
    )
    copies = len(hashes) - len(np.unique(hashes))
    if copies and telling:
        notes.append(
            f"{copies:,} of {len(hashes):,} rows are copies of another row; they are counted, so the intervals are "
            "too narrow. Next: remove them"
        )


def _group(column: str, store: TextColumn | NumberColumn, notes: list[str]) -> Groups | None:
    assert isinstance(store, TextColumn)
    values, codes = store.values, store.codes
    if len(values) < 2:
        notes.append(f"the group {column!r} has the same value in every row, so there is nothing to compare")
        return None
    order = sorted(range(len(values)), key=lambda i: _in_order(values[i]))
    place = np.empty(len(values) + 1, int)
    place[order], place[-1] = np.arange(len(values)), -1
    return Groups.of_codes([one_line(values[i], 80) for i in order], place[codes])


def _in_order(text: str) -> tuple[float, str]:
    """Ranges such as "3-9" by their first number, all else by letters."""
    found = _RANGE.match(text)
    return (float(found[1]) if found else float("inf"), text.casefold())


def _scored(
    name: str,
    columns: AttributeColumns,
    stores: Mapping[str, TextColumn | NumberColumn],
    renamed: Mapping[str, str],
    notes: list[str],
) -> Scored:
    truth, answer = stores[columns.truth], stores[columns.prediction]
    both = isinstance(truth, NumberColumn) and isinstance(answer, NumberColumn)
    attribute = _attribute(name, truth, answer, renamed)
    check_labels(name, renamed, _texts(truth, answer), notes)
    if both and not attribute.classes:
        assert isinstance(truth, NumberColumn) and isinstance(answer, NumberColumn)
        none = np.full(len(truth.values), -1, "int32")
        found = Scored(attribute, none, none, true_value=truth.values, value=answer.values)
    else:
        t, true_value = _positions(attribute, truth)
        p, value = _positions(attribute, answer)
        found = Scored(attribute, t, p, true_value=true_value, value=value if true_value is not None else None)
        _check_classes(found, columns, notes)
        found = _with_probabilities(found, columns, stores, notes)
    _note_unknown(name, found, columns, notes)
    return found


def _attribute(
    name: str, truth: TextColumn | NumberColumn, answer: TextColumn | NumberColumn, renamed: Mapping[str, str]
) -> Attribute:
    """The attribute of the built-in schemas that has all these labels, else one of the labels as they are."""
    texts = _texts(truth, answer)
    numbers = [store for store in (truth, answer) if isinstance(store, NumberColumn)]
    spellings = {**SPELLINGS.get(name, {}), **renamed}
    if name == "age" or name.startswith("age_") or name.endswith("_age"):
        age = get_schema("utkface")["age"]
        age = replace(age, name=name, aliases={**age.aliases, **_kept_spellings(renamed, age.classes)})
        if all(_fits(age, t) for t in texts) and all(_are_ages(n.values) for n in numbers):
            return age
        typed = [float(t) for t in texts if _NUMBER.fullmatch(t)]
        stated = [n.values for n in numbers] + ([np.array(typed)] if typed else [])
        for values in stated:
            known = values[np.isfinite(values)]
            if len(known) and not _are_ages(values):
                raise InputError(
                    f"{name}: a column has numbers from {known.min():g} to {known.max():g}, which are no ages. Valid: "
                    "years from 0 to 150, such as 34; an age is the year of the picture less that of birth."
                )
    if numbers:
        if texts:
            raise InputError(
                f"{name}: one column has numbers and the other has classes such as {texts[0]!r}. Next: give both as "
                "numbers or both as classes (an age may be either, with classes such as '20-29')"
            )
        ends = [f(np.nanmin(n.values), np.nanmax(n.values)) for n in numbers for f in (min, max)]
        low, high = float(min(ends)), float(max(ends))
        return number_attribute(name, low, high if high > low else low + 1)
    if name in ("gender", "race"):
        for schema in ("utkface", "fairface"):
            known = get_schema(schema)[name]
            # Not the aliases: what 0 and 1 mean differs from table to table.
            named = Attribute(name, known.classes, aliases=_kept_spellings(spellings, known.classes))
            if all(_fits(named, t) for t in texts):
                return named
    classes: dict[str, str] = {}
    for text in texts:
        new = spellings.get(text.casefold(), text)
        classes.setdefault(fold(new), one_line(new, 80))
    if len(classes) < 2:
        only = next(iter(classes.values()), "nothing")
        raise InputError(
            f"{name}: truth and prediction are {only!r} in every row, so there is nothing to measure. "
            f"Next: --map {name}.truth=COLUMN"
        )
    listed = tuple(sorted(classes.values(), key=_in_order))
    return Attribute(name, listed, aliases=_kept_spellings(spellings, listed))


def _texts(*stores: TextColumn | NumberColumn) -> list[str]:
    return [v for store in stores if isinstance(store, TextColumn) for v in store.values]


def _kept_spellings(spellings: Mapping[str, str], classes: Iterable[str]) -> dict[str, str]:
    by_fold = {fold(c): c for c in classes}
    return {s: by_fold[fold(c)] for s, c in spellings.items() if fold(c) in by_fold and fold(s) not in by_fold}


def _fits(attribute: Attribute, text: str) -> bool:
    try:
        attribute.strategy.parse(attribute, text)
    except LabelError:
        return False
    return True


def _are_ages(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool(((known >= 0) & (known <= 150)).mean() > 0.95)


def _positions(attribute: Attribute, store: TextColumn | NumberColumn) -> tuple[np.ndarray, FloatArray | None]:
    """(N,) positions of classes, and (N,) years of an age that has them."""
    if isinstance(store, NumberColumn):
        starts = [first for first, _ in attribute.years]
        known = np.isfinite(store.values) & (store.values >= 0) & (store.values <= 150)
        place = np.searchsorted(starts, np.floor(np.nan_to_num(store.values)), side="right") - 1
        return np.where(known, place, -1).astype("int32"), np.where(known, store.values, np.float32(np.nan))
    read = [attribute.strategy.parse(attribute, one_line(v, 80)).target for v in store.values]
    positions = np.asarray([*(int(r[0]) for r in read), -1], "int32")
    if not attribute.exact:
        return positions[store.codes], None
    years = np.asarray([*(r[1] for r in read), np.nan], "float32")[store.codes]
    return positions[store.codes], years if np.isfinite(years).any() else None


def _check_classes(found: Scored, columns: AttributeColumns, notes: list[str]) -> None:
    a = found.attribute
    true, said = (np.unique(v[v >= 0]) for v in (found.truth, found.answer))
    if not len(true) or not len(said):
        return
    names = a.classes
    # Of the classes of a schema, an answer that is none of the labels is simply wrong.
    if not set(true) & set(said) and not any(names == get_schema(s)[n].classes for s in BUILTIN_SCHEMAS for n in KNOWN):
        raise InputError(
            f"{a.name}: labels and predictions have no class in common. Labels: {_listed(names, true)}. Predictions: "
            f"{_listed(names, said)}. Next: --map '{a.name}.class.{names[said[0]]}={names[true[0]]}'"
        )
    for what, here, column in (("label", true, columns.truth), ("prediction", said, columns.prediction)):
        if len(here) == 1:
            notes.append(
                f"{a.name}: every {what} (column {column!r}) is {names[here[0]]!r}"
                + (", so classes cannot be compared" if what == "label" else "")
            )
    only_said = [k for k in said if k not in true]
    if only_said and len(true) > 1:
        notes.append(f"{a.name}: predicted and never a label: {_listed(names, only_said)}")


def _listed(names: Sequence[str], places: Iterable[int]) -> str:
    some = [repr(names[k]) for k in places]
    return ", ".join(some[:8]) + (f" and {len(some) - 8} more" if len(some) > 8 else "")


def _with_probabilities(
    found: Scored, columns: AttributeColumns, stores: Mapping[str, TextColumn | NumberColumn], notes: list[str]
) -> Scored:
    a = found.attribute
    if columns.probabilities:
        p = np.zeros((len(found.truth), len(a.classes)), "float32")
        for label, column in columns.probabilities.items():
            store = stores[column]
            assert isinstance(store, NumberColumn)
            try:
                place = int(a.strategy.parse(a, label).target[0])
            except LabelError as e:
                raise InputError(f"{a.name}: the column {column!r} is of no class. {e}") from None
            p[:, place] += store.values
        problem = impossible(p[found.answered])
        if not problem:
            whole = p.sum(axis=1, keepdims=True)
            p = (p / np.where(whole > 0, whole, 1)).astype("float32")
            at = np.maximum(found.answer, 0)
            confidence = np.where(found.answer >= 0, p[np.arange(len(p)), at], np.float32(np.nan))
            other = float((p.argmax(axis=1) != found.answer)[found.answer >= 0].mean())
            if other > 0.005:
                notes.append(f"{a.name}: in {other:.1%} of rows the prediction is not the most probable class")
            return replace(found, probabilities=p, confidence=confidence)
        notes.append(f"{a.name}: {problem}, so they are left out and calibration is not measured")
    elif columns.confidence:
        store = stores[columns.confidence]
        assert isinstance(store, NumberColumn)
        c, known = store.values, np.isfinite(store.values)
        c = c / 100 if known.any() and 1.5 < c[known].max() <= 100.01 else c
        if known.any() and c[known].min() >= 0 and c[known].max() <= 1 + 1e-4:
            return replace(found, confidence=np.clip(c, 0, 1))
        notes.append(f"{a.name}: {columns.confidence!r} is not from 0 to 1 or 100, so calibration is not measured")
    return found


def impossible(p: np.ndarray) -> str:
    """What is wrong with (N, K) probabilities, in percent or not, as half a sentence; "" where nothing is."""
    known = np.isfinite(p).all(axis=1)
    if not known.any():
        return "no row has all probabilities"
    p = p[known]
    p = p / 100 if 50 < np.median(p.sum(axis=1)) < 150 else p
    off = (np.abs(p.sum(axis=1) - 1) > SUM_WITHIN) | (p < -1e-6).any(axis=1)
    if off.mean() <= BAD_SHARE:
        return ""
    return f"the probabilities of {off.mean():.0%} of rows do not sum to 1 (from {p.sum(axis=1).min():.2f} to " + (
        f"{p.sum(axis=1).max():.2f})"
    )


def _note_unknown(name: str, found: Scored, columns: AttributeColumns, notes: list[str]) -> None:
    for what, here, column in (
        ("label", found.labelled, columns.truth),
        ("prediction", found.answered, columns.prediction),
    ):
        missing = int((~here).sum())
        if missing:
            notes.append(f"{name}: {missing:,} of {len(here):,} rows have no {what} (column {column!r})")
