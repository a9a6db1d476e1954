"""A few faces of a data set to look at, read by themselves: the whole set need not be decoded for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facefeat.data.crops import _crop
from facefeat.data.decode import decode_all
from facefeat.errors import DataError, ImageError
from facefeat.image.align import open_image

if TYPE_CHECKING:
    from facefeat.data.dataset import FaceDataset
    from facefeat.types import UInt8Array


def read_rows(dataset: FaceDataset, rows: Sequence[int], size: int) -> dict[int, UInt8Array]:
    """Row of `dataset.table` -> crop (S, S, 3) uint8. A row whose picture cannot be read is left out.

    The pixels are those of `dataset.crops(size)`.
    """
    shared = dataset._shared
    if shared.source is None:
        shared.source = shared.open()
    names = [shared.prefix + str(dataset.table["file"].iloc[r]) for r in rows]
    found = decode_all(shared.source, names, lambda data: _crop(data, size))
    crops = {rows[i]: c for i, c in found if not isinstance(c, ImageError)}
    return {r: np.frombuffer(crops[r], np.uint8).reshape(size, size, 3) for r in rows if r in crops}


def sample_pictures(dataset: FaceDataset, count: int, seed: int = 1) -> Iterator[UInt8Array]:
    """Up to `count` whole pictures of the data set, (H, W, 3) uint8 each; what cannot be read is left out."""
    shared = dataset._shared
    if shared.source is None:
        shared.source = shared.open()
    for row in sample_rows(np.arange(len(dataset)), count, seed):
        try:
            yield open_image(shared.source.read(shared.prefix + str(dataset.table["file"].iloc[row])))
        except ImageError:
            continue


def sample_rows(rows: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """`count` of these rows, or all where there are fewer, in the order drawn. The same seed draws the same."""
    return [int(r) for r in np.random.default_rng(seed).permutation(rows)[:count]]


def sample_crops(dataset: FaceDataset, count: int, size: int, seed: int = 1) -> UInt8Array:
    """(up to `count`, S, S, 3) uint8: crops of rows drawn from the whole data set. A few in place of unreadable ones.

    Raises DataError where none can be read.
    """
    drawn = sample_rows(np.arange(len(dataset)), count + 8, seed)
    crops = list(read_rows(dataset, drawn, size).values())[:count]
    if not crops:
        raise DataError(f"none of {len(drawn)} pictures drawn from data set {dataset.name!r} can be read")
    return np.stack(crops)
