"""What the detectors share: opening their graphs, scaling pictures, arithmetic on boxes.

Boxes are (n, 4) float32 of left, top, right, bottom in pixels.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, PluginError
from facefeat.utils.ort import import_onnxruntime, session_options, threads_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facefeat.types import UInt8Array

    Floats = NDArray[np.float32]
    Indices = NDArray[np.intp]

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "detectors"
"""Where the graphs lie."""
_BLOCK = 128  # boxes that are compared with each other at once
_opening = threading.Lock()


# ---------------------------------------------------------------- options


def check_pixels(detector: str, name: str, value: object, low: int) -> None:
    """Raises InputError unless value is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"{detector}: {name} must be a whole number of at least {low} pixels. Received: {value!r}.")


def check_number(detector: str, name: str, value: object, high: float = 1.0) -> None:
    """Raises InputError unless value is a number from 0 to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise InputError(f"{detector}: {name} must be a number from 0 to {high:g}. Received: {value!r}.")


def check_flag(detector: str, name: str, value: object) -> None:
    """Raises InputError unless value is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{detector}: {name} must be true or false. Received: {value!r}.")


def check_threads(detector: str, value: object) -> None:
    """Raises InputError unless value is a whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{detector}: threads must be a whole number; 0: one a core. Received: {value!r}.")


# ---------------------------------------------------------------- graphs


def run_graph(name: str, pixels: NDArray[Any], threads: int = 0) -> list[Floats]:
    """The outputs of assets/detectors/NAME.onnx, whose only input is called pixels. Threads may share it."""
    session = _session(name, threads)
    outputs: list[Floats] = session.run(None, {"pixels": pixels})
    return outputs


def _session(name: str, threads: int) -> Any:
    with _opening:  # `cache` alone would let two threads open the same graph
        return _open_session(name, threads_of(threads))


@cache
def _open_session(name: str, threads: int) -> Any:
    onnxruntime = import_onnxruntime()
    path = FOLDER / f"{name}.onnx"
    if not path.is_file():
        raise PluginError(f"facefeat is incomplete: {path} is missing. Next: pip install --force-reinstall facefeat")
    options = session_options(threads)
    # The arena keeps the largest of all sizes that it has seen; photos come in many.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# ---------------------------------------------------------------- pictures


def shrink(image: UInt8Array, max_side: int) -> UInt8Array:
    """The (H, W, 3) image itself, or scaled down so that its longer side has max_side pixels."""
    height, width = image.shape[:2]
    ratio = max_side / max(height, width)
    if ratio >= 1:
        return image
    return resize(image, (max(1, round(width * ratio)), max(1, round(height * ratio))))


def resize(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """The (H, W, 3) image at size (width, height): means of whole pixels as far as these go, then bilinear."""
    from PIL import Image

    height, width = image.shape[:2]
    if size == (width, height):
        return image
    # From more than four times too large, every second, third ... pixel is enough to average over: on a photo of
    # 12 megapixels, handing all of them to Pillow takes as long as finding the faces.
    step = max(1, int(max(width, height) / max(size)) // 2)
    picture = Image.fromarray(np.ascontiguousarray(image[::step, ::step]))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0))


# ---------------------------------------------------------------- boxes


def take(keep: NDArray[Any], *arrays: Any) -> tuple[Any, ...]:
    """The same rows of several arrays."""
    return tuple(a[keep] for a in arrays)


def moved(boxes: Floats, shift: Floats) -> Floats:
    """boxes (n, 4) moved by shift (n, 4), which is in units of their width and height."""
    return boxes + shift * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def squared(boxes: Floats) -> Floats:
    """boxes (n, 4) -> squares of the same centres and the longer sides."""
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0.0) / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.hstack([centre - half, centre + half])


def suppress(boxes: Floats, scores: Floats, over: float, inside: float = 1.0) -> Indices:
    """Non-maximum suppression: which of n boxes stay, best first.

    A box goes where a better one overlaps with it by more than `over` of their union, or covers more than `inside` of
    the smaller of the two.
    """
    alive = np.argsort(-scores, kind="stable")
    if len(alive) < 2:
        return alive
    sides = boxes.astype("float64")
    kept = [alive[:0]]
    while len(alive):
        # A block's boxes are compared in one matrix, and what stays of them then with all that are left.
        block, rest = alive[:_BLOCK], alive[_BLOCK:]
        clash = _clash(sides[block], sides[block], over, inside)
        stays = np.ones(len(block), bool)
        for i in range(len(block)):
            if stays[i]:
                stays[i + 1 :] &= ~clash[i, i + 1 :]
        kept.append(block[stays])
        alive = rest[~_clash(sides[block[stays]], sides[rest], over, inside).any(axis=0)]
    return np.concatenate(kept)


def _clash(a: NDArray[np.float64], b: NDArray[np.float64], over: float, inside: float) -> NDArray[np.bool_]:
    """(n, m) whether the boxes a (n, 4) and b (m, 4) are too much of the same."""
    low_x, low_y, high_x, high_y = (a[:, None, k] for k in range(4))
    common = np.maximum(np.minimum(high_x, b[:, 2]) - np.maximum(low_x, b[:, 0]), 0.0)
    common *= np.maximum(np.minimum(high_y, b[:, 3]) - np.maximum(low_y, b[:, 1]), 0.0)  # (n, m)
    area_a, area_b = _area(a)[:, None], _area(b)
    clash: NDArray[np.bool_] = common > over * (area_a + area_b - common)
    if inside < 1:
        clash |= common > inside * np.minimum(area_a, area_b)
    return clash


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): 0 for a box whose right side is left of its left one."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0.0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0.0)
