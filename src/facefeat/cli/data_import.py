"""`facefeat data import`: from a download or a CSV file to one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._show import Bar, progress, rows, say, warn
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    from facefeat.data import FaceDataset

FORMATS = ("auto", "utkface", "fairface", "csv")
SHOWN = 5
"""Skipped files that are named on the terminal; skipped.csv names all."""


@click.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the table.")
@click.option("--schema", metavar="NAME|FILE", help="fairface, utkface or a .toml file. Default: the format's own.")
@click.option("--splits", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV with file and split.")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="auto", show_default=True, help="The format of SOURCE."
)
@click.option("--root", type=click.Path(exists=True, path_type=Path), help="What a CSV's file names start from.")
@click.option("--check/--no-check", default=True, show_default=True, help="Read every picture once, skip the broken.")
@click.option("--detect", is_flag=True, help="The pictures are whole photos: cut the main face out of each, into "
              "OUTPUT/crops.")  # fmt: skip
@click.option(
    "--detector",
    default="centerface",
    show_default=True,
    metavar="NAME",
    help="With --detect: the detector that finds the faces.",
)
@click.option("--alignment", default="utkface", show_default=True, metavar="NAME", help="With --detect: the "
              "geometry of the crops, that of the recipe or preset they are for.")  # fmt: skip
def import_(
    source: Path,
    output: Path,
    schema: str | None,
    splits: Path | None,
    format_: str,
    root: Path | None,
    check: bool,
    detect: bool,
    detector: str,
    alignment: str,
) -> None:
    """Read SOURCE into OUTPUT/faces.csv, which `facefeat train` takes.

    SOURCE: FairFace (zip or folder with its label tables), UTKFace (tar or folder), or a CSV file with a column "file"
    and one per attribute. The pictures stay where they are, archives included. What cannot be used is skipped, counted
    and listed in OUTPUT/skipped.csv.
    """
    cut = (detector, alignment) if detect else None
    import_into(source, output, schema=schema, splits=splits, format_=format_, root=root, check=check, detect=cut)


def import_into(
    source: Path,
    output: Path,
    *,
    schema: str | None = None,
    splits: Path | None = None,
    format_: str = "auto",
    root: Path | None = None,
    check: bool = True,
    detect: tuple[str, str] | None = None,
) -> None:
    """What `facefeat data import` does. detect: detector and alignment, where faces are cut out of whole photos."""
    from facefeat.cli._detect import cut_faces, warn_of_photos
    from facefeat.data import check_dataset_output, check_pictures, read_raw, write_dataset
    from facefeat.schema import get_schema

    check_dataset_output(output)
    chosen = None if schema is None else get_schema(schema)
    with _bar("reading labels") as step:
        found = read_raw(source, chosen, splits, step, format_, root)
    if detect is not None:
        with _bar("finding faces") as step:
            found = cut_faces(found, output, *detect, step)
    if check:
        with _bar("reading pictures") as step:
            found = check_pictures(found, step)
    dataset = write_dataset(found, output)
    if found.repaired:
        warn(found.repaired)
    _summary(dataset, found.notes, output)
    if detect is None and check:
        warn_of_photos(dataset, "Next: the same command with --detect")


@contextmanager
def _bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, as the callback (done, in all) that the data room takes: how many there are is known later."""
    with ExitStack() as stack:
        bar: Bar | None = None
        before = 0

        def step(done: int, total: int) -> None:
            nonlocal bar, before
            if bar is None:
                bar = stack.enter_context(progress(description, total))
            bar.advance(done - before, description)
            before = done

        yield step


def _summary(dataset: FaceDataset, notes: tuple[str, ...], output: Path) -> None:
    splits = ", ".join(f"{name} {n:,}" for name, n in dataset.splits.items())
    say(f"{dataset.name}: {len(dataset):,} face{'s' * (len(dataset) != 1)} ({splits}), schema {dataset.schema.name}")
    for note in notes:
        say(note)
    say()
    by_split = {name: dataset.split(name).counts for name in dataset.splits}
    lines = []
    for attribute, classes in dataset.counts.items():
        for label, total in classes.items():
            numbers = [total, *(counts[attribute].get(label, 0) for counts in by_split.values())]
            lines.append([attribute, label or "(unknown)", *(f"{n:,}" for n in numbers)])
    rows(("Attribute", "Class", "Faces", *by_split), lines)
    say()
    if dataset.skipped:
        _skipped(dataset, output)
    say(f"Licence: {dataset.licence}")
    say(f"Written to {output}. Next: facefeat train --recipe finetune-head --data {output} --output DIR")


def _skipped(dataset: FaceDataset, output: Path) -> None:
    say(f"Skipped {len(dataset.skipped):,}:")
    for skipped in dataset.skipped[:SHOWN]:
        say("  " + one_line(f"{skipped.file}: {skipped.reason}", 1000))
    if len(dataset.skipped) > SHOWN:
        kinds = Counter(s.reason.split(":")[0].split(". ")[0] for s in dataset.skipped).most_common(3)
        listed = "; ".join(f"{reason} ({n:,})" for reason, n in kinds)
        say(f"  ... all of them in {output / 'skipped.csv'}. Most: {listed}")
