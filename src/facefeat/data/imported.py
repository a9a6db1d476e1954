"""An imported data set on disk: `dataset.json`, `faces.csv` and `skipped.csv`. The pictures stay where they are."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.data.collect import Collector, Skipped
from facefeat.data.dataset import FaceDataset, _Shared
from facefeat.data.decode import decode_all
from facefeat.data.importers import Import, Progress, read_raw
from facefeat.data.labels import SOFT, Renamed
from facefeat.data.sources import Source, open_source
from facefeat.data.splitting import near_duplicates, picture_hash
from facefeat.data.tables import read_table
from facefeat.errors import DataError, ImageError
from facefeat.schema import Attribute, Schema, get_schema
from facefeat.utils.atomic import check_writable, temporary_folder, unwritable
from facefeat.utils.csv_rows import ENDING, LineFeeds, csv_writer
from facefeat.utils.files import expanded, read_json

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1


def load_dataset(
    path: str | os.PathLike[str],
    schema: str | Path | Schema | None = None,
    splits: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    *,
    format: str = "auto",
    root: str | os.PathLike[str] | None = None,
    labels: Renamed | None = None,
) -> FaceDataset:
    """A data set from a folder that `facefeat data import` wrote, or directly from a download or CSV file.

    schema: name, .toml file or Schema; by default what the format has. splits: a CSV file with the columns file and
    split. progress: called with (rows done, in all). format: "auto", "utkface", "fairface" or "csv". root: the folder
    or archive that a CSV file's names start from (by default the folder it lies in). labels: attribute -> a label of a
    download or CSV file -> the schema's label that it means, or a list of those of which it is one.
    Raises DataError where there is nothing usable; SchemaError or InputError for an argument that is not valid.
    """
    place = expanded(path)
    chosen = None if schema is None else get_schema(schema)
    if (place / "dataset.json").is_file() or (place.name == "dataset.json" and place.is_file()):
        return _load_imported(place if place.is_dir() else place.parent, chosen, splits is not None or root is not None)
    found = read_raw(place, chosen, _path(splits), progress, format, _path(root), labels or {})
    if found.repaired:
        warnings.warn(f"{place}: {found.repaired}", stacklevel=2)
    return as_dataset(found)


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else expanded(value)


def as_dataset(found: Import) -> FaceDataset:
    """The data set of an import that stays in memory."""
    return FaceDataset(
        _Shared(
            found.name,
            found.schema,
            found.licence,
            found.table,
            found.skipped,
            lambda: found.source,
            found.prefix,
            format=found.format,
        )
    )


def check_pictures(found: Import, progress: Progress | None = None) -> Import:
    """The import without the pictures that cannot be decoded: these join the skipped. Reads every picture once.

    Raises DataError where none is left.
    """
    from facefeat.image.align import open_image

    def work(data: bytes) -> bytes:
        return picture_hash(open_image(data))

    files = [str(f) for f in found.table["file"]]
    names = [found.prefix + f for f in files]
    read = dict(decode_all(found.source, names, work, progress))
    bad = {i: str(r) for i, r in read.items() if isinstance(r, ImageError)}
    hashes = {i: r for i, r in read.items() if isinstance(r, bytes)}
    at = sorted(hashes) if found.people is not None else []
    copies = [[files[at[k]] for k in group] for group in near_duplicates([hashes[i] for i in at])]
    if not bad:
        return found.regrouped(copies)
    if len(bad) == len(names):
        raise DataError(f"none of the {len(names):,} pictures can be read. The first: {names[0]}: {bad[0]}.")
    skipped = [Skipped(str(found.table["file"].iloc[i]), bad[i]) for i in sorted(bad)]
    table = found.table.drop(index=list(bad)).reset_index(drop=True)
    return replace(found, table=table, skipped=(*found.skipped, *skipped)).regrouped(copies)


def check_dataset_output(output: str | os.PathLike[str]) -> Path:
    """Whether `write_dataset` would write there, checked before the pictures are read; gives its path.

    Raises DataError where it is a file, holds other things or, as far as that can be known, cannot be written.
    """
    folder = expanded(output)
    try:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{str(folder)!r} is a file. Choose another --output, a new or empty folder.")
        if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
            raise DataError(f"{str(folder)!r} is not empty and not an imported data set. Choose another --output.")
    except OSError as e:
        raise unwritable(folder, e, DataError) from None
    check_writable(folder, DataError)
    return folder


def write_dataset(found: Import, output: str | os.PathLike[str]) -> FaceDataset:
    """Write an import to a folder and load it from there. An earlier import there is replaced; its cache stays.

    Raises DataError where the folder holds other things or cannot be written.
    """
    folder = check_dataset_output(output)
    try:
        with temporary_folder(folder) as temporary:
            _write(found, temporary, folder)
            folder.mkdir(exist_ok=True)
            # dataset.json goes first and comes last: a folder without it is no data set, so nothing is half-written.
            (folder / "dataset.json").unlink(missing_ok=True)
            for name in ("faces.csv", "skipped.csv", "dataset.json"):
                os.replace(temporary / name, folder / name)
    except OSError as e:
        raise unwritable(folder, e, DataError) from None
    return load_dataset(folder)


def _is_ours(folder: Path) -> bool:
    names = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
    return "dataset.json" in names or names <= {"faces.csv", "skipped.csv", "cache", "crops"}


def _write(found: Import, temporary: Path, folder: Path) -> None:
    dataset = as_dataset(found)
    about = {
        "format_version": FORMAT_VERSION,
        "name": found.name,
        "format": found.format,
        "licence": found.licence,
        "schema": found.schema.to_dict(),
        "source": {
            "kind": found.source.kind,
            "path": _relative_to(found.source.path, folder),
            "absolute": found.source.path.absolute().as_posix(),
            "prefix": found.prefix,
        },
        "rows": len(dataset),
        "splits": dataset.splits,
        "counts": dataset.counts,
        "skipped": len(found.skipped),
        "fingerprint": dataset.fingerprint,
        "notes": [*found.notes, *([found.repaired] if found.repaired else [])],
    }
    with (temporary / "faces.csv").open("w", encoding="utf-8", newline="") as f:
        found.table.to_csv(LineFeeds(f), index=False, lineterminator=ENDING)
    with (temporary / "skipped.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as f:
        writer = csv_writer(f)
        writer.writerow(("file", "reason"))
        writer.writerows((s.file, s.reason) for s in found.skipped)
    text = json.dumps(about, indent=2, ensure_ascii=False)
    if not text.isascii() and text.encode("utf-8", "replace").decode() != text:  # a folder whose name is not UTF-8
        text = json.dumps(about, indent=2)
    (temporary / "dataset.json").write_text(f"{text}\n", "utf-8")


def _relative_to(path: Path, folder: Path) -> str | None:
    try:
        return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive, on Windows
        return None


def _other_classes(ours: Schema, theirs: Schema) -> str:
    """A clause on attributes that both have with other classes; "" for none."""
    names = [n for n, a in ours.attributes.items() if n in theirs.attributes and a.classes != theirs[n].classes]
    return f" (other classes of {', '.join(names)})" if names else ""


def _load_imported(folder: Path, schema: Schema | None, other: bool) -> FaceDataset:
    about = _about(folder)
    try:
        own = Schema.from_dict(about["schema"])
        source, name, licence = dict(about["source"]), str(about["name"]), str(about["licence"])
        prefix, rows, digest = str(source["prefix"]), int(about["rows"]), str(about["fingerprint"])
    except (KeyError, TypeError, ValueError) as e:
        raise DataError(
            f"{str(folder / 'dataset.json')!r} is not what `facefeat data import` writes ({e}). {_AGAIN}"
        ) from None
    if schema is not None and schema.meaning != own.meaning:
        raise DataError(
            f"{str(folder)!r} has the labels of schema {own.name!r} ({_listed(own)}), but schema {schema.name!r} "
            f"({_listed(schema)}) is asked for{_other_classes(own, schema)}. Next: --preset, with a model of schema "
            f'{own.name!r}; to train one, a recipe with schema = "data", such as finetune-head, or with the schema\'s '
            f"file. Where {schema.name!r} is what you want, import SOURCE with that --schema into another folder."
        )
    if other:
        raise DataError(f"{str(folder)!r} is imported already: splits and root are for `facefeat data import`.")
    table = _faces(folder / "faces.csv", own)
    skipped: tuple[Skipped, ...] = ()
    if (folder / "skipped.csv").is_file():
        listed = read_table(folder / "skipped.csv")
        skipped = tuple(Skipped(row.get("file", ""), row.get("reason", "")) for _, row in listed.rows)
    outside = about.get("format") == "csv"  # only a user's own table may name files anywhere
    shared = _Shared(name, own, licence, table, skipped, lambda: _open(folder, name, source, outside), prefix, folder,
                     str(about.get("format", "")))  # fmt: skip
    dataset = FaceDataset(shared)
    if dataset.fingerprint != digest:
        warnings.warn(
            f"{str(folder / 'faces.csv')!r} was changed after the import ({rows:,} rows then, {len(dataset):,} now)."
            " If that was not you: import again.",
            stacklevel=3,
        )
    return dataset


def _listed(schema: Schema) -> str:
    return ", ".join(schema.attributes)


_AGAIN = "Run `facefeat data import SOURCE --output DIR` again."


def _about(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    try:
        about = read_json(path)
    except (OSError, ValueError) as e:
        raise DataError(f"cannot read {str(path)!r}: {e}. {_AGAIN}") from None
    version = about.get("format_version") if isinstance(about, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(f"{str(path)!r} has format version {version!r}; this facefeat reads {FORMAT_VERSION}. {_AGAIN}")
    return dict(about)


def _faces(path: Path, schema: Schema) -> pd.DataFrame:
    """faces.csv as the table. Raises DataError where a row is not usable: the import wrote usable ones only."""
    listed = read_table(path)
    listed.require(("file", "split", *schema.attributes))
    rows = Collector(schema, missing_ok=True)
    for _, row in listed.rows:
        labels = {n: most_exact(row, a) for n, a in schema.attributes.items()}
        rows.add(row["file"], row["split"], labels | {k: v for k, v in row.items() if k.endswith(SOFT)})
    if rows.skipped or listed.ragged:
        first = f"{rows.skipped[0].file}: {rows.skipped[0].reason}" if rows.skipped else listed.ragged[0][1]
        raise DataError(f"{str(path)!r} has rows that cannot be used. The first: {first}. {_AGAIN}")
    if not len(rows):
        raise DataError(f"{str(path)!r} lists no picture. {_AGAIN}")
    return rows.frame()


def most_exact(row: Mapping[str, str], attribute: Attribute) -> str:
    """The label of a row out of the last column of the attribute that has one."""
    return next((row[c] for c in reversed(attribute.strategy.stored(attribute)) if row.get(c)), "")


def _open(folder: Path, name: str, source: dict[str, Any], outside: bool) -> Source:
    """The pictures of an imported data set, found next to it or at their absolute path."""
    places = [folder / source["path"]] if source.get("path") else []
    places.append(Path(source["absolute"]))
    for place in places:
        if place.exists():
            return open_source(place, outside=outside)
    raise DataError(
        f"the pictures of data set {name!r} have moved: there is no {str(places[-1])!r}. Put them back, or import them"
        f" from where they are now: facefeat data import NEW_PLACE --output {folder}"
    )
