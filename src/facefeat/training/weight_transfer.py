"""Weights of a preset as the start of a run: a backbone's unchanged, a decoder's also for another classifier.

A decoder knows how to draw; of a classifier it knows only what each feature means. So the new features are mapped to
the old ones by ridge regression, and the map is folded into every layer that reads latents. For crops of another
size, the map that it starts from and the map that its detail encoder ends with are stretched; all else stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import TrainingError

if TYPE_CHECKING:
    import keras

    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.types import FloatArray

Map = tuple[int, int, int]

FACES = 4096
"""Faces that the regression sees at most."""


def start_from(classifier: Classifier, preset: str) -> None:
    """Give the backbone the weights of a preset's backbone. Raises PresetError, TrainingError where they do not fit."""
    from facefeat.presets.store import find_preset, load_classifier

    other, _ = load_classifier(find_preset(preset))
    ours, theirs = classifier.backbone_model, other.backbone_model
    if [w.shape for w in ours.weights] != [w.shape for w in theirs.weights]:
        raise TrainingError(
            f"start = {preset!r}: its backbone {other.backbone.name!r} {dict(other.backbone.config)} has other weights "
            f"than the recipe's {classifier.backbone.name!r} {dict(classifier.backbone.config)}."
        )
    ours.set_weights(theirs.get_weights())


def can_transfer(other: FaceDecoder, decoder: FaceDecoder) -> bool:
    """Whether the two differ in the number of features that they read and in the crops' size, and in nothing else."""
    if other.detail_dim != decoder.detail_dim or list(other.parts) != list(decoder.parts):
        return False
    for kind, part in other.parts.items():
        theirs, ours = _layers(part), _layers(decoder.parts[kind])
        if list(theirs) != list(ours):
            return False
        if any(_shapes(part, theirs[n], other) != _shapes(decoder.parts[kind], ours[n], decoder) for n in theirs):
            return False
    return True


def transfer(other: FaceDecoder, features: FloatArray, decoder: FaceDecoder, new: FloatArray) -> dict[str, list[Any]]:
    """Part -> the weights with which `decoder` draws from `new` (N, D) nearly what `other` does from `features` (N, E).

    Both are the features of the same N faces, each of its own classifier.
    """
    from sklearn.linear_model import RidgeCV

    theirs, ours = _layers(other.model), _layers(decoder.model)
    scaled = []
    for layers, width, values in ((theirs, other.feature_dim, features), (ours, decoder.feature_dim, new)):
        scale = next((layer for layer in layers.values() if _is_scale(layer, width)), None)
        if scale is not None:
            mean, variance = scale.get_weights() if layers is theirs else (values.mean(axis=0), values.var(axis=0))
            values = (values - mean) / np.sqrt(variance + scale.epsilon)
        scaled.append(values)
    fitted = RidgeCV(np.logspace(-1, 4, 6)).fit(scaled[1], scaled[0])
    into, offset = fitted.coef_.T.astype("float32"), fitted.intercept_.astype("float32")  # (D, E), (E,)
    parts = {kind: _stretched(part, decoder.parts[kind]) for kind, part in other.parts.items()}
    kept = parts["decoder"]
    at = {id(w): i for i, w in enumerate(decoder.model.weights)}
    for layer in ours.values():
        given = [kept[at[id(w)]] for w in layer.weights]
        if _is_scale(layer, decoder.feature_dim):
            given = [new.mean(axis=0), new.var(axis=0)]
        elif _reads_latents(layer, decoder):
            kernel, *bias = given
            shift = offset @ kernel[: other.feature_dim]
            given = [np.concatenate([into @ kernel[: other.feature_dim], kernel[other.feature_dim :]])]
            given += [b + shift for b in bias]
        for variable, value in zip(layer.weights, given, strict=True):
            kept[at[id(variable)]] = value
    return parts


def alike(features: FloatArray, new: FloatArray) -> bool:
    """Whether two classifiers give the same N faces the same features, but for the rounding of a preset."""
    if features.shape != new.shape:
        return False
    return float(np.mean((features - new) ** 2)) <= 1e-3 * float(np.mean(new.var(axis=0)))


def refuse(start: str, other: FaceDecoder, decoder: FaceDecoder) -> TrainingError:
    """The error for a decoder that does not fit."""
    return TrainingError(
        f"start = {start!r}: its decoder {other.ref.name!r} {dict(other.ref.config)} for {other.feature_dim} features "
        f"has other weights than the recipe's {decoder.ref.name!r} {dict(decoder.ref.config)} for "
        f"{decoder.feature_dim}."
    )


def _layers(model: keras.Model) -> dict[str, Any]:
    return {layer.name: layer for layer in model.layers if layer.weights}


def _stretched(theirs: keras.Model, ours: keras.Model) -> list[Any]:
    """The weights of `theirs` in the shapes of `ours`, whose maps may have another side."""
    found = _layers(theirs)
    given: dict[int, Any] = {}
    for name, layer in _layers(ours).items():
        weights, its = found[name].get_weights(), theirs.get_layer(name)
        old, new = _map_beside(theirs, its, "Reshape"), _map_beside(ours, layer, "Reshape")
        if old and new and old != new:
            weights = [_stretch(w.reshape(-1, *old), new).reshape(*w.shape[:-1], -1) for w in weights]
        old, new = _map_beside(theirs, its, "Flatten"), _map_beside(ours, layer, "Flatten")
        if old and new and old != new:
            maps = np.moveaxis(weights[0].reshape(*old, -1), -1, 0)
            maps = np.moveaxis(_stretch(maps, new), 0, -1)
            # As many times less as there are more places to read.
            share = old[0] * old[1] / (new[0] * new[1])
            weights = [maps.reshape(-1, maps.shape[-1]) * share, *weights[1:]]
        given |= dict(zip(map(id, layer.weights), weights, strict=True))
    return [given[id(w)] for w in ours.weights]


def _stretch(maps: FloatArray, shape: Map) -> FloatArray:
    from keras import ops

    return ops.convert_to_numpy(ops.image.resize(maps, shape[:2], "bilinear", data_format="channels_last"))


def _map_beside(model: keras.Model, layer: Any, kind: str) -> Map | None:
    """(h, w, C) of the map that a Dense layer makes ("Reshape" comes after it) or reads ("Flatten" before it)."""
    if type(layer).__name__ == "Dense":
        for other in model.layers:
            if type(other).__name__ == kind:
                ends = (layer.output, other.input, other.output)
                flat, follower, shaped = ends if kind == "Reshape" else (layer.input, other.output, other.input)
                if flat is follower and len(shaped.shape) == 4:
                    return tuple(shaped.shape[1:])
    return None


def _is_scale(layer: Any, width: int) -> bool:
    """Whether it is a normalisation of the features that has a mean and a variance and nothing else."""
    shapes = [tuple(w.shape) for w in layer.weights]
    return type(layer).__name__ == "BatchNormalization" and shapes == [(width,), (width,)]


def _reads_latents(layer: Any, decoder: FaceDecoder) -> bool:
    return type(layer).__name__ == "Dense" and layer.kernel.shape[0] == decoder.latent_dim


def _shapes(model: keras.Model, layer: Any, decoder: FaceDecoder) -> list[tuple[Any, ...]]:
    """The shapes of its weights, with words in place of the number of features and of the sides of maps."""
    shapes: list[tuple[Any, ...]] = [tuple(w.shape) for w in layer.weights]
    if _is_scale(layer, decoder.feature_dim):
        return [("features",)] * 2
    made, read = _map_beside(model, layer, "Reshape"), _map_beside(model, layer, "Flatten")
    if made is not None:
        shapes = [(*shape[:-1], "places", made[2]) for shape in shapes]
    if read is not None:
        shapes[0] = ("places", read[2], *shapes[0][1:])
    if _reads_latents(layer, decoder):
        shapes[0] = ("latents", *shapes[0][1:])
    return shapes
