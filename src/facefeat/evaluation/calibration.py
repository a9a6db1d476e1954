"""Calibration: probabilities that hold what they say, and an age interval that covers what it says.

One temperature per attribute (Guo et al., "On calibration of modern neural networks", ICML 2017), and for an attribute
where faces that were held out gain by it, one bias per class (the "bias-corrected temperature scaling" of Alexandari et
al., "Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation", ICML 2020). The age
interval is a split-conformal one whose score is the place of the true age in the predicted distribution (Chernozhukov
et al., "Distributional conformal prediction", PNAS 2021): it is narrow for a baby and wide for a face at fifty, where
the additive margin of conformalised quantile regression (Romano et al., NeurIPS 2019) would be the same for both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.evaluation.metrics import expected_calibration_error, perfect_calibration_error
from facefeat.networks.postprocess import Calibration, IntervalLevels, interval_of, output_probabilities, softmax
from facefeat.utils.statistics import folds

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.schema import Attribute, Schema

BOUNDS = (0.05, 20.0)
"""Temperatures searched. One at a bound says that the logits carry no information."""
FACES_PER_BIAS = 20
"""Labelled faces per class below which a bias for each class is not tried."""
FOLDS = 5
BIAS_SPREAD = 2.0
"""Standard deviation of the biases before the data: it keeps that of a class without faces finite."""
FEWEST_FOR_INTERVAL = 40

Fit = tuple[float, "tuple[float, ...] | None"]


def calibrate(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    dataset: FaceDataset,
    *,
    coverage: float = 0.9,
    seed: int = 0,
) -> Calibration:
    """Everything that a preset stores to make its answers honest, fitted on `dataset`.

    logits: attribute -> (N, outputs), in the rows of the data set. coverage: share of faces, 0 to 1, whose age the
    interval is to hold. Unlabelled rows are left out; an attribute without any label keeps temperature 1. What the
    choice was measured to bring on held-out folds is in `.measured`; it makes no difference to a prediction.
    """
    labels, temperatures, biases = dataset.labels(), {}, {}
    measured: dict[str, Any] = {}
    for name, attribute in schema.attributes.items():
        known = labels[name] >= 0
        if not known.any():
            temperatures[name] = 1.0
            continue
        z, y = logits[name][known], labels[name][known]
        with_bias, measured[name] = _choose(attribute, z, y, seed)
        temperatures[name], bias = fit(attribute, z, y, with_bias)
        if bias is not None:
            biases[name] = bias
    interval = None
    if schema.age is not None:
        age, known = schema.age, _age_places(schema.age, dataset) >= 0
        if known.sum() >= FEWEST_FOR_INTERVAL:
            z, y, place = logits[age.name][known], labels[age.name][known], _age_places(age, dataset)[known]
            found = temperatures[age.name], biases.get(age.name)
            interval = fit_interval(output_probabilities(age, z, *found), place, coverage)
            measured["interval"] = _try_interval(age, z, y, place, coverage, age.name in biases, seed)
    return Calibration(temperatures, biases, interval, measured)


def fit(attribute: Attribute, logits: np.ndarray, labels: np.ndarray, with_bias: bool) -> Fit:
    """The temperature, and with it a bias per class, of the least negative log-likelihood of the classes.

    logits (N, outputs), labels (N,) int. The biases have a normal prior of BIAS_SPREAD.
    """
    from scipy.optimize import minimize, minimize_scalar

    classes, n = len(attribute.classes), len(labels)
    target = np.eye(classes)[labels]
    bias = np.zeros(classes)
    temperature = 1.0

    def at(log_t: float) -> float:
        return _loss(_mass(attribute, logits, math.exp(log_t), bias), labels)

    def gradient(b: np.ndarray, log_mass: np.ndarray) -> tuple[float, np.ndarray]:
        p = softmax(log_mass + b)
        prior = 1 / (2 * BIAS_SPREAD**2 * n)
        return _loss(p, labels) + prior * float(b @ b), (p - target).mean(axis=0) + 2 * prior * b

    for _ in range(2 if with_bias else 1):
        # The temperature acts on years and the biases on classes, so they take turns.
        bounds = (math.log(BOUNDS[0]), math.log(BOUNDS[1]))
        temperature = math.exp(minimize_scalar(at, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x)
        if with_bias:
            log_mass = np.log(np.maximum(_mass(attribute, logits, temperature), 1e-12))
            bias = minimize(gradient, bias, args=(log_mass,), jac=True, method="L-BFGS-B").x
    return temperature, tuple(float(b) for b in bias) if with_bias else None


def fit_interval(outputs: np.ndarray, places: np.ndarray, coverage: float) -> IntervalLevels:
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
    return IntervalLevels(coverage, low, high)


def covered(attribute: Attribute, outputs: np.ndarray, places: np.ndarray, levels: IntervalLevels) -> np.ndarray:
    """(N,) bool: whether the interval of each row of `outputs` (N, M) holds the true age's column."""
    years = np.asarray(attribute.grid if attribute.exact else [a for a, _ in attribute.years], "float32")[places]
    found = interval_of(attribute, outputs, levels)
    return np.asarray((found[:, 0] <= years) & (years <= found[:, 1]))


def _age_places(age: Attribute, dataset: FaceDataset) -> np.ndarray:
    """(N,) int: the output that stands for each face's age, -1 where that is unknown."""
    if not age.exact:
        return np.asarray(dataset.labels()[age.name])
    years = dataset.years()
    known = np.isfinite(years)
    place = np.full(len(years), -1)
    place[known] = np.clip(np.floor(years[known]).astype(int) - age.grid[0], 0, age.outputs - 1)
    return place


def _choose(attribute: Attribute, z: np.ndarray, y: np.ndarray, seed: int) -> tuple[bool, dict[str, Any]]:
    """Whether biases gain more than one standard error on held-out faces, and what was measured there."""
    n = len(y)
    if n < max(2 * FOLDS, FACES_PER_BIAS * len(attribute.classes)):
        return False, {"faces": n, "method": "temperature"}
    held: dict[bool, np.ndarray] = {b: np.zeros((n, len(attribute.classes))) for b in (False, True)}
    for train, test in folds(np.arange(n), FOLDS, seed):
        for with_bias, p in held.items():
            p[test] = _mass(attribute, z[test], *fit(attribute, z[train], y[train], with_bias))
    losses = {b: -np.log(np.maximum(p[np.arange(n), y], 1e-12)) for b, p in held.items()}
    gain = losses[False] - losses[True]
    better = bool(gain.mean() > gain.std() / math.sqrt(n))
    p = held[better]
    return better, {
        "faces": n,
        "method": "temperature and class biases" if better else "temperature",
        "held_out_nll": round(float(losses[better].mean()), 4),
        "held_out_ece": round(expected_calibration_error(p, y), 4),
        "perfect_ece": round(perfect_calibration_error(p), 4),
        "held_out_nll_gain_of_biases": round(float(gain.mean()), 4),
    }


def _try_interval(
    age: Attribute, z: np.ndarray, y: np.ndarray, place: np.ndarray, coverage: float, with_bias: bool, seed: int
) -> dict[str, Any]:
    """Coverage and width on the halves of the faces on which nothing was fitted, over two ways to halve them."""
    hits, widths = [], []
    for repeat in range(2):
        for train, test in folds(np.arange(len(place)), 2, seed + repeat):
            known = train[y[train] >= 0]
            found = fit(age, z[known], y[known], with_bias)
            levels = fit_interval(output_probabilities(age, z[train], *found), place[train], coverage)
            outputs = output_probabilities(age, z[test], *found)
            hits.append(float(covered(age, outputs, place[test], levels).mean()))
            ends = interval_of(age, outputs, levels)
            widths.append(float((ends[:, 1] - ends[:, 0]).mean()))
    return {
        "faces": len(place),
        "held_out_coverage": round(float(np.mean(hits)), 4),
        "held_out_mean_width_years": round(float(np.mean(widths)), 2),
    }


def _mass(attribute: Attribute, logits: np.ndarray, temperature: float, bias: Any = None) -> np.ndarray:
    """(N, K) float64 probabilities of the classes."""
    p = output_probabilities(attribute, logits, temperature, bias) @ attribute.class_matrix()
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _loss(p: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-12)).mean())
