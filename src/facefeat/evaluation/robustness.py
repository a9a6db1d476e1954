"""What poor pictures cost: accuracy, calibration error and gaps between groups as faces get blurred, dark or covered.

Any model: a function of crops suffices. Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019, measure classifiers of objects so; here the groups of people are added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.data.dataset import check_dataset
from facefeat.errors import InputError
from facefeat.evaluation.groups import Quantity, group_means, means, quantities, schema_groups
from facefeat.evaluation.metrics import weighted_scores
from facefeat.evaluation.report import SMALL_GROUP, require_labels
from facefeat.evaluation.sections import Section, csv_of, records
from facefeat.image.corrupt import CORRUPTIONS, corrupt_crops, get_corruption
from facefeat.types import Answers, FaceBatch
from facefeat.utils.atomic import write_text
from facefeat.utils.frames import import_pandas
from facefeat.utils.json_text import json_text
from facefeat.utils.statistics import interval, resamples

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.schema import Schema
    from facefeat.types import UInt8Array

    Predict = Callable[[UInt8Array], FaceBatch | Mapping[str, np.ndarray]]
    Progress = Callable[[int, int], None]

SEVERITIES = (0.25, 0.5, 0.75)
MIDDLE = 0.5
"""The severity that summaries quote."""
CLEAN = "clean"
MEASURES = ("accuracy", "mae", "ece")
_AT_ONCE = 1024


@dataclass(frozen=True)
class Robustness:
    """What a model scores on corrupted faces.

    table: one row for each corruption (CLEAN first), severity, attribute and measure: `accuracy`, `mae`, `ece`, or
    `gap`, the accuracy of the best group of the attribute `by` less that of the worst, `groups` naming both; with
    `value`, `low` and `high` (95 %, bootstrap over the faces).
    """

    dataset: str
    faces: int
    table: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; NaN is None."""
        return {"dataset": self.dataset, "faces": self.faces, "rows": records(self.table)}

    def save(self, folder: str | Path) -> Path:
        """Write `robustness.json` and `robustness.csv`; returns the folder. Raises InputError."""
        out = Path(folder)
        write_text(out / "robustness.json", json_text(self.to_dict()) + "\n")
        write_text(out / "robustness.csv", csv_of(self.table))
        return out

    def curve(self, attribute: str, measure: str, corruption: str, by: str = "") -> pd.DataFrame:
        """Its rows by severity, beginning with clean faces at 0."""
        t = self.table
        mine = (t["attribute"] == attribute) & (t["measure"] == measure) & (t["by"] == by)
        return t[mine & t["corruption"].isin((CLEAN, corruption))].sort_values("severity")

    def sections(self) -> tuple[Section, ...]:
        """As tables of a page: every corruption at the middle severity, one table an attribute."""
        return tuple(_section(self, name) for name in dict.fromkeys(self.table["attribute"]))


def measure_robustness(
    predict: Predict,
    schema: Schema,
    dataset: FaceDataset,
    image_size: int,
    *,
    corruptions: Sequence[str] = CORRUPTIONS,
    severities: Sequence[float] = SEVERITIES,
    bootstrap: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Robustness:
    """Measure a model on the faces of a data set, clean and corrupted.

    Args:
        predict: (N, S, S, 3) uint8 crops -> a FaceBatch, or attribute -> (N, K) probabilities of its classes.
        schema: of the data set, and of what `predict` returns.
        image_size: S.
        corruptions, severities: which; names of `facefeat.image.corrupt.CORRUPTIONS`, numbers above 0 up to 1.
        bootstrap: resamples for the intervals; 0 for none.
        progress: called with (done, of).

    Raises:
        InputError: for an unknown corruption, a severity that is not valid, or predictions of another shape.
        DataError: for a data set without labels, or of another schema.

    Example:
        >>> measure_robustness(model.predict_faces, model.schema, dataset, model.image_size).save("robustness")
    """
    pd = import_pandas()
    names = [get_corruption(c) for c in corruptions]
    for severity in severities:
        if isinstance(severity, bool) or not isinstance(severity, int | float) or not 0 < severity <= 1:
            raise InputError(f"a severity is a number above 0, up to 1. Received: {severity!r}.")
    check_dataset(dataset, schema)
    crops = dataset.crops(image_size)
    targets = dataset.targets()
    require_labels(dataset.name, schema, targets)
    plan = [(CLEAN, 0.0), *((c, float(s)) for c in names for s in sorted(set(severities)))]
    rows: list[dict[str, Any]] = []
    for done, (name, severity) in enumerate(plan):
        if progress:
            progress(done, len(plan))
        parts = []
        for start in range(0, len(crops), _AT_ONCE):
            some = crops[start : start + _AT_ONCE]
            # Another seed for each slice, or every slice would have the same draws.
            poor = some if name == CLEAN else corrupt_crops(some, name, severity, seed + start)
            parts.append(_batch(schema, predict(poor), len(some)))
        batch = FaceBatch.join(parts)
        about = {"corruption": name, "severity": severity}
        rows += [about | row for row in _measured(schema, batch, targets, bootstrap, seed)]
    if progress:
        progress(len(plan), len(plan))
    return Robustness(dataset.name, len(crops), pd.DataFrame(rows))


def _batch(schema: Schema, found: FaceBatch | Mapping[str, np.ndarray], count: int) -> FaceBatch:
    if isinstance(found, FaceBatch):
        return FaceBatch(found.answers)
    answers = {}
    for name, attribute in schema.attributes.items():
        p = np.asarray(found.get(name, []), "float32")
        if p.shape != (count, len(attribute.classes)) or not np.isfinite(p).all():
            raise InputError(
                f"predictions of {name!r} must be ({count}, {len(attribute.classes)}) probabilities, one column for"
                f" each of {', '.join(attribute.classes)}. Received: {p.shape if name in found else 'none'}."
            )
        labels = np.asarray(attribute.classes)[p.argmax(axis=1)]
        answers[name] = Answers(labels, p, attribute.classes, confidence=p.max(axis=1), kind=attribute.kind)
    return FaceBatch(answers)


def _measured(
    schema: Schema, batch: FaceBatch, targets: Mapping[str, np.ndarray], bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    n = len(batch)
    found = weighted_scores(schema, batch, targets, np.ones((1, n)))
    draws = [weighted_scores(schema, batch, targets, w) for w in resamples(n, bootstrap, seed)]
    rows = []
    for name in schema.attributes:
        for measure in MEASURES:
            key = f"{name}_{measure}"
            if key not in found or not np.isfinite(found[key][0]):
                continue
            low, high = interval(np.concatenate([d[key] for d in draws])[:, None]) if draws else ([np.nan], [np.nan])
            rows.append(_row(name, measure, "", "", float(found[key][0]), float(low[0]), float(high[0])))
    groups = schema_groups(schema, {n: a.strategy.members(a, targets[n]) for n, a in schema.attributes.items()})
    for q in quantities(schema, batch, targets):
        if q.kind == "accuracy":
            rows += [row for by in groups if (row := _gap(q, by, groups[by], bootstrap, seed)) is not None]
    return rows


def _gap(q: Quantity, by: str, groups: Any, bootstrap: int, seed: int) -> dict[str, Any] | None:
    """The best group's accuracy less the worst's, of groups that are not small."""
    value, faces = means(q.values, groups)
    large = np.flatnonzero((faces >= SMALL_GROUP) & np.isfinite(value))
    if len(large) < 2:
        return None
    best, worst = large[value[large].argmax()], large[value[large].argmin()]
    low = high = np.array([np.nan])
    if bootstrap:
        drawn = group_means(q.values, groups, bootstrap, seed)
        low, high = interval((drawn[:, best] - drawn[:, worst])[:, None])
    which = f"{groups.names[best]} over {groups.names[worst]}"
    return _row(q.attribute, "gap", by, which, float(value[best] - value[worst]), float(low[0]), float(high[0]))


def _row(attribute: str, measure: str, by: str, groups: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {
        "attribute": attribute, "measure": measure, "by": by, "groups": groups, "value": value, "low": low, "high": high
    }  # fmt: skip


def _section(found: Robustness, attribute: str) -> Section:
    pd = import_pandas()
    t = found.table
    at = min(set(t["severity"]) - {0.0}, key=lambda s: abs(s - MIDDLE), default=0.0)
    mine = t[(t["attribute"] == attribute) & t["severity"].isin((0.0, at))]
    rows = []
    for name in dict.fromkeys(mine["corruption"]):
        row: dict[str, Any] = {"corruption": name}
        for one in mine[mine["corruption"] == name].to_dict("records"):
            key = "gap" if one["by"] == attribute else f"gap_{one['by']}" if one["by"] else one["measure"]
            row |= {key: one["value"], f"{key}_low": one["low"], f"{key}_high": one["high"]}
            if key == "gap":
                row["groups"] = one["groups"]
        rows.append(row)
    table = pd.DataFrame(rows)
    titles = {"corruption": "Picture", "accuracy": "Accuracy", "mae": "Mean error", "ece": "Calibration error",
              "gap": "Gap of its classes", "groups": "Between"}  # fmt: skip
    if "groups" in table:
        table["groups"] = table["groups"].fillna("")
    what = attribute.replace("_", " ")
    return Section(
        f"robustness-{attribute.replace('_', '-')}",
        f"What poor pictures cost: {what}",
        (
            f"The same {found.faces:,} faces, clean and corrupted at severity {at:g} of 1. The gap is the accuracy of "
            "the best class less that of the worst: a model that falls back on one class has a large one.",
        ),
        table,
        {k: title for k, title in titles.items() if k in table},
        ("accuracy", "gap"),
    )
