"""Figures per group of faces, with bootstrap intervals, and how far the groups lie apart.

The figures are fairlearn's (`MetricFrame`); the intervals are bootstraps over faces done as one matrix product, in
which 500 resamples of 2,000 faces in 100 groups take a second, where MetricFrame's own `n_boot` takes minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.evaluation.report import SMALL_GROUP
from facefeat.utils.statistics import ENDS, interval, resamples

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.schema import Schema
    from facefeat.types import FaceBatch

CROSSED = 3
"""At most so many attributes are crossed: those with the fewest classes."""


@dataclass(frozen=True)
class Quantity:
    """Something measured on each face: kind is "accuracy", "mae" (years) or "coverage".

    values (N,) float64: 1 for right (or covered) and 0 for wrong, or the absolute error; NaN where unknown.
    """

    attribute: str
    kind: str
    values: np.ndarray

    @property
    def name(self) -> str:
        """As the metrics are called: "gender_accuracy"."""
        return f"{self.attribute}_{self.kind}"


def quantities(schema: Schema, batch: FaceBatch, labels: Mapping[str, np.ndarray], years: np.ndarray) -> list[Quantity]:
    """Accuracy of every labelled attribute, and for age its error in years and the coverage of its interval."""
    out = []
    for name, attribute in schema.attributes.items():
        known = labels[name] >= 0
        if known.any():
            right = batch.probabilities[name].argmax(axis=1) == labels[name]
            out.append(Quantity(name, "accuracy", np.where(known, right, np.nan)))
        if attribute.years and batch.age_years is not None and np.isfinite(years).any():
            out.append(Quantity(name, "mae", np.abs(batch.age_years - years).astype("float64")))
            if batch.age_interval is not None:
                low, high = batch.age_interval.T
                inside = (low <= years) & (np.floor(years) <= high)
                out.append(Quantity(name, "coverage", np.where(np.isfinite(years), inside, np.nan)))
    return out


def groupings(schema: Schema, labels: Mapping[str, np.ndarray]) -> list[tuple[str, ...]]:
    """By which attributes to group: each alone, then every pair and the triple of those with the fewest classes."""
    present = [n for n in schema.attributes if (labels[n] >= 0).any()]
    few = sorted(present, key=lambda n: len(schema[n].classes))[:CROSSED]
    crossed = [c for size in range(2, len(few) + 1) for c in combinations(few, size)]
    return [*((n,) for n in present), *crossed]


def group_table(
    schema: Schema,
    measured: Sequence[Quantity],
    labels: Mapping[str, np.ndarray],
    by: Sequence[str],
    bootstrap: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """One row per group that has faces, and the resampled figures of each quantity, name -> (bootstrap, rows).

    Columns: by, group, faces, small (fewer than SMALL_GROUP), one per attribute of `by` with its class, and for each
    quantity NAME, NAME_low, NAME_high (95 %), NaN without a labelled face.
    """
    import pandas as pd
    from fairlearn.metrics import MetricFrame

    known = np.all([labels[n] >= 0 for n in by], axis=0)
    shape = [len(schema[n].classes) for n in by]
    place = np.where(known, np.ravel_multi_index([np.maximum(labels[n], 0) for n in by], shape), -1)
    present = np.unique(place[known])
    members = place[:, None] == present[None, :]  # (N, G)
    index = [np.unravel_index(g, shape) for g in present]
    names = [[schema[n].classes[int(i)] for n, i in zip(by, at, strict=True)] for at in index]
    faces = members.sum(axis=0)
    table: dict[str, Any] = {
        "by": [" x ".join(by)] * len(present),
        "group": [", ".join(n) for n in names],
        "faces": faces,
        "small": faces < SMALL_GROUP,
        **{n: [row[i] for row in names] for i, n in enumerate(by)},
    }
    draws = {}
    for q in measured:
        here = known & np.isfinite(q.values)
        if not here.any():
            continue
        frame = MetricFrame(
            metrics=lambda true, value: float(np.mean(value)),
            y_true=q.values[here],  # the metric needs none; MetricFrame wants it
            y_pred=q.values[here],
            sensitive_features=pd.Series(place[here], name="group"),
        )
        table[q.name] = frame.by_group.reindex(present).to_numpy("float64")
        draws[q.name] = group_means(q.values, members, bootstrap, seed)
        low, high = interval(draws[q.name])
        table[f"{q.name}_low"], table[f"{q.name}_high"] = low, high
    return pd.DataFrame(table), draws


def group_means(values: np.ndarray, members: np.ndarray, rounds: int, seed: int) -> np.ndarray:
    """Bootstrap over faces: (N,) values with NaN for unknown, (N, G) bool -> (rounds, G) means, NaN where none."""
    known = np.isfinite(values)
    ones = (members & known[:, None]).astype("float64")
    sums = ones * np.where(known, values, 0)[:, None]
    parts = []
    for weights in resamples(len(values), rounds, seed):
        total = weights @ ones
        parts.append(np.where(total > 0, weights @ sums / np.where(total > 0, total, 1), np.nan))
    return np.concatenate(parts) if parts else np.zeros((0, members.shape[1]))


def disparity(table: pd.DataFrame, draws: Mapping[str, np.ndarray], name: str) -> dict[str, Any] | None:
    """The maximum accuracy disparity of an accuracy `name`, over the groups of a `group_table` that are not small.

    Kärkkäinen & Joo, "FairFace", WACV 2021: max over pairs of groups of log(accuracy_i / accuracy_j); 0 is even. None
    where fewer than two groups are large enough; infinite (None in `value`) where one has no right answer.
    """
    if name not in table:
        return None
    kept = (~table["small"] & table[name].notna()).to_numpy()
    if kept.sum() < 2:
        return None
    accuracy = table[name].to_numpy()
    rows = np.flatnonzero(kept)
    best, worst = rows[accuracy[rows].argmax()], rows[accuracy[rows].argmin()]
    value = _disparity(accuracy[rows])
    found = np.array([_disparity(d[np.isfinite(d)]) for d in draws[name][:, rows]])
    ends = np.quantile(found, ENDS, method="nearest") if len(found) else (math.nan, math.nan)
    return {
        "measure": name,
        "by": str(table["by"].iloc[0]),
        "groups": len(rows),
        "left_out": int((~kept).sum()),
        "best": str(table["group"].iloc[best]),
        "best_accuracy": float(accuracy[best]),
        "worst": str(table["group"].iloc[worst]),
        "worst_accuracy": float(accuracy[worst]),
        "value": value,
        "low": float(ends[0]),
        "high": float(ends[1]),
    }


def _disparity(accuracy: np.ndarray) -> float:
    if not len(accuracy) or accuracy.max() <= 0:
        return math.nan
    return math.log(accuracy.max() / accuracy.min()) if accuracy.min() > 0 else math.inf
