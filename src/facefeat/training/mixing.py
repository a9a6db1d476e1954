"""MixUp and CutMix: a crop gets a share of another one, and its loss the same share of the other's target.

No plugin kind like the other augmentations: these change the targets too, so the graph that is trained has to pass on
what was mixed, and the losses have to read it:

    mixing = mixing_layer(recipe.augment, recipe.seed)        # None where the recipe mixes nothing
    if mixing is not None:
        crops, partner, own = mixing(crops)
        logits = append_mix(logits, partner, own)             # two columns more per attribute
        losses = {name: mixed_loss(loss) for name, loss in losses.items()}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from keras import KerasTensor, layers, ops, random

if TYPE_CHECKING:
    from facefeat.training.recipe import Augment


def mixing_layer(augment: Augment, seed: int) -> Mixing | None:
    """The layer that mixes crops after all other augmentation, or None where the recipe mixes nothing."""
    if not augment.mixup and not augment.cutmix:
        return None
    return Mixing(augment.mixup, augment.cutmix, seed=seed + 1000, name="mixing")


def append_mix(logits: Mapping[str, Any], partner: Any, own: Any) -> dict[str, Any]:
    """Attribute -> logits with partner and own share as two more columns: (B, K) -> (B, K + 2) float32."""
    return {name: AppendMix(name=f"mix_{name}")([x, partner, own]) for name, x in logits.items()}


def mixed_loss(loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The loss for what `append_mix` gives, from one of (targets (B, T), logits (B, K)) -> (B,).

    Every row costs own * loss(its target) + (1 - own) * loss(its partner's target).
    """

    def mixed(target: Any, output: Any) -> Any:
        logits, own = output[:, :-2], output[:, -1]
        partner = ops.cast(ops.round(output[:, -2]), "int32")
        return own * loss(target, logits) + (1.0 - own) * loss(ops.take(target, partner, axis=0), logits)

    mixed.__name__ = f"mixed_{getattr(loss, '__name__', 'loss')}"
    return mixed


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


class AppendMix(layers.Layer):
    """Writes partner and own share behind an attribute's logits, so that they reach its loss: `mixed_loss`.

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
