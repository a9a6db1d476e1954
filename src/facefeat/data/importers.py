"""From a download to the one table: FairFace, UTKFace and any CSV with a `file` column.

`read_raw` finds out which it is and gives an `Import`: what FaceDataset is made of. Nothing is decoded or copied here.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facefeat.data.collect import Collector, Skipped, Splits, split_name
from facefeat.data.labels import SOFT, LabelReader, Renamed, class_columns, repair_warning
from facefeat.data.sources import (
    FolderSource,
    Source,
    clean_name,
    find_prefix,
    is_inside,
    open_source,
)
from facefeat.data.splitting import SHARES, default_splits, merged, person_column
from facefeat.data.tables import Table, parse_table, read_table
from facefeat.errors import DataError, InputError, LabelError, did_you_mean
from facefeat.image.io import is_picture_name
from facefeat.schema import BUILTIN_SCHEMAS, Schema, get_schema
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("auto", "utkface", "fairface", "csv")
LICENCES = {
    "utkface": "UTKFace: non-commercial research purposes only",
    "fairface": "FairFace: CC BY 4.0",
    "csv": "the user's own data: not stated",
}
OWN = "(own)"
"""The split of a row until the splits are made."""
_SHARED = ", ".join(f"{share:.0%} {name}" for name, share in SHARES.items()) + ", with the same shares of each class"
Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""

NONE_RENAMED: Renamed = {}

_UTKFACE_NAME = re.compile(r"(\d{1,3})_(\d)_(\d)_\d")
_FAIRFACE_COLUMNS = ("file", "age", "gender", "race", "service_test")
_FAIRFACE_TABLE = re.compile(r"fairface_label_(train|val)\w*\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class Import:
    """A data set before its pictures are decoded.

    table: see FaceDataset.table. prefix: what stands before a file's name inside the source. notes: what the reader
    decided, one sentence each. repaired: one sentence on labels that a spreadsheet had damaged. mismatch: one on labels
    that the schema does not know, where they are many. Both may be "". people: file -> person, "" where unknown, for
    splits that are our own (`splitting`); None where the data have theirs.
    """

    name: str
    format: str
    schema: Schema
    table: pd.DataFrame
    skipped: tuple[Skipped, ...]
    source: Source
    prefix: str
    licence: str
    notes: tuple[str, ...] = ()
    repaired: str = ""
    mismatch: str = ""
    people: Mapping[str, str] | None = None

    def regrouped(self, copies: Sequence[Sequence[str]]) -> Import:
        """With near-duplicates, lists of files, in one split each, where the splits are our own."""
        if self.people is None or not copies:
            return self
        table = self.table.assign(split=default_splits(self.table, self.schema, merged(self.people, copies)))
        found = sum(len(files) for files in copies)
        note = f"{found:,} pictures are near-duplicates of another; those of one kind are in one split"
        return replace(self, table=table, notes=(*self.notes, note))


def read_raw(
    path: Path,
    schema: Schema | None = None,
    splits: Path | None = None,
    progress: Progress | None = None,
    format: str = "auto",
    root: Path | None = None,
    labels: Renamed = NONE_RENAMED,
) -> Import:
    """Read a download or a CSV file. labels: attribute -> a label in it -> what it means (`labels.Renamed`).

    Raises DataError where it is none, has no usable row, or many labels that the schema, where one is given, lacks.
    """
    if format not in FORMATS:
        raise InputError(f"no such format. {did_you_mean(format, FORMATS)}")
    if not path.exists():
        raise DataError(f"no such file or folder: {str(path)!r}")
    by = Splits(read_table(splits)) if splits is not None else None
    format = _detect(path) if format == "auto" else format
    if root is not None and format != "csv":
        raise InputError(f"a root is for CSV files only. Received: {str(root)!r} with format {format}.")
    if format == "utkface":
        found = _utkface(path, schema, by, progress, labels)
    elif format == "fairface":
        found = _fairface(path, schema, by, progress, labels)
    else:
        found = _csv(path, schema, by, progress, root, labels)
    if schema is not None and found.mismatch:
        own = f" (that of {format} data is {format!r})" if format in {*BUILTIN_SCHEMAS} - {schema.name} else ""
        raise DataError(
            f"{str(path)!r}: {found.mismatch} Next: correct them in the table (an empty "
            "cell is an unknown label), add them to the schema as classes or aliases, or take a schema that has "
            f"them{own}."
        )
    if not len(found.table):
        raise DataError(_nothing(path, found))
    return found


def _made(
    name: str,
    format: str,
    rows: Collector,
    source: Source,
    prefix: str,
    notes: Sequence[str],
    people: Mapping[str, str] | None = None,
) -> Import:
    table = rows.frame()
    if people is not None and len(table):
        table["split"] = default_splits(table, rows.schema, people)
    return Import(
        name=name,
        format=format,
        schema=rows.schema,
        table=table,
        skipped=tuple(rows.skipped),
        source=source,
        prefix=prefix,
        licence=LICENCES[format],
        notes=tuple(notes),
        repaired=repair_warning(rows.readers.values()),
        mismatch=rows.mismatch(),
        people=people,
    )


def _nothing(path: Path, found: Import) -> str:
    if not found.skipped:
        return f"{str(path)!r} lists no picture"
    first = found.skipped[0]
    looked = f"{found.source.path}/{found.prefix}"
    return (
        f"none of the {len(found.skipped):,} rows of {str(path)!r} can be used."
        f" The first: {first.file}: {first.reason.rstrip('.')}. Pictures were looked for in {looked!r}."
    )


def _detect(path: Path) -> str:
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return "fairface" if set(_FAIRFACE_COLUMNS) <= set(read_table(path).columns) else "csv"
    if path.is_dir() and _tables_of_folder(path):
        return "fairface"
    names = open_source(path).names()
    if any(_FAIRFACE_TABLE.fullmatch(n.rpartition("/")[2]) for n in names):
        return "fairface"
    pictures = [n for n in names if is_picture_name(n)]
    if pictures and 2 * sum(bool(_UTKFACE_NAME.match(n.rpartition("/")[2])) for n in pictures) >= len(pictures):
        return "utkface"
    if path.is_file() and _tables_next_to(path):
        return "fairface"
    if path.is_dir() and len(_csv_files(path)) == 1:
        return "csv"
    if not names:
        raise DataError(f"{str(path)!r} is empty. Valid: a folder, tar or zip of pictures, or a CSV file.")
    raise DataError(
        f"{str(path)!r} is not a data set that facefeat knows ({len(pictures):,} pictures, none named as in UTKFace; no"
        " fairface_label_*.csv; no single CSV file). Write a CSV file with a column 'file' and one per attribute, and"
        " give its path."
    )


def _csv_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.csv") if p.name not in ("splits.csv", "skipped.csv"))


# -- UTKFace ---------------------------------------------------------------------------------------------------------


def _utkface(
    path: Path, schema: Schema | None, splits: Splits | None, progress: Progress | None, labels: Renamed
) -> Import:
    schema = schema or get_schema("utkface")
    _needs(schema, ("age", "gender", "race"), "UTKFace")
    source = open_source(path)
    notes: list[str] = []
    files = [n for n in source.names() if is_picture_name(n) or _UTKFACE_NAME.match(n.rpartition("/")[2])]
    if not files:
        raise DataError(f"{str(path)!r} has no pictures. UTKFace's are named age_gender_race_date.jpg.chip.jpg.")
    prefix = _common_folder(files)
    files = [f.removeprefix(prefix) for f in files]
    if splits is None:
        splits = _splits_next_to(path, source, files)
        if splits is not None:
            notes.append(f"splits taken from {splits.where!r}")
        else:
            notes.append(f"no splits file: {_SHARED}")
    names = {a: get_schema("utkface")[a].classes for a in ("gender", "race")}
    rows = Collector(schema, renamed=labels)
    for done, file in enumerate(files):
        if progress and done % 2000 == 0:
            progress(done, len(files))
        match = _UTKFACE_NAME.match(file.rpartition("/")[2])
        if not match:
            rows.skip(file, "the name is not age_gender_race_date: a label is missing")
            continue
        age, gender, race = match.groups()
        try:
            found = {"age": age, "gender": names["gender"][int(gender)], "race": names["race"][int(race)]}
        except IndexError:
            rows.skip(file, f"gender {gender}, race {race}: gender must be 0 or 1, race 0 to 4")
            continue
        split = OWN if splits is None else splits.get(file)
        if split is None:
            rows.skip(file, f"not listed in {splits.where if splits else ''!r}")
            continue
        rows.add(file, split, found)
    if splits is not None:
        rows.skip_absent(splits, files)
    if progress:
        progress(len(files), len(files))
    return _made("utkface", "utkface", rows, source, prefix, notes, people={} if splits is None else None)


def _common_folder(files: Sequence[str]) -> str:
    folders = {f.rpartition("/")[0] for f in files}
    first = sorted(folders)[0].split("/")
    common: list[str] = []
    for part in first:
        trial = "/".join([*common, part])
        if not part or not all(f == trial or f.startswith(f"{trial}/") for f in folders):
            break
        common.append(part)
    return "/".join(common) + "/" if common else ""


def _splits_next_to(path: Path, source: Source, files: Sequence[str]) -> Splits | None:
    """splits.csv in the folder, next to it or next to the archive, if it has to do with these pictures."""
    places = [path / "splits.csv", path.parent / "splits.csv"] if path.is_dir() else [path.parent / "splits.csv"]
    for place in places:
        if place.is_file():
            splits = Splits(read_table(place))
            if any(splits.lists(f) for f in files):
                return splits
    return None


# -- FairFace --------------------------------------------------------------------------------------------------------


def _fairface(
    path: Path, schema: Schema | None, splits: Splits | None, progress: Progress | None, labels: Renamed
) -> Import:
    schema = schema or get_schema("fairface")
    _needs(schema, ("age", "gender", "race"), "FairFace")
    tables, source = _fairface_parts(path)
    listed: list[tuple[str, Mapping[str, str], Table]] = []
    rows = Collector(schema, renamed=labels)
    for table in tables:
        table.require(_FAIRFACE_COLUMNS[:4])
        listed += [(clean_name(row["file"]), row, table) for _, row in table.rows]
        for line, reason in table.ragged:
            rows.skip(f"{table.where}:{line}", reason)
    if not listed and not rows.skipped:
        raise DataError(f"{str(path)!r} lists no picture")
    prefix = find_prefix(source, [file for file, _, _ in listed])
    for done, (file, row, table) in enumerate(listed):
        if progress and done % 2000 == 0:
            progress(done, len(listed))
        if not is_inside(file):
            rows.skip(file or table.where, "the name leads outside the folder or archive of pictures")
        elif not source.has(prefix + file):
            rows.skip(file, "no such picture")
        elif splits is not None and not splits.lists(file):
            rows.skip(file, f"not listed in {splits.where!r}")
        else:
            rows.add(file, (splits.get(file) or "") if splits else _fairface_split(file, table), row)
    if progress:
        progress(len(listed), len(listed))
    return _made("fairface", "fairface", rows, source, prefix, [])


def _fairface_split(file: str, table: Table) -> str:
    first = file.split("/")[0].casefold()
    if first in ("train", "val"):
        return first
    match = _FAIRFACE_TABLE.search(Path(table.where).name)
    return match[1].casefold() if match else ""


def _tables_of_folder(folder: Path) -> list[Path]:
    """FairFace's label tables in a folder or one below it: by their names, else by their columns."""
    for places in ([folder], sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))):
        for place in places:
            files = sorted(place.glob("*.csv"))
            named = [f for f in files if _FAIRFACE_TABLE.fullmatch(f.name)]
            if named:
                return named
            if place == folder:
                like = [f for f in files if set(_FAIRFACE_COLUMNS) <= set(read_table(f).columns)]
                if like:
                    return like
    return []


def _tables_next_to(archive: Path) -> list[Path]:
    return sorted(f for f in archive.parent.glob("*.csv") if _FAIRFACE_TABLE.fullmatch(f.name))


def _fairface_parts(path: Path) -> tuple[list[Table], Source]:
    """The label tables and where the pictures are. Raises DataError where either is missing or not clear."""
    if path.is_dir() or path.suffix.lower() == ".csv":
        folder = path if path.is_dir() else path.parent
        files = _tables_of_folder(folder) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{str(path)!r} has no label tables: expected fairface_label_train.csv and ..._val.csv")
        tables = [read_table(f) for f in files]
        has_folder = any((p / s).is_dir() for s in ("train", "val") for p in [folder, *folder.glob("*/")])
        zips = [] if has_folder else sorted(folder.glob("*.zip"))
        if len(zips) > 1:
            raise DataError(
                f"{str(folder)!r} has several archives of pictures: {', '.join(z.name for z in zips)}. Give the path of"
                " the one to use."
            )
        return tables, open_source(zips[0] if zips else folder)
    source = open_source(path)
    inside = [n for n in source.names() if _FAIRFACE_TABLE.fullmatch(n.rpartition("/")[2])]
    if inside:
        return [parse_table(source.read(n), n) for n in inside], source
    near = _tables_next_to(path)
    if not near:
        raise DataError(
            f"no label tables in {str(path)!r} nor next to it: put fairface_label_train.csv and fairface_label_val.csv"
            f" into {str(path.parent)!r}"
        )
    return [read_table(f) for f in near], source


# -- any CSV ---------------------------------------------------------------------------------------------------------


def _csv(
    path: Path,
    schema: Schema | None,
    splits: Splits | None,
    progress: Progress | None,
    root: Path | None,
    labels: Renamed,
) -> Import:
    if path.is_dir():
        found = _csv_files(path)
        if len(found) != 1:
            names = ", ".join(p.name for p in found) or "none"
            raise DataError(f"{str(path)!r} must hold one CSV file. Found: {names}. Give the path of the one to use.")
        path = found[0]
    table = read_table(path)
    table.require(("file",))
    notes: list[str] = []
    if schema is None:
        schema = _fitting_schema(table)
        notes.append(f"read with schema {schema.name!r}, which fits its labels best; --schema chooses another")
    years = {a: f"{a}_years" for a, x in schema.attributes.items() if x.years and f"{a}_years" in table.columns}
    have = [
        a
        for a, x in schema.attributes.items()
        if a in table.columns or a in years or a + SOFT in table.columns or class_columns(x, table.columns)
    ]
    if not have:
        raise DataError(
            f"{str(path)!r} has no column for any attribute of schema {schema.name!r}. Expected:"
            f" {', '.join(schema.attributes)}. Found: {one_line(', '.join(table.columns))}. Next: facefeat data"
            " import with --schema FILE.toml, a schema with your columns (docs: Your labels in ten minutes)."
            f"{_near_column(schema, table.columns)}"
        )
    source = open_source(root or path.parent, outside=True)
    files = [_relative(row["file"], source) for _, row in table.rows]
    prefix = "" if isinstance(source, FolderSource) else find_prefix(source, files)
    people: dict[str, str] | None = {} if splits is None and "split" not in table.columns else None
    person = person_column(table.columns, schema)
    if people is not None:
        notes.append(f"no splits: {_SHARED}" + (f", the pictures of a {person!r} together" if person else ""))

    def exact(row: Mapping[str, str]) -> Mapping[str, str]:
        return {**row, **{a: row[column] or row.get(a, "") for a, column in years.items()}} if years else row

    rows = Collector(schema, missing_ok=True, columns=table.columns, renamed=labels)
    for line, reason in table.ragged:
        rows.skip(f"{path.name}:{line}", reason)
    for done, (file, (line, row)) in enumerate(zip(files, table.rows, strict=True)):
        if progress and done % 2000 == 0:
            progress(done, len(files))
        if not file:
            rows.skip(f"{path.name}:{line}", "no file name")
        elif not source.has(prefix + file):
            rows.skip(file, "no such picture")
        elif splits is not None and not splits.lists(file):
            rows.skip(file, f"not listed in {splits.where!r}")
        elif splits is not None:
            rows.add(file, splits.get(file) or "", exact(row))
        else:
            rows.add(file, split_name(row["split"]) if people is None else OWN, exact(row))
            if people is not None and person:
                people[file] = row[person]
    if progress:
        progress(len(files), len(files))
    return _made(path.stem, "csv", rows, source, prefix, notes, people)


def _near_column(schema: Schema, columns: Sequence[str]) -> str:
    """Which column is probably meant, where one attribute alone is wanted or a name is mistyped; else nothing."""
    for name in schema.attributes:
        near = difflib.get_close_matches(name, columns, n=1)
        if near:
            return f" Did you mean {name!r} by the column {near[0]!r}? Then rename it."
    return ""


def _relative(file: str, source: Source) -> str:
    """A file's name relative to the source where it lies in it, so that a moved folder keeps its fingerprint."""
    name = clean_name(file)
    root = source.path.resolve().as_posix()
    return name.removeprefix(f"{root}/") if name.startswith(f"{root}/") else name


def _fitting_schema(table: Table) -> Schema:
    """The built-in schema that reads most labels; where two read as many, the one that keeps ages in years."""
    scores: list[tuple[int, int, int, str]] = []
    for order, name in enumerate(BUILTIN_SCHEMAS):
        schema = get_schema(name)
        readers = {a: LabelReader(x) for a, x in schema.attributes.items() if a in table.columns}
        read = years = 0
        for _, row in table.rows:
            for attribute, reader in readers.items():
                if not row[attribute]:
                    continue
                try:
                    years += any(map(math.isfinite, reader.read(row[attribute])[1:]))
                    read += 1
                except LabelError:
                    continue
        scores.append((read, years, -order, name))
    return get_schema(max(scores)[3])


def _needs(schema: Schema, has: Sequence[str], what: str) -> None:
    unknown = [a for a in schema.attributes if a not in has]
    if unknown:
        raise DataError(
            f"{what} has no labels for {', '.join(map(repr, unknown))} of schema {schema.name!r}. It has:"
            f" {', '.join(has)}."
        )
