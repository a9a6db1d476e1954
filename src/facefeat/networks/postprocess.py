"""From a head's outputs to what a person reads: each attribute's kind makes answers of them, with its calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facefeat.image.quality import QualityReader
from facefeat.types import AttributePrediction, Face, FaceBatch, FaceResult

if TYPE_CHECKING:
    import numpy as np

    from facefeat.schema import Schema
    from facefeat.types import Qualities

DOUBTFUL = 0.6
"""A probability below which the answer comes with the classes that the model cannot say."""
UNSURE = "unsure"
"""The label of an attribute on which the model abstains."""
SOFTENING = "softening"
"""By how much the logarithm of the temperature grows from a face of quality 1 to one of quality 0."""
REST_RECALL = "rest_recall"
"""Recall of the class of all that fits no other, where that is too low for it to be an answer."""
MEASURED = "measured"
"""What a fit measured on faces that it held out: for the record only, it makes no difference to a prediction."""


@dataclass(frozen=True)
class Calibration:
    """The calibration of the answers; fitted on validation data after training.

    attributes: attribute -> what the `calibrate` of its kind gave: a temperature, the levels of an interval; and
    SOFTENING, where the temperature depends on the quality of the face. quality: how that is measured.
    """

    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quality: QualityReader = field(default_factory=QualityReader)

    def of(self, attribute: str) -> Mapping[str, Any]:
        """That of one attribute; empty where there is none."""
        return self.attributes.get(attribute, {})

    def to_dict(self, measured: bool = True) -> dict[str, Any]:
        """Those of the attributes, JSON-able; the inverse is `from_dict`. measured: whether with what fits measured."""
        return {n: {k: v for k, v in a.items() if measured or k != MEASURED} for n, a in self.attributes.items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], schema: Schema) -> Calibration:
        """What `to_dict` wrote. Raises KeyError, TypeError, ValueError or SchemaError for anything else."""
        made = {}
        for name, one in value.items():
            attribute = schema[name]
            checked = attribute.strategy.check_calibration(attribute, one)
            if SOFTENING in one:
                checked[SOFTENING] = float(one[SOFTENING])
                if not 0 <= checked[SOFTENING] < 10:
                    raise ValueError(f"the softening of {name} must be from 0 to 10. Received: {one[SOFTENING]!r}")
            if REST_RECALL in one:
                checked[REST_RECALL] = float(one[REST_RECALL])
            made[name] = checked | ({MEASURED: dict(one[MEASURED])} if MEASURED in one else {})
        return cls(made)

    def soften(self, attribute: str, outputs: np.ndarray, quality: np.ndarray) -> np.ndarray:
        """(N, M) outputs of a head, divided by what a face of (N,) quality 0 to 1 adds to the temperature."""
        import numpy as np

        return outputs / np.exp(self.of(attribute).get(SOFTENING, 0.0) * (1.0 - quality))[:, None].astype("float32")

    @classmethod
    def from_tables(cls, value: Mapping[str, Any], schema: Schema) -> Calibration:
        """That of a preset of before 0.2: a table of temperatures, one of biases, and one interval, of the age."""
        made: dict[str, dict[str, Any]] = {n: {"temperature": t} for n, t in value["temperatures"].items()}
        for name, bias in (value.get("biases") or {}).items():
            made.setdefault(name, {})["bias"] = bias
        for name, found in (value.get(MEASURED) or {}).items():
            if name in schema.attributes:
                made.setdefault(name, {})[MEASURED] = found
        if value.get("interval") is not None and schema.age is not None:
            about = made.setdefault(schema.age.name, {})
            about["interval"] = value["interval"]
            if "interval" in (value.get(MEASURED) or {}):
                about[MEASURED] = {**about.get(MEASURED, {}), "interval": value[MEASURED]["interval"]}
        return cls.from_dict(made, schema)


def read_logits(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    calibration: Calibration | None = None,
    quality: Qualities | None = None,
) -> FaceBatch:
    """Attribute -> (N, outputs) of a head, to a FaceBatch of N faces. quality: None where crops are as good as any."""
    found = calibration or Calibration()
    if quality is not None:
        logits = {n: found.soften(n, z, quality.values) if SOFTENING in found.of(n) else z for n, z in logits.items()}
    answers = {}
    for n, a in schema.attributes.items():
        rest = a.rest if REST_RECALL in found.of(n) else ""
        read = a.strategy.read(a, logits[n], found.of(n))
        answers[n] = replace(read, missing=a.missing, unclear=a.unclear, rest=rest)
    return FaceBatch(answers, quality)


def no_faces(schema: Schema) -> FaceBatch:
    """Predictions for no crop: what tables of predictions take their columns from."""
    import numpy as np

    return read_logits(schema, {n: np.zeros((0, a.outputs), "float32") for n, a in schema.attributes.items()})


def face_result(face: Face, batch: FaceBatch, row: int) -> FaceResult:
    """One row of a batch as the result for a face; "unsure" where its quality is below the model's threshold."""
    predictions = batch.row(row)
    notes = tuple(_notes(batch, predictions))
    for name, answers in batch.answers.items():
        if answers.rest and predictions[name].label == answers.rest:
            known = [c for c in answers.classes if c != answers.rest]
            why = f"probably none of {', '.join(known)}"
            predictions[name] = _unsure(predictions[name], why)
    if batch.quality is None:
        return FaceResult(face, predictions, notes=notes)
    result = FaceResult(face, predictions, batch.quality.row(row), notes)
    return abstain(result, min_quality=batch.quality.unsure_below)


def _notes(batch: FaceBatch, predictions: Mapping[str, AttributePrediction]) -> Iterator[str]:
    """What these answers cannot say, in sentences."""
    for name, answers in batch.answers.items():
        what, found = name.replace("_", " "), predictions[name]
        for other, classes in answers.unclear.items():
            if other in predictions and predictions[other].label in classes:
                where = f"{other.replace('_', ' ')} {predictions[other].label}"
                yield f"{what} at {where} is little better than a guess: such faces hardly show it, to any model."
        if answers.missing and (found.probability or 0) < DOUBTFUL:
            yield cannot_say(what, answers.classes, answers.missing)


def cannot_say(attribute: str, classes: Sequence[str], missing: Sequence[str]) -> str:
    """The sentence on classes that a model does not have."""
    return f"{attribute} is one of {', '.join(classes)} to this model; it cannot say {' or '.join(missing)}."


def abstain(face: FaceResult, min_confidence: float = 0.0, min_quality: float = 0.0) -> FaceResult:
    """The result with `UNSURE` in place of every label that is less probable than `min_confidence` (0 to 1).

    Of a face whose quality is below `min_quality` (0 to 1) all are, and say why.
    """
    if face.quality is not None and face.quality.value < min_quality:
        why = ", ".join(face.quality.reasons) or "hard to read"
        return replace(face, attributes={k: _unsure(v, why) for k, v in face.attributes.items()})
    if not min_confidence:
        return face
    return replace(face, attributes={k: _abstain(v, min_confidence) for k, v in face.attributes.items()})


def _abstain(prediction: AttributePrediction, min_confidence: float) -> AttributePrediction:
    # Not "<": a probability that is not a number is no answer either. A kind without probabilities always answers.
    if prediction.probability is None or prediction.probability >= min_confidence:
        return prediction
    return _unsure(prediction)


def _unsure(prediction: AttributePrediction, why: str = "") -> AttributePrediction:
    return replace(prediction, label=UNSURE, labels=(), abstained=True, why=why)
