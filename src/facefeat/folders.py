"""Folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facefeat.errors import InputError


@contextmanager
def whole_folder(folder: Path, what: str, ours: Callable[[str], bool]) -> Iterator[Path]:
    """Gives a new folder beside `folder`; what was written there becomes `folder` when the block ends well.

    what: the thing written, with its article, such as "a report". ours: whether a file of this name in an earlier
    `folder` may be replaced. Raises InputError where it holds anything else, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or not all(ours(p.name) for p in folder.iterdir())):
        raise InputError(f"{str(folder)!r} exists and is not {what}. Give a new or empty folder.")
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
        the = f"the {what.split(maxsplit=1)[1]}"
        raise InputError(f"cannot write {the} to {str(folder)!r}: {e.strerror or e}") from None
