"""Untrusted tar, zip and npz files: nothing of them is believed before it is checked, and what they may raise."""

from __future__ import annotations

import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from facefeat.utils.files import open_regular

if TYPE_CHECKING:
    import numpy as np

MAX_NAME_BYTES = 65_536
"""Of a member's name or its extended headers: a tar may declare gigabytes, which Python's reader would allocate."""
MAX_MEMBERS = 4_000_000
"""Members that are listed: a compressed archive of some megabytes may hold any number of empty ones."""
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, ValueError, OverflowError, RecursionError),
    RuntimeError,  # encrypted, or compressed by a method that Python does not know
)
"""What Python's readers of archives raise on a file that is damaged, encrypted or made to harm."""

_EXTENDED = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


class CheckedMember(tarfile.TarInfo):
    """A member of a tar whose sizes are possible: `tarfile.open(..., tarinfo=CheckedMember)`."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> CheckedMember:
        """A member from its header. Raises tarfile.ReadError for sizes that no archive of pictures has."""
        made = super().frombuf(buf, encoding or "utf-8", errors)
        if made.size < 0 or made.size >= 2**62:
            raise tarfile.ReadError(f"a member claims {made.size} bytes")
        if made.type in _EXTENDED and made.size > MAX_NAME_BYTES:
            raise tarfile.ReadError(f"a name or extended header of {made.size:,} bytes")
        return made


def read_npz(
    path: str | os.PathLike[str],
    max_bytes: int,
    names: Collection[str],
    optional: Collection[str] = (),
    inside: str | os.PathLike[str] | None = None,
) -> dict[str, np.ndarray]:
    """Some arrays of an .npz file; sizes are checked before anything is unpacked, and no pickle is read.

    Args:
        path: a regular file.
        max_bytes: that all of its members may unpack to.
        names: of arrays that it must hold. optional: of others that are read where they are there.
        inside: as of `open_regular`.

    Raises:
        OSError: as `open_regular`.
        ValueError: one clause, for a file that is no such .npz, or lacks an array.
    """
    from tokenize import TokenError

    from numpy.lib import format as npy

    with open_regular(path, inside=inside) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
                if sum(i.file_size for i in archive.infolist()) > max_bytes:
                    raise ValueError(f"it unpacks to over {max_bytes:,} bytes")
                missing = [n for n in names if n not in members]
                if missing:
                    raise ValueError(f"it has no array {', '.join(map(repr, missing))}")
                found = {}
                for name in dict.fromkeys((*names, *(n for n in optional if n in members))):
                    with archive.open(members[name]) as member:
                        _check_header(member, members[name].file_size, name)
                    with archive.open(members[name]) as member:
                        found[name] = npy.read_array(member, allow_pickle=False)
                return found
        except (*DAMAGED, SyntaxError, TokenError, TypeError, MemoryError) as e:
            raise ValueError(" ".join(str(e).split())[:200] or type(e).__name__) from None


def _check_header(member: Any, size: int, name: str) -> None:
    """Raises ValueError where an array claims more numbers than its member has bytes, or holds pickled objects."""
    import math

    from numpy.lib import format as npy

    version = npy.read_magic(member)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(member)
    if dtype.hasobject:
        raise ValueError(f"{name!r} holds Python objects")
    if any(n < 0 for n in shape) or math.prod(shape) * max(dtype.itemsize, 1) > size:
        raise ValueError(f"{name!r} claims more numbers than it has")
