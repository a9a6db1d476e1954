"""Several data sets as one, in memory: labels that one lacks stay unknown, splits and pictures stay where they are.

A file of the joined data set is "PART/FILE". What a face's own data set says in other classes, or more coarsely, is
read anew by the joined schema.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from facefeat.data.collect import Collector, Skipped, check_schema
from facefeat.data.dataset import FaceDataset, Part, _Shared
from facefeat.data.imported import most_exact
from facefeat.data.importers import NONE_RENAMED
from facefeat.data.labels import SOFT, Renamed
from facefeat.data.sources import Source
from facefeat.errors import DataError, ImageError
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.schema import Schema


@dataclass(frozen=True)
class JoinedSource:
    """A `Source` of several: "PART/FILE" is FILE of that part.

    parts: name -> (source, what stands before its files).
    """

    parts: Mapping[str, tuple[Source, str]]
    kind = "joined"

    @property
    def path(self) -> Path:
        """That of the first."""
        return next(iter(self.parts.values()))[0].path

    @property
    def sequential(self) -> bool:
        """Whether it is of any of them."""
        return any(source.sequential for source, _ in self.parts.values())

    def names(self) -> list[str]:
        """Every file of all."""
        return [
            f"{part}/{name.removeprefix(prefix)}"
            for part, (source, prefix) in self.parts.items()
            for name in source.names()
            if name.startswith(prefix)
        ]

    def _found(self, name: str) -> tuple[Source, str] | None:
        part, _, file = name.partition("/")
        if part not in self.parts:
            return None
        source, prefix = self.parts[part]
        return source, prefix + file

    def has(self, name: str) -> bool:
        """Whether the part has the file."""
        found = self._found(name)
        return found is not None and found[0].has(found[1])

    def position(self, name: str) -> int:
        """Of one part after the other."""
        found = self._found(name)
        return (
            0 if found is None else (list(self.parts).index(name.partition("/")[0]) << 48) + found[0].position(found[1])
        )

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises ImageError."""
        found = self._found(name)
        if found is None:
            raise ImageError(f"no such picture: {name!r}")
        return found[0].read(found[1])

    def stamp(self, names: Sequence[str]) -> str:
        """Those of the parts."""
        files: dict[str, list[str]] = {part: [] for part in self.parts}
        for name in names:
            part, _, file = name.partition("/")
            files[part].append(self.parts[part][1] + file)
        return "\n".join(f"{part}:{self.parts[part][0].stamp(listed)}" for part, listed in files.items())


@dataclass(frozen=True)
class Reading:
    """How the labels of a data set are read.

    renamed: attribute -> label -> what it means. trust: attribute -> the probability that its labels are right; the
    rest lies evenly on the other classes; 0 leaves the attribute out. error: attribute with years -> how far off its
    labels are, the standard deviation in years. Both are for labels that do not say it themselves, and for training
    only: what is measured is the label.
    """

    renamed: Renamed = field(default_factory=dict)
    trust: Mapping[str, float] = field(default_factory=dict)
    error: Mapping[str, float] = field(default_factory=dict)


PLAIN = Reading()


def join(
    datasets: Sequence[FaceDataset], parts: Sequence[Part], schema: Schema, readings: Sequence[Reading] = ()
) -> FaceDataset:
    """One data set of several, each a part with a name of its own. readings: one for each.

    Raises DataError where a data set does not fit the schema (`fitted`), or has no label of it.
    """
    pd = import_pandas()
    check_schema(schema)
    tables, skipped, open_parts = [], [], {}
    for dataset, part, reading in zip(datasets, parts, readings or [PLAIN] * len(parts), strict=True):
        table, left_out = fitted(dataset, schema, reading.renamed, part.name)
        table = _trusted(table, schema, reading)
        if not _labelled(table, schema):
            raise DataError(f"the data set {part.name!r} has no label that a model of schema {schema.name!r} reads.")
        tables.append(table.assign(file=[f"{part.name}/{f}" for f in table["file"]]))
        skipped += [Skipped(f"{part.name}/{s.file}", s.reason) for s in (*dataset.skipped, *left_out)]
        open_parts[part.name] = dataset.with_table(dataset.table, "")
    source = JoinedSource({name: (found.source, found.prefix) for name, found in open_parts.items()})
    whole = pd.concat(tables, ignore_index=True)
    whole = whole.fillna({c: "" for c in whole.columns if c.endswith(SOFT)})
    licence = "; ".join(dict.fromkeys(part.licence for part in parts))
    name = "+".join(part.name for part in parts)
    return FaceDataset(
        _Shared(name, schema, licence, whole, tuple(skipped), lambda: source, "", format="joined", parts=tuple(parts))
    )


def _trusted(table: pd.DataFrame, schema: Schema, reading: Reading) -> pd.DataFrame:
    """The table with soft labels for those that are not trusted, and without those that are not at all."""
    table = table.copy()
    for name in {**reading.trust, **reading.error}:
        attribute, column = schema[name], name + SOFT
        trust, error = reading.trust.get(name, 1.0), reading.error.get(name, 0.0)
        stored = attribute.strategy.stored(attribute)
        if not trust:
            for c in stored:
                table[c] = "" if attribute.classes and c == name else math.nan
            table = table.drop(columns=column, errors="ignore")
            continue
        said = [str(t) for t in table[column]] if column in table else [""] * len(table)
        rows = [{k: _text(v) for k, v in row.items()} for row in table[list(stored)].to_dict("records")]
        labels = [most_exact(row, attribute) for row in rows]
        how = f" +-{error:g}" if error else f" {trust:g}"
        table[column] = [old or (label + how if label else "") for old, label in zip(said, labels, strict=True)]
    return table


def _labelled(table: pd.DataFrame, schema: Schema) -> bool:
    found = [c for n, a in schema.attributes.items() for c in (*a.strategy.stored(a), n + SOFT) if c in table]
    return any(_text(v) for c in found for v in table[c].unique())


def fitted(
    dataset: FaceDataset, schema: Schema, renamed: Renamed = NONE_RENAMED, called: str = ""
) -> tuple[pd.DataFrame, tuple[Skipped, ...]]:
    """The table of a data set in the columns of another schema, "" and NaN where it has no label, and rows left out.

    An attribute of other classes is read anew, label by label: a range of years may become several classes of which it
    is one. called: the data set in messages.
    Raises DataError where it has none of the attributes, or many labels that are none of the schema.
    """
    ours = dataset.schema.attributes
    shared = [n for n in schema.attributes if n in ours]
    if not shared:
        raise DataError(
            f"the data set {called or dataset.name!r} has none of the attributes of schema {schema.name!r}: "
            f"{', '.join(schema.attributes)}. It has: {', '.join(ours)}."
        )
    table = dataset.table
    if not renamed and all(ours[n].meaning == schema[n].meaning for n in shared):
        return _in_columns(table, schema, shared), ()
    rows = Collector(schema, missing_ok=True, renamed=renamed)
    for row in table.to_dict("records"):
        said = {k: _text(v) for k, v in row.items()}
        soft = {n + SOFT: said.get(n + SOFT, "") for n in shared}
        rows.add(said["file"], said["split"], soft | {n: most_exact(said, ours[n]) for n in shared})
    if rows.mismatch() or not len(rows):
        wrong = next((n for n in shared if ours[n].meaning != schema[n].meaning), shared[0])
        raise DataError(
            f"{wrong!r} of the data set {called or dataset.name!r} is not that of schema {schema.name!r}: "
            f"{rows.mismatch()} Next: facefeat data import SOURCE --schema with the schema that all are to have"
        )
    return rows.frame(), tuple(rows.skipped)


def _in_columns(table: pd.DataFrame, schema: Schema, shared: Sequence[str]) -> pd.DataFrame:
    out = table[["file", "split"]].copy()
    for name, attribute in schema.attributes.items():
        for column in attribute.strategy.stored(attribute):
            empty = "" if attribute.classes and column == name else math.nan
            out[column] = table[column] if name in shared else empty
        if name in shared and name + SOFT in table:
            out[name + SOFT] = table[name + SOFT]
    return out


def _text(value: object) -> str:
    """A cell of a data set's table as a user would write it."""
    if isinstance(value, float):
        return "" if math.isnan(value) else format(value, ".9g")
    return str(value)


def part_names(names: Sequence[str]) -> list[str]:
    """A folder name for each, no two alike."""
    from facefeat.utils.text import one_line

    found: list[str] = []
    for name in names:
        plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in one_line(name, 60)) or "data"
        found.append(plain if plain not in found else f"{plain}-{len(found) + 1}")
    return found
