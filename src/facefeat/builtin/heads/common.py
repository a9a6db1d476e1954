"""What every head does the same way: the check of its shape, the latent, the float32 logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.errors import InputError
from facefeat.schema import Schema, get_schema

if TYPE_CHECKING:
    import keras


def start(what: str, feature_shape: Sequence[int], schema: Schema | str | Mapping[str, Any]) -> tuple[Any, Any, Schema]:
    """The input tensor (B, h, w, C), the latent (B, C) float32, and the schema as a Schema.

    The latent is the pooled feature map, the same for every head: the layer is always called "latent". It is float32
    under mixed precision too, because it is what decoders read and analyzers study.
    Raises InputError for a feature_shape that is not three whole numbers, SchemaError for a schema that is none.
    """
    import keras
    from keras import layers

    shape = checks.wholes(what, "feature_shape", feature_shape, 1)
    if len(shape) != 3:
        raise InputError(f"{what}: 'feature_shape' must be (height, width, channels). Received: {feature_shape!r}.")
    features = keras.Input(shape, name="features")
    latent = layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32", name="latent")(features)
    return features, latent, get_schema(schema)


def logits(x: Any, attribute: str, outputs: int) -> Any:
    """(B, D) -> (B, outputs) float32, by one Dense layer called "<attribute>_logits"."""
    from keras import layers

    return layers.Dense(outputs, dtype="float32", name=f"{attribute}_logits")(x)


def finish(name: str, features: Any, outputs: Mapping[str, Any]) -> keras.Model:
    """The head as a model from the feature map to {attribute: logits}."""
    import keras

    return keras.Model(features, dict(outputs), name=name.replace("-", "_"))
