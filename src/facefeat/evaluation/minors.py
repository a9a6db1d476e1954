"""Faces under 18 in a collection: how probably each is one, and who is missed from which probability on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facefeat.errors import InputError
from facefeat.evaluation.groups import Groups
from facefeat.evaluation.report import SMALL_GROUP
from facefeat.evaluation.sections import Section, records
from facefeat.types import YEARS
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import proportion_interval

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.schema import Attribute

ADULT = 18
AGES = (18, 21, 25, 30, 35)
"""Predicted ages under which a face may be taken for a minor's, where a table has no probabilities of ages."""
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Probabilities from which on a face may be taken for a minor's."""
FEWEST = 20
"""Minors, and adults, under which nothing is measured."""
TARGET = 0.05
"""The threshold that the sentence of the section speaks of."""
NOT_FOR_PEOPLE = (
    "This is for filtering collections of pictures, such as leaving minors out of a data set. It is not for deciding "
    "about people, such as who may enter or buy: it cannot tell a person's age, and errs differently for different "
    "groups."
)


@dataclass(frozen=True)
class Minors:
    """Errors of finding the faces under an age, by the threshold from which a face is taken.

    by_probability: the thresholds are of P(under the age); else of the age predicted, below which a face is taken.
    table: by, group, small, threshold, probability (P at that predicted age; NaN where thresholds are probabilities),
    missed_n (faces under the age), missed (share of them not taken), taken_n (all other faces), taken (share of them
    taken), with _low and _high (95 %, Wilson). curve: by, group, threshold, missed, taken, at many thresholds.
    """

    attribute: str
    age: float
    by_probability: bool
    table: pd.DataFrame
    curve: pd.DataFrame

    def section(self) -> Section:
        """For a page."""
        shown = {"by": "By", "group": "Group", "threshold": f"Taken where P(under {self.age:g}) is at least"}
        if not self.by_probability:
            shown["threshold"], shown["probability"] = "Taken where predicted under", f"P(under {self.age:g}) there"
        shown |= {"missed_n": "Minors", "missed": "Minors missed", "taken_n": "Adults", "taken": "Adults taken"}
        percent = ("missed", "taken", "threshold" if self.by_probability else "probability")
        text = (NOT_FOR_PEOPLE, *self._reading())
        return Section("minors", f"Finding faces under {self.age:g}", text, self.table, shown, percent)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"attribute": self.attribute, "age": self.age, "by_probability": self.by_probability,
                "rows": records(self.table), "curve": records(self.curve)}  # fmt: skip

    def _reading(self) -> list[str]:
        at = TARGET if self.by_probability else AGES[2]
        rows = self.table[np.isclose(self.table["threshold"], at)]
        whole, kept = rows.iloc[0], rows[~rows["small"]].iloc[1:]
        what = f"P(under {self.age:g}) is {at:.0%} or more" if self.by_probability else f"predicted under {at}"
        text = (
            f"Where a face is taken if {what}, {whole['missed']:.1%} of the {whole['missed_n']:,} faces labelled under "
            f"{self.age:g} are missed ({whole['missed_low']:.1%} to {whole['missed_high']:.1%}), and "
            f"{whole['taken']:.1%} of the others are taken along."
        )
        if len(kept) > 1:
            worst = kept.loc[kept["missed"].idxmax()]
            clear = worst["missed_low"] > whole["missed_high"]
            text += (
                f" Most are missed of {worst['by']} “{worst['group']}”: {worst['missed']:.1%} "
                f"({worst['missed_low']:.1%} to {worst['missed_high']:.1%})."
                if clear
                else f" Of no group of {SMALL_GROUP} faces or more are clearly more missed than that."
            )
        return [text]


def probability_under(attribute: Attribute, probabilities: np.ndarray, age: float = ADULT) -> np.ndarray:
    """(N, K) probabilities of the classes of an age -> (N,) float64, how probably each face is younger than `age`.

    The share below each class's first year is known; between them a monotone curve is drawn (PCHIP: Fritsch and
    Carlson, SIAM J. Numer. Anal. 1980). On UTKFace's validation faces it differs by 0.006 on average from the sum over
    the single years that the bundled preset computes.

    Raises:
        InputError: for an attribute without years, or probabilities of another shape.

    Example:
        >>> age = model.schema["age"]
        >>> probability_under(age, model.predict_faces(crops).probabilities["age"])
    """
    from scipy.interpolate import PchipInterpolator

    p, k = np.asarray(probabilities, "float64"), len(attribute.classes)
    if not attribute.years:
        raise InputError(f"{attribute.name!r} has no years, so that no face is under an age by it.")
    if p.ndim != 2 or p.shape[1] != k:
        raise InputError(f"expected (N, {k}) probabilities, of {', '.join(attribute.classes)}. Received: {p.shape}.")
    edges = [first for first, _ in attribute.years] + [attribute.years[-1][1] + 1]
    known = np.isfinite(p).all(axis=1)
    out = np.full(len(p), np.nan)
    if known.any():
        below = np.concatenate([np.zeros((int(known.sum()), 1)), np.cumsum(p[known], axis=1)], axis=1)
        out[known] = np.clip(PchipInterpolator(edges, below.T)(np.clip(age, edges[0], edges[-1])), 0, 1)
    return out


def under_age(value: np.ndarray, true: np.ndarray, age: float = ADULT) -> Any:
    """P(younger than `age`) as a function of the predicted age, fitted on labelled faces: (n,) years each.

    Returns a scikit-learn IsotonicRegression: `.predict(years)` gives probabilities that fall with the age.
    """
    from sklearn.isotonic import IsotonicRegression

    known = np.isfinite(value) & np.isfinite(true)
    fitted = IsotonicRegression(y_min=0, y_max=1, increasing=False, out_of_bounds="clip")
    return fitted.fit(value[known], (true[known] < age).astype("float64"))


def measure_minors(
    attribute: Attribute,
    true: np.ndarray | None,
    value: np.ndarray | None,
    probabilities: np.ndarray | None,
    groups: Mapping[str, Groups],
    age: float = ADULT,
) -> Minors | None:
    """Who under `age` is missed, and how many adults are taken for minors; None where too few faces tell.

    Args:
        attribute: an age.
        true: (N,) labelled years, NaN where unknown. value: (N,) predicted years, for tables without probabilities.
        probabilities: (N, K) of its classes.
        groups: of the faces; those of the attribute itself are left out.
    """
    pd = import_pandas()
    if attribute.axis is None or attribute.axis.unit != YEARS or true is None:
        return None
    by_probability = probabilities is not None and bool(attribute.years)
    if by_probability:
        assert probabilities is not None
        # Low for a minor, as an age is: a face is taken at or below the threshold.
        score, thresholds = -probability_under(attribute, probabilities, age), np.array(THRESHOLDS)
        many = np.linspace(0.01, 0.99, 99)
    elif value is not None:
        score, thresholds, many = np.asarray(value, "float64"), np.array(AGES, float), np.arange(10.0, 51.0)
    else:
        return None
    ok = np.isfinite(true) & np.isfinite(score)
    minor = ok & (true < age)
    if minor.sum() < FEWEST or (ok & ~minor).sum() < FEWEST:
        return None
    chance = np.full(len(thresholds), np.nan)
    if not by_probability:
        chance = under_age(score, np.where(ok, true, np.nan), age).predict(thresholds)
    limits, drawn = (-thresholds, -many) if by_probability else (thresholds, many)
    side: Literal["left", "right"] = "right" if by_probability else "left"
    lines, curves = [], []
    everyone = Groups.of_codes(("everyone",), np.where(ok, 0, -1))
    for by, g in {"everyone": everyone, **{k: v for k, v in groups.items() if k != attribute.name}}.items():
        for k, name in enumerate(g.names):
            rows = g.rows[g.codes == k]
            rows = rows[ok[rows]]
            young, old = (np.sort(score[rows[minor[rows] == m]]) for m in (True, False))
            if not len(rows):
                continue
            missed, taken = len(young) - young.searchsorted(limits, side), old.searchsorted(limits, side)
            low, high = proportion_interval(missed, np.full(len(limits), len(young)))
            taken_low, taken_high = proportion_interval(taken, np.full(len(limits), len(old)))
            lines.append(pd.DataFrame({
                "by": by, "group": name, "small": min(len(young), len(old)) < SMALL_GROUP, "threshold": thresholds,
                "probability": chance, "missed_n": len(young), "missed": _share(missed, len(young)),
                "missed_low": low, "missed_high": high, "taken_n": len(old), "taken": _share(taken, len(old)),
                "taken_low": taken_low, "taken_high": taken_high,
            }))  # fmt: skip
            if min(len(young), len(old)) >= SMALL_GROUP or by == "everyone":
                curves.append(pd.DataFrame({
                    "by": by, "group": name, "threshold": many,
                    "missed": _share(len(young) - young.searchsorted(drawn, side), len(young)),
                    "taken": _share(old.searchsorted(drawn, side), len(old)),
                }))  # fmt: skip
    return Minors(attribute.name, age, by_probability, pd.concat(lines, ignore_index=True),
                  pd.concat(curves, ignore_index=True))  # fmt: skip


def _share(count: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(count / n if n else np.full(len(count), math.nan))
