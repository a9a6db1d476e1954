"""`facefeat edit`: a face with its age, gender or race changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._changes import attribute_options, requested
from facefeat.cli._faces import open_photos, the_face
from facefeat.cli._inputs import check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._numbers import Finite
from facefeat.cli._overwrite import check_new, overwrite_option
from facefeat.cli._show import say, warn
from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat import FaceFeatureModel
    from facefeat.latent.edit import Edit
    from facefeat.types import UInt8Array


_SHORT_OF = 0.95  # of the limit: a face that was moved less was not held by it


@click.command()
@click.argument("photo")
@attribute_options("Years to add, such as +20 or -20.")
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="The picture to write, .png or .jpg."
)
@click.option("--grid", is_flag=True, help="A strip: the face, its reconstruction, the steps between, predictions.")
@click.option("--strip", is_flag=True, help="The face at 10 to 80 years in one row, with what the model reads; each as "
              "far as reading follows.")  # fmt: skip
@click.option("--synthetic", is_flag=True, help="PHOTO shows a synthetic face, of no real person: its race may be "
              "edited.")  # fmt: skip
@click.option("--allow-race-edit", is_flag=True, help="Edit the race of a real person's face, with their consent.")
@click.option("--whole", is_flag=True, help="The whole photo with the face changed in it, not the face alone.")
@click.option(
    "--steps",
    type=click.IntRange(1, 12),
    help="With --grid: how many pictures of the way, the last one included.  [default: 4]",
)
@click.option("--limit", type=Finite(0, 20, min_open=True), help="Standard deviations that "
              "the face is moved at most.  [default: 6 for ages, 4 for classes]")  # fmt: skip
@click.option("--method", type=click.Choice(["means", "least", "orthogonal"]), default="means", show_default=True,
              help="How the direction is found: between the means of classes; the others are one direction for all, "
              "for comparison.")  # fmt: skip
@click.option("--residual/--no-residual", default=True, show_default=True, help="Restore what decoding loses of the "
              "face, where the edit changes little.")  # fmt: skip
@click.option("--face", metavar="N", type=click.IntRange(1), help="Which face, by the numbers of "
              "`facefeat predict`. [default: the main one]")  # fmt: skip
@click.option("--reader", metavar="NAME|FOLDER", help="A second model that is asked whether it sees the change.  "
              "[default: cc0-age-gender, where installed]")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="A model with a decoder. [default: the bundled one]")
@click.option("--size", type=click.IntRange(32, 1024), help="Side of a face, pixels.  [default: 256]")
@overwrite_option
@runtime_options
def edit(
    photo: str,
    age: str | None,
    gender: str | None,
    race: str | None,
    others: tuple[str, ...],
    output: Path,
    grid: bool,
    strip: bool,
    synthetic: bool,
    allow_race_edit: bool,
    whole: bool,
    steps: int | None,
    limit: float | None,
    method: str,
    residual: bool,
    face: int | None,
    reader: str | None,
    preset: str | None,
    size: int | None,
    overwrite: bool,
) -> None:
    """Change the main face of PHOTO until the model predicts what is asked, and write the picture.

    Where the limit comes first, the picture shows how far it got, and a line says so.
    """
    from facefeat.image.video import check_picture, write_picture
    from facefeat.latent.goals import check_changes

    check_picture(output)
    check_new(output, overwrite, inputs=[photo])
    if steps is not None and not grid:
        raise InputError("--steps are those of a strip: give --grid, too.")
    if whole and (grid or size):
        raise InputError(f"--whole writes the photo in its own size: leave {'--grid' if grid else '--size'} out.")
    if strip:
        _check_strip(grid, whole, (age, gender, race, others) != (None, None, None, ()))
    elif (age, gender, race, others) == (None, None, None, ()):
        raise InputError("nothing to change. Such as: facefeat edit photo.jpg --age +20 -o edited.png")
    check_model(preset)
    check_model(reader)
    (pixels,) = open_photos(photo)

    model = load_model(preset)
    if strip:
        _strip(model, photo, pixels, face, size or 160, output)
        return
    changes = requested(model.schema, {"age": age, "gender": gender, "race": race}, others, signed=True)
    check_changes(model.schema, changes)
    if "race" in changes and not (synthetic or allow_race_edit):
        raise InputError(
            "a change of race is not made to a photo of a real person by default: such pictures are easily used to "
            "mock or mislead. Next: --synthetic if nobody real is shown (facefeat compose makes such faces), or "
            "--allow-race-edit if the person agrees."
        )
    model.require_decoder()
    found = the_face(model, photo, pixels, face)
    side = min(max(round(found.side), 32), 1024) if whole else size or 256
    crop, large = found.cut(model.image_size)[None], found.cut(side)
    edited = model.edit(crop, changes, large[None], method=method, limit=limit, residual=residual)
    if not edited.reached[0]:
        warn(f"the model does not predict all that was asked. Next: {_next(edited, limit)}")
    if whole:
        write_picture(found.paste(large, edited.pictures[0]), output)
    else:
        edited.save(output, strip=(steps or 4) if grid else 0)
    say(f"{edited.sentence(0)}: written to {output}")
    say(_second(edited, reader, model.name))


def _next(edited: Edit, limit: float | None) -> str:
    """What to ask for instead, where a face did not get as far as it was asked to."""
    from facefeat.latent.traverse import LIMIT, ORDERED_LIMIT

    for name, (low, high) in edited.ranges.items():
        less = f"ask for less: its {name} can be read as {float(low[0]):.0f} to {float(high[0]):.0f} that way"
        furthest = limit or (LIMIT if edited.model.schema[name].axis is None else ORDERED_LIMIT)
        held = abs(float(edited.steps[name][0])) >= _SHORT_OF * furthest
        return f"{less}; or try a larger --limit" if held else less
    return "a larger --limit"


def _check_strip(grid: bool, whole: bool, changes: bool) -> None:
    """Raises InputError where --strip is given with what does not go with it."""
    if grid or whole or changes:
        other = "--grid" if grid else "--whole" if whole else "--age, --gender, --race and --attribute"
        raise InputError(f"--strip draws the face at 10 to 80 years and changes nothing else: leave {other} out.")


def _strip(model: FaceFeatureModel, photo: str, pixels: UInt8Array, face: int | None, side: int, output: Path) -> None:
    from facefeat.image.video import write_picture
    from facefeat.latent.portraits import Portraits
    from facefeat.latent.strip import age_strip

    model.require_decoder()
    found = the_face(model, photo, pixels, face)
    made = age_strip(model, Portraits.of(model, found.cut(model.image_size)[None], found.cut(side)[None]))
    write_picture(made.draw(), output)
    path = made.path
    say(f"{path.attribute} {path.origin:.0f}, can be read as {path.low:.0f} to {path.high:.0f}: written to {output}")


def _second(edited: Edit, reader: str | None, own: str) -> str:
    """What a second model says of an edit, or how there can be one."""
    from facefeat.latent.second_reader import SECOND, second_reading
    from facefeat.plugins.registry import get_registry

    named = reader or (SECOND if SECOND in get_registry().names("preset") else None)
    if named is None or named == own:
        return (
            f"no second model is asked: {SECOND!r} is not installed. Next: the plugin facefeat-cc0, or --reader PRESET"
        )
    return second_reading(edited, load_model(named)).sentence(0)
