"""Augmentation as Keras layers, so that it runs on the device, on every backend.

`augmentation_layers` change the crops alone. MixUp and CutMix change the targets, too, and are separate:

    mixing = mixing_layer(recipe.augment, recipe.seed)        # None where the recipe mixes nothing
    if mixing is not None:
        crops, partner, own = mixing(crops)
        logits = carry_mix(logits, partner, own)              # two columns more per attribute
        losses = {name: mixed_loss(loss) for name, loss in losses.items()}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facefeat.training.recipe import Augment


def augmentation_layers(augment: Augment, seed: int) -> list[Any]:
    """Keras layers that change crops (B, S, S, 3) of 0..255 in training and pass them through otherwise.

    All that moves pixels is one resampling (`RandomAffine`), and what changes light and colour one pass
    (`RandomColour`). JPEG comes after all that a camera sees, and what hides pixels comes last.
    """
    import keras
    from keras import layers

    from facefeat.training.augment_layers import CoarseDropout, FaceRandAugment, RandomAffine, RandomColour, RandomJpeg

    a = augment
    out: list[Any] = []
    pixels = {"value_range": (0, 255)}

    def add(layer: Any, amount: float, *args: Any, **kwargs: Any) -> None:
        if amount:
            out.append(layer(*args, seed=seed + len(out), **kwargs))

    moves = (a.rotation, a.zoom, a.shear, a.shift)
    add(layers.RandomFlip, a.flip and not any(moves), "horizontal")
    add(RandomAffine, any(moves), *moves, flip=a.flip)
    colours = (a.brightness, a.contrast, a.saturation, a.hue)
    add(RandomColour, any(colours), *colours)
    add(FaceRandAugment, a.randaugment, a.randaugment, a.magnitude)
    add(RandomJpeg, a.jpeg, a.jpeg, a.jpeg_low, a.jpeg_high)
    # A rectangle of noise over at most a fifth of the crop: a face must stay readable. Of one number Keras makes a
    # share drawn from 0 to number, hence the pair.
    add(layers.RandomErasing, a.erase, (a.erase, a.erase), scale=(0.02, 0.2), **pixels)
    add(CoarseDropout, a.coarse_dropout, a.coarse_dropout)
    if keras.backend.backend() == "jax":
        # Keras marks geometric layers as not compilable for TensorFlow's sake; on JAX one such layer would keep the
        # whole training step from being compiled.
        for layer in out:
            for part in layer._flatten_layers():
                part.supports_jit = True
    return out


def mixing_layer(augment: Augment, seed: int) -> Any:
    """The layer crops (B, S, S, 3) -> (crops, partner (B,) int32, own (B,) float32), or None where nothing is mixed.

    See `augment_layers.Mixing`. It comes after `augmentation_layers`.
    """
    from facefeat.training.augment_layers import Mixing

    if not augment.mixup and not augment.cutmix:
        return None
    return Mixing(augment.mixup, augment.cutmix, seed=seed + 1000, name="mixing")


def carry_mix(logits: Mapping[str, Any], partner: Any, own: Any) -> dict[str, Any]:
    """Attribute -> logits with partner and own share as two more columns: (B, K) -> (B, K + 2) float32."""
    from facefeat.training.augment_layers import CarryMix

    return {name: CarryMix(name=f"mix_{name}")([x, partner, own]) for name, x in logits.items()}


def mixed_loss(loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The loss for what `carry_mix` gives, from one of (targets (B, T), logits (B, K)) -> (B,).

    Every row costs own * loss(its target) + (1 - own) * loss(its partner's target).
    """
    from keras import ops

    def mixed(target: Any, output: Any) -> Any:
        logits, own = output[:, :-2], output[:, -1]
        partner = ops.cast(ops.round(output[:, -2]), "int32")
        return own * loss(target, logits) + (1.0 - own) * loss(ops.take(target, partner, axis=0), logits)

    mixed.__name__ = f"mixed_{getattr(loss, '__name__', 'loss')}"
    return mixed
