"""`facefeat edit`: a face with its age, gender or race changed."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from facefeat.cli._changes import asked_of, attribute_options, read_below
from facefeat.cli._faces import check_photos, the_face
from facefeat.cli._inputs import Finite, check_model
from facefeat.cli._quiet import start_keras
from facefeat.cli._show import warn
from facefeat.errors import InputError


@click.command()
@click.argument("photo")
@attribute_options("Years to add, such as +20 or -20.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help=".png or .jpg.")
@click.option("--grid", is_flag=True, help="A strip: the face, its reconstruction, the steps on the way, what is read.")
@click.option("--whole", is_flag=True, help="The whole photo with the face changed in it, not the face alone.")
@click.option("--steps", type=click.IntRange(1, 12), help="Of --grid, with the edited face.  [default: 4]")
@click.option("--limit", type=Finite(0, 20, min_open=True), default=4.0, show_default=True, help="Standard deviations "
              "that the face is moved at most.")  # fmt: skip
@click.option("--method", type=click.Choice(["means", "least", "orthogonal"]), default="means", show_default=True,
              help="How the way is found: between the means of classes; the others are one direction for all, for "
              "comparison.")  # fmt: skip
@click.option("--residual/--no-residual", default=True, show_default=True, help="Put back what decoding loses of the "
              "face, where the edit changes little.")  # fmt: skip
@click.option("--face", metavar="N", type=click.IntRange(1), help="Which face, by the numbers of "
              "`facefeat predict`. [default: the largest]")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="A model with a decoder. [default: the bundled one]")
@click.option("--size", type=click.IntRange(32, 1024), help="Side of a face, pixels.  [default: 256]")
def edit(
    photo: str,
    age: str | None,
    gender: str | None,
    race: str | None,
    others: tuple[str, ...],
    output: Path,
    grid: bool,
    whole: bool,
    steps: int | None,
    limit: float,
    method: str,
    residual: bool,
    face: int | None,
    preset: str | None,
    size: int | None,
) -> None:
    """Change the largest face of PHOTO until the model reads what is asked, and write the picture.

    Where the limit comes first, the picture shows how far it got, and a line says so.
    """
    from facefeat.image.video import check_picture, contact_sheet, enlarge, with_text_below, write_picture
    from facefeat.latent.edit import check_changes
    from facefeat.latent.residual import into_photo

    check_picture(output)
    if steps is not None and not grid:
        raise InputError("--steps are those of a strip: give --grid, too.")
    if whole and (grid or size):
        raise InputError(f"--whole writes the photo in its own size: leave {'--grid' if grid else '--size'} out.")
    if (age, gender, race, others) == (None, None, None, ()):
        raise InputError("nothing to change. Such as: facefeat edit photo.jpg --age +20 -o edited.png")
    check_model(preset)
    check_photos(photo)
    start_keras()
    from facefeat.image.align import align_face, crop_transform, open_image
    from facefeat.model import FaceFeatureModel

    model = FaceFeatureModel.from_preset(preset)
    changes = asked_of(model.schema, {"age": age, "gender": gender, "race": race}, others)
    check_changes(model.schema, changes)
    model.require_decoder()
    face_found = the_face(model, photo, face or 0)
    crop = face_found.crop
    assert crop is not None
    found = model.edit(crop[None], method=method, limit=limit, residual=residual, **changes)
    if not found.reached[0]:
        warn("the model does not read all that was asked; a larger --limit goes on.")
    opened = open_image(photo)
    extent = (opened.shape[1], opened.shape[0])
    if whole:  # as large as it is in the photo
        scale = np.linalg.norm(crop_transform(face_found, model.alignment, 1, extent)[0, :2])
        size = int(np.clip(round(1 / scale), 32, 1024))
    size = size or 256
    large = align_face(opened, face_found, model.alignment, size)
    steps = (steps or 4) if grid else 1
    way = model.decode(found.path(0, steps + 1))
    frames = enlarge(found.draw(0, way[1:], large), size)
    if whole:
        to_crop = crop_transform(face_found, model.alignment, size, extent)
        write_picture(into_photo(opened, large, frames[0], to_crop), output)
    elif grid:
        shown = found.draw(0, way[1:-1])
        read = model.predict_faces(np.concatenate([crop[None], way[:1], shown, found.crops]))
        names = ["photo", "reconstruction", *(f"step {i}" for i in range(1, steps)), "edited"]
        texts = ["\n".join([name, *read_below(read, i)]) for i, name in enumerate(names)]
        drawn = np.concatenate([large[None], enlarge(way[:1], size), frames])
        write_picture(contact_sheet(with_text_below(drawn, texts), columns=len(drawn)), output)
    else:
        write_picture(frames[0], output)
    click.echo(f"{found.sentence(0)}: written to {output}")
