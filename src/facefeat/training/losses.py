"""The losses of a recipe: a component by name for each attribute, and weights that make up for rare classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, RecipeError, did_you_mean
from facefeat.training.recipe import AttributeLoss, Loss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facefeat.schema import Attribute, Schema

EFFECTIVE = 0.9999
"""The beta of "effective" class weights, for data sets of some ten thousand pictures (Cui et al., CVPR 2019)."""


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
    schema: Schema, choices: Mapping[str, AttributeLoss], counts: Mapping[str, Mapping[str, int]] | None = None
) -> dict[str, Loss]:
    """Attribute -> its loss function; the attribute's fixed weight is not in it.

    counts: attribute -> class name -> faces in the training data; needed for a class balance.
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
    return out


def _balanced(loss: Loss, weights: np.ndarray) -> Loss:
    """The loss, each face times the weight of its class: the first column of the targets."""

    def balanced(target: Any, outputs: Any) -> Any:
        from keras import ops

        index = target[:, 0]
        known = ops.cast(ops.where(ops.isnan(index), ops.zeros_like(index), index), "int32")
        return ops.take(ops.convert_to_tensor(weights), known, axis=0) * loss(target, outputs)

    return balanced
