"""Folders that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facefeat.errors import InputError


def check_folder(folder: Path, what: str, ours: Callable[[str], bool]) -> None:
    """Whether `whole_folder` would write there, told before the work and not after it: it changes nothing.

    Raises InputError as `whole_folder`, as far as that can be known.
    """
    try:
        if folder.exists() and (not folder.is_dir() or not all(ours(p.name) for p in folder.iterdir())):
            raise InputError(f"{str(folder)!r} exists and is not {what}. Give a new or empty folder.")
        check_above(folder)
    except OSError as e:
        raise _unwritable(folder, what, e) from None


def check_above(path: Path) -> None:
    """Raises OSError where the nearest folder above that exists is none, or may not be written."""
    above = next(p for p in path.absolute().parents if p.exists())
    code = errno.ENOTDIR if not above.is_dir() else 0 if os.access(above, os.W_OK | os.X_OK) else errno.EACCES
    if code:
        raise OSError(code, os.strerror(code))


@contextmanager
def whole_folder(folder: Path, what: str, ours: Callable[[str], bool]) -> Iterator[Path]:
    """Gives a new folder beside `folder`; what was written there becomes `folder` when the block ends well.

    what: the thing written, with its article, such as "a report". ours: whether a file of this name in an earlier
    `folder` may be replaced. Raises InputError where it holds anything else, or cannot be written.
    """
    check_folder(folder, what, ours)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            new = Path(beside) / "new"
            new.mkdir()
            yield new
            if folder.exists():
                os.replace(folder, Path(beside) / "old")
            os.replace(new, folder)
            shutil.rmtree(Path(beside) / "old", ignore_errors=True)
    except OSError as e:
        raise _unwritable(folder, what, e) from None


def _unwritable(folder: Path, what: str, error: OSError) -> InputError:
    return InputError(f"cannot write the {what.split(maxsplit=1)[1]} to {str(folder)!r}: {error.strerror or error}")
