"""Calibration of classes, and intervals, fitted on labelled faces.

One temperature per attribute (Guo et al., "On calibration of modern neural networks", ICML 2017), and for an attribute
where faces that were held out gain by it, one bias per class (the "bias-corrected temperature scaling" of Alexandari et
al., "Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation", ICML 2020). The
interval of an age is a split-conformal one whose score is the place of the true age in the predicted distribution
(Chernozhukov et al., "Distributional conformal prediction", PNAS 2021): it is narrow for a baby and wide for a face at
fifty, where the additive margin of conformalised quantile regression (Romano et al., NeurIPS 2019) would be the same
for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from facefeat.builtin.kinds.classes import class_probabilities, output_probabilities, softmax
from facefeat.utils.statistics import folds
from facefeat.utils.weighted import calibration_error, perfect_calibration_error

BOUNDS = (0.05, 20.0)
"""Temperatures searched. One at a bound says that the logits carry no information."""
FACES_PER_BIAS = 20
"""Labelled faces per class below which a bias for each class is not tried."""
FOLDS = 5
MAX_BIAS = 100.0
"""No larger one is read from a preset: it would answer in place of the model."""
BIAS_SPREAD = 2.0
"""Standard deviation of the biases before the data: it keeps that of a class without faces finite."""
FEWEST_FOR_INTERVAL = 40

Fit = tuple[float, "tuple[float, ...] | None"]


def fit_classes(matrix: np.ndarray, logits: np.ndarray, labels: np.ndarray, seed: int) -> tuple[Fit, dict[str, Any]]:
    """The temperature and, where it gains, the biases of an attribute; and what was measured on held-out faces.

    matrix (M, K), logits (N, M), labels (N,) int.
    """
    with_bias, measured = _choose(matrix, logits, labels, seed)
    return fit(matrix, logits, labels, with_bias), measured


def fit(matrix: np.ndarray, logits: np.ndarray, labels: np.ndarray, with_bias: bool) -> Fit:
    """The temperature, and with it a bias per class, of the least negative log-likelihood of the classes.

    The biases have a normal prior of BIAS_SPREAD.
    """
    from scipy.optimize import minimize, minimize_scalar

    classes, n = matrix.shape[1], len(labels)
    target = np.eye(classes)[labels]
    bias = np.zeros(classes)
    temperature = 1.0

    def at(log_t: float) -> float:
        return _loss(_mass(matrix, logits, math.exp(log_t), bias), labels)

    def gradient(b: np.ndarray, log_mass: np.ndarray) -> tuple[float, np.ndarray]:
        p = softmax(log_mass + b)
        prior = 1 / (2 * BIAS_SPREAD**2 * n)
        return _loss(p, labels) + prior * float(b @ b), (p - target).mean(axis=0) + 2 * prior * b

    for _ in range(2 if with_bias else 1):
        # The temperature acts on years and the biases on classes, so they take turns.
        bounds = (math.log(BOUNDS[0]), math.log(BOUNDS[1]))
        temperature = math.exp(minimize_scalar(at, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x)
        if with_bias:
            log_mass = np.log(np.maximum(_mass(matrix, logits, temperature), 1e-12))
            bias = minimize(gradient, bias, args=(log_mass,), jac=True, method="L-BFGS-B").x
    return temperature, tuple(float(b) for b in bias) if with_bias else None


def fit_levels(outputs: np.ndarray, places: np.ndarray, coverage: float) -> dict[str, float]:
    """The levels of intervals that leave out half of 1 - coverage of the faces on either side.

    outputs (N, M) calibrated probabilities, places (N,) int: the column that holds each face's true age. With the
    correction for finite samples, a new face of the same kind is covered with at least `coverage`.
    """
    rows, n, tail = np.arange(len(places)), len(places), (1 - coverage) / 2
    upto = np.cumsum(outputs, axis=1)[rows, places]
    below = upto - outputs[rows, places]
    left_out = math.floor(tail * (n + 1) + 1e-9)
    # An interval covers a face where upto > low and below < high, so the levels stand just outside the last one kept.
    low = float(np.sort(upto)[left_out - 1]) if left_out else -1.0
    high = float(np.sort(below)[n - left_out]) if left_out else 2.0
    return {"coverage": coverage, "low": low, "high": high}


def try_interval(
    n: int, seed: int, ends: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """Coverage and width on the halves of n faces on which nothing was fitted, over two ways to halve them.

    ends: rows to fit on, rows to try on -> whether each is covered (M,), and how wide its interval is (M,).
    """
    hits, widths = [], []
    for repeat in range(2):
        for train, test in folds(np.arange(n), 2, seed + repeat):
            inside, width = ends(train, test)
            hits.append(float(inside.mean()))
            widths.append(float(width.mean()))
    return {
        "faces": n,
        "held_out_coverage": round(float(np.mean(hits)), 4),
        "held_out_mean_width": round(float(np.mean(widths)), 2),
    }


def check_levels(value: Any) -> dict[str, float]:
    """What `fit_levels` gave, out of a file. Raises KeyError, TypeError or ValueError for anything else."""
    levels = {k: float(value[k]) for k in ("coverage", "low", "high")}
    if not 0 < levels["coverage"] < 1 or not -1 <= levels["low"] < levels["high"] <= 2:
        raise ValueError(f"calibration.interval is not possible: {dict(value)}")
    return levels


def _choose(matrix: np.ndarray, z: np.ndarray, y: np.ndarray, seed: int) -> tuple[bool, dict[str, Any]]:
    """Whether biases gain more than one standard error on held-out faces, and what was measured there."""
    n, classes = len(y), matrix.shape[1]
    if n < max(2 * FOLDS, FACES_PER_BIAS * classes):
        return False, {"faces": n, "method": "temperature"}
    held: dict[bool, np.ndarray] = {b: np.zeros((n, classes)) for b in (False, True)}
    for train, test in folds(np.arange(n), FOLDS, seed):
        for with_bias, p in held.items():
            p[test] = _mass(matrix, z[test], *fit(matrix, z[train], y[train], with_bias))
    losses = {b: -np.log(np.maximum(p[np.arange(n), y], 1e-12)) for b, p in held.items()}
    gain = losses[False] - losses[True]
    better = bool(gain.mean() > gain.std() / math.sqrt(n))
    confidence, right = held[better].max(axis=1), held[better].argmax(axis=1) == y
    return better, {
        "faces": n,
        "method": "temperature and class biases" if better else "temperature",
        "held_out_nll": round(float(losses[better].mean()), 4),
        "held_out_ece": round(float(calibration_error(confidence, right, np.ones((1, n)))[0]), 4),
        "perfect_ece": round(perfect_calibration_error(confidence), 4),
        "held_out_nll_gain_of_biases": round(float(gain.mean()), 4),
    }


def _mass(matrix: np.ndarray, logits: np.ndarray, temperature: float, bias: Any = None) -> np.ndarray:
    """(N, K) float64 probabilities of the classes."""
    return class_probabilities(matrix, output_probabilities(matrix, logits, temperature, bias))


def _loss(p: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-12)).mean())
