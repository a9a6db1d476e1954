"""From a head's logits to what a person reads: calibrated probabilities, labels, an age in years and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facefeat.types import AgeInterval, AttributePrediction, Face, FaceBatch, FaceResult

if TYPE_CHECKING:
    import numpy as np

    from facefeat.schema import Attribute, Schema
    from facefeat.types import FloatArray

UNSURE = "unsure"
"""The label of an attribute on which the model abstains."""


@dataclass(frozen=True)
class IntervalLevels:
    """How much of the age distribution an interval leaves out below and above, so that it covers `coverage` of faces.

    An interval goes from the first year up to which more than `low` of the probability lies, to the first year up to
    which at least `high` of it lies; both years belong to it.
    """

    coverage: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `from_dict`."""
        return {"coverage": self.coverage, "low": self.low, "high": self.high}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> IntervalLevels:
        """The levels that `to_dict` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        made = cls(*(float(value[k]) for k in ("coverage", "low", "high")))
        if not 0 < made.coverage < 1 or not made.low < made.high:
            raise ValueError(f"calibration.interval is not possible: {dict(value)}")
        return made


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities that hold what they say; fitted on validation data after training.

    temperatures: attribute -> what its logits are divided by; 1 where absent.
    biases: attribute -> (K,) added to the logits of each class after that; none where absent.
    interval: the levels of the age interval; None where there is none.
    measured: attribute -> what the fit measured on faces that it held out, for the record only.
    """

    temperatures: Mapping[str, float] = field(default_factory=dict)
    biases: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    interval: IntervalLevels | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `from_dict`."""
        return {
            "temperatures": {k: round(float(v), 6) for k, v in self.temperatures.items()},
            "biases": {k: [round(float(b), 6) for b in v] for k, v in self.biases.items()},
            "interval": None if self.interval is None else self.interval.to_dict(),
            "measured": dict(self.measured),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], schema: Schema | None = None) -> Calibration:
        """What `to_dict` wrote, or a part of it; `schema` checks that the biases fit its classes.

        Raises KeyError, TypeError, ValueError or SchemaError for anything else.
        """
        biases = {k: tuple(float(b) for b in v) for k, v in value.get("biases", {}).items()}
        for name, bias in biases.items():
            if schema is not None and len(bias) != len(schema[name].classes):
                raise ValueError(f"calibration.biases.{name} has {len(bias)} numbers, not one per class")
        temperatures = {k: float(v) for k, v in value.get("temperatures", {}).items()}
        if not all(t > 0 for t in temperatures.values()):
            raise ValueError(f"temperatures must be above 0. Received: {temperatures}")
        levels = value.get("interval")
        interval = None if levels is None else IntervalLevels.from_dict(levels)
        return cls(temperatures, biases, interval, dict(value.get("measured", {})))

    def outputs(self, attribute: Attribute, logits: np.ndarray) -> np.ndarray:
        """(N, outputs) logits of an attribute -> (N, outputs) float64 probabilities; rows sum to 1."""
        return output_probabilities(
            attribute, logits, self.temperatures.get(attribute.name, 1.0), self.biases.get(attribute.name)
        )


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, K) logits -> (N, K) float64 probabilities at a temperature (Guo et al., ICML 2017)."""
    import numpy as np

    z = np.asarray(logits, "float64") / temperature
    z = np.exp(z - z.max(axis=1, keepdims=True)) if z.size else z
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def output_probabilities(
    attribute: Attribute, logits: np.ndarray, temperature: float = 1.0, bias: tuple[float, ...] | None = None
) -> np.ndarray:
    """(N, outputs) logits -> (N, outputs) float64, one column per year where the attribute has exact years.

    bias: (K,) one per class; a class's years share it, so that years and classes stay one distribution.
    """
    import numpy as np

    z = np.asarray(logits, "float64") / temperature
    if bias is not None:
        z = z + attribute.class_matrix() @ np.asarray(bias, "float64")
    return softmax(z)


def class_probabilities(
    attribute: Attribute, logits: np.ndarray, temperature: float = 1.0, bias: tuple[float, ...] | None = None
) -> FloatArray:
    """(N, outputs) logits -> (N, K) float32 over the attribute's classes; rows sum to 1."""
    return _classes(attribute, output_probabilities(attribute, logits, temperature, bias))


def _classes(attribute: Attribute, outputs: np.ndarray) -> FloatArray:
    p = outputs @ attribute.class_matrix()
    return (p / p.sum(axis=1, keepdims=True)).astype("float32")


def median_years(attribute: Attribute, logits: np.ndarray, temperature: float = 1.0) -> FloatArray:
    """(N, outputs) logits of an attribute with years -> (N,) float32: the median age; see `median_of`."""
    return median_of(attribute, softmax(logits, temperature))


def median_of(attribute: Attribute, outputs: np.ndarray) -> FloatArray:
    """(N, outputs) probabilities of an attribute with years -> (N,) float32: the median age of the distribution.

    The median has the least mean absolute error of all point estimates. An output that stands for one year holds
    half a year on either side of it; one that stands for a class is spread evenly over its years.
    """
    import numpy as np

    p, edges = outputs, year_edges(attribute)
    cumulative = np.cumsum(p, axis=1)
    k = np.minimum((cumulative < 0.5).sum(axis=1), p.shape[1] - 1)
    rows = np.arange(len(p))
    before = cumulative[rows, k] - p[rows, k]
    inside = np.clip((0.5 - before) / np.maximum(p[rows, k], 1e-12), 0, 1)
    years = edges[k] + inside * (edges[k + 1] - edges[k])
    return np.maximum(years, 0).astype("float32")


def year_edges(attribute: Attribute) -> np.ndarray:
    """(outputs + 1,) float64: the years at which each output of an attribute begins, and where the last ends."""
    import numpy as np

    if attribute.exact:
        return np.append(np.asarray(attribute.grid, "float64") - 0.5, attribute.grid[-1] + 0.5)
    # The last class is open above: it counts as twelve years wide, as in Attribute.output_years.
    starts = [float(a) for a, _ in attribute.years]
    last, end = attribute.years[-1]
    return np.asarray([*starts, float(min(end + 1, last + 12))]) - 0.5


def interval_of(attribute: Attribute, outputs: np.ndarray, levels: IntervalLevels) -> FloatArray:
    """(N, outputs) probabilities of an attribute with years -> (N, 2) float32: first and last year of the interval.

    Whole years, both included. Where an output stands for a class, the interval is made of whole classes.
    """
    import numpy as np

    cumulative = np.cumsum(outputs, axis=1)
    top = outputs.shape[1] - 1
    low = np.minimum((cumulative <= levels.low).sum(axis=1), top)
    high = np.clip((cumulative < levels.high).sum(axis=1), low, top)
    if attribute.exact:
        grid = np.asarray(attribute.grid, "float32")
        return np.stack([grid[low], grid[high]], axis=1)
    years = np.asarray(attribute.years, "float32")
    return np.stack([years[low, 0], years[high, 1]], axis=1)


def read_logits(
    schema: Schema, logits: Mapping[str, np.ndarray], calibration: Calibration | Mapping[str, float]
) -> FaceBatch:
    """Attribute -> (N, outputs) logits, to a FaceBatch of N faces. A mapping is of temperatures alone."""
    import numpy as np

    if not isinstance(calibration, Calibration):
        calibration = Calibration(temperatures=calibration)
    labels, probabilities, years, interval, coverage = {}, {}, None, None, None
    for name, attribute in schema.attributes.items():
        outputs = calibration.outputs(attribute, logits[name])
        p = probabilities[name] = _classes(attribute, outputs)
        labels[name] = np.asarray(attribute.classes)[p.argmax(axis=1)]
        if attribute.years:
            years = median_of(attribute, outputs)
            if calibration.interval is not None and attribute is schema.age:
                interval, coverage = (
                    interval_of(attribute, outputs, calibration.interval),
                    calibration.interval.coverage,
                )
    classes = {n: a.classes for n, a in schema.attributes.items()}
    return FaceBatch(labels, probabilities, classes, years, interval, coverage)


def face_result(face: Face, batch: FaceBatch, row: int) -> FaceResult:
    """One row of a batch as the result for a face."""
    years = None if batch.age_years is None else float(batch.age_years[row])
    interval = None
    if batch.age_interval is not None and batch.age_coverage is not None:
        low, high = (float(v) for v in batch.age_interval[row])
        interval = AgeInterval(low, high, batch.age_coverage)
    return FaceResult(face, batch.row(row), years, interval)


def abstain(face: FaceResult, min_confidence: float) -> FaceResult:
    """The result with `UNSURE` in place of every label that is less probable than `min_confidence` (0 to 1)."""
    return replace(face, attributes={k: _abstain(v, min_confidence) for k, v in face.attributes.items()})


def _abstain(prediction: AttributePrediction, min_confidence: float) -> AttributePrediction:
    # Not "<": a probability that is not a number is no answer either.
    if prediction.probability >= min_confidence:
        return prediction
    return replace(prediction, label=UNSURE, abstained=True)
