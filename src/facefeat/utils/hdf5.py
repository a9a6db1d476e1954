"""Untrusted weights files: what an HDF5 file would unpack to, and whether it leads elsewhere, before it is read."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

_DEPTH = 20
_OBJECTS = 100_000


class Contents(NamedTuple):
    """bytes: that the numbers of a file take in memory. numbers: how many there are."""

    bytes: int
    numbers: int


def check_hdf5(file: Any) -> Contents:
    """What an open `h5py.File` holds, from its headers; no number is read.

    Raises ValueError for links into other files, data outside the file, virtual data, objects that are nested too deep
    or too many, and what are no numbers: texts, references and lists, whose size no header says.
    """
    import h5py

    total = count = objects = 0
    waiting: list[tuple[Any, int]] = [(file, 0)]
    seen = set()
    while waiting:
        group, depth = waiting.pop()
        if depth > _DEPTH:
            raise ValueError(f"it nests groups more than {_DEPTH} deep")
        for name in group:
            objects += 1
            if objects > _OBJECTS:
                raise ValueError(f"it holds more than {_OBJECTS:,} objects")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name[:80]!r} is a link to another place")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                raise ValueError(f"{name[:80]!r} is in two places")
            seen.add(place)
            if isinstance(item, h5py.Group):
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise ValueError(f"{name[:80]!r} keeps its numbers in another place")
                if item.shape is None or (item.dtype.kind not in "fiub" and not _is_bfloat(item.dtype)):
                    raise ValueError(f"{name[:80]!r} holds no numbers")
                count += math.prod(item.shape)
                total += math.prod(item.shape) * item.dtype.itemsize
    return Contents(total, count)


def _is_bfloat(dtype: Any) -> bool:
    return str(dtype) == "bfloat16"
