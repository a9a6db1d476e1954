"""Morphing: one face turns into another, and on through more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.image import check_crops, resize_crops
from facefeat.latent.paths import check_morph, latent_path

if TYPE_CHECKING:
    from facefeat.types import ImageLike, UInt8Array


def morph(
    model: Any, faces: Sequence[ImageLike], *, steps: int, path: str = "linear", easing: str = "none", bounce: bool
) -> UInt8Array:
    """(steps, S, S, 3) uint8 frames of a model (a FaceFeatureModel) from face to face; see `FaceFeatureModel.morph`.

    An array is an aligned crop; of another image the largest face is aligned. path, easing, bounce: of `latent_path`.
    """
    check_morph(len(faces), steps, path, easing)
    model.require_decoder()
    size = model.image_size
    crops = [
        resize_crops(check_crops(x[None]), size)[0] if isinstance(x, np.ndarray) else model.align(x)[0] for x in faces
    ]
    latents = model.encode(np.stack(crops))
    frames: UInt8Array = model.decode(latent_path(latents, steps, path=path, easing=easing, bounce=bounce))
    return frames
