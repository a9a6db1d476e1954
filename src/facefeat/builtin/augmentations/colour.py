"""Brightness, contrast, saturation and hue of every crop, in one pass over its pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from facefeat.builtin.checks import checked, real
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    import numpy as np

WHAT = "augmentation 'colour'"
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""Luma and the two axes of colour, of red, green and blue (FCC, NTSC 1953)."""


@checked(WHAT)
def build(
    *, seed: int, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2, hue: float = 0.0
) -> Any:
    """A Keras layer, crops (B, S, S, 3) -> the same shape.

    As Keras's RandomBrightness and RandomContrast one after the other, then torchvision's `adjust_saturation`, which
    blends with the grey of the same luma (ITU-R BT.601), then the colours turned in the plane of YIQ with that luma;
    clipped to 0..255 once, at the end. Keras's four take several times as long, most of it for the conversion of its
    RandomSaturation and RandomHue to HSV and back (`benchmarks/profiles.py`).

    brightness: fraction of 255 that is added or taken. contrast, saturation: fraction either way; contrast is about
    each channel's mean. hue: fraction of half a turn either way. Raises InputError.
    """
    from keras import ops, random

    from facefeat.builtin.augmentations.layer import CropChange

    given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    given = {key: real(WHAT, key, value, 0, 1, below=True) for key, value in given.items()}
    reach = (
        255.0 * given["brightness"],
        given["contrast"],
        given["saturation"],
        math.pi * real(WHAT, "hue", hue, 0, 1),
    )

    def change(crops: Any, generator: Any) -> Any:
        draw = random.uniform((4, ops.shape(crops)[0], 1), -1.0, 1.0, seed=generator)  # (4, B, 1)
        added, contrast, saturation, angle = (draw[i] * r for i, r in enumerate(reach))
        # x -> c (x - mean) + mean + b, then s x + (1 - s) grey, then turned: one matrix and one shift for each crop.
        mean = ops.mean(ops.cast(crops, "float32"), axis=(1, 2))  # (B, 3)
        shift = mean + added - (1.0 + contrast) * mean
        grey, plane, across = (ops.convert_to_tensor(m) for m in _turns())
        turned = ops.cos(angle)[:, :, None] * plane + ops.sin(angle)[:, :, None] * across
        matrix = grey + (1.0 + saturation)[:, :, None] * turned  # saturation leaves the grey, and turning as well
        shift = ops.matmul(shift[:, None, :], matrix)  # (B, 1, 3)
        pixels = ops.reshape(ops.cast(crops, "float32"), (-1, crops.shape[1] * crops.shape[2], 3))
        changed = ops.matmul(pixels, (1.0 + contrast)[:, :, None] * matrix) + shift
        return ops.reshape(ops.clip(changed, 0.0, 255.0), ops.shape(crops))

    return CropChange(change, seed=seed)


def _turns() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(3, 3) float32 each, for rows of RGB: the grey alone, the colours alone, and these a quarter turned."""
    import numpy as np

    to = np.array(_YIQ)
    parts = np.zeros((3, 3, 3))
    parts[0, 0, 0] = parts[1, 1, 1] = parts[1, 2, 2] = parts[2, 1, 2] = 1
    parts[2, 2, 1] = -1
    grey, plane, across = (to.T @ part @ np.linalg.inv(to).T for part in parts)
    return grey.astype("float32"), plane.astype("float32"), across.astype("float32")


COMPONENT = Component("colour", build, "brightness, contrast, saturation and hue, in one pass")
