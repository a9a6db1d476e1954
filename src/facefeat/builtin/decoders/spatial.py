"""`spatial`: residual upsampling with a detail code in two parts, one for the whole face and one for each place.

A code of the whole face must say where everything is; a map of 8 x 8 short codes has its places already. So the decoder
draws from three things: the attribute features, a code of the whole face as `detail` has, and a map of codes.

As in `detail`, every block is modulated by the latent (Perez et al. 2018, "FiLM") and begins as its shortcut (Goyal et
al. 2017). Sides are doubled bilinearly and before a convolution: doubling by repetition, or by a rearrangement of
channels into pixels, leaves a weave (Odena et al. 2016, "Deconvolution and checkerboard artifacts").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.decoders import common
from facefeat.plugins.contracts import Component, DetailDecoder

if TYPE_CHECKING:
    import keras

WHAT = "decoder 'spatial'"
REACH = 0.25
"""Codes are in -REACH..REACH: small compared with the features, so that near latents are similar faces."""
PLACES = 8
"""The map of codes has PLACES x PLACES places."""


@checks.checked(WHAT)
def build(
    *,
    latent_dim: int,
    image_size: int,
    code: int = 128,
    planes: int = 8,
    filters: Sequence[int] = (256, 192, 128, 64),
    fine: int = 32,
    first: int = 6,
    encoder: Sequence[int] = (32, 64, 128, 192),
    encoder_side: int = 96,
    places: Sequence[int] = (32, 64, 128, 192),
    activation: str = "silu",
) -> DetailDecoder:
    """Latents (B, D + code + 64 * planes) float32 -> faces (B, F, F, 3) float32 in 0..1, and crops 0..255 -> codes.

    F is 8 * 2 ** the number of `filters`, 128 of the defaults, or image_size where that is more: the faces are
    enlarged then.

    latent_dim: D, the attribute features alone. image_size: S, the side of the crops that codes are read from, in
    pixels, at least 16. code: width of the code of the whole face. planes: channels of the map of codes.
    filters: of the first map (8 x 8), then of the blocks, each of which doubles the side; the pixels double it once
    more. fine: filters of the layers that see pixels. first: side of the map that the latent makes, resized to 8 x 8.
    encoder, encoder_side: stages, and the side that it sees in pixels, of the encoder of the whole face.
    places: stages of the other encoder, each of which halves the side; it sees 8 * 2 ** their number.
    Raises InputError for a configuration that is not valid.
    """
    size, dim = checks.size_of(WHAT, image_size, 16), checks.whole(WHAT, "latent_dim", latent_dim, 1)
    width, channels = checks.whole(WHAT, "code", code, 1, 8192), checks.whole(WHAT, "planes", planes, 1, 256)
    filters = checks.wholes(WHAT, "filters", filters, 1, 8192)
    stages, stages_of_places = (
        checks.wholes(WHAT, name, v, 1, 8192) for name, v in (("encoder", encoder), ("places", places))
    )
    checks.choice(WHAT, "activation", activation, checks.ACTIVATIONS)
    seen = checks.whole(WHAT, "encoder_side", encoder_side, 2 ** len(stages), 1024)
    start = checks.whole(WHAT, "first", first, 1, 64)
    fine = checks.whole(WHAT, "fine", fine, 1, 1024)
    return DetailDecoder(
        decoder=_decoder(dim, width, channels, size, filters, fine, start, activation),
        detail_encoder=_encoder(size, width, channels, stages, seen, stages_of_places, activation),
    )


def _decoder(
    dim: int, code: int, planes: int, size: int, filters: Sequence[int], fine: int, first: int, activation: str
) -> keras.Model:
    import keras
    from keras import layers

    def active(x: Any, name: str) -> Any:
        return layers.Activation(activation, name=name)(x)

    def pixels(x: Any, name: str, start: str = "glorot_uniform") -> Any:
        # float32 keeps 256 shades apart under mixed precision.
        return layers.Conv2D(
            3, 3, padding="same", kernel_initializer=start, dtype="float32", data_format=common.FORMAT, name=name
        )(x)

    latents = keras.Input((dim + code + PLACES * PLACES * planes,), name="latents")
    scale = layers.BatchNormalization(center=False, scale=False, momentum=0.95, epsilon=0.01, name="scale")
    z = layers.Concatenate(name="scaled")([scale(latents[:, :dim]), (2.0 / REACH) * latents[:, dim : dim + code]])
    x = layers.Dense(first * first * filters[0], name="start")(z)
    x = common.resized(layers.Reshape((first, first, filters[0]), name="map")(x), PLACES)
    codes = layers.Reshape((PLACES, PLACES, planes), name="places")((2.0 / REACH) * latents[:, dim + code :])
    x = layers.Add(name="placed")([x, common.conv(codes, filters[0], "place", start="zeros")])  # (B, 8, 8, filters[0])
    for i, width in enumerate(filters[1:], start=1):
        y = common.conv(active(x, f"block{i}_act"), width, f"block{i}_conv1")
        gain, shift = (
            layers.Reshape((1, 1, width), name=f"block{i}_{n}_map")(layers.Dense(width, name=f"block{i}_{n}")(z))
            for n in ("gain", "shift")
        )
        y = layers.Add(name=f"block{i}_film")([y, layers.Multiply(name=f"block{i}_scaled")([y, gain]), shift])
        side = 2 * x.shape[1]
        y = common.conv(common.resized(active(y, f"block{i}_mid"), side), width, f"block{i}_conv2", start="zeros")
        x = common.resized(common.conv(x, width, f"block{i}_shortcut", kernel=1), side)
        x = layers.Add(name=f"block{i}_add")([x, y])  # (B, 8 * 2**i, same, width)
    x = active(x, "last_act")
    side = 2 * x.shape[1]
    y = active(common.conv(x, fine, "fine1"), "fine1_act")
    y = active(common.conv(common.resized(y, side), fine, "fine2"), "fine2_act")
    coarse = common.resized(pixels(x, "coarse"), side)
    y = layers.Add(dtype="float32", name="pixels")([coarse, pixels(y, "fine3", start="zeros")])
    faces = layers.Activation("sigmoid", dtype="float32", name="colour")(y)
    return keras.Model(latents, common.resized(faces, max(side, size)), name="spatial_decoder")


def _encoder(
    size: int, code: int, planes: int, widths: Sequence[int], seen: int, places: Sequence[int], activation: str
) -> keras.Model:
    import keras
    from keras import layers

    def active(x: Any, name: str) -> Any:
        return layers.Activation(activation, name=name)(x)

    def scaled(side: int, name: str) -> Any:
        return layers.Rescaling(1 / 127.5, offset=-1, name=name)(common.resized(crops, side))

    crops = keras.Input((size, size, 3), name="crops")
    x = scaled(seen, "normalise")
    for i, width in enumerate(widths, start=1):
        x = active(common.conv(x, width, f"stage{i}_conv", strides=2), f"stage{i}_act")
    x = layers.Flatten(data_format=common.FORMAT, name="flat")(x)
    # Bounded, so that no code can grow away from what the decoder has seen.
    x = layers.Dense(code, activation="tanh", dtype="float32", name="code")(x)
    x = layers.Rescaling(REACH, dtype="float32", name="reach")(x)
    y = scaled(PLACES * 2 ** len(places), "normalise_places")
    for i, width in enumerate(places, start=1):
        y = common.conv(y if i == 1 else active(y, f"place{i}_in"), width, f"place{i}_conv", strides=2)
        if i > 1:
            z = common.conv(active(y, f"place{i}_act1"), width, f"place{i}_res1")
            z = common.conv(active(z, f"place{i}_act2"), width, f"place{i}_res2", start="zeros")
            y = layers.Add(name=f"place{i}_add")([y, z])
    y = layers.Conv2D(planes, 1, activation="tanh", dtype="float32", data_format=common.FORMAT, name="planes")(
        active(y, "planes_act")
    )  # (B, 8, 8, planes)
    y = layers.Flatten(data_format=common.FORMAT, name="row")(y)
    y = layers.Rescaling(REACH, dtype="float32", name="reach_places")(y)
    return keras.Model(crops, layers.Concatenate(dtype="float32", name="codes")([x, y]), name="spatial_encoder")


COMPONENT = Component(
    "spatial", build, "faces of 128 pixels: latent = attribute features, a code of the whole face, and a map of codes"
)
