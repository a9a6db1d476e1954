"""Files by path or by fsspec address (`s3://...`, `memory://...`): look, list, read. Everything else asks here."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import IO, Any

from facefeat.errors import ImageError, InputError, MissingExtraError
from facefeat.image.io import MAX_PICTURE_BYTES, is_picture_name, pictures_below
from facefeat.utils import files
from facefeat.utils.files import open_regular

NO_ACCESS = "no access to "
"""How a reason begins where a permission or the network prevents access, whatever the picture."""

PATIENCE = 120.0
"""Seconds that one request to a remote file system may take."""
_ATTEMPTS = 3
_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_FINAL = (*_MISSING, PermissionError)
_OF_CONTENT = (*_MISSING, ValueError, LookupError, EOFError, zlib.error, zipfile.BadZipFile)


def is_address(text: str) -> bool:
    """Whether this is for fsspec, rather than a path."""
    return "://" in text or "::" in text


def scheme(address: str) -> str:
    """The scheme of an address that is not chained, in lower case: "s3" of "s3://bucket/a.jpg"; "" for a path."""
    return address.partition("://")[0].lower() if "://" in address else ""


def refused(line: str, allowed: Collection[str]) -> str:
    """Why a line of a list is not followed, one clause; "" where it is a path, or an address of an allowed scheme.

    Whoever wrote the list is not the one who runs the command: an address in it would let him send requests from here.
    """
    if not is_address(line):
        return ""
    if "::" in line:
        return "it is a chain of addresses, which a list may not hold"
    if (found := scheme(line)) not in allowed:
        return f"it is an address, and this run follows none of {found}://. To allow them: --allow-remote {found}"
    return ""


def absolute(text: str) -> str:
    """The path from the root, also that at the end of `zip://a.jpg::b.zip`: what a process in another folder opens."""
    head, chained, path = text.rpartition("::")
    # Of an address, what is neither one nor a protocol's name (`simplecache::...`) is a path: fsspec's own rule.
    if ("://" in path or not re.search("[^a-z]", path)) if chained else is_address(text):
        return text
    return head + chained + (path if os.path.isabs(path) else os.path.join(os.getcwd(), path))


def _system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. Raises InputError, MissingExtraError."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as e:
        package = re.search(r"[Ii]nstall (\S+)", str(e))
        hint = f" Next: pip install {package.group(1)}" if package else ""
        raise MissingExtraError(f"{NO_ACCESS}{address!r}: it needs a package that is not installed.{hint}") from None
    except Exception as e:  # noqa: BLE001 - each file system raises its own errors, and many may be installed
        raise InputError(_unopened(address, e)) from None


def _unopened(address: str, error: BaseException) -> str:
    return f"{'cannot open ' if isinstance(error, _OF_CONTENT) else NO_ACCESS}{address!r}: {_why(error)}"


def _why(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def refusal(text: str, error: BaseException) -> str:
    """Why a file was not read: a sentence that begins with NO_ACCESS where its address could not be reached."""
    begins = NO_ACCESS if is_address(text) and not isinstance(error, _OF_CONTENT) else "cannot read "
    return f"{begins}{text!r}: {getattr(error, 'strerror', None) or _why(error)}."


def within(call: Callable[[], Any], seconds: float = 0) -> Any:
    """What `call` gives, within some seconds, PATIENCE by default. Raises what it raises, and TimeoutError.

    Many file systems wait for a silent server for ever. The call is left to itself then, in a thread of its own.
    """
    seconds = seconds or PATIENCE
    done: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as e:  # noqa: BLE001 - it is raised again, in the caller's thread
            failed.append(e)

    thread = threading.Thread(target=run, daemon=True, name="facefeat-remote")
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return done[0]


def is_folder(text: str) -> bool:
    """Whether there is a folder. Raises InputError where the address cannot be asked."""
    return _asked(text, "isdir") if is_address(text) else os.path.isdir(text)


def exists(text: str) -> bool:
    """Whether there is anything. Raises InputError where the address cannot be asked."""
    return _asked(text, "exists") if is_address(text) else os.path.exists(text)


def _asked(address: str, question: str) -> bool:
    fs, path = _system(address)
    try:
        return bool(within(lambda: getattr(fs, question)(path)))
    except Exception as e:  # noqa: BLE001 - see `_system`
        raise InputError(f"cannot open {address!r}: {_why(e)}") from None


def matching(pattern: str) -> list[str]:
    """Files and folders that a glob matches, sorted."""
    if not is_address(pattern):
        return files.matching(pattern)
    fs, path = _system(pattern)
    try:
        found = [str(p) for p in within(lambda: fs.glob(path))]
    except Exception as e:  # noqa: BLE001 - see `_system`
        raise InputError(f"cannot list {pattern!r}: {_why(e)}") from None
    # As a glob over paths does: hidden files and folders are matched only where the pattern names them.
    named = path.split("/")
    shown = (p for p in found if all(part in named or not part.startswith(".") for part in p.split("/")))
    return sorted(_address(pattern, fs, p) for p in shown)


def pictures_in(folder: str) -> Iterator[tuple[str, str | None]]:
    """`image.io.pictures_below`, for a path or an address."""
    if is_address(folder):
        fs, path = _system(folder)
        yield from _below(fs, path, folder)
    else:
        yield from pictures_below(folder)


def _below(fs: Any, folder: str, given: str) -> Iterator[tuple[str, str | None]]:
    try:
        found = sorted(within(lambda: fs.ls(folder, detail=True)), key=lambda e: str(e["name"]))
    except Exception as e:  # noqa: BLE001 - see `_system`
        address = _address(given, fs, folder)
        yield address, f"cannot read the folder {address!r}: {_why(e)}."
        return
    folders = []
    for entry in found:
        name = str(entry["name"]).rstrip("/")
        if entry["type"] == "directory":
            if name != folder.rstrip("/") and not name.rpartition("/")[2].startswith("."):
                folders.append(name)
        elif is_picture_name(name):
            yield _address(given, fs, name), None
    for name in folders:
        yield from _below(fs, name, given)


def _address(given: str, fs: Any, path: str) -> str:
    """The address of a path in the file system of a given address."""
    head, chained, rest = given.partition("::")
    if chained:  # such as zip://*.jpg::https://...: the path is in the first of them
        return f"{head.partition('://')[0]}://{path}::{rest}"
    return str(fs.unstrip_protocol(path))


def open_file(text: str) -> IO[bytes]:
    """The file, to be read at any place in it. Raises OSError, or InputError for an address that cannot be opened."""
    if not is_address(text):
        return open_regular(text)
    fs, path = _system(text)
    try:
        opened: IO[bytes] = within(lambda: fs.open(path, "rb"))
        return opened
    except OSError:
        raise
    except Exception as e:  # noqa: BLE001 - see `_system`
        raise InputError(_unopened(text, e)) from None


def read_bytes(text: str, start: int | None = None, end: int | None = None) -> bytes:
    """A file's bytes, or those from start to end, up to MAX_PICTURE_BYTES; a network's mishaps are tried again.

    Raises ImageError.
    """
    limit = MAX_PICTURE_BYTES + 1 if end is None else end
    if end is not None and start is not None and end - start > MAX_PICTURE_BYTES:
        raise ImageError(f"{text!r} holds a picture larger than {MAX_PICTURE_BYTES // 1024**2} MB.")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            data = _read(text, start, limit)
            break
        except FileNotFoundError:
            raise ImageError(f"no such file: {text!r}.") from None
        except (InputError, MissingExtraError) as e:
            raise ImageError(str(e)) from None
        except Exception as e:  # noqa: BLE001 - see `_system`; one picture's trouble is not that of the others
            if attempt == _ATTEMPTS or isinstance(e, _FINAL) or not is_address(text):
                raise ImageError(refusal(text, e)) from None
            time.sleep(attempt)
    if end is None and len(data) > MAX_PICTURE_BYTES:
        raise ImageError(f"{text!r} is larger than {MAX_PICTURE_BYTES // 1024**2} MB.")
    if not data:
        raise ImageError(f"{text!r} is empty (0 bytes).")
    return data


def _read(text: str, start: int | None, end: int) -> bytes:
    if is_address(text):
        fs, path = _system(text)
        return bytes(within(lambda: fs.cat_file(path, start=start, end=end)))
    with open_regular(text) as file:
        file.seek(start or 0)
        data: bytes | None = file.read(end - (start or 0))
    if data is None:  # such as /proc/kmsg
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), text)
    return data
