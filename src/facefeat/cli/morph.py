"""`facefeat morph`: one face turns into another, as a video, an animation or pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._faces import face_crop
from facefeat.cli._quiet import start_keras

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceBatch, UInt8Array


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO PHOTO...")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help=".mp4, .gif, .webp, .png or .jpg "
              "(a contact sheet), or a new folder for PNG frames.")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="A model with a decoder. [default: the bundled one]")
@click.option("--steps", default=60, show_default=True, help="Frames, all stretches together.")
@click.option("--path", "way", default="linear", show_default=True, help="linear or spherical.")
@click.option("--easing", default="smooth", show_default=True, help="none or smooth.")
@click.option("--bounce", is_flag=True, help="And back again, for an endless loop.")
@click.option("--face", "faces", multiple=True, type=click.IntRange(1), metavar="N",
              help="Which face of a photo, by the numbers of `facefeat predict`: once for all photos, or once a photo. "
              "[default: the largest]")  # fmt: skip
@click.option("--attributes", is_flag=True, help="Write what the model reads beside each frame.")
@click.option("--fps", default=30.0, show_default=True, help="Frames a second.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(32, 1024), help="Side of a frame, pixels.")
def morph(
    photos: tuple[str, ...],
    output: Path,
    preset: str | None,
    steps: int,
    way: str,
    easing: str,
    bounce: bool,
    faces: tuple[int, ...],
    attributes: bool,
    fps: float,
    size: int,
) -> None:
    """Turn the face of the first PHOTO into that of the next, through as many photos as are given."""
    from facefeat.errors import InputError
    from facefeat.latent.frames import check_output, enlarge, with_text, write_frames
    from facefeat.latent.paths import check_morph

    check_morph(len(photos), steps, way, easing)
    check_output(output)
    if len(faces) not in (0, 1, len(photos)):
        raise InputError(
            f"--face must be given once, or once for each of the {len(photos)} photos, not {len(faces)} times."
        )
    start_keras()
    from facefeat.model import FaceFeatureModel

    model = FaceFeatureModel.from_preset(preset)
    model.require_decoder()
    chosen = faces if len(faces) == len(photos) else (faces or (0,)) * len(photos)
    crops = [face_crop(model, photo, number) for photo, number in zip(photos, chosen, strict=True)]
    frames = model.morph(*crops, steps=steps, path=way, easing=easing, bounce=bounce)
    shown = enlarge(frames, size)
    if attributes:
        shown = with_text(shown, captions(model, frames))
    write_frames(shown, output, fps=fps)
    click.echo(f"Written to {output}: {len(shown)} frames of {shown.shape[2]} x {shown.shape[1]} pixels")


def captions(model: FaceFeatureModel, frames: UInt8Array) -> list[str]:
    """What the model reads from each of (T, S, S, 3) uint8 frames, a few lines each."""
    batch: FaceBatch = model.predict_faces(frames)
    out = []
    for i in range(len(frames)):
        lines = [] if batch.age_years is None else [f"{batch.age_years[i]:.0f} years"]
        for name, read in batch.row(i).items():
            if name != "age" or batch.age_years is None:
                best = sorted(read.probabilities.items(), key=lambda kv: -kv[1])[:3]
                lines += ["", f"{name}:", *[f"  {label} {p:.0%}" for label, p in best]]
        out.append("\n".join(lines))
    return out
