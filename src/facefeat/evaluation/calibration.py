"""Calibration: one temperature per attribute (Guo et al., "On calibration of modern neural networks", ICML 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from facefeat.readout import class_probabilities

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.schema import Schema

BOUNDS = (0.05, 20.0)
"""Temperatures searched. One at a bound says that the logits carry no information."""


def calibrate(schema: Schema, logits: Mapping[str, np.ndarray], dataset: FaceDataset) -> dict[str, float]:
    """Attribute -> the temperature with the least negative log-likelihood of the classes on `dataset`.

    logits: attribute -> (N, outputs), in the rows of the data set. Unlabelled rows are left out; an attribute
    without any label keeps temperature 1.
    """
    from scipy.optimize import minimize_scalar

    labels, out = dataset.labels(), {}
    for name, attribute in schema.attributes.items():
        known = labels[name] >= 0
        if not known.any():
            out[name] = 1.0
            continue
        z, y = logits[name][known], labels[name][known]

        def loss(log_t: float, a: object = attribute, z: np.ndarray = z, y: np.ndarray = y) -> float:
            p = class_probabilities(a, z, float(np.exp(log_t)))  # type: ignore[arg-type]
            return float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())

        found = minimize_scalar(loss, bounds=tuple(np.log(BOUNDS)), method="bounded")
        out[name] = float(np.exp(found.x))
    return out
