"""From a head's logits to what a person reads: calibrated class probabilities, labels and an age in years."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from facefeat.types import FaceBatch

if TYPE_CHECKING:
    import numpy as np

    from facefeat.schema import Attribute, Schema
    from facefeat.types import FloatArray


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, K) logits -> (N, K) float64 probabilities at a temperature (Guo et al., ICML 2017)."""
    import numpy as np

    z = np.asarray(logits, "float64") / temperature
    z = np.exp(z - z.max(axis=1, keepdims=True)) if z.size else z
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def class_probabilities(attribute: Attribute, logits: np.ndarray, temperature: float = 1.0) -> FloatArray:
    """(N, outputs) logits -> (N, K) float32 over the attribute's classes; rows sum to 1."""
    p = softmax(logits, temperature) @ attribute.class_matrix()
    return (p / p.sum(axis=1, keepdims=True)).astype("float32")


def median_years(attribute: Attribute, logits: np.ndarray, temperature: float = 1.0) -> FloatArray:
    """(N, outputs) logits of an attribute with years -> (N,) float32: the median age of the distribution.

    The median has the least mean absolute error of all point estimates. An output that stands for one year holds
    half a year on either side of it; one that stands for a class is spread evenly over its years.
    """
    import numpy as np

    p = softmax(logits, temperature)
    if attribute.exact:
        edges = np.append(np.asarray(attribute.grid, "float64") - 0.5, attribute.grid[-1] + 0.5)
    else:
        # The last class is open above: it counts as twelve years wide, as in Attribute.output_years.
        starts = [float(a) for a, _ in attribute.years]
        last, end = attribute.years[-1]
        edges = np.asarray([*starts, float(min(end + 1, last + 12))]) - 0.5
    cumulative = np.cumsum(p, axis=1)
    k = np.minimum((cumulative < 0.5).sum(axis=1), p.shape[1] - 1)
    rows = np.arange(len(p))
    before = cumulative[rows, k] - p[rows, k]
    inside = np.clip((0.5 - before) / np.maximum(p[rows, k], 1e-12), 0, 1)
    years = edges[k] + inside * (edges[k + 1] - edges[k])
    return np.maximum(years, 0).astype("float32")


def read_logits(schema: Schema, logits: Mapping[str, np.ndarray], temperatures: Mapping[str, float]) -> FaceBatch:
    """Attribute -> (N, outputs) logits, and a temperature each (1 where absent), to a FaceBatch of N faces."""
    import numpy as np

    labels, probabilities, years = {}, {}, None
    for name, attribute in schema.attributes.items():
        t = temperatures.get(name, 1.0)
        p = class_probabilities(attribute, logits[name], t)
        probabilities[name] = p
        labels[name] = np.asarray(attribute.classes)[p.argmax(axis=1)]
        if attribute.years:
            years = median_years(attribute, logits[name], t)
    classes = {n: a.classes for n, a in schema.attributes.items()}
    return FaceBatch(labels, probabilities, classes, years)
