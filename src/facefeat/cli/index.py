"""`facefeat index`: the latents of many faces in one place, for `facefeat similar`."""

from __future__ import annotations

from pathlib import Path

import click

from facefeat.cli._inputs import check_data, check_model, expand
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._show import progress, say, warn
from facefeat.errors import DataError, InputError
from facefeat.utils.files import expanded


@click.command()
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the index.")
@click.option("--photos", is_flag=True, help="DATA is photos, folders or globs: every face found is indexed.")
@click.option("--split", help="Index this split of the data set only.  [default: all]")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--detector", metavar="NAME", help="With --photos: centerface (default), mtcnn, whole-image, a plugin's.")
@click.option("--metric", type=click.Choice(["euclidean", "cosine"]), default="euclidean", show_default=True,
              help="Distance between latents.")  # fmt: skip
@click.option("--crops/--no-crops", default=True, show_default=True, help="Keep a small picture of each face.")
@runtime_options
def index(
    data: tuple[str, ...],
    output: Path,
    photos: bool,
    split: str | None,
    splits: Path | None,
    preset: str | None,
    detector: str | None,
    metric: str,
    crops: bool,
) -> None:
    """Index the faces of a data set (an imported folder, tar, zip or CSV), or of photos.

    The same command resumes a run that was stopped.
    """
    from facefeat.index.build import check_index_output

    check_index_output(output, metric)
    files: tuple[str, ...] = ()
    if photos:
        if split is not None or splits is not None:
            raise InputError("--split and --splits are for data sets, not for --photos.")
        found = expand(data)
        if not found.files:
            raise InputError(" ".join(found.complaints))
        for complaint in found.complaints:
            warn(complaint)
        files = found.files
    elif len(data) > 1:
        raise InputError(f"one data set at a time, or --photos. Received: {len(data)} of them.")
    check_model(preset, detector)
    if not photos:
        check_data(data[0], splits)
    from facefeat.data import load_dataset
    from facefeat.index import DatasetFaces, PhotoFaces, build_index

    model = load_model(preset, detector)
    faces: DatasetFaces | PhotoFaces
    if photos:
        faces, units = PhotoFaces(files), len(files)
    else:
        own = (expanded(data[0]) / "dataset.json").is_file()  # its labels are kept, whatever they are
        try:
            dataset = load_dataset(data[0], schema=None if own else model.schema, splits=splits)
        except DataError as e:
            if own or not expanded(data[0]).is_dir() or not expand(data).files:
                raise
            raise DataError(f"{e} Where these are photos, not a data set: the same command with --photos.") from None
        dataset = dataset if split is None else dataset.split(split)
        faces, units = DatasetFaces(dataset), len(dataset)
    known = str(Path(preset).resolve()) if preset and Path(preset).is_dir() else preset or ""
    with progress("indexing", units) as bar:
        reached = 0

        def tell(done: int, total: int) -> None:
            nonlocal reached
            bar.advance(done - reached)
            reached = done

        made = build_index(model, faces, output, metric=metric, crops=crops, preset=known, progress=tell, failed=warn)
    how = "by an approximate index" if made.facts["approximate"] else "exactly"
    say(f"{output}: {len(made):,} faces, latents of {made.latent_dim} numbers, {metric}, searched {how}")
