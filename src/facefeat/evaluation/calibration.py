"""Calibration: probabilities as high as the accuracy, and intervals with the stated coverage. How each is fitted is the
business of the attribute's kind; how it depends on the quality of the face is the same for all, and is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facefeat.data.dataset import check_dataset
from facefeat.image.corrupt import CORRUPTIONS, corrupt_crops
from facefeat.image.quality import TERMS, QualityReader, Term, signals_of
from facefeat.networks.postprocess import REST_RECALL, SOFTENING, Calibration, read_logits
from facefeat.utils.statistics import folds

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.schema import Schema
    from facefeat.types import FloatArray, UInt8Array

SEVERITIES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
"""Of the corrupted faces that a calibration is fitted on, in equal parts."""
MOST = 4.0
"""Softening searched up to: a temperature of 55 at quality 0."""
LEAST_RECALL = 0.4
"""Of the class of all that fits no other, to be an answer."""
UNSURE_BELOW = 0.5
"""Below it an answer is expected to be wrong more often than right."""
WEIGHT_SPREAD = 1.0
"""Standard deviation of the weights of a quality around those of TERMS, before the data."""


def calibrate(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    dataset: FaceDataset,
    *,
    coverage: float = 0.9,
    seed: int = 0,
) -> Calibration:
    """Everything that a preset stores to make its answers honest, fitted on `dataset`.

    logits: attribute -> (N, outputs), in the rows of the data set. coverage: share of faces, 0 to 1, whose number an
    interval is to hold. Unlabelled rows are left out.
    """
    return calibrate_logits(schema, logits, dataset.targets(), coverage=coverage, seed=seed)


def calibrate_logits(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    quality: FloatArray | None = None,
    *,
    reader: QualityReader | None = None,
    coverage: float = 0.9,
    seed: int = 0,
) -> Calibration:
    """`calibrate` on arrays. quality: (N,) of 0 to 1; with it the temperature of attributes with classes depends on it.

    reader: how that quality is measured, which the calibration then carries.
    """
    found = Calibration({}, reader or QualityReader())
    for name, a in schema.attributes.items():
        outputs, softening = logits[name], 0.0
        if quality is not None and a.exclusive:
            softening = fit_softening(a.strategy.matrix(a), outputs, targets[name], quality)  # type: ignore[attr-defined]
            found = replace(found, attributes={**found.attributes, name: {SOFTENING: softening}})
            outputs = found.soften(name, outputs, quality)
        fitted = a.strategy.calibrate(a, outputs, targets[name], coverage, seed)
        soft = {SOFTENING: round(softening, 6)} if softening else {}
        found = replace(found, attributes={**found.attributes, name: {**fitted, **soft}})
    return found


def calibrate_on_corrupted(
    classifier: Classifier,
    dataset: FaceDataset,
    *,
    coverage: float = 0.9,
    unsure_below: float = UNSURE_BELOW,
    seed: int = 0,
) -> Calibration:
    """A calibration that depends on quality: fitted on the faces of a data set, and on a corrupted copy of each.

    unsure_below: quality below which answers are "unsure". Raises DataError for a data set of another schema.
    """
    check_dataset(dataset, classifier.schema)
    clean = dataset.crops(classifier.image_size)[:]
    crops = np.concatenate([clean, corrupted(clean, seed)])
    targets = {n: np.concatenate([t, t]) for n, t in dataset.targets().items()}
    logits = classifier.logits(crops)
    signals = signals_of(crops)
    reader = fit_quality(classifier.schema, logits, targets, signals, unsure_below=unsure_below, seed=seed)
    values = reader.read(signals).values
    found = calibrate_logits(classifier.schema, logits, targets, values, reader=reader, coverage=coverage, seed=seed)
    return _with_rest(found, classifier.schema, {n: z[: len(clean)] for n, z in logits.items()}, dataset.targets())


def _with_rest(
    found: Calibration, schema: Schema, logits: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]
) -> Calibration:
    """With the recall of a class "Others" where it is below LEAST_RECALL, so that it is no answer but an abstention."""
    attributes = dict(found.attributes)
    for name, a in schema.attributes.items():
        if not a.rest:
            continue
        k = a.classes.index(a.rest)
        here = targets[name][:, 0] == k
        if here.any():
            guess = a.strategy.read(a, logits[name], found.of(name)).probabilities[here].argmax(axis=1)
            recall = float((guess == k).mean())
            if recall < LEAST_RECALL:
                attributes[name] = {**attributes[name], REST_RECALL: round(recall, 4)}
    return replace(found, attributes=attributes)


def corrupted(crops: UInt8Array, seed: int = 0) -> UInt8Array:
    """(N, S, S, 3) uint8, each with one corruption at one of SEVERITIES, both drawn."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(CORRUPTIONS) * len(SEVERITIES), len(crops))
    out = crops.copy()
    for pair in np.unique(drawn):
        rows = np.flatnonzero(drawn == pair)
        kind, severity = divmod(int(pair), len(SEVERITIES))
        out[rows] = corrupt_crops(crops[rows], CORRUPTIONS[kind], SEVERITIES[severity], seed)
    return out


def fit_softening(matrix: np.ndarray, outputs: np.ndarray, targets: np.ndarray, quality: np.ndarray) -> float:
    """The softening of the least negative log-likelihood of the classes, with a temperature of its own.

    matrix (M, K): the class of each output. outputs (N, M), targets (N, T): the class first, quality (N,) of 0 to 1.
    """
    from scipy.optimize import minimize

    known = np.isfinite(targets[:, 0])
    z, y, lost = outputs[known].astype("float64"), targets[known, 0].astype(int), 1.0 - quality[known]
    if len(y) < 2 or np.ptp(lost) < 1e-3:
        return 0.0
    rows = np.arange(len(y))

    def loss(at: np.ndarray) -> float:
        scaled = z / np.exp(at[0] + at[1] * lost)[:, None]
        p = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        mass = p @ matrix
        return float(-np.log(np.maximum(mass[rows, y] / mass.sum(axis=1), 1e-12)).mean())

    found = minimize(loss, np.array([0.0, 0.5]), method="L-BFGS-B", bounds=[(-3.0, 3.0), (0.0, MOST)])
    return float(found.x[1])


def fit_quality(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    signals: FloatArray,
    *,
    terms: Sequence[Term] = TERMS,
    unsure_below: float = UNSURE_BELOW,
    seed: int = 0,
) -> QualityReader:
    """Intercept and weights by which the quality is the chance that an answer is right, over all attributes.

    signals (N, 6): a term whose signal is unknown for all faces keeps its weight. The weights are 0 or more.
    """
    batch = read_logits(schema, logits)
    right = [a.strategy.per_face(a, batch.answers[n], targets[n]).get("accuracy") for n, a in schema.attributes.items()]
    rates = np.stack([r for r in right if r is not None] or [np.full(len(signals), np.nan)], axis=1)
    known = np.isfinite(rates).any(axis=1)
    start = QualityReader(terms=tuple(replace(t, weight=1.0) for t in terms))
    short = start.lost(signals)[known].astype("float64")  # (N, terms)
    rate = np.nanmean(rates[known], axis=1)
    weights = np.array([t.weight for t in terms])
    if not known.any():
        return QualityReader(terms=tuple(terms), unsure_below=unsure_below)
    intercept, fitted = _logistic(short, rate, weights)
    held = np.zeros(len(rate))
    for train, test in folds(np.arange(len(rate)), 5, seed):
        at, w = _logistic(short[train], rate[train], weights)
        held[test] = at - short[test] @ w
    measured = {"faces": int(known.sum()), **_judged(held, rate)}
    seen = (short > 0).any(axis=0)
    made = [
        replace(t, weight=round(float(w if s else t.weight), 4)) for t, w, s in zip(terms, fitted, seen, strict=True)
    ]
    return QualityReader(round(intercept, 4), tuple(made), unsure_below, measured)


def _logistic(short: np.ndarray, rate: np.ndarray, prior: np.ndarray) -> tuple[float, np.ndarray]:
    """(intercept, weights >= 0) of the chance to be right: shortfalls (N, terms), share right (N,)."""
    from scipy.optimize import minimize

    held = 1 / (2 * WEIGHT_SPREAD**2 * len(rate))

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        score = at[0] - short @ at[1:]
        p = 1.0 / (1.0 + np.exp(-score))
        value = float((np.logaddexp(0, score) - rate * score).mean() + held * np.square(at[1:] - prior).sum())
        off = (p - rate) / len(rate)
        return value, np.concatenate([[off.sum()], -(off @ short) + 2 * held * (at[1:] - prior)])

    base = float(np.clip(rate.mean(), 0.01, 0.99))
    start = np.concatenate([[math.log(base / (1 - base))], prior])
    bounds = [(-20.0, 20.0), *[(0.0, 20.0)] * len(prior)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), found[1:]


def _judged(score: np.ndarray, rate: np.ndarray) -> dict[str, float]:
    """What held-out faces say: share right in the worst and best fifth by quality."""
    order = np.argsort(score, kind="stable")
    fifth = max(1, len(order) // 5)
    return {
        "held_out_right_in_the_worst_fifth": round(float(rate[order[:fifth]].mean()), 4),
        "held_out_right_in_the_best_fifth": round(float(rate[order[-fifth:]].mean()), 4),
    }
