"""How well a face can be read: six signals of crop, landmarks and detector, one number of 0 to 1, and reasons in words.

NumPy only, a tenth of a millisecond a face. What hides a face (a mask, a hand) is not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facefeat.types import Qualities

if TYPE_CHECKING:
    from facefeat.types import Face, FloatArray, UInt8Array

SIGNALS = ("sharpness", "size", "brightness", "contrast", "pose", "detector")
"""Columns of `signals_of`, in this order."""
_LUMA = (0.299, 0.587, 0.114)
_INNER = 0.2
"""Share of the crop's side that is left out at each edge: sharpness and light are those of the face."""
_DARKEST = 1.0
"""Variance in grey levels below which a crop has no structure whose sharpness could be measured."""


@dataclass(frozen=True)
class Term:
    """One way in which a face can be hard to read.

    signal: a column of SIGNALS. reason: in words. good: up to here nothing is lost. bad: where the shortfall is 1; on
    either side of good. weight: what a shortfall of 1 takes off the log-odds that an answer is right.
    """

    signal: str
    reason: str
    good: float
    bad: float
    weight: float

    def shortfall(self, values: FloatArray) -> FloatArray:
        """(N,) signals -> (N,) float32 of 0 to 2; 0 where the signal is not known."""
        import numpy as np

        found = np.clip((values - self.good) / (self.bad - self.good), 0.0, 2.0)
        return np.where(np.isfinite(found), found, 0.0).astype("float32")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "signal": self.signal,
            "reason": self.reason,
            "good": self.good,
            "bad": self.bad,
            "weight": self.weight,
        }


TERMS = (
    Term("sharpness", "blurred", -3.7, -5.0, 2.0),
    Term("sharpness", "noisy", 0.0, 2.0, 1.0),
    Term("size", "too small", math.log(0.6), math.log(0.2), 2.0),
    Term("brightness", "too dark", 0.20, 0.06, 2.0),
    Term("brightness", "too bright", 0.76, 0.92, 2.0),
    Term("contrast", "too little contrast", 0.07, 0.03, 1.0),
    Term("pose", "turned away", 0.30, 0.80, 2.0),
    Term("detector", "hardly a face", 0.60, 0.30, 2.0),
)
"""Where nothing was fitted: nine of ten UTKFace crops or more are as good; `bad` and the weights are a judgement."""


@dataclass(frozen=True)
class QualityReader:
    """From signals to a quality: the logistic function of an intercept less the weighted shortfalls of its terms.

    unsure_below: quality below which answers are "unsure"; 0 for never. measured: what a fit measured, for the record.
    """

    intercept: float = 3.0
    terms: tuple[Term, ...] = TERMS
    unsure_below: float = 0.0
    measured: Mapping[str, Any] = field(default_factory=dict)

    def read(self, signals: FloatArray) -> Qualities:
        """(N, 6) signals -> the quality of N faces."""
        import numpy as np

        lost = self.lost(signals)
        values = 1.0 / (1.0 + np.exp(lost.sum(axis=1) - self.intercept))
        # What takes most off comes first; what takes less than half of the log-odds' unit is no reason.
        order = np.argsort(-lost, axis=1, kind="stable")
        reasons = [
            ", ".join(self.terms[k].reason for k in row if taken[k] >= 0.5)
            for row, taken in zip(order, lost, strict=True)
        ]
        return Qualities(values.astype("float32"), np.asarray(reasons, str), signals, SIGNALS, self.unsure_below)

    def lost(self, signals: FloatArray) -> FloatArray:
        """(N, 6) signals -> (N, terms): what each term takes off the log-odds."""
        import numpy as np

        columns = [t.weight * t.shortfall(signals[:, SIGNALS.index(t.signal)]) for t in self.terms]
        return np.stack(columns, axis=1) if columns else np.zeros((len(signals), 0), "float32")

    def of(self, crops: UInt8Array, faces: Sequence[Face] | None = None) -> Qualities:
        """The quality of (N, S, S, 3) uint8 crops; faces: where they were found, if that is known."""
        return self.read(signals_of(crops, faces))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `from_dict`."""
        terms = [t.to_dict() for t in self.terms]
        measured = {"measured": dict(self.measured)} if self.measured else {}
        return {"intercept": self.intercept, "terms": terms, "unsure_below": self.unsure_below, **measured}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> QualityReader:
        """What `to_dict` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        terms = tuple(_term(t) for t in value["terms"])
        below, intercept = float(value.get("unsure_below", 0.0)), float(value["intercept"])
        if not 0 <= below < 1 or not math.isfinite(intercept) or len(terms) > 100:
            raise ValueError(f"quality: not possible: intercept {intercept}, unsure_below {below}, {len(terms)} terms")
        return cls(intercept, terms, below, dict(value.get("measured") or {}))


def _term(value: Mapping[str, Any]) -> Term:
    from facefeat.utils.text import one_line

    made = Term(
        str(value["signal"]),
        one_line(str(value["reason"]), 40),
        *(float(value[k]) for k in ("good", "bad", "weight")),
    )
    if made.signal not in SIGNALS or made.good == made.bad or not 0 <= made.weight < 100:
        raise ValueError(f"quality: no such term: {dict(value)}. Valid signals: {', '.join(SIGNALS)}")
    return made


def signals_of(crops: UInt8Array, faces: Sequence[Face] | None = None) -> FloatArray:
    """(N, S, S, 3) uint8 crops -> (N, 6) float32 in the order of SIGNALS; NaN where a signal is not known.

    sharpness: logarithm of the variance of the Laplacian over that of the grey levels, of the inner face at the crop's
    size: contrast does not change it (after Pech-Pacheco et al., ICPR 2000). size: logarithm of the box's side in
    pixels over S. brightness, contrast: mean and standard deviation of grey, 0 to 1. pose: distance of the nose from
    the middle of the eyes along their line, over the distance of the eyes. detector: its score.
    """
    import numpy as np

    out = np.full((len(crops), len(SIGNALS)), np.nan, "float32")
    if not len(crops):
        return out
    side = crops.shape[1]
    edge = int(side * _INNER)
    inner = crops[:, edge : side - edge, edge : side - edge]
    for first in range(0, len(crops), 256):
        rows = slice(first, first + 256)
        grey = inner[rows].astype("float32") @ np.asarray(_LUMA, "float32")
        out[rows, 2] = grey.mean(axis=(1, 2)) / 255
        spread = grey.var(axis=(1, 2))
        out[rows, 3] = np.sqrt(spread) / 255
        if min(grey.shape[1:]) < 3:
            continue
        middle = 4 * grey[:, 1:-1, 1:-1]
        laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - middle
        fine = laplacian.var(axis=(1, 2))
        out[rows, 0] = np.where(spread > _DARKEST, np.log((fine + 1e-3) / np.maximum(spread, _DARKEST)), np.nan)
    for row, face in enumerate(faces or ()):
        out[row, 1] = _size(face, side)
        out[row, 4] = _turn(face)
        out[row, 5] = face.score
    return out


def _size(face: Face, side: int) -> float:
    left, top, right, bottom = face.box
    mean = (right - left + bottom - top) / 2
    return math.log(mean / side) if math.isfinite(mean) and mean > 0 else math.nan


def _turn(face: Face) -> float:
    import numpy as np

    if face.landmarks is None:
        return math.nan
    left, right, nose = np.asarray(face.landmarks, "float64")[:3]
    line = right - left
    apart = float(np.hypot(*line))
    return abs(float((nose - (left + right) / 2) @ line)) / apart**2 if apart > 0 else math.nan
