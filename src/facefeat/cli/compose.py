"""`facefeat compose`: a face of nobody, from attributes and single coordinates of the latent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from facefeat.cli._changes import as_number, asked_of, attribute_options, read_below
from facefeat.cli._inputs import check_data, check_model
from facefeat.cli._quiet import start_keras
from facefeat.cli._show import warn
from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.latent.compose import Composed
    from facefeat.model import FaceFeatureModel
    from facefeat.types import UInt8Array

NEAREST = 5


@click.command()
@attribute_options("Years, such as 70, or a class.")
@click.option("--set", "coordinates", multiple=True, metavar="I=V", help="Hold coordinate I of the latent at V "
              "standard deviations from its mean; repeatable.")  # fmt: skip
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help=".png or .jpg.")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 64), help="Faces; they differ in what "
              "is not asked.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the faces after the first.")
@click.option("--nearest", "data", metavar="DATA", type=click.Path(path_type=Path), help="Show beside each face the "
              "nearest ones of a data set: imported folder, tar, zip or CSV.")  # fmt: skip
@click.option("--split", help="Of --nearest. [default: all]")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option("--preset", metavar="NAME|FOLDER", help="A model with a decoder. [default: the bundled one]")
@click.option("--size", default=192, show_default=True, type=click.IntRange(32, 1024), help="Side of a face, pixels.")
def compose(
    age: str | None,
    gender: str | None,
    race: str | None,
    others: tuple[str, ...],
    coordinates: tuple[str, ...],
    output: Path,
    count: int,
    seed: int,
    data: Path | None,
    split: str | None,
    splits: Path | None,
    preset: str | None,
    size: int,
) -> None:
    """Compose a face by hand, and write it with what the model reads from it.

    It starts from the mean of all faces and the means of the classes that are asked for, and is moved until the model
    reads what was asked.
    """
    from facefeat.image.video import check_picture, contact_sheet, enlarge, with_text_below, write_picture
    from facefeat.latent.compose import check_attributes, check_nearest, coordinates_at

    check_picture(output)
    held = coordinates_of(coordinates)
    if data is None and (split is not None or splits is not None):
        raise InputError("--split and --splits are of --nearest. Add: --nearest DATA")
    check_model(preset)
    if data is not None:
        check_data(data, splits)
    start_keras()
    from facefeat.model import FaceFeatureModel

    model = FaceFeatureModel.from_preset(preset)
    attributes = asked_of(model.schema, {"age": age, "gender": gender, "race": race}, others)
    check_attributes(model.schema, attributes)
    model.require_decoder()
    coordinates_at(model.directions, held)
    dataset = None
    if data is not None:
        dataset = _dataset(model, data, split, splits)
        check_nearest(model, dataset, NEAREST)
    made = model.compose(coordinates=held, count=count, seed=seed, **attributes)
    frames, texts = enlarge(made.crops, size), ["\n".join(read_below(made.read, i)) for i in range(count)]
    columns = min(8, count)
    if dataset is not None:
        frames, texts = beside(model, made, dataset, frames, texts, size)
        columns = 1 + NEAREST
    write_picture(contact_sheet(with_text_below(frames, texts), columns=columns), output)
    if not made.reached.all():
        warn(f"the model does not read all that was asked in {int((~made.reached).sum())} of {count}.")
    read = "; ".join(", ".join(read_below(made.read, i)) for i in range(min(count, 3)))
    click.echo(f"{read}{'; ...' if count > 3 else ''}: written to {output}")


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


def _dataset(model: FaceFeatureModel, data: Path, split: str | None, splits: Path | None) -> FaceDataset:
    from facefeat.data import load_dataset

    dataset = load_dataset(data, schema=model.schema, splits=splits)
    return dataset.split(split) if split else dataset


def beside(
    model: FaceFeatureModel, made: Composed, dataset: FaceDataset, frames: UInt8Array, texts: list[str], size: int
) -> tuple[UInt8Array, list[str]]:
    """Each composed face, followed by the nearest faces of a data set with their labels."""
    from facefeat.image.video import enlarge
    from facefeat.latent.compose import nearest_faces

    near = nearest_faces(model, made.latents, dataset, NEAREST)
    shown, said = [], []
    for i, rows in enumerate(near.rows):
        shown += [frames[i : i + 1], enlarge(near.crops[i], size)]
        said.append(texts[i])
        for row, distance in zip(rows, near.distances[i], strict=True):
            labels = [str(dataset.table[n].iloc[row]) for n in dataset.schema.attributes]
            said.append("\n".join([f"real, at {distance:.1f}", *(label for label in labels if label)]))
    return np.concatenate(shown), said
