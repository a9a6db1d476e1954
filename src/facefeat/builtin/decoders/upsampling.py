"""`upsampling`: the decoder of the original experiment, upsampling and 3x3 convolutions.

It knows of a face what the classifier's features know, and those forget who it is: its faces are blurred. It is the
baseline that `detail` is measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facefeat.builtin import checks
from facefeat.builtin.decoders import common
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    import keras

WHAT = "decoder 'upsampling'"


@checks.checked(WHAT)
def build(
    *,
    latent_dim: int,
    image_size: int,
    filters: Sequence[int] = (512, 512, 256, 128, 64),
    activation: str = "relu",
) -> keras.Model:
    """Latents (B, D) float32 -> crops (B, S, S, 3) float32 in 0..1.

    image_size: S in pixels, at least 2 ** the number of `filters`.
    filters: of the convolutions, first to last; each comes after a doubling of the side.
    Raises InputError for a size or configuration that is not valid.
    """
    import keras
    from keras import layers

    filters = checks.wholes(WHAT, "filters", filters, 1, 8192)
    checks.choice(WHAT, "activation", activation, checks.ACTIVATIONS)
    dim = checks.whole(WHAT, "latent_dim", latent_dim, 1)
    size, side = common.start_side(WHAT, image_size, len(filters))

    latents = keras.Input((dim,), name="latents")
    x = layers.Dense(side * side * filters[0], activation=activation, name="start")(latents)
    x = layers.Reshape((side, side, filters[0]), name="map")(x)  # (B, side, side, filters[0])
    for i, width in enumerate(filters, start=1):
        x = common.double(x)
        x = layers.Conv2D(
            width,
            3,
            padding="same",
            activation=activation,
            kernel_initializer="he_normal",
            data_format=common.FORMAT,
            name=f"conv_{i}",
        )(x)  # (B, side * 2**i, same, width)
    return keras.Model(latents, common.pixels(x, size), name="upsampling")


COMPONENT = Component("upsampling", build, "the original's: upsampling and 3x3 convolutions on the classifier's latent")
