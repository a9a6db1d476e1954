"""What every decoder does the same way: the side that it starts from, its convolutions, and the pixels at its end."""

from __future__ import annotations

from typing import Any

from facefeat.builtin import checks

FORMAT = "channels_last"  # crops are (B, S, S, 3) by contract, whatever Keras's global setting says


def start_side(what: str, image_size: object, doublings: int) -> tuple[int, int]:
    """(S, the side of the map that becomes S or a little more by so many doublings). Raises InputError."""
    size = checks.size_of(what, image_size, 2**doublings)
    return size, -(-size // 2**doublings)


def conv(x: Any, filters: int, name: str, *, kernel: int = 3, strides: int = 1, start: str = "he_normal") -> Any:
    """(B, h, w, C) -> (B, h / strides, w / strides, filters). start: the name of the kernel's initialiser."""
    from keras import layers

    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        kernel_initializer=start,
        data_format=FORMAT,
        name=name,
    )(x)


def resized(x: Any, side: int) -> Any:
    """(B, h, h, C) -> (B, side, side, C), bilinear."""
    from keras import ops

    if x.shape[1] == side:
        return x
    # No layer Resizing: one of Keras 3.15 puts the layers after it into training mode unless set otherwise.
    return ops.image.resize(x, (side, side), interpolation="bilinear", data_format=FORMAT)


def double(x: Any) -> Any:
    """(B, h, w, C) -> (B, 2h, 2w, C), each place four times.

    By a resize, which ONNX has an operator for: Keras's layer UpSampling2D is exported as seven that copy.
    """
    from keras import ops

    return ops.image.resize(x, (2 * x.shape[1], 2 * x.shape[2]), interpolation="nearest", data_format=FORMAT)


def pixels(x: Any, size: int) -> Any:
    """(B, h, h, C), h at least S -> crops (B, S, S, 3) float32 in 0..1: what is over S is cut off at the border."""
    from keras import layers

    x = _cut(x, size)
    # A sigmoid keeps pixels in 0..1 whatever the latents; float32 keeps 256 shades apart under mixed precision.
    return layers.Conv2D(
        3, 3, padding="same", activation="sigmoid", dtype="float32", data_format=FORMAT, name="pixels"
    )(x)


def shuffled_pixels(x: Any, size: int) -> Any:
    """(B, h, h, C), 2h at least S -> crops (B, S, S, 3) float32 in 0..1: each place makes four pixels."""
    from keras import layers

    side = x.shape[1]
    x = layers.Conv2D(12, 3, padding="same", dtype="float32", data_format=FORMAT, name="pixels")(x)
    x = layers.Reshape((side, side, 2, 2, 3), name="four")(x)  # row and column within the four
    x = layers.Permute((1, 3, 2, 4, 5), name="rows")(x)  # (B, h, 2, h, 2, 3)
    x = _cut(layers.Reshape((2 * side, 2 * side, 3), name="shuffled")(x), size)
    return layers.Activation("sigmoid", dtype="float32", name="colour")(x)


def _cut(x: Any, size: int) -> Any:
    from keras import layers

    over = x.shape[1] - size
    if not over:
        return x
    cut = (over // 2, over - over // 2)
    return layers.Cropping2D((cut, cut), data_format=FORMAT, name="cut")(x)
