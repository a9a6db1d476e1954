"""`facefeat morph`: one face turns into another, as a video, an animation or pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._faces import check_photos, the_face
from facefeat.cli._inputs import check_model
from facefeat.cli._quiet import start_keras

if TYPE_CHECKING:
    from facefeat.latent.residual import Residual
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceBatch, FloatArray, UInt8Array

BATCH = 64
"""Latents that are decoded at a time."""


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO PHOTO...")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help=".mp4, .gif, .webp, .png or .jpg "
              "(a contact sheet), or a new folder for PNG frames.")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="A model with a decoder. [default: the bundled one]")
@click.option("--steps", default=60, show_default=True, help="Frames, all stretches together.")
@click.option("--path", "way", type=click.Choice(["linear", "spherical"]), default="linear", show_default=True,
              help="From latent to latent: straight, or around.")  # fmt: skip
@click.option("--easing", type=click.Choice(["smooth", "none"]), default="smooth", show_default=True,
              help="Slow near each photo, or even.")  # fmt: skip
@click.option("--bounce", is_flag=True, help="And back again, for an endless loop.")
@click.option("--residual/--no-residual", default=True, show_default=True, help="Put back what decoding loses of the "
              "faces, the more the nearer a frame is to one.")  # fmt: skip
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
    residual: bool,
    faces: tuple[int, ...],
    attributes: bool,
    fps: float,
    size: int,
) -> None:
    """Turn the face of the first PHOTO into that of the next, through as many photos as are given."""
    import numpy as np

    from facefeat.errors import InputError
    from facefeat.image.video import check_animation, check_fps, check_output, write_frames
    from facefeat.latent.interpolate import check_morph, latent_path

    check_morph(len(photos), steps, way, easing)
    check_fps(fps)
    check_output(output)
    count, width = 2 * steps - 2 if bounce else steps, 2 * size if attributes else size
    check_animation(output, count, width, size)
    if len(faces) not in (0, 1, len(photos)):
        raise InputError(
            f"--face must be given once, or once for each of the {len(photos)} photos, not {len(faces)} times."
        )
    check_model(preset)
    check_photos(*photos)
    start_keras()
    from facefeat.image.align import align_face, open_image
    from facefeat.latent.morph import nearness
    from facefeat.latent.residual import Residual
    from facefeat.model import FaceFeatureModel

    model = FaceFeatureModel.from_preset(preset)
    model.require_decoder()
    chosen = faces if len(faces) == len(photos) else (faces or (0,)) * len(photos)
    found = [the_face(model, photo, number) for photo, number in zip(photos, chosen, strict=True)]
    crops = np.stack([f.crop for f in found if f.crop is not None])
    ends = model.encode(crops)
    latents = latent_path(ends, steps, path=way, easing=easing, bounce=bounce)
    lost = None
    if residual:
        large = [align_face(open_image(p), f, model.alignment, size) for p, f in zip(photos, found, strict=True)]
        near = nearness(len(crops), steps, easing, bounce)
        lost = Lost(Residual(crops, model.decode(ends)), np.stack(large), near)
    write_frames(shown(model, latents, size, attributes, lost), output, fps=fps, count=count)
    click.echo(f"Written to {output}: {count} frames of {width} x {size} pixels")


@dataclass(frozen=True)
class Lost:
    """What decoding lost of K faces. large: (K, T, T, 3) uint8, their crops as they are shown. near: (frames, K)."""

    residual: Residual
    large: UInt8Array
    near: FloatArray


def shown(
    model: FaceFeatureModel, latents: FloatArray, size: int, attributes: bool, lost: Lost | None = None
) -> Iterator[UInt8Array]:
    """The frames, one at a time: all of a long morph would not fit into memory."""
    from facefeat.image.video import enlarge, with_text

    for start in range(0, len(latents), BATCH):
        some = slice(start, start + BATCH)
        frames = model.decode(latents[some])
        read = frames if lost is None or not attributes else lost.residual.blend(frames, lost.near[some])
        texts = captions(model, read) if attributes else []
        for i in range(len(frames)):
            one = frames[i : i + 1]
            if lost is not None:
                one = lost.residual.blend(one, lost.near[[start + i]], lost.large)
            large = enlarge(one, size)
            yield (with_text(large, texts[i : i + 1]) if attributes else large)[0]


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
