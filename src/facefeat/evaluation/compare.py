"""Two models on the same faces: which is right more often, for whom, and whether chance alone could say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.evaluation.groups import Groups, group_means, groupings, means
from facefeat.evaluation.predictions import Predictions, Scored
from facefeat.evaluation.report import SMALL_GROUP
from facefeat.evaluation.sections import Section, sentence_list
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import interval

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

LEVEL = 0.05
"""Chance, over all groups of an attribute, of one difference that is none (Holm, 1979)."""
EVERYONE = "everyone"


@dataclass(frozen=True)
class Comparison:
    """Model b minus model a, per group.

    table: attribute, measure, by, group, faces, small, a, b, difference with _low and _high (95 %, paired bootstrap);
    of an accuracy also only_a and only_b, the faces on which one alone is right, p, McNemar's exact test, and
    p_corrected by Holm's method over the groups of an attribute that are not small. clear: whether one is better.
    notes: a sentence for each attribute whose labels differ between the tables.
    """

    a: str
    b: str
    faces: int
    table: pd.DataFrame
    notes: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """For whom which is better, a sentence for each attribute."""
        were = "face was" if self.faces == 1 else "faces were"
        out = [f"{self.faces:,} {were} predicted by both {self.a} (a) and {self.b} (b).", *self.notes]
        for name, part in self.table.groupby("attribute", sort=False):
            what = str(name).replace("_", " ")
            whole = part[part["by"] == EVERYONE].iloc[0]
            unit = 100 if whole["measure"] == "accuracy" else 1
            size = f"{unit * whole['difference']:+.1f} {'points' if unit == 100 else ''}".strip()
            size += f" ({unit * whole['difference_low']:+.1f} to {unit * whole['difference_high']:+.1f})"
            clear = part[part["clear"] & (part["by"] != EVERYONE)]
            better = clear["difference"] > 0 if whole["measure"] == "accuracy" else clear["difference"] < 0
            texts = [
                f"{model} is better for {sentence_list([f'{b} {g}' for b, g in zip(c['by'], c['group'], strict=True)])}"
                for model, c in (("a", clear[~better]), ("b", clear[better])) if len(c)
            ]  # fmt: skip
            said = "; ".join(texts) if texts else "for no group is the difference beyond chance"
            out.append(f"{what}, {whole['measure']}: b minus a is {size}; {said}.")
        return out

    def section(self) -> Section:
        """The table, for a page."""
        shown = {"attribute": "Attribute", "by": "By", "group": "Group", "faces": "Faces", "a": "a", "b": "b",
                 "difference": "b minus a", "only_a": "Only a right", "only_b": "Only b right",
                 "p_corrected": "p, corrected", "clear": "Beyond chance"}  # fmt: skip
        text = (
            "Difference: b minus a on the same faces, with the 95 % interval of a paired bootstrap. p: "
            "McNemar's exact test on the faces that only one gets right, corrected for the number of groups (Holm).",
            f"Groups under {SMALL_GROUP} faces are grey and not tested. Of an error (mae) less is better.",
        )
        return Section("comparison", "For whom which model is better", text, self.table, shown)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"format": "facefeat-comparison", "version": 1, "a": self.a, "b": self.b, "faces": self.faces,
                "summary": self.sentences(), "rows": self.section().to_dict()["rows"]}  # fmt: skip

    def save(self, folder: Path) -> Path:
        """Write `comparison.html`, `.json` and `.csv`. Raises InputError where the folder holds anything else."""
        from facefeat.evaluation.page import save_sections

        about = {"a": self.a, "b": self.b, "faces": self.faces}
        return save_sections(folder, f"{self.a} and {self.b}", "comparison", self.sentences(), [self.section()], about)


def compare(a: Predictions, b: Predictions, bootstrap: int = 500, seed: int = 0) -> Comparison:
    """Compare two models on the faces that both tables have, joined by the columns that name the pictures.

    Raises InputError where the tables have not the same faces, or no attribute in common.
    """
    pd = import_pandas()
    rows_a, rows_b = _joined(a, b)
    names = [n for n in a.scored if n in b.scored]
    if not names:
        raise InputError(
            f"{a.name!r} and {b.name!r} have no attribute in common. {a.name}: {', '.join(a.scored)}. "
            f"{b.name}: {', '.join(b.scored)}."
        )
    groups = {EVERYONE: Groups.of_codes((EVERYONE,), np.zeros(len(rows_a), int))}
    groups |= {n: _of_rows(g, rows_a, a.faces) for n, g in a.groups.items()}
    lines: list[dict[str, Any]] = []
    for name in names:
        first, second = (
            {q.kind: q.values[r] for q in p.scored[name].quantities()} for p, r in ((a, rows_a), (b, rows_b))
        )
        measure = next((m for m in ("accuracy", "mae") if m in first and m in second), None)
        if measure is None:
            continue
        found = [
            line
            for by in groupings(groups)
            if EVERYONE not in by or len(by) == 1
            for line in _lines(name, measure, first[measure], second[measure], groups, by, bootstrap, seed)
        ]
        _holm(found)
        lines += found
    if not lines:
        raise InputError(f"{a.name!r} and {b.name!r} have no face that both predicted.")
    notes = [
        n for name in names if (n := _other_labels(name, a.scored[name].take(rows_a), b.scored[name].take(rows_b)))
    ]
    return Comparison(a.name, b.name, len(rows_a), pd.DataFrame(lines), tuple(notes))


def _other_labels(name: str, a: Scored, b: Scored) -> str:
    """A sentence where the same faces have other labels in the two tables; "" where they have not."""
    classes = a.attribute.classes
    if not classes or set(classes) != set(b.attribute.classes):
        return ""
    place = np.array([*(classes.index(c) for c in b.attribute.classes), -1])
    other = (a.truth >= 0) & (b.truth >= 0) & (a.truth != place[b.truth])
    if not other.any():
        return ""
    return (
        f"{name}: {int(other.sum()):,} of {len(other):,} faces have another label in b than in a, so that each model "
        "is measured by its own table's labels."
    )


def _lines(
    name: str,
    measure: str,
    a: np.ndarray,
    b: np.ndarray,
    groups: dict[str, Groups],
    by: tuple[str, ...],
    bootstrap: int,
    seed: int,
) -> list[dict[str, Any]]:
    from scipy.stats import binomtest

    here = groups[by[0]]
    for other in by[1:]:
        here = here.cross(groups[other])
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, np.nan), np.where(both, b, np.nan)
    difference, faces = means(b - a, here)
    low, high = interval(group_means(b - a, here, bootstrap, seed))
    mean_a, mean_b = means(a, here)[0], means(b, here)[0]
    out = []
    for k in np.flatnonzero(faces):
        line: dict[str, Any] = {
            "attribute": name, "measure": measure, "by": " x ".join(by), "group": here.names[k],
            "faces": int(faces[k]), "small": bool(faces[k] < SMALL_GROUP), "a": float(mean_a[k]),
            "b": float(mean_b[k]), "difference": float(difference[k]), "difference_low": float(low[k]),
            "difference_high": float(high[k]), "only_a": None, "only_b": None, "p": None,
        }  # fmt: skip
        if measure == "accuracy":
            apart = (b - a)[here.rows[here.codes == k]]
            only_a, only_b = int((apart == -1).sum()), int((apart == 1).sum())
            p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
            line |= {"only_a": only_a, "only_b": only_b, "p": p}
        out.append(line)
    return out


def _holm(lines: list[dict[str, Any]]) -> None:
    """Adds p_corrected and clear; without a test, clear is whether the interval leaves out 0."""
    tested = sorted((x for x in lines if x["p"] is not None and not x["small"]), key=lambda x: x["p"])
    highest = 0.0
    for i, line in enumerate(tested):
        highest = max(highest, min(1.0, line["p"] * (len(tested) - i)))
        line["p_corrected"] = highest
    for line in lines:
        line.setdefault("p_corrected", None)
        apart = line["difference_low"] > 0 or line["difference_high"] < 0
        line["clear"] = bool(
            not line["small"] and (line["p_corrected"] < LEVEL if line["p_corrected"] is not None else apart)
        )


def _joined(a: Predictions, b: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Rows of either that are of the same faces."""
    if a.keys is not None and b.keys is not None:
        for p in (a, b):
            assert p.keys is not None
            if len(np.unique(p.keys)) < len(p.keys):
                raise InputError(f"{p.name!r} names a picture twice, so rows cannot be joined. Next: keep one of each")
        _, rows_a, rows_b = np.intersect1d(a.keys, b.keys, return_indices=True)
        if not len(rows_a):
            raise InputError(f"{a.name!r} and {b.name!r} have no picture in common.")
        order = np.argsort(rows_a)
        return rows_a[order], rows_b[order]
    if a.faces != b.faces:
        raise InputError(
            f"{a.name!r} has {a.faces:,} rows and {b.name!r} {b.faces:,}, and no column that names the "
            "picture in both. Next: add a column 'file' to both"
        )
    return np.arange(a.faces), np.arange(b.faces)


def _of_rows(groups: Groups, rows: np.ndarray, faces: int) -> Groups:
    """The groups of these faces, numbered anew."""
    place = np.full(faces, -1)
    place[rows] = np.arange(len(rows))
    new = place[groups.rows]
    kept = new >= 0
    return Groups(groups.names, new[kept], groups.codes[kept])
