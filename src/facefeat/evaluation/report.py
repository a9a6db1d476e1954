"""The report of an evaluation: overall metrics and a table per group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import DataError
from facefeat.evaluation.metrics import weighted_scores
from facefeat.types import FaceBatch
from facefeat.utils.atomic import write_text
from facefeat.utils.statistics import interval, resamples

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.schema import Schema

SMALL_GROUP = 50
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
        write_text(out / "report.json", json.dumps(self.to_dict(), indent=1) + "\n")
        write_text(out / "by_group.csv", self.by_group.to_csv(index=False))
        return out


def evaluate(classifier: Classifier, dataset: FaceDataset, *, bootstrap: int = 500, seed: int = 0) -> Report:
    """Run the classifier over a data set of its schema. bootstrap: resamples for the intervals, 0 for none.

    Raises DataError for a data set that is empty, has no label, or has other classes than the model.
    """
    batch = predict_dataset(classifier, dataset)
    return report_on(dataset.name, classifier.schema, batch, dataset.labels(), dataset.years(), bootstrap, seed)


def predict_dataset(classifier: Classifier, dataset: FaceDataset) -> FaceBatch:
    """Predictions for every row of a data set. Raises DataError as `evaluate`."""
    dataset.check_schema(classifier.schema)
    if not len(dataset.table):
        raise DataError(f"the data set {dataset.name!r} has no faces in this split.")
    _require_labels(dataset.name, dataset.labels())  # before the work, not after it
    crops = dataset.crops(classifier.image_size)
    # In slices, so that a data set larger than memory can be evaluated.
    return _join([classifier.predict(crops[i : i + 1024]) for i in range(0, len(crops), 1024)])


def report_on(
    name: str,
    schema: Schema,
    batch: FaceBatch,
    labels: Mapping[str, np.ndarray],
    years: np.ndarray,
    bootstrap: int = 500,
    seed: int = 0,
) -> Report:
    """The report on predictions that are there already; labels: attribute -> (N,), years (N,).

    Raises DataError where no face has any label.
    """
    import pandas as pd

    _require_labels(name, labels)
    n = len(years)
    places = [(a, k, labels[a] == k) for a, v in schema.attributes.items() for k in range(len(v.classes))]
    present = [(a, k, here) for a, k, here in places if here.any()]
    # Row 0 weighs everyone alike, the others only the faces of one group.
    weights = np.stack([np.ones(n), *(here for _, _, here in present)]).astype("float64")
    found = weighted_scores(schema, batch, labels, years, weights)
    metrics = {k: float(v[0]) for k, v in found.items() if np.isfinite(v[0])}
    rows = [
        {
            "attribute": attribute,
            "group": schema[attribute].classes[k],
            "faces": int(here.sum()),
            **{m: float(v[i]) for m, v in found.items()},
        }
        for i, (attribute, k, here) in enumerate(present, 1)
    ]
    blocks = [weighted_scores(schema, batch, labels, years, w) for w in resamples(n, bootstrap, seed)]
    intervals = {}
    for key in metrics if blocks else ():
        low, high = interval(np.concatenate([b[key] for b in blocks])[:, None])
        intervals[key] = (float(low[0]), float(high[0]))
    return Report(name, n, metrics, pd.DataFrame(rows), intervals)


def _require_labels(name: str, labels: Mapping[str, np.ndarray]) -> None:
    if not any((found >= 0).any() for found in labels.values()):
        raise DataError(f"no face of {name!r} has a label of any attribute, so there is nothing to measure.")


def _join(parts: list[FaceBatch]) -> FaceBatch:
    first = parts[0]
    years = None if first.age_years is None else np.concatenate([p.age_years for p in parts])
    interval = None if first.age_interval is None else np.concatenate([p.age_interval for p in parts])
    return FaceBatch(
        {k: np.concatenate([p.labels[k] for p in parts]) for k in first.labels},
        {k: np.concatenate([p.probabilities[k] for p in parts]) for k in first.probabilities},
        first.classes,
        years,
        interval,
        first.age_coverage,
    )
