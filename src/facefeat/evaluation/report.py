"""The report of an evaluation: overall metrics and a table per group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.data.dataset import check_dataset
from facefeat.errors import DataError
from facefeat.evaluation.metrics import weighted_scores
from facefeat.evaluation.sections import csv_of
from facefeat.types import FaceBatch
from facefeat.utils.atomic import write_text
from facefeat.utils.frames import import_pandas
from facefeat.utils.json_text import json_text
from facefeat.utils.statistics import interval, resamples, share_interval, standard_error

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.schema import Schema

SMALL_GROUP = 50
"""Groups with fewer faces are shown, but their figures are uncertain; the table has the count."""

SOURCE = "source"
"""In the column `attribute` of `by_group`: the group is a data set."""


@dataclass(frozen=True)
class Report:
    """What a model scores on a data set.

    metrics: name -> value. intervals: name -> (low, high), 95 % by bootstrap over the faces.
    by_group: one row per group (class, or range of a number) of every attribute: faces, and the metrics within it; for
    each NAME_mae, NAME_mae_se, its standard error.
    baselines: accuracy -> what always saying the most frequent class would score.
    """

    dataset: str
    faces: int
    metrics: dict[str, float]
    by_group: pd.DataFrame
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    baselines: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "dataset": self.dataset,
            "faces": self.faces,
            "metrics": self.metrics,
            "intervals": {k: list(v) for k, v in self.intervals.items()},
            "baselines": self.baselines,
            "by_group": json.loads(self.by_group.to_json(orient="records")),
        }

    def save(self, folder: str | Path) -> Path:
        """Write `report.json` and `by_group.csv`; returns the folder. Raises InputError where it cannot be written."""
        out = Path(folder)
        write_text(out / "report.json", json_text(self.to_dict()) + "\n")
        write_text(out / "by_group.csv", csv_of(self.by_group))
        return out


def evaluate(classifier: Classifier, dataset: FaceDataset, *, bootstrap: int = 500, seed: int = 0) -> Report:
    """Run the classifier over a data set of its schema. bootstrap: resamples for the intervals, 0 for none.

    Raises DataError for a data set that is empty, has no label, or has other classes than the model.
    """
    batch = predict_dataset(classifier, dataset)
    numbers = dataset.part_numbers()
    parts = {part.name: numbers == i for i, part in enumerate(dataset.parts)}
    return report_on(dataset.name, classifier.schema, batch, dataset.targets(), bootstrap, seed, parts)


def predict_dataset(classifier: Classifier, dataset: FaceDataset) -> FaceBatch:
    """Predictions for every row of a data set. Raises DataError as `evaluate`."""
    check_dataset(dataset, classifier.schema)
    if not len(dataset.table):
        raise DataError(f"the data set {dataset.name!r} has no faces in this split.")
    require_labels(dataset.name, dataset.schema, dataset.targets())  # before the work, not after it
    crops = dataset.crops(classifier.image_size)
    # In slices, so that a data set larger than memory can be evaluated.
    return FaceBatch.join([classifier.predict(crops[i : i + 1024]) for i in range(0, len(crops), 1024)])


def report_on(
    name: str,
    schema: Schema,
    batch: FaceBatch,
    targets: Mapping[str, np.ndarray],
    bootstrap: int = 500,
    seed: int = 0,
    parts: Mapping[str, np.ndarray] | None = None,
) -> Report:
    """The report on predictions that are there already; targets: attribute -> (N, T).

    parts: name -> (N,) bool, which faces are of which data set, where they are several: rows of SOURCE in `by_group`.
    Raises DataError where no face has any label.
    """
    pd = import_pandas()
    members = require_labels(name, schema, targets)
    n = len(batch)
    groups = [(a, g, m) for a, every in members.items() for g, m in zip(schema[a].groups, every.T, strict=True)]
    groups += [(SOURCE, part, here) for part, here in (parts or {}).items()]
    present = [(a, g, here) for a, g, here in groups if here.any()]
    faces = {k: a.strategy.per_face(a, batch.answers[k], targets[k]) for k, a in schema.attributes.items()}
    errors = {f"{k}_mae": found["mae"] for k, found in faces.items() if "mae" in found}
    # Row 0 weighs everyone alike, the others only the faces of one group.
    weights = np.stack([np.ones(n), *(here for _, _, here in present)]).astype("float64")
    found = weighted_scores(schema, batch, targets, weights)
    metrics = {k: float(v[0]) for k, v in found.items() if np.isfinite(v[0])}
    rows = [
        {
            "attribute": attribute,
            "group": group,
            "faces": int(here.sum()),
            **{m: float(v[i]) for m, v in found.items()},
            **{f"{m}_se": standard_error(v[here]) for m, v in errors.items()},
        }
        for i, (attribute, group, here) in enumerate(present, 1)
    ]
    blocks = [weighted_scores(schema, batch, targets, w) for w in resamples(n, bootstrap, seed)]
    labelled = {k: int(m.any(axis=1).sum()) for k, m in members.items()}
    intervals = {}
    for key in metrics if blocks else ():
        draws = np.concatenate([b[key] for b in blocks])
        if key.endswith("_ece"):
            draws = centred(draws, metrics[key])
        low, high = interval(draws[:, None])
        n_known = next((known for k, known in labelled.items() if key.startswith(f"{k}_")), 0)
        if key.endswith("accuracy") and n_known:
            low, high = share_interval(np.array([metrics[key]]), np.array([n_known]), low, high)
        intervals[key] = (float(low[0]), float(high[0]))
    exclusive = {f"{a}_accuracy": m for a, m in members.items() if schema[a].exclusive}
    baselines = {key: majority(m) for key, m in exclusive.items() if key in metrics}
    return Report(name, n, metrics, pd.DataFrame(rows), intervals, baselines)


def centred(draws: np.ndarray, value: float) -> np.ndarray:
    """Bootstrap draws of a calibration error around its value, none below 0.

    The error is a mean of distances, so that resampling adds noise to it that never cancels: uncorrected, its interval
    lies above it (Efron, "Nonparametric standard errors and confidence intervals", 1981, corrects a bias so).
    """
    return np.maximum(draws - (np.nanmedian(draws) - value), 0)


def majority(members: np.ndarray) -> float:
    """The accuracy of always saying the most frequent class. members: (N, G) bool, exclusive; NaN without a label."""
    counts = members.sum(axis=0)
    return float(counts.max() / counts.sum()) if counts.sum() else float("nan")


def require_labels(name: str, schema: Schema, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Attribute -> (N, G) bool, which faces are in which of its groups. Raises DataError where none is in any."""
    members = {n: a.strategy.members(a, targets[n]) for n, a in schema.attributes.items()}
    if not any(found.any() for found in members.values()):
        raise DataError(f"no face of {name!r} has a label of any attribute, so there is nothing to measure.")
    return members
