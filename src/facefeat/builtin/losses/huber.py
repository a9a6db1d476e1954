"""`huber`: squared error of a number up to `delta`, absolute error beyond: an outlier pulls no harder than others.

Huber, "Robust estimation of a location parameter", 1964.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.losses import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "huber"


def build(*, attribute: Attribute, delta: float = 0.1) -> common.Loss:
    """delta: where the one turns into the other, on a scale on which the range is -1..1. Raises InputError."""
    turn = checks.real(common.check_fit(NAME, attribute), "delta", delta, 1e-4, 2.0)

    def huber(error: Any) -> Any:
        from keras import ops

        size = ops.abs(error)
        # Divided by delta: with any of them, an error far off costs what its size is.
        return ops.where(size <= turn, ops.square(size) / (2 * turn), size - turn / 2)

    return common.number_loss(NAME, attribute, huber)


COMPONENT = Component(NAME, build, "squared error of a number, absolute error of outliers")
