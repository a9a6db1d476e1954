"""The losses of a recipe: a component by name for each attribute, and weights that make up for rare classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, RecipeError, did_you_mean
from facefeat.training.recipe import AttributeLoss, Loss

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from facefeat.schema import Attribute, Schema

EFFECTIVE = 0.9999
"""The beta of "effective" class weights, for data sets of some ten thousand pictures (Cui et al., CVPR 2019)."""

MOST_OF_A_DISTRIBUTION = 1.001
"""A soft label of a larger sum says that one of its outputs is right."""


def class_weights(attribute: Attribute, counts: Mapping[str, int], balance: str) -> dict[str, float]:
    """Class name -> factor of its loss, with a mean of 1 over the faces counted. By name, never by order.

    counts: class name -> faces in the training data; a class that is absent there gets 0.
    balance: "none", "inverse" (every class costs the same in all), or "effective": by the effective number of faces,
    which grows ever slower (Cui et al., "Class-balanced loss", CVPR 2019).
    """
    n = {c: int(counts.get(c, 0)) for c in attribute.classes}
    if balance == "inverse":
        raw = {c: 1 / k if k else 0.0 for c, k in n.items()}
    elif balance == "effective":
        raw = {c: (1 - EFFECTIVE) / (1 - EFFECTIVE**k) if k else 0.0 for c, k in n.items()}
    else:
        raw = dict.fromkeys(n, 1.0)
    total = sum(raw[c] * n[c] for c in n)
    scale = sum(n.values()) / total if total else 1.0
    return {c: w * scale for c, w in raw.items()}


def build_losses(
    schema: Schema,
    choices: Mapping[str, AttributeLoss],
    counts: Mapping[str, Mapping[str, int]] | None = None,
    soft: Collection[str] = (),
) -> dict[str, Loss]:
    """Attribute -> its loss function; the attribute's fixed weight is not in it.

    counts: attribute -> class name -> faces in the training data; needed for a class balance. soft: attributes whose
    targets have soft labels behind them: `soft_loss`.
    Raises RecipeError for an attribute that the schema lacks, a loss that does not fit its attribute, or a class
    balance without counts.
    """
    for name, choice in choices.items():
        if name not in schema.attributes:
            raise RecipeError(f"loss.{name}: no such attribute. {did_you_mean(name, schema.attributes)}")
        if choice.balance != "none" and counts is None:
            raise RecipeError(f"loss.{name}.balance: {choice.balance!r} needs the counts of the training data.")
    out = {}
    for name, attribute in schema.attributes.items():
        choice = choices.get(name, AttributeLoss())
        try:
            out[name] = choice.build(attribute)
        except InputError as e:
            raise RecipeError(f"loss.{name}: {e}") from None
        if choice.balance != "none":
            weights = class_weights(attribute, (counts or {}).get(name, {}), choice.balance)
            out[name] = _balanced(out[name], np.array([weights[c] for c in attribute.classes], "float32"))
        if name in soft:
            out[name] = soft_loss(out[name], attribute)
    return out


def soft_loss(loss: Loss, attribute: Attribute) -> Loss:
    """The loss of (B, T + M) targets: T as of the attribute's kind, then its soft label (`AttributeKind`), if any.

    A soft label costs the mean loss of the outputs that it may mean. Their weights are its probabilities, or, where it
    says that one of them is right, what the model makes of these: then the gradient is that of -log of their sum.
    """
    strategy: Any = attribute.strategy
    candidates: np.ndarray = strategy.candidates(attribute)  # (M, T)
    places, width = candidates.shape

    def softened(target: Any, outputs: Any) -> Any:
        from keras import ops

        hard, row = target[:, :width], ops.cast(target[:, width:], "float32")
        batch = ops.shape(outputs)[0]
        one = ops.tile(ops.convert_to_tensor(candidates), (batch, 1))  # (B * M, T)
        each = ops.reshape(loss(one, ops.repeat(outputs, places, axis=0)), (batch, places))  # (B, M)
        said = ops.sum(row, axis=-1, keepdims=True)
        p = ops.stop_gradient(ops.softmax(ops.cast(outputs, "float32"), axis=-1)) * row
        posterior = p / ops.maximum(ops.sum(p, axis=-1, keepdims=True), 1e-12)
        weights = ops.where(said > MOST_OF_A_DISTRIBUTION, posterior, row)
        return ops.where(said[:, 0] > 0, ops.sum(weights * each, axis=-1), loss(hard, outputs))

    return softened


def _balanced(loss: Loss, weights: np.ndarray) -> Loss:
    """The loss, each face times the weight of its class: the first column of the targets."""

    def balanced(target: Any, outputs: Any) -> Any:
        from keras import ops

        index = target[:, 0]
        known = ops.cast(ops.where(ops.isnan(index), ops.zeros_like(index), index), "int32")
        return ops.take(ops.convert_to_tensor(weights), known, axis=0) * loss(target, outputs)

    return balanced
