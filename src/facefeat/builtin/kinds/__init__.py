"""The built-in kinds of attributes, one file each: all that differs between a class, an order, a list and a number.

They are imported when an attribute of the kind is made, so that listing them imports no NumPy.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module

from facefeat.plugins.contracts import AttributeKind, Component

_SUMMARIES = {
    "categorical": "one class a face, such as an emotion",
    "ordered": "one class a face, in an order; with years it is an age",
    "multilabel": "any number of classes a face, such as glasses and hat",
    "continuous": "a number with a unit and a range, such as an angle in degrees",
}


def _build(name: str) -> AttributeKind:
    kind: AttributeKind = import_module(f"{__name__}.{name}").KIND
    return kind


COMPONENTS = [Component(name, partial(_build, name), summary) for name, summary in _SUMMARIES.items()]
