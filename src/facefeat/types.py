"""The plain data that moves between the rooms: faces, predictions, analyses. Frozen; no behaviour beyond `to_dict`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facefeat.utils.values import ByValue

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL import Image as PILImage

    UInt8Array = NDArray[np.uint8]
    FloatArray = NDArray[np.float32]
    ImageLike = str | os.PathLike[str] | bytes | PILImage.Image | UInt8Array

LANDMARK_NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""Order of the five landmarks. Left and right are the viewer's: the left eye is the one with the smaller x."""
YEARS = "years"
"""The unit of an attribute that is an age: that of `age_years` and `age_interval`."""


@dataclass(frozen=True, eq=False)
class Face(ByValue):
    """One detected face, in pixels of the upright image (after EXIF orientation).

    box: (left, top, right, bottom), floats; may reach beyond the image's border.
    landmarks: (5, 2) float32 of (x, y) in the order of LANDMARK_NAMES, or None where a detector has none.
    score: the detector's confidence, 0 to 1.
    crop: (S, S, 3) uint8 RGB aligned crop, or None before alignment.
    """

    box: tuple[float, float, float, float]
    score: float = 1.0
    landmarks: FloatArray | None = None
    crop: UInt8Array | None = field(default=None, repr=False, compare=False)

    @property
    def area(self) -> float:
        """Area of the box, in square pixels."""
        left, top, right, bottom = self.box
        return max(0.0, right - left) * max(0.0, bottom - top)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: box, score, landmarks by name. The crop is left out."""
        marks = None
        if self.landmarks is not None:
            marks = {n: [round(float(v), 2) for v in p] for n, p in zip(LANDMARK_NAMES, self.landmarks, strict=True)}
        return {"box": [round(float(v), 2) for v in self.box], "score": round(float(self.score), 4), "landmarks": marks}


@dataclass(frozen=True)
class Alignment:
    """Where the five landmarks lie in a crop, as fractions of its side: the geometry that a model was trained on.

    landmarks: five (x, y) pairs in 0..1, in the order of LANDMARK_NAMES.
    """

    name: str
    landmarks: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `Alignment.from_dict`."""
        return {"name": self.name, "landmarks": [list(p) for p in self.landmarks]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Alignment:
        """The alignment that `to_dict` wrote."""
        return cls(str(value["name"]), tuple((float(x), float(y)) for x, y in value["landmarks"]))


@dataclass(frozen=True)
class Axis:
    """The scale of an attribute that has one: along it a face can be moved, and an error has a size.

    unit: "years", "classes", "degrees". low, high: its ends.
    positions: (G,) where each group of the attribute lies. edges: (G - 1,) where one group ends and the next begins.
    near: how close counts as reached. reach: the least distance over which a direction is measured.
    """

    unit: str
    low: float
    high: float
    positions: tuple[float, ...]
    edges: tuple[float, ...]
    near: float
    reach: float

    def group_of(self, value: float) -> int:
        """The position of the group that holds a value."""
        return sum(value >= edge for edge in self.edges)


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included: such intervals hold the labelled value of `coverage` (0 to 1) of faces.

    That holds on average over faces like those that the model was calibrated on, not for each group of them.
    """

    low: float
    high: float
    coverage: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"low": self.low, "high": self.high, "coverage": self.coverage}


@dataclass(frozen=True)
class Quality:
    """How well a face can be read: see `facefeat.image.quality`.

    value: 0 to 1, about the chance that an answer is right. reasons: what lowers it, the most important first: "too
    dark", "too small", "blurred", "turned away". signals: what was measured, None where it is not known.
    """

    value: float
    reasons: tuple[str, ...] = ()
    signals: Mapping[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        signals = {k: None if v is None else round(float(v), 3) for k, v in self.signals.items()}
        return {"value": round(float(self.value), 3), "reasons": list(self.reasons), "signals": signals}


@dataclass(frozen=True, eq=False)
class Qualities(ByValue):
    """The quality of N faces. values: (N,) float32 of 0 to 1. reasons: (N,) str, joined by ", ".

    signals: (N, K) float32, NaN where unknown. names: K names. unsure_below: below it answers are "unsure".
    """

    values: FloatArray
    reasons: NDArray[np.str_]
    signals: FloatArray
    names: tuple[str, ...] = ()
    unsure_below: float = 0.0

    def row(self, index: int) -> Quality:
        """That of one face."""
        known = {n: float(v) if v == v else None for n, v in zip(self.names, self.signals[index], strict=True)}
        why = str(self.reasons[index])
        return Quality(float(self.values[index]), tuple(why.split(", ")) if why else (), known)

    def take(self, rows: NDArray[np.intp]) -> Qualities:
        """That of some of the faces, in this order."""
        return replace(self, values=self.values[rows], reasons=self.reasons[rows], signals=self.signals[rows])

    @classmethod
    def join(cls, parts: Sequence[Qualities]) -> Qualities:
        """One after the other."""
        import numpy as np

        first = parts[0]
        values, reasons = np.concatenate([p.values for p in parts]), np.concatenate([p.reasons for p in parts])
        signals = np.concatenate([p.signals for p in parts])
        return cls(values, reasons, signals, first.names, first.unsure_below)


@dataclass(frozen=True)
class AttributePrediction:
    """What the model predicts of one attribute of one face. `facefeat.plugins.kinds.say` formats it as text.

    label: the most probable class, the classes that apply ("glasses, hat"), or the number with its unit; "unsure" where
    the model abstains. probability: the calibrated probability of that answer; None where the kind has none.
    probabilities: every class in the schema's order; of an attribute with one class a face they sum to 1.
    abstained: whether the probability or the quality was less than asked for. why: of the latter, "too dark".
    value: the number, in `unit`: of an age the median of the predicted distribution. interval: where the labelled value
    lies, or None where the model was not calibrated for that. labels: all classes that apply.
    kind: the attribute's kind. digits: decimals that the value is worth. scale: from where to where it is drawn.
    """

    label: str
    probability: float | None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    abstained: bool = False
    value: float | None = None
    interval: Interval | None = None
    labels: tuple[str, ...] = ()
    unit: str = ""
    kind: str = "categorical"
    digits: int = 1
    scale: tuple[float, float] | None = None
    why: str = ""

    def columns(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The cells of a row of a table, as of `Answers.columns`, rounded to what they are worth."""
        between, classes = self.interval, {c: round(float(p), 4) for c, p in self.probabilities.items()}
        ends = (None, None) if between is None else (float(between.low), float(between.high))
        sure = None if self.probability is None else round(float(self.probability), 4)
        value = None if self.value is None else round(float(self.value), self.digits)
        return _columns(name, self.unit, self.label, sure, classes, value, ends)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the value with its unit and interval only where the attribute's kind has one."""
        out: dict[str, Any] = {
            "label": self.label,
            "probability": None if self.probability is None else round(self.probability, 4),
            "probabilities": {k: round(float(v), 4) for k, v in self.probabilities.items()},
            "abstained": self.abstained,
            "labels": list(self.labels),
        }
        if self.why:
            out["why"] = self.why
        if self.value is not None:
            between = None if self.interval is None else self.interval.to_dict()
            out |= {"value": round(float(self.value), self.digits), "unit": self.unit, "interval": between}
        return out


@dataclass(frozen=True)
class FaceResult:
    """One face of an image: its place and the predictions.

    quality: how well it can be read; None where that was not measured. notes: sentences on what these answers cannot
    say, such as the gender of a baby.
    """

    face: Face
    attributes: Mapping[str, AttributePrediction]
    quality: Quality | None = None
    notes: tuple[str, ...] = ()

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in pixels of the upright image."""
        return self.face.box

    @property
    def score(self) -> float:
        """The detector's confidence, 0 to 1."""
        return self.face.score

    def columns(self) -> dict[str, Any]:
        """The cells of a row of a table, as of `FaceBatch.columns`."""
        found = self.quality
        value = None if found is None else round(float(found.value), 3)
        why = None if found is None else ", ".join(found.reasons)
        return _joined(p.columns(n) for n, p in self.attributes.items()) | _quality_columns(value, why)

    @property
    def age_years(self) -> float | None:
        """The age in years, the median of its predicted distribution; None where the schema has no years."""
        found = self._in_years
        return None if found is None else found.value

    @property
    def age_interval(self) -> Interval | None:
        """The years between which the labelled age lies; None where the model was not calibrated for that."""
        found = self._in_years
        return None if found is None else found.interval

    @property
    def _in_years(self) -> AttributePrediction | None:
        return next((p for p in self.attributes.values() if p.unit == YEARS and p.value is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the face's fields, its attributes by name, and the years."""
        years, between = self.age_years, self.age_interval
        return {
            **self.face.to_dict(),
            "attributes": {k: v.to_dict() for k, v in self.attributes.items()},
            "age_years": None if years is None else round(float(years), 1),
            "age_interval": None if between is None else between.to_dict(),
            "quality": None if self.quality is None else self.quality.to_dict(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class ImageResult:
    """All faces of one image, or the reason why it could not be read.

    source: the path as given, or "image N" for bytes, arrays and PIL images.
    size: (width, height) of the upright image in pixels; None where it could not be read.

    Example:
        >>> result = model.predict("photo.jpg")
        >>> [face.attributes["gender"].label for face in result.faces]
        ['Female']
    """

    source: str
    faces: tuple[FaceResult, ...] = ()
    size: tuple[int, int] | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "source": self.source,
            "size": None if self.size is None else list(self.size),
            "faces": [f.to_dict() for f in self.faces],
            "error": self.error,
        }


@dataclass(frozen=True, eq=False)
class Answers(ByValue):
    """The predictions of one attribute for N faces.

    labels: (N,) str and classes, K names: as of AttributePrediction. probabilities: (N, K) float32, calibrated.
    confidence: (N,) float32, the probability of the answer; None where the kind has none.
    values: (N,) float32 in `unit`; None where the kind has none. intervals: (N, 2) float32, both ends included, that
    hold the labelled value of `coverage` (0 to 1) of the faces; None where the model was not calibrated for that.
    applies: (N, K) bool, where several classes may apply to a face; None where one does. kind, digits, scale: as there.
    missing, unclear: as of `facefeat.schema.Attribute`. rest: the class that is no answer but an abstention, or "".
    """

    labels: NDArray[np.str_]
    probabilities: FloatArray
    classes: tuple[str, ...] = ()
    confidence: FloatArray | None = None
    values: FloatArray | None = None
    intervals: FloatArray | None = None
    coverage: float | None = None
    applies: NDArray[np.bool_] | None = None
    unit: str = ""
    kind: str = "categorical"
    digits: int = 1
    scale: tuple[float, float] | None = None
    missing: tuple[str, ...] = ()
    rest: str = ""
    unclear: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def take(self, rows: NDArray[np.intp]) -> Answers:
        """The answers for some of the faces, in this order."""
        arrays = ("labels", "probabilities", "confidence", "values", "intervals", "applies")
        return replace(self, **{n: v[rows] for n in arrays if (v := getattr(self, n)) is not None})

    def row(self, index: int) -> AttributePrediction:
        """The answer for one face."""
        between = None
        if self.intervals is not None and self.coverage is not None:
            low, high = self.intervals[index]
            between = Interval(float(low), float(high), self.coverage)
        label = str(self.labels[index])
        labels: tuple[str, ...] = (label,) if self.classes else ()
        if self.applies is not None:
            labels = tuple(c for c, here in zip(self.classes, self.applies[index], strict=True) if here)
        return AttributePrediction(
            label,
            None if self.confidence is None else float(self.confidence[index]),
            {c: float(v) for c, v in zip(self.classes, self.probabilities[index], strict=True)},
            value=None if self.values is None else float(self.values[index]),
            interval=between,
            labels=labels,
            unit=self.unit,
            kind=self.kind,
            digits=self.digits,
            scale=self.scale,
        )

    def columns(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Columns of a table, name -> (N,): first those of the number, then those of the classes."""
        ends = None if self.values is None else (self.values + float("nan"),) * 2
        if self.intervals is not None:
            ends = (self.intervals[:, 0], self.intervals[:, 1])
        classes = {c: self.probabilities[:, k] for k, c in enumerate(self.classes)}
        return _columns(name, self.unit, self.labels, self.confidence, classes, self.values, ends)


def _columns(
    name: str, unit: str, label: Any, confidence: Any, classes: Mapping[str, Any], value: Any, ends: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    numbers: dict[str, Any] = {}
    if value is not None:
        numbers = {f"{name}_{unit}" if classes else name: value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
    if not classes:
        return numbers, {}
    return numbers, {name: label, f"{name}_probability": confidence, **{f"{name}:{c}": p for c, p in classes.items()}}


def _joined(parts: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """All numbers, then all classes."""
    every = list(parts)
    return {k: v for i in (0, 1) for part in every for k, v in part[i].items()}


def _quality_columns(value: Any, reasons: Any) -> dict[str, Any]:
    return {"quality": value, "quality_reasons": reasons}


@dataclass(frozen=True)
class FaceBatch:
    """Predictions for N crops, column by column.

    answers: attribute -> Answers. The mappings below are views of them, by attribute.
    quality: how well each face can be read; None where that was not measured.

    Example:
        >>> model.predict_faces(crops).probabilities["gender"].shape
        (1, 2)
    """

    answers: Mapping[str, Answers]
    quality: Qualities | None = None

    def __len__(self) -> int:
        return len(next(iter(self.answers.values())).labels)

    def take(self, rows: NDArray[np.intp]) -> FaceBatch:
        """Some of the faces, in this order."""
        quality = None if self.quality is None else self.quality.take(rows)
        return FaceBatch({n: a.take(rows) for n, a in self.answers.items()}, quality)

    @property
    def labels(self) -> dict[str, NDArray[np.str_]]:
        """Attribute -> (N,) str."""
        return {n: a.labels for n, a in self.answers.items()}

    @property
    def probabilities(self) -> dict[str, FloatArray]:
        """Attribute -> (N, K) float32, calibrated; of an attribute with one class a face, rows sum to 1."""
        return {n: a.probabilities for n, a in self.answers.items()}

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Attribute -> the names of its K classes; none for a number."""
        return {n: a.classes for n, a in self.answers.items()}

    @property
    def values(self) -> dict[str, FloatArray]:
        """Attribute -> (N,) float32, of those that are numbers, or stand for one as an age does."""
        return {n: a.values for n, a in self.answers.items() if a.values is not None}

    @property
    def intervals(self) -> dict[str, FloatArray]:
        """Attribute -> (N, 2) float32, of those whose calibration has an interval."""
        return {n: a.intervals for n, a in self.answers.items() if a.intervals is not None}

    @property
    def coverages(self) -> dict[str, float]:
        """Attribute -> share of faces whose labelled value lies in the interval."""
        return {n: a.coverage for n, a in self.answers.items() if a.coverage is not None}

    @property
    def age_years(self) -> FloatArray | None:
        """(N,) float32 ages, each the median of its predicted distribution; None where the schema has no years."""
        return None if self._in_years is None else self._in_years.values

    @property
    def age_interval(self) -> FloatArray | None:
        """(N, 2) float32, first and last year; None where the model was not calibrated for that."""
        return None if self._in_years is None else self._in_years.intervals

    @property
    def age_coverage(self) -> float | None:
        """Share of faces, 0 to 1, whose labelled age lies in `age_interval`."""
        return None if self._in_years is None else self._in_years.coverage

    @property
    def _in_years(self) -> Answers | None:
        return next((a for a in self.answers.values() if a.unit == YEARS and a.values is not None), None)

    def row(self, index: int) -> dict[str, AttributePrediction]:
        """The predictions for one crop, by attribute."""
        return {n: a.row(index) for n, a in self.answers.items()}

    def columns(self) -> dict[str, Any]:
        """The columns of every table of predictions, name -> (N,): all numbers, then labels and probabilities.

        They depend on the schema alone: an interval that was not calibrated is NaN. The quality comes last.
        """
        import numpy as np

        found = self.quality
        none = (np.full(len(self), np.nan, "float32"), np.full(len(self), "", "U1"))
        values, why = none if found is None else (found.values, found.reasons)
        return _joined(a.columns(n) for n, a in self.answers.items()) | _quality_columns(values, why)

    def to_frame(self) -> pd.DataFrame:
        """A table with a row for each crop: age_years, age_low, age_high, gender, gender_probability, gender:Male...

        Raises MissingExtraError without pandas (extras `tables`, `audit`).
        """
        from facefeat.utils.frames import import_pandas

        pd = import_pandas()
        return pd.DataFrame(self.columns())

    @classmethod
    def join(cls, parts: Sequence[FaceBatch]) -> FaceBatch:
        """Batches of one model, one after the other."""
        import numpy as np

        def whole(name: str) -> Answers:
            every = [p.answers[name] for p in parts]
            arrays: dict[str, Any] = {
                f: np.concatenate([getattr(a, f) for a in every])
                for f in ("labels", "probabilities", "confidence", "values", "intervals", "applies")
                if getattr(every[0], f) is not None
            }
            return replace(every[0], **arrays)

        qualities = [p.quality for p in parts if p.quality is not None]
        joined = Qualities.join(qualities) if len(qualities) == len(parts) else None
        return cls({n: whole(n) for n in parts[0].answers}, joined)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: lists in place of arrays."""
        return {
            "labels": {k: [str(x) for x in v] for k, v in self.labels.items()},
            "probabilities": {k: v.tolist() for k, v in self.probabilities.items()},
            "classes": {k: list(v) for k, v in self.classes.items()},
            "values": {k: v.tolist() for k, v in self.values.items()},
            "intervals": {k: v.tolist() for k, v in self.intervals.items()},
            "coverages": self.coverages,
            "age_years": None if self.age_years is None else self.age_years.tolist(),
            "age_interval": None if self.age_interval is None else self.age_interval.tolist(),
            "age_coverage": self.age_coverage,
            "quality": None if self.quality is None else self.quality.values.tolist(),
            "quality_reasons": None if self.quality is None else [str(r) for r in self.quality.reasons],
        }


@dataclass(frozen=True)
class Analysis:
    """What an analyzer returns.

    table: one row per latent, coordinate or group: the analyzer's documentation says which.
    figures: name -> matplotlib Figure. directions: name -> (D,) float32 unit vector in the latent space.
    summary: what was found in a few rows, where the table has too many to read; `facefeat analyze` prints it.
    """

    name: str
    table: pd.DataFrame
    figures: Mapping[str, Any] = field(default_factory=dict)
    directions: Mapping[str, FloatArray] = field(default_factory=dict)
    summary: pd.DataFrame | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the table as records, directions as lists; figures are left out."""
        return {
            "name": self.name,
            "table": self.table.to_dict(orient="records"),
            "directions": {k: v.tolist() for k, v in self.directions.items()},
        }

    def save(self, folder: str | Path) -> Path:
        """Write `table.csv`, `directions.npz` and one PNG per figure, atomically; returns the folder.

        An earlier analysis in the folder is replaced. Raises InputError where it holds anything else or cannot be
        written.
        """
        from pathlib import Path

        import numpy as np

        from facefeat.utils.atomic import atomic_folder
        from facefeat.utils.csv_rows import ENDING, LineFeeds

        to = Path(folder)
        with atomic_folder(to, "an analysis", is_analysis_file) as new:
            with (new / "table.csv").open("w", encoding="utf-8", newline="") as out:
                self.table.to_csv(LineFeeds(out), index=False, lineterminator=ENDING)
            if self.directions:
                arrays: dict[str, Any] = {k: np.asarray(v) for k, v in self.directions.items()}
                np.savez(new / "directions.npz", **arrays)
            for name, figure in self.figures.items():
                figure.savefig(new / f"{name}.png", dpi=120, bbox_inches="tight")
        return to


def is_analysis_file(name: str) -> bool:
    """Whether `Analysis.save` writes files of this name, and replaces those of an earlier analysis."""
    return name in ("table.csv", "directions.npz") or name.endswith(".png")


@dataclass(frozen=True)
class FaceSet:
    """The faces that an analyzer's latents are of, in the same order: what `analyze(..., faces=...)` is given.

    files: (N,) their names. numbers: attribute -> (N,) float32 exact labels, such as ages; NaN where unknown.
    crops_at: row numbers (M,) -> their crops (M, S, S, 3) uint8.
    """

    files: tuple[str, ...]
    numbers: Mapping[str, FloatArray]
    crops_at: Callable[[NDArray[np.int64]], UInt8Array] = field(repr=False)

    def __len__(self) -> int:
        return len(self.files)
