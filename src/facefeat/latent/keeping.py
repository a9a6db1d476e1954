"""Traverses latents with the attributes that nobody asked for kept as they were predicted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.latent.goals import ENOUGH, KEPT_LIKELY, Goal, value_of
from facefeat.latent.traverse import Traversal, traverse
from facefeat.presets.latent_directions import check_method

if TYPE_CHECKING:
    from facefeat.latent.portraits import Portraits
    from facefeat.model import FaceFeatureModel
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.schema import Attribute, Schema
    from facefeat.types import FaceBatch


def traverse_keeping(
    model: FaceFeatureModel, faces: Portraits, goals: list[Goal], before: FaceBatch, *, method: str, limit: float | None
) -> Traversal:
    """`traverse` from the latents of the faces, with the attributes that are not asked kept as they were predicted.

    A shift leaves their linear probes unchanged, but drawing a face changes what the head predicts a little, and the
    head is more than linear. Faces of the same predicted classes are traversed together.
    """
    directions = model.directions
    if not len(faces):
        return traverse(model, directions, faces.latents, goals, method=method, limit=limit)
    check_method(method)
    kept = _kept(model.schema, directions, before, {g.attribute.name for g in goals}, method)
    classes = [a for a in kept if a.axis is None]
    groups: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(faces)):
        groups.setdefault(tuple(str(before.labels[a.name][i]) for a in classes), []).append(i)
    parts = []
    for labels, rows in groups.items():
        keep = [
            Goal(a, np.zeros(len(rows)), label, ENOUGH, KEPT_LIKELY) for a, label in zip(classes, labels, strict=True)
        ]
        keep += [
            Goal(a, was[rows], origin=was[rows]) for a in kept if a.axis is not None for was in (value_of(a, before),)
        ]
        some, own = faces.take(rows), [g.of(rows) for g in goals]
        options: dict[str, Any] = {"keep": keep, "faces": some, "method": method, "limit": limit}
        parts.append(traverse(model, directions, some.latents, own, **options))
    order = np.argsort(np.concatenate(list(groups.values())))
    joined = {
        k: np.concatenate([getattr(p, k) for p in parts])[order] for k in ("latents", "crops", "steps", "reached")
    }
    return Traversal(predictions=model.predict_faces(joined["crops"]), **joined)


def _kept(
    schema: Schema, directions: LatentDirections, before: FaceBatch, asked: Collection[str], method: str
) -> list[Attribute]:
    """The attributes that were not asked and can be kept: the latents predict all classes that the head predicts."""
    out = []
    for attribute in schema.attributes.values():
        if attribute.name in asked:
            continue
        try:
            for label in [""] if attribute.axis is not None else sorted(set(before.labels[attribute.name])):
                directions.shifts([directions.row(attribute.name, label)], method)
        except InputError:  # no such probe, or none that can be moved alone: then it is not kept
            continue
        out.append(attribute)
    return out
