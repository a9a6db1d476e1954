"""Where the pictures of a data set lie: a folder, a tar or a zip. Archives are read in place, never extracted.

A source names its pictures by their path inside it, with "/" between the parts. Names that leave the source ("..", an
absolute path, a link) do not exist as far as an archive is concerned.
"""

from __future__ import annotations

import os
import tarfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from facefeat.errors import DataError, ImageError
from facefeat.image.io import MAX_PICTURE_BYTES
from facefeat.utils.archives import DAMAGED, MAX_MEMBERS, CheckedMember
from facefeat.utils.files import is_compressed, is_visible, open_regular, read_regular, walk


class Source(Protocol):
    """Pictures by name."""

    @property
    def path(self) -> Path:
        """The folder or archive."""
        ...

    @property
    def kind(self) -> str:
        """ "folder", "tar" or "zip"."""
        ...

    @property
    def sequential(self) -> bool:
        """Whether reading out of order costs much (a compressed tar): read in the order of `position` then."""
        ...

    def names(self) -> list[str]:
        """Every file in it, sorted; hidden files and a Mac's `__MACOSX` left out."""
        ...

    def has(self, name: str) -> bool:
        """Whether it holds a file of that name."""
        ...

    def position(self, name: str) -> int:
        """Where the file lies in it: the order that reads fastest. 0 where order does not matter."""
        ...

    def read(self, name: str) -> bytes:
        """The file's bytes; may be called from several threads. Raises ImageError where it cannot be read."""
        ...

    def stamp(self, names: Sequence[str]) -> str:
        """Changes when the files change: their sizes and modification times, or the archive's."""
        ...


def clean_name(name: str) -> str:
    r"""A file's name with "/" between its parts and no "./": `.\a\b.jpg` and `a/b.jpg` are one."""
    name = name.strip().replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    return name


def is_inside(name: str) -> bool:
    """Whether a cleaned name stays inside its source: relative, without a drive, without ".."."""
    return bool(name) and not name.startswith("/") and ":" not in name[:2] and ".." not in name.split("/")


def _stat_stamp(path: Path) -> str:
    info = path.stat()
    return f"{info.st_size}:{info.st_mtime_ns}"


class FolderSource:
    """A folder. `outside` allows names that leave it (a user's own table may hold absolute paths)."""

    kind = "folder"
    sequential = False

    def __init__(self, path: Path, outside: bool = False) -> None:
        self.path = path
        self.outside = outside

    def names(self) -> list[str]:
        """Every file below the folder, sorted."""
        start = len(os.path.join(self.path, ""))
        return sorted(path[start:].replace(os.sep, "/") for path, fault in walk(self.path) if fault is None)

    def _locate(self, name: str) -> Path | None:
        return self.path / name if self.outside or is_inside(name) else None

    def has(self, name: str) -> bool:
        """Whether the file is there."""
        path = self._locate(name)
        return path is not None and path.is_file()

    def position(self, name: str) -> int:
        """Always 0."""
        return 0

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises ImageError where it is missing, unreadable or too large."""
        path = self._locate(name)
        if path is None:
            raise ImageError(f"{name!r} is outside {str(self.path)!r}")
        try:
            return read_regular(path, MAX_PICTURE_BYTES)
        except (OSError, ValueError) as e:
            raise ImageError(f"cannot read {name!r}: {getattr(e, 'strerror', None) or e}") from None

    def stamp(self, names: Sequence[str]) -> str:
        """Size and modification time of each file."""
        stamps = []
        for name in names:
            path = self._locate(name)
            try:
                stamps.append("-" if path is None else _stat_stamp(path))
            except OSError:
                stamps.append("-")
        return "\n".join(stamps)


@dataclass(frozen=True)
class ArchiveSource:
    """A tar or zip. members: name -> (offset, size, what `fetch` reads it by)."""

    path: Path
    kind: str
    sequential: bool
    members: Mapping[str, tuple[int, int, Any]]
    fetch: Callable[[Any], bytes]

    def names(self) -> list[str]:
        """Every regular file in it, sorted."""
        return sorted(self.members)

    def has(self, name: str) -> bool:
        """Whether a regular file of that name is in it."""
        return name in self.members

    def position(self, name: str) -> int:
        """Offset of the file in the archive."""
        return self.members[name][0] if name in self.members else 0

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises ImageError where it is missing, encrypted, too large, damaged or cut short."""
        if name not in self.members:
            raise ImageError(f"no {name!r} in {str(self.path)!r}")
        _, size, member = self.members[name]
        if size > MAX_PICTURE_BYTES:
            raise ImageError(f"{name!r} is larger than {MAX_PICTURE_BYTES // 1024**2} MB")
        try:
            data = self.fetch(member)
        except (*DAMAGED, MemoryError) as e:
            raise ImageError(f"cannot read {name!r} in {str(self.path)!r}: {e}") from None
        if len(data) != size:
            raise ImageError(f"{name!r} is cut short in {str(self.path)!r}")
        return data

    def stamp(self, names: Sequence[str]) -> str:
        """Size and modification time of the archive."""
        return _stat_stamp(self.path)


def _members(entries: Iterable[tuple[str, int, int, Any]]) -> dict[str, tuple[int, int, Any]]:
    """Those of (name, offset, size, entry) that lie inside the archive and are not hidden, by their clean names."""
    named = ((clean_name(name), rest) for name, *rest in entries)
    return {name: tuple(rest) for name, rest in named if is_inside(name) and is_visible(name)}


def _open_tar(path: Path) -> ArchiveSource:
    file = open_regular(path)
    sequential = is_compressed(file.read(6))
    file.seek(0)
    tar = tarfile.open(  # noqa: SIM115 - kept open to read from
        fileobj=file, mode="r:*" if sequential else "r:", tarinfo=CheckedMember
    )
    listed = (m for n, m in enumerate(tar) if _count(n))
    regular = (m for m in listed if m.isreg() and not m.issparse())
    members = _members((m.name, m.offset_data, m.size, m) for m in regular)
    lock = threading.Lock()

    def fetch(member: tarfile.TarInfo) -> bytes:
        with lock:
            if sequential:
                stream = tar.extractfile(member)
                return stream.read() if stream else b""
            file.seek(member.offset_data)
            return file.read(member.size)

    return ArchiveSource(path, "tar", sequential, members, fetch)


def _is_tar(path: Path) -> bool:
    """Whether a file begins as a tar does. (`tarfile.is_tarfile` believes the sizes in a header.)"""
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:*", tarinfo=CheckedMember):
            return True
    except (tarfile.TarError, EOFError):
        return False


def _count(number: int) -> bool:
    """True. Raises tarfile.ReadError where an archive has more members than any data set."""
    if number >= MAX_MEMBERS:
        raise tarfile.ReadError(f"more than {MAX_MEMBERS:,} members")
    return True


def _open_zip(path: Path) -> ArchiveSource:
    file = open_regular(path)
    archive = zipfile.ZipFile(file)
    weakref.finalize(archive, file.close)  # a ZipFile closes no file that it was given
    files = (i for n, i in enumerate(archive.infolist()) if _count(n) and not i.is_dir())
    members = _members((i.filename, i.header_offset, i.file_size, i) for i in files)
    return ArchiveSource(path, "zip", False, members, archive.read)


def open_source(path: Path, outside: bool = False) -> Source:
    """The source at a path, by what it is. Raises DataError for a missing path or a file that is no archive."""
    if path.is_dir():
        return FolderSource(path, outside=outside)
    if not path.exists():
        raise DataError(f"no such file or folder: {str(path)!r}")
    if not path.is_file():
        raise DataError(f"{str(path)!r} is neither a folder nor a regular file")
    suffix = path.suffix.lower()
    kind = "zip" if suffix == ".zip" else "tar" if suffix in (".tar", ".tgz", ".gz") else ""
    try:
        if zipfile.is_zipfile(path):
            kind = "zip"
            return _open_zip(path)
        if path.stat().st_size and _is_tar(path):
            kind = "tar"
            return _open_tar(path)
    except OSError as e:
        raise DataError(f"cannot read {str(path)!r}: {e.strerror or e}") from None
    except DAMAGED as e:
        reason = str(e) or type(e).__name__
        raise DataError(f"{str(path)!r} is not a whole {kind} archive ({reason}). Fetch it again.") from None
    if kind:
        raise DataError(f"{str(path)!r} is not a whole {kind} archive. Fetch it again.")
    raise DataError(f"{str(path)!r} is neither a folder nor a tar nor a zip archive, nor a .csv")


def find_prefix(source: Source, files: Sequence[str]) -> str:
    """The folder inside the source that the files' names start from, such as "UTKFace/" or ""; "" where none fits.

    Of several that fit, the one that holds most of the files' own folders, then most of a sample of the files; of
    those, the shortest. (Folders first: few of the pictures may be there.)
    """
    wanted = {f.rpartition("/")[0] for f in files}
    folders = set(_folders(source))
    held = {p: sum((p + w).rstrip("/") in folders for w in wanted) for p in ("", *(f"{f}/" for f in folders if f))}
    most = max(held.values())
    prefixes = sorted((p for p, n in held.items() if n == most), key=lambda p: (p.count("/"), p))
    if not most or len(prefixes) == 1:
        return prefixes[0] if most else ""
    sample = files[:: -(-len(files) // 256)]
    return max(prefixes, key=lambda p: sum(source.has(p + f) for f in sample))


def _folders(source: Source, depth: int = 3) -> Iterator[str]:
    yield ""
    if isinstance(source, FolderSource):
        for folder, folders, _ in os.walk(source.path):
            below = Path(folder).relative_to(source.path)
            folders[:] = sorted(f for f in folders if is_visible(f)) if len(below.parts) < depth else []
            yield from ((below / f).as_posix() for f in folders)
        return
    seen: set[str] = set()
    for name in source.names():
        parts = name.split("/")[:-1]
        for n in range(1, min(len(parts), depth) + 1):
            seen.add("/".join(parts[:n]))
    yield from sorted(seen)
