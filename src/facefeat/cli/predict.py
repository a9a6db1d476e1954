"""`facefeat predict`: photos in, every face's attributes out."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._inputs import Finite, check_model, expand
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._results import CsvWriter, JsonWriter, Writer, terminal_writer
from facefeat.cli._show import Escaping, progress, warn
from facefeat.errors import FacefeatError, InputError
from facefeat.utils.atomic import atomic_file, unwritable

if TYPE_CHECKING:
    from facefeat import FaceFeatureModel
    from facefeat.types import ImageResult

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
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, an item for each photo.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one row a face, with every probability.")
@click.option(
    "--annotate", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Draw on copies, saved in DIR."
)
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
) -> None:
    """Age, gender and race of every face in photos.

    INPUT is a photo, a folder (searched with its subfolders) or a glob such as 'album/**/*.jpg'. Exits with 0 where all
    were read, 1 where some failed (each is named on standard error), 2 for wrong usage.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other. Give one of them.")
    if not inputs:
        raise click.UsageError("no photo given. Valid: files, folders or globs, such as: facefeat predict photo.jpg")
    found = expand(inputs)
    if not found.files:
        raise InputError(" ".join(found.complaints))
    for complaint in found.complaints:
        warn(complaint)
    check_model(preset, detector)
    marker = None if annotate is None else _Annotator(annotate, found.files)
    out = sys.stdout
    # Whatever Keras, a detector or a plugin prints: standard output has results only.
    with contextlib.redirect_stdout(sys.stderr), progress("reading the model", len(found.files)) as bar:
        # Where no input exists, that is reported without a model; only CSV needs its schema for the columns.
        needed = as_csv or any(os.path.exists(f) for f in found.files)
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
            results = _read(model, found.files[start : start + CHUNK], min_score, min_confidence, min_quality)
            if marker is not None:
                results = [marker.save(r) for r in results]
            with bar.aside():
                writer.write(results)
                for result in results:
                    tally.add(result)
            bar.advance(len(results))
        writer.close()
    tally.report(plain=not as_json and not as_csv)
    if tally.failed or found.complaints:
        ctx.exit(1)


def _read(
    model: FaceFeatureModel | None, files: Sequence[str], min_score: float, min_confidence: float, min_quality: float
) -> list[ImageResult]:
    from facefeat.networks.postprocess import abstain
    from facefeat.types import ImageResult

    if model is None:
        return [ImageResult(f, error=f"no such file: {f!r}.") for f in files]
    results: list[ImageResult] = model.predict(list(files))
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


class _Annotator:
    """Saves copies of photos with their faces drawn in; an input is never overwritten."""

    def __init__(self, folder: Path, files: Iterable[str]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise unwritable(folder, e) from None
        self._folder = folder
        self._taken = {os.path.realpath(f) for f in files}

    def save(self, result: ImageResult) -> ImageResult:
        """The result, or one with an error where the copy could not be written."""
        from PIL import Image

        from facefeat.image.align import open_image
        from facefeat.image.draw import annotate

        if result.error is not None:
            return result
        try:
            with atomic_file(self._target(Path(result.source).stem)) as new:
                Image.fromarray(annotate(open_image(result.source), result)).save(new, quality=92)
        except FacefeatError as e:
            return replace(result, error=str(e))
        return result

    def _target(self, stem: str) -> Path:
        number = 1
        while True:
            path = self._folder / f"{stem}-faces{'' if number == 1 else f'-{number}'}.jpg"
            real = os.path.realpath(path)
            if real not in self._taken:
                self._taken.add(real)
                return path
            number += 1
