"""Decoded crops on disk, mapped into memory: written once, read by rows, never held whole.

A cache is a folder `crops-SIZE-KEY` with `crops.u8` (N x S x S x 3 bytes) and `cache.json` (what it was built from, the
rows that could not be decoded, and a check sum of every block). It is written atomically; of two processes that write
the same one, the first wins and both are right.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import operator
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facefeat.data.decode import decode_all
from facefeat.data.sources import Source
from facefeat.errors import DataError, ImageError, InputError
from facefeat.image.align import open_image, resize_crop
from facefeat.utils.atomic import replace_folder, temporary_folder, unwritable
from facefeat.utils.files import read_json
from facefeat.utils.machine import cores

VERSION = 1
"""Goes up when the pixels that the same file gives change."""
CHECK_ALL_BYTES = 4 * 1024**3
"""A cache up to this size is checked whole when it is opened (about a second a gigabyte); 64 blocks of a larger one."""
_BLOCK = 64 * 1024**2
_RELEASE_BYTES = 32 * 1024**2


class CropView:
    """Rows of the decoded crops, (N, S, S, 3) uint8, read when indexed. Indexing copies; nothing else is held.

    Index with a whole number ((S, S, 3)), a slice, or an array of whole numbers or booleans ((K, S, S, 3)). Reading
    gives memory back to the system every 32 MB, so that a pass over any data set takes little more than that.
    """

    dtype = np.dtype("uint8")
    ndim = 4

    def __init__(self, path: Path, count: int, size: int, rows: NDArray[np.int64] | None = None) -> None:
        with path.open("rb") as f:
            self._map = mmap.mmap(f.fileno(), count * size * size * 3, access=mmap.ACCESS_READ)
        self._all = np.frombuffer(self._map, np.uint8).reshape(count, size, size, 3)
        self._rows = np.arange(count) if rows is None else rows
        self._since_release = 0
        self.path = path

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, S, S, 3)."""
        size = self._all.shape[1]
        return (len(self._rows), size, size, 3)

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """(N,) int64: the positions of these rows in the file."""
        return self._rows

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return len(self) * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return self._all.shape[1] ** 2 * 3

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        if isinstance(key, tuple):
            inner = self[key[0]]
            return inner[key[1:]] if inner.ndim == 3 else inner[(slice(None), *key[1:])]
        if not isinstance(key, slice) and np.ndim(key) == 0:
            return self.take([operator.index(key)])[0]
        if not isinstance(key, slice) and len(key) == 0:
            key = np.zeros(0, np.int64)
        return self._read(self._rows[key])

    def take(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """(K, S, S, 3) uint8: the rows at these positions, in their order."""
        return self._read(self._rows[np.asarray(indices, np.int64)])

    def _read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self._all.nbytes > CHECK_ALL_BYTES and hasattr(mmap, "MADV_WILLNEED"):
            # Not read when it was opened, so not in the file cache: ask for all rows at once, in the file's order.
            for row in np.sort(rows):
                start = int(row) * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, start, (int(row) + 1) * self._row_bytes - start)
        # One call for all rows: with one for each, this thread and the one that computes take turns at every row.
        out = self._all.take(rows, axis=0)
        self._since_release += out.nbytes
        if self._since_release > _RELEASE_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._since_release = 0
            self._map.madvise(mmap.MADV_DONTNEED)  # the pages stay in the system's file cache, not in this process
        return out

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a CropView cannot become an array without a copy")
        return self._read(self._rows).astype(dtype or self.dtype, copy=False)

    def rows(self, rows: NDArray[np.int64]) -> CropView:
        """A view of the same file with these of its rows (positions in the file)."""
        view = object.__new__(CropView)
        view.__dict__.update(self.__dict__, _rows=np.asarray(rows, np.int64), _since_release=0)
        return view


@dataclass(frozen=True)
class DecodedCrops:
    """All rows of a data set. bad: row -> why it could not be decoded (its pixels are 0)."""

    view: CropView
    bad: dict[int, str]


def decoded_crops(
    source: Source,
    names: Sequence[str],
    size: int,
    folders: Sequence[Path],
    progress: Callable[[int, int], None] | None = None,
) -> DecodedCrops:
    """The crops of all names from the first folder that has them or can hold them; decoded now where none has.

    Raises InputError for an impossible size, DataError where no folder can be written or has the room.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 8 <= size <= 1024:
        raise InputError(f"a crop's size must be a whole number of pixels from 8 to 1024. Received: {size!r}.")
    key = _key(source, names, size)
    name = f"crops-{size}-{key[:20]}"
    for folder in folders:
        found = _open(folder / name, key, len(names), size)
        if found is not None:
            return found
    home = _writable(folders, len(names) * size * size * 3)
    _build(home / name, source, names, size, key, progress)
    found = _open(home / name, key, len(names), size)
    if found is None:
        raise DataError(f"the crops written to {str(home / name)!r} do not read back: is the disk sound?")
    return found


def _key(source: Source, names: Sequence[str], size: int) -> str:
    digest = hashlib.sha256(f"{VERSION}\n{size}\n{source.kind}\n".encode())
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    digest.update(source.stamp(names).encode())
    return digest.hexdigest()


def _writable(folders: Sequence[Path], size: int) -> Path:
    """The first folder that can be written and has room."""
    problems = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
            free = shutil.disk_usage(folder).free
        except OSError as e:
            problems.append(f"{str(folder)!r}: {e.strerror or e}")
            continue
        if free > size * 1.02:
            return folder
        problems.append(f"{str(folder)!r}: {free / 1e6:,.0f} MB free")
    raise DataError(
        f"no room for the decoded crops ({size / 1e6:,.0f} MB). {'; '.join(problems)}."
        " Set FACEFEAT_CACHE to a folder on a larger disk."
    )


def _open(folder: Path, key: str, count: int, size: int) -> DecodedCrops | None:
    """The cache in a folder, or None where there is none, or it is damaged."""
    data = folder / "crops.u8"
    try:
        about = read_json(folder / "cache.json")
        whole = data.stat().st_size == count * size * size * 3
        if not whole or about["key"] != key or about["version"] != VERSION:
            return None
        bad = {int(row): str(reason) for row, reason in about["bad"].items()}
        sums = [int(s) for s in about["sums"]]
        if not _sums_agree(data, sums) or any(not 0 <= row < count for row in bad):
            return None
        return DecodedCrops(CropView(data, count, size), bad)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent or not what this module writes: it is built anew


def _sums_agree(data: Path, sums: Sequence[int]) -> bool:
    total = data.stat().st_size
    blocks = range(-(-total // _BLOCK))
    if len(sums) != len(blocks):
        return False
    if total > CHECK_ALL_BYTES:
        blocks = range(0, len(blocks), -(-len(blocks) // 64))
    with ThreadPoolExecutor(cores()) as pool:
        return all(s == sums[b] for s, b in zip(pool.map(lambda b: _sum(data, b), blocks), blocks, strict=True))


def _sum(data: Path, block: int) -> int:
    checksum = 0
    with data.open("rb") as f:
        f.seek(block * _BLOCK)
        for _ in range(_BLOCK // 2**20):
            checksum = zlib.crc32(f.read(2**20), checksum)
    return checksum


def _build(
    folder: Path,
    source: Source,
    names: Sequence[str],
    size: int,
    key: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    row_bytes = size * size * 3
    bad: dict[int, str] = {}
    try:
        with temporary_folder(folder) as temporary:
            new = temporary / "new"
            new.mkdir()
            data = new / "crops.u8"
            with data.open("wb") as f:
                f.truncate(len(names) * row_bytes)
                for row, crop in decode_all(source, names, lambda b: _crop(b, size), progress):
                    if isinstance(crop, ImageError):
                        bad[row] = str(crop)
                        continue
                    f.seek(row * row_bytes)
                    f.write(crop)
                f.flush()
                os.fsync(f.fileno())
            if len(bad) == len(names):
                raise DataError(f"none of the {len(names):,} pictures can be read. The first: {names[0]}: {bad[0]}.")
            sums = [_sum(data, b) for b in range(-(-data.stat().st_size // _BLOCK))]
            about = {"version": VERSION, "key": key, "size": size, "rows": len(names), "bad": bad, "sums": sums}
            (new / "cache.json").write_text(json.dumps(about), "utf-8")
            with _publishing:
                # One that is there already is the other process's, whose bytes are ours, or was found damaged.
                if _open(folder, key, len(names), size) is None:
                    replace_folder(new, folder)
    except OSError as e:
        raise unwritable(folder, e, DataError) from None


def _crop(data: bytes, size: int) -> bytes:
    image = open_image(data)
    side = min(
        image.shape[:2]
    )  # a picture that is not square gives its central square, as the whole-image detector does
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return resize_crop(np.ascontiguousarray(image[top : top + side, left : left + side]), size).tobytes()


_publishing = threading.Lock()
