"""Metrics from predictions and labels, as plain numbers; every one takes weights, so that a bootstrap costs little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from facefeat.networks.postprocess import Calibration, read_logits
from facefeat.utils.weighted import calibration_error

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.schema import Schema
    from facefeat.types import FaceBatch


def score_logits(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    dataset: FaceDataset,
    calibration: Calibration | None = None,
) -> dict[str, float]:
    """The metrics of `score_batch`, from attribute -> (N, outputs) of a head."""
    return score_batch(schema, read_logits(schema, logits, calibration), dataset.targets())


def score_batch(schema: Schema, batch: FaceBatch, targets: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Metric name -> value, over the labelled rows of each attribute.

    <attribute>_<measure>: those of its kind: `AttributeKind.measures` says what they mean.
    score: by which an epoch is chosen. The mean over the attributes of what their kinds call their skill: the accuracy,
    or, where numbers are known, the share of the error that the model takes off guessing everyone's median.
    targets: attribute -> (N, T).
    """
    found = weighted_scores(schema, batch, targets, np.ones((1, len(batch))))
    return {k: float(v[0]) for k, v in found.items() if np.isfinite(v[0])}


def weighted_scores(
    schema: Schema, batch: FaceBatch, targets: Mapping[str, np.ndarray], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of `score_batch` under each row of `weights` (B, N): name -> (B,), NaN where nothing has a weight."""
    out: dict[str, np.ndarray] = {}
    skills = []
    for name, attribute in schema.attributes.items():
        found = attribute.strategy.score(attribute, batch.answers[name], targets[name], weights)
        if found:
            skills.append(found.pop("skill"))
        out |= {f"{name}_{measure}": values for measure, values in found.items()}
    out["score"] = np.mean(skills, axis=0) if skills else np.zeros(len(weights))
    return out


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Of (N, K) probabilities and (N,) int labels; see `utils.weighted.calibration_error`."""
    right = probabilities.argmax(axis=1) == labels
    return float(calibration_error(probabilities.max(axis=1), right, np.ones((1, len(labels))))[0])
