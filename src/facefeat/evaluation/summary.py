"""The first screen of the page: five sentences, and two charts as rows of a position on a scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facefeat.evaluation.report import SMALL_GROUP
from facefeat.evaluation.sections import sentence_list

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.evaluation.audit import Audit

MOST_ROWS = 10


@dataclass(frozen=True)
class Bar:
    """A row of a chart: a value with its interval, all from 0 to 1. others: (value, label) of further dots."""

    label: str
    faces: int
    value: float
    low: float
    high: float
    others: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Chart:
    """Rows on a scale from `start` to 1. mark: a value for all rows, such as that over all faces; NaN for none."""

    title: str
    reading: str
    start: float
    bars: tuple[Bar, ...]
    mark: float = math.nan

    def at(self, value: float) -> float:
        """Where a value lies, in percent of the width."""
        share = (value - self.start) / (1 - self.start)
        return round(100 * min(max(share, 0.0), 1.0), 2) if math.isfinite(share) else 0.0


def accuracies(audit: Audit) -> list[str]:
    """The attributes that have an accuracy."""
    return [n for n in audit.schema.attributes if f"{n}_accuracy" in audit.report.metrics]


def labelled(audit: Audit, name: str) -> int:
    """Faces on which an attribute was measured."""
    if name in audit.confusion:
        return int(audit.confusion[name][1].sum())
    return int(audit.errors[name]["faces"].sum()) if name in audit.errors else audit.report.faces


def sentences(audit: Audit) -> list[str]:
    """What a reader in a hurry should know, five at most."""
    who = audit.about.get("model") or "the model"
    found = [_overall(audit, str(who)), _gap(audit), _calibration(audit), _small(audit)]
    found.append(
        "“Right” means: as the labels say. Labels are apparent attributes, given by people, so no figure here is a "
        "reason to decide anything about a person."
    )
    return [s for s in found if s]


def _overall(audit: Audit, who: str) -> str:
    parts = []
    for name in audit.schema.attributes:
        for measure, form in (("accuracy", "{v:.1%} right for {n}"), ("mae", "{v:.1f} {u} off for {n} on average")):
            key = f"{name}_{measure}"
            if key in audit.report.metrics:
                low, high = audit.report.intervals.get(key, (math.nan, math.nan))
                axis = audit.schema[name].axis
                text = form.format(v=audit.report.metrics[key], n=name.replace("_", " "), u=axis.unit if axis else "")
                ends = f"{low:.1%} to {high:.1%}" if measure == "accuracy" else f"{low:.1f} to {high:.1f}"
                parts.append(text + (f" ({ends})" if math.isfinite(low) else ""))
    return f"On {audit.report.faces:,} faces, {who} is {sentence_list(parts)}." if parts else ""


def widest(audit: Audit) -> pd.Series | None:
    """The row of the widest disparity over single groupings; None where there is none."""
    found = audit.disparities
    if not len(found):
        return None
    single = found[~found["by"].str.contains(" x ")]
    return single.loc[single["value"].replace(np.inf, 1e9).idxmax()] if len(single) else None


def _gap(audit: Audit) -> str:
    row = widest(audit)
    if row is None:
        return f"No two groups have {SMALL_GROUP} faces, so nothing can be said about groups."
    what = str(row["measure"]).removesuffix("_accuracy").replace("_", " ")
    return (
        f"The widest gap is in {what}: right for {row['best_accuracy']:.1%} of {row['by']} “{row['best']}” "
        f"(n = {row['best_faces']:,}), but for {row['worst_accuracy']:.1%} of “{row['worst']}” "
        f"(n = {row['worst_faces']:,})."
    )


def _calibration(audit: Audit) -> str:
    if not audit.calibration_errors:
        return "There are no probabilities, so it cannot be said how far its own certainty can be trusted."
    off = []
    for name, e in audit.calibration_errors.items():
        bins = audit.reliability[name]
        gap = float(np.average(bins["confidence"] - bins["accuracy"], weights=bins["faces"]))
        if e["ece"] > 2 * e["ece_of_a_perfect_model"] + 0.01:
            off.append(f"{name.replace('_', ' ')} (too {'high' if gap > 0 else 'low'} by {abs(gap):.1%} on average)")
    if not off:
        return "Its probabilities agree with how often it is right, as well as so many faces can show."
    return f"Its probabilities are off for {sentence_list(off)}."


def _small(audit: Audit) -> str:
    if not len(audit.groups):
        return ""
    small = int(audit.groups["small"].sum())
    text = f"{small:,} of {len(audit.groups):,} groups have fewer than {SMALL_GROUP} faces: their figures are in grey"
    if small:
        return f"{text}, and no conclusion is drawn from them."
    return "Every group has enough faces to compare." if widest(audit) is not None else ""


def charts(audit: Audit) -> list[Chart]:
    """The two charts: accuracy of each attribute with its groups, and the groups with the lowest accuracy."""
    names = accuracies(audit)
    table = audit.groups
    if not names or not len(table):
        return []
    kept = table[~table["small"]]
    rows = []
    for name in names:
        key = f"{name}_accuracy"
        single = kept[~kept["by"].str.contains(" x ")]
        dots = [(float(v), f"{b} {g}") for v, b, g in zip(single[key], single["by"], single["group"], strict=True)]
        dots = [d for d in dots if math.isfinite(d[0])]
        low, high = audit.report.intervals.get(key, (math.nan, math.nan))
        ends = tuple(dict.fromkeys([min(dots), max(dots)])) if dots else ()
        rows.append(Bar(name.replace("_", " "), labelled(audit, name), audit.report.metrics[key], low, high, ends))
    first = Chart(
        "How often it is right",
        "The dot is the accuracy over all faces, the bar its 95 % interval; the two rings are the groups with the "
        "lowest and the highest accuracy.",
        _start([b.value for b in rows] + [v for b in rows for v, _ in b.others]),
        tuple(rows),
    )
    row = widest(audit)
    key = str(row["measure"]) if row is not None else f"{names[0]}_accuracy"
    lowest = kept[kept[key].notna()].sort_values(key, kind="stable").head(MOST_ROWS)
    bars = tuple(
        Bar(f"{r['group']}", int(r[f"{key}_n"]), float(r[key]), float(r[f"{key}_low"]), float(r[f"{key}_high"]))
        for r in lowest.to_dict("records")
    )
    what = key.removesuffix("_accuracy").replace("_", " ")
    second = Chart(
        f"For whom it is right least often: {what}",
        f"The groups of {SMALL_GROUP} faces or more with the lowest accuracy, and 95 % intervals. The line is all.",
        _start([b.low for b in bars] + [b.value for b in bars]),
        bars,
        audit.report.metrics[key],
    )
    return [first, second] if bars else [first]


def _start(values: list[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return max(0.0, math.floor(10 * min(known) - 0.2) / 10) if known and min(known) > 0.15 else 0.0
