"""The path of a face along an attribute: points that the model reads one above the other, and where that ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError
from facefeat.latent.goals import Goal, value_of
from facefeat.latent.keeping import traverse_keeping
from facefeat.latent.portraits import Portraits

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.schema import Attribute
    from facefeat.types import FaceBatch, FloatArray

_AIMS = (0.02, 0.08, 0.25, 0.5, 0.75, 0.92, 0.98)
"""Probabilities of the second of two classes that points are sought for."""
_STOPS = 10  # points on an axis, at least
_HALVED = 2  # times that points are added half way between two


@dataclass(frozen=True, eq=False)
class AttributePath:
    """Where one face can be moved along one attribute.

    The model has read each point, and what it read rises from one to the next: the path ends where that stops.

    Attributes:
        attribute: its name.
        values: (K,) float64, rising: years or positions that the model reads at each point; of two classes, the
            log-odds of the second.
        latents: (K, L) float32.
        steps: (K, A) float32, standard deviations along the direction of each goal.
        origin: what is read where the path was begun.
    """

    attribute: str
    values: FloatArray
    latents: FloatArray
    steps: FloatArray
    origin: float

    @property
    def low(self) -> float:
        """The least that the face can be made to be read as."""
        return float(self.values[0])

    @property
    def high(self) -> float:
        """The most."""
        return float(self.values[-1])

    def at(self, values: FloatArray | float) -> FloatArray:
        """(M,) years, positions or log-odds -> (M, L) float32, the points that are read nearest to them."""
        return _nearest(self.values, self.latents, values)

    def steps_at(self, value: float) -> FloatArray:
        """(A,) float32: how far the face is moved along each direction where it is read as `value`."""
        return np.asarray(_nearest(self.values, self.steps, value)[0])


def attribute_path(
    model: FaceFeatureModel,
    faces: Portraits,
    name: str,
    *,
    method: str = "means",
    limit: float | None = None,
) -> list[AttributePath]:
    """The path of each face along an ordered attribute, or between the two classes of another; the rest is kept.

    faces: as of `Portraits.of`. method, limit: as of `latent.edit.edit`. Raises InputError for an attribute with more
    than two classes, PresetError where the model has no directions.
    """
    attribute = model.schema[name]
    before = model.predict_faces(faces.crops)
    if attribute.axis is not None:
        now = value_of(attribute, before)
        goals = [Goal(attribute, now, origin=now)]
        return ordered_paths(model, faces, goals, before, method=method, limit=limit)
    if len(attribute.groups) != 2:
        raise InputError(f"{name} has {len(attribute.groups)} classes; a path is between two, or along an order.")
    return _paths_between(model, faces, attribute, before, method=method, limit=limit)


def ordered_paths(
    model: FaceFeatureModel,
    faces: Portraits,
    goals: Sequence[Goal],
    before: FaceBatch,
    *,
    method: str = "means",
    limit: float | None = None,
    sides: np.ndarray | None = None,
) -> list[AttributePath]:
    """The path of each of N faces along the first goal, an ordered attribute, with the other goals met all along.

    sides: (N,) signs: 1 for upward only, -1 for downward only, 0 for both, as where it is not given. The other
    arguments as of `traverse_keeping`.
    """
    first = goals[0].attribute
    now = value_of(first, before)
    alone = len(goals) == 1
    stops = [_stops(first, v, s) for v, s in zip(now, np.zeros(len(now)) if sides is None else sides, strict=True)]
    if not alone:  # the other goals move the face where it begins, too
        stops = [np.sort(np.append(s, v)) for s, v in zip(stops, now, strict=True)]
    rows = np.repeat(np.arange(len(now)), [len(s) for s in stops])
    targets = np.concatenate([*stops, np.zeros(0)])
    own = [replace(goals[0], target=targets, origin=now[rows]), *(g.of(rows) for g in goals[1:])]
    found = traverse_keeping(model, faces.take(rows), own, before.take(rows), method=method, limit=limit)
    reads, off = value_of(first, found.predictions), np.abs(value_of(first, found.predictions) - targets)
    parts = []
    for i, value in enumerate(now):
        mine = rows == i
        values, latents, steps, far = reads[mine], found.latents[mine], found.steps[mine], off[mine]
        if alone:
            place = int(np.searchsorted(targets[mine], value))
            values, far = np.insert(values, place, value), np.insert(far, place, 0.0)
            latents = np.insert(latents, place, faces.latents[i], axis=0)
            steps = np.insert(steps, place, 0.0, axis=0)
            origin = place
        else:
            origin = int(np.argmin(np.abs(targets[mine] - value)))
        parts.append(_Points(values, latents, steps, far, origin))
    return _verified(model, faces, first, parts)


@dataclass(frozen=True)
class _Points:
    """Points of one face in the order in which they were sought.

    values: what is read. off: how far that is from what was sought. origin: which one the path begins at.
    """

    values: np.ndarray
    latents: np.ndarray
    steps: np.ndarray
    off: np.ndarray
    origin: int

    def rising(self, least: float) -> _Points:
        """Those that rise, each by `least` at least, on both sides of the origin, which stays."""
        below = _longest(-self.values[self.origin :: -1], self.off[self.origin :: -1], least)
        above = _longest(self.values[self.origin :], self.off[self.origin :], least)
        chosen = np.unique([*(self.origin - np.array(below)), *(self.origin + np.array(above))]).astype(int)
        origin = int(np.flatnonzero(chosen == self.origin)[0])
        return _Points(self.values[chosen], self.latents[chosen], self.steps[chosen], self.off[chosen], origin)

    def with_middles(self, values: np.ndarray) -> _Points:
        """And those in the middle between two, with what is read there."""
        k = len(self.values)
        order = np.argsort(np.concatenate([np.arange(k), np.arange(k - 1) + 0.5]))
        wanted = (self.values[1:] + self.values[:-1]) / 2

        def joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return np.asarray(np.concatenate([a, b])[order])

        return _Points(
            joined(self.values, values),
            joined(self.latents, middles(self.latents)),
            joined(self.steps, middles(self.steps)),
            joined(self.off, np.abs(values - wanted)),
            int(np.flatnonzero(order == self.origin)[0]),
        )


def middles(points: np.ndarray) -> np.ndarray:
    """(K, D) -> (K - 1, D): half way between each two."""
    return np.asarray((points[1:] + points[:-1]) / 2)


def _verified(
    model: FaceFeatureModel, faces: Portraits, attribute: Attribute, parts: Sequence[_Points]
) -> list[AttributePath]:
    """The rising points of each face, with those half way between them, which the model has read, too."""
    least = attribute.axis.near / 4 if attribute.axis is not None else 0.1
    rising = [p.rising(least) for p in parts]
    for _ in range(_HALVED):
        counts = [len(p.values) - 1 for p in rising]
        rows = np.repeat(np.arange(len(parts)), counts)
        if not len(rows):
            break
        between = np.concatenate([middles(p.latents) for p in rising]).astype("float32")
        batch = model.predict_faces(faces.restore(model.decode(between), rows))
        reads = np.split(reading(attribute, batch), np.cumsum(counts)[:-1])
        rising = [p.with_middles(r).rising(least) for p, r in zip(rising, reads, strict=True)]
    return [
        AttributePath(
            attribute.name,
            p.values.astype("float64"),
            p.latents.astype("float32"),
            p.steps.astype("float32"),
            float(p.values[p.origin]),
        )
        for p in rising
    ]


def _paths_between(
    model: FaceFeatureModel,
    faces: Portraits,
    attribute: Attribute,
    before: FaceBatch,
    *,
    method: str,
    limit: float | None,
) -> list[AttributePath]:
    first, second = attribute.groups
    now = reading(attribute, before)
    origin = np.asarray(before.labels[attribute.name])
    reads: list[np.ndarray] = []
    latents, steps, aims = [], [], []
    for aim in _AIMS:
        label, p = (second, aim) if aim >= 0.5 else (first, 1 - aim)
        goal = Goal(attribute, np.zeros(len(faces)), label, enough=max(0.02, p - 0.02), aim=p, origin=origin)
        found = traverse_keeping(model, faces, [goal], before, method=method, limit=limit)
        sign = 1 if label == second else -1
        reads.append(reading(attribute, found.predictions))
        latents.append(found.latents)
        steps.append(sign * found.steps)
        aims.append(float(np.log(aim / (1 - aim))))
    parts = []
    for i, value in enumerate(now):
        place = int(np.searchsorted(aims, value))
        values = np.insert([r[i] for r in reads], place, value)
        parts.append(
            _Points(
                values,
                np.insert(np.stack([z[i] for z in latents]), place, faces.latents[i], axis=0),
                np.insert(np.stack([s[i] for s in steps]), place, 0.0, axis=0),
                np.abs(values - np.insert(aims, place, value)),
                place,
            )
        )
    return _verified(model, faces, attribute, parts)


def reading(attribute: Attribute, batch: FaceBatch) -> np.ndarray:
    """(N,) float64, the place of faces on a path: years, positions, or log-odds of the second of two classes."""
    if attribute.axis is not None:
        return value_of(attribute, batch)
    return Goal(attribute, np.zeros(len(batch)), attribute.groups[1]).predicted(batch)


def _stops(attribute: Attribute, now: float, side: float) -> np.ndarray:
    """(K,) what points are sought for, rising: even steps from what is read now to the ends of the axis, and these."""
    axis = attribute.axis
    assert axis is not None
    step = max(2 * axis.reach, (axis.high - axis.low) / _STOPS)
    up = np.append(np.arange(now + step, axis.high - step / 2, step), axis.high) if side >= 0 else np.zeros(0)
    down = np.append(np.arange(now - step, axis.low + step / 2, -step), axis.low) if side <= 0 else np.zeros(0)
    return np.concatenate([down[::-1][down[::-1] < now], up[up > now]])


def _longest(values: np.ndarray, off: np.ndarray, least: float) -> list[int]:
    """Of all runs of places that begin with 0 and whose values rise by `least` each time, the longest.

    Of equally long ones, that with the least sum of `off`.
    """
    best: list[tuple[int, float, int]] = [(1, 0.0, -1)]
    for j in range(1, len(values)):
        can = [
            (best[i][0] + 1, best[i][1] - off[j], i) for i in range(j) if best[i][0] and values[j] >= values[i] + least
        ]
        best.append(max(can) if can else (0, 0.0, -1))
    at = max(range(len(best)), key=lambda i: best[i][:2])
    run = [at]
    while best[run[-1]][2] >= 0:
        run.append(best[run[-1]][2])
    return run[::-1]


def _nearest(knots: np.ndarray, points: np.ndarray, at: np.ndarray | float) -> FloatArray:
    """(K, D) points at (K,) rising knots -> (M, D) float32, those nearest to `at`: each was read, none between them."""
    wanted = np.atleast_1d(np.asarray(at, "float64"))
    right = np.clip(np.searchsorted(knots, wanted), 1, max(1, len(knots) - 1))
    right = np.minimum(right, len(knots) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.where(np.abs(wanted - knots[left]) <= np.abs(knots[right] - wanted), left, right)
    return np.asarray(points[nearer], "float32")
