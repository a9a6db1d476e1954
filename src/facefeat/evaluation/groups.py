"""Figures per group of faces, with bootstrap intervals, and how far the groups lie apart.

The intervals are bootstraps over faces, drawn as counts: faces of one group with the same value are alike, so a
resample is one draw of a multinomial distribution over such cells, and a million faces cost little more than a
thousand. A face may be in several groups of an attribute, such as one with glasses and a hat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.evaluation.report import SMALL_GROUP
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import ENDS, interval, share_interval

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.schema import Schema
    from facefeat.types import FaceBatch

CROSSED = 3
"""At most so many attributes are crossed: those with the fewest classes."""
MOST_CROSSED = 500
"""Combinations of groups, above which attributes are not crossed: nearly all would be small."""
LEVELS = 50
"""Bins of a continuous measure in the bootstrap of more than EXACT faces; only the intervals are binned, no mean."""
EXACT = 2000
"""Faces up to which the bootstrap uses every value unbinned."""


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


@dataclass(frozen=True)
class Groups:
    """Which faces are in which of the groups `names`: face `rows[i]` is in group `codes[i]`, both (M,), rows sorted."""

    names: tuple[str, ...]
    rows: np.ndarray
    codes: np.ndarray

    @classmethod
    def of_members(cls, names: Sequence[str], members: np.ndarray) -> Groups:
        """From (N, G) bool."""
        rows, codes = np.nonzero(members)
        return cls(tuple(names), rows, codes)

    @classmethod
    def of_codes(cls, names: Sequence[str], codes: np.ndarray) -> Groups:
        """From (N,) int, the group of each face; -1 where unknown."""
        rows = np.flatnonzero(codes >= 0)
        return cls(tuple(names), rows, codes[rows].astype(int))

    def cross(self, other: Groups) -> Groups:
        """The combinations of a group of this one and a group of the other, in the order of a product."""
        n = 1 + int(max(self.rows.max(initial=-1), other.rows.max(initial=-1)))
        count = np.bincount(other.rows, minlength=n)
        times = count[self.rows]
        start = (np.cumsum(count) - count)[self.rows]
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        codes = np.repeat(self.codes, times) * len(other.names) + other.codes[np.repeat(start, times) + within]
        names = tuple(f"{a}, {b}" for a in self.names for b in other.names)
        return Groups(names, np.repeat(self.rows, times), codes)

    @property
    def faces(self) -> np.ndarray:
        """(G,) int: faces of each group."""
        return np.bincount(self.codes, minlength=len(self.names))


def quantities(schema: Schema, batch: FaceBatch, targets: Mapping[str, np.ndarray]) -> list[Quantity]:
    """What the kinds of the attributes measure on each face: accuracy, the error of a number, its coverage."""
    return [
        Quantity(name, measure, values)
        for name, a in schema.attributes.items()
        for measure, values in a.strategy.per_face(a, batch.answers[name], targets[name]).items()
    ]


def schema_groups(schema: Schema, members: Mapping[str, np.ndarray]) -> dict[str, Groups]:
    """Attribute -> its groups, from (N, G) bool of each; those without a face are left out."""
    return {n: Groups.of_members(schema[n].groups, m) for n, m in members.items() if m.any()}


def groupings(groups: Mapping[str, Groups]) -> list[tuple[str, ...]]:
    """By what to group: each alone, then every pair and the triple of those with the fewest groups."""
    few = sorted(groups, key=lambda n: len(groups[n].names))[:CROSSED]
    crossed = [c for size in range(2, len(few) + 1) for c in combinations(few, size)]
    small = [c for c in crossed if math.prod(len(groups[n].names) for n in c) <= MOST_CROSSED]
    return [*((n,) for n in groups), *small]


def group_table(
    measured: Sequence[Quantity],
    groups: Mapping[str, Groups],
    by: Sequence[str],
    bootstrap: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """One row per group that has faces, and the resampled figures of each quantity, name -> (bootstrap, rows).

    Columns: by, group, faces, small (fewer than SMALL_GROUP), one per attribute of `by` with its group, and for each
    quantity NAME, NAME_n (its labelled faces), NAME_low, NAME_high (95 %), NaN without one.
    """
    pd = import_pandas()
    here = groups[by[0]]
    for name in by[1:]:
        here = here.cross(groups[name])
    present = np.flatnonzero(here.faces)
    place = np.full(len(here.names), -1)
    place[present] = np.arange(len(present))
    here = Groups(tuple(here.names[k] for k in present), here.rows, place[here.codes])
    sizes = tuple(len(groups[n].names) for n in by)
    parts = np.unravel_index(present, sizes)
    table: dict[str, Any] = {
        "by": [" x ".join(by)] * len(present),
        "group": list(here.names),
        "faces": here.faces,
        "small": here.faces < SMALL_GROUP,
        **{n: [groups[n].names[k] for k in part] for n, part in zip(by, parts, strict=True)},
    }
    draws = {}
    for q in measured:
        value, known = means(q.values, here)
        if not known.any():
            continue
        draws[q.name] = group_means(q.values, here, bootstrap, seed)
        low, high = interval(draws[q.name])
        if bootstrap and np.isin(q.values[np.isfinite(q.values)], (0, 1)).all():
            low, high = share_interval(value, known, low, high)
        table |= {q.name: value, f"{q.name}_n": known, f"{q.name}_low": low, f"{q.name}_high": high}
    return pd.DataFrame(table), draws


def means(values: np.ndarray, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """(N,) values with NaN for unknown -> the mean of each group (G,), NaN where none is known, and how many are."""
    found = values[groups.rows]
    known = np.isfinite(found)
    size = len(groups.names)
    count = np.bincount(groups.codes[known], minlength=size)
    total = np.bincount(groups.codes[known], weights=found[known], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def group_means(values: np.ndarray, groups: Groups, rounds: int, seed: int) -> np.ndarray:
    """Bootstrap over faces: (N,) values with NaN for unknown -> (rounds, G) means, NaN where none."""
    found = values[groups.rows]
    known = np.isfinite(found)
    found, codes = found[known].astype("float64"), groups.codes[known].astype(int)
    out = np.full((rounds, len(groups.names)), np.nan)
    if not len(found) or not rounds:
        return out
    level = _levels(found)
    # A cell is one level in one group; the cells of a group lie together.
    cell, inverse, count = np.unique(codes * (level.max() + 1) + level, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, weights=found) / count
    drawn = np.random.default_rng(seed).multinomial(len(found), count / count.sum(), size=rounds)  # (rounds, cells)
    group, start = np.unique(cell // (level.max() + 1), return_index=True)
    total = np.add.reduceat(drawn, start, axis=1)
    sums = np.add.reduceat(drawn * mean, start, axis=1)
    out[:, group] = np.where(total > 0, sums / np.maximum(total, 1), np.nan)
    return out


def _levels(values: np.ndarray) -> np.ndarray:
    """(M,) values -> (M,) int that tells them apart: all of them, or LEVELS of about equal frequency."""
    if len(values) > EXACT:
        some = np.random.default_rng(0).choice(values, min(len(values), 100_000), replace=False)
        ends = np.unique(some)
        if len(ends) > LEVELS:
            ends = np.unique(np.quantile(some, np.linspace(0, 1, LEVELS)))
        return np.searchsorted(ends, values, side="left")
    return np.unique(values, return_inverse=True)[1]


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
        "best_faces": int(table["faces"].iloc[best]),
        "worst": str(table["group"].iloc[worst]),
        "worst_accuracy": float(accuracy[worst]),
        "worst_faces": int(table["faces"].iloc[worst]),
        "value": value,
        "low": float(ends[0]),
        "high": float(ends[1]),
    }


def _disparity(accuracy: np.ndarray) -> float:
    if not len(accuracy) or accuracy.max() <= 0:
        return math.nan
    return math.log(accuracy.max() / accuracy.min()) if accuracy.min() > 0 else math.inf
