"""`compact`: this project's own backbone, a small residual network that is fast on a CPU.

A strided stem, then stages of basic residual blocks; each stage halves the side and has its own width. Two details
come from the literature: average pooling on the shortcut, which keeps what a strided 1x1 convolution would throw away
(He et al. 2019, "Bag of Tricks for Image Classification", ResNet-D), and the last batch norm of a block starting at
zero, so that every block begins as its shortcut (Goyal et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.errors import InputError
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    import keras

WHAT = "backbone 'compact'"
FORMAT = "channels_last"  # crops are (B, S, S, 3) by contract, whatever Keras's global setting says


@checks.checked(WHAT)
def build(
    *,
    image_size: int,
    widths: Sequence[int] = (48, 96, 192),
    blocks: Sequence[int] = (2, 2, 2),
    stem: int = 32,
    activation: str = "relu",
    squeeze_excite: bool = False,
    bn_momentum: float = 0.95,
) -> keras.Model:
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, S/16, S/16, 192) with the default stages.

    image_size: S in pixels, a multiple of the total stride 2 ** (stages + 1), at least twice that.
    widths, blocks: filters and number of blocks of each stage. stem: filters of the first convolution.
    squeeze_excite: weigh the channels of every block by a small gate (Hu et al. 2018). bn_momentum: in 0..1, how slowly
    batch-norm statistics move; low, because a run here is short.
    Raises InputError for a size or configuration that is not valid.
    """
    import keras
    from keras import layers

    widths = checks.wholes(WHAT, "widths", widths, 1, 8192)
    blocks = checks.wholes(WHAT, "blocks", blocks, 1, 100)
    if len(widths) != len(blocks):
        raise InputError(f"{WHAT}: 'widths' and 'blocks' must be equally long. Received: {widths} and {blocks}.")
    checks.whole(WHAT, "stem", stem, 1, 8192)
    checks.choice(WHAT, "activation", activation, checks.ACTIVATIONS)
    checks.flag(WHAT, "squeeze_excite", squeeze_excite)
    momentum = checks.real(WHAT, "bn_momentum", bn_momentum, 0.0, 1.0, below=True)
    stride = 2 ** (len(widths) + 1)
    size = checks.size_of(WHAT, image_size, 2 * stride, stride)

    def conv(x: Any, filters: int, kernel: int, strides: int, name: str, *, zero: bool = False) -> Any:
        x = layers.Conv2D(
            filters, kernel, strides=strides, padding="same", use_bias=False, data_format=FORMAT, name=f"{name}_conv"
        )(x)
        gamma = "zeros" if zero else "ones"
        return layers.BatchNormalization(axis=-1, momentum=momentum, gamma_initializer=gamma, name=f"{name}_bn")(x)

    def gate(x: Any, filters: int, name: str) -> Any:
        z = layers.GlobalAveragePooling2D(keepdims=True, data_format=FORMAT, name=f"{name}_squeeze")(x)
        narrow = max(filters // 8, 8)
        z = layers.Conv2D(narrow, 1, activation="relu", data_format=FORMAT, name=f"{name}_reduce")(z)
        z = layers.Conv2D(filters, 1, activation="sigmoid", data_format=FORMAT, name=f"{name}_expand")(z)
        return layers.Multiply(name=f"{name}_scale")([x, z])

    def block(x: Any, filters: int, strides: int, name: str) -> Any:
        y = conv(x, filters, 3, strides, f"{name}_1")
        y = layers.Activation(activation, name=f"{name}_1_act")(y)
        y = conv(y, filters, 3, 1, f"{name}_2", zero=True)
        if squeeze_excite:
            y = gate(y, filters, f"{name}_se")
        if strides != 1:
            x = layers.AveragePooling2D(strides, data_format=FORMAT, name=f"{name}_pool")(x)
        if x.shape[-1] != filters:
            x = conv(x, filters, 1, 1, f"{name}_shortcut")
        x = layers.Add(name=f"{name}_add")([x, y])
        return layers.Activation(activation, name=f"{name}_act")(x)

    crops = keras.Input((size, size, 3), name="crops")
    # Mean and spread of aligned face crops, close to ImageNet's: 0..255 becomes about -2.1..2.3.
    x = layers.Rescaling(1 / 58, offset=-2.1, name="normalise")(crops)
    x = conv(x, stem, 3, 2, "stem")  # (B, S/2, S/2, stem)
    x = layers.Activation(activation, name="stem_act")(x)
    for i, (filters, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        for j in range(1, count + 1):
            x = block(x, filters, 2 if j == 1 else 1, f"stage{i}_block{j}")  # (B, S/2**(i+1), same, filters)
    return keras.Model(crops, x, name="compact")


COMPONENT = Component("compact", build, "this project's own small residual network, fast on two CPU cores")
