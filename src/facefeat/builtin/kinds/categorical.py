"""`categorical`: each face is in one of K classes without an order. A head has a logit for each; softmax makes
probabilities of them. Targets are (N, 1): the position of the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.kinds import classes as shared
from facefeat.builtin.kinds.fitting import BOUNDS, MAX_BIAS, fit_classes
from facefeat.builtin.kinds.soft import read_soft
from facefeat.builtin.kinds.words import class_words
from facefeat.errors import SchemaError
from facefeat.plugins.contracts import Judged, Parsed, Wording
from facefeat.types import Answers
from facefeat.utils.weighted import calibration_error, mean, mean_of_finite

if TYPE_CHECKING:
    from facefeat.schema import Attribute
    from facefeat.types import AttributePrediction, Axis, FloatArray

PROBABILITIES = "probabilities"
MEASURES = {
    "accuracy": ("accuracy", "share of faces whose most probable class is the label"),
    "balanced_accuracy": ("balanced accuracy", "the same, each class counting alike"),
    "ece": ("calibration error", "mean gap between probability and share right"),
}


class Categorical:
    """See the module, and `AttributeKind` for its methods."""

    name = "categorical"
    keys: tuple[str, ...] = ("classes", "ordered", "years", "exact", "aliases", "missing", "rest", "unclear")
    measures: Mapping[str, tuple[str, str]] = MEASURES
    tolerances: Mapping[str, float] = {PROBABILITIES: 1e-3}
    off = 0
    """How many classes an answer may be off without counting as a mistake to show."""

    def check(self, attribute: Attribute) -> None:
        shared.check_classes(attribute)
        if attribute.exact or attribute.years or attribute.ordered:
            needs = "exact = true needs the years of each class" if attribute.exact else "it has no order and no years"
            raise SchemaError(f"attribute {attribute.name!r}: {needs}.")

    def outputs(self, attribute: Attribute) -> int:
        return len(attribute.classes)

    def groups(self, attribute: Attribute) -> tuple[str, ...]:
        return attribute.classes

    def axis(self, attribute: Attribute) -> Axis | None:
        return None

    def exclusive(self, attribute: Attribute) -> bool:
        return True

    def losses(self, attribute: Attribute) -> tuple[str, ...]:
        return ("cross-entropy", "focal", "squared")

    def matrix(self, attribute: Attribute) -> FloatArray:
        """(M, K) float32 of 0 and 1: sums the probabilities of a head's outputs into those of the classes."""
        return np.eye(len(attribute.classes), dtype="float32")

    # -- the data

    def parse(self, attribute: Attribute, text: str) -> Parsed:
        return shared.parse_class(attribute, text)

    def soft(self, attribute: Attribute, text: str) -> FloatArray:
        return read_soft(attribute, text)

    def candidates(self, attribute: Attribute) -> FloatArray:
        return np.arange(len(attribute.classes), dtype="float32")[:, None]

    def stored(self, attribute: Attribute) -> tuple[str, ...]:
        return (attribute.name,)

    def columns(self, attribute: Attribute, targets: np.ndarray) -> dict[str, np.ndarray]:
        return {attribute.name: shared.names(attribute, targets)}

    def targets(self, attribute: Attribute, columns: Mapping[str, np.ndarray]) -> FloatArray:
        return shared.positions_of(attribute, columns[attribute.name])[:, None]

    def members(self, attribute: Attribute, targets: np.ndarray) -> np.ndarray:
        return shared.positions(targets)[:, None] == np.arange(len(attribute.classes))

    def numbers(self, attribute: Attribute, targets: np.ndarray) -> FloatArray:
        return np.full(len(targets), np.nan, "float32")

    # -- the answers

    def read(self, attribute: Attribute, outputs: np.ndarray, calibration: Mapping[str, Any]) -> Answers:
        matrix = self.matrix(attribute)
        return self._answers(
            attribute, shared.output_probabilities(matrix, outputs, *shared.calibrated(calibration)), matrix
        )

    def _answers(self, attribute: Attribute, p: np.ndarray, matrix: np.ndarray) -> Answers:
        return self._named(attribute, shared.class_probabilities(matrix, p).astype("float32"))

    def _named(self, attribute: Attribute, p: FloatArray) -> Answers:
        """(N, K) probabilities of the classes, as answers."""
        labels = np.asarray(attribute.classes)[p.argmax(axis=1)]
        return Answers(labels, p, attribute.classes, confidence=p.max(axis=1), kind=self.name)

    def say(self, name: str, prediction: AttributePrediction) -> Wording:
        return class_words(prediction)

    def width(self, attribute: Attribute) -> int:
        return max(len(c) + 5 for c in attribute.classes)  # a space and ">99%" after it

    # -- learning and measuring

    def calibrate(
        self, attribute: Attribute, outputs: np.ndarray, targets: np.ndarray, coverage: float, seed: int
    ) -> dict[str, Any]:
        y = shared.positions(targets)
        known = y >= 0
        if not known.any():
            return {"temperature": 1.0}
        (temperature, bias), measured = fit_classes(self.matrix(attribute), outputs[known], y[known], seed)
        return {"temperature": temperature, **({} if bias is None else {"bias": list(bias)}), "measured": measured}

    def check_calibration(self, attribute: Attribute, value: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {"temperature": float(value.get("temperature", 1.0))}
        if not BOUNDS[0] / 100 < out["temperature"] < BOUNDS[1] * 100:
            raise ValueError(
                f"the temperature of {attribute.name} must be from {BOUNDS[0] / 100:g} to {BOUNDS[1] * 100:g}. "
                f"Received: {value['temperature']!r}"
            )
        if value.get("bias") is not None:
            out["bias"] = [float(b) for b in value["bias"]]
            if len(out["bias"]) != len(attribute.classes):
                raise ValueError(f"the bias of {attribute.name} has {len(out['bias'])} numbers, not one per class")
            if not all(abs(b) <= MAX_BIAS for b in out["bias"]):
                raise ValueError(f"the biases of {attribute.name} must be from {-MAX_BIAS:g} to {MAX_BIAS:g}")
        return out

    def score(
        self, attribute: Attribute, answers: Answers, targets: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        labels = shared.positions(targets)
        known = labels >= 0
        if not known.any():
            return {}
        y, w = labels[known], weights[:, known]
        guess = answers.probabilities[known].argmax(axis=1)
        right = guess == y
        accuracy = mean(right, w)
        recalls = [mean(right[y == k], w[:, y == k]) for k in np.unique(y)]
        return {
            "accuracy": accuracy,
            "balanced_accuracy": mean_of_finite(recalls),
            **self._more(np.abs(guess - y), w),
            "ece": calibration_error(answers.probabilities[known].max(axis=1), right, w),
            "skill": accuracy,
        }

    def _more(self, off: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics of an order. off: (n,) how many classes the answers to the labelled faces are off."""
        return {}

    def per_face(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> dict[str, np.ndarray]:
        labels = shared.positions(targets)
        if not (labels >= 0).any():
            return {}
        return {"accuracy": np.where(labels >= 0, answers.probabilities.argmax(axis=1) == labels, np.nan)}

    def judged(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> Judged | None:
        labels = shared.positions(targets)
        known = labels >= 0
        if not known.any():
            return None
        p, y, k = answers.probabilities[known], labels[known], len(attribute.classes)
        guess = p.argmax(axis=1)
        counts = np.bincount(y * k + guess, minlength=k**2).reshape(k, k)
        return Judged(p.max(axis=1), guess == y, {attribute.name: (attribute.classes, counts)})

    def mistakes(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> np.ndarray:
        labels = shared.positions(targets)
        off = np.abs(answers.probabilities.argmax(axis=1) - labels)
        wrong = np.flatnonzero((labels >= 0) & (off > self.off))
        return wrong[np.argsort(-answers.probabilities[wrong].max(axis=1), kind="stable")]

    def divergence(self, attribute: Attribute, true: Any, made: Any) -> Any:
        from keras import ops

        p, q = ops.log_softmax(true, axis=-1), ops.log_softmax(made, axis=-1)
        return ops.sum(ops.exp(p) * (p - q), axis=-1)  # Kullback-Leibler

    # -- export

    def graph(self, attribute: Attribute, outputs: Any, calibration: Mapping[str, Any]) -> dict[str, Any]:
        p = shared.graph_probabilities(self.matrix(attribute), outputs, calibration)  # (N, M)
        return {PROBABILITIES: self._graph_classes(attribute, p)}

    def _graph_classes(self, attribute: Attribute, p: Any) -> Any:
        from keras import ops

        classes = p if p.shape[-1] == len(attribute.classes) else ops.matmul(p, self.matrix(attribute))
        return classes / ops.sum(classes, axis=-1, keepdims=True)  # (N, K)

    def describe(self, attribute: Attribute, calibration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        return {PROBABILITIES: {"shape": ["N", len(attribute.classes)], "classes": list(attribute.classes)}}

    def from_graph(
        self, attribute: Attribute, found: Mapping[str, np.ndarray], about: Mapping[str, Mapping[str, Any]]
    ) -> Answers:
        return self._named(attribute, found[PROBABILITIES])


KIND = Categorical()
