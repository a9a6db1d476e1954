"""`cross-entropy`: of the class, or of the year where labels are exact years."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin.losses import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "cross-entropy"


def cross_entropy(soft: Any, log_p: Any) -> Any:
    """Target distribution (B, M), log-probabilities (B, M) -> (B,)."""
    from keras import ops

    return -ops.sum(soft * log_p, axis=-1)


def build(*, attribute: Attribute, label_smoothing: float = 0.0) -> common.Loss:
    """label_smoothing: share of the target spread evenly over all outputs. Raises InputError."""
    return common.class_loss(NAME, attribute, label_smoothing, cross_entropy)


COMPONENT = Component(NAME, build, "of the class, or of the exact year")
