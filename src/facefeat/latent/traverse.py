"""Moves latents until the model's own head predicts from the decoded faces what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat.latent.goals import Goal
    from facefeat.latent.portraits import Portraits
    from facefeat.model import FaceFeatureModel
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.types import FaceBatch, UInt8Array

ROUNDS = 12
"""Times that all faces that have not arrived are decoded and predicted."""
LIMIT = 4.0
"""Standard deviations that a latent goes in one direction at most: beyond, a decoder has seen no face. `traverse` of
the bundled decoder's recipe is the same."""
ORDERED_LIMIT = 6.0
"""The same along an ordered attribute: decades of age are farther apart than classes are."""
KEPT = 0.25
"""The weight of an error in what is to be kept, relative to one in what was asked."""


@dataclass(frozen=True, eq=False)
class Traversal:
    """Where N latents came to.

    Attributes:
        latents: (N, L).
        crops: (N, S, S, 3) uint8, decoded from them, with the residual where there is one.
        predictions: what the head predicts from the crops.
        steps: (N, A) float32, how far along the direction of each goal, in standard deviations.
        reached: (N,) bool, whether it predicts all that was asked.
    """

    latents: np.ndarray
    crops: UInt8Array
    predictions: FaceBatch
    steps: np.ndarray
    reached: np.ndarray


@dataclass
class _Ends:
    """What is known of one goal for N faces: the amounts that were too small and too large, and what was predicted."""

    low: np.ndarray
    low_value: np.ndarray
    high: np.ndarray
    high_value: np.ndarray

    @classmethod
    def unknown(cls, n: int) -> _Ends:
        return cls(np.full(n, -np.inf), np.zeros(n), np.full(n, np.inf), np.zeros(n))


def traverse(
    model: FaceFeatureModel,
    directions: LatentDirections,
    start: np.ndarray,
    goals: Sequence[Goal],
    *,
    method: str = "means",
    limit: float | None = None,
    held: Mapping[int, float] | None = None,
    keep: Sequence[Goal] = (),
    faces: Portraits | None = None,
) -> Traversal:
    """Move (N, L) latents along the directions of the goals, each as far as the head needs.

    Each round decodes all faces that have not arrived and predicts from them, together, then brackets and interpolates
    the amount of each goal; the best of all rounds is returned. Only attribute features are moved.

    Args:
        method: see `LatentDirections.toward` and `shifts`.
        limit: standard deviations that a face is moved at most along each direction; LIMIT for a class and
            ORDERED_LIMIT for an ordered attribute where it is None.
        held: coordinate -> the value at which it stays.
        keep: goals of second rank, for what is to stay as predicted: aimed at like the others, but a face is reached
            without them.
        faces: (N) portraits whose residual is restored in what is decoded, before it is predicted.

    Raises:
        InputError: for a method or limit that is not valid, or what cannot be moved alone.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= 20):
        raise InputError(f"limit must be standard deviations over 0, at most 20. Received: {limit!r}.")
    asked, goals = len(goals), [*goals, *keep]
    n, count = len(start), len(goals)
    shifts, lengths = goal_shifts(directions, goals, n, method)
    furthest = [limit or (LIMIT if g.attribute.axis is None else ORDERED_LIMIT) for g in goals]
    most = np.array(furthest) / lengths
    amounts, best_amounts = np.zeros((n, count)), np.zeros((n, count))
    before, value_before = np.zeros((n, count)), np.full((n, count), np.nan)
    ends = [_Ends.unknown(n) for _ in goals]
    miss = np.full(n, np.inf)
    side = model.decoder.face_size
    crops = np.zeros((n, side, side, 3), "uint8")
    going = np.arange(n)
    for _ in range(ROUNDS):
        if not len(going):
            break
        decoded = model.decode(moved(start[going], _sum(amounts[going], shifts[going]), held))
        if faces is not None:
            decoded = faces.restore(decoded, going)
        batch = model.predict_faces(decoded)
        value = np.stack([g.predicted(batch) for g in goals], axis=1) if goals else np.zeros((len(going), 0))
        off = np.zeros(len(going))
        onward = amounts[going]
        for a, goal in enumerate(goals):
            gap, below, above = _gap(goal, going, value[:, a], amounts[going, a])
            # Too far is a smaller fault than not far enough: the answer is there.
            weight = np.where((gap < 0) & bool(goal.label), 0.1, 1.0) * (1.0 if a < asked else KEPT)
            off += weight * np.maximum(np.maximum(gap - below, -gap - above), 0) / goal.unit()
            slope = _slope(amounts[going, a] - before[going, a], value[:, a] - value_before[going, a])
            done = (gap <= below) & (gap >= -above)
            nxt = _next(ends[a], going, amounts[going, a], value[:, a], gap, slope, most[going, a])
            onward[:, a] = np.where(done, amounts[going, a], np.clip(nxt, -most[going, a], most[going, a]))
        better = off < miss[going]
        chosen = going[better]
        miss[chosen], crops[chosen], best_amounts[chosen] = off[better], decoded[better], amounts[chosen]
        before[going], value_before[going] = amounts[going], value
        still = (np.abs(onward - amounts[going]) > 1e-3 * most[going]).any(axis=1)
        amounts[going] = onward
        going = going[still]
    latents = moved(start, _sum(best_amounts, shifts), held)
    final = model.predict_faces(crops)
    reached = np.ones(n, bool)
    for goal in goals[:asked]:
        reached &= goal.reached(final)
    return Traversal(latents, crops, final, (best_amounts * lengths)[:, :asked].astype("float32"), reached)


def goal_shifts(
    directions: LatentDirections, goals: Sequence[Goal], n: int, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """(N, goals, D) float64 shifts, each of which raises the probe of its goal by 1, and (N, goals) their lengths.

    Lengths are in standard deviations of the faces. Raises InputError for a method that is not valid, or what cannot be
    moved alone.
    """
    shifts, lengths = np.zeros((n, len(goals), directions.feature_dim)), np.zeros((n, len(goals)))
    if goals:
        shifts[:], lengths[:] = directions.shifts([directions.row(*g.probe) for g in goals], method)
    for a, goal in enumerate(goals if method == "means" and n else ()):
        if goal.origin is not None:
            target = np.full(n, goal.label) if goal.label else goal.target
            own, far, there = directions.toward(goal.attribute, goal.origin, target)
            shifts[there, a], lengths[there, a] = own[there], far[there]
    return shifts, lengths


def _sum(amounts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(N, A) amounts of (N, A, D) shifts -> (N, D)."""
    return np.asarray(np.einsum("na,nad->nd", amounts, shifts))


def moved(start: np.ndarray, shift: np.ndarray, held: Mapping[int, float] | None = None) -> np.ndarray:
    """(N, L) latents whose first D coordinates are moved by (N, D); the detail code is unchanged."""
    out = np.array(start, "float64")
    out[:, : shift.shape[1]] += shift
    for coordinate, value in (held or {}).items():
        out[:, coordinate] = value
    return out.astype("float32")


def _gap(goal: Goal, rows: np.ndarray, value: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """How much is wanted beyond what is predicted, and how far below and above is near enough."""
    target, below, above = goal.wanted()
    # A face that is predicted as the class already is not made less of it.
    room = np.where((amount <= 0) & bool(goal.label), np.inf, above)
    return target[rows] - value, below, room


def _slope(amount: np.ndarray, value: np.ndarray) -> np.ndarray:
    """How much the prediction grows with the amount, over the last two rounds; 1 at first, as of the probe."""
    known = (np.abs(amount) > 1e-9) & np.isfinite(value)
    slope = np.divide(value, amount, out=np.ones_like(amount), where=known)
    return np.clip(slope, 0.2, 5.0)


def _next(
    ends: _Ends,
    rows: np.ndarray,
    amount: np.ndarray,
    value: np.ndarray,
    gap: np.ndarray,
    slope: np.ndarray,
    most: np.ndarray,
) -> np.ndarray:
    """(n,) the next amounts: between a smaller and a larger one where both are known, else onward."""
    small = gap > 0
    i, j = rows[small], rows[~small]
    ends.low[i], ends.low_value[i] = amount[small], value[small]
    ends.high[j], ends.high_value[j] = amount[~small], value[~small]
    # The other goals move the face, too: what was too much before may be too little now.
    ends.high[i] = np.where(ends.high[i] <= amount[small], np.inf, ends.high[i])
    ends.low[j] = np.where(ends.low[j] >= amount[~small], -np.inf, ends.low[j])
    low, high = ends.low[rows], ends.high[rows]
    between = np.isfinite(low) & np.isfinite(high)
    # At most half of the distance to the limit at a time: a slope measured near the start may be far too flat.
    step = np.clip(gap / slope, -0.5 * most, 0.5 * most)
    with np.errstate(invalid="ignore", divide="ignore"):
        span = ends.high_value[rows] - ends.low_value[rows]
        share = np.where(span > 1e-9, (value + gap - ends.low_value[rows]) / span, 0.5)
        # What is predicted may jump between the two, so the bracket shrinks by three tenths at least.
        inside = low + np.clip(share, 0.3, 0.7) * (high - low)
    return np.where(between, inside, amount + step)
