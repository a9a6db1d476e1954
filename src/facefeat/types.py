"""The plain data that moves between the rooms: faces, predictions, analyses. Frozen; no behaviour beyond `to_dict`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class Face:
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
class AttributePrediction:
    """What the model says of one attribute of one face.

    label: the most probable class, or "unsure". probability: the calibrated probability of the most probable class.
    probabilities: every class in the schema's order, summing to 1.
    abstained: whether that was less than asked for (`facefeat predict --min-confidence`), so that there is no label.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]
    abstained: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "label": self.label,
            "probability": round(self.probability, 4),
            "probabilities": {k: round(float(v), 4) for k, v in self.probabilities.items()},
            "abstained": self.abstained,
        }


@dataclass(frozen=True)
class AgeInterval:
    """From `low` to `high` years, both included: such intervals hold the labelled age of `coverage` (0 to 1) of faces.

    That holds on average over faces like those that the model was calibrated on, not for each group of them.
    """

    low: float
    high: float
    coverage: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"low": self.low, "high": self.high, "coverage": self.coverage}


@dataclass(frozen=True)
class FaceResult:
    """One face of an image: where it is and what the model reads from it.

    age_years: the expected age in years, or None where the schema has no age.
    age_interval: the years between which it lies, or None where the model was not calibrated for that.
    """

    face: Face
    attributes: Mapping[str, AttributePrediction]
    age_years: float | None = None
    age_interval: AgeInterval | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in pixels of the upright image."""
        return self.face.box

    @property
    def score(self) -> float:
        """The detector's confidence, 0 to 1."""
        return self.face.score

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the face's fields, its attributes by name, and the years."""
        years = None if self.age_years is None else round(float(self.age_years), 1)
        return {
            **self.face.to_dict(),
            "attributes": {k: v.to_dict() for k, v in self.attributes.items()},
            "age_years": years,
            "age_interval": None if self.age_interval is None else self.age_interval.to_dict(),
        }


@dataclass(frozen=True)
class ImageResult:
    """All faces of one image, or the reason why it could not be read.

    source: the path as given, or "image N" for bytes, arrays and PIL images.
    size: (width, height) of the upright image in pixels; None where it could not be read.
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


@dataclass(frozen=True)
class FaceBatch:
    """Predictions for N crops, column by column.

    labels: attribute -> (N,) str. probabilities: attribute -> (N, K) float32, calibrated, rows sum to 1.
    classes: attribute -> the K class names. age_years: (N,) float32, or None where the schema has no age.
    age_interval: (N, 2) float32, first and last year that the labelled age of `age_coverage` (0 to 1) of the faces lies
    between; both None where the model was not calibrated for that.
    """

    labels: Mapping[str, NDArray[np.str_]]
    probabilities: Mapping[str, FloatArray]
    classes: Mapping[str, tuple[str, ...]]
    age_years: FloatArray | None = None
    age_interval: FloatArray | None = None
    age_coverage: float | None = None

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))

    def row(self, index: int) -> dict[str, AttributePrediction]:
        """The predictions for one crop, by attribute."""
        out = {}
        for name, classes in self.classes.items():
            p = self.probabilities[name][index]
            label = str(self.labels[name][index])
            named = {c: float(v) for c, v in zip(classes, p, strict=True)}
            out[name] = AttributePrediction(label, named[label], named)
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: lists in place of arrays."""
        return {
            "labels": {k: [str(x) for x in v] for k, v in self.labels.items()},
            "probabilities": {k: v.tolist() for k, v in self.probabilities.items()},
            "classes": {k: list(v) for k, v in self.classes.items()},
            "age_years": None if self.age_years is None else self.age_years.tolist(),
            "age_interval": None if self.age_interval is None else self.age_interval.tolist(),
            "age_coverage": self.age_coverage,
        }


@dataclass(frozen=True)
class Analysis:
    """What an analyzer returns.

    table: one row per latent, coordinate or group: the analyzer's documentation says which.
    figures: name -> matplotlib Figure. directions: name -> (D,) float32 unit vector in the latent space.
    """

    name: str
    table: pd.DataFrame
    figures: Mapping[str, Any] = field(default_factory=dict)
    directions: Mapping[str, FloatArray] = field(default_factory=dict)

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

        out = Path(folder)
        with atomic_folder(out, "an analysis", is_analysis_file) as new:
            self.table.to_csv(new / "table.csv", index=False)
            if self.directions:
                arrays: dict[str, Any] = {k: np.asarray(v) for k, v in self.directions.items()}
                np.savez(new / "directions.npz", **arrays)
            for name, figure in self.figures.items():
                figure.savefig(new / f"{name}.png", dpi=120, bbox_inches="tight")
        return out


def is_analysis_file(name: str) -> bool:
    """Whether `Analysis.save` writes files of this name, and replaces those of an earlier analysis."""
    return name in ("table.csv", "directions.npz") or name.endswith(".png")


@dataclass(frozen=True)
class FaceSet:
    """The faces that an analyzer's latents are of, in the same order: what `analyze(..., faces=...)` is given.

    files: (N,) their names. years: (N,) float32 exact ages, NaN where unknown.
    crops_at: row numbers (M,) -> their crops (M, S, S, 3) uint8.
    """

    files: tuple[str, ...]
    years: FloatArray
    crops_at: Callable[[NDArray[np.int64]], UInt8Array] = field(repr=False)

    def __len__(self) -> int:
        return len(self.files)
