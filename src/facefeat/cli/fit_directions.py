"""`facefeat fit-directions`: a preset with a decoder gets the directions that editing and composing need."""

from __future__ import annotations

from pathlib import Path

import click

from facefeat.cli._inputs import check_data, check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._show import say, terminal, warned


@click.command("fit-directions")
@click.option("--preset", required=True, metavar="NAME|FOLDER", help="A model with a decoder.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Imported folder, tar, zip or CSV.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder of the new preset. [default: --preset "
              "itself]")  # fmt: skip
@click.option("--split", default="train", show_default=True, help="The faces to fit on.")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@runtime_options
def fit_directions(preset: str, data: Path, output: Path | None, split: str, splits: Path | None) -> None:
    """Fit the directions of a preset's latents on a data set, and write the preset with them.

    `facefeat train-decoder` does so itself: this is for older presets, and for other data.
    """

    from facefeat.errors import InputError
    from facefeat.utils.atomic import check_folder

    check_model(preset)
    if output is None and not Path(preset).is_dir():
        raise InputError(f"{preset!r} is no folder, so its directions need a place. Give --output FOLDER.")
    place = output or Path(preset)
    # Before the work, not after it; whether --preset is a preset turns out when it is read.
    check_folder(place, "a preset", lambda _: output is None or (place / "config.json").is_file())
    check_data(data, splits)
    console = terminal(stderr=True)
    with console.status("reading the model"):
        from facefeat.data import load_dataset

        model = load_model(preset)
        model.require_decoder()
    with console.status("reading the data"):
        dataset = load_dataset(data, schema=model.schema, splits=splits).split(split)
    with console.status(f"directions of {len(dataset):,} faces"):
        model.fit_directions(dataset)
        with warned():
            where = model.save(place)
    names = ", ".join(dict.fromkeys(a for a, _ in model.directions.probes))
    say(f"{where}: directions of {names}, from {model.directions.faces:,} faces")
