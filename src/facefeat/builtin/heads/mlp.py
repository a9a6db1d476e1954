"""`mlp`: one output per attribute of the schema, over a shared trunk of dense layers.

The default trunk is the one that the original experiment's search found on FairFace with VGG-Face features. It has 5.3
million weights on a 512-wide latent; `trunk = []` gives plain linear classifiers on the latent, which is what small
backbones want.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.heads import common
from facefeat.errors import InputError, did_you_mean
from facefeat.plugins.contracts import Component
from facefeat.schema import Schema

if TYPE_CHECKING:
    import keras

WHAT = "head 'mlp'"
KEYS = ("units", "activation", "dropout", "batch_norm")
ORIGINAL_TRUNK: tuple[Mapping[str, Any], ...] = (
    {"units": 640, "activation": "leaky_relu", "dropout": 0.2},
    {"units": 896, "activation": "relu", "dropout": 0.3},
    {"units": 2176, "activation": "tanh", "dropout": 0.4},
    {"units": 640, "activation": "leaky_relu", "dropout": 0.6},
    {"units": 1664, "activation": "leaky_relu", "dropout": 0.2},
)
"""The trunk of the original search: see "The heads of the original experiment" in the design."""


@checks.checked(WHAT)
def build(
    *,
    feature_shape: Sequence[int],
    schema: Schema | str | Mapping[str, Any],
    trunk: Sequence[Mapping[str, Any]] = ORIGINAL_TRUNK,
    dropout: float = 0.0,
) -> keras.Model:
    """Feature map (B, h, w, C) -> {attribute: logits (B, attribute.outputs) float32}.

    trunk: dense layers between the latent and the outputs, each a table {units, activation = "relu", dropout = 0,
    batch_norm = false}; the normalisation comes before the activation.
    dropout: rate on what the outputs read, in addition to the trunk's own.
    A two-class attribute has two logits: their softmax is the sigmoid of their difference.
    Raises InputError for a configuration that is not valid.
    """
    from keras import layers

    rate = checks.real(WHAT, "dropout", dropout, 0.0, 1.0, below=True)
    tables = _tables(trunk)
    features, x, labels = common.start(WHAT, feature_shape, schema)
    for i, (units, activation, drop, normed) in enumerate(tables, start=1):
        if normed:
            x = layers.Dense(units, use_bias=False, name=f"trunk_{i}")(x)  # (B, units)
            x = layers.BatchNormalization(name=f"trunk_{i}_bn")(x)
            x = layers.Activation(activation, name=f"trunk_{i}_act")(x)
        else:
            x = layers.Dense(units, activation=activation, name=f"trunk_{i}")(x)  # (B, units)
        if drop:
            x = layers.Dropout(drop, name=f"trunk_{i}_dropout")(x)
    if rate:
        x = layers.Dropout(rate, name="dropout")(x)
    outputs = {name: common.logits(x, name, a.outputs) for name, a in labels.attributes.items()}
    return common.finish("mlp", features, outputs)


def _tables(trunk: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, float, bool]]:
    """(units, activation, dropout, batch_norm) of each layer. Raises InputError."""
    if isinstance(trunk, str | Mapping) or not isinstance(trunk, Sequence):
        raise InputError(f"{WHAT}: 'trunk' must be a list of tables {KEYS}. Received: {trunk!r}.")
    tables = []
    for i, table in enumerate(trunk):
        where = f"{WHAT}: trunk[{i}]"
        if not isinstance(table, Mapping) or "units" not in table:
            raise InputError(f"{where} must be a table with 'units'. Received: {table!r}.")
        for key in table:
            if key not in KEYS:
                raise InputError(f"{where}: unknown key. {did_you_mean(str(key), KEYS)}")
        tables.append(
            (
                checks.whole(where, "units", table["units"], 1, 65536),
                checks.choice(where, "activation", table.get("activation", "relu"), checks.ACTIVATIONS),
                checks.real(where, "dropout", table.get("dropout", 0.0), 0.0, 1.0, below=True),
                checks.flag(where, "batch_norm", table.get("batch_norm", False)),
            )
        )
    return tables


COMPONENT = Component("mlp", build, "one output per attribute over a shared trunk of dense layers")
