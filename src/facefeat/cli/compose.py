"""`facefeat compose`: a synthetic face, from attributes and single coordinates of the latent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from facefeat.cli._changes import as_number, attribute_options, requested
from facefeat.cli._inputs import check_data, check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._numbers import Finite
from facefeat.cli._overwrite import check_new, overwrite_option
from facefeat.cli._show import say, warn
from facefeat.errors import InputError

NEAREST = 5


@click.command()
@attribute_options("Years, such as 70, or a class.")
@click.option("--set", "coordinates", multiple=True, metavar="I=V", help="Hold coordinate I of the latent at V "
              "standard deviations from its mean; repeatable.")  # fmt: skip
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="The picture to write, .png or .jpg."
)
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 64), help="How many faces; they "
              "differ in what is not asked.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the random faces.")
@click.option("--variety", default=0.8, show_default=True, type=Finite(0, 2), help="How far the faces are "
              "from the typical one: 1 as far as real faces are, 0 that face itself.")  # fmt: skip
@click.option("--nearest", "data", metavar="DATA", type=click.Path(path_type=Path), help="Show next to each face the "
              "nearest ones of a data set: imported folder, tar, zip or CSV.")  # fmt: skip
@click.option("--split", help="With --nearest: the split to search. [default: all]")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option("--preset", metavar="NAME|FOLDER", help="A model with a decoder. [default: the bundled one]")
@click.option("--size", default=192, show_default=True, type=click.IntRange(32, 1024), help="Side of a face, pixels.")
@overwrite_option
@runtime_options
def compose(
    age: str | None,
    gender: str | None,
    race: str | None,
    others: tuple[str, ...],
    coordinates: tuple[str, ...],
    output: Path,
    count: int,
    seed: int,
    variety: float,
    data: Path | None,
    split: str | None,
    splits: Path | None,
    preset: str | None,
    size: int,
    overwrite: bool,
) -> None:
    """Compose a synthetic face, and write it with what the model predicts from it.

    It is drawn at random, near the mean of the classes that are asked for, and moved until the model predicts what was
    asked. Another --seed gives another face.
    """
    from facefeat.image.video import check_picture
    from facefeat.latent.captions import caption_below
    from facefeat.latent.compose import check_nearest, coordinates_at, nearest_faces
    from facefeat.latent.goals import check_attributes

    check_picture(output)
    check_new(output, overwrite)
    held = coordinates_of(coordinates)
    if data is None and (split is not None or splits is not None):
        raise InputError("--split and --splits are of --nearest. Add: --nearest DATA")
    check_model(preset)
    if data is not None:
        check_data(data, splits)
    from facefeat.data import load_dataset

    model = load_model(preset)
    attributes = requested(model.schema, {"age": age, "gender": gender, "race": race}, others)
    check_attributes(model.schema, attributes)
    model.require_decoder()
    coordinates_at(model.directions, held)
    dataset = None
    if data is not None:
        dataset = load_dataset(data, schema=model.schema, splits=splits)
        dataset = dataset.split(split) if split else dataset
        check_nearest(model, dataset, NEAREST)
    composed = model.compose(attributes, coordinates=held, count=count, seed=seed, variety=variety)
    nearest = None if dataset is None else nearest_faces(model, composed.latents, dataset, NEAREST)
    composed.save(output, size=size, nearest=nearest)
    if not composed.reached.all():
        warn(f"the model does not predict all that was asked in {int((~composed.reached).sum())} of {count}.")
    said = "; ".join(", ".join(caption_below(composed.predictions, i)) for i in range(min(count, 3)))
    say(f"{said}{'; ...' if count > 3 else ''}: written to {output}")


def coordinates_of(texts: Iterable[str]) -> dict[int, float]:
    """Coordinate -> standard deviations, from "17=2.5". Raises InputError."""
    out: dict[int, float] = {}
    for text in texts:
        coordinate, _, value = text.partition("=")
        number = as_number(value)
        if not coordinate.strip().isdecimal() or number is None:
            raise InputError(
                "--set takes COORDINATE=VALUE, a number from 0 and standard deviations from its mean, such as "
                f"--set 17=2.5. Received: {text!r}."
            )
        out[int(coordinate)] = number
    return out
