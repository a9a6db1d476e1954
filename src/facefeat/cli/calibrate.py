"""`facefeat calibrate`: fit a preset's probabilities, and its measure of quality, on labelled faces."""

from __future__ import annotations

from pathlib import Path

import click

from facefeat.cli._inputs import check_data, check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._numbers import Finite
from facefeat.cli._show import say, terminal, warn, warned

_FEW = 100  # faces; on 12, a temperature of the bundled preset came out as 0.25


@click.command("calibrate")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Imported folder, tar, zip or CSV.")
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--split", default="val", show_default=True, help="The faces to fit on: none that it was trained on.")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option("--unsure-below", metavar="Q", type=Finite(0, 0.99), default=0.5, show_default=True, help="Quality below "
              "which the preset answers \"unsure\"; 0 for never.")  # fmt: skip
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the new preset.")
@runtime_options
def calibrate(
    data: Path, preset: str | None, split: str, splits: Path | None, unsure_below: float, output: Path
) -> None:
    """Fit the probabilities of a preset on a split of a data set, and on corrupted copies of its faces.

    The new preset is a copy whose temperatures and age interval depend on the quality of a face.
    """
    from facefeat.data import load_dataset
    from facefeat.errors import InputError
    from facefeat.utils.atomic import check_writable

    check_model(preset)
    check_data(data, splits)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{str(output)!r} is there already. Give another --output, a new folder.")
    check_writable(output)
    console, model = terminal(stderr=True), load_model(preset)
    with console.status("reading the data"):
        dataset = load_dataset(data, schema=model.schema, splits=splits).split(split)
    if len(dataset.table) < _FEW:
        warn(
            f"{len(dataset.table)} faces are few to fit probabilities on: with one mistake more or less they differ. "
            "Better: some hundred."
        )
    with console.status(f"fitting on {len(dataset.table):,} faces and as many corrupted ones"):
        model.calibrate(dataset, unsure_below=unsure_below)
    with warned():
        model.save(output)
    found = model.classifier.calibration
    for name, one in found.attributes.items():
        soft = f", {one['softening']:.2f} softer at quality 0" if one.get("softening") else ""
        say(f"{name}: temperature {one.get('temperature', 1.0):.3f}{soft}")
    for key, value in found.quality.measured.items():
        say(f"quality, {key.replace('_', ' ')}: {value:,}")
    say(f"Preset: {output}")
