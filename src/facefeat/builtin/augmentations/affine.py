"""Turns, zooms, shears, shifts and mirrors every crop about its centre, in one bilinear resampling."""

from __future__ import annotations

import math
from typing import Any

from facefeat.builtin.checks import checked, flag, real
from facefeat.plugins.contracts import Component

WHAT = "augmentation 'affine'"


@checked(WHAT)
def build(
    *,
    seed: int,
    rotation: float = 10.0,
    zoom: float = 0.1,
    shear: float = 0.0,
    shift: float = 0.05,
    flip: bool = True,
) -> Any:
    """A Keras layer, crops (B, S, S, 3) -> the same shape.

    The same changes as Keras's RandomRotation, RandomZoom, RandomShear and RandomTranslation one after the other, but
    those resample each time: four times the cost, and each blurs what a small crop can't spare.

    rotation: degrees either way. zoom: fraction of the size either way. shear, shift: fractions of the side either way.
    flip: mirror half of the crops. The border is padded with the nearest pixel: a black wedge would reveal the angle to
    the model. Raises InputError.
    """
    from keras import layers, ops, random

    from facefeat.builtin.augmentations.layer import CropChange

    turn = math.radians(real(WHAT, "rotation", rotation, 0, 180))
    reach = {"zoom": zoom, "shear": shear, "shift": shift}
    zoom, shear, shift = (real(WHAT, key, value, 0, 1, below=True) for key, value in reach.items())
    if flag(WHAT, "flip", flip) and not any((turn, zoom, shear, shift)):
        return layers.RandomFlip("horizontal", seed=seed)  # which needs no resampling

    def change(crops: Any, generator: Any) -> Any:
        height, width = crops.shape[1:3]
        draw = random.uniform((7, ops.shape(crops)[0]), -1.0, 1.0, seed=generator)
        angle, size = draw[0] * turn, 1.0 + draw[1] * zoom
        # Output pixel -> input pixel, about the centre: rotation, then shear, over the size.
        cos, sin = ops.cos(angle) / size, ops.sin(angle) / size
        shear_x, shear_y = draw[2] * shear, draw[3] * shear
        a, b = cos - sin * shear_y, cos * shear_x - sin
        c, d = sin + cos * shear_y, sin * shear_x + cos
        if flip:
            side = ops.where(draw[6] < 0, -1.0, 1.0)  # which way the columns of the output run
            a, c = a * side, c * side
        x, y = (width - 1) / 2, (height - 1) / 2
        dx, dy = draw[4] * shift * width, draw[5] * shift * height
        zero = ops.zeros_like(a)
        matrix = [a, b, x - a * x - b * y + dx, c, d, y - c * x - d * y + dy, zero, zero]
        return ops.image.affine_transform(
            crops, ops.stack(matrix, axis=1), interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
        )

    return CropChange(change, seed=seed)


COMPONENT = Component("affine", build, "rotation, zoom, shear, shift and mirror, in one resampling")
