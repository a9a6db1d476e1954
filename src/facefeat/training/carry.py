"""A decoder carried over to another classifier: it starts from what the features of the two have in common.

A decoder knows how to draw; of a classifier it knows only what each feature means. So what is new is guessed by ridge
regression of the old features on the new ones, and folded into every layer that reads latents; all else stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import TrainingError

if TYPE_CHECKING:
    from facefeat.decoding import FaceDecoder
    from facefeat.types import FloatArray

FACES = 4096
"""Faces that the regression sees at most."""


def can_carry(other: FaceDecoder, decoder: FaceDecoder) -> bool:
    """Whether the two differ in the number of features that they read, and in nothing else."""
    if (other.image_size, other.detail_dim) != (decoder.image_size, decoder.detail_dim):
        return False
    theirs, ours = _layers(other), _layers(decoder)
    return list(theirs) == list(ours) and all(
        _shapes(theirs[name], other) == _shapes(ours[name], decoder) for name in theirs
    )


def carry(other: FaceDecoder, features: FloatArray, decoder: FaceDecoder, new: FloatArray) -> dict[str, list[Any]]:
    """Part -> the weights with which `decoder` draws from `new` (N, D) nearly what `other` does from `features` (N, E).

    Both are the features of the same N faces, each of its own classifier.
    """
    from sklearn.linear_model import RidgeCV

    theirs, ours = _layers(other), _layers(decoder)
    scaled = []
    for layers, width, values in ((theirs, other.feature_dim, features), (ours, decoder.feature_dim, new)):
        scale = next((layer for layer in layers.values() if _is_scale(layer, width)), None)
        if scale is not None:
            mean, variance = scale.get_weights() if layers is theirs else (values.mean(axis=0), values.var(axis=0))
            values = (values - mean) / np.sqrt(variance + scale.epsilon)
        scaled.append(values)
    fitted = RidgeCV(np.logspace(-1, 4, 6)).fit(scaled[1], scaled[0])
    into, offset = fitted.coef_.T.astype("float32"), fitted.intercept_.astype("float32")  # (D, E), (E,)
    kept = [w.copy() for w in decoder.model.get_weights()]
    at = {id(w): i for i, w in enumerate(decoder.model.weights)}
    for name, layer in ours.items():
        given = theirs[name].get_weights()
        if _is_scale(layer, decoder.feature_dim):
            given = [new.mean(axis=0), new.var(axis=0)]
        elif _reads_latents(layer, decoder):
            kernel, *bias = given
            shift = offset @ kernel[: other.feature_dim]
            given = [np.concatenate([into @ kernel[: other.feature_dim], kernel[other.feature_dim :]])]
            given += [b + shift for b in bias]
        for variable, value in zip(layer.weights, given, strict=True):
            kept[at[id(variable)]] = value
    parts = {"decoder": kept}
    if other.detail_encoder is not None:
        parts["detail_encoder"] = other.detail_encoder.get_weights()
    return parts


def alike(features: FloatArray, new: FloatArray) -> bool:
    """Whether two classifiers give the same N faces the same features, but for the rounding of a preset."""
    if features.shape != new.shape:
        return False
    return float(np.mean((features - new) ** 2)) <= 1e-3 * float(np.mean(new.var(axis=0)))


def refuse(start: str, other: FaceDecoder, decoder: FaceDecoder) -> TrainingError:
    """The error for a decoder that neither fits nor can be carried over."""
    return TrainingError(
        f"start = {start!r}: its decoder {other.ref.name!r} {dict(other.ref.config)} for {other.feature_dim} features "
        f"has other weights than the recipe's {decoder.ref.name!r} {dict(decoder.ref.config)} for "
        f"{decoder.feature_dim}."
    )


def _layers(decoder: FaceDecoder) -> dict[str, Any]:
    return {layer.name: layer for layer in decoder.model.layers if layer.weights}


def _is_scale(layer: Any, width: int) -> bool:
    """Whether it is a normalisation of the features that has a mean and a variance and nothing else."""
    shapes = [tuple(w.shape) for w in layer.weights]
    return type(layer).__name__ == "BatchNormalization" and shapes == [(width,), (width,)]


def _reads_latents(layer: Any, decoder: FaceDecoder) -> bool:
    return type(layer).__name__ == "Dense" and layer.kernel.shape[0] == decoder.latent_dim


def _shapes(layer: Any, decoder: FaceDecoder) -> list[tuple[Any, ...]]:
    """The shapes of its weights, with a word in place of the number of features."""
    shapes: list[tuple[Any, ...]] = [tuple(w.shape) for w in layer.weights]
    if _is_scale(layer, decoder.feature_dim):
        return [("features",)] * 2
    if _reads_latents(layer, decoder):
        shapes[0] = ("latents", shapes[0][1])
    return shapes
