"""The augmentations of a recipe as Keras layers, so that they run on the device, on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.plugins.registry import get_registry

if TYPE_CHECKING:
    from facefeat.training.recipe import Augment


def augmentation_layers(augment: Augment, seed: int) -> list[Any]:
    """Keras layers that change crops (B, S, S, 3) of 0..255 in training and pass them through otherwise, in order.

    MixUp and CutMix change the targets too, and are separate: `training.mixing`.
    Raises UnknownComponentError, MissingExtraError, InputError, PluginError.
    """
    import keras

    registry = get_registry()
    out = [
        registry.build("augmentation", choice.name, seed=seed + i, **choice.config)
        for i, choice in enumerate(augment.choices())
    ]
    if keras.backend.backend() == "jax":
        # Keras marks geometric layers as not compilable for TensorFlow's sake; on JAX one such layer would keep the
        # whole training step from being compiled.
        for layer in out:
            for part in layer._flatten_layers():
                part.supports_jit = True
    return out
