"""Whether a head is linear on the mean feature map, and with which weights: asked of the head, on any runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from facefeat.networks.runtime import BATCH, OnnxRuntime

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier

_found: WeakKeyDictionary[Any, dict[str, np.ndarray] | None] = WeakKeyDictionary()
"""By runtime: the weights of a graph never change, those of a Keras model may."""


def linear_head(classifier: Classifier) -> dict[str, np.ndarray] | None:
    """Attribute -> (D, outputs) float32 weights on the mean feature map; None for a head that is not linear there.

    Of a linear head the class activation map (Zhou et al. 2016, "Learning deep features for discriminative
    localization", CVPR) is exact, and needs no gradient. The weights are what the head answers to single channels.
    """
    runtime = classifier.runtime
    if not isinstance(runtime, OnnxRuntime):
        return _asked(classifier)
    if runtime not in _found:
        _found[runtime] = _asked(classifier)
    return _found[runtime]


def _asked(classifier: Classifier) -> dict[str, np.ndarray] | None:
    h, w, d = classifier.feature_shape
    bias = classifier.logits_of(np.zeros((1, h, w, d), "float32"))
    weights: dict[str, list[np.ndarray]] = {name: [] for name in bias}
    for start in range(0, d, BATCH):
        rows = np.eye(d, dtype="float32")[start : start + BATCH]
        found = classifier.logits_of(np.ascontiguousarray(np.broadcast_to(rows[:, None, None], (len(rows), h, w, d))))
        for name, value in found.items():
            weights[name].append(value - bias[name])
    matrices = {name: np.concatenate(parts) for name, parts in weights.items()}
    features = np.random.default_rng(0).gamma(0.5, 4.0, (8, h, w, d)).astype("float32")
    real = classifier.logits_of(features)
    for name, matrix in matrices.items():
        linear = features.mean(axis=(1, 2)) @ matrix + bias[name]
        if not np.allclose(real[name], linear, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(linear).max()))):
            return None
    return matrices
