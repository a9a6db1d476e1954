"""`detail`: this project's own decoder, residual upsampling, with a detail encoder that is trained with it.

A classifier's features forget who a face belongs to. So the latent has two parts: the attribute features, and a short
code of all else, which the detail encoder reads from the crop. Edits move the first part only.

Three details come from the literature: every block is modulated by the latent (Perez et al. 2018, "FiLM"), so that the
attributes reach all scales; the last convolution of a block starts at zero, so that every block begins as its shortcut
(Goyal et al. 2017); and the last doubling is a rearrangement of channels into pixels (Shi et al. 2016, "sub-pixel
convolution"), so that nothing is computed on maps of the full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facefeat.builtin import checks
from facefeat.builtin.decoders import common
from facefeat.plugins.contracts import Component, DetailDecoder

if TYPE_CHECKING:
    import keras

WHAT = "decoder 'detail'"
REACH = 0.25
"""The code is in -REACH..REACH: small compared with the features, so that near latents are similar faces."""


@checks.checked(WHAT)
def build(
    *,
    latent_dim: int,
    image_size: int,
    code: int = 128,
    filters: Sequence[int] = (256, 160, 96, 48),
    encoder: Sequence[int] = (32, 64, 128, 192),
    activation: str = "silu",
    side: int | None = None,
) -> DetailDecoder:
    """Latents (B, D + code) float32 -> crops (B, S, S, 3) float32 in 0..1, and crops 0..255 -> codes in -REACH..REACH.

    latent_dim: D, the attribute features alone. image_size: S in pixels, at least 2 ** the number of `filters`, and
    2 ** the number of the encoder's stages. code: width of the detail code.
    filters: of the first map, then of the blocks, each of which doubles the side; the pixels double it once more.
    encoder: of the detail encoder's stages, each of which halves the side.
    side: pixels of the faces that are drawn and that the detail encoder sees, at most S; S where it is not given.
    Smaller ones are resized bilinearly: what a code has no room for need not be drawn, either.
    Raises InputError for a size or configuration that is not valid.
    """
    filters = checks.wholes(WHAT, "filters", filters, 1, 8192)
    encoder = checks.wholes(WHAT, "encoder", encoder, 1, 8192)
    checks.choice(WHAT, "activation", activation, checks.ACTIVATIONS)
    dim, width = checks.whole(WHAT, "latent_dim", latent_dim, 1), checks.whole(WHAT, "code", code, 1, 8192)
    least = 2 ** max(len(encoder), len(filters))
    size = checks.size_of(WHAT, image_size, least)
    inner = size if side is None else checks.whole(WHAT, "side", side, least, size)
    return DetailDecoder(
        decoder=_decoder(dim, width, inner, size, filters, activation),
        detail_encoder=_encoder(size, inner, encoder, width, activation),
    )


def _decoder(dim: int, code: int, size: int, shown: int, filters: Sequence[int], activation: str) -> keras.Model:
    import keras
    from keras import layers

    # A doubling per block, and one more at the end.
    _, side = common.start_side(WHAT, size, len(filters))
    latents = keras.Input((dim + code,), name="latents")
    # Features come in scales of their own: here each gets the same, but none more than ten times its own, since one
    # that is silent in nearly all faces must not shout in the one where it speaks. The code is bounded already.
    scale = layers.BatchNormalization(center=False, scale=False, momentum=0.95, epsilon=0.01, name="scale")
    z = scale(latents[:, :dim])
    z = layers.Concatenate(name="scaled")([z, (2.0 / REACH) * latents[:, dim:]])
    x = layers.Dense(side * side * filters[0], name="start")(z)
    x = layers.Reshape((side, side, filters[0]), name="map")(x)  # (B, side, side, filters[0])
    for i, width in enumerate(filters[1:], start=1):
        # The first convolution comes before the doubling: there it costs a quarter.
        y = common.conv(layers.Activation(activation, name=f"block{i}_act")(x), width, f"block{i}_conv1")
        gain = layers.Dense(width, name=f"block{i}_gain")(z)
        shift = layers.Dense(width, name=f"block{i}_shift")(z)
        gain, shift = (
            layers.Reshape((1, 1, width), name=f"block{i}_{n}_map")(v) for n, v in (("gain", gain), ("shift", shift))
        )
        y = layers.Add(name=f"block{i}_film")([y, layers.Multiply(name=f"block{i}_scaled")([y, gain]), shift])
        y = common.double(layers.Activation(activation, name=f"block{i}_mid")(y))
        y = common.conv(y, width, f"block{i}_conv2", start="zeros")  # (B, side * 2**i, same, width)
        if x.shape[-1] != width:
            x = common.conv(x, width, f"block{i}_shortcut", kernel=1)
        x = layers.Add(name=f"block{i}_add")([common.double(x), y])
    x = layers.Activation(activation, name="last_act")(x)
    faces = common.resized(common.shuffled_pixels(x, size), shown)
    return keras.Model(latents, faces, name="detail_decoder")


def _encoder(shown: int, size: int, widths: Sequence[int], code: int, activation: str) -> keras.Model:
    import keras
    from keras import layers

    crops = keras.Input((shown, shown, 3), name="crops")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(common.resized(crops, size))
    for i, width in enumerate(widths, start=1):
        x = common.conv(x, width, f"stage{i}_conv", strides=2)  # (B, S / 2**i, same, width)
        x = layers.BatchNormalization(axis=-1, momentum=0.95, name=f"stage{i}_bn")(x)
        x = layers.Activation(activation, name=f"stage{i}_act")(x)
    # Not pooled: where things are is what the attribute features forget first.
    x = layers.Flatten(data_format=common.FORMAT, name="places")(x)
    # Bounded, so that the code cannot grow away from what the decoder has seen.
    x = layers.Dense(code, activation="tanh", dtype="float32", name="code")(x)
    return keras.Model(crops, layers.Rescaling(REACH, dtype="float32", name="reach")(x), name="detail_encoder")


COMPONENT = Component(
    "detail", build, "residual upsampling, with a detail encoder: latent = attribute features and a code of the rest"
)
