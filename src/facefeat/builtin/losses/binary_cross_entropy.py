"""`binary-cross-entropy`: each class of a list is learnt alone; the cost of a face is the mean over the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.losses import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "binary-cross-entropy"


def build(*, attribute: Attribute, label_smoothing: float = 0.0) -> common.Loss:
    """label_smoothing: how far 0 and 1 are moved towards a half. Raises InputError."""
    what = common.check_fit(NAME, attribute)
    smoothing = checks.real(what, "label_smoothing", label_smoothing, 0.0, 1.0, below=True)

    def loss(target: Any, outputs: Any) -> Any:
        from keras import ops

        unknown = ops.isnan(target)
        here = ops.where(unknown, ops.zeros_like(target), target) * (1 - smoothing) + smoothing / 2
        z = ops.cast(outputs, "float32")
        each = -(here * ops.log_sigmoid(z) + (1 - here) * ops.log_sigmoid(-z))  # (B, K)
        return ops.mean(ops.where(unknown, ops.zeros_like(each), each), axis=-1)

    return loss


COMPONENT = Component(NAME, build, "of each class of a list alone")
