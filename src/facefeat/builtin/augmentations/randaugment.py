"""RandAugment for faces (Cubuk et al., "RandAugment", 2020): some of nine changes for each crop, at one magnitude."""

from __future__ import annotations

from typing import Any

from facefeat.builtin.checks import checked, real, whole
from facefeat.plugins.contracts import Component

WHAT = "augmentation 'randaugment'"
CHANGES = 9


@checked(WHAT)
def build(*, seed: int, changes: int = 2, magnitude: float = 0.3) -> Any:
    """A Keras layer, crops (B, S, S, 3) -> the same shape: every crop gets `changes` of nine, at a magnitude of 0..1.

    Not keras.layers.RandAugment, which draws one change for the whole batch, turns and shifts one way only, spends a
    single number on all changes (0.5 is half a turn), inverts the tones (solarisation: the lower the number, the more)
    and equalises by a histogram of the whole batch. Skin tone is what a label here may rest on, so these two are left
    out. The changes of a crop are drawn without repetition and come in a fixed order: each is computed once.
    Raises InputError.
    """
    from keras import layers, ops, random

    from facefeat.builtin.augmentations.layer import CropChange

    changes = whole(WHAT, "changes", changes, 1, CHANGES)
    m = real(WHAT, "magnitude", magnitude, 0, 1)
    pixels: dict[str, Any] = {"value_range": (0, 255)}
    moved: dict[str, Any] = {"fill_mode": "nearest"}
    # At magnitude 1 the reach of the paper, but less of it where a face would be lost: shift, brightness, contrast.
    parts = [
        layers.RandomShear(0.3 * m, 0.0, seed=seed + 1, **moved),
        layers.RandomShear(0.0, 0.3 * m, seed=seed + 2, **moved),
        layers.RandomTranslation(0.2 * m, 0.2 * m, seed=seed + 3, **moved),
        layers.RandomRotation(30 * m / 360, seed=seed + 4, **moved),
        layers.RandomBrightness(0.45 * m, seed=seed + 5, **pixels),
        layers.RandomContrast((0.6 * m, 0.6 * m), seed=seed + 6, **pixels),
        layers.RandomColorDegeneration((0.0, 0.9 * m), seed=seed + 7, **pixels),
        layers.RandomSharpness((0.5 - 0.45 * m, 0.5 + 0.45 * m), seed=seed + 8, **pixels),
        layers.AutoContrast(**pixels),
    ]

    def change(crops: Any, generator: Any) -> Any:
        scores = random.uniform((ops.shape(crops)[0], len(parts)), seed=generator)
        least = ops.top_k(scores, changes)[0][:, -1:]
        chosen = ops.reshape(scores >= least, (-1, len(parts), 1, 1, 1))
        for i, part in enumerate(parts):
            crops = ops.where(chosen[:, i], part(crops, training=True), crops)
        return crops

    return CropChange(change, seed=seed, parts=parts)


COMPONENT = Component("randaugment", build, "some of nine changes for each crop, at one magnitude")
