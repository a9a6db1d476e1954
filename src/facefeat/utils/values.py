"""Equality of results that hold arrays: a dataclass's own would ask whether an array is true, and fail."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ByValue:
    """For dataclasses with `eq=False`: equal where all fields are, arrays by their values. They have no hash."""

    __hash__ = None  # type: ignore[assignment]  # what may equal another object has no identity to be found by

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine: DataclassInstance = self  # type: ignore[assignment]
        return all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(mine) if f.compare)


def _equal(one: Any, other: Any) -> bool:
    import numpy as np

    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        if type(one) is not type(other):
            return False
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f"))
    return bool(one == other)
