"""`focal`: cross-entropy, less of it where the model is already right (Lin et al., "Focal loss for dense object
detection", ICCV 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.losses import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "focal"


def build(*, attribute: Attribute, gamma: float = 2.0, label_smoothing: float = 0.0) -> common.Loss:
    """gamma: how much less; 0 is cross-entropy. label_smoothing: as of cross-entropy. Raises InputError."""
    power = checks.real(common.check_fit(NAME, attribute), "gamma", gamma, 0.0, 20.0)

    def focal(soft: Any, log_p: Any) -> Any:
        from keras import ops

        return -ops.sum(soft * ops.power(1 - ops.exp(log_p), power) * log_p, axis=-1)

    return common.class_loss(NAME, attribute, label_smoothing, focal)


COMPONENT = Component(NAME, build, "cross-entropy, less of it where the model is already right")
