"""`continuous`: a number with a unit and a range, such as the yaw of a head in degrees.

A head has one output: -1 at the low end of the range, 1 at the high one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin.kinds.number import NumberKind

if TYPE_CHECKING:
    from facefeat.schema import Attribute


def _scale(attribute: Attribute) -> tuple[float, float]:
    """The middle of the range, and half of its width."""
    low, high = attribute.options["range"]
    return (low + high) / 2, (high - low) / 2


def decode(attribute: Attribute, outputs: Any, ops: Any) -> Any:
    """(B, 1) -> (B,) in the attribute's unit."""
    middle, half = _scale(attribute)
    return outputs[:, 0] * half + middle


def encode(attribute: Attribute, values: Any, ops: Any) -> Any:
    """(B,) -> (B, 1) in -1..1."""
    middle, half = _scale(attribute)
    return ops.reshape((values - middle) / half, (-1, 1))


def difference(attribute: Attribute, a: Any, b: Any) -> Any:
    """(N,): a - b."""
    return a - b


KIND = NumberKind("continuous", 1, decode, encode, difference)
