"""Coarse dropout: squares of a grid turn black, drawn square by square."""

from __future__ import annotations

from typing import Any

from facefeat.builtin.checks import checked, real, whole
from facefeat.plugins.contracts import Component

WHAT = "augmentation 'coarse-dropout'"


@checked(WHAT)
def build(*, seed: int, share: float = 0.1, grid: int = 8) -> Any:
    """A Keras layer, crops (B, S, S, 3) -> the same shape.

    share: of the squares of a grid x grid, 0 to under 1. Raises InputError.
    """
    from keras import ops, random

    from facefeat.builtin.augmentations.layer import CropChange

    share, grid = real(WHAT, "share", share, 0, 1, below=True), whole(WHAT, "grid", grid, 1, 64)

    def change(crops: Any, generator: Any) -> Any:
        kept = random.uniform((ops.shape(crops)[0], grid, grid, 1), seed=generator) >= share
        for axis in (1, 2):
            side = crops.shape[axis]
            kept = ops.take(kept, [i * grid // side for i in range(side)], axis=axis)
        return crops * ops.cast(kept, crops.dtype)

    return CropChange(change, seed=seed)


COMPONENT = Component("coarse-dropout", build, "squares of a grid turn black")
