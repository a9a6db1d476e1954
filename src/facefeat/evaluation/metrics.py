"""Metrics from logits and labels, as plain numbers; every one takes weights, so that a bootstrap costs little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from facefeat.networks.postprocess import Calibration, read_logits

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.schema import Schema
    from facefeat.types import FaceBatch

ECE_BINS = 15


def score_logits(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    dataset: FaceDataset,
    calibration: Calibration | None = None,
) -> dict[str, float]:
    """The metrics of `score_batch`, from attribute -> (N, outputs) logits."""
    batch = read_logits(schema, logits, calibration or Calibration())
    return score_batch(schema, batch, dataset.labels(), dataset.years())


def score_batch(
    schema: Schema, batch: FaceBatch, labels: Mapping[str, np.ndarray], years: np.ndarray
) -> dict[str, float]:
    """Metric name -> value, over the labelled rows of each attribute.

    <attribute>_accuracy: share of right classes. <attribute>_balanced_accuracy: mean recall of the classes present.
    <attribute>_ece: expected calibration error. For an ordered attribute <attribute>_one_off_accuracy: share at most
    one class away. age_mae: mean absolute error in years, where exact years are known (otherwise left out).
    age_coverage: share of the exact years inside the age interval, where there is one.
    score: by which an epoch is chosen. The mean over the attributes of the accuracy, or, where exact years are known,
    of the share of the error that the model takes off guessing everyone's median age: 1 - MAE / MAE of the median.
    """
    found = weighted_scores(schema, batch, labels, years, np.ones((1, len(years))))
    return {k: float(v[0]) for k, v in found.items() if np.isfinite(v[0])}


def weighted_scores(
    schema: Schema, batch: FaceBatch, labels: Mapping[str, np.ndarray], years: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of `score_batch` under each row of `weights` (B, N): name -> (B,), NaN where nothing has a weight."""
    out: dict[str, np.ndarray] = {}
    skills = []
    for name, attribute in schema.attributes.items():
        known = labels[name] >= 0
        if not known.any():
            continue
        p, y, w = batch.probabilities[name][known], labels[name][known], weights[:, known]
        guess = p.argmax(axis=1)
        right = guess == y
        skill = out[f"{name}_accuracy"] = mean(right, w)
        recalls = [mean(right[y == k], w[:, y == k]) for k in np.unique(y)]
        out[f"{name}_balanced_accuracy"] = _mean_of_finite(recalls)
        if attribute.ordered:
            out[f"{name}_one_off_accuracy"] = mean(np.abs(guess - y) <= 1, w)
        exact = np.isfinite(years)
        if attribute.years and batch.age_years is not None and exact.any():
            true, w_exact = years[exact], weights[:, exact]
            mae = out[f"{name}_mae"] = mean(np.abs(batch.age_years[exact] - true), w_exact)
            middle = _medians(true, w_exact)
            spread = np.array([mean(np.abs(m - true), v[None])[0] for m, v in zip(middle, w_exact, strict=True)])
            skill = np.where(spread > 0, 1 - mae / np.where(spread > 0, spread, 1), skill)
            if batch.age_interval is not None:
                low, high = batch.age_interval[exact].T
                out[f"{name}_coverage"] = mean((low <= true) & (np.floor(true) <= high), w_exact)
        out[f"{name}_ece"] = _ece(p.max(axis=1), right, w)
        skills.append(skill)
    out["score"] = np.mean(skills, axis=0) if skills else np.zeros(len(weights))
    return out


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) values under (B, N) weights -> (B,) means, NaN where the weights are 0."""
    total = weights.sum(axis=1)
    return np.where(total > 0, weights @ values.astype("float64") / np.where(total > 0, total, 1), np.nan)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence (Guo et al., ICML 2017).

    probabilities (N, K), labels (N,) int; 0 is perfect.
    """
    right = probabilities.argmax(axis=1) == labels
    return float(_ece(probabilities.max(axis=1), right, np.ones((1, len(labels))), bins)[0])


def perfect_calibration_error(probabilities: np.ndarray, rounds: int = 100, seed: int = 0) -> float:
    """The ECE that chance alone gives a perfectly calibrated model on as many faces: what to compare an ECE with.

    probabilities (N, K). Labels are drawn from them, `rounds` times (Bröcker & Smith, "Increasing the reliability of
    reliability diagrams", 2007, draw them so).
    """
    confidence, rng = probabilities.max(axis=1), np.random.default_rng(seed)
    weights = np.ones((1, len(confidence)))
    return float(
        np.mean([_ece(confidence, rng.random(len(confidence)) < confidence, weights)[0] for _ in range(rounds)])
    )


def _ece(confidence: np.ndarray, right: np.ndarray, weights: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total, gap = weights.sum(axis=1), confidence.astype("float64") - right
    # A bin's share times the gap of its means is the gap of its sums.
    gaps = sum(np.abs(weights[:, place == b] @ gap[place == b]) for b in np.unique(place))
    return np.where(total > 0, gaps / np.where(total > 0, total, 1), np.nan)


def _mean_of_finite(columns: list[np.ndarray]) -> np.ndarray:
    """Mean over the arrays (B,) of a list, leaving out NaN."""
    stacked = np.stack(columns)
    finite = np.isfinite(stacked)
    count = finite.sum(axis=0)
    return np.where(count > 0, np.where(finite, stacked, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) values, each as often as (B, N) whole weights say -> (B,) medians; NaN without any."""
    order = np.argsort(values)
    ordered, upto = values[order].astype("float64"), np.cumsum(weights[:, order], axis=1)
    total = upto[:, -1]
    out = np.full(len(weights), np.nan)
    for b in np.flatnonzero(total > 0):
        # Where exactly half lies on either side, the mean of the two in the middle.
        low = np.searchsorted(upto[b], total[b] / 2, side="left")
        high = np.searchsorted(upto[b], total[b] / 2, side="right")
        out[b] = (ordered[low] + ordered[high]) / 2
    return out
