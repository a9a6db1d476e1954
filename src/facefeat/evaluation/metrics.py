"""Metrics from logits and labels, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from facefeat.readout import read_logits

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.schema import Schema
    from facefeat.types import FaceBatch


def score_logits(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    dataset: FaceDataset,
    temperatures: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The metrics of `score_batch`, from attribute -> (N, outputs) logits."""
    return score_batch(schema, read_logits(schema, logits, temperatures or {}), dataset.labels(), dataset.years())


def score_batch(
    schema: Schema, batch: FaceBatch, labels: Mapping[str, np.ndarray], years: np.ndarray
) -> dict[str, float]:
    """Metric name -> value, over the labelled rows of each attribute.

    <attribute>_accuracy: share of right classes. <attribute>_balanced_accuracy: mean recall of the classes present.
    <attribute>_ece: expected calibration error. For an ordered attribute <attribute>_one_off_accuracy: share at most
    one class away. age_mae: mean absolute error in years, where exact years are known (otherwise left out).
    score: by which an epoch is chosen. The mean over the attributes of the accuracy, or, where exact years are known,
    of the share of the error that the model takes off guessing everyone's median age: 1 - MAE / MAE of the median.
    """
    out: dict[str, float] = {}
    skills = []
    for name, attribute in schema.attributes.items():
        known = labels[name] >= 0
        if not known.any():
            continue
        p, y = batch.probabilities[name][known], labels[name][known]
        guess = p.argmax(axis=1)
        skill = out[f"{name}_accuracy"] = float((guess == y).mean())
        out[f"{name}_balanced_accuracy"] = float(np.mean([(guess[y == k] == k).mean() for k in np.unique(y)]))
        if attribute.ordered:
            out[f"{name}_one_off_accuracy"] = float((np.abs(guess - y) <= 1).mean())
        if attribute.years and batch.age_years is not None:
            exact = np.isfinite(years)
            if exact.any():
                mae = out[f"{name}_mae"] = float(np.abs(batch.age_years[exact] - years[exact]).mean())
                spread = float(np.abs(np.median(years[exact]) - years[exact]).mean())
                skill = 1 - mae / spread if spread else skill
        out[f"{name}_ece"] = expected_calibration_error(p, y)
        skills.append(skill)
    out["score"] = float(np.mean(skills)) if skills else 0.0
    return out


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence (Guo et al., ICML 2017).

    probabilities (N, K), labels (N,) int; 0 is perfect.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for b in np.unique(place):
        here = place == b
        total += here.mean() * abs(confidence[here].mean() - right[here].mean())
    return float(total)
