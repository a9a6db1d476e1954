"""The layers that the heads need beyond Keras's own. Imports Keras: import it inside a `build`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

register = keras.saving.register_keras_serializable(package="facefeat")


@register
class VectorToLogits(keras.layers.Layer):
    """One vector for everything (B, width) -> {attribute: logits (B, outputs) float32}, by fixed arithmetic.

    parts: one table per attribute {name, kind, start, outputs, spread}, where `start` is its first place in the vector.
      * "number": one number a, standing for the position c + a * c with c = (outputs - 1) / 2, so that -1..1 covers the
        range; its logits are -(position - k)^2 / (2 * spread^2) for k = 0 .. outputs - 1: a discretised Gaussian.
      * "two": one number g; its logits are [0, g], whose softmax is the sigmoid of g.
      * "block": `outputs` numbers, unchanged.
    """

    def __init__(self, parts: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.parts = [dict(p) for p in parts]

    def call(self, vector: Any) -> dict[str, Any]:
        """(B, width) -> {attribute: (B, outputs)}."""
        out = {}
        for part in self.parts:
            start, n = part["start"], part["outputs"]
            first = vector[:, start : start + 1]  # (B, 1)
            if part["kind"] == "block":
                out[part["name"]] = vector[:, start : start + n]
            elif part["kind"] == "two":
                out[part["name"]] = ops.concatenate([ops.zeros_like(first), first], axis=-1)
            else:
                centre = (n - 1) / 2
                away = centre + first * centre - ops.arange(n, dtype=self.compute_dtype)  # (B, outputs)
                out[part["name"]] = -ops.square(away / part["spread"]) / 2
        return out

    def compute_output_shape(self, input_shape: Any) -> dict[str, tuple[Any, ...]]:
        """{attribute: (B, outputs)}."""
        return {p["name"]: (input_shape[0], p["outputs"]) for p in self.parts}

    def get_config(self) -> dict[str, Any]:
        """JSON-able."""
        return {**super().get_config(), "parts": self.parts}


@register
class Positions2D(keras.layers.Layer):
    """Adds what says where: (B, h, w, D) + a learnt vector per row + one per column, starting at zero."""

    def build(self, input_shape: Any) -> None:
        """Makes the vectors: rows (h, 1, D) and columns (1, w, D)."""
        _, h, w, d = input_shape
        self.rows = self.add_weight(shape=(h, 1, d), initializer="zeros", name="rows")
        self.columns = self.add_weight(shape=(1, w, d), initializer="zeros", name="columns")
        super().build(input_shape)

    def call(self, features: Any) -> Any:
        """(B, h, w, D) -> (B, h, w, D)."""
        return features + self.rows + self.columns

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape


@register
class AttributeQuery(keras.layers.Layer):
    """One attribute's learnt queries, one per attention head, over n places (Vaswani et al. 2017).

    Called with [keys (B, n, heads * d), values (B, n, heads * d)]; gives what was found there (B, heads * d), and the
    attention (B, heads, n) float32, which sums to 1 over the places.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: Any) -> None:
        """Makes the queries (heads, d)."""
        d = input_shape[0][-1] // self.heads
        # Keys have about unit variance, so unit queries give scores of about unit variance after the division below.
        self.query = self.add_weight(
            shape=(self.heads, d), initializer=keras.initializers.RandomNormal(stddev=1.0), name="query"
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """([keys, values]) -> (found, attention)."""
        keys, values = inputs
        n, width = keys.shape[1], keys.shape[2]
        split = (-1, n, self.heads, width // self.heads)
        keys, values = ops.reshape(keys, split), ops.reshape(values, split)  # (B, n, heads, d)
        scores = ops.einsum("bnhd,hd->bhn", keys, self.query) / (split[-1] ** 0.5)
        scores = ops.cast(scores, "float32")
        # Keras warns of a softmax over one place; there is nothing to choose there.
        attention = ops.softmax(scores, axis=-1) if n > 1 else ops.ones_like(scores)  # (B, heads, n)
        found = ops.einsum("bhn,bnhd->bhd", ops.cast(attention, values.dtype), values)
        return ops.reshape(found, (-1, width)), attention

    def compute_output_shape(self, input_shape: Any) -> Any:
        """((B, heads * d), (B, heads, n))."""
        batch, n, width = input_shape[0]
        return (batch, width), (batch, self.heads, n)

    def compute_output_spec(self, inputs: Any) -> Any:
        """As `compute_output_shape`; the attention is float32 under mixed precision too."""
        found, attention = self.compute_output_shape([x.shape for x in inputs])
        return keras.KerasTensor(found, dtype=self.compute_dtype), keras.KerasTensor(attention, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """JSON-able."""
        return {**super().get_config(), "heads": self.heads}
