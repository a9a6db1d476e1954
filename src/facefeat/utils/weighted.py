"""Means, medians and calibration errors under many weightings at once, so that a bootstrap costs little."""

from __future__ import annotations

import numpy as np

ECE_BINS = 15


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) values under (B, N) weights -> (B,) means, NaN where the weights are 0."""
    total = weights.sum(axis=1)
    return np.where(total > 0, weights @ values.astype("float64") / np.where(total > 0, total, 1), np.nan)


def mean_of_finite(columns: list[np.ndarray]) -> np.ndarray:
    """Mean over the arrays (B,) of a list, leaving out NaN."""
    stacked = np.stack(columns)
    finite = np.isfinite(stacked)
    count = finite.sum(axis=0)
    return np.where(count > 0, np.where(finite, stacked, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
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


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray, bins: int = ECE_BINS
) -> np.ndarray:
    """(B,): the mean gap between confidence (N,) and share right (N,) over equal-width bins, under weights (B, N).

    The expected calibration error of Guo et al., "On calibration of modern neural networks", ICML 2017; 0 is perfect.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total, gap = weights.sum(axis=1), confidence.astype("float64") - right
    # A bin's share times the gap of its means is the gap of its sums.
    gaps = sum(np.abs(weights[:, place == b] @ gap[place == b]) for b in np.unique(place))
    return np.where(total > 0, gaps / np.where(total > 0, total, 1), np.nan)


def perfect_calibration_error(confidence: np.ndarray, rounds: int = 100, seed: int = 0) -> float:
    """The error that chance alone gives a perfectly calibrated model on as many answers: what to compare it with.

    confidence (N,). Labels are drawn from it, `rounds` times (Bröcker & Smith, "Increasing the reliability of
    reliability diagrams", 2007, draw them so).
    """
    rng, n = np.random.default_rng(seed), len(confidence)
    place = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    drawn = (rng.random(n) < confidence for _ in range(rounds))
    gaps = [np.abs(np.bincount(place, weights=confidence - right)).sum() for right in drawn]
    return float(np.mean(gaps)) / n if n else float("nan")
