"""`facefeat morph`: one face turns into another, as a video, an animation or pictures."""

from __future__ import annotations

from pathlib import Path

import click

from facefeat.cli._faces import open_photos, the_face
from facefeat.cli._inputs import check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._overwrite import check_new, overwrite_option
from facefeat.cli._show import say


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO PHOTO...")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="What to write: "
              ".mp4, .gif, .webp, .png or .jpg (a contact sheet), or a new folder for PNG frames.")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="A model with a decoder. [default: the bundled one]")
@click.option("--steps", default=60, show_default=True, help="Number of frames in all.")
@click.option("--path", type=click.Choice(["linear", "spherical"]), default="linear", show_default=True,
              help="How to go from latent to latent: in a straight line, or along a sphere.")  # fmt: skip
@click.option("--easing", type=click.Choice(["smooth", "none"]), default="smooth", show_default=True,
              help="smooth: slower near each photo; none: even steps.")  # fmt: skip
@click.option("--bounce", is_flag=True, help="Go back again, too, for an endless loop.")
@click.option("--residual/--no-residual", default=True, show_default=True, help="Restore what decoding loses of the "
              "faces, the more the nearer a frame is to one.")  # fmt: skip
@click.option("--face", "faces", multiple=True, type=click.IntRange(1), metavar="N",
              help="Which face of a photo, by the numbers of `facefeat predict`: once for all photos, or once "
              "per photo. [default: the main one]")  # fmt: skip
@click.option("--attributes", is_flag=True, help="Write the predictions next to each frame.")
@click.option("--fps", default=30.0, show_default=True, help="Frames per second.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(32, 1024), help="Side of a frame, pixels.")
@overwrite_option
@runtime_options
def morph(
    photos: tuple[str, ...],
    output: Path,
    preset: str | None,
    steps: int,
    path: str,
    easing: str,
    bounce: bool,
    residual: bool,
    faces: tuple[int, ...],
    attributes: bool,
    fps: float,
    size: int,
    overwrite: bool,
) -> None:
    """Turn the face of the first PHOTO into that of the next, through as many photos as are given."""
    from facefeat.errors import InputError
    from facefeat.image.video import check_animation, check_fps, check_output
    from facefeat.latent.interpolate import check_morph

    check_morph(len(photos), steps, path, easing)
    check_fps(fps)
    check_output(output)
    check_new(output, overwrite, inputs=photos)
    check_animation(output, 2 * steps - 2 if bounce else steps, size * (1 + attributes), size)
    if len(faces) not in (0, 1, len(photos)):
        raise InputError(
            f"--face must be given once, or once for each of the {len(photos)} photos, not {len(faces)} times."
        )
    check_model(preset)
    opened = open_photos(*photos)
    import numpy as np

    model = load_model(preset)
    model.require_decoder()
    chosen = faces if len(faces) == len(photos) else (faces or (None,)) * len(photos)
    found = [the_face(model, *one) for one in zip(photos, opened, chosen, strict=True)]
    crops, large = (np.stack([f.cut(side) for f in found]) for side in (model.image_size, size))
    made = model.morph_faces(crops, large, steps=steps, path=path, easing=easing, bounce=bounce, residual=residual)
    made.save(output, fps=fps, attributes=attributes)
    width, height = made.frame_size(attributes)
    say(f"Written to {output}: {len(made)} frames of {width} x {height} pixels")
