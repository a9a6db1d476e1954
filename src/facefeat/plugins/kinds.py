"""The kind of an attribute by its name, and the one place where an answer is put into words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from facefeat.plugins import registry

if TYPE_CHECKING:
    from facefeat.plugins.contracts import AttributeKind, Wording
    from facefeat.types import AttributePrediction

_BUILTIN = "facefeat.builtin.kinds"
_found: tuple[Any, dict[str, AttributeKind]] = (None, {})


@cache
def _builtin(name: str) -> AttributeKind | None:
    # By name, as the registry finds them; without it, so that plugins may make attributes while they are loaded.
    for component in import_module(_BUILTIN).COMPONENTS:
        if component.name == name:
            kind: AttributeKind = component.build()
            return kind
    return None


def get_kind(name: str) -> AttributeKind:
    """The kind of this name. Raises UnknownComponentError, naming the valid ones; PluginError."""
    own = _builtin(name)
    if own is not None:
        return own
    global _found
    here = registry.get_registry()
    if _found[0] is not here:
        _found = (here, {})
    if name not in _found[1]:
        _found[1][name] = here.build("attribute_kind", name)
    return _found[1][name]


def say(name: str, prediction: AttributePrediction) -> Wording:
    """An answer in words, the same in tables, captions, pictures and pages. name: the attribute's."""
    return get_kind(prediction.kind).say(name.replace("_", " "), prediction)


def captions(predictions: Mapping[str, AttributePrediction]) -> list[str]:
    """A short line for each attribute of a face: "41 years", "Female 97%"."""
    return [say(name, prediction).short for name, prediction in predictions.items()]
