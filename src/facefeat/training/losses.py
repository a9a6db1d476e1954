"""Losses on a head's logits, one per attribute.

A target row is two float32 numbers, [class index, years]; -1 stands for unknown. An attribute whose class and years
are both unknown costs nothing, so that data sets with gaps can be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facefeat.schema import Attribute, Schema
    from facefeat.training.recipe import AttributeLoss
    from facefeat.types import FloatArray


def encode_targets(schema: Schema, labels: Mapping[str, np.ndarray], years: np.ndarray) -> dict[str, FloatArray]:
    """Attribute -> (N, 2) float32 of [class index, years], -1 for unknown.

    labels: attribute -> (N,) int class index, -1 for unknown. years: (N,) float32, NaN for unknown.
    """
    out = {}
    for name, attribute in schema.attributes.items():
        known = np.nan_to_num(years, nan=-1.0) if attribute.years else np.full(len(years), -1.0)
        out[name] = np.stack([labels[name], known], axis=1).astype("float32")
    return out


def build_losses(schema: Schema, choices: Mapping[str, AttributeLoss]) -> dict[str, Any]:
    """Attribute -> a function (targets (B, 2), logits (B, outputs)) -> (B,) float32, weight included.

    Raises RecipeError for an attribute that the schema lacks, or a distribution over classes without an order.
    """
    from facefeat.training.recipe import AttributeLoss

    for name, choice in choices.items():
        if name not in schema.attributes:
            raise RecipeError(f"loss.{name}: no such attribute. {did_you_mean(name, schema.attributes)}")
        attribute = schema[name]
        if choice.kind == "distribution" and not (attribute.ordered or attribute.exact):
            raise RecipeError(f"loss.{name}: 'distribution' needs an ordered attribute. Valid: cross-entropy.")
    return {n: _loss(a, choices.get(n, AttributeLoss())) for n, a in schema.attributes.items()}


def _loss(attribute: Attribute, choice: AttributeLoss) -> Any:
    from keras import ops

    table = _target_table(attribute, choice)
    first = attribute.grid[0] if attribute.exact else 0
    last = attribute.outputs - 1

    def loss(target: Any, logits: Any) -> Any:
        index, years = target[:, 0], target[:, 1]
        # Rows of the table: one per year (exact), then one per class, then the row of zeros for "unknown".
        by_class = ops.where(index >= 0, index + (last + 1 if attribute.exact else 0), float(len(table) - 1))
        row = by_class
        if attribute.exact:
            row = ops.where(years >= 0, ops.clip(ops.round(years) - first, 0, last), by_class)
        soft = ops.take(ops.convert_to_tensor(table), ops.cast(row, "int32"), axis=0)  # (B, outputs)
        log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        return -choice.weight * ops.sum(soft * log_p, axis=-1)

    loss.__name__ = f"{attribute.name}_{choice.kind.replace('-', '_')}"
    return loss


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
