"""`single`: one dense output vector for everything. The baseline of the comparison, and worse than it need be.

It was the original experiment's first attempt: age as one number, gender as one number, race as a one-hot block, 9
wide on the FairFace schema. Three scales share one vector: a year, a yes or no, and a choice of seven. Whatever the
loss, one step of the optimiser means something else in each place, so none of them gets the step that it needs. Age
suffers most: one number can say "about 40", but not "20 or 60", and cannot be less sure of one face than of another.

Here the loss is the same as for the other heads, so that the comparison is about the vector alone: from its numbers the
logits of each attribute follow by fixed arithmetic (`VectorToLogits`), nothing of which is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.heads import common
from facefeat.plugins.contracts import Component
from facefeat.schema import Attribute, Schema

if TYPE_CHECKING:
    import keras

WHAT = "head 'single'"


@checks.checked(WHAT)
def build(
    *,
    feature_shape: Sequence[int],
    schema: Schema | str | Mapping[str, Any],
    dropout: float = 0.0,
    spread: float = 0.05,
) -> keras.Model:
    """Feature map (B, h, w, C) -> {attribute: logits (B, attribute.outputs) float32}.

    The vector is the output of the layer "vector": one number for an ordered attribute and for one with two outputs,
    one per class otherwise.
    dropout: rate on the latent. spread: standard deviation of what an ordered attribute's number stands for, as a
    fraction of its outputs (half an output at least): 0.05 of 117 years is 6 years.
    Raises InputError for a configuration that is not valid.
    """
    from keras import layers

    from facefeat.builtin.heads.layers import VectorToLogits

    rate = checks.real(WHAT, "dropout", dropout, 0.0, 1.0, below=True)
    fraction = checks.real(WHAT, "spread", spread, 0.001, 1.0)
    features, x, labels = common.start(WHAT, feature_shape, schema)
    parts: list[dict[str, Any]] = []
    width = 0
    for name, attribute in labels.attributes.items():
        kind, places = _place(attribute)
        n = attribute.outputs
        parts.append({"name": name, "kind": kind, "start": width, "outputs": n, "spread": max(fraction * n, 0.5)})
        width += places
    if rate:
        x = layers.Dropout(rate, name="dropout")(x)
    vector = layers.Dense(width, dtype="float32", name="vector")(x)  # (B, width)
    return common.finish("single", features, VectorToLogits(parts, name="to_logits")(vector))


def _place(attribute: Attribute) -> tuple[str, int]:
    """(kind, numbers in the vector) of an attribute."""
    if attribute.exclusive and attribute.outputs == 2:
        return "two", 1
    if attribute.exclusive and attribute.axis is not None:
        return "number", 1
    return "block", attribute.outputs


COMPONENT = Component("single", build, "one vector for everything: the original's first attempt, the baseline")
