"""Numbers and probabilities as people read them."""

from __future__ import annotations

import math

from facefeat.plugins.contracts import Wording
from facefeat.types import AttributePrediction
from facefeat.utils.text import percent

CLEAR = 0.6
"""A class less probable than this is given with its runner-up."""


def number(value: float, decimals: int = 0) -> str:
    """A number with so many decimals; "?" where it is none."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else "?"


def class_words(prediction: AttributePrediction) -> Wording:
    """The most probable class, and the next one where the first is no clear answer: "White 45% or Asian 40%"."""
    if prediction.abstained:
        why = f" ({prediction.why})" if prediction.why else ""
        return Wording(prediction.label, (prediction.label,), prediction.label + why)
    lines = [f"{prediction.label} {percent(prediction.probability)}"]
    others = [(p, c) for c, p in prediction.probabilities.items() if c != prediction.label and math.isfinite(p)]
    if others and not (prediction.probability or 0) >= CLEAR:
        p, c = max(others, key=lambda pc: pc[0])
        lines.append(f"{c} {percent(p)}")
    return Wording(lines[0], tuple(lines), " or ".join(lines))
