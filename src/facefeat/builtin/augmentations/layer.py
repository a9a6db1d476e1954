"""The Keras layer that a built-in augmentation is; the change itself is a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import layers, ops, random


class CropChange(layers.Layer):
    """Changes crops (B, S, S, 3) of 0..255 while training, and passes them through otherwise.

    change: (crops, generator) -> changed crops of the same shape. generator: a `SeedGenerator`, so that a training loop
    can set the randomness of every epoch. parts: layers that `change` calls.
    """

    def __init__(self, change: Callable[[Any, Any], Any], *, seed: int, parts: Sequence[Any] = ()) -> None:
        super().__init__()
        self.change = change
        self.generator = random.SeedGenerator(seed)
        self.parts = list(parts)

    def build(self, input_shape: Any) -> None:
        """Build the parts."""
        for part in self.parts:
            part.build(input_shape)

    def call(self, crops: Any, training: bool = False) -> Any:
        """crops (B, S, S, 3) -> (B, S, S, 3)."""
        return ops.cast(self.change(crops, self.generator), crops.dtype) if training else crops

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape
