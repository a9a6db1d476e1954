"""Names of layers that do not depend on what was built before in this process."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def stable_names(model: keras.Model) -> None:
    """Number the layers of a Keras model that Keras named itself from 1: its own counter runs over the whole process.

    For a plugin whose network comes from another library: a preset finds its weights by the names of layers.
    """
    counts: Counter[str] = Counter()
    pending = list(model.layers)
    while pending:
        layer = pending.pop(0)
        pending += getattr(layer, "layers", [])
        kind = _keras_name(type(layer).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            counts[kind] += 1
            layer.name = f"{kind}_{counts[kind]}"


def _keras_name(cls: str) -> str:
    """The name that Keras gives to layers of a class: "SqueezeAndExcite2D" -> "squeeze_and_excite2d"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.sub(r"(?<!^)(?<!_)(?=[A-Z][a-z]+)", "_", cls)).lower()
