"""Crops made worse as photos are in the wild: blurred, dark, compressed, covered, turned. NumPy and Pillow, no Keras.

For benchmarks and audits: every corruption has a severity of 0 to 1, and a seed decides the rest. Training has the same
as augmentation layers, from the same arithmetic (`facefeat.image.corruptions`).
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError, did_you_mean
from facefeat.image import corruptions

if TYPE_CHECKING:
    from facefeat.types import FloatArray, UInt8Array

CORRUPTIONS: tuple[str, ...] = tuple(
    name for one in corruptions.SUMMARIES for name in ((one, "jpeg") if one == "noise" else (one,))
)
"""Their names; `corruptions.SUMMARIES` says what each is."""
_AT_ONCE = 64


def corrupt(crop: UInt8Array, name: str, severity: float, seed: int = 0) -> UInt8Array:
    """One crop, made worse.

    Args:
        crop: (H, W, 3) uint8, RGB.
        name: one of CORRUPTIONS.
        severity: 0 to 1. 0 changes nothing, 0.5 is what wild photos often show, 1 leaves little to read.
        seed: decides what is drawn: directions, colours, noise.

    Returns:
        (H, W, 3) uint8, a new array.

    Raises:
        InputError: for an unknown name, or a severity that is not in 0..1; ImageError: for another array.

    Example:
        >>> corrupt(crop, "motion-blur", 0.5, seed=1)
    """
    import numpy as np

    return corrupt_crops(np.asarray(crop)[None], name, severity, seed)[0]


def corrupt_crops(crops: UInt8Array, name: str, severity: float, seed: int = 0) -> UInt8Array:
    """`corrupt` for (N, H, W, 3) uint8 crops, each with draws of its own: the i-th depends on i and the seed alone."""
    import numpy as np

    from facefeat.image.align import check_crops

    name = get_corruption(name)
    if isinstance(severity, bool) or not isinstance(severity, int | float) or not 0 <= severity <= 1:
        raise InputError(f"a severity is a number from 0 to 1. Received: {severity!r}.")
    crops = check_crops(crops)
    out = crops.copy()
    if not severity:
        return out
    at_once = _AT_ONCE if name not in corruptions.MOVES and name != "jpeg" else 1
    for first in range(0, len(crops), at_once):
        rows = range(first, min(first + at_once, len(crops)))
        some = crops[rows.start : rows.stop]
        generators = [np.random.default_rng([zlib.crc32(name.encode()), seed % 2**32, row]) for row in rows]
        drawn = np.stack([g.random(corruptions.DRAWS, "float32") for g in generators])
        draw = [drawn[:, i, None, None, None] for i in range(corruptions.DRAWS)]
        s = np.full((len(some), 1, 1, 1), severity, "float32")
        field: Any = 0.0
        if name in ("noise", "dark"):
            field = np.stack([g.standard_normal(some.shape[1:], "float32") for g in generators])
        changed = _changed(some, name, s, draw, field)
        out[rows.start : rows.stop] = np.clip(np.round(changed), 0, 255).astype("uint8")
    return out


def get_corruption(name: str) -> str:
    """The name as CORRUPTIONS has it; "motion_blur" is "motion-blur". Raises InputError for an unknown one."""
    found = str(name).replace("_", "-")
    if found not in CORRUPTIONS:
        raise InputError(f"no such corruption. {did_you_mean(str(name), CORRUPTIONS)}")
    return found


def _changed(crops: UInt8Array, name: str, s: FloatArray, draw: list[FloatArray], field: Any) -> Any:
    import numpy as np

    if name == "jpeg":
        return np.stack([_jpeg(crop, float(severity)) for crop, severity in zip(crops, s.ravel(), strict=True)])
    if name in corruptions.MOVES:
        to = corruptions.corners_of(np, name, s, draw)
        return np.stack([_moved(crop, corners) for crop, corners in zip(crops, to, strict=True)])
    pixels = crops.astype("float32")
    if name in corruptions.KERNELS:
        return _blurred(pixels, name, s, draw)
    if name == "low-resolution":
        height, width = crops.shape[1:3]
        rows, columns = (corruptions.low_resolution(np, side, s[:1])[0] for side in (height, width))
        fewer = (rows @ pixels.reshape(-1, height, width * 3)).reshape(-1, width, 3)  # (B * H, W, 3)
        return (columns @ fewer).reshape(crops.shape)
    return corruptions.recolour(np, name, pixels, s, draw, field)


def _blurred(pixels: FloatArray, name: str, s: FloatArray, draw: list[FloatArray]) -> Any:
    import numpy as np

    height, width = pixels.shape[1:3]
    side = min(height, width)
    pad = min(int(side * corruptions.PADDING) + 2, side - 1)
    padded = np.pad(pixels, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect").transpose(0, 3, 1, 2)
    kernel = corruptions.kernel_of(np, name, padded.shape[2:], side, s, draw)[:, None]
    spectrum = np.fft.rfft2(padded) * np.fft.rfft2(kernel)
    blurred = np.fft.irfft2(spectrum, s=padded.shape[2:]).transpose(0, 2, 3, 1)
    return blurred[:, pad : pad + height, pad : pad + width]


def _moved(crop: UInt8Array, to: FloatArray) -> UInt8Array:
    """(H, W, 3) with its corners moved to (4, 2) fractions of its sides, by perspective; black around it."""
    import numpy as np
    from PIL import Image

    height, width = crop.shape[:2]
    size = np.array([width, height])
    at, source = to.astype("float64") * size, np.array(corruptions.CORNERS) * size
    rows = []
    for (x, y), (u, v) in zip(at, source, strict=True):  # output (x, y) is read from (u, v)
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    matrix = np.linalg.solve(np.array(rows), source.ravel())
    moved = Image.fromarray(crop).transform(
        (width, height), Image.Transform.PERSPECTIVE, matrix.tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(moved)


def _jpeg(crop: UInt8Array, severity: float) -> UInt8Array:
    """Quality 100 at severity 0, 18 at 0.5, 3 at 1."""
    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(crop).save(file, "JPEG", quality=corruptions.jpeg_quality(severity))
    return np.asarray(Image.open(file))
