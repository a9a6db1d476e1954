"""Files and folders that are written atomically: in a temporary folder next to the target, then renamed.

    with atomic_file(Path("faces.csv")) as temporary:
        table.to_csv(temporary)

A reader finds the earlier content or all of the new one, whatever is killed and wherever the disk fills up. A writer
holds a lock in its temporary folder, which the system releases when the process ends: so the next writer in the same
place finds what a killed one left, and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facefeat.errors import FacefeatError, InputError

_LOCK = ".facefeat-lock"
_TEMPORARY = re.compile(r"\..+-[a-z0-9_]{8}\.tmp")
_LONGEST = 200  # bytes of a target's name that stand in that of its temporary folder; file systems allow 255


@contextmanager
def atomic_file(target: Path, error: type[FacefeatError] = InputError, hint: str = "") -> Iterator[Path]:
    """Gives a temporary path with the target's name; what was written there becomes the target when the block ends.

    Folders above are made. An OSError in the block, too, is raised as `error`; hint: what its message ends in.
    """
    try:
        with temporary_folder(target) as folder:
            new = folder / target.name
            yield new
            if new.is_file():
                with open(new, "rb+") as file:
                    os.fsync(file.fileno())
            os.replace(new, target)
    except OSError as e:
        raise unwritable(target, e, error, hint) from None


def write_text(target: Path, text: str, error: type[FacefeatError] = InputError, hint: str = "") -> None:
    """Write a UTF-8 file atomically. Raises `error`, as `atomic_file`."""
    with atomic_file(target, error, hint) as new:
        new.write_text(text, "utf-8", newline="")  # pandas ends lines as the system does; Windows would do so twice


@contextmanager
def atomic_folder(folder: Path, what: str, ours: Callable[[str], bool]) -> Iterator[Path]:
    """Gives a temporary folder; what was written there becomes `folder` when the block ends well.

    what: the thing written, with its article, such as "a report". ours: whether a file of this name in an earlier
    `folder` may be replaced. Raises InputError where it holds anything else, or cannot be written.
    """
    check_folder(folder, what, ours)
    try:
        with temporary_folder(folder) as temporary:
            new = temporary / "new"
            new.mkdir()
            yield new
            _swap(new, folder, temporary)
    except OSError as e:
        raise _unwritable_folder(folder, what, e) from None


def replace_folder(new: Path, target: Path) -> None:
    """Give a finished folder the target's name; an earlier target goes, or stays where that fails. Raises OSError."""
    with temporary_folder(target) as temporary:
        _swap(new, target, temporary)


def _swap(new: Path, target: Path, temporary: Path) -> None:
    old = temporary / "old" / target.name
    old.parent.mkdir()
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise


def check_folder(folder: Path, what: str, ours: Callable[[str], bool]) -> None:
    """Whether `atomic_folder` would write there, checked before the work and not after it: it changes nothing.

    Raises InputError as `atomic_folder`, as far as that can be known.
    """
    try:
        if folder.exists() and (not folder.is_dir() or not all(ours(p.name) for p in folder.iterdir())):
            raise InputError(f"{str(folder)!r} exists and is not {what}. Give a new or empty folder.")
        _check_above(folder)
    except OSError as e:
        raise _unwritable_folder(folder, what, e) from None


def check_writable(path: Path, error: type[FacefeatError] = InputError, hint: str = "") -> None:
    """Raises `error` where the nearest folder above that exists is none, or may not be written: before the work.

    So it does for a pipe or a device: a file would take its place, and /dev/null be lost to all programs.
    """
    try:
        _check_replaceable(path)
        _check_above(path)
    except OSError as e:
        raise unwritable(path, e, error, hint) from None


def _check_replaceable(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # nothing is there, or a link to nothing; what else is wrong, writing says
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is no regular file")


def _check_above(path: Path) -> None:
    above = next(p for p in path.absolute().parents if p.exists())
    code = errno.ENOTDIR if not above.is_dir() else 0 if os.access(above, os.W_OK | os.X_OK) else errno.EACCES
    if code:
        raise OSError(code, os.strerror(code))


def unwritable(path: Path, reason: OSError, error: type[FacefeatError] = InputError, hint: str = "") -> FacefeatError:
    """The error to raise where a path cannot be written: "cannot write 'PATH': No space left on device"."""
    return error(f"cannot write {str(path)!r}: {reason.strerror or reason}{hint}")


def _unwritable_folder(folder: Path, what: str, reason: OSError) -> InputError:
    return InputError(f"cannot write the {what.split(maxsplit=1)[1]} to {str(folder)!r}: {reason.strerror or reason}")


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A folder next to `target`, so on its disk, that is removed in the end; those above are made.

    Raises OSError, also where the target is a pipe or a device, which must not be replaced.
    """
    _check_replaceable(target)
    parent = target.parent
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    name = os.fsdecode(os.fsencode(target.name)[:_LONGEST])
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".tmp", dir=parent))
        try:
            lock = _lock(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if lock is not None:
            break
    with lock:
        try:
            yield folder
        finally:
            if sys.platform == "win32":
                lock.close()  # which removes no open file
            shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove the temporary folders of killed writers. If one had moved the earlier target away, it is restored."""
    with contextlib.suppress(OSError), os.scandir(parent) as found:
        left = [Path(e.path) for e in found if e.name.startswith(".") and _TEMPORARY.fullmatch(e.name)]
        for folder in left:
            with contextlib.suppress(OSError):  # its writer lives, or it is not ours, or another process removes it
                _remove(folder, parent)


def _remove(folder: Path, parent: Path) -> None:
    """Raises OSError where the folder has a writer, or was made by something else."""
    path = folder / _LOCK
    with open(path, "rb+") as lock:
        if sys.platform == "win32":
            lock.close()
            path.unlink()  # fails while the writer has it open
        else:
            _flock(lock)
        for old in (folder / "old").glob("*"):
            if not (parent / old.name).exists():
                os.replace(old, parent / old.name)
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> IO[bytes] | None:
    """The open, locked file that says that the writer lives; None where a sweep was faster, and removes the folder."""
    try:
        lock = open(folder / _LOCK, "xb")  # noqa: SIM115 - open as long as the writer lives
        if sys.platform != "win32":
            try:
                _flock(lock)
            except BlockingIOError:
                lock.close()
            except OSError:
                return lock  # a file system without locks: nothing is swept there
        return lock if not lock.closed and (folder / _LOCK).exists() else None
    except FileNotFoundError:
        return None


def _flock(file: IO[bytes]) -> None:
    """Raises BlockingIOError where another has the lock."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
