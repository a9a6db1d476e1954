"""`multilabel`: any number of K classes apply to a face, such as glasses and a hat. A head has a logit for each class,
and each has a sigmoid of its own. Targets are (N, K) of 0 and 1.

In a table, labels are a list: "glasses, hat", "glasses|hat", "hat"; "none" where no class applies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.kinds import classes as shared
from facefeat.builtin.kinds.categorical import MEASURES, PROBABILITIES
from facefeat.builtin.kinds.fitting import MAX_BIAS
from facefeat.errors import SchemaError
from facefeat.plugins.contracts import Judged, Parsed, Wording
from facefeat.schema import fold
from facefeat.types import Answers
from facefeat.utils.text import percent
from facefeat.utils.weighted import calibration_error, mean, mean_of_finite

if TYPE_CHECKING:
    from facefeat.schema import Attribute
    from facefeat.types import AttributePrediction, Axis, FloatArray

NONE = "none"
FEWEST = 20
"""Faces with, and without a class below which its probability is not calibrated."""
_SEPARATORS = re.compile(r"[,;|]")


class Multilabel:
    """See the module, and `AttributeKind` for its methods."""

    keys = ("classes", "aliases")
    measures: Mapping[str, tuple[str, str]] = {
        "accuracy": ("accuracy", "share of right answers, one for each class of each face"),
        "exact_accuracy": ("all right", "share of faces with the right answer for every class"),
        "balanced_accuracy": ("balanced accuracy", "faces with and without a class counting alike, mean over classes"),
        "ece": MEASURES["ece"],
    }
    tolerances: Mapping[str, float] = {PROBABILITIES: 1e-3}

    def check(self, attribute: Attribute) -> None:
        shared.check_classes(attribute, least=1)
        for name in (*attribute.classes, *attribute.aliases):
            if fold(name) == NONE or _SEPARATORS.search(name):
                raise SchemaError(
                    f"attribute {attribute.name!r}: {name!r} cannot be parsed from a list of classes: a class has no "
                    f"',', ';' or '|' in its name, and {NONE!r} is a face to which none applies."
                )

    def outputs(self, attribute: Attribute) -> int:
        return len(attribute.classes)

    def groups(self, attribute: Attribute) -> tuple[str, ...]:
        return (*attribute.classes, NONE)

    def axis(self, attribute: Attribute) -> Axis | None:
        return None

    def exclusive(self, attribute: Attribute) -> bool:
        return False

    def losses(self, attribute: Attribute) -> tuple[str, ...]:
        return ("binary-cross-entropy",)

    # -- the data

    def parse(self, attribute: Attribute, text: str) -> Parsed:
        named = [] if fold(text) == NONE else [t for t in _SEPARATORS.split(text) if t.strip()]
        here = {attribute.index(t) for t in named}
        return Parsed(tuple(float(k in here) for k in range(len(attribute.classes))))

    def stored(self, attribute: Attribute) -> tuple[str, ...]:
        return (attribute.name,)

    def columns(self, attribute: Attribute, targets: np.ndarray) -> dict[str, np.ndarray]:
        known = np.isfinite(targets).all(axis=1)
        return {attribute.name: np.where(known, _listed(attribute, targets > 0.5), "")}

    def targets(self, attribute: Attribute, columns: Mapping[str, np.ndarray]) -> FloatArray:
        unknown = (np.nan,) * len(attribute.classes)
        rows = [self.parse(attribute, str(t)).target if t else unknown for t in columns[attribute.name]]
        return np.asarray(rows, "float32").reshape(-1, len(attribute.classes))

    def members(self, attribute: Attribute, targets: np.ndarray) -> np.ndarray:
        return np.concatenate([targets > 0.5, (targets == 0).all(axis=1, keepdims=True)], axis=1)

    def numbers(self, attribute: Attribute, targets: np.ndarray) -> FloatArray:
        return np.full(len(targets), np.nan, "float32")

    # -- the answers

    def read(self, attribute: Attribute, outputs: np.ndarray, calibration: Mapping[str, Any]) -> Answers:
        slopes, offsets = _lines(attribute, calibration)
        z = np.asarray(outputs, "float64") * slopes + offsets
        return self._answers(attribute, (1 / (1 + np.exp(-np.clip(z, -60, 60)))).astype("float32"))

    def _answers(self, attribute: Attribute, p: FloatArray) -> Answers:
        applies = p >= 0.5
        # As sure as of the class of which it is least sure.
        sure = np.maximum(p, 1 - p).min(axis=1)
        labels = _listed(attribute, applies)
        return Answers(labels, p, attribute.classes, confidence=sure, applies=applies, kind="multilabel")

    def say(self, name: str, prediction: AttributePrediction) -> Wording:
        if prediction.abstained:
            return Wording(f"{name} {prediction.label}", (prediction.label,), prediction.label)
        lines = [f"{c} {percent(prediction.probabilities[c])}" for c in prediction.labels]
        lines = lines or [f"{NONE} {percent(prediction.probability)}"]
        text = ", ".join(lines)
        return Wording(text if prediction.labels else f"{name} {text}", tuple(lines), text)

    def width(self, attribute: Attribute) -> int:
        return max(len(c) + 5 for c in (*attribute.classes, NONE))

    # -- learning and measuring

    def calibrate(
        self, attribute: Attribute, outputs: np.ndarray, targets: np.ndarray, coverage: float, seed: int
    ) -> dict[str, Any]:
        known = np.isfinite(targets).all(axis=1)
        lines = [_platt(z, t) for z, t in zip(outputs[known].T, targets[known].T, strict=True)]
        return {
            "slopes": [slope for slope, _ in lines],
            "offsets": [offset for _, offset in lines],
            "measured": {"faces": int(known.sum()), "method": "Platt scaling of each class"},
        }

    def check_calibration(self, attribute: Attribute, value: Mapping[str, Any]) -> dict[str, Any]:
        out = {key: [float(v) for v in value[key]] for key in ("slopes", "offsets")}
        if any(len(v) != len(attribute.classes) or not (np.abs(v) <= MAX_BIAS).all() for v in out.values()):
            raise ValueError(
                f"slopes and offsets of {attribute.name} must be a number for each class, up to {MAX_BIAS:g}"
            )
        return out

    def score(
        self, attribute: Attribute, answers: Answers, targets: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        known = np.isfinite(targets).all(axis=1)
        if not known.any():
            return {}
        p, here, w = answers.probabilities[known], targets[known] > 0.5, weights[:, known]
        right = (p >= 0.5) == here  # (n, K)
        sides = [
            mean_of_finite([mean(right[side, k], w[:, side]) for side in (here[:, k], ~here[:, k])])
            for k in range(len(attribute.classes))
        ]
        balanced = mean_of_finite(sides)
        confidence = np.maximum(p, 1 - p)
        return {
            "accuracy": mean(right.mean(axis=1), w),
            "exact_accuracy": mean(right.all(axis=1), w),
            "balanced_accuracy": balanced,
            "ece": calibration_error(confidence.reshape(-1), right.reshape(-1), np.repeat(w, right.shape[1], axis=1)),
            "skill": balanced,
        }

    def per_face(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> dict[str, np.ndarray]:
        known = np.isfinite(targets).all(axis=1)
        if not known.any():
            return {}
        right = (answers.probabilities >= 0.5) == (targets > 0.5)
        return {"accuracy": np.where(known, right.mean(axis=1), np.nan)}

    def judged(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> Judged | None:
        known = np.isfinite(targets).all(axis=1)
        if not known.any():
            return None
        p, here = answers.probabilities[known], targets[known] > 0.5
        said = p >= 0.5
        confusions = {}
        for k, name in enumerate(attribute.classes):
            counts = np.bincount(2 * here[:, k] + said[:, k], minlength=4).reshape(2, 2)
            confusions[f"{attribute.name}: {name}"] = ((f"no {name}", name), counts)
        return Judged(np.maximum(p, 1 - p).reshape(-1), (said == here).reshape(-1), confusions)

    def mistakes(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> np.ndarray:
        # How sure the answer to a class was that is wrong.
        p, here = answers.probabilities, targets > 0.5
        sure = np.where((p >= 0.5) != here, np.maximum(p, 1 - p), 0).max(axis=1)
        wrong = np.flatnonzero(np.isfinite(targets).all(axis=1) & (sure > 0))
        return wrong[np.argsort(-sure[wrong], kind="stable")]

    def divergence(self, attribute: Attribute, true: Any, made: Any) -> Any:
        from keras import ops

        p, terms = ops.sigmoid(true), (ops.log_sigmoid(true) - ops.log_sigmoid(made))
        others = ops.log_sigmoid(-true) - ops.log_sigmoid(-made)
        return ops.sum(p * terms + (1 - p) * others, axis=-1)  # Kullback-Leibler, of each class

    # -- export

    def graph(self, attribute: Attribute, outputs: Any, calibration: Mapping[str, Any]) -> dict[str, Any]:
        from keras import ops

        slopes, offsets = (np.asarray(v, "float32") for v in _lines(attribute, calibration))
        return {PROBABILITIES: ops.sigmoid(ops.cast(outputs, "float32") * slopes + offsets)}

    def describe(self, attribute: Attribute, calibration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        classes = list(attribute.classes)
        return {PROBABILITIES: {"shape": ["N", len(classes)], "classes": classes, "independent": True}}

    def from_graph(
        self, attribute: Attribute, found: Mapping[str, np.ndarray], about: Mapping[str, Mapping[str, Any]]
    ) -> Answers:
        return self._answers(attribute, found[PROBABILITIES])


def _listed(attribute: Attribute, applies: np.ndarray) -> np.ndarray:
    """(N, K) bool -> (N,) str: "glasses, hat", or "none"."""
    rows = [", ".join(c for c, here in zip(attribute.classes, row, strict=True) if here) or NONE for row in applies]
    return np.asarray(rows, str)


def _lines(attribute: Attribute, calibration: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    k = len(attribute.classes)
    return np.asarray(calibration.get("slopes", [1.0] * k)), np.asarray(calibration.get("offsets", [0.0] * k))


def _platt(logits: np.ndarray, here: np.ndarray) -> tuple[float, float]:
    """(slope, offset) of the logits of one class, (n,) both: Platt, "Probabilistic outputs for support vector
    machines", 1999, with his targets against overconfidence; (1, 0) where too few faces are with or without it."""
    from scipy.optimize import minimize

    z, y = np.asarray(logits, "float64"), here > 0.5
    n_with, n_without = int(y.sum()), int((~y).sum())
    if min(n_with, n_without) < FEWEST:
        return 1.0, 0.0
    wanted = np.where(y, (n_with + 1) / (n_with + 2), 1 / (n_without + 2))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        scores = line[0] * z + line[1]
        gap = 1 / (1 + np.exp(-np.clip(scores, -60, 60))) - wanted
        cost = np.logaddexp(0, scores) - wanted * scores
        return float(cost.mean()), np.array([(gap * z).mean(), gap.mean()])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.05, 20), (-20, 20)]).x
    return float(slope), float(offset)


KIND = Multilabel()
