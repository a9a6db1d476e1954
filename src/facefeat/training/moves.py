"""Features moved as an edit moves them, at random: what a decoder will be asked for, it is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers, ops

from facefeat.errors import InputError
from facefeat.latent.directions import directions_of

if TYPE_CHECKING:
    from facefeat.schema import Schema
    from facefeat.types import FloatArray


def ways_of(
    features: np.ndarray, labels: Mapping[str, np.ndarray], years: np.ndarray, schema: Schema
) -> tuple[FloatArray, FloatArray]:
    """(R, D) float32, the shift of one standard deviation along each readout, and (R,) float32 how often it is drawn.

    For features, labels and years see `latent.directions.directions_of`, for the shifts the method "least" of
    `LatentDirections.shifts`. Every attribute is drawn as often as another, and so is every class of one.
    Raises DataError, or InputError where nothing can be moved alone.
    """
    found = directions_of(features, labels, years, schema, features.shape[1])
    made, names = [], []
    for row, (name, _) in enumerate(found.readouts):
        try:
            shift, length = found.shifts([row])
        except InputError:  # of an attribute that the features do not tell
            continue
        made.append(shift[0] / length[0])
        names.append(name)
    if not made:
        raise InputError("the features of these faces tell no attribute apart from the others: moves must be 0.")
    often = [1 / (len(set(names)) * names.count(n)) for n in names]
    return np.stack(made).astype("float32"), np.asarray(often, "float32")


class RandomMoves(layers.Layer):
    """Features (B, D) -> (B, D) float32 shifts, each along one of the ways, -most to most standard deviations far.

    ways: (R, D), often: (R,), of `ways_of`. Outside training nothing is moved.
    """

    def __init__(self, ways: np.ndarray, often: np.ndarray, most: float, *, seed: int) -> None:
        super().__init__(name="random_moves", dtype="float32")
        self.ways, self.most = np.asarray(ways, "float32"), most
        self.bounds = np.cumsum(np.asarray(often, "float64"))[:-1].astype("float32")
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, shape: Any) -> Any:
        return tuple(shape)

    def call(self, features: Any, training: bool = False) -> Any:
        features = ops.cast(features, "float32")
        if not training:
            return ops.zeros_like(features)
        rows = ops.shape(features)[0]
        drawn = keras.random.uniform((rows, 1), seed=self.generator)
        way = ops.sum(ops.cast(drawn > ops.convert_to_tensor(self.bounds)[None], "int32"), axis=1)
        far = keras.random.uniform((rows, 1), -self.most, self.most, seed=self.generator)
        return far * ops.take(ops.convert_to_tensor(self.ways), way, axis=0)
