"""`squeezenet`: the small network of fire modules, in its cheaper version 1.1.

Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size"
(arXiv:1602.07360), with the changes of v1.1 in the authors' repository: 64 filters of 3x3 at the start, and pooling
earlier. The last classifying convolution is left out: what comes after is a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    import keras

WHAT = "backbone 'squeezenet'"
FORMAT = "channels_last"
FIRES = ((16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256))
"""(squeeze filters, filters of each of the two expansions) of fire2 to fire9; None is a max pooling."""


@checks.checked(WHAT)
def build(*, image_size: int, batch_norm: bool = False) -> keras.Model:
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, ceil(S / 16), same, 512). Random weights.

    batch_norm: normalise after each convolution, which the original did not; it trains faster from nothing.
    Borders are padded ("same"), where the original dropped odd ones.
    Raises InputError for a size under 16 or an unknown key.
    """
    import keras
    from keras import layers

    from facefeat.builtin.backbones.layers import IMAGENET_MEAN, IMAGENET_STD, Normalise

    size = checks.size_of(WHAT, image_size, 16)
    checks.flag(WHAT, "batch_norm", batch_norm)

    def conv(x: Any, filters: int, kernel: int, name: str, strides: int = 1) -> Any:
        x = layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding="same",
            use_bias=not batch_norm,
            kernel_initializer="he_normal",
            data_format=FORMAT,
            name=name,
        )(x)
        if batch_norm:
            x = layers.BatchNormalization(axis=-1, momentum=0.95, name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def pool(x: Any, name: str) -> Any:
        return layers.MaxPooling2D(3, 2, padding="same", data_format=FORMAT, name=name)(x)

    crops = keras.Input((size, size, 3), name="crops")
    x = Normalise(IMAGENET_MEAN, IMAGENET_STD, name="normalise")(crops)
    x = pool(conv(x, 64, 3, "conv1", strides=2), "pool1")  # (B, S/4, S/4, 64)
    number = 2
    for fire in FIRES:
        if fire is None:
            x = pool(x, f"pool{number - 1}")
            continue
        squeeze, expand = fire
        name = f"fire{number}"
        x = conv(x, squeeze, 1, f"{name}_squeeze")
        sides = [conv(x, expand, 1, f"{name}_expand1"), conv(x, expand, 3, f"{name}_expand3")]
        x = layers.Concatenate(axis=-1, name=f"{name}_concat")(sides)  # (B, h, w, 2 * expand)
        number += 1
    return keras.Model(crops, x, name="squeezenet")


COMPONENT = Component("squeezenet", build, "SqueezeNet 1.1: 0.7 million weights in fire modules")
