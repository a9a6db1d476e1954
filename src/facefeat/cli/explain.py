"""`facefeat explain`: where the model looked, drawn over a face."""

from __future__ import annotations

from pathlib import Path

import click

from facefeat.cli._faces import open_photos, the_face
from facefeat.cli._inputs import check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._overwrite import check_new, overwrite_option
from facefeat.cli._show import say

_DEFAULT = "gender"


@click.command()
@click.argument("photo")
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="The picture to write, .png or .jpg."
)
@click.option("--attribute", metavar="NAME", help="age, gender, race, or another of the "
              "model's.  [default: gender, or the model's first]")  # fmt: skip
@click.option("--class", "label", metavar="NAME", help="The class to explain. [default: the predicted one]")
@click.option("--method", type=click.Choice(["auto", "attention", "gradient"]), default="auto", show_default=True,
              help="auto: attention where the head has it and no class is given.")  # fmt: skip
@click.option("--face", metavar="N", type=click.IntRange(1), help="Which face, by the numbers of "
              "`facefeat predict`. [default: the main one]")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="The model. [default: the bundled one]")
@click.option("--size", default=256, show_default=True, type=click.IntRange(32, 1024), help="Side of a face, pixels.")
@overwrite_option
@runtime_options
def explain(
    photo: str,
    output: Path,
    attribute: str | None,
    label: str | None,
    method: str,
    face: int | None,
    preset: str | None,
    size: int,
    overwrite: bool,
) -> None:
    """Draw the main face of PHOTO, with the evidence for its class (orange) and against it (blue)."""
    from facefeat.image.video import check_picture
    from facefeat.latent.explain import check_request

    check_picture(output)
    check_new(output, overwrite, inputs=[photo])
    check_model(preset)
    (pixels,) = open_photos(photo)

    model = load_model(preset)
    attribute = attribute or next(n for n in (_DEFAULT, *model.schema.attributes) if n in model.schema.attributes)
    check_request(model.schema, attribute, label, method)
    crop = the_face(model, photo, pixels, face).cut(model.image_size)
    found = model.explain(crop[None], attribute, label, method=method)
    found.save(output, size=size)
    say(f"{attribute} {found.labels[0]}, by {found.method}: written to {output}")
