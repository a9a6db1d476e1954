"""Walks latents until the model's own head reads from the decoded faces what was asked: editing and composing do it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat.latent.residual import Residual
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.schema import Attribute
    from facefeat.types import FaceBatch, UInt8Array

ROUNDS = 12
"""Times that all faces still on their way are decoded and read."""
LIMIT = 4.0
"""Standard deviations that a latent goes in one direction at most: beyond, a decoder has seen no face. `moves` of the
bundled decoder's recipe is the same."""
LIKELY = 0.9
"""The probability that is aimed at where none was asked for: at one half, another reader would often say otherwise."""
KEPT_LIKELY = 0.8
"""The same for a class that is to be kept."""
ENOUGH = 0.5
"""And what counts as reached then."""
KEPT = 0.25
"""What missing something that is to be kept weighs, beside missing what was asked."""
YEARS, CLASSES = 2.0, 0.5
"""How near an ordered attribute has to come."""


@dataclass(frozen=True)
class Goal:
    """What the head is to read of one attribute of N faces.

    target: (N,) float64 years or positions, for an ordered attribute. label and enough: the class, and the probability
    that it needs; aim: the probability that the walk goes for. origin: (N,) years, positions or classes from which the
    method "means" looks at where to go; None where nothing is known.
    """

    attribute: Attribute
    target: np.ndarray
    label: str = ""
    enough: float = ENOUGH
    aim: float = LIKELY
    origin: np.ndarray | None = None

    def of(self, rows: Sequence[int]) -> Goal:
        """The same for some of the faces."""
        origin = None if self.origin is None else self.origin[rows]
        return replace(self, target=self.target[rows], origin=origin)

    @property
    def readout(self) -> tuple[str, str]:
        """The name of the readout that is moved."""
        return self.attribute.name, self.label

    def read(self, batch: FaceBatch) -> np.ndarray:
        """(N,) float64: years, positions, or log-odds of the class; it grows with the readout."""
        if not self.label:
            return value_of(self.attribute, batch)
        p = np.clip(self._probability(batch), 1e-6, 1 - 1e-6)
        return np.asarray(np.log(p / (1 - p)))

    def wanted(self) -> tuple[np.ndarray, float, float]:
        """In the units of `read`: the (N,) targets, and how far below and above is near enough."""
        if not self.label:
            near = self._near() / 2
            return self.target, near, near
        aim = math.log(self.aim / (1 - self.aim))
        return np.full(len(self.target), aim), min(0.3, aim - math.log(self.enough / (1 - self.enough))), 1.5

    def reached(self, batch: FaceBatch) -> np.ndarray:
        """(N,) bool: whether the head reads what was asked."""
        if not self.label:
            return np.asarray(np.abs(self.read(batch) - self.target) <= self._near())
        answer = np.asarray(batch.labels[self.attribute.name]) == self.label
        return np.asarray(answer & (self._probability(batch) >= self.enough))

    def unit(self) -> float:
        """What a difference of `read` is divided by, to compare attributes."""
        return 2.5 * self._near() if not self.label else 1.0

    def _near(self) -> float:
        return YEARS if self.attribute.years else CLASSES

    def _probability(self, batch: FaceBatch) -> np.ndarray:
        column = self.attribute.classes.index(self.label)
        return np.asarray(batch.probabilities[self.attribute.name][:, column], "float64")


def value_of(attribute: Attribute, batch: FaceBatch) -> np.ndarray:
    """(N,) float64 of an ordered attribute: years where it has any, else the expected position of its class."""
    if attribute.years and batch.age_years is not None:
        return np.asarray(batch.age_years, "float64")
    return np.asarray(batch.probabilities[attribute.name] @ np.arange(len(attribute.classes)), "float64")


@dataclass(frozen=True)
class Walked:
    """Where N latents came to. latents (N, L), crops (N, S, S, 3) uint8, read: what the head says of them.

    steps: (N, A) float32, how far along the direction of each goal, in standard deviations. reached: (N,) bool.
    """

    latents: np.ndarray
    crops: UInt8Array
    read: FaceBatch
    steps: np.ndarray
    reached: np.ndarray


@dataclass
class _Ends:
    """What is known of one goal for N faces: the amounts that proved too small and too large, and what was read."""

    low: np.ndarray
    low_read: np.ndarray
    high: np.ndarray
    high_read: np.ndarray

    @classmethod
    def unknown(cls, n: int) -> _Ends:
        return cls(np.full(n, -np.inf), np.zeros(n), np.full(n, np.inf), np.zeros(n))


def walk(
    model: Any,
    directions: LatentDirections,
    start: np.ndarray,
    goals: Sequence[Goal],
    *,
    method: str = "means",
    limit: float = LIMIT,
    held: Mapping[int, float] | None = None,
    keep: Sequence[Goal] = (),
    residual: Residual | None = None,
) -> Walked:
    """Move (N, L) latents along the directions of the goals, each as far as the head needs. model: a FaceFeatureModel.

    Each round decodes and reads all faces that are still on their way together, then brackets and interpolates the
    amount of each goal; the best of what was seen is given back. Only attribute features are moved. held: coordinate ->
    what it stays at. keep: goals of second rank, for what is to stay as it was read: they are gone for like the others,
    but a face is reached without them. residual: put back into what is decoded, before it is read.
    Raises InputError for a method or limit that is not valid, or what cannot be moved alone.
    """
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= 20:
        raise InputError(f"limit must be standard deviations over 0, at most 20. Received: {limit!r}.")
    asked, goals = len(goals), [*goals, *keep]
    n, count = len(start), len(goals)
    shifts, lengths = ways_of(directions, goals, n, method)
    most = limit / lengths
    amounts, best_amounts = np.zeros((n, count)), np.zeros((n, count))
    before, read_before = np.zeros((n, count)), np.full((n, count), np.nan)
    ends = [_Ends.unknown(n) for _ in goals]
    miss = np.full(n, np.inf)
    crops = np.zeros((n, model.image_size, model.image_size, 3), "uint8")
    going = np.arange(n)
    for _ in range(ROUNDS):
        if not len(going):
            break
        made = model.decode(moved(start[going], _sum(amounts[going], shifts[going]), held))
        if residual is not None:
            made = residual.of(going).put_back(made)
        batch = model.predict_faces(made)
        read = np.stack([g.read(batch) for g in goals], axis=1) if goals else np.zeros((len(going), 0))
        off = np.zeros(len(going))
        onward = amounts[going]
        for a, goal in enumerate(goals):
            gap, below, above = _gap(goal, going, read[:, a], amounts[going, a])
            # Too far is a smaller fault than not far enough: the answer is there.
            weight = np.where((gap < 0) & bool(goal.label), 0.1, 1.0) * (1.0 if a < asked else KEPT)
            off += weight * np.maximum(np.maximum(gap - below, -gap - above), 0) / goal.unit()
            slope = _slope(amounts[going, a] - before[going, a], read[:, a] - read_before[going, a])
            done = (gap <= below) & (gap >= -above)
            nxt = _next(ends[a], going, amounts[going, a], read[:, a], gap, slope, most[going, a])
            onward[:, a] = np.where(done, amounts[going, a], np.clip(nxt, -most[going, a], most[going, a]))
        better = off < miss[going]
        chosen = going[better]
        miss[chosen], crops[chosen], best_amounts[chosen] = off[better], made[better], amounts[chosen]
        before[going], read_before[going] = amounts[going], read
        still = (np.abs(onward - amounts[going]) > 1e-3 * most[going]).any(axis=1)
        amounts[going] = onward
        going = going[still]
    latents = moved(start, _sum(best_amounts, shifts), held)
    final = model.predict_faces(crops)
    reached = np.ones(n, bool)
    for goal in goals[:asked]:
        reached &= goal.reached(final)
    return Walked(latents, crops, final, (best_amounts * lengths)[:, :asked].astype("float32"), reached)


def ways_of(directions: LatentDirections, goals: Sequence[Goal], n: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, goals, D) float64 shifts, each of which raises the readout of its goal by 1, and (N, goals) their lengths.

    Lengths are in standard deviations of the faces. Raises InputError for a method that is not valid, or what cannot be
    moved alone.
    """
    shifts, lengths = np.zeros((n, len(goals), directions.feature_dim)), np.zeros((n, len(goals)))
    if goals:
        shifts[:], lengths[:] = directions.shifts([directions.row(*g.readout) for g in goals], method)
    for a, goal in enumerate(goals if method == "means" and n else ()):
        if goal.origin is not None:
            target = np.full(n, goal.label) if goal.label else goal.target
            ways, far, there = directions.toward(goal.attribute, goal.origin, target)
            shifts[there, a], lengths[there, a] = ways[there], far[there]
    return shifts, lengths


def _sum(amounts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(N, A) amounts of (N, A, D) shifts -> (N, D)."""
    return np.asarray(np.einsum("na,nad->nd", amounts, shifts))


def moved(start: np.ndarray, shift: np.ndarray, held: Mapping[int, float] | None = None) -> np.ndarray:
    """(N, L) latents whose first D coordinates are moved by (N, D); the detail code stays as it is."""
    out = np.array(start, "float64")
    out[:, : shift.shape[1]] += shift
    for coordinate, value in (held or {}).items():
        out[:, coordinate] = value
    return out.astype("float32")


def _gap(goal: Goal, rows: np.ndarray, read: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """How much is wanted on top of what was read, and how far below and above is near enough."""
    target, below, above = goal.wanted()
    # A face that is read as the class already is not made less of it.
    room = np.where((amount <= 0) & bool(goal.label), np.inf, above)
    return target[rows] - read, below, room


def _slope(amount: np.ndarray, read: np.ndarray) -> np.ndarray:
    """How much the reading grows with the amount, of the last two rounds; 1, as the readout promises, at first."""
    known = (np.abs(amount) > 1e-9) & np.isfinite(read)
    slope = np.divide(read, amount, out=np.ones_like(amount), where=known)
    return np.clip(slope, 0.2, 5.0)


def _next(
    ends: _Ends,
    rows: np.ndarray,
    amount: np.ndarray,
    read: np.ndarray,
    gap: np.ndarray,
    slope: np.ndarray,
    most: np.ndarray,
) -> np.ndarray:
    """(n,) the next amounts: between a smaller and a larger one where both are known, else onward."""
    small = gap > 0
    i, j = rows[small], rows[~small]
    ends.low[i], ends.low_read[i] = amount[small], read[small]
    ends.high[j], ends.high_read[j] = amount[~small], read[~small]
    # The other goals move the face, too: what was too much before may be too little now.
    ends.high[i] = np.where(ends.high[i] <= amount[small], np.inf, ends.high[i])
    ends.low[j] = np.where(ends.low[j] >= amount[~small], -np.inf, ends.low[j])
    low, high = ends.low[rows], ends.high[rows]
    between = np.isfinite(low) & np.isfinite(high)
    # At most half of the way to the limit at a time: a slope measured near the start may be far too flat.
    step = np.clip(gap / slope, -0.5 * most, 0.5 * most)
    with np.errstate(invalid="ignore", divide="ignore"):
        span = ends.high_read[rows] - ends.low_read[rows]
        share = np.where(span > 1e-9, (read + gap - ends.low_read[rows]) / span, 0.5)
        # What is read may jump between the two, so the bracket shrinks by three tenths at least.
        inside = low + np.clip(share, 0.3, 0.7) * (high - low)
    return np.where(between, inside, amount + step)
