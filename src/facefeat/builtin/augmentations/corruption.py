"""What goes wrong with photos, as augmentations: blur, little light, noise, hats, turned heads. One component each.

The same arithmetic as `facefeat.image.corrupt`, which benchmarks use; here every crop draws a severity of its own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from facefeat.builtin.checks import checked, real
from facefeat.image import corruptions
from facefeat.plugins.contracts import Component


def _component(name: str) -> Component:
    what = f"augmentation {name!r}"

    @checked(what)
    def build(*, seed: int, share: float = 0.2, severity: float = 0.7) -> Any:
        """A Keras layer, crops (B, S, S, 3) -> the same shape.

        share: of the crops that are changed, 0 to 1. severity: the largest; each crop draws its own between 0 and it.
        Raises InputError.
        """
        from facefeat.builtin.augmentations.layer import CropChange

        given = real(what, "share", share, 0, 1), real(what, "severity", severity, 0, 1)
        return CropChange(partial(_change, name, *given), seed=seed)

    return Component(name, build, corruptions.SUMMARIES[name])


def _change(name: str, share: float, severity: float, crops: Any, generator: Any) -> Any:
    from keras import ops, random

    batch = ops.shape(crops)[0]
    drawn = random.uniform((corruptions.DRAWS + 2, batch, 1, 1, 1), seed=generator, dtype="float32")
    s, draw = drawn[0] * severity, [drawn[2 + i] for i in range(corruptions.DRAWS)]
    pixels = ops.cast(crops, "float32")
    changed = ops.clip(_corrupted(name, pixels, s, draw, generator), 0.0, 255.0)
    return ops.where(drawn[1] < share, changed, pixels)


def _corrupted(name: str, pixels: Any, s: Any, draw: list[Any], generator: Any) -> Any:
    from keras import ops, random

    if name in corruptions.KERNELS:
        return _blurred(name, pixels, s, draw)
    if name in corruptions.MOVES:
        height, width = pixels.shape[1:3]
        size = ops.convert_to_tensor([[[float(width), float(height)]]])
        to = corruptions.corners_of(ops, name, s, draw) * size
        start = ops.zeros_like(to) + ops.convert_to_tensor([corruptions.CORNERS]) * size
        # Keras counts from the centre of the first pixel, corners from its edge.
        return ops.image.perspective_transform(pixels, start - 0.5, to - 0.5, data_format="channels_last")
    if name == "low-resolution":
        height, width = pixels.shape[1:3]
        rows, columns = (corruptions.low_resolution(ops, side, s) for side in (height, width))
        fewer = ops.matmul(rows, ops.reshape(pixels, (-1, height, width * 3)))
        turned = ops.transpose(ops.reshape(fewer, (-1, height, width, 3)), (0, 2, 1, 3))  # (B, W, H, 3)
        fewer = ops.matmul(columns, ops.reshape(turned, (-1, width, height * 3)))
        return ops.transpose(ops.reshape(fewer, (-1, width, height, 3)), (0, 2, 1, 3))
    field = random.normal(ops.shape(pixels), seed=generator, dtype="float32") if name in ("noise", "dark") else 0.0
    return corruptions.recolour(ops, name, pixels, s, draw, field)


def _blurred(name: str, pixels: Any, s: Any, draw: list[Any]) -> Any:
    """By Fourier transforms: each crop has a kernel of its own, which a convolution would have to share."""
    from keras import ops

    height, width = pixels.shape[1:3]
    side = min(height, width)
    pad = min(int(side * corruptions.PADDING) + 2, side - 1)
    padded = ops.pad(pixels, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    padded = ops.transpose(padded, (0, 3, 1, 2))  # (B, 3, N, M)
    kernel = corruptions.kernel_of(ops, name, (height + 2 * pad, width + 2 * pad), side, s, draw)[:, None]
    real, imaginary = ops.fft2((padded, ops.zeros_like(padded)))
    spectrum, _ = ops.fft2((kernel, ops.zeros_like(kernel)))  # real: a kernel is the same turned by half
    blurred, _ = ops.ifft2((real * spectrum, imaginary * spectrum))
    return ops.transpose(blurred, (0, 2, 3, 1))[:, pad : pad + height, pad : pad + width]


COMPONENTS = [_component(name) for name in corruptions.SUMMARIES]
