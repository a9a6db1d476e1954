"""The report of an evaluation: overall metrics and a table per group."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import DataError, InputError
from facefeat.evaluation.metrics import score_batch
from facefeat.types import FaceBatch

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.classifier import Classifier
    from facefeat.data import FaceDataset

SMALL_GROUP = 20
"""Groups with fewer faces are shown, but their figures say little; the table carries the count."""


@dataclass(frozen=True)
class Report:
    """What a model scores on a data set.

    metrics: name -> value. intervals: name -> (low, high), 95 % by bootstrap over the faces.
    by_group: one row per class of every attribute: group, faces, and the metrics within it.
    """

    dataset: str
    faces: int
    metrics: dict[str, float]
    by_group: pd.DataFrame
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "dataset": self.dataset,
            "faces": self.faces,
            "metrics": self.metrics,
            "intervals": {k: list(v) for k, v in self.intervals.items()},
            "by_group": json.loads(self.by_group.to_json(orient="records")),
        }

    def save(self, folder: str | Path) -> Path:
        """Write `report.json` and `by_group.csv`; returns the folder. Raises InputError where it cannot be written."""
        out = Path(folder)
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / "report.json").write_text(json.dumps(self.to_dict(), indent=1) + "\n", "utf-8")
            self.by_group.to_csv(out / "by_group.csv", index=False)
        except OSError as e:
            raise InputError(f"cannot write the report to {str(out)!r}: {e.strerror or e}") from None
        return out


def evaluate(classifier: Classifier, dataset: FaceDataset, *, bootstrap: int = 500, seed: int = 0) -> Report:
    """Run the classifier over a data set of its schema. bootstrap: resamples for the intervals, 0 for none.

    Raises DataError for an empty data set or one whose classes are not the model's.
    """
    import pandas as pd

    ours = {n: a.classes for n, a in classifier.schema.attributes.items()}
    theirs = {n: a.classes for n, a in dataset.schema.attributes.items()}
    if ours != theirs:
        raise DataError(
            f"the data set has schema {dataset.schema.name!r} ({theirs}); the model reads "
            f"{classifier.schema.name!r} ({ours}). Import the data with --schema {classifier.schema.name}."
        )
    n = len(dataset.table)
    if not n:
        raise DataError(f"the data set {dataset.name!r} has no faces in this split.")
    crops = dataset.crops(classifier.image_size)
    # In slices, so that a data set larger than memory can be evaluated.
    parts = [classifier.predict(crops[i : i + 1024]) for i in range(0, n, 1024)]
    batch = _join(parts)
    labels, years = dataset.labels(), dataset.years()
    metrics = score_batch(classifier.schema, batch, labels, years)

    rows = []
    for name, attribute in classifier.schema.attributes.items():
        for k, label in enumerate(attribute.classes):
            here = np.flatnonzero(labels[name] == k)
            if len(here):
                scores = _score(classifier, batch, labels, years, here)
                rows.append({"attribute": name, "group": label, "faces": len(here), **scores})
    intervals = {}
    if bootstrap:
        rng = np.random.default_rng(seed)
        draws = [_score(classifier, batch, labels, years, rng.integers(0, n, n)) for _ in range(bootstrap)]
        for key in metrics:
            values = [d[key] for d in draws if key in d]
            intervals[key] = (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975)))
    return Report(dataset.name, n, metrics, pd.DataFrame(rows), intervals)


def _score(
    classifier: Classifier, batch: FaceBatch, labels: dict[str, np.ndarray], years: np.ndarray, rows: np.ndarray
) -> dict[str, float]:
    part = FaceBatch(
        {k: v[rows] for k, v in batch.labels.items()},
        {k: v[rows] for k, v in batch.probabilities.items()},
        batch.classes,
        None if batch.age_years is None else batch.age_years[rows],
    )
    return score_batch(classifier.schema, part, {k: v[rows] for k, v in labels.items()}, years[rows])


def _join(parts: list[FaceBatch]) -> FaceBatch:
    first = parts[0]
    years = None if first.age_years is None else np.concatenate([p.age_years for p in parts])
    return FaceBatch(
        {k: np.concatenate([p.labels[k] for p in parts]) for k in first.labels},
        {k: np.concatenate([p.probabilities[k] for p in parts]) for k in first.probabilities},
        first.classes,
        years,
    )
