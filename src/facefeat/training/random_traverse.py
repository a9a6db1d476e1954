"""Features moved at random as an edit moves them: a decoder is trained on what it will be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers, ops

from facefeat.errors import InputError
from facefeat.latent.fit_directions import directions_of

if TYPE_CHECKING:
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.schema import Attribute, Schema


@dataclass(frozen=True)
class ClassShifts:
    """How faces of an attribute's K classes are moved to another class. All arrays are float32.

    weights (R, D), offsets (R,): its linear probes, one per class, or one of years or positions, which `bounds`
    (K - 1,) part into classes. table: (K, K, D), from a class to another: a shift one standard deviation
    long; zero to itself.
    """

    weights: np.ndarray
    offsets: np.ndarray
    bounds: np.ndarray
    table: np.ndarray


def class_shifts(features: np.ndarray, targets: Mapping[str, np.ndarray], schema: Schema) -> tuple[ClassShifts, ...]:
    """The shifts of each attribute that the features predict, by the method "means" of `LatentDirections.toward`.

    For features and targets see `latent.directions.directions_of`. Raises DataError, or InputError where nothing
    can be moved alone.
    """
    found = directions_of(features, targets, schema, features.shape[1])
    made = [w for a in schema.attributes.values() if (w := _shifts(found, a)) is not None and w.table.any()]
    if not made:
        raise InputError("the features of these faces predict no attribute: traverse must be 0.")
    return tuple(made)


def _shifts(found: LatentDirections, attribute: Attribute) -> ClassShifts | None:
    names = [c for a, c in found.groups if a == attribute.name]
    rows = [i for i, (a, _) in enumerate(found.probes) if a == attribute.name]
    if not rows:  # the faces were of one class
        return None
    try:
        found.shifts(rows[:1])
    except InputError:  # the features do not predict it
        return None
    places, bounds = np.array(names), np.zeros(0)
    axis = attribute.axis
    if axis is not None:
        places = np.array([axis.positions[attribute.groups.index(c)] for c in names], "float64")
        bounds = (places[1:] + places[:-1]) / 2
    table = np.zeros((len(names), len(names), found.feature_dim))
    for i, origin in enumerate(places):
        shifts, lengths, there = found.toward(attribute, np.full(len(names), origin), places)
        signs = np.where(places < origin, -1, 1) if axis is not None else np.ones(len(names))
        there[i] = False
        table[i, there] = (signs / lengths)[there, None] * shifts[there]
    arrays = found.weights[rows], found.offsets[rows], bounds, table
    return ClassShifts(*(np.asarray(a, "float32") for a in arrays))


class RandomTraverse(layers.Layer):
    """Features (B, D) -> (B, D) float32 shifts: each face goes towards another class of an attribute, both at random.

    It goes 0 to `most` standard deviations far, from the class that the probes give it. Outside training nothing is
    moved.
    """

    def __init__(self, shifts: Sequence[ClassShifts], most: float, *, seed: int) -> None:
        super().__init__(name="random_traverse", dtype="float32")
        self.shifts, self.most = tuple(shifts), most
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, shape: Any) -> Any:
        return tuple(shape)

    def call(self, features: Any, training: bool = False) -> Any:
        features = ops.cast(features, "float32")
        if not training:
            return ops.zeros_like(features)
        rows = ops.shape(features)[0]
        drawn = keras.random.uniform((rows, 3), seed=self.generator)
        chosen = ops.cast(drawn[:, 0] * len(self.shifts), "int32")
        out = ops.zeros_like(features)
        for i, one in enumerate(self.shifts):
            classes = len(one.table)
            # Any class but its own: 1 to K - 1 places on.
            to = ops.mod(_class_of(features, one) + 1 + ops.cast(drawn[:, 1] * (classes - 1), "int32"), classes)
            table = ops.convert_to_tensor(one.table.reshape(classes * classes, -1))
            shift = ops.take(table, _class_of(features, one) * classes + to, axis=0)
            out += shift * ops.cast(chosen == i, "float32")[:, None]
        return self.most * drawn[:, 2:] * out


def _class_of(features: Any, shifts: ClassShifts) -> Any:
    """(B, D) -> (B,) int32: which class the probes see."""
    read = ops.matmul(features, ops.convert_to_tensor(shifts.weights.T)) + shifts.offsets
    if len(shifts.offsets) > 1:
        return ops.cast(ops.argmax(read, axis=1), "int32")
    return ops.sum(ops.cast(read > ops.convert_to_tensor(shifts.bounds)[None], "int32"), axis=1)
