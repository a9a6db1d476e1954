"""Significance: paired permutation tests, corrections for many tests, bootstrap intervals. All are seeded."""

from __future__ import annotations

import numpy as np

from facefeat.utils.statistics import interval, resampled_means

PERMUTATIONS = 2000
RESAMPLES = 1000


def holm(p: np.ndarray) -> np.ndarray:
    """(M,) p values corrected for M tests (Holm 1979): the chance of even one false find among all. NaN stays NaN."""
    flat = np.asarray(p, "float64")
    out = np.full(flat.shape, np.nan)
    at = np.flatnonzero(np.isfinite(flat))
    order = at[np.argsort(flat[at], kind="stable")]
    if len(order):
        steps = flat[order] * np.arange(len(order), 0, -1)
        out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return out


def sign_flips(differences: np.ndarray, seed: int, permutations: int = PERMUTATIONS) -> np.ndarray:
    """Paired permutation test of N paired differences (N, M), in each of M columns: is the mean above 0?

    Under the null hypothesis a pair's difference may as well have the other sign. Returns (M,) p values that are
    corrected for the M columns together: a column is compared with the largest of all columns in each permutation
    (Westfall and Young 1993), so columns that go together cost nothing. The smallest is 1 / (permutations + 1).
    """
    n = len(differences)
    # The sum of squares does not change with the signs, so it can stand for the spread in each permutation.
    spread = np.sqrt((differences**2).sum(axis=0))
    scaled = differences / np.where(spread > 0, spread, 1)  # (N, M)
    observed = scaled.sum(axis=0)
    rng = np.random.default_rng(seed)
    at_least = np.zeros(differences.shape[1])
    for start in range(0, permutations, 250):
        signs = rng.integers(0, 2, (min(250, permutations - start), n)) * 2.0 - 1
        largest = (signs @ scaled).max(axis=1)  # (permutations,)
        at_least += (largest[:, None] >= observed[None, :] - 1e-12).sum(axis=0)
    return np.asarray((at_least + 1) / (permutations + 1))


def two_sided(differences: np.ndarray, seed: int, permutations: int = PERMUTATIONS) -> float:
    """p value of the paired permutation test of N differences (N,): is the mean anything else than 0?"""
    scaled = np.asarray(differences, "float64")
    return float(sign_flips(np.stack([scaled, -scaled], axis=1), seed, permutations).min()) if scaled.any() else 1.0


def bootstrap_mean(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % bootstrap interval of the mean of values (N, M) over the N faces: (M,) each."""
    return interval(resampled_means(values, RESAMPLES, seed))


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each column of x (N, D) with y (N,) or (N, D): (D,); 0 where one of them does not vary."""
    y = y[:, None] if y.ndim == 1 else y
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray((a * b).sum(axis=0) / np.where(size > 0, size, np.inf))
