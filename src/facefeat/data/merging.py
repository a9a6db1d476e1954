"""Several data sets as one: labels that one lacks stay unknown, splits are kept, the pictures are copied together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facefeat.data.collect import Skipped
from facefeat.data.importers import Import
from facefeat.data.joining import fitted, part_names
from facefeat.data.labels import SOFT
from facefeat.data.sources import open_source
from facefeat.data.splitting import near_duplicates, picture_hash
from facefeat.errors import DataError, ImageError
from facefeat.utils.atomic import replace_folder, temporary_folder, unwritable
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    from facefeat.data.dataset import FaceDataset
    from facefeat.schema import Schema

FOLDER = "crops"
"""Of the pictures, in the folder of the merged data set."""


def merge_datasets(
    datasets: Sequence[FaceDataset],
    output: Path,
    schema: Schema | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Import:
    """Copy the pictures of all data sets to OUTPUT/crops, and their tables into one.

    schema: of the result, by default that of the first. A data set need not have all of its attributes: faces without
    a label add nothing to that attribute's loss. Near-duplicates across data sets are counted in the notes.

    Labels of other classes, or coarser ones such as years between two, are read anew by the schema (`data.joining`).
    Raises DataError where many of them are none of it, a data set has none of the attributes, or the pictures cannot be
    copied.
    """
    pd = import_pandas()
    target = schema or datasets[0].schema
    fits = [fitted(d, target) for d in datasets]
    tables = [table for table, _ in fits]
    total = sum(map(len, tables))
    names = part_names([d.name for d in datasets])
    hashes: list[bytes] = []
    owner: list[int] = []
    try:
        with temporary_folder(output / FOLDER) as temporary:
            new = temporary / FOLDER
            for number, (dataset, table, name) in enumerate(zip(datasets, tables, names, strict=True)):
                (new / name).mkdir(parents=True)
                files: list[str] = []
                found = dataset.with_table(dataset.table, "")
                for file in map(str, table["file"]):
                    copy = f"{name}/{len(files):06d}{Path(file).suffix.lower()}"
                    hashes.append(_copied(found, file, new / copy))
                    owner.append(number)
                    files.append(copy)
                    if progress:
                        progress(len(hashes), total)
                tables[number] = table.assign(file=files)
            replace_folder(new, output / FOLDER)
    except OSError as e:
        raise unwritable(output / FOLDER, e, DataError) from None
    whole = pd.concat(tables, ignore_index=True)
    soft = [c for c in whole.columns if c.endswith(SOFT)]
    whole = whole.fillna(dict.fromkeys(soft, ""))
    notes = [f"{len(t):,} faces of {n}" for t, n in zip(tables, names, strict=True)]
    return Import(
        name="+".join(names),
        format="csv",
        schema=target,
        table=whole,
        skipped=tuple(Skipped(f"{n}/{s.file}", s.reason) for n, (_, out) in zip(names, fits, strict=True) for s in out),
        source=open_source(output / FOLDER),
        prefix="",
        licence="; ".join(dict.fromkeys(d.licence for d in datasets)),
        notes=(*notes, *_shared_faces(hashes, owner, [str(s) for s in whole["split"]])),
    )


def _copied(found: Import, file: str, target: Path) -> bytes:
    """Copy a picture; its hash, of nothing where it cannot be decoded."""
    from facefeat.image.align import open_image

    try:
        data = found.source.read(found.prefix + file)
    except ImageError as e:
        raise DataError(f"{found.name}: {e}") from None
    target.write_bytes(data)
    try:
        return picture_hash(open_image(data))
    except ImageError:
        return bytes(40)


def _shared_faces(hashes: Sequence[bytes], owner: Sequence[int], splits: Sequence[str]) -> list[str]:
    """Sentences on pictures that are in more than one of the data sets."""
    groups = [g for g in near_duplicates(hashes) if len({owner[i] for i in g}) > 1]
    if not groups:
        return []
    apart = sum(len({splits[i] for i in g}) > 1 for g in groups)
    note = f"{len(groups):,} pictures are in more than one of them, or nearly the same"
    return [
        f"{note}; {apart:,} of these are in different splits: what is measured there is too good" if apart else note
    ]
