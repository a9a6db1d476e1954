"""`mse`: squared error of a number, on a scale on which its range is -1..1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin.losses import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "mse"


def build(*, attribute: Attribute) -> common.Loss:
    """Raises InputError where the attribute is no number."""

    def squared(error: Any) -> Any:
        from keras import ops

        return ops.square(error)

    return common.number_loss(NAME, attribute, squared)


COMPONENT = Component(NAME, build, "squared error of a number")
