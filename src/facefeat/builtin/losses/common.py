"""What the losses share: the check that one fits an attribute, and target distributions over a head's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat.schema import Attribute

Loss = Callable[[Any, Any], Any]
"""(targets (B, T), outputs (B, M)) -> (B,) float32."""


def check_fit(name: str, attribute: Attribute) -> str:
    """How the loss is called in messages. Raises InputError where the attribute's kind is not learnt by it."""
    valid = attribute.strategy.losses(attribute)
    if name not in valid:
        raise InputError(
            f"loss {name!r} does not fit {attribute.name!r}, which is {attribute.kind}. Valid: {', '.join(valid)}."
        )
    return f"loss {name!r}"


def class_loss(
    name: str,
    attribute: Attribute,
    label_smoothing: float,
    measure: Callable[[Any, Any], Any],
    sigma: float = 0.0,
) -> Loss:
    """A loss of target distributions. measure: (target (B, M), log-probabilities (B, M)) -> (B,).

    sigma: standard deviation of a normal distribution around the year or class; 0 for that alone.
    label_smoothing: share of the target spread evenly over all outputs.
    Raises InputError where the attribute's kind is not learnt by this loss.
    """
    smoothing = checks.real(check_fit(name, attribute), "label_smoothing", label_smoothing, 0.0, 1.0, below=True)
    table = _target_table(attribute, sigma, smoothing)
    first = attribute.years[0][0] if attribute.exact else 0
    last = attribute.outputs - 1

    def loss(target: Any, outputs: Any) -> Any:
        from keras import ops

        index = target[:, 0]
        known = ops.cast(ops.logical_not(ops.isnan(index)), "float32")
        # Rows of the table: one per year (exact), then one per class.
        row = index + (last + 1 if attribute.exact else 0)
        if attribute.exact:
            years = target[:, 1]
            row = ops.where(ops.isnan(years), row, ops.clip(ops.round(years) - first, 0, last))
        row = ops.cast(ops.where(ops.isnan(row), ops.zeros_like(row), row), "int32")
        soft = ops.take(ops.convert_to_tensor(table), row, axis=0)  # (B, M)
        return known * measure(soft, ops.log_softmax(ops.cast(outputs, "float32"), axis=-1))

    return loss


def _target_table(attribute: Attribute, sigma: float, smoothing: float) -> Any:
    """Target distributions over the outputs: one per year where labels are exact, then one per class."""
    import numpy as np

    n = attribute.outputs
    grid = np.arange(n, dtype="float64")

    def around(centre: float) -> np.ndarray:
        if not sigma:
            return (grid == centre).astype("float64")
        return np.asarray(np.exp(-0.5 * ((grid - centre) / sigma) ** 2))

    points = np.stack([around(k) for k in range(n)])
    rows = points
    if attribute.exact:
        # A class without its year: the mean over the years that it holds.
        start = attribute.years[0][0]
        even = points / points.sum(axis=1, keepdims=True)
        by_class = [even[a - start : b + 1 - start].sum(axis=0) for a, b in attribute.years]
        rows = np.concatenate([points, by_class])
    rows = rows / rows.sum(axis=1, keepdims=True)
    return (rows * (1 - smoothing) + smoothing / n).astype("float32")


def number_loss(name: str, attribute: Attribute, measure: Callable[[Any], Any]) -> Loss:
    """A loss of a number. measure: error of the outputs (B, M), on the scale of -1..1 -> (B, M).

    Raises InputError where the attribute's kind is not learnt by this loss.
    """
    check_fit(name, attribute)
    encode: Any = attribute.strategy.encode  # type: ignore[attr-defined]  # of every kind that has this loss

    def loss(target: Any, outputs: Any) -> Any:
        from keras import ops

        value = target[:, 0]
        unknown = ops.isnan(value)
        wanted = encode(attribute, ops.where(unknown, ops.zeros_like(value), value), ops)  # (B, M)
        each = ops.sum(measure(ops.cast(outputs, "float32") - wanted), axis=-1)
        return ops.where(unknown, ops.zeros_like(each), each)

    return loss
