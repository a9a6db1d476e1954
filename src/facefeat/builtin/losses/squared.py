"""`squared`: of an order the squared error of the expected place on -1..1, else that of the probabilities. It is the
loss of the original experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin.losses import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "squared"


def build(*, attribute: Attribute, label_smoothing: float = 0.0) -> common.Loss:
    """label_smoothing: as of cross-entropy. Raises InputError."""
    has_order, n = attribute.axis is not None, attribute.outputs

    def squared(soft: Any, log_p: Any) -> Any:
        from keras import ops

        p = ops.exp(log_p)
        if has_order:
            return ops.square(ops.matmul(p - soft, ops.linspace(-1.0, 1.0, n, dtype="float32")[:, None])[:, 0])
        return ops.sum(ops.square(p - soft), axis=-1) / 2

    return common.class_loss(NAME, attribute, label_smoothing, squared)


COMPONENT = Component(NAME, build, "squared error of the expected place, or of the probabilities")
