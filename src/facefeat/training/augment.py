"""Augmentation as Keras layers, so that it runs on the device, on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facefeat.training.recipe import Augment


def augmentation_layers(augment: Augment, seed: int) -> list[Any]:
    """Keras layers that change crops (B, S, S, 3) of 0..255 in training and pass them through otherwise.

    Borders are filled by their nearest pixel: a black wedge would tell the model the angle.
    """
    from keras import layers

    a = augment
    out: list[Any] = []
    pixels = {"value_range": (0, 255)}

    def add(layer: Any, amount: float, *args: Any, **kwargs: Any) -> None:
        if amount:
            out.append(layer(*args, seed=seed + len(out), **kwargs))

    add(layers.RandomFlip, a.flip, "horizontal")
    add(layers.RandomRotation, a.rotation, a.rotation / 360, fill_mode="nearest")
    add(layers.RandomTranslation, a.shift, a.shift, a.shift, fill_mode="nearest")
    add(layers.RandomZoom, a.zoom, (-a.zoom, a.zoom), fill_mode="nearest")
    add(layers.RandomBrightness, a.brightness, a.brightness, **pixels)
    add(layers.RandomContrast, a.contrast, a.contrast, **pixels)
    # Keras counts saturation 0..1 with 0.5 as "unchanged".
    add(layers.RandomSaturation, a.saturation, (0.5 - a.saturation / 2, 0.5 + a.saturation / 2), **pixels)
    # A rectangle of noise over at most a fifth of the crop: a face must stay readable.
    add(layers.RandomErasing, a.erase, a.erase, scale=(0.02, 0.2), **pixels)
    return out
