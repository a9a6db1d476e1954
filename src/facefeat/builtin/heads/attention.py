"""`attention`: each attribute owns learnt queries that attend over the feature map, and can show where it looked.

Keys and values are projections of the feature map, shared by the attributes; keys also carry learnt positions, because
where something is on an aligned face says what it is. An attribute's logits read the latent (the mean over all places)
in addition to what its queries found, so the head can never be worse informed than a linear one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.heads import common
from facefeat.errors import InputError
from facefeat.plugins.contracts import Component
from facefeat.schema import Schema

if TYPE_CHECKING:
    import keras

    from facefeat.types import FloatArray

WHAT = "head 'attention'"
SUFFIX = "_query"  # a layer "<attribute>_query" gives (found, attention): what `attention_maps` looks for


@checks.checked(WHAT)
def build(
    *,
    feature_shape: Sequence[int],
    schema: Schema | str | Mapping[str, Any],
    heads: int = 4,
    head_dim: int = 32,
    dropout: float = 0.0,
) -> keras.Model:
    """Feature map (B, h, w, C) -> {attribute: logits (B, attribute.outputs) float32}.

    heads: queries of each attribute. head_dim: width of a query. dropout: rate on what the outputs read.
    Raises InputError for a configuration that is not valid.
    """
    from keras import layers

    from facefeat.builtin.heads.layers import AttributeQuery, Positions2D

    checks.whole(WHAT, "heads", heads, 1, 64)
    width = heads * checks.whole(WHAT, "head_dim", head_dim, 1, 1024)
    rate = checks.real(WHAT, "dropout", dropout, 0.0, 1.0, below=True)
    features, latent, labels = common.start(WHAT, feature_shape, schema)
    h, w, c = features.shape[1:]
    x = layers.LayerNormalization(name="norm")(features)
    places = layers.Reshape((h * w, c), name="places")(Positions2D(name="positions")(x))  # (B, h * w, C)
    keys = layers.Dense(width, use_bias=False, name="keys")(places)  # (B, h * w, width); a bias would cancel
    values = layers.Dense(width, name="values")(layers.Reshape((h * w, c), name="contents")(x))
    outputs = {}
    for name, attribute in labels.attributes.items():
        found, _ = AttributeQuery(heads, name=f"{name}{SUFFIX}")([keys, values])
        # The latent is float32; under mixed precision what was found is brought up to it.
        y = layers.Concatenate(dtype="float32", name=f"{name}_read")([latent, found])  # (B, C + width)
        if rate:
            y = layers.Dropout(rate, dtype="float32", name=f"{name}_dropout")(y)
        outputs[name] = common.logits(y, name, attribute.outputs)
    head = common.finish("attention", features, outputs)
    # How a head says that it can show where it looked; see `facefeat.plugins.contracts`.
    head.attention_maps = partial(attention_maps, head)
    return head


def attention_maps(head: keras.Model, features: Any) -> dict[str, FloatArray]:
    """Where each attribute looked: {attribute: (B, h, w) float32}, each map summing to 1; the mean over its queries.

    head: a model that `build` made. features: the feature maps (B, h, w, C) that it would read.
    Raises InputError for a head without queries.
    """
    import keras
    import numpy as np

    from facefeat.builtin.heads.layers import AttributeQuery

    queries = {q.name.removesuffix(SUFFIX): q for q in head.layers if isinstance(q, AttributeQuery)}
    if not queries:
        raise InputError(f"attention maps need the head 'attention'. Received: {head.name!r}.")
    h, w = head.inputs[0].shape[1:3]
    model = keras.Model(head.inputs[0], {name: q.output[1] for name, q in queries.items()})
    found = model(np.asarray(features, "float32"), training=False)
    maps = {name: keras.ops.convert_to_numpy(found[name]) for name in queries}  # (B, heads, h * w)
    return {name: np.asarray(m.mean(axis=1).reshape(-1, h, w), "float32") for name, m in maps.items()}


COMPONENT = Component("attention", build, "each attribute attends over the feature map, and shows where it looked")
