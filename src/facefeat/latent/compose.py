"""Composing: synthetic faces, from class means, directions and single coordinates of the latent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.data.dataset import check_dataset
from facefeat.errors import DataError, InputError
from facefeat.latent.analyze import latents_of
from facefeat.latent.goals import Goal, check_attributes, class_goal, class_of, number
from facefeat.latent.traverse import traverse
from facefeat.utils.neighbors import nearest

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.model import FaceFeatureModel
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.types import FaceBatch, FloatArray, UInt8Array

MOST = 1000
VARIETY = 0.8
"""How far the faces are from the typical one, as a share of how far real faces are. At 1 more of them are odd, and
no nearer to real ones in the features of a network that had no part in it (`benchmarks/faces.py`)."""
WIDEST = 2.0
FARTHEST = 20.0
"""Standard deviations of a coordinate that is set by hand."""


@dataclass(frozen=True, eq=False)
class Composition:
    """N synthetic faces.

    Attributes:
        crops: (N, S, S, 3) uint8.
        latents: (N, L) float32.
        predictions: what the head predicts from the crops.
        reached: (N,) bool, whether it predicts all that was asked.
        asked: attribute -> class, or years (or position).
        steps: attribute -> (N,) float32, how far it was moved from the class means, in standard deviations.
    """

    crops: UInt8Array
    latents: FloatArray
    predictions: FaceBatch
    reached: np.ndarray
    asked: Mapping[str, str | float]
    steps: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.crops)

    def save(self, output: str | Path, *, size: int = 192, nearest: Nearest | None = None) -> Path:
        """Write the faces as one .png or .jpg picture, with what is predicted below each.

        size: side of a face in pixels. nearest: of these faces (`nearest_faces`): each is then followed by the real
        ones, with their labels. Raises InputError where it cannot be written.
        """
        from facefeat.image.video import contact_sheet, enlarge, with_text_below, write_picture
        from facefeat.latent.captions import caption_below

        pictures, texts, columns = [], [], min(8, len(self))
        for i in range(len(self)):
            pictures.append(self.crops[i : i + 1])
            texts.append("\n".join(caption_below(self.predictions, i)))
            if nearest is not None:
                columns = 1 + nearest.rows.shape[1]
                pictures.append(nearest.crops[i])
                texts += [
                    "\n".join([f"real, at {distance:.1f}", *labels])
                    for distance, labels in zip(nearest.distances[i], nearest.labels[i], strict=True)
                ]
        frames = np.concatenate([enlarge(p, size) for p in pictures])
        return write_picture(contact_sheet(with_text_below(frames, texts), columns=columns), Path(output))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; crops are left out."""
        return {
            "latents": self.latents.tolist(),
            "predictions": self.predictions.to_dict(),
            "reached": [bool(v) for v in self.reached],
            "asked": dict(self.asked),
            "steps": {k: [round(float(x), 4) for x in v] for k, v in self.steps.items()},
        }


@dataclass(frozen=True, eq=False)
class Nearest:
    """Of each of N latents the k nearest faces of a data set, nearest first.

    Attributes:
        rows: (N, k) positions in its table.
        distances: (N, k) float64, coordinates counted in their standard deviations.
        crops: (N, k, S, S, 3) uint8.
        files: N times k names.
        labels: N times k times the classes that are known.
    """

    rows: np.ndarray
    distances: np.ndarray
    crops: UInt8Array
    files: tuple[tuple[str, ...], ...]
    labels: tuple[tuple[tuple[str, ...], ...], ...]


def compose(
    model: FaceFeatureModel,
    attributes: Mapping[str, Any],
    coordinates: Mapping[int, float],
    *,
    count: int = 1,
    seed: int = 0,
    variety: float = VARIETY,
) -> Composition:
    """Compose synthetic faces: `FaceFeatureModel.compose`.

    Each is drawn from the normal distribution of the latents of faces, given what is asked: the mean of all faces,
    for each attribute what the mean of its class differs by, and a draw along the principal components less what
    goes with those attributes. Then it moves on until the head predicts from the decoded face what was asked, as
    editing does. The mean alone would be a smooth face: that of nobody.

    Args:
        attributes: attribute -> years (or the position of the class) or a class for an ordered one; else a class, or
            (class, probability).
        coordinates: number of a coordinate (from 0) -> standard deviations from its mean, where it is held.
        count: faces; they differ at random (seed) in what is not asked.
        variety: how far they are from the typical face, 0 to WIDEST: 1 as far as real faces are, 0 that face itself.

    Raises:
        InputError: for an unknown attribute, class or coordinate, or a value that does not fit.
        PresetError: where the model has no decoder or no directions.
    """
    requests = check_attributes(model.schema, attributes)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise InputError(f"count must be a whole number from 1 to {MOST:,}. Received: {count!r}.")
    if isinstance(variety, bool) or not isinstance(variety, int | float) or not 0 <= variety <= WIDEST:
        raise InputError(f"variety must be a number from 0 to {WIDEST:g}. Received: {variety!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be a whole number from 0. Received: {seed!r}.")
    model.require_decoder()
    directions = model.directions
    held = coordinates_at(directions, coordinates)
    start = np.tile(directions.mean.astype("float64"), (count, 1))
    goals = []
    for attribute, value, least in requests:
        start += directions.group_mean(attribute.name, class_of(attribute, value)) - directions.mean
        if isinstance(value, str):
            goals.append(class_goal(attribute, value, least, count))
        else:
            goals.append(Goal(attribute, np.full(count, value), origin=np.full(count, value)))
    if variety:
        start += variety * draws(directions, [a.name for a, _, _ in requests], count, seed)
    found = traverse(model, directions, start.astype("float32"), goals, held=held)
    return Composition(
        crops=found.crops,
        latents=found.latents.astype("float32"),
        predictions=found.predictions,
        reached=found.reached,
        asked={a.name: v for a, v, _ in requests},
        steps=dict(zip([a.name for a, _, _ in requests], found.steps.T, strict=True)),
    )


def draws(directions: LatentDirections, asked: Collection[str], count: int, seed: int) -> np.ndarray:
    """(count, L) float64 draws from the normal distribution of latents about their mean, given the attributes asked.

    Given them: by the probes of those attributes, a draw is where the mean is.
    """
    components = directions.components.astype("float64")
    # One generator for each face, so that the same seed gives the same faces however many are asked for.
    drawn = np.stack([np.random.default_rng((seed, i)).normal(size=len(components)) for i in range(count)])
    rows = [i for i, (name, _) in enumerate(directions.probes) if name in asked]
    if rows:
        along = components[:, : directions.feature_dim] @ directions.weights[rows].T.astype("float64")  # (P, R)
        drawn -= drawn @ along @ np.linalg.pinv(along.T @ along) @ along.T
    return np.asarray(drawn @ components)


def coordinates_at(directions: LatentDirections, coordinates: Mapping[int, float]) -> dict[int, float]:
    """Coordinate -> the number that it is held at, from standard deviations. Raises InputError."""
    out = {}
    for coordinate, value in coordinates.items():
        last = directions.latent_dim - 1
        if isinstance(coordinate, bool) or not isinstance(coordinate, int | np.integer) or not 0 <= coordinate <= last:
            raise InputError(f"coordinates are whole numbers from 0 to {last}. Received: {coordinate!r}.")
        what = f"a coordinate takes standard deviations from its mean, at most {FARTHEST:g} either way"
        if abs(number(value, what)) > FARTHEST:
            raise InputError(f"{what}. Received: {value!r}.")
        out[int(coordinate)] = float(directions.mean[coordinate] + value * directions.spread[coordinate])
    return out


def check_nearest(model: FaceFeatureModel, dataset: FaceDataset, k: int) -> None:
    """Raises DataError for a data set of another schema, or with fewer faces than k, before the work."""
    check_dataset(dataset, model.schema)
    if len(dataset) < k:
        raise DataError(
            f"the data set {dataset.name!r} has {len(dataset)} faces, fewer than the {k} nearest asked for."
        )


def nearest_faces(model: FaceFeatureModel, latents: np.ndarray, dataset: FaceDataset, k: int = 5) -> Nearest:
    """The k faces of a data set whose latents are nearest to each of (N, L), as the analyzer `neighbours` finds them.

    Raises DataError for a data set of another schema, or with fewer faces.
    """
    check_nearest(model, dataset, k)
    crops = dataset.crops(model.image_size)
    check_nearest(model, dataset, k)  # again: those that cannot be decoded are no longer among them
    # A coordinate that hardly varies would else count for nothing, and one of large numbers for all.
    scale = np.maximum(model.directions.spread.astype("float64"), 1e-6)
    rows, distances = nearest(latents_of(model, crops) / scale, k, queries=np.asarray(latents) / scale)
    table = dataset.table
    files, labels = table["file"].astype(str).to_numpy(), table[list(dataset.schema.attributes)].astype(str).to_numpy()
    shown = np.stack([crops.take(r) for r in rows]) if len(rows) else np.zeros((0, k, *crops.shape[1:]), "uint8")
    return Nearest(
        rows,
        distances,
        shown,
        tuple(tuple(files[r]) for r in rows),
        tuple(tuple(tuple(c for c in labels[i] if c) for i in r) for r in rows),
    )
