"""`ordered`: one class a face, and the classes have an order. With the years of each class it is an age.

Labels may then be exact years: a head has an output for each year, and the model learns a distribution over single
years, whose sums are the probabilities of the classes. The answer in years is the median of the distribution, which has
the least mean absolute error of all point estimates. Targets are (N, 2): the position of the class, and exact years.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.kinds import classes as shared
from facefeat.builtin.kinds.categorical import MEASURES, PROBABILITIES, Categorical
from facefeat.builtin.kinds.fitting import FEWEST_FOR_INTERVAL, check_levels, fit, fit_levels, try_interval
from facefeat.builtin.kinds.words import class_words, number
from facefeat.errors import LabelError, SchemaError
from facefeat.plugins.contracts import Parsed, Wording
from facefeat.types import YEARS, Answers, Axis
from facefeat.utils.text import percent, with_unit
from facefeat.utils.weighted import mean, medians

if TYPE_CHECKING:
    from facefeat.schema import Attribute
    from facefeat.types import AttributePrediction, FloatArray

INTERVAL = "interval"
MAX_YEARS = 150
"""No age lies above it."""
NEAR_YEARS, NEAR_CLASSES = 2.0, 0.5
REACH_YEARS, REACH_CLASSES = 5.0, 1.0
_NUMBER = re.compile(r"\d{1,4}(\.\d+)?")


class Ordered(Categorical):
    """See the module. Beyond a class, it has a scale: years, or the positions of its classes."""

    name = "ordered"
    measures: Mapping[str, tuple[str, str]] = {
        **{k: MEASURES[k] for k in ("accuracy", "balanced_accuracy")},
        "one_off_accuracy": ("right or one class off", "share at most one class away"),
        "mae": ("mean error, years", "mean distance of the age predicted from the age labelled"),
        "coverage": ("inside its interval", "share of faces whose labelled age lies in the interval given"),
        "ece": MEASURES["ece"],
    }
    tolerances: Mapping[str, float] = {PROBABILITIES: 1e-3, YEARS: 0.1, INTERVAL: math.inf}  # a step
    off = 1

    def check(self, attribute: Attribute) -> None:
        shared.check_classes(attribute)
        where, years = f"attribute {attribute.name!r}", attribute.years
        if not years:
            if attribute.exact:
                raise SchemaError(f"{where}: exact = true needs the years of each class.")
            return
        if len(years) != len(attribute.classes):
            raise SchemaError(f"{where}: {len(attribute.classes)} classes but {len(years)} ranges of years.")
        for (first, last), (nxt, _) in zip(years, [*years[1:], (years[-1][1] + 1, 0)], strict=True):
            if first > last or nxt != last + 1 or first < 0:
                raise SchemaError(f"{where}: ranges of years must be consecutive. Received: {years}.")
        if years[-1][1] > MAX_YEARS:  # an exact attribute has one output per year
            raise SchemaError(f"{where}: years go up to {MAX_YEARS} at most. Received: {years[-1]}.")

    def outputs(self, attribute: Attribute) -> int:
        return len(grid(attribute)) if attribute.exact else len(attribute.classes)

    def axis(self, attribute: Attribute) -> Axis:
        last = len(attribute.classes) - 1
        if not attribute.years:
            places = tuple(float(k) for k in range(last + 1))
            return Axis("classes", 0, last, places, tuple(p + 0.5 for p in places[:-1]), NEAR_CLASSES, REACH_CLASSES)
        years, middles = grid(attribute), tuple(float(v) for v in class_years(attribute))
        edges = tuple(float(first) for first, _ in attribute.years[1:])
        return Axis(YEARS, years[0], years[-1], middles, edges, NEAR_YEARS, REACH_YEARS)

    def losses(self, attribute: Attribute) -> tuple[str, ...]:
        return ("cross-entropy", "distribution", "focal", "ordinal", "squared")

    def matrix(self, attribute: Attribute) -> FloatArray:
        if not attribute.exact:
            return super().matrix(attribute)
        matrix, start = np.zeros((self.outputs(attribute), len(attribute.classes)), "float32"), grid(attribute)[0]
        for k, (first, last) in enumerate(attribute.years):
            matrix[first - start : last + 1 - start, k] = 1.0
        return matrix

    # -- the data

    def parse(self, attribute: Attribute, text: str) -> Parsed:
        years = float(text) if attribute.years and _NUMBER.fullmatch(text) else math.nan
        if attribute.exact and not math.isnan(years):  # before the names: 0 is an age of 0 years, not an alias
            return Parsed((_parsed_years(attribute, text, years), years))
        try:
            return shared.parse_class(attribute, text, math.nan)
        except LabelError:
            if math.isnan(years):
                raise
            return Parsed((_parsed_years(attribute, text, years), math.nan))

    def candidates(self, attribute: Attribute) -> FloatArray:
        if not attribute.exact:
            place = super().candidates(attribute)
            return np.concatenate([place, np.full_like(place, np.nan)], axis=1)
        return np.asarray([(index_of_years(attribute, y), y) for y in grid(attribute)], "float32")

    def stored(self, attribute: Attribute) -> tuple[str, ...]:
        return (attribute.name, f"{attribute.name}_years") if attribute.exact else (attribute.name,)

    def columns(self, attribute: Attribute, targets: np.ndarray) -> dict[str, np.ndarray]:
        named = super().columns(attribute, targets)
        return named | ({f"{attribute.name}_years": targets[:, 1].astype("float64")} if attribute.exact else {})

    def targets(self, attribute: Attribute, columns: Mapping[str, np.ndarray]) -> FloatArray:
        index = shared.positions_of(attribute, columns[attribute.name])
        years = columns[f"{attribute.name}_years"] if attribute.exact else np.full(len(index), np.nan)
        return np.stack([index, np.asarray(years, "float32")], axis=1)

    def numbers(self, attribute: Attribute, targets: np.ndarray) -> FloatArray:
        return np.asarray(targets[:, 1], "float32")

    # -- the answers

    def _answers(self, attribute: Attribute, p: np.ndarray, matrix: np.ndarray) -> Answers:
        named = super()._answers(attribute, p, matrix)
        return _in_years(attribute, named, median_of(attribute, p)) if attribute.years else named

    def read(self, attribute: Attribute, outputs: np.ndarray, calibration: Mapping[str, Any]) -> Answers:
        matrix = self.matrix(attribute)
        p = shared.output_probabilities(matrix, outputs, *shared.calibrated(calibration))
        answers, levels = self._answers(attribute, p, matrix), calibration.get(INTERVAL)
        if levels is None or not attribute.years:
            return answers
        return replace(answers, intervals=interval_of(attribute, p, levels), coverage=levels["coverage"])

    def say(self, name: str, prediction: AttributePrediction) -> Wording:
        words = class_words(prediction)
        if prediction.value is None:
            return replace(words, short=f"{name} {words.short}")
        years, between = number(prediction.value), prediction.interval
        label = prediction.label if prediction.abstained else f"{prediction.label} {percent(prediction.probability)}"
        lines = [f"{years} ({label})"]
        if between is not None:
            low, high = number(between.low), number(between.high)
            lines.append(f"{low if low == high else f'{low}-{high}'} ({between.coverage:.0%})")
        why = f"{years} ({prediction.label}: {prediction.why})" if prediction.why else lines[0]
        return Wording(with_unit(years, prediction.unit), tuple(lines), ", ".join([why, *lines[1:]]))

    def width(self, attribute: Attribute) -> int:
        # "104 (" and ")"; the interval: "100-116 (90%)".
        return max(super().width(attribute) + 6, 14) if attribute.years else super().width(attribute)

    # -- learning and measuring

    def calibrate(
        self, attribute: Attribute, outputs: np.ndarray, targets: np.ndarray, coverage: float, seed: int
    ) -> dict[str, Any]:
        fitted = super().calibrate(attribute, outputs, targets, coverage, seed)
        place = _places(attribute, targets)
        known = place >= 0
        if not attribute.years or known.sum() < FEWEST_FOR_INTERVAL:
            return fitted
        matrix, (z, place) = self.matrix(attribute), (outputs[known], place[known])
        y, with_bias = shared.positions(targets)[known], "bias" in fitted
        p = shared.output_probabilities(matrix, z, *shared.calibrated(fitted))

        def ends(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rows = train[y[train] >= 0]
            found = fit(matrix, z[rows], y[rows], with_bias)
            levels = fit_levels(shared.output_probabilities(matrix, z[train], *found), place[train], coverage)
            interval = interval_of(attribute, shared.output_probabilities(matrix, z[test], *found), levels)
            starts = grid(attribute) if attribute.exact else [first for first, _ in attribute.years]
            years = np.asarray(starts, "float32")[place[test]]
            return (interval[:, 0] <= years) & (years <= interval[:, 1]), interval[:, 1] - interval[:, 0]

        measured = {**fitted.get("measured", {}), INTERVAL: try_interval(len(place), seed, ends)}
        return {**fitted, INTERVAL: fit_levels(p, place, coverage), "measured": measured}

    def check_calibration(self, attribute: Attribute, value: Mapping[str, Any]) -> dict[str, Any]:
        levels = value.get(INTERVAL)
        checked = super().check_calibration(attribute, value)
        return checked if levels is None else {**checked, INTERVAL: check_levels(levels)}

    def _more(self, off: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"one_off_accuracy": mean(off <= 1, weights)}

    def score(
        self, attribute: Attribute, answers: Answers, targets: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        found = super().score(attribute, answers, targets, weights)
        faces = self.per_face(attribute, answers, targets)
        if not found or "mae" not in faces:
            return found
        exact = np.isfinite(targets[:, 1])
        w = weights[:, exact]
        mae = mean(faces["mae"][exact], w)
        # The share of the error that the model takes off guessing everyone's median.
        true = targets[exact, 1]
        middle = medians(true, w)
        spread = np.array([mean(np.abs(m - true), v[None])[0] for m, v in zip(middle, w, strict=True)])
        skill = np.where(spread > 0, 1 - mae / np.where(spread > 0, spread, 1), found["skill"])
        coverage = {"coverage": mean(faces["coverage"][exact], w)} if "coverage" in faces else {}
        ece = found.pop("ece")
        return {**found, "mae": mae, **coverage, "ece": ece, "skill": skill}

    def per_face(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> dict[str, np.ndarray]:
        found, years = super().per_face(attribute, answers, targets), targets[:, 1]
        if answers.values is None or not np.isfinite(years).any():
            return found
        found["mae"] = np.abs(answers.values - years).astype("float64")
        if answers.intervals is not None:
            low, high = answers.intervals.T
            inside = (low <= years) & (np.floor(years) <= high)
            found["coverage"] = np.where(np.isfinite(years), inside, np.nan)
        return found

    # -- export

    def graph(self, attribute: Attribute, outputs: Any, calibration: Mapping[str, Any]) -> dict[str, Any]:
        from keras import ops

        p = shared.graph_probabilities(self.matrix(attribute), outputs, calibration)  # (N, M)
        found = {PROBABILITIES: self._graph_classes(attribute, p)}
        if attribute.years:
            width = self.outputs(attribute)
            cumulative = ops.matmul(p, np.triu(np.ones((width, width), "float32")))
            found[YEARS] = _graph_median(attribute, p, cumulative)
            if calibration.get(INTERVAL) is not None:
                found[INTERVAL] = _graph_interval(attribute, cumulative, calibration[INTERVAL])
        return found

    def describe(self, attribute: Attribute, calibration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        about = super().describe(attribute, calibration)
        if attribute.years:
            about[YEARS] = {"shape": ["N"], "unit": YEARS}
            if calibration.get(INTERVAL) is not None:
                coverage = calibration[INTERVAL]["coverage"]
                about[INTERVAL] = {"shape": ["N", 2], "unit": YEARS, "coverage": coverage}
        return about

    def from_graph(
        self, attribute: Attribute, found: Mapping[str, np.ndarray], about: Mapping[str, Mapping[str, Any]]
    ) -> Answers:
        named = super().from_graph(attribute, found, about)
        if not attribute.years:
            return named
        coverage = float(about[INTERVAL]["coverage"]) if INTERVAL in about else None
        in_years = _in_years(attribute, named, found[YEARS])
        return replace(in_years, intervals=found.get(INTERVAL), coverage=coverage)


def grid(attribute: Attribute) -> range:
    """The years from the first class's first to the last class's last."""
    return range(attribute.years[0][0], attribute.years[-1][1] + 1)


def _in_years(attribute: Attribute, named: Answers, years: FloatArray) -> Answers:
    """Answers with (N,) years."""
    # Few get so old: a longer scale would be empty.
    scale = (float(grid(attribute)[0]), float(min(grid(attribute)[-1], 100)))
    return replace(named, values=years, unit=YEARS, scale=scale)


def class_years(attribute: Attribute) -> FloatArray:
    """(K,) float32: the middle of each class's years, the last class counted as twelve years wide at most."""
    last = len(attribute.years) - 1
    ends = [b + 1 if k < last else min(b + 1, a + 12) for k, (a, b) in enumerate(attribute.years)]
    return np.asarray([(a + end) / 2 for (a, _), end in zip(attribute.years, ends, strict=True)], "float32")


def index_of_years(attribute: Attribute, years: float) -> int:
    """Position of the class that holds an age in years; ages past the last class count as the last.

    Raises LabelError for a negative age or NaN.
    """
    if not math.isfinite(years) or years < attribute.years[0][0]:
        first = attribute.years[0][0]
        raise LabelError(f"no such {attribute.name}. Received: {years!r}. Valid: years from {first}.")
    return next((i for i, (_, last) in enumerate(attribute.years) if years < last + 1), len(attribute.years) - 1)


def _parsed_years(attribute: Attribute, text: str, years: float) -> int:
    if years > MAX_YEARS:  # a year of birth, perhaps
        raise LabelError(f"no such {attribute.name}. Received: {text!r}. Valid: years up to {MAX_YEARS}.")
    return index_of_years(attribute, years)


def median_of(attribute: Attribute, p: np.ndarray) -> FloatArray:
    """(N, M) probabilities of an attribute with years -> (N,) float32: the median age of the distribution.

    An output that stands for one year holds half a year on either side of it; one that stands for a class is spread
    evenly over its years.
    """
    edges = year_edges(attribute)
    cumulative = np.cumsum(p, axis=1)
    k = np.minimum((cumulative < 0.5).sum(axis=1), p.shape[1] - 1)
    rows = np.arange(len(p))
    before = cumulative[rows, k] - p[rows, k]
    inside = np.clip((0.5 - before) / np.maximum(p[rows, k], 1e-12), 0, 1)
    years = edges[k] + inside * (edges[k + 1] - edges[k])
    return np.maximum(years, 0).astype("float32")


def year_edges(attribute: Attribute) -> np.ndarray:
    """(M + 1,) float64: the years at which each output of an attribute begins, and where the last ends."""
    if attribute.exact:
        years = grid(attribute)
        return np.append(np.asarray(years, "float64") - 0.5, years[-1] + 0.5)
    # The last class is open above: it counts as twelve years wide, as in `class_years`.
    last, end = attribute.years[-1]
    return np.asarray([*(float(a) for a, _ in attribute.years), float(min(end + 1, last + 12))]) - 0.5


def interval_of(attribute: Attribute, p: np.ndarray, levels: Mapping[str, float]) -> FloatArray:
    """(N, M) probabilities of an attribute with years -> (N, 2) float32: first and last year of the interval.

    It goes from the first year up to which more than `low` of the probability lies, to the first year up to which at
    least `high` of it lies, both included. Where an output stands for a class, it is made of whole classes.
    """
    cumulative = np.cumsum(p, axis=1)
    top = p.shape[1] - 1
    low = np.minimum((cumulative <= levels["low"]).sum(axis=1), top)
    high = np.clip((cumulative < levels["high"]).sum(axis=1), low, top)
    ends = _ends(attribute)
    return np.stack([ends[low, 0], ends[high, 1]], axis=1)


def _ends(attribute: Attribute) -> FloatArray:
    """(M, 2) float32: first and last year that each output stands for."""
    return np.asarray([(y, y) for y in grid(attribute)] if attribute.exact else attribute.years, "float32")


def _places(attribute: Attribute, targets: np.ndarray) -> np.ndarray:
    """(N,) int: the output that stands for each face's age, -1 where that is unknown."""
    if not attribute.exact:
        return shared.positions(targets)
    years = targets[:, 1]
    known, place = np.isfinite(years), np.full(len(years), -1)
    start = grid(attribute)[0]
    place[known] = np.clip(np.floor(years[known]).astype(int) - start, 0, len(grid(attribute)) - 1)
    return place


def _graph_median(attribute: Attribute, p: Any, cumulative: Any) -> Any:
    """(N, M) -> (N,) years: `median_of`, as the sum of what each output adds up to the half."""
    from keras import ops

    edges = year_edges(attribute)
    filled = ops.clip((0.5 - (cumulative - p)) / ops.maximum(p, 1e-12), 0.0, 1.0)
    years = ops.matmul(filled, np.diff(edges).astype("float32")[:, None]) + float(edges[0])  # (N, 1)
    return ops.maximum(ops.squeeze(years, axis=-1), 0.0)


def _graph_interval(attribute: Attribute, cumulative: Any, levels: Mapping[str, float]) -> Any:
    """(N, M) -> (N, 2) years: `interval_of`, each end as the sum of the steps up to it."""
    from keras import ops

    ends = _ends(attribute)
    steps = np.diff(ends, axis=0)  # (M - 1, 2)
    inner = cumulative[:, :-1]
    low = ops.matmul(ops.cast(inner <= levels["low"], "float32"), steps[:, :1])  # (N, 1)
    high = ops.matmul(ops.cast(inner < levels["high"], "float32"), steps[:, 1:])
    return ops.concatenate([low, high], axis=-1) + ends[0]


KIND = Ordered()
