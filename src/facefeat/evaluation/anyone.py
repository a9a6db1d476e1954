"""The audit of predictions that are there already, from any model: `facefeat audit`, and `facefeat.audit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.evaluation.audit import (
    Audit,
    answered,
    class_tables,
    errors_of,
    measure_groups,
    reliability,
    require_extra,
)
from facefeat.evaluation.groups import Groups, group_means
from facefeat.evaluation.minors import measure_minors
from facefeat.evaluation.predictions import Predictions, Scored, read_predictions
from facefeat.evaluation.report import Report
from facefeat.utils.statistics import interval
from facefeat.utils.weighted import ECE_BINS, calibration_error, perfect_calibration_error

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.types import UInt8Array

MOST_FOR_CURVES = 100_000
"""Faces that a curve of abstaining is drawn from."""


def audit(
    source: Any,
    *,
    dataset: FaceDataset | None = None,
    size: int = 224,
    mapped: Sequence[str] = (),
    name: str = "",
    bootstrap: int = 500,
    seed: int = 0,
) -> Audit:
    """Audit any model: from a table of its predictions, or by asking it about a labelled data set.

    Args:
        source: a DataFrame or the path of a CSV or Parquet file, with a row for each face: label, prediction and,
            where there are, probabilities and groups. Or a function: crops (N, size, size, 3) uint8 -> attribute ->
            (N, K) probabilities, in the order of the data set's classes; then `dataset` is needed.
        dataset: of `facefeat.data.load_dataset`.
        size: side of the crops that the function is given, in pixels.
        mapped: what columns are, where the guess is wrong: "gender.truth=sex", "group=country", "map.toml".
        name: what the page calls the model; by default the file's name.
        bootstrap: resamples for the 95 % intervals; 0 for none.
        seed: of the resamples.

    Returns:
        An `Audit`: `.report`, `.groups`, `.to_dict()`, and `.save(folder)` for the page.

    Raises:
        InputError: for columns that cannot be found or do not fit.
        DataError: for a file that cannot be read, or a data set without labels.
        MissingExtraError: without the extra `audit`.

    Example:
        >>> import facefeat
        >>> page = facefeat.audit("predictions.csv", bootstrap=50).save("report")
    """
    require_extra()
    if callable(source):
        if dataset is None:
            raise InputError(
                "a function needs a data set to be asked about: audit(function, dataset=load_dataset(...))"
            )
        return measure_predictions(ask(source, dataset, size, name), bootstrap, seed)
    return measure_predictions(read_predictions(source, mapped, name), bootstrap, seed)


def ask(
    model: Callable[[UInt8Array], Mapping[str, np.ndarray]], dataset: FaceDataset, size: int, name: str = ""
) -> Predictions:
    """What a function crops -> attribute -> (N, K) probabilities says of a data set. Raises InputError for others."""
    from facefeat.evaluation.columns import Columns

    crops = dataset.crops(size)
    found: dict[str, list[np.ndarray]] = {}
    for i in range(0, len(crops), 256):
        some = np.asarray(crops[i : i + 256])
        answers = model(some)
        if not isinstance(answers, Mapping) or not answers:
            raise InputError(
                f"the function must return attribute -> probabilities. Received: {type(answers).__name__}."
            )
        for attribute, value in answers.items():
            p, classes = np.asarray(value, "float32"), dataset.schema[attribute].classes
            if p.shape != (len(some), len(classes)):
                raise InputError(
                    f"the function must return ({len(some)}, {len(classes)}) probabilities of {attribute}, one "
                    f"for each of {', '.join(classes)}. Received: {p.shape}."
                )
            found.setdefault(attribute, []).append(p)
    labels = dataset.labels()
    scored = {n: _of_probabilities(dataset, n, np.concatenate(p), labels[n]) for n, p in found.items()}
    more = {
        n: Groups.of_codes(dataset.schema[n].groups, labels[n])
        for n in labels
        if n not in scored and (labels[n] >= 0).any()
    }
    title = name or getattr(model, "__name__", type(model).__name__)
    return Predictions(title, Columns({}), scored, more, (), len(crops))


def _of_probabilities(dataset: FaceDataset, name: str, p: np.ndarray, truth: np.ndarray) -> Scored:
    ok = np.isfinite(p).all(axis=1)
    answer = np.where(ok, np.nan_to_num(p).argmax(axis=1), -1)
    return Scored(dataset.schema[name], truth, answer, np.where(ok, p.max(axis=1), np.float32(np.nan)), p)


def measure_predictions(found: Predictions, bootstrap: int = 500, seed: int = 0) -> Audit:
    """The audit of predictions that were read."""

    from facefeat._version import __version__

    groups, disparities = measure_groups(found.quantities(), found.groups, bootstrap, seed)
    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    confusion, errors = {}, {}
    curves: dict[str, pd.DataFrame] = {}
    bins: dict[str, pd.DataFrame] = {}
    calibration: dict[str, dict[str, float]] = {}
    for name, s in found.scored.items():
        for key, (value, low, high) in overall(s, bootstrap, seed).items():
            metrics[f"{name}_{key}"], intervals[f"{name}_{key}"] = value, (low, high)
        both = (s.truth >= 0) & (s.answer >= 0)
        k = len(s.attribute.classes)
        if both.any():
            counts = np.bincount(s.truth[both].astype(int) * k + s.answer[both], minlength=k**2).reshape(k, k)
            kept = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
            confusion[name] = (tuple(s.attribute.classes[i] for i in kept), counts[np.ix_(kept, kept)])
        error = s.error
        if error is not None and s.true_value is not None and np.isfinite(error).any() and s.attribute.axis is not None:
            errors[name] = errors_of(s.true_value, error, s.attribute.axis.high - s.attribute.axis.low, bootstrap, seed)
        if s.confidence is None:
            continue
        known = np.flatnonzero(both & np.isfinite(s.confidence))
        if not len(known):
            continue
        confidence, right = s.confidence[known], s.truth[known] == s.answer[known]
        bins[name] = reliability(confidence, right)
        some = np.random.default_rng(seed).permutation(len(known))[:MOST_FOR_CURVES]
        curves[name] = answered(confidence[some], right[some])
        calibration[name] = {
            "ece": metrics[f"{name}_ece"],
            "ece_of_a_perfect_model": perfect_calibration_error(confidence[some]),
        }
    single = groups[~groups["by"].str.contains(" x ")] if len(groups) else groups
    by_group = single.rename(columns={"by": "attribute"})
    by_group = by_group[["attribute", "group", "faces", *[q for q in _measured(found) if q in by_group]]]
    about = {
        "model": found.name, "version": __version__, "dataset": found.name, "schema": found.schema.name,
        "bootstrap": bootstrap, "seed": seed, "columns": found.columns.describe(),
    }  # fmt: skip
    every = (
        measure_minors(s.attribute, s.true_value, s.value, s.probabilities, found.groups) for s in found.scored.values()
    )
    minors = next((m for m in every if m is not None), None)
    return Audit(
        Report(found.name, found.faces, metrics, by_group, intervals),
        found.schema,
        about,
        class_tables(confusion, bootstrap, seed),
        confusion,
        bins,
        calibration,
        curves,
        groups,
        disparities,
        errors,
        {},
        None,
        notes=found.notes,
        sections=() if minors is None else (minors.section(),),
        minors=minors,
    )


def _measured(found: Predictions) -> list[str]:
    return [q.name for q in found.quantities()]


def overall(s: Scored, bootstrap: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Metric -> (value, low, high) over all faces of an attribute."""
    out = {}
    n = len(s.truth)
    everyone = Groups(("all",), np.arange(n), np.zeros(n, int))
    for q in s.quantities():
        low, high = interval(group_means(q.values, everyone, bootstrap, seed))
        out[q.kind] = (float(np.nanmean(q.values)), float(low[0]), float(high[0]))
    both = np.flatnonzero((s.truth >= 0) & (s.answer >= 0))
    if not len(both):
        return out
    right = s.truth[both] == s.answer[both]
    out["balanced_accuracy"] = _drawn(s.truth[both] * 2 + right, _balanced, bootstrap, seed)
    if s.attribute.kind == "ordered":
        near = np.where((s.truth >= 0) & (s.answer >= 0), np.abs(s.truth - s.answer) <= 1, np.nan)
        low, high = interval(group_means(near, everyone, bootstrap, seed))
        out["one_off_accuracy"] = (float(np.nanmean(near)), float(low[0]), float(high[0]))
    if s.confidence is not None and np.isfinite(s.confidence[both]).any():
        known = np.isfinite(s.confidence[both])
        confidence, right = s.confidence[both][known].astype("float64"), right[known]
        cell = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1) * 2 + right
        total = np.bincount(cell, minlength=2 * ECE_BINS)
        centre = np.bincount(cell, weights=confidence, minlength=2 * ECE_BINS) / np.maximum(total, 1)

        def ece(counts: np.ndarray) -> np.ndarray:
            here = total > 0  # a cell's faces have one mean confidence, and all are right or none
            return calibration_error(centre[here], np.arange(2 * ECE_BINS)[here] % 2, counts[:, here])

        out["ece"] = _drawn(cell, ece, bootstrap, seed, 2 * ECE_BINS)
    return out


def _balanced(counts: np.ndarray) -> np.ndarray:
    """(B, 2 K) counts of wrong and right per class -> (B,) mean share right over the classes that are there."""
    wrong, right = counts[:, ::2], counts[:, 1::2]
    total = wrong + right
    there = (total > 0).sum(axis=1)
    return np.asarray((right / np.where(total > 0, total, 1)).sum(axis=1) / np.maximum(there, 1))


def _drawn(
    cells: np.ndarray, figure: Callable[[np.ndarray], np.ndarray], bootstrap: int, seed: int, size: int = 0
) -> tuple[float, float, float]:
    """A figure of counts (B, cells) -> (B,), at the counts of these cells (N,) int, with its interval."""
    counts = np.bincount(cells, minlength=size or 2 * ((int(cells.max()) // 2) + 1))
    value = float(figure(counts[None].astype("float64"))[0])
    if not bootstrap:
        return value, np.nan, np.nan
    drawn = np.random.default_rng(seed).multinomial(len(cells), counts / counts.sum(), size=bootstrap)
    low, high = interval(figure(drawn.astype("float64"))[:, None])
    return value, float(low[0]), float(high[0])
