"""Editing: a face with one attribute or several changed, and all else kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.latent.goals import Goal, check_changes, class_goal, value_of
from facefeat.latent.interpolate import latent_path
from facefeat.latent.keeping import traverse_keeping
from facefeat.latent.paths import ordered_paths
from facefeat.latent.portraits import Portraits
from facefeat.latent.traverse import Traversal

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceBatch, FloatArray, UInt8Array


@dataclass(frozen=True, eq=False)
class Edit:
    """N faces, edited.

    Attributes:
        crops: (N, S, S, 3) uint8, the edited faces as the model sees them.
        reached: (N,) bool, whether the head predicts all that was asked.
        predictions: what the head predicts from `crops`.
        before: what it predicts from the given faces.
        asked: attribute -> the class, or (N,) float32 years (or positions) that it is to predict.
        steps: attribute -> (N,) float32, how far along its direction, in standard deviations.
        values: of each ordered attribute that was asked: (2, N) float32 years or positions, before and after.
        ranges: of an ordered attribute that was asked (the first of several): (2, N) float32, the least and the most
            that each face can be made to be read as on the side that was asked. Beyond it, reading stops rising.
        latents: (N, L) float32, of the edited faces.
        faces: the given faces, with their latents.

    Example:
        >>> edit = model.edit(model.align("photo.jpg"), {"age": +20, "gender": "Female"})
        >>> edit.reached, edit.sentence(0)
        >>> edit.save("older.png")
    """

    crops: UInt8Array
    reached: np.ndarray
    predictions: FaceBatch
    before: FaceBatch
    asked: Mapping[str, str | FloatArray]
    steps: Mapping[str, FloatArray]
    values: Mapping[str, FloatArray]
    ranges: Mapping[str, FloatArray]
    latents: FloatArray
    faces: Portraits
    model: FaceFeatureModel = field(repr=False)

    def __len__(self) -> int:
        return len(self.crops)

    @cached_property
    def pictures(self) -> UInt8Array:
        """(N, T, T, 3) uint8: the edited faces, as large and as sharp as the given ones were cut."""
        if self.faces.size == self.crops.shape[1]:
            return self.crops
        return self.faces.restore(self.model.decode(self.latents), np.arange(len(self)), large=True)

    def path(self, row: int, steps: int) -> FloatArray:
        """(steps, L) latents from the reconstruction of one face to what it became."""
        return latent_path(np.stack([self.faces.latents[row], self.latents[row]]), steps, easing="none")

    def strip(self, steps: int = 4) -> UInt8Array:
        """A picture with a row for each face: photo, reconstruction, the steps to the edited face, predictions below.

        steps: faces after the reconstruction; the last is the edited one.
        """
        from facefeat.image.video import contact_sheet, enlarge, with_text_below
        from facefeat.latent.captions import caption_below

        names = ["photo", "reconstruction", *(f"step {i}" for i in range(1, steps)), "edited"]
        pictures, texts = [], []
        for row in range(len(self)):
            decoded = self.model.decode(self.path(row, steps + 1))
            rows = np.full(steps, row)
            crops = self.faces.restore(decoded[1:], rows)
            crops[-1] = self.crops[row]
            shown = self.faces.restore(decoded[1:], rows, large=True)
            batch = self.model.predict_faces(np.concatenate([self.faces.crops[[row]], decoded[:1], crops]))
            pictures += [self.faces.large[[row]], enlarge(decoded[:1], self.faces.size), shown]
            texts += ["\n".join([name, *caption_below(batch, i)]) for i, name in enumerate(names)]
        return contact_sheet(with_text_below(np.concatenate(pictures), texts), columns=len(names))

    def save(self, output: str | Path, *, strip: int = 0) -> Path:
        """Write the edited faces as one .png or .jpg picture.

        strip: steps of `strip`, which is written then; 0 for the edited faces alone. Raises InputError where it cannot
        be written, or there is no face.
        """
        from facefeat.image.video import contact_sheet, write_picture

        if not len(self):
            raise InputError("there are no faces to write.")
        if strip:
            return write_picture(self.strip(strip), Path(output))
        return write_picture(self.pictures[0] if len(self) == 1 else contact_sheet(self.pictures), Path(output))

    def sentence(self, row: int, *, steps: bool = True) -> str:
        """What became of one face, such as "age 31 to 50 (asked 51): reached at +1.9 standard deviations".

        steps: say how far the face was moved, too.
        """
        parts = []
        before, after = self.before, self.predictions
        for name, asked in self.asked.items():
            if isinstance(asked, str):
                p = float(after.probabilities[name][row][after.classes[name].index(asked)])
                said = f"{before.labels[name][row]} to {after.labels[name][row]} ({asked} {p:.0%})"
            else:
                was, now = (float(v) for v in self.values[name][:, row])
                said = f"{was:.0f} to {now:.0f} (asked {float(asked[row]):.0f})"
            parts.append(f"{name} {said}")
        far = ", ".join(f"{float(s[row]):+.1f}" for s in self.steps.values())
        how = f" at {far} standard deviations" if steps else ""
        end = "reached" if self.reached[row] else "not reached"
        ends = "".join(
            f"; its {name} can be read as {float(low[row]):.0f} to {float(high[row]):.0f} that way"
            for name, (low, high) in self.ranges.items()
            if not self.reached[row]
        )
        return f"{', '.join(parts)}: {end}{how}{ends}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; crops and latents are left out."""
        return {
            "reached": [bool(v) for v in self.reached],
            "asked": {k: v if isinstance(v, str) else [float(x) for x in v] for k, v in self.asked.items()},
            "steps": {k: [round(float(x), 4) for x in v] for k, v in self.steps.items()},
            "ranges": {k: [[round(float(x), 2) for x in end] for end in v] for k, v in self.ranges.items()},
            "before": self.before.to_dict(),
            "predictions": self.predictions.to_dict(),
        }


def edit(
    model: FaceFeatureModel,
    crops: UInt8Array,
    changes: Mapping[str, Any],
    large: UInt8Array | None = None,
    *,
    method: str = "means",
    limit: float | None = None,
    residual: bool = True,
) -> Edit:
    """Change (N, H, W, 3) uint8 crops until the head of the model predicts what is asked: `FaceFeatureModel.edit`.

    The other attributes are kept as they were predicted, as far as that goes. Along an ordered attribute a face goes
    its `AttributePath`: more years asked are never read as fewer, and where that path ends, so does the edit
    (`Edit.ranges`).

    Args:
        changes: attribute -> a signed number for an ordered one: years where it has any (+20), else classes; the class
            for another, or (class, probability) where that probability is wanted: 0.9 is aimed at otherwise, and a half
            is enough. An age is reached within 2 years, counted from what the head predicts of the given crop; ages end
            where the schema's years do.
        large: (N, T, T, 3) uint8, the same faces cut larger, for `Edit.pictures`.
        method: "means", each face's own direction between the means of faces, see `LatentDirections.toward`; or "least"
            or "orthogonal", one direction for all, see `LatentDirections.shifts`.
        limit: standard deviations that a face may be moved along each direction, 6 along an ordered attribute and 4
            toward a class where it is None; where that is not enough, `reached` says so and `predictions` how far it
            got.
        residual: whether what decoding loses of a face is restored where the edit changes little (`Portraits.restore`),
            so that it stays as sharp as it was, and who it was; else the edited faces are what their latents decode to.

    Raises:
        InputError: for an unknown attribute or class, or a value that does not fit it.
        PresetError: where the model has no decoder or no directions.
    """
    requests = check_changes(model.schema, changes)
    faces = Portraits.of(model, crops, large, residual=residual)
    before, n = model.predict_faces(faces.crops), len(faces)
    goals = []
    for attribute, value, least in requests:
        if isinstance(value, str):
            origin = np.asarray(before.labels[attribute.name])
            goals.append(replace(class_goal(attribute, value, least, n), origin=origin))
            continue
        now = value_of(attribute, before)
        assert attribute.axis is not None  # or the value would be a class
        goals.append(Goal(attribute, np.clip(now + value, attribute.axis.low, attribute.axis.high), origin=now))
    found, ranges = _found(model, faces, goals, before, method=method, limit=limit)
    names = [g.attribute.name for g in goals]
    return Edit(
        crops=found.crops,
        reached=found.reached,
        predictions=found.predictions,
        before=before,
        asked={g.attribute.name: g.label or g.target.astype("float32") for g in goals},
        steps=dict(zip(names, found.steps.T, strict=True)),
        values={
            g.attribute.name: np.stack([value_of(g.attribute, b) for b in (before, found.predictions)], dtype="float32")
            for g in goals
            if not g.label
        },
        ranges=ranges,
        latents=found.latents,
        faces=faces,
        model=model,
    )


def _found(
    model: FaceFeatureModel,
    faces: Portraits,
    goals: Sequence[Goal],
    before: FaceBatch,
    *,
    method: str,
    limit: float | None,
) -> tuple[Traversal, dict[str, FloatArray]]:
    """The edited faces, and the ranges of `Edit`."""
    ordered = [g for g in goals if g.attribute.axis is not None]
    if not ordered or not len(faces):
        return traverse_keeping(model, faces, list(goals), before, method=method, limit=limit), {}
    first = ordered[0]
    order = [first, *(g for g in goals if g is not first)]
    sides = np.sign(first.target - value_of(first.attribute, before))
    paths = ordered_paths(model, faces, order, before, method=method, limit=limit, sides=sides)
    latents = np.concatenate([p.at(t) for p, t in zip(paths, first.target, strict=True)])
    steps = np.stack([p.steps_at(t) for p, t in zip(paths, first.target, strict=True)])
    crops = faces.restore(model.decode(latents), np.arange(len(faces)))
    batch, reached = model.predict_faces(crops), np.ones(len(faces), bool)
    for goal in goals:
        reached &= goal.reached(batch)
    place = [next(i for i, g in enumerate(order) if g is goal) for goal in goals]
    ends = np.array([[p.low for p in paths], [p.high for p in paths]], "float32")
    return Traversal(latents, crops, batch, steps[:, place], reached), {first.attribute.name: ends}
