"""Collecting rows: every importer gives what it found here, and the unusable is skipped, counted and named."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facefeat.data.labels import SOFT, LabelReader, Renamed, class_columns, soft_text
from facefeat.data.tables import Table
from facefeat.errors import DataError, LabelError
from facefeat.schema import Schema
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    import pandas as pd

SPLIT_NAMES = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
"""Other spellings of a split's name."""
MISMATCH_SHARE = 0.05
"""Share of rows with a label that the schema does not know, above which it is taken for the wrong schema."""
SHOWN = 5
"""Such labels that are named, the most frequent ones."""


@dataclass(frozen=True)
class Skipped:
    """A row or picture that could not be used. file: its name, or the line of the table. reason: one clause."""

    file: str
    reason: str


def split_name(text: str) -> str:
    """A split's name as the table has it: lower case, "validation" as "val"."""
    name = text.strip().casefold()
    return SPLIT_NAMES.get(name, name)


def check_schema(schema: Schema) -> Schema:
    """The schema, if a table can hold it. Raises DataError where an attribute has the name of another column."""
    for name in schema.attributes:
        others = (c for n, a in schema.attributes.items() for c in a.strategy.stored(a) if n != name)
        if name in ("file", "split", *others):
            raise DataError(f"schema {schema.name!r}: an attribute cannot be named {name!r}, a column of the table")
    return schema


class Splits:
    """The split of each picture by a table with the columns file and split. Raises DataError where it is not one."""

    def __init__(self, table: Table) -> None:
        table.require(("file", "split"))
        self.where = table.where
        self._split: dict[str, str] = {}
        for line, row in table.rows:
            if not row["split"]:
                raise DataError(f"{table.where!r}: line {line} has no split for {row['file']!r}")
            name = row["file"].replace("\\", "/")
            if self._split.setdefault(name, split_name(row["split"])) != split_name(row["split"]):
                raise DataError(f"{table.where!r}: line {line} puts {name!r} into a second split")
        bare: dict[str, set[str]] = {}
        for name, split in self._split.items():
            bare.setdefault(name.rpartition("/")[2], set()).add(split)
        self._bare = {name: splits for name, splits in bare.items() if len(splits) == 1}

    @property
    def files(self) -> list[str]:
        """The files it lists."""
        return list(self._split)

    def lists(self, file: str) -> bool:
        """Whether it has a split for this file."""
        return self.get(file) is not None

    def get(self, file: str) -> str | None:
        """The split of a file, found by its whole name or else by its bare name; None where it is not listed."""
        if file in self._split:
            return self._split[file]
        found = self._bare.get(file.rpartition("/")[2], ())
        return next(iter(found), None)


@dataclass
class Collector:
    """Builds the one table. missing_ok: a label may be absent (a user's own table); else such a row is skipped.

    columns: those of the table, of which some may be probabilities, "gender:female". renamed: labels of it that mean
    others. Raises DataError for a column of a class that there is not.
    """

    schema: Schema
    missing_ok: bool = False
    skipped: list[Skipped] = field(default_factory=list)
    columns: Sequence[str] = ()
    renamed: Renamed = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_schema(self.schema)
        attributes = self.schema.attributes
        self.readers = {n: LabelReader(a, renamed=self.renamed.get(n, {})) for n, a in attributes.items()}
        self._classes = {n: class_columns(a, self.columns) for n, a in attributes.items()}
        self._rows: dict[str, tuple[str, dict[str, tuple[float, ...] | None], dict[str, str]]] = {}
        self._contradictory: set[str] = set()
        self._unknown = {name: Counter[str]() for name in self.readers}
        self._tried = self._mismatched = 0

    def __len__(self) -> int:
        return len(self._rows)

    def skip(self, file: str, reason: str) -> None:
        """Count and name something that cannot be used."""
        self.skipped.append(Skipped(file, reason))

    def add(self, file: str, split: str, labels: Mapping[str, str]) -> None:
        """One row, or its place among the skipped: an unknown label, no split, or a file that was listed before."""
        read: dict[str, tuple[float, ...] | None] = {}  # None is an unknown label
        soft: dict[str, str] = {}
        problems, mismatched = [], False
        for name, reader in self.readers.items():
            text = reader.meant(labels.get(name, "").strip())
            said = labels.get(name + SOFT, "").strip() or soft_text(self._classes[name], labels)
            try:
                read[name] = reader.read(text) if text else None
            except LabelError as e:
                read[name] = None
                if not reader.is_soft(text):
                    self._unknown[name][text] += 1
                    problems.append(str(e))
                    mismatched = True
                else:
                    said = said or text
            if said and reader.is_soft(said):
                soft[name] = said
            elif said:
                problems.append(f"no such {name}. Received: {said!r}")
            if not text and not said and not self.missing_ok:
                problems.append(f"no {name}")
        self._tried += 1
        self._mismatched += mismatched
        if problems:
            return self.skip(file, problems[0])
        if not split:
            return self.skip(file, "no split")
        if file in self._contradictory:
            return self.skip(file, "listed more than once with different labels")
        if file in self._rows:
            if repr(self._rows[file]) == repr((split, read, soft)):  # repr: NaN is not equal to itself
                return self.skip(file, "listed twice; used once")
            # Which of the two is right cannot be known.
            del self._rows[file]
            self._contradictory.add(file)
            self.skip(file, "listed more than once with different labels")
            return self.skip(file, "listed more than once with different labels")
        self._rows[file] = (split, read, soft)
        return None

    def skip_absent(self, splits: Splits, files: Sequence[str]) -> None:
        """Skip what a table of splits lists and is not among these files."""
        here = {*files, *(f.rpartition("/")[2] for f in files)}
        for file in splits.files:
            if file not in here and file.rpartition("/")[2] not in here:
                self.skip(file, f"listed in {splits.where!r}, but there is no such picture")

    def mismatch(self) -> str:
        """What differs, where more than `MISMATCH_SHARE` of the rows have a label that the schema lacks; else ""."""
        if self._mismatched <= MISMATCH_SHARE * self._tried:
            return ""
        parts = []
        for name, found in self._unknown.items():
            if found:
                listed = ", ".join(f"{label!r} ({n:,} rows)" for label, n in found.most_common(SHOWN))
                more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
                valid = ", ".join(self.schema[name].classes)
                parts.append(f"{name} {listed}{more}" + (f"; valid: {valid}" if valid else ""))
        return (
            f"{self._mismatched:,} of {self._tried:,} rows have labels that schema {self.schema.name!r} does not know: "
            f"{'. '.join(parts)}."
        )

    def frame(self) -> pd.DataFrame:
        """The table: file, split, and the columns of each attribute; see FaceDataset."""
        import numpy as np

        pd = import_pandas()
        rows = self._rows.values()
        columns = {
            "file": pd.Series(list(self._rows), dtype="str"),
            "split": pd.Series([split for split, _, _ in rows], dtype="str"),
        }
        exact: dict[str, Any] = {}
        for name, a in self.schema.attributes.items():
            found = [read[name] for _, read, _ in rows]
            width = a.strategy.targets(a, {c: np.zeros(0) for c in a.strategy.stored(a)}).shape[1]
            targets = np.asarray([(math.nan,) * width if r is None else r for r in found], "float64")
            made = a.strategy.columns(a, targets.reshape(-1, width))
            for column, values in made.items():
                # The columns that attributes are named after come first.
                (columns if column == name else exact)[column] = pd.Series(
                    values, dtype="float64" if values.dtype.kind == "f" else "str"
                )
            texts = [soft.get(name, "") for _, _, soft in rows]
            if any(texts):
                exact[name + SOFT] = pd.Series(texts, dtype="str")
        return pd.DataFrame(columns | exact)


def fingerprint(frame: pd.DataFrame, schema: Schema) -> str:
    """sha256 of what a run learns from: attributes and classes, and every row's file, split and labels, sorted."""
    stored = [c for a in schema.attributes.values() for c in a.strategy.stored(a)]
    # Numbers come after text.
    names = sorted(stored, key=lambda c: frame[c].dtype.kind == "f")
    names += [n + SOFT for n in schema.attributes if n + SOFT in frame]
    lines = []
    for row in frame[["file", "split", *names]].itertuples(index=False, name=None):
        lines.append("\t".join(_plain(v) for v in row))
    digest = hashlib.sha256()
    for a in schema.attributes.values():
        digest.update(f"{a.name}\t{a.classes}\t{a.years}\t{a.exact}\n".encode())
        if a.kind not in ("categorical", "ordered"):
            digest.update(f"{a.kind}\t{sorted(a.options.items())}\n".encode())
    for line in sorted(lines):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _plain(value: object) -> str:
    """Text, or a number with six digits; "" for one that is unknown."""
    if isinstance(value, float):
        return "" if math.isnan(value) else format(value, ".6g")
    return unicodedata.normalize("NFC", str(value))
