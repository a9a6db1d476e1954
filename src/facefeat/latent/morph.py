"""Morphing: one face turns into another, and on through more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.image.align import check_crops, resize_crops
from facefeat.latent.interpolate import check_morph, latent_path
from facefeat.latent.residual import Residual

if TYPE_CHECKING:
    from facefeat.types import FloatArray, ImageLike, UInt8Array

AT_ONCE = 64
"""Frames that are floats at a time."""


def morph(
    model: Any,
    faces: Sequence[ImageLike],
    *,
    steps: int,
    path: str = "linear",
    easing: str = "none",
    bounce: bool,
    residual: bool = False,
) -> UInt8Array:
    """(steps, S, S, 3) uint8 frames of a model (a FaceFeatureModel) from face to face; see `FaceFeatureModel.morph`.

    An array is an aligned crop; of another image the largest face is aligned. path, easing, bounce: of `latent_path`.
    residual: whether what decoding loses of each face is put back, by how near a frame is to it.
    """
    check_morph(len(faces), steps, path, easing)
    model.require_decoder()
    size = model.image_size
    crops = [
        resize_crops(check_crops(x[None]), size)[0] if isinstance(x, np.ndarray) else model.align(x)[0] for x in faces
    ]
    latents = model.encode(np.stack(crops))
    frames: UInt8Array = model.decode(latent_path(latents, steps, path=path, easing=easing, bounce=bounce))
    if not residual:
        return frames
    lost, near = Residual(np.stack(crops), model.decode(latents)), nearness(len(crops), steps, easing, bounce)
    parts = [lost.blend(frames[i : i + AT_ONCE], near[i : i + AT_ONCE]) for i in range(0, len(frames), AT_ONCE)]
    return np.concatenate(parts)


def nearness(faces: int, steps: int, easing: str, bounce: bool) -> FloatArray:
    """(frames, faces) float32: how near each frame of a morph is to each face; rows of sum 1."""
    return latent_path(np.eye(faces, dtype="float32"), steps, easing=easing, bounce=bounce)
