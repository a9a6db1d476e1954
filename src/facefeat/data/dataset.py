"""FaceDataset: one table of files, splits and labels, and the decoded crops that belong to its rows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facefeat.data.collect import Skipped, fingerprint, split_name
from facefeat.data.labels import SOFT, soft_row
from facefeat.errors import DataError, InputError, did_you_mean
from facefeat.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data.crops import CropView, DecodedCrops
    from facefeat.data.importers import Import
    from facefeat.data.sources import Source
    from facefeat.types import FloatArray

    Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Part:
    """One of the data sets that a joined one is made of (`data.joining`).

    fingerprints: split -> fingerprint of its own faces there. weight: its share of the faces that are drawn, relative
    to the other parts'; 0 for none.
    """

    name: str
    licence: str
    weight: float = 1.0
    fingerprints: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Shared:
    """What a data set and its splits have in common. bad: row of the whole table -> why it could not be decoded.

    parts: of a joined data set, whose files begin with "PART/".
    """

    name: str
    schema: Schema
    licence: str
    table: pd.DataFrame
    skipped: tuple[Skipped, ...]
    open: Callable[[], Source]
    prefix: str
    home: Path | None = None
    format: str = ""
    source: Source | None = None
    parts: tuple[Part, ...] = ()
    bad: dict[int, str] = field(default_factory=dict)
    decoded: dict[tuple[int, tuple[Path, ...]], tuple[tuple[int, int], DecodedCrops]] = field(default_factory=dict)


def check_dataset(dataset: object, schema: Schema) -> None:
    """Raises InputError for what is no data set, such as its path; DataError for one of another schema."""
    check = getattr(dataset, "check_schema", None)
    if check is None:
        raise InputError(
            "not a data set. Valid: a FaceDataset, as facefeat.data.load_dataset(PATH) returns. "
            f"Received: {type(dataset).__name__}."
        )
    check(schema)


class FaceDataset:
    """A labelled set of pictures; made by `load_dataset`. Splits share their parent's crops.

    Pictures that prove undecodable when `crops` reads them leave the table (of all splits) and join `skipped`; so take
    labels after crops. `fingerprint` is of the list before that, and does not change.
    """

    def __init__(self, shared: _Shared, rows: NDArray[np.int64] | None = None) -> None:
        self._shared = shared
        self._listed = np.arange(len(shared.table)) if rows is None else rows
        self._table: tuple[int, pd.DataFrame] | None = None
        self._fingerprint: str | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{split} {n:,}" for split, n in self.splits.items())
        return f"<FaceDataset {self.name}: {len(self):,} rows ({counts}), schema {self.schema.name}>"

    def check_schema(self, schema: Schema) -> None:
        """Raises DataError unless its attributes and classes are those of `schema`."""
        ours, theirs = (
            {n: (a.kind, a.classes, dict(a.options)) for n, a in s.attributes.items()} for s in (schema, self.schema)
        )
        if ours != theirs:
            raise DataError(
                f"the data set {self.name!r} has the schema {self.schema.name!r}, the model {schema.name!r}: "
                f"{theirs} is not {ours}. Import the data with the model's schema."
            )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def _rows(self) -> NDArray[np.int64]:
        bad = self._shared.bad
        return self._listed[~np.isin(self._listed, list(bad))] if bad else self._listed

    @property
    def name(self) -> str:
        """ "utkface", "fairface", or the name of the CSV file."""
        return self._shared.name

    @property
    def schema(self) -> Schema:
        """The attributes, their classes and years."""
        return self._shared.schema

    @property
    def licence(self) -> str:
        """What the data's publisher allows."""
        return self._shared.licence

    @property
    def parts(self) -> tuple[Part, ...]:
        """The data sets that it was joined from; empty for one."""
        return self._shared.parts

    def part_numbers(self) -> NDArray[np.int64]:
        """(N,) int64: the position in `parts` of each row's data set; zeros where there are none."""
        if not self.parts:
            return np.zeros(len(self), np.int64)
        at = {p.name: i for i, p in enumerate(self.parts)}
        return np.asarray([at[str(f).partition("/")[0]] for f in self.table["file"]], np.int64)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Every row and picture that could not be used, of the whole data set, with the reason."""
        files = self._shared.table["file"]
        return (*self._shared.skipped, *(Skipped(str(files.iloc[r]), why) for r, why in self._shared.bad.items()))

    @property
    def table(self) -> pd.DataFrame:
        """file, split, and the columns of each attribute's kind: its class or list of classes ("" where unknown), its
        number (NaN where unknown), and for exact years `NAME_years`. Labels that are no single class are text in
        `NAME:soft`, where there are any. Change a copy, not this one."""
        if self._table is None or self._table[0] != len(self._shared.bad):
            self._table = (len(self._shared.bad), self._shared.table.iloc[self._rows].reset_index(drop=True))
        return self._table[1]

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of rows."""
        return {str(k): int(v) for k, v in self.table["split"].value_counts().sort_index().items()}

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Attribute -> group -> number of rows, in the schema's order; "" counts the unknown where there are any."""
        out: dict[str, dict[str, int]] = {}
        for name, members in self.members().items():
            attribute = self.schema[name]
            out[name] = dict(zip(attribute.groups, members.sum(axis=0).tolist(), strict=True))
            unknown = int((~members.any(axis=1)).sum())
            if unknown:
                out[name][""] = unknown
        return out

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of files, splits and labels: the same on every machine, wherever the pictures lie."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self._shared.table.iloc[self._listed], self.schema)
        return self._fingerprint

    def split(self, name: str) -> FaceDataset:
        """The rows of one split. Raises DataError where there is no such split."""
        table_splits = self._shared.table["split"].to_numpy()[self._listed]
        chosen = self._listed[table_splits == split_name(name)]
        if not len(chosen):
            raise DataError(f"data set {self.name!r} has no such split. {did_you_mean(name, self.splits)}")
        return FaceDataset(self._shared, chosen)

    def take(self, rows: ArrayLike) -> FaceDataset:
        """The rows at these positions of `table`, in this order. Raises DataError where there is none."""
        chosen = self._rows[np.asarray(rows, None if np.size(rows) else np.int64)]
        if not len(chosen):
            raise DataError(f"no row of data set {self.name!r} was taken")
        return FaceDataset(self._shared, chosen)

    def with_table(self, table: pd.DataFrame, note: str) -> Import:
        """The same pictures with another table: its rows and labels, and a sentence on what changed. To be written."""
        from facefeat.data.importers import Import

        shared = self._shared
        source = shared.source or shared.open()
        listed = (*shared.skipped, *self.skipped[len(shared.skipped) :])
        return Import(shared.name, shared.format, shared.schema, table, listed, source, shared.prefix, shared.licence,
                      (note,))  # fmt: skip

    def targets(self) -> dict[str, FloatArray]:
        """Attribute -> (N, T) float32, the labels as numbers in the form of its kind; NaN where unknown."""
        out = {}
        for name, a in self.schema.attributes.items():
            columns = {c: self.table[c].to_numpy() for c in a.strategy.stored(a)}
            out[name] = a.strategy.targets(a, columns)
        return out

    def soft_targets(self) -> dict[str, FloatArray]:
        """Attribute -> (N, M) float32, the labels that are no single class, over the outputs of a head; zeros for a
        face without such. Attributes without any are left out. The rows: `AttributeKind`."""
        out = {}
        for name, attribute in self.schema.attributes.items():
            texts = [str(t) for t in self.table[name + SOFT]] if name + SOFT in self.table else []
            if any(texts):
                rows = {t: soft_row(attribute, t) for t in dict.fromkeys(texts) if t}
                rows[""] = np.zeros(attribute.outputs, "float32")
                out[name] = np.stack([rows[t] for t in texts])
        return out

    def members(self) -> dict[str, NDArray[np.bool_]]:
        """Attribute -> (N, groups) bool: the `groups` that each face is in, several of a list of classes, none where
        unknown."""
        return {
            name: self.schema[name].strategy.members(self.schema[name], targets)
            for name, targets in self.targets().items()
        }

    def labels(self) -> dict[str, NDArray[np.int32]]:
        """Attribute -> (N,) int32 positions in its `groups`, its classes in most cases; -1 where unknown, or where a
        face is in several."""
        return {
            name: np.where(members.sum(axis=1) == 1, members.argmax(axis=1), -1).astype("int32")
            for name, members in self.members().items()
        }

    def numbers(self) -> dict[str, FloatArray]:
        """Attribute -> (N,) float32 exact labels, such as ages in years; NaN where unknown or without such."""
        targets = self.targets()
        return {name: a.strategy.numbers(a, targets[name]) for name, a in self.schema.attributes.items()}

    def years(self) -> FloatArray:
        """(N,) float32: exact ages in years; NaN where unknown, and for all rows where the schema has no exact age."""
        age = self.schema.age
        return np.full(len(self), np.nan, "float32") if age is None else self.numbers()[age.name]

    def crops(
        self, size: int, cache_dir: str | os.PathLike[str] | None = None, progress: Progress | None = None
    ) -> CropView:
        """(N, S, S, 3) uint8 crops of the rows of `table`: decoded once, then read from a memory-mapped file.

        size: S in pixels. cache_dir: where that file lies; else $FACEFEAT_CACHE, `cache` in the imported folder, or the
        system's cache folder, whichever can be written first. progress: called with (pictures done, in all).
        Pictures that cannot be decoded are skipped with one warning that names them. Raises DataError where the source
        has moved, no picture can be read, or nowhere has room; InputError for an impossible size.
        """
        shared = self._shared
        decoded = self._decoded(size, self._cache_dirs(cache_dir), progress)
        new = {r: why for r, why in decoded.bad.items() if r not in shared.bad}
        if new:
            shared.bad.update(new)
            files = [str(shared.table["file"].iloc[r]) for r in list(new)[:5]]
            more = f" and {len(new) - 5:,} more" if len(new) > 5 else ""
            warnings.warn(
                f"{len(new):,} pictures of {self.name!r} cannot be read and are skipped: {', '.join(files)}{more}",
                stacklevel=2,
            )
        if not len(self):
            raise DataError(f"no picture of this part of data set {self.name!r} can be read")
        return decoded.view.rows(self._rows)

    def _decoded(self, size: int, folders: Sequence[Path], progress: Progress | None) -> DecodedCrops:
        """All rows' crops; those of the last call where their file has not been touched since."""
        from facefeat.data.crops import decoded_crops

        shared, key = self._shared, (size, tuple(folders))
        if key in shared.decoded and shared.decoded[key][0] == _touched(shared.decoded[key][1].view.path):
            return shared.decoded[key][1]
        if shared.source is None:
            shared.source = shared.open()
        names = [shared.prefix + f for f in shared.table["file"]]
        decoded = decoded_crops(shared.source, names, size, folders, progress)
        shared.decoded[key] = (_touched(decoded.view.path), decoded)
        return decoded

    def _cache_dirs(self, cache_dir: str | os.PathLike[str] | None) -> list[Path]:
        from facefeat.utils.machine import cache_dir as user_cache_dir

        if cache_dir is not None:
            return [Path(cache_dir)]
        user = user_cache_dir()
        if os.environ.get("FACEFEAT_CACHE") or self._shared.home is None:
            return [user]
        return [self._shared.home / "cache", user]


def _touched(path: Path) -> tuple[int, int]:
    """Size and time of the last change; zeros where the file is gone."""
    try:
        info = path.stat()
    except OSError:
        return (0, 0)
    return (info.st_size, info.st_mtime_ns)
