"""Fits the `LatentDirections` of a preset on the latents and labels of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.data.dataset import check_dataset
from facefeat.errors import DataError
from facefeat.image.quality import SIGNALS, signals_of
from facefeat.latent.analyze import latents_of
from facefeat.presets.latent_directions import LatentDirections, Name, as_stored
from facefeat.utils.linear_models import fit_classes, fit_value, scale_of

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.model import FaceFeatureModel
    from facefeat.schema import Attribute, Schema
    from facefeat.types import Axis
    from facefeat.utils.linear_models import Plane

LEAST = 10
"""Faces at least."""
COMPONENTS = 256
"""Of the bundled decoder's latents they hold 94 % of the variance; what `compose` draws lacks the rest."""
BLURRED = 0.25
"""The share of the faces that is left out, the least sharp: else synthetic faces are as blurred as old photos."""
FEW = 1000
"""Of fewer faces none is left out."""
AT_ONCE = 256


def fit_directions(model: FaceFeatureModel, dataset: FaceDataset) -> LatentDirections:
    """The directions of a model with a decoder, from the sharper faces of `dataset`; from all where they are few.

    Raises PresetError without a decoder; DataError for fewer than LEAST faces, or labels that do not differ.
    """
    features = model.decoder.feature_dim
    check_dataset(dataset, model.schema)
    crops = dataset.crops(model.image_size)  # before the labels: what cannot be read leaves the table
    if len(crops) < LEAST:
        raise DataError(f"directions need {LEAST} faces or more. Received: {len(crops)}, of {dataset.name!r}.")
    latents, targets = latents_of(model, crops), dataset.targets()
    if len(crops) >= FEW:
        parts = [
            signals_of(crops[i : i + AT_ONCE])[:, SIGNALS.index("sharpness")] for i in range(0, len(crops), AT_ONCE)
        ]
        sharp = np.nan_to_num(np.concatenate(parts), nan=-np.inf)
        kept = np.flatnonzero(sharp >= np.quantile(sharp, BLURRED))
        latents, targets = latents[kept], {name: target[kept] for name, target in targets.items()}
    return directions_of(latents, targets, model.schema, features)


def directions_of(
    latents: np.ndarray, targets: Mapping[str, np.ndarray], schema: Schema, features: int
) -> LatentDirections:
    """The directions of some latents.

    The probe of an attribute with an axis is a ridge regression; those of the classes of another are a logistic
    regression, each class against the mean of all. The covariance is shrunk (Ledoit and Wolf 2004), for latents may
    have more numbers than there are faces.

    Args:
        latents: (N, L), the first `features` of them attribute features.
        targets: attribute -> (N, T), its labels in the form of its kind.

    Raises:
        DataError: where no attribute has two classes.
    """
    from sklearn.covariance import ledoit_wolf

    z = np.asarray(latents, "float64")
    mean, scale = scale_of(z)
    x = z[:, :features]
    probes: list[Name] = []
    planes: list[tuple[np.ndarray, float]] = []
    groups: list[Name] = []
    group_means = []
    for name, attribute in schema.attributes.items():
        index = group_index(attribute, targets[name])
        known = np.flatnonzero(index >= 0)
        present = np.unique(index[known])
        groups += [(name, attribute.groups[k]) for k in present]
        if attribute.axis is not None or len(present) < 2:
            group_means += [z[index == k].mean(axis=0) for k in present]
        if len(present) < 2:
            continue
        if attribute.axis is not None:
            plane = fit_value(x[known], values_of(attribute, attribute.axis, targets[name])[known])
            probes.append((name, ""))
            planes.append((plane.weights, plane.offset))
            continue
        fitted = fit_classes(x[known], np.searchsorted(present, index[known]), len(present))
        group_means += _typical(z, x, index, present, fitted)
        # Of two classes one plane is 0: less their mean, all classes are treated alike.
        centre = np.mean([p.weights for p in fitted], axis=0), float(np.mean([p.offset for p in fitted]))
        for k, p in zip(present, fitted, strict=True):
            probes.append((name, attribute.groups[k]))
            planes.append((p.weights - centre[0], p.offset - centre[1]))
    if not probes:
        raise DataError(f"directions need faces of two classes of an attribute. Received: {len(z)} faces without.")
    weights = np.stack([w for w, _ in planes])  # (R, D)
    standard = (z - mean) / scale
    shrunk, _ = ledoit_wolf(standard[:, :features], assume_centered=True)
    spread = scale[:features]
    follow = spread[:, None] * (shrunk @ (spread[:, None] * weights.T))  # (D, R)
    values, vectors = np.linalg.eigh(standard.T @ standard / len(z))  # ascending
    top = slice(-1, -1 - min(COMPONENTS, len(z) - 1, len(values)), -1)
    components = (vectors[:, top] * np.sqrt(np.maximum(values[top], 0))).T * scale
    arrays = {
        "mean": mean, "spread": z.std(axis=0), "components": components, "weights": weights,
        "offsets": np.array([o for _, o in planes]), "follow": follow, "group_means": np.stack(group_means),
    }  # fmt: skip
    kept: dict[str, Any] = {k: np.asarray(v, "float32") for k, v in arrays.items()}
    kept["components"] = as_stored(kept["components"])
    return LatentDirections(probes=tuple(probes), groups=tuple(groups), faces=len(z), **kept)


def _typical(
    z: np.ndarray, x: np.ndarray, index: np.ndarray, present: np.ndarray, fitted: Sequence[Plane]
) -> list[np.ndarray]:
    """The mean latent (L,) of each class, of the faces that are predicted as what they are labelled.

    Of a class that is mostly mistaken for others, the mean of all faces is a face of the others: no goal for an edit.
    """
    predicted = present[np.argmax([plane(x) for plane in fitted], axis=0)]
    made = []
    for k in present:
        mine = index == k
        right = mine & (predicted == k)
        made.append(z[right if right.any() else mine].mean(axis=0))
    return made


def group_index(attribute: Attribute, targets: np.ndarray) -> np.ndarray:
    """(N,) int: the group of each face; -1 where unknown, or where it is in several."""
    members = attribute.strategy.members(attribute, targets)
    return np.where(members.sum(axis=1) == 1, members.argmax(axis=1), -1)


def values_of(attribute: Attribute, axis: Axis, targets: np.ndarray) -> np.ndarray:
    """(N,) float64 on the attribute's axis: the number where it is exact, else the middle of the group; NaN where
    unknown."""
    index, exact = group_index(attribute, targets), attribute.strategy.numbers(attribute, targets)
    middle = np.where(index >= 0, np.asarray(axis.positions)[index], np.nan)
    return np.where(np.isfinite(exact), exact, middle).astype("float64")
