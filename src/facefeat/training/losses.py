"""Losses on a head's logits, one per attribute.

A target row is two float32 numbers, [class index, years]; -1 stands for unknown. An attribute whose class and years
are both unknown costs nothing, so that data sets with gaps can be used.

| kind | what | source |
|---|---|---|
| cross-entropy | against the class (exact years: against the year) | |
| distribution | cross-entropy against a normal distribution around the year or class | Gao et al., TIP 2017 |
| focal | cross-entropy, less of it where the model is already right | Lin et al., ICCV 2017 |
| ordinal | cross-entropy of "older than k?" for every k, from the tails of the distribution | Cao et al., PRL 2020 |
| squared | squared error of the expected place on -1..1, or of the probabilities | the original experiment |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import RecipeError, did_you_mean
from facefeat.training.recipe import AttributeLoss, check_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facefeat.schema import Attribute, Schema
    from facefeat.types import FloatArray

Loss = Callable[[Any, Any], Any]
"""(targets (B, 2), logits (B, outputs)) -> (B,) float32."""

EFFECTIVE = 0.9999
"""The beta of "effective" class weights, for data sets of some ten thousand pictures (Cui et al., CVPR 2019)."""


def encode_targets(schema: Schema, labels: Mapping[str, np.ndarray], years: np.ndarray) -> dict[str, FloatArray]:
    """Attribute -> (N, 2) float32 of [class index, years], -1 for unknown.

    labels: attribute -> (N,) int class index, -1 for unknown. years: (N,) float32, NaN for unknown.
    """
    out = {}
    for name, attribute in schema.attributes.items():
        known = np.nan_to_num(years, nan=-1.0) if attribute.years else np.full(len(years), -1.0)
        out[name] = np.stack([labels[name], known], axis=1).astype("float32")
    return out


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
    Raises RecipeError for an attribute that the schema lacks, a kind that needs an order where there is none, or a
    class balance without counts.
    """
    for name, choice in choices.items():
        if name not in schema.attributes:
            raise RecipeError(f"loss.{name}: no such attribute. {did_you_mean(name, schema.attributes)}")
        wrong = check_kind(schema[name], choice.kind)
        if wrong:
            raise RecipeError(f"loss.{name}: {wrong}")
        if choice.balance != "none" and counts is None:
            raise RecipeError(f"loss.{name}.balance: {choice.balance!r} needs the counts of the training data.")
    out = {}
    for name, attribute in schema.attributes.items():
        choice = choices.get(name, AttributeLoss())
        weights = class_weights(attribute, (counts or {}).get(name, {}), choice.balance)
        out[name] = _loss(attribute, choice, np.array([weights[c] for c in attribute.classes], "float32"))
    return out


def _loss(attribute: Attribute, choice: AttributeLoss, weights: FloatArray) -> Loss:
    from keras import ops

    table = _target_table(attribute, choice)
    # What one face of each row of the table costs: by the class that a year lies in, or the class itself.
    by_year = attribute.class_matrix() @ weights if attribute.exact else weights[:0]
    costs = np.concatenate([by_year, weights, [0.0]]).astype("float32")
    first = attribute.grid[0] if attribute.exact else 0
    last = attribute.outputs - 1
    measure = _measure(attribute, choice)

    def loss(target: Any, logits: Any) -> Any:
        index, years = target[:, 0], target[:, 1]
        # Rows of the table: one per year (exact), then one per class, then the row of zeros for "unknown".
        by_class = ops.where(index >= 0, index + (last + 1 if attribute.exact else 0), float(len(table) - 1))
        row = by_class
        if attribute.exact:
            row = ops.where(years >= 0, ops.clip(ops.round(years) - first, 0, last), by_class)
        row = ops.cast(row, "int32")
        soft = ops.take(ops.convert_to_tensor(table), row, axis=0)  # (B, outputs)
        cost = ops.take(ops.convert_to_tensor(costs), row, axis=0)  # (B,)
        return cost * measure(soft, ops.log_softmax(ops.cast(logits, "float32"), axis=-1))

    return loss


def _measure(attribute: Attribute, choice: AttributeLoss) -> Loss:
    """(target distribution (B, n), log-probabilities (B, n)) -> (B,). A row of zeros is weighed out by the caller."""
    from keras import ops

    n = attribute.outputs
    if choice.kind == "focal":
        return lambda soft, log_p: -ops.sum(soft * ops.power(1 - ops.exp(log_p), choice.gamma) * log_p, axis=-1)
    if choice.kind == "ordinal":
        thresholds = len(attribute.classes) - 1

        def ordinal(soft: Any, log_p: Any) -> Any:
            below = ops.clip(ops.cumsum(ops.exp(log_p), axis=-1)[:, :-1], 1e-6, 1 - 1e-6)  # P(place <= k), (B, n - 1)
            want = ops.cumsum(soft, axis=-1)[:, :-1]
            each = want * ops.log(below) + (1 - want) * ops.log(1 - below)
            # As if summed over the classes' thresholds, so that a grid of years costs about as much as its classes.
            return -thresholds * ops.mean(each, axis=-1)

        return ordinal
    if choice.kind == "squared":
        places = np.linspace(-1, 1, n, dtype="float32")[:, None]

        def squared(soft: Any, log_p: Any) -> Any:
            p = ops.exp(log_p)
            if attribute.ordered or attribute.exact:
                return ops.square(ops.matmul(p - soft, places)[:, 0])
            return ops.sum(ops.square(p - soft), axis=-1) / 2

        return squared
    return lambda soft, log_p: -ops.sum(soft * log_p, axis=-1)


def _target_table(attribute: Attribute, choice: AttributeLoss) -> FloatArray:
    """Target distributions over the outputs: one per year where labels are exact, one per class, and zeros."""
    n = attribute.outputs
    grid = np.arange(n, dtype="float64")

    def around(centre: float) -> np.ndarray:
        if choice.kind != "distribution":
            return (grid == centre).astype("float64")
        return np.exp(-0.5 * ((grid - centre) / choice.sigma) ** 2)

    points = np.stack([around(k) for k in range(n)])
    rows = points
    if attribute.exact:
        # A class without its year: the mean over the years that it holds.
        by_class = attribute.class_matrix().T @ (points / points.sum(axis=1, keepdims=True))
        rows = np.concatenate([points, by_class])
    rows = rows / rows.sum(axis=1, keepdims=True)
    rows = rows * (1 - choice.label_smoothing) + choice.label_smoothing / n
    return np.concatenate([rows, np.zeros((1, n))]).astype("float32")
