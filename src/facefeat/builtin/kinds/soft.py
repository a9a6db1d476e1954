"""Labels that are no single class: probabilities, one of several classes, a range of years, years with an error.

| text | meaning |
|---|---|
| `Female 0.83` | this class with this probability; what is missing to 1 lies evenly on the others |
| `Female 0.7, Male 0.3` | a probability for each |
| `East Asian \\| Southeast Asian` | one of these |
| `25-34`, `60+` | between these years, both included |
| `34 +-5`, `20-29 +-5` | about these years: a normal distribution of this standard deviation, in years |

A row (M,) float32 has one number for each output of a head. It sums to 1: a distribution, to be learnt as it is. Or its
largest number is 1 and its sum is above 1: the likelihood of the label under each output, of which one is right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import LabelError

if TYPE_CHECKING:
    from facefeat.schema import Attribute
    from facefeat.types import FloatArray

FORMS = 'a class, "CLASS 0.8", "CLASS | CLASS"'
YEAR_FORMS = ', years such as "25-34" or "60+", or "34 +-5"'
MAX_ERROR = 50.0
"""Standard deviation of an age, in years."""
_PROBABLE = re.compile(r"(?P<item>.+?)[\s:=]+(?P<p>0|1|1\.0+|0?\.\d+)")
_BAND = re.compile(r"(?P<first>\d{1,3})\s*(?:-\s*(?P<last>\d{1,3})|\+)")
_ABOUT = re.compile(r"(?P<item>.+?)\s*(?:\+-|±)\s*(?P<error>\d*\.?\d+)")


def read_soft(attribute: Attribute, text: str) -> FloatArray:
    """The row (M,) of a label; see the module. Raises LabelError, naming what is valid."""
    text = " ".join(text.split())
    if attribute.years and (about := _ABOUT.fullmatch(text)):
        return _around(attribute, text, about["item"], float(about["error"]))
    parts = [_PROBABLE.fullmatch(part.strip()) for part in text.split(",")]
    if all(parts) and "|" not in text:
        return _distribution(attribute, text, [(p["item"].strip(), float(p["p"])) for p in parts if p])
    # (M,) likelihood of the label under each output: the largest of its items.
    row = np.max([_likelihood(attribute, text, item.strip()) for item in text.split("|")], axis=0)
    return np.asarray(row / row.max(), "float32")


def _fail(attribute: Attribute, text: str, why: str = "") -> LabelError:
    valid = FORMS + (YEAR_FORMS if attribute.years else "")
    return LabelError(f"no such {attribute.name}{why}. Received: {text!r}. Valid: {valid}.")


def _distribution(attribute: Attribute, text: str, items: list[tuple[str, float]]) -> FloatArray:
    row, named = np.zeros(attribute.outputs), np.zeros(attribute.outputs, bool)
    for item, p in items:
        here = _one(attribute, text, item)
        row += p * here / here.sum()
        named |= here > 0
    rest = 1 - row.sum()
    if rest < -0.01 or (rest > 0.01 and named.all()):
        raise _fail(attribute, text, f": its probabilities sum to {row.sum():g}")
    if rest > 0 and not named.all():
        row[~named] += rest / (~named).sum()
    return np.asarray(row / row.sum(), "float32")


def _likelihood(attribute: Attribute, text: str, item: str) -> np.ndarray:
    band = _BAND.fullmatch(item)
    if not band or not attribute.years:
        return _one(attribute, text, item)
    inside = _inside(attribute, text, band)
    if attribute.exact:
        return inside
    per_class = _by_class(attribute)
    return np.asarray(inside @ per_class / per_class.sum(axis=0))  # the share of each class's years


def _inside(attribute: Attribute, text: str, band: re.Match[str]) -> np.ndarray:
    """(years,) of 0 and 1: those between two, both included."""
    first = int(band["first"])
    last = int(band["last"]) if band["last"] else attribute.years[-1][1]
    inside = np.asarray([first <= y <= last for y in _years(attribute)], "float64")
    if first > last or not inside.any():
        raise _fail(attribute, text)
    return inside


def _around(attribute: Attribute, text: str, item: str, error: float) -> FloatArray:
    if not 0 < error <= MAX_ERROR:
        raise _fail(attribute, text, f": its error must be over 0, at most {MAX_ERROR:g} years")
    years = np.asarray(_years(attribute), "float64")
    if item.isdecimal():
        item = f"{item}-{item}"
    band = _BAND.fullmatch(item)
    if band:
        here = _inside(attribute, text, band)
    else:
        here = _one(attribute, text, item)
        here = here if attribute.exact else _by_class(attribute) @ here
    spread = np.exp(-0.5 * ((years[:, None] - years[None, here > 0]) / error) ** 2)
    row = (spread / spread.sum(axis=0)).sum(axis=1)
    row = row if attribute.exact else row @ _by_class(attribute)
    return np.asarray(row / row.sum(), "float32")


def _one(attribute: Attribute, text: str, item: str) -> np.ndarray:
    """(M,) of 0 and 1: the outputs of a class, or the one of a year."""
    try:
        target = attribute.strategy.parse(attribute, item).target
    except LabelError:
        raise _fail(attribute, text) from None
    if attribute.exact and not np.isnan(target[1]):
        start = attribute.years[0][0]
        return np.eye(attribute.outputs)[int(np.clip(round(target[1]) - start, 0, attribute.outputs - 1))]
    if not attribute.exact:
        return np.eye(attribute.outputs)[int(target[0])]
    return _by_class(attribute)[:, int(target[0])].copy()


def _years(attribute: Attribute) -> range:
    return range(attribute.years[0][0], attribute.years[-1][1] + 1)


def _by_class(attribute: Attribute) -> np.ndarray:
    """(years, K) of 0 and 1: the class of each year."""
    years = np.asarray(_years(attribute))[:, None]
    first, last = np.asarray(attribute.years).T
    return ((first <= years) & (years <= last)).astype("float64")
