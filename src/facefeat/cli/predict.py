"""`facefeat predict`: photos in, every face's attributes out."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from facefeat.cli._annotate import Annotator
from facefeat.cli._inputs import check_model, expand
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._numbers import Finite
from facefeat.cli._overwrite import check_new
from facefeat.cli._results import CsvWriter, JsonWriter, Writer, terminal_writer
from facefeat.cli._show import Escaping, progress, warn
from facefeat.cli._sources import is_file_name, read_source
from facefeat.errors import ImageError, InputError
from facefeat.utils.atomic import atomic_file, check_writable
from facefeat.utils.files import nearest_file

if TYPE_CHECKING:
    from facefeat import FaceFeatureModel
    from facefeat.types import ImageLike, ImageResult

CHUNK = 16
"""Photos read at once: what the detector takes in one batch."""


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--detector", metavar="NAME", help="centerface (default), mtcnn, whole-image for crops, or a plugin's.")
@click.option("--min-score", metavar="P", type=Finite(0, 1), default=0.0, help="Leave out faces of which the "
              "detector is less sure than P.")  # fmt: skip
@click.option(
    "--min-confidence",
    metavar="P",
    type=Finite(0, 1),
    default=0.0,
    help='Say "unsure" in place of an answer less probable than P, such as 0.8.',
)
@click.option("--min-quality", metavar="Q", type=Finite(0, 1), default=0.0, help='Say "unsure", and why, for faces of '
              "a quality below Q, such as 0.5. [default: what the model was calibrated for]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one item per photo.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one row per face, with every probability.")
@click.option(
    "--annotate", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Draw on copies, saved in DIR."
)
@click.option("--output", "-o", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write .csv or "
              ".json to this file, not to the terminal.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace FILE, or copies of an earlier --annotate.")
@runtime_options
@click.pass_context
def predict(
    ctx: click.Context,
    inputs: tuple[str, ...],
    preset: str | None,
    detector: str | None,
    min_score: float,
    min_confidence: float,
    min_quality: float,
    as_json: bool,
    as_csv: bool,
    annotate: Path | None,
    output: Path | None,
    overwrite: bool,
) -> None:
    """Age, gender and race of every face in photos.

    INPUT is a photo, a folder (searched with its subfolders), a glob such as "album/**/*.jpg", an address (https://...),
    or - for a photo on standard input. Exits with 0 where all were read, 1 where some failed (each is named on standard
    error), 2 for wrong usage.
    """
    if output is not None:
        as_json, as_csv = _format_of(output, as_json, as_csv)
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other. Give one of them.")
    if not inputs:
        raise click.UsageError("no photo given. Valid: files, folders or globs, such as: facefeat predict photo.jpg")
    found = expand(inputs)
    if not found.files:
        raise InputError(" ".join(found.complaints))
    for complaint in found.complaints:
        warn(complaint)
    if found.copies:
        warn(f"{found.copies:,} annotated copies of an earlier run are left out")
    check_model(preset, detector)
    if output is not None:
        check_new(output, overwrite)
        check_writable(output)
    marker = None if annotate is None else Annotator(annotate, found.files, found.below, overwrite)
    # Whatever Keras, a detector or a plugin prints: standard output has results only.
    with contextlib.ExitStack() as stack:
        out: TextIO = sys.stdout
        if output is not None:
            new = stack.enter_context(atomic_file(output))
            out = stack.enter_context(new.open("w", encoding="utf-8", newline="", errors="backslashreplace"))
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        bar = stack.enter_context(progress("reading the model", len(found.files)))
        # Where no input exists, that is reported without a model; only CSV needs its schema for the columns.
        needed = as_csv or any(os.path.exists(f) or not is_file_name(f) for f in found.files)
        model = load_model(preset, detector) if needed else None
        schema = None if model is None else model.schema
        writer: Writer
        if as_json:
            writer = JsonWriter(out)
        elif as_csv:
            writer = CsvWriter(Escaping(out), schema)
        else:
            width = shutil.get_terminal_size().columns if out.isatty() else None
            writer = terminal_writer(out, schema, found.files, width)
        tally = _Tally()
        bar.advance(0, "reading photos")
        for start in range(0, len(found.files), CHUNK):
            some = found.files[start : start + CHUNK]
            images = _images(some)
            results = _read(model, images, min_score, min_confidence, min_quality)
            if marker is not None:
                results = [marker.save(r, images[r.source]) for r in results]
            with bar.aside():
                writer.write(results)
                for result in results:
                    tally.add(result)
            bar.advance(len(results))
        writer.close()
    tally.report(plain=not as_json and not as_csv)
    if output is not None:
        warn(f"written to {str(output)!r}")
    if tally.failed or found.complaints:
        ctx.exit(1)


def _format_of(output: Path, as_json: bool, as_csv: bool) -> tuple[bool, bool]:
    """(whether JSON, whether CSV), by the name of the output where no option says. Raises InputError for another."""
    ending = output.suffix.lower()
    if ending not in (".csv", ".json") and not (as_json or as_csv):
        raise InputError(f"--output is a .csv or .json file. Received: {str(output)!r}.")
    return (as_json, as_csv) if as_json or as_csv else (ending == ".json", ending == ".csv")


def _images(sources: Sequence[str]) -> dict[str, ImageLike | ImageError]:
    """Source -> what the model takes for it, or why there is nothing."""
    found: dict[str, ImageLike | ImageError] = {}
    for source in sources:
        try:
            found[source] = read_source(source)
        except ImageError as e:
            found[source] = e
    return found


def _is_missing(error: str | None) -> bool:
    return error is not None and error.startswith("no such file")


def _read(
    model: FaceFeatureModel | None,
    images: Mapping[str, ImageLike | ImageError],
    min_score: float,
    min_confidence: float,
    min_quality: float,
) -> list[ImageResult]:
    """A result for each source, in order."""
    from facefeat.networks.postprocess import abstain
    from facefeat.types import ImageResult

    if model is None:
        return [ImageResult(f, error=f"no such file: {f!r}.{nearest_file(f)}") for f in images]
    given = {source: image for source, image in images.items() if not isinstance(image, ImageError)}
    read = dict(zip(given, model.predict(list(given.values())) if given else [], strict=True))
    results = [
        replace(read[source], source=source) if source in read else ImageResult(source, error=str(image))
        for source, image in images.items()
    ]
    missing = {r.source: f"{r.error}{nearest_file(r.source)}" for r in results if _is_missing(r.error)}
    results = [replace(r, error=missing.get(r.source, r.error)) for r in results]
    kept = [replace(r, faces=tuple(f for f in r.faces if f.score >= min_score)) for r in results]
    if not min_confidence and not min_quality:
        return kept
    return [replace(r, faces=tuple(abstain(f, min_confidence, min_quality) for f in r.faces)) for r in kept]


class _Tally:
    """Counts what was read, and names what was not."""

    def __init__(self) -> None:
        self.photos = self.faces = self.empty = self.failed = 0
        self._began = time.perf_counter()

    def add(self, result: ImageResult) -> None:
        self.photos += 1
        self.faces += len(result.faces)
        if result.error is not None:
            self.failed += 1
            warn(result.error)
        elif not result.faces:
            self.empty += 1

    def report(self, *, plain: bool) -> None:
        """A closing line on standard error, for many photos or where the format has no place for empty ones."""
        if self.photos == 1 and (plain or not self.empty):
            return
        seconds = time.perf_counter() - self._began
        parts = [f"{n} {what if n == 1 else what + 's'}" for n, what in ((self.photos, "photo"), (self.faces, "face"))]
        parts += [f"{self.empty} without a face"] if self.empty else []
        parts += [f"{self.failed} could not be read"] if self.failed else []
        warn(f"{', '.join(parts)}, {seconds:.1f} s")
