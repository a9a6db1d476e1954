"""Untrusted files: opened only where they are regular, read with a size limit; folders listed in a fixed order."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 256 * 1024**2
MAX_TOML_BYTES = 1024**2
_DEPTH = 100
"""Of tables and lists within each other: nothing of ours comes near it."""
_MOST_DOTS = 1000
_BETWEEN_KEYS = re.compile("[][{}=,\n\"']")


def open_regular(
    path: str | os.PathLike[str], max_bytes: int | None = None, inside: str | os.PathLike[str] | None = None
) -> BufferedReader:
    """Open a regular file for reading; one that could keep the reader for ever is refused.

    Args:
        path: the file; a link is followed.
        max_bytes: refuse a larger one. What a file says of its size may be wrong: see `read_regular`.
        inside: refuse a link that leads out of this folder.

    Raises:
        OSError: for a pipe, device, socket or folder, a file that is too large or outside, and whatever else cannot be
            opened; its `strerror` is one clause.
        ValueError: for a NUL in the path.
    """
    if inside is not None:
        root, real = os.path.realpath(inside), os.path.realpath(path)
        if os.path.commonpath([root, real]) != root:
            raise OSError(errno.ELOOP, f"it is a link that leads out of {os.fspath(inside)!r}", os.fspath(path))
    _check(os.stat(path).st_mode, path)  # before it is opened: that alone can change a device
    # Without O_NONBLOCK, a pipe that took the file's place meanwhile, and /proc/kmsg, would wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        status = os.fstat(file.fileno())
        _check(status.st_mode, path)
        if max_bytes is not None and status.st_size > max_bytes:
            raise _too_large(path, max_bytes)
    except BaseException:
        file.close()
        raise
    return file


def expanded(path: str | os.PathLike[str]) -> Path:
    """With the user's home in place of "~"; "~nobody", of whom the system knows no home, stays as it is."""
    return Path(os.path.expanduser(path))


def read_regular(path: str | os.PathLike[str], max_bytes: int, inside: str | os.PathLike[str] | None = None) -> bytes:
    """The bytes of a regular file, up to `max_bytes`. Raises OSError and ValueError as `open_regular`."""
    with open_regular(path, max_bytes, inside) as file:
        data: bytes | None = file.read(max_bytes + 1)
    if data is None:  # such as /proc/kmsg
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), os.fspath(path))
    if len(data) > max_bytes:
        raise _too_large(path, max_bytes)
    return data


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))


def _too_large(path: str | os.PathLike[str], max_bytes: int) -> OSError:
    size = f"{max_bytes // 1024**2:,} MB" if max_bytes >= 1024**2 else f"{max_bytes:,} bytes"
    return OSError(errno.EFBIG, f"it is larger than {size}", os.fspath(path))


def read_json(
    path: str | os.PathLike[str], max_bytes: int = MAX_JSON_BYTES, inside: str | os.PathLike[str] | None = None
) -> Any:
    """What a JSON file holds. Raises OSError as `open_regular`, ValueError where it is no JSON."""
    return parse_json(read_regular(path, max_bytes, inside).decode("utf-8"))


def parse_json(text: str) -> Any:
    """What a JSON text holds. Raises ValueError where it is none, or is nested too deep."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if isinstance(value, dict | list):
        _check_depth(value)
    return value


def read_toml(path: str | os.PathLike[str], max_bytes: int = MAX_TOML_BYTES) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file, and its table. Raises OSError as `open_regular`, ValueError where it is no TOML."""
    text = read_regular(path, max_bytes).decode("utf-8-sig").replace("\r\n", "\n")  # Windows' editors put a mark first
    return text, parse_toml(text)


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text. Raises ValueError where it is none, is nested too deep, or has a number too large."""
    if max(part.count(".") for part in _BETWEEN_KEYS.split(text)) > _MOST_DOTS:
        raise ValueError("it is nested too deep")  # a key of so many parts takes its square in memory
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    _check_depth(table)
    return table


def _check_depth(value: Any) -> None:
    """Raises ValueError for tables within tables, as a dotted key of a thousand parts makes them: readers recurse."""
    level = [value]
    for _ in range(_DEPTH):
        level = [v for one in level for v in (one.values() if isinstance(one, dict) else one)
                 if isinstance(v, dict | list)]  # fmt: skip
        if not level:
            return
    raise ValueError("it is nested too deep")


def nearest_file(name: str | os.PathLike[str]) -> str:
    """A question after a mistyped file name, or nothing."""
    import difflib

    folder, base = os.path.split(os.fspath(name))
    try:
        there = os.listdir(folder or ".")[:1000]
    except (OSError, ValueError):
        return ""
    near = [] if base in there else difflib.get_close_matches(base[:255], there, 1, 0.75)
    return f" Did you mean {os.path.join(folder, near[0])!r}?" if near else ""


def is_visible(name: str) -> bool:
    """Whether no part of a name with "/" is hidden, or the `__MACOSX` of a Mac's archives."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def walk(folder: str | os.PathLike[str]) -> Iterator[tuple[str, OSError | None]]:
    """(path, None) of each visible file below a folder, and (folder, error) where one cannot be listed.

    Sorted: a folder's own files come before those of its subfolders. Links to folders are not followed.
    """
    faults: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=faults.append):
        folders[:] = sorted(f for f in folders if is_visible(f))
        yield from ((os.path.join(where, n), None) for n in sorted(names) if is_visible(n))
        yield from ((str(f.filename), f) for f in faults)
        faults.clear()
    yield from ((str(f.filename), f) for f in faults)


_SEPARATORS = re.escape(os.sep + (os.altsep or ""))
_ANY_DEPTH = re.compile(rf"(?:^|(?<=[{_SEPARATORS}]))(?:\*\*(?:[{_SEPARATORS}]|$))+")
"""`**` as a part of a pattern of paths, once or more in a row."""


def matching(pattern: str) -> list[str]:
    """What a pattern of paths matches, sorted: as `glob.glob` gives it, but `**` does not follow links to folders.

    Two such links that lead up would else be followed in turn, to paths as long as the system allows, for ever.
    """
    deep = _ANY_DEPTH.search(pattern)
    if deep is None:
        return sorted(glob.glob(pattern))
    before, after = pattern[: deep.start()], pattern[deep.end() :]
    found: set[str] = set()
    for base in glob.glob(before) if before else [""]:
        for where, folders, names in os.walk(base or os.curdir):
            folders[:] = [f for f in folders if not f.startswith(".")]
            own = where if base else where.removeprefix(os.curdir).lstrip(os.sep)
            if after:
                found.update(matching(os.path.join(glob.escape(own), after)))
            else:
                found.update(os.path.join(own, n) for n in (*folders, *names) if not n.startswith("."))
    return sorted(found)


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins so (6 bytes are enough) is compressed by gzip, bzip2 or xz."""
    return head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"))
