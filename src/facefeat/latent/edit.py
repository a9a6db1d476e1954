"""Editing: a face with one attribute or several changed, and all else kept."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.latent.interpolate import latent_path
from facefeat.latent.residual import Residual
from facefeat.latent.traverse import ENOUGH, KEPT_LIKELY, LIKELY, LIMIT, Goal, Walked, value_of, walk
from facefeat.presets.latent_directions import check_method

if TYPE_CHECKING:
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.schema import Attribute, Schema
    from facefeat.types import FaceBatch, FloatArray, UInt8Array


@dataclass(frozen=True)
class Edited:
    """N faces, edited.

    crops: (N, S, S, 3) uint8. reached: (N,) bool, whether the head reads all that was asked.
    asked: attribute -> the class, or (N,) float32 years (or positions) that it is to be read as.
    steps: attribute -> (N,) float32, how far along its direction, in standard deviations.
    read: "before" and "after" -> what the head reads from the given crops, and from the edited.
    values: of each ordered attribute that was asked: (2, N) float32 years or positions, before and after.
    start, latents: (N, L) float32, of the given faces and of the edited.
    residual: what was put back into what the latents decode to; None where it was not asked.
    """

    crops: UInt8Array
    reached: np.ndarray
    asked: Mapping[str, str | FloatArray]
    steps: Mapping[str, FloatArray]
    read: Mapping[str, FaceBatch]
    values: Mapping[str, FloatArray]
    start: FloatArray
    latents: FloatArray
    residual: Residual | None = None

    def __len__(self) -> int:
        return len(self.crops)

    def path(self, row: int, steps: int) -> FloatArray:
        """(steps, L) latents from the reconstruction of one face to what it became."""
        return latent_path(np.stack([self.start[row], self.latents[row]]), steps)

    def draw(self, row: int, decoded: UInt8Array, crop: UInt8Array | None = None) -> UInt8Array:
        """What the latents of a path of one face decode to, (M, S, S, 3) uint8 -> what the edit shows of them.

        crop: the same face cut larger, (T, T, 3) uint8: then (M, T, T, 3), where the residual is put back.
        """
        if self.residual is None:
            return decoded
        many = self.residual.of(np.full(len(decoded), row))
        return many.put_back(decoded, None if crop is None else np.stack([crop] * len(decoded)))

    def sentence(self, row: int) -> str:
        """What became of one face, such as "age 31 to 50 (asked 51): reached at +1.9 standard deviations"."""
        parts = []
        before, after = self.read["before"], self.read["after"]
        for name, asked in self.asked.items():
            if isinstance(asked, str):
                p = float(after.probabilities[name][row][after.classes[name].index(asked)])
                said = f"{before.labels[name][row]} to {after.labels[name][row]} ({asked} {p:.0%})"
            else:
                was, now = (float(v) for v in self.values[name][:, row])
                said = f"{was:.0f} to {now:.0f} (asked {float(asked[row]):.0f})"
            parts.append(f"{name} {said}")
        far = ", ".join(f"{float(s[row]):+.1f}" for s in self.steps.values())
        end = "reached" if self.reached[row] else "not reached"
        return f"{', '.join(parts)}: {end} at {far} standard deviations"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; crops and latents are left out."""
        return {
            "reached": [bool(v) for v in self.reached],
            "asked": {k: v if isinstance(v, str) else [float(x) for x in v] for k, v in self.asked.items()},
            "steps": {k: [round(float(x), 4) for x in v] for k, v in self.steps.items()},
            "read": {k: v.to_dict() for k, v in self.read.items()},
        }


def edit(
    model: Any,
    crops: UInt8Array,
    changes: Mapping[str, Any],
    *,
    method: str = "means",
    limit: float = LIMIT,
    residual: bool = True,
) -> Edited:
    """Change (N, S, S, 3) uint8 crops until the head of the model (a FaceFeatureModel) reads what is asked.

    The other attributes are kept as they were read, as far as that goes.

    changes: attribute -> a signed number for an ordered one: years where it has any (age +20), else classes; the class
    for another, or (class, probability) where that probability is wanted: 0.9 is aimed at otherwise, and a half is
    enough. An age is reached within 2 years, counted from what the head reads of the given crop; ages end where the
    schema's years do.
    method: "means", each face's own way between the means of faces, see `LatentDirections.toward`; or "least" or
    "orthogonal", one direction for all, see `LatentDirections.shifts`. limit: standard deviations that a face may be
    moved along each way; where that is not enough, `reached` says so and `read` how far it got.
    residual: whether what decoding loses of a face is put back into its edit where that changes little (`Residual`), so
    that it stays as sharp as it was, and who it was; else the edited faces are what their latents decode to.

    Raises InputError for an unknown attribute or class, or a value that does not fit it; PresetError where the model
    has no decoder or no directions.
    """
    asked = check_changes(model.schema, changes)
    model.require_decoder()
    directions = model.directions
    before = model.predict_faces(crops)
    n = len(crops)
    goals = []
    for attribute, value, least in asked:
        if isinstance(value, str):
            goals.append(
                replace(class_goal(attribute, value, least, n), origin=np.asarray(before.labels[attribute.name]))
            )
            continue
        now = value_of(attribute, before)
        grid = attribute.grid or range(len(attribute.classes))
        goals.append(Goal(attribute, np.clip(now + value, grid[0], grid[-1]), origin=now))
    start = model.encode(crops)
    lost = Residual(crops, model.decode(start)) if residual else None
    found = _walk_keeping(model, directions, start, goals, before, lost, method=method, limit=limit)
    names = [g.attribute.name for g in goals]
    return Edited(
        crops=found.crops,
        reached=found.reached,
        asked={g.attribute.name: g.label or g.target.astype("float32") for g in goals},
        steps=dict(zip(names, found.steps.T, strict=True)),
        read={"before": before, "after": found.read},
        values={
            g.attribute.name: np.stack([value_of(g.attribute, b) for b in (before, found.read)]).astype("float32")
            for g in goals
            if not g.label
        },
        start=start,
        latents=found.latents,
        residual=lost,
    )


def _kept(
    schema: Schema, directions: LatentDirections, before: FaceBatch, asked: Collection[str], method: str
) -> list[Attribute]:
    """The attributes that were not asked and can be kept: the latents tell all classes that were read of them."""
    out = []
    for attribute in schema.attributes.values():
        if attribute.name in asked:
            continue
        try:
            for label in [""] if attribute.ordered else sorted(set(before.labels[attribute.name])):
                directions.shifts([directions.row(attribute.name, label)], method)
        except InputError:  # no such readout, or none that can be moved alone: then it goes as it goes
            continue
        out.append(attribute)
    return out


def _walk_keeping(
    model: Any,
    directions: LatentDirections,
    start: FloatArray,
    goals: list[Goal],
    before: FaceBatch,
    residual: Residual | None,
    *,
    method: str,
    limit: float,
) -> Walked:
    """`walk` from (N, L) latents, with the attributes that are not asked kept as they were read.

    A shift leaves their linear readouts as they are, but drawing a face changes what the head reads of it a little, and
    what it reads is more than linear. Faces of one reading walk together.
    """
    if not len(start):
        return walk(model, directions, start, goals, method=method, limit=limit)
    check_method(method)
    kept = _kept(model.schema, directions, before, {g.attribute.name for g in goals}, method)
    classes = [a for a in kept if not a.ordered]
    together: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(start)):
        together.setdefault(tuple(str(before.labels[a.name][i]) for a in classes), []).append(i)
    parts = []
    for labels, rows in together.items():
        keep = [
            Goal(a, np.zeros(len(rows)), label, ENOUGH, KEPT_LIKELY) for a, label in zip(classes, labels, strict=True)
        ]
        keep += [
            Goal(a, years[rows], origin=years[rows]) for a in kept if a.ordered for years in (value_of(a, before),)
        ]
        mine = [g.of(rows) for g in goals]
        lost = None if residual is None else residual.of(rows)
        parts.append(walk(model, directions, start[rows], mine, keep=keep, residual=lost, method=method, limit=limit))
    order = np.argsort(np.concatenate(list(together.values())))
    whole = {n: np.concatenate([getattr(p, n) for p in parts])[order] for n in ("latents", "crops", "steps", "reached")}
    return Walked(read=model.predict_faces(whole["crops"]), **whole)


def class_goal(attribute: Attribute, label: str, least: float | None, n: int) -> Goal:
    """The goal of a class for n faces. least: the probability that is asked for, None where none is."""
    if least is None:
        return Goal(attribute, np.zeros(n), label, ENOUGH, LIKELY)
    # A little further than asked, so that what is reached is not just missed.
    return Goal(attribute, np.zeros(n), label, least, least + 0.25 * (1 - least))


def check_changes(schema: Schema, changes: Mapping[str, Any]) -> list[tuple[Attribute, float | str, float | None]]:
    """For each change the attribute, the step or the class's own name, and the probability asked for, if any.

    Raises InputError for what is not in the schema, or does not fit it.
    """
    if not changes:
        raise InputError(
            "nothing to change. Name an attribute and what it is to be, such as age=+20 or gender='Female'."
        )
    out: list[tuple[Attribute, float | str, float | None]] = []
    for name, value in changes.items():
        attribute = schema[name]
        if attribute.ordered:
            unit = "years" if attribute.years else "classes"
            out.append((attribute, number(value, f"{name} takes a step in {unit}, such as +20 or -5"), None))
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
