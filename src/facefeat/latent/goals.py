"""What edits and compositions are asked for: requests that are checked, and the goals that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat.schema import Attribute, Schema
    from facefeat.types import FaceBatch

LIKELY = 0.9
"""The probability that is aimed at where none was asked for: at one half, another classifier would often differ."""
KEPT_LIKELY = 0.8
"""The same for a class that is to be kept."""
ENOUGH = 0.5
"""And what counts as reached then."""


Request = tuple["Attribute", float | str, float | None]
"""An attribute; years, a position, a step or the class's own name; the probability asked for, if any."""


@dataclass(frozen=True)
class Goal:
    """What the head is to predict of one attribute of N faces.

    Attributes:
        target: (N,) float64 years or positions, for an ordered attribute.
        label, enough: the class, and the probability that it needs.
        aim: the probability that the traversal aims at.
        origin: (N,) years, positions or classes that the method "means" starts from; None where they are unknown.
    """

    attribute: Attribute
    target: np.ndarray
    label: str = ""
    enough: float = ENOUGH
    aim: float = LIKELY
    origin: np.ndarray | None = None

    def of(self, rows: Sequence[int] | np.ndarray) -> Goal:
        """The same for some of the faces."""
        origin = None if self.origin is None else self.origin[rows]
        return replace(self, target=self.target[rows], origin=origin)

    @property
    def probe(self) -> tuple[str, str]:
        """The name of the linear probe that is raised."""
        return self.attribute.name, self.label

    def predicted(self, batch: FaceBatch) -> np.ndarray:
        """(N,) float64: years, positions, or log-odds of the class; it grows with the probe."""
        if not self.label:
            return value_of(self.attribute, batch)
        p = np.clip(self._probability(batch), 1e-6, 1 - 1e-6)
        return np.asarray(np.log(p / (1 - p)))

    def wanted(self) -> tuple[np.ndarray, float, float]:
        """In the units of `predicted`: the (N,) targets, and how far below and above is near enough."""
        if not self.label:
            near = self._near() / 2
            return self.target, near, near
        aim = math.log(self.aim / (1 - self.aim))
        return np.full(len(self.target), aim), min(0.3, aim - math.log(self.enough / (1 - self.enough))), 1.5

    def reached(self, batch: FaceBatch) -> np.ndarray:
        """(N,) bool: whether the head predicts what was asked."""
        if not self.label:
            return np.asarray(np.abs(self.predicted(batch) - self.target) <= self._near())
        answer = np.asarray(batch.labels[self.attribute.name]) == self.label
        return np.asarray(answer & (self._probability(batch) >= self.enough))

    def unit(self) -> float:
        """What a difference of `predicted` is divided by, to compare attributes."""
        return 2.5 * self._near() if not self.label else 1.0

    def _near(self) -> float:
        axis = self.attribute.axis
        return 0.0 if axis is None else axis.near

    def _probability(self, batch: FaceBatch) -> np.ndarray:
        column = batch.classes[self.attribute.name].index(self.label)
        return np.asarray(batch.probabilities[self.attribute.name][:, column], "float64")


def value_of(attribute: Attribute, batch: FaceBatch) -> np.ndarray:
    """(N,) float64 on the axis of an attribute: its number, such as years, else the expected position of its class."""
    answers, axis = batch.answers[attribute.name], attribute.axis
    if answers.values is not None or axis is None:
        return np.asarray(answers.values, "float64")
    return np.asarray(answers.probabilities @ np.asarray(axis.positions), "float64")


def class_goal(attribute: Attribute, label: str, least: float | None, n: int) -> Goal:
    """The goal of a class for n faces. least: the probability that is asked for, None where none is."""
    if least is None:
        return Goal(attribute, np.zeros(n), label, ENOUGH, LIKELY)
    # A little further than asked, so that what is reached is not just missed.
    return Goal(attribute, np.zeros(n), label, least, least + 0.25 * (1 - least))


def check_changes(schema: Schema, changes: Mapping[str, Any]) -> list[Request]:
    """For each change the attribute, the step or the class's own name, and the probability asked for, if any.

    Raises InputError for what is not in the schema, or does not fit it.
    """
    if not isinstance(changes, Mapping) and changes is not None:
        raise InputError(
            "changes are a dictionary, such as {'age': +20} or {'gender': 'Female'}. "
            f"Received: {type(changes).__name__}."
        )
    if not changes:
        raise InputError(
            "nothing to change. Name an attribute and what it is to be, such as {'age': +20} or {'gender': 'Female'}."
        )
    out: list[Request] = []
    for name, value in changes.items():
        attribute = schema[name]
        if attribute.axis is not None:
            unit = f" in {attribute.axis.unit}" if attribute.axis.unit else ""
            out.append((attribute, number(value, f"{name} takes a step{unit}, such as +20 or -5"), None))
        else:
            out.append((attribute, *class_and_probability(attribute, value)))
    return out


def number(value: object, what: str) -> float:
    """A finite number. Raises InputError, with `what` is valid, for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(float(value)):
        raise InputError(f"{what}. Received: {value!r}.")
    return float(value)


def class_and_probability(attribute: Attribute, value: object) -> tuple[str, float | None]:
    """A class of an attribute and the probability asked for, from the class, or (class, probability).

    Raises InputError, or LabelError for an unknown class.
    """
    label, least = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if not isinstance(label, str):
        raise InputError(
            f"{attribute.name} takes a class, or (class, probability). Received: {value!r}. "
            f"Valid: {', '.join(attribute.classes)}."
        )
    name = attribute.classes[attribute.index(label)]
    if least is None:
        return name, None
    p = number(least, f"a probability of {attribute.name} is over 0 and under 1")
    if not 0 < p < 1:
        raise InputError(f"a probability of {attribute.name} is over 0 and under 1. Received: {p!r}.")
    return name, p


def check_attributes(schema: Schema, attributes: Mapping[str, Any]) -> list[Request]:
    """For each attribute what is asked: years or a position, or the class's own name and a probability, if any.

    Raises InputError for what is not in the schema, or does not fit it.
    """
    out: list[Request] = []
    for name, value in attributes.items():
        attribute = schema[name]
        axis = attribute.axis
        if axis is None:
            out.append((attribute, *class_and_probability(attribute, value)))
            continue
        if isinstance(value, str) and attribute.classes:
            out.append((attribute, axis.positions[attribute.index(value)], None))
            continue
        unit = "a position" if axis.unit == "classes" else axis.unit or "a number"
        or_class = ", or a class" if attribute.classes else ""
        what = f"{name} takes {unit} from {axis.low:g} to {axis.high:g}{or_class}"
        found = number(value, what)
        if not axis.low <= found <= axis.high:
            raise InputError(f"{what}. Received: {value!r}.")
        out.append((attribute, found, None))
    return out


def class_of(attribute: Attribute, value: float | str) -> str:
    """The class of a requested class, years or position."""
    if isinstance(value, str):
        return value
    assert attribute.axis is not None  # or the value would be a class
    return attribute.groups[attribute.axis.group_of(value)]
