"""The one layer that the backbones need beyond Keras's own. Imports Keras: import it inside a `build`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""Mean and standard deviation of ImageNet's training pixels, RGB, 0..255 (0.485, 0.456, 0.406 of 255, and so on)."""


@keras.saving.register_keras_serializable(package="facefeat")
class Normalise(keras.layers.Layer):
    """Crops (B, S, S, 3) RGB 0..255 -> (crops - mean) / scale, with the channels turned to BGR where asked.

    mean, scale: three numbers each in the order of the channels as they come: RGB.
    It calculates in float32 under mixed precision too: a difference of large numbers is where half precision hurts.
    """

    def __init__(
        self, mean: Sequence[float], scale: Sequence[float] = (1.0, 1.0, 1.0), bgr: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.mean, self.scale, self.bgr = tuple(mean), tuple(scale), bgr

    def call(self, crops: Any) -> Any:
        """(B, S, S, 3) -> the same shape, in the layer's compute dtype."""
        x = (ops.cast(crops, "float32") - ops.convert_to_tensor(self.mean, "float32")) / ops.convert_to_tensor(
            self.scale, "float32"
        )
        return ops.cast(ops.take(x, [2, 1, 0], axis=-1) if self.bgr else x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """JSON-able."""
        return {**super().get_config(), "mean": self.mean, "scale": self.scale, "bgr": self.bgr}
