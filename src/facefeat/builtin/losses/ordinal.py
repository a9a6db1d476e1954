"""`ordinal`: cross-entropy of "older than k?" for every k, from the tails of the distribution (after Cao et al., "Rank
consistent ordinal regression for neural networks", PRL 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin.losses import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "ordinal"


def build(*, attribute: Attribute, label_smoothing: float = 0.0) -> common.Loss:
    """label_smoothing: as of cross-entropy. Raises InputError."""
    thresholds = len(attribute.classes) - 1

    def ordinal(soft: Any, log_p: Any) -> Any:
        from keras import ops

        below = ops.clip(ops.cumsum(ops.exp(log_p), axis=-1)[:, :-1], 1e-6, 1 - 1e-6)  # P(place <= k), (B, M - 1)
        want = ops.cumsum(soft, axis=-1)[:, :-1]
        each = want * ops.log(below) + (1 - want) * ops.log(1 - below)
        # As if summed over the classes' thresholds, so that a grid of years costs about as much as its classes.
        return -thresholds * ops.mean(each, axis=-1)

    return common.class_loss(NAME, attribute, label_smoothing, ordinal)


COMPONENT = Component(NAME, build, "cross-entropy of 'beyond class k?' for every k")
