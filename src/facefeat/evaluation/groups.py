"""Figures per group of faces, with bootstrap intervals, and how far the groups lie apart.

The intervals are bootstraps over faces done as one matrix product, in which 500 resamples of 2,000 faces in 100 groups
take a second. A face may be in several groups of an attribute, such as one with glasses and a hat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
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
    """Something measured on each face: kind is one of the measures of the attribute's kind, such as "accuracy".

    values (N,) float64: 1 for right (or covered) and 0 for wrong, or an error; NaN where unknown.
    """

    attribute: str
    kind: str
    values: np.ndarray

    @property
    def name(self) -> str:
        """As the metrics are called: "gender_accuracy"."""
        return f"{self.attribute}_{self.kind}"


def quantities(schema: Schema, batch: FaceBatch, targets: Mapping[str, np.ndarray]) -> list[Quantity]:
    """What the kinds of the attributes measure on each face: accuracy, the error of a number, its coverage."""
    return [
        Quantity(name, measure, values)
        for name, a in schema.attributes.items()
        for measure, values in a.strategy.per_face(a, batch.answers[name], targets[name]).items()
    ]


def groupings(schema: Schema, members: Mapping[str, np.ndarray]) -> list[tuple[str, ...]]:
    """By which attributes to group: each alone, then every pair and the triple of those with the fewest groups."""
    present = [n for n in schema.attributes if members[n].any()]
    few = sorted(present, key=lambda n: len(schema[n].groups))[:CROSSED]
    crossed = [c for size in range(2, len(few) + 1) for c in combinations(few, size)]
    return [*((n,) for n in present), *crossed]


def group_table(
    schema: Schema,
    measured: Sequence[Quantity],
    members: Mapping[str, np.ndarray],
    by: Sequence[str],
    bootstrap: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """One row per group that has faces, and the resampled figures of each quantity, name -> (bootstrap, rows).

    Columns: by, group, faces, small (fewer than SMALL_GROUP), one per attribute of `by` with its group, and for each
    quantity NAME, NAME_low, NAME_high (95 %), NaN without a labelled face.
    """
    import pandas as pd

    every = [[(g, members[n][:, i]) for i, g in enumerate(schema[n].groups)] for n in by]
    crossed = [([g for g, _ in combo], np.all([m for _, m in combo], axis=0)) for combo in product(*every)]
    present = [(n, m) for n, m in crossed if m.any()]
    names = [n for n, _ in present]
    here = np.array([m for _, m in present], bool).reshape(len(names), -1).T  # (N, G)
    faces = here.sum(axis=0)
    table: dict[str, Any] = {
        "by": [" x ".join(by)] * len(names),
        "group": [", ".join(n) for n in names],
        "faces": faces,
        "small": faces < SMALL_GROUP,
        **{n: [row[i] for row in names] for i, n in enumerate(by)},
    }
    draws = {}
    for q in measured:
        known = np.isfinite(q.values)
        if not (here & known[:, None]).any():
            continue
        table[q.name] = [float(q.values[m & known].mean()) if (m & known).any() else math.nan for m in here.T]
        draws[q.name] = group_means(q.values, here, bootstrap, seed)
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
