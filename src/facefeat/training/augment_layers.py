"""Layers of augmentation that Keras lacks, or has in a form that does not suit faces.

All change crops (B, S, S, 3) of 0..255 while training and pass them through otherwise. Their randomness comes from
`SeedGenerator`s, so that the trainer can set it for every epoch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import KerasTensor, layers, ops, random

from facefeat.training.jpeg import jpeg

_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""Luma and the two axes of colour, of red, green and blue (FCC, NTSC 1953)."""


class RandomAffine(layers.Layer):
    """Turns, zooms, shears, shifts and mirrors every crop about its centre, in one bilinear resampling.

    The same changes as Keras's RandomRotation, RandomZoom, RandomShear and RandomTranslation one after the other, but
    those resample each time: four times the cost, and each blurs what a small crop can't spare.

    rotation: degrees either way. zoom: fraction of the size either way. shear, shift: fractions of the side either way.
    flip: mirror half of the crops. Beyond the border the nearest pixel goes on: a black wedge would tell the model the
    angle.
    """

    def __init__(
        self, rotation: float, zoom: float, shear: float, shift: float, *, flip: bool = False, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rotation, self.zoom, self.shear, self.shift = math.radians(rotation), zoom, shear, shift
        self.flip = flip
        self.generator = random.SeedGenerator(seed)

    def call(self, crops: Any, training: bool = False) -> Any:
        """crops (B, S, S, 3) -> (B, S, S, 3)."""
        if not training:
            return crops
        height, width = crops.shape[1:3]
        draw = random.uniform((7, ops.shape(crops)[0]), -1.0, 1.0, seed=self.generator)
        angle, size = draw[0] * self.rotation, 1.0 + draw[1] * self.zoom
        # Output pixel -> input pixel, about the centre: rotation, then shear, over the size.
        cos, sin = ops.cos(angle) / size, ops.sin(angle) / size
        lean, tilt = draw[2] * self.shear, draw[3] * self.shear
        a, b = cos - sin * tilt, cos * lean - sin
        c, d = sin + cos * tilt, sin * lean + cos
        if self.flip:
            side = ops.where(draw[6] < 0, -1.0, 1.0)  # which way the columns of the output run
            a, c = a * side, c * side
        x, y = (width - 1) / 2, (height - 1) / 2
        dx, dy = draw[4] * self.shift * width, draw[5] * self.shift * height
        zero = ops.zeros_like(a)
        matrix = [a, b, x - a * x - b * y + dx, c, d, y - c * x - d * y + dy, zero, zero]
        moved = ops.image.affine_transform(
            crops, ops.stack(matrix, axis=1), interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
        )
        return ops.cast(moved, crops.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


class RandomColour(layers.Layer):
    """Brightness, contrast, saturation and hue of every crop, in one pass over its pixels.

    As Keras's RandomBrightness and RandomContrast one after the other, then torchvision's `adjust_saturation`, which
    blends with the grey of the same luma (ITU-R BT.601), then the colours turned in the plane of YIQ with that luma;
    clipped to 0..255 once, at the end. Keras's four take several times as long, most of it for the way of its
    RandomSaturation and RandomHue to HSV and back (`benchmarks/profiles.py`).

    brightness: fraction of 255 that is added or taken. contrast, saturation: fraction either way; contrast is about
    each channel's mean. hue: fraction of half a turn either way.
    """

    def __init__(
        self, brightness: float, contrast: float, saturation: float, hue: float, *, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.reach = (255.0 * brightness, contrast, saturation, math.pi * hue)
        self.generator = random.SeedGenerator(seed)

    def call(self, crops: Any, training: bool = False) -> Any:
        """crops (B, S, S, 3) -> (B, S, S, 3)."""
        if not training:
            return crops
        draw = random.uniform((4, ops.shape(crops)[0], 1), -1.0, 1.0, seed=self.generator)  # (4, B, 1)
        added, contrast, saturation, angle = (draw[i] * r for i, r in enumerate(self.reach))
        # x -> c (x - mean) + mean + b, then s x + (1 - s) grey, then turned: one matrix and one shift for each crop.
        mean = ops.mean(ops.cast(crops, "float32"), axis=(1, 2))  # (B, 3)
        shift = mean + added - (1.0 + contrast) * mean
        grey, plane, across = (ops.convert_to_tensor(m) for m in _turns())
        turned = ops.cos(angle)[:, :, None] * plane + ops.sin(angle)[:, :, None] * across
        matrix = grey + (1.0 + saturation)[:, :, None] * turned  # saturation leaves the grey, and turning as well
        shift = ops.matmul(shift[:, None, :], matrix)  # (B, 1, 3)
        pixels = ops.reshape(ops.cast(crops, "float32"), (-1, crops.shape[1] * crops.shape[2], 3))
        changed = ops.matmul(pixels, (1.0 + contrast)[:, :, None] * matrix) + shift
        return ops.cast(ops.reshape(ops.clip(changed, 0.0, 255.0), ops.shape(crops)), crops.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


class RandomJpeg(layers.Layer):
    """Compresses a share of the crops as JPEG of a quality drawn from low..high, both included."""

    def __init__(self, share: float, low: int, high: int, *, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share, self.low, self.high = share, low, high
        self.generator = random.SeedGenerator(seed)

    def call(self, crops: Any, training: bool = False) -> Any:
        """crops (B, S, S, 3) -> (B, S, S, 3)."""
        if not training:
            return crops
        batch = ops.shape(crops)[0]
        quality = random.randint((batch,), self.low, self.high + 1, seed=self.generator)
        chosen = random.uniform((batch, 1, 1, 1), seed=self.generator) < self.share
        return ops.where(chosen, ops.cast(jpeg(crops, quality), crops.dtype), crops)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


class CoarseDropout(layers.Layer):
    """Turns a share of the squares of a grid x grid black, drawn square by square."""

    def __init__(self, share: float, grid: int = 8, *, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share, self.grid = share, grid
        self.generator = random.SeedGenerator(seed)

    def call(self, crops: Any, training: bool = False) -> Any:
        """crops (B, S, S, 3) -> (B, S, S, 3)."""
        if not training:
            return crops
        batch = ops.shape(crops)[0]
        kept = random.uniform((batch, self.grid, self.grid, 1), seed=self.generator) >= self.share
        for axis in (1, 2):
            side = crops.shape[axis]
            kept = ops.take(kept, [i * self.grid // side for i in range(side)], axis=axis)
        return crops * ops.cast(kept, crops.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


class FaceRandAugment(layers.Layer):
    """RandAugment for faces: every crop gets `changes` of nine changes of keras.layers, at one magnitude of 0..1.

    Not keras.layers.RandAugment, which draws one change for the whole batch, turns and shifts one way only, spends a
    single number on all changes (0.5 is half a turn), inverts the tones (solarisation: the lower the number, the more)
    and equalises by a histogram of the whole batch. Skin tone is what a label here may rest on, so these two are left
    out. The changes of a crop are drawn without repetition and come in a fixed order: each is computed once.
    """

    def __init__(self, changes: int, magnitude: float, *, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        m = magnitude
        pixels: dict[str, Any] = {"value_range": (0, 255)}
        moved: dict[str, Any] = {"fill_mode": "nearest"}
        self.changes = changes
        self.generator = random.SeedGenerator(seed)
        # At magnitude 1 the reach of the paper, but less of it where a face would be lost: shift, brightness, contrast.
        self.parts = [
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

    def build(self, input_shape: Any) -> None:
        """Build the parts."""
        for part in self.parts:
            part.build(input_shape)

    def call(self, crops: Any, training: bool = False) -> Any:
        """crops (B, S, S, 3) -> (B, S, S, 3)."""
        if not training:
            return crops
        scores = random.uniform((ops.shape(crops)[0], len(self.parts)), seed=self.generator)
        least = ops.top_k(scores, self.changes)[0][:, -1:]
        chosen = ops.reshape(scores >= least, (-1, len(self.parts), 1, 1, 1))
        for i, part in enumerate(self.parts):
            crops = ops.where(chosen[:, i], part(crops, training=True), crops)
        return crops

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


class Mixing(layers.Layer):
    """MixUp and CutMix of keras.layers, giving what a loss needs instead of mixed labels.

    Keras mixes labels that are one row of probabilities; ours are a class and years per attribute, and become
    probabilities in the loss. So: crops (B, S, S, 3) -> (mixed crops, partner (B,) int32, own (B,) float32). Crop i of
    the output is made of crop i, by the share own[i], and of crop partner[i]; the loss of a row is then
    own * loss(its target) + (1 - own) * loss(its partner's target). Outside training nothing is mixed and own is 1.

    mixup, cutmix: alphas in 0..1, at least one above 0; where both are, each crop draws which.
    """

    def __init__(self, mixup: float, cutmix: float, *, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blend: Any = layers.MixUp(alpha=mixup, seed=seed) if mixup else None
        self.paste: Any = layers.CutMix(factor=(cutmix, cutmix), seed=seed + 1) if cutmix else None
        self.generator = random.SeedGenerator(seed + 2)

    def build(self, input_shape: Any) -> None:
        """Build the parts."""
        for part in (self.blend, self.paste):
            if part is not None:
                part.build(input_shape)

    def call(self, crops: Any, training: bool = False) -> Any:
        """crops (B, S, S, 3) -> (crops, partner (B,) int32, own (B,) float32)."""
        batch = ops.shape(crops)[0]
        if not training:
            return crops, ops.arange(batch, dtype="int32"), ops.ones((batch,), "float32")
        if self.blend and self.paste:
            drawn = random.uniform((batch,), seed=self.generator) < 0.5
            both = zip(self._blended(crops), self._pasted(crops), strict=True)
            mixed, partner, own = (ops.where(_like(drawn, a), a, b) for a, b in both)
        else:
            mixed, partner, own = self._blended(crops) if self.blend else self._pasted(crops)
        # A small alpha underflows now and then, and Keras divides 0 by 0: such a crop stays as it was.
        sound = ops.logical_not(ops.isnan(own))
        mixed = ops.where(_like(sound, mixed), mixed, crops)
        return mixed, partner, ops.where(sound, own, ops.ones_like(own))

    def _blended(self, crops: Any) -> tuple[Any, Any, Any]:
        change = self.blend.get_random_transformation(crops, training=True)
        own = ops.cast(change["mix_weight"], "float32")
        return self.blend.transform_images(crops, change), ops.cast(change["permutation_order"], "int32"), own

    def _pasted(self, crops: Any) -> tuple[Any, Any, Any]:
        change = self.paste.get_random_transformation(crops, training=True)
        # From the pixels that changed; Keras gives the area before it meets the grid.
        own = 1.0 - ops.mean(ops.cast(change["batch_masks"], "float32"), axis=(1, 2, 3))
        drawn = ops.reshape(change["mix_weight"], (-1,))
        own = ops.where(ops.isnan(drawn), ops.full_like(own, float("nan")), own)
        return self.paste.transform_images(crops, change), ops.cast(change["permutation_order"], "int32"), own

    def compute_output_spec(self, crops: Any, training: bool = False) -> Any:
        """Shapes and types of the three outputs."""
        batch = crops.shape[0]
        return KerasTensor(crops.shape, crops.dtype), KerasTensor((batch,), "int32"), KerasTensor((batch,), "float32")


class CarryMix(layers.Layer):
    """Writes partner and own share behind an attribute's logits, so that they reach its loss: `augment.mixed_loss`.

    [logits (B, K), partner (B,), own (B,)] -> (B, K + 2) float32. Exact: float32 counts to 16 million.
    """

    def call(self, inputs: Any) -> Any:
        """[logits (B, K), partner (B,), own (B,)] -> (B, K + 2) float32."""
        logits, partner, own = inputs
        columns = [ops.cast(partner, "float32")[:, None], ops.cast(own, "float32")[:, None]]
        return ops.concatenate([ops.cast(logits, "float32"), *columns], axis=-1)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Two columns more than the logits."""
        batch, outputs = inputs[0].shape
        return KerasTensor((batch, outputs + 2), "float32")


def _like(mask: Any, other: Any) -> Any:
    """(B,) -> (B, 1, ..., 1) with as many axes as `other`."""
    return ops.reshape(mask, (-1, *([1] * (len(other.shape) - 1))))


def _turns() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(3, 3) float32 each, for rows of RGB: the grey alone, the colours alone, and these a quarter turned."""
    to = np.array(_YIQ)
    parts = np.zeros((3, 3, 3))
    parts[0, 0, 0] = parts[1, 1, 1] = parts[1, 2, 2] = parts[2, 1, 2] = 1
    parts[2, 2, 1] = -1
    grey, plane, across = (to.T @ part @ np.linalg.inv(to).T for part in parts)
    return grey.astype("float32"), plane.astype("float32"), across.astype("float32")
