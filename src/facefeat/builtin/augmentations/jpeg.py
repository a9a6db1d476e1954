"""What a JPEG of a given quality keeps of a crop, in `keras.ops`: on the device, on every backend, many at once.

The lossy part of the baseline standard (ITU-T T.81) as libjpeg does it: YCbCr with the chroma at half the resolution,
8 x 8 cosine transforms, and coefficients rounded to multiples of a table that the quality scales. What follows in a
file, the Huffman code, loses nothing, so it is left out.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from facefeat.builtin.checks import checked, real, whole
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    import numpy as np

WHAT = "augmentation 'jpeg'"

# T.81, annex K: how coarsely the eye lets brightness and colour be rounded, by frequency.
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
           18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
             99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
# JFIF: rows give Y, Cb - 128 and Cr - 128 from R, G and B.
_TO_YCC = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]


@checked(WHAT)
def build(*, seed: int, share: float = 0.5, low: int = 25, high: int = 40) -> Any:
    """A Keras layer, crops (B, S, S, 3) -> the same shape.

    share: of the crops that are compressed, 0 to 1. low, high: between which the quality is drawn, 1 to 100, both
    included. Raises InputError.
    """
    from keras import ops, random

    from facefeat.builtin.augmentations.layer import CropChange

    share, low = real(WHAT, "share", share, 0, 1), whole(WHAT, "low", low, 1, 100)
    high = whole(WHAT, "high", high, low, 100)

    def change(crops: Any, generator: Any) -> Any:
        batch = ops.shape(crops)[0]
        quality = random.randint((batch,), low, high + 1, seed=generator)
        chosen = random.uniform((batch, 1, 1, 1), seed=generator) < share
        return ops.where(chosen, ops.cast(jpeg(crops, quality), crops.dtype), crops)

    return CropChange(change, seed=seed)


def jpeg(crops: Any, quality: Any) -> Any:
    """Crops after JPEG compression.

    crops: (B, H, W, 3) of 0..255. quality: (B,) of 1..100, as libjpeg counts. Returns (B, H, W, 3) float32 of 0..255.
    """
    import numpy as np
    from keras import ops

    to_ycc = np.array(_TO_YCC, "float32")
    crops = ops.cast(crops, "float32")
    height, width = crops.shape[1:3]
    scale = _table_scale(ops.cast(quality, "float32"))
    ycc = ops.round(ops.matmul(_pad(ops.round(crops)), ops.convert_to_tensor(to_ycc.T)))
    luma = _through_blocks(ycc[..., 0] - 128.0, _LUMA, scale) + 128.0
    chroma = [_upsample(_through_blocks(_halve(ycc[..., c]), _CHROMA, scale)) for c in (1, 2)]
    ycc = ops.stack([luma, *chroma], axis=-1)
    rgb = ops.matmul(ycc, ops.convert_to_tensor(np.linalg.inv(to_ycc).T.astype("float32")))
    return ops.clip(ops.round(rgb), 0.0, 255.0)[:, :height, :width, :]


def _table_scale(quality: Any) -> Any:
    """(B,) -> (B, 1, 1): libjpeg's factor of the tables, in hundredths."""
    from keras import ops

    scale = ops.where(quality < 50, ops.floor(5000.0 / quality), 200.0 - 2.0 * quality)
    return ops.reshape(scale, (-1, 1, 1))


def _pad(crops: Any) -> Any:
    """(B, H, W, 3) with the last row and column repeated up to multiples of 16."""
    from keras import ops

    for axis in (1, 2):
        missing = -crops.shape[axis] % 16
        if missing:
            last = crops[:, -1:] if axis == 1 else crops[:, :, -1:]
            crops = ops.concatenate([crops, ops.repeat(last, missing, axis=axis)], axis=axis)
    return crops


def _through_blocks(channel: Any, table: str, scale: Any) -> Any:
    """(B, H, W) around 0 -> the same after transform, rounding and back. scale: (B, 1, 1)."""
    import numpy as np
    from keras import ops

    h, w = channel.shape[1] // 8, channel.shape[2] // 8
    basis = ops.convert_to_tensor(_basis())
    steps = ops.convert_to_tensor(np.array(table.split(), "float32"))
    steps = ops.clip(ops.floor((steps * scale + 50.0) / 100.0), 1.0, 255.0)  # (B, 1, 64)
    blocks = ops.transpose(ops.reshape(channel, (-1, h, 8, w, 8)), (0, 1, 3, 2, 4))
    blocks = ops.reshape(blocks, (-1, h * w, 64))
    kept = ops.round(ops.matmul(blocks, ops.transpose(basis)) / steps) * steps
    blocks = ops.reshape(ops.round(ops.matmul(kept, basis)), (-1, h, w, 8, 8))
    return ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), (-1, h * 8, w * 8))


@cache
def _basis() -> np.ndarray:
    """(64, 64) float32: the cosine transform of an 8 x 8 block that is written as a row. Orthonormal."""
    import numpy as np

    k, x = np.mgrid[:8, :8]
    d = np.cos((2 * x + 1) * k * np.pi / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)
    return np.kron(d, d).astype("float32")


def _halve(channel: Any) -> Any:
    """(B, H, W) -> (B, H/2, W/2): means of 2 x 2."""
    from keras import ops

    h, w = channel.shape[1] // 2, channel.shape[2] // 2
    return ops.round(ops.mean(ops.reshape(channel, (-1, h, 2, w, 2)), axis=(2, 4)))


def _upsample(channel: Any) -> Any:
    """(B, H, W) -> (B, 2H, 2W): between neighbours in the ratio 3 to 1, as libjpeg does by default."""
    from keras import ops

    rows = ops.convert_to_tensor(_between(channel.shape[1]))
    columns = ops.convert_to_tensor(_between(channel.shape[2]).T)
    return ops.matmul(ops.matmul(rows, channel), columns)


@cache
def _between(n: int) -> np.ndarray:
    """(2n, n) float32: doubles a row of n."""
    import numpy as np

    out = np.zeros((2 * n, n), "float32")
    for i in range(n):
        for row, neighbour in ((2 * i, max(i - 1, 0)), (2 * i + 1, min(i + 1, n - 1))):
            out[row, i] += 0.75
            out[row, neighbour] += 0.25
    return out


COMPONENT = Component("jpeg", build, "compresses a share of the crops as JPEG")
