"""`NumberKind`: what kinds of numbers share. A new one is three functions: what a head's outputs say of the number,
what they should have been, and how far apart two numbers are.

Targets are (N, 1): the number. An attribute has `range = [low, high]`, and may have a `unit` and `bins`: the inner
edges of its groups in tables; by default six groups of equal width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.kinds.fitting import FEWEST_FOR_INTERVAL, try_interval
from facefeat.builtin.kinds.words import number
from facefeat.errors import LabelError, SchemaError
from facefeat.plugins.contracts import Judged, Parsed, Wording
from facefeat.types import YEARS, Answers, Axis
from facefeat.utils.text import with_unit
from facefeat.utils.weighted import mean, medians

if TYPE_CHECKING:
    from facefeat.schema import Attribute
    from facefeat.types import AttributePrediction, FloatArray

VALUE, INTERVAL = "value", "interval"
BINS = 6
FEWEST_FOR_SCALE = 20
MEASURES = {
    "mae": ("mean error", "mean distance of the number predicted from the number labelled"),
    "coverage": ("inside its interval", "share of faces whose labelled number lies in the interval given"),
}


@dataclass(frozen=True)
class NumberKind:
    """See the module, and `AttributeKind` for its methods.

    name: of the kind. width_of: how many outputs a head has.
    decode: (attribute, (B, M) outputs, ops) -> (B,) numbers; ops is NumPy or `keras.ops`.
    encode: (attribute, (B,) numbers, ops) -> (B, M), what the outputs should be, about -1..1: what losses compare.
    difference: (attribute, (N,), (N,)) NumPy -> how far the first lies above the second.
    bounded: whether the range ends at its ends, so that intervals are cut there and a scale can be fitted.
    """

    name: str
    width_of: int
    decode: Callable[[Attribute, Any, Any], Any]
    encode: Callable[[Attribute, Any, Any], Any]
    difference: Callable[[Attribute, Any, Any], Any]
    bounded: bool = True
    keys: tuple[str, ...] = ("unit", "range", "bins")
    measures: Mapping[str, tuple[str, str]] = field(default_factory=lambda: MEASURES)
    tolerances: Mapping[str, float] = field(default_factory=lambda: {VALUE: 0.1, INTERVAL: 0.1})

    def check(self, attribute: Attribute) -> None:
        where, options = f"attribute {attribute.name!r}", attribute.options
        ends: Any = options.get("range")
        if not _numbers(ends) or len(ends) != 2 or not ends[0] < ends[1]:
            raise SchemaError(
                f"{where}: a {self.name} attribute needs its range, such as range = [-90, 90]. Received: {ends!r}."
            )
        if not isinstance(options.get("unit", ""), str):
            raise SchemaError(f"{where}: 'unit' must be a string. Received: {options['unit']!r}.")
        edges = options.get("bins", [])
        inside = _numbers(edges) and all(a < b for a, b in zip([ends[0], *edges], [*edges, ends[1]], strict=True))
        if not inside:
            raise SchemaError(
                f"{where}: 'bins' must be rising numbers inside the range, where one group ends and the next begins. "
                f"Received: {edges!r}."
            )

    def outputs(self, attribute: Attribute) -> int:
        return self.width_of

    def groups(self, attribute: Attribute) -> tuple[str, ...]:
        edges = _all_edges(attribute)
        return tuple(f"{a:g} to {b:g}" for a, b in pairwise(edges))

    def axis(self, attribute: Attribute) -> Axis:
        edges = _all_edges(attribute)
        middles = tuple((a + b) / 2 for a, b in pairwise(edges))
        low, high = edges[0], edges[-1]
        unit = attribute.options.get("unit", "")
        return Axis(unit, low, high, middles, tuple(edges[1:-1]), (high - low) / 50, (high - low) / 20)

    def exclusive(self, attribute: Attribute) -> bool:
        return False

    def losses(self, attribute: Attribute) -> tuple[str, ...]:
        return ("huber", "mse")

    # -- the data

    def parse(self, attribute: Attribute, text: str) -> Parsed:
        low, high = attribute.options["range"]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            valid = f"a number from {low:g} to {high:g} {attribute.options.get('unit', '')}".rstrip()
            raise LabelError(f"no such {attribute.name}. Received: {text!r}. Valid: {valid}.")
        return Parsed((value,))

    def stored(self, attribute: Attribute) -> tuple[str, ...]:
        return (attribute.name,)

    def columns(self, attribute: Attribute, targets: np.ndarray) -> dict[str, np.ndarray]:
        return {attribute.name: targets[:, 0].astype("float64")}

    def targets(self, attribute: Attribute, columns: Mapping[str, np.ndarray]) -> FloatArray:
        return np.asarray(columns[attribute.name], "float32").reshape(-1, 1)

    def members(self, attribute: Attribute, targets: np.ndarray) -> np.ndarray:
        edges = _all_edges(attribute)
        place = np.searchsorted(edges[1:-1], np.nan_to_num(targets[:, 0]), side="right")
        return (place[:, None] == np.arange(len(edges) - 1)) & np.isfinite(targets)

    def numbers(self, attribute: Attribute, targets: np.ndarray) -> FloatArray:
        return np.asarray(targets[:, 0], "float32")

    # -- the answers

    def read(self, attribute: Attribute, outputs: np.ndarray, calibration: Mapping[str, Any]) -> Answers:
        values = self._values(attribute, np.asarray(outputs, "float64"), calibration, np)
        margin = calibration.get(INTERVAL)
        intervals = None
        if margin is not None:
            intervals = self._interval(attribute, values, margin["margin"], np).astype("float32")
        return self._answers(
            attribute, values.astype("float32"), intervals, None if margin is None else margin["coverage"]
        )

    def _values(self, attribute: Attribute, outputs: Any, calibration: Mapping[str, Any], ops: Any) -> Any:
        """(B,): the numbers that the outputs say, on the calibration's scale."""
        values = self.decode(attribute, outputs, ops)
        if not self.bounded:
            return values
        low, high = attribute.options["range"]
        return ops.clip(values * calibration.get("scale", 1.0) + calibration.get("offset", 0.0), low, high)

    def _interval(self, attribute: Attribute, values: Any, margin: float, ops: Any) -> Any:
        """(B, 2): so far either way, up to the ends of a bounded range."""
        low, high = attribute.options["range"] if self.bounded else (-math.inf, math.inf)
        ends = ops.stack([values - margin, values + margin], axis=-1)
        return ops.clip(ends, low, high) if self.bounded else ends

    def _answers(self, attribute: Attribute, values: FloatArray, intervals: Any, coverage: float | None) -> Answers:
        low, high = attribute.options["range"]
        digits = min(max(3 - math.floor(math.log10(high - low)), 0), 6)
        unit = attribute.options.get("unit", "")
        labels = np.asarray([with_unit(number(v, max(digits - 1, 0)), unit) for v in values], str)
        nothing = np.zeros((len(values), 0), "float32")
        return Answers(
            labels,
            nothing,
            values=values,
            intervals=intervals,
            coverage=coverage,
            unit=unit,
            kind=self.name,
            digits=digits,
            scale=(float(low), float(high)),
        )

    def say(self, name: str, prediction: AttributePrediction) -> Wording:
        decimals, between = max(prediction.digits - 1, 0), prediction.interval
        value = math.nan if prediction.value is None else prediction.value
        short = with_unit(number(value, decimals), prediction.unit)
        lines = [short]
        if between is not None:
            ends = " to ".join(number(v, decimals) for v in (between.low, between.high))
            lines.append(f"{ends} ({between.coverage:.0%})")
        return Wording(short if prediction.unit == YEARS else f"{name} {short}", tuple(lines), ", ".join(lines))

    def width(self, attribute: Attribute) -> int:
        ends = max(len(f"{v:g}") for v in attribute.options["range"]) + 2
        return max(ends + len(attribute.options.get("unit", "")) + 1, 2 * ends + 10)

    # -- learning and measuring

    def calibrate(
        self, attribute: Attribute, outputs: np.ndarray, targets: np.ndarray, coverage: float, seed: int
    ) -> dict[str, Any]:
        """A linear scale by least squares, and a split-conformal margin (Lei et al., "Distribution-free predictive
        inference for regression", JASA 2018)."""
        known = np.isfinite(targets[:, 0])
        z, true = np.asarray(outputs[known], "float64"), targets[known, 0].astype("float64")
        n = len(true)

        def scale(rows: np.ndarray) -> dict[str, float]:
            said = self.decode(attribute, z[rows], np)
            if not self.bounded or len(rows) < FEWEST_FOR_SCALE or np.ptp(said) < 1e-9:
                return {}
            slope, offset = np.polyfit(said, true[rows], 1)
            # A slope below zero says that the outputs carry no information: they are not calibrated.
            return {"scale": float(slope), "offset": float(offset)} if slope > 0 else {}

        def errors(rows: np.ndarray, fitted: Mapping[str, float]) -> np.ndarray:
            return np.abs(self.difference(attribute, self._values(attribute, z[rows], fitted, np), true[rows]))

        every = np.arange(n)
        fitted: dict[str, Any] = dict(scale(every))
        measured: dict[str, Any] = {"faces": n}
        if n >= FEWEST_FOR_INTERVAL:

            def ends(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                half = scale(train)
                margin = _margin(errors(train, half), coverage)
                return errors(test, half) <= margin, np.full(len(test), 2 * margin)

            measured[INTERVAL] = try_interval(n, seed, ends)
            fitted[INTERVAL] = {"coverage": coverage, "margin": _margin(errors(every, fitted), coverage)}
        return {**fitted, "measured": measured}

    def check_calibration(self, attribute: Attribute, value: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {k: float(value[k]) for k in ("scale", "offset") if k in value}
        if value.get(INTERVAL) is not None:
            out[INTERVAL] = {k: float(value[INTERVAL][k]) for k in ("coverage", "margin")}
            if not 0 < out[INTERVAL]["coverage"] < 1 or not 0 <= out[INTERVAL]["margin"] < math.inf:
                raise ValueError(f"the interval of {attribute.name} is not possible: {dict(value[INTERVAL])}")
        if not np.isfinite([v for k, v in out.items() if k != INTERVAL]).all():
            raise ValueError(f"scale and offset of {attribute.name} must be finite")
        return out

    def score(
        self, attribute: Attribute, answers: Answers, targets: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        faces, known = self.per_face(attribute, answers, targets), np.isfinite(targets[:, 0])
        if not faces:
            return {}
        w, true = weights[:, known], targets[known, 0]
        found = {k: mean(v[known], w) for k, v in faces.items()}
        # The share of the error that the model takes off guessing everyone's median.
        guesses = (np.abs(self.difference(attribute, np.full(len(true), m), true)) for m in medians(true, w))
        spread = np.array([mean(g, v[None])[0] for g, v in zip(guesses, w, strict=True)])
        skill = np.where(spread > 0, 1 - found["mae"] / np.where(spread > 0, spread, 1), np.nan)
        return {**found, "skill": np.where(np.isfinite(skill), skill, 0)}

    def per_face(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> dict[str, np.ndarray]:
        true = targets[:, 0].astype("float64")
        if answers.values is None or not np.isfinite(true).any():
            return {}
        found = {"mae": np.abs(self.difference(attribute, answers.values.astype("float64"), true))}
        if answers.intervals is not None:
            half = (answers.intervals[:, 1] - answers.intervals[:, 0]).astype("float64") / 2
            middle = answers.intervals.astype("float64").mean(axis=1)
            inside = np.abs(self.difference(attribute, middle, true)) <= half + 1e-6
            found["coverage"] = np.where(np.isfinite(true), inside, np.nan)
        return found

    def judged(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> Judged | None:
        return None

    def mistakes(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> np.ndarray:
        error = self.per_face(attribute, answers, targets).get("mae", np.full(len(targets), np.nan))
        wrong = np.flatnonzero(np.nan_to_num(error) > self.axis(attribute).near)
        return wrong[np.argsort(-error[wrong], kind="stable")]

    def divergence(self, attribute: Attribute, true: Any, made: Any) -> Any:
        from keras import ops

        return ops.sum(ops.square(true - made), axis=-1)

    # -- export

    def graph(self, attribute: Attribute, outputs: Any, calibration: Mapping[str, Any]) -> dict[str, Any]:
        from keras import ops

        values = self._values(attribute, ops.cast(outputs, "float32"), calibration, ops)
        margin = calibration.get(INTERVAL)
        between = {} if margin is None else {INTERVAL: self._interval(attribute, values, margin["margin"], ops)}
        return {VALUE: values, **between}

    def describe(self, attribute: Attribute, calibration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        unit, margin = attribute.options.get("unit", ""), calibration.get(INTERVAL)
        about: dict[str, dict[str, Any]] = {VALUE: {"shape": ["N"], "unit": unit}}
        if margin is not None:
            about[INTERVAL] = {"shape": ["N", 2], "unit": unit, "coverage": margin["coverage"]}
        return about

    def from_graph(
        self, attribute: Attribute, found: Mapping[str, np.ndarray], about: Mapping[str, Mapping[str, Any]]
    ) -> Answers:
        coverage = float(about[INTERVAL]["coverage"]) if INTERVAL in about else None
        return self._answers(attribute, found[VALUE], found.get(INTERVAL), coverage)


def _margin(errors: np.ndarray, coverage: float) -> float:
    """How far off at most the share `coverage` of new faces is, with the correction for finite samples."""
    rank = min(math.ceil((len(errors) + 1) * coverage), len(errors))
    return float(np.sort(errors)[rank - 1])


def _all_edges(attribute: Attribute) -> list[float]:
    low, high = attribute.options["range"]
    inner = attribute.options.get("bins") or [float(v) for v in np.linspace(low, high, BINS + 1)[1:-1]]
    return [float(low), *(float(v) for v in inner), float(high)]


def _numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value
    )
