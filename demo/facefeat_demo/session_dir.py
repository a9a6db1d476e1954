"""The folder that photos go to: of this user alone, of this run alone, and gone after it, however it ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there, a folder in use cannot be distinguished from a leftover one
    fcntl = None  # type: ignore[assignment]

PREFIX = "facefeat-demo-"
_LOCK = "lock"


@contextlib.contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder that only this user may read, deleted at the end with all that is in it.

    First, the folders of runs that ended too suddenly to delete theirs are deleted.
    """
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as made, _held(Path(made)):
        files = Path(made) / "files"
        files.mkdir()
        yield files


def sweep() -> None:
    """Delete the folders of this user's runs that are over: their locks went with their processes."""
    if fcntl is None:
        return
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # still held, of another user, without a lock, gone meanwhile
            about = path.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """A lock in the folder for the length of a block. The system opens it when the process ends, by whatever."""
    if fcntl is None:
        yield
        return
    new = folder / f"{_LOCK}-new"
    lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then the folder is never taken for left
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(folder / _LOCK)  # only now can another run find it, and it finds it locked
        yield
    finally:
        os.close(lock)
