"""`facefeat predict --annotate`: copies of photos with their faces drawn in, and the list of whose copies they are."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facefeat.errors import FacefeatError, ImageError, InputError
from facefeat.utils.atomic import atomic_file, check_writable, unwritable

if TYPE_CHECKING:
    from facefeat.types import ImageLike, ImageResult

COPIES = "facefeat-copies.csv"
"""In the folder of the copies: a line for each, `copy` and `source`. What it lists is never read as a photo."""
MAX_LIST_BYTES = 256 * 1024**2


def listed_copies(folder: str | Path) -> dict[str, str]:
    """Real path of each copy that a folder's list has -> its source, as it was typed; {} where there is no list."""
    path = Path(folder) / COPIES
    try:
        if not path.is_file() or path.stat().st_size > MAX_LIST_BYTES:
            return {}
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.reader(file))
    except (OSError, csv.Error):
        return {}
    return {os.path.realpath(path.parent / row[0]): row[1] for row in rows[1:] if len(row) == 2}


def without_copies(files: Iterable[str]) -> tuple[list[str], int]:
    """Files that were found in folders, less the copies of an earlier --annotate; and how many these were."""
    lists: dict[str, dict[str, str]] = {}
    kept, left_out = [], 0
    for file in files:
        own = False
        folder = os.path.dirname(os.path.abspath(file))
        while True:
            if folder not in lists:
                lists[folder] = listed_copies(folder)
            own = own or (bool(lists[folder]) and os.path.realpath(file) in lists[folder])
            above = os.path.dirname(folder)
            if own or above == folder:
                break
            folder = above
        left_out += own
        kept += [] if own else [file]
    return kept, left_out


_LONGEST = 230
"""Bytes of a photo's name that stand in that of its copy; file systems allow 255."""


class Annotator:
    """Saves copies in a folder, in the subfolders that the photos lie in; an input is never overwritten.

    files: of this run. below: file -> its folder, relative to the one that was searched. overwrite: whether copies of
    an earlier run may be replaced.
    """

    def __init__(self, folder: Path, files: Iterable[str], below: Mapping[str, str], overwrite: bool) -> None:
        before = listed_copies(folder)
        if before and not overwrite:
            raise InputError(
                f"{str(folder)!r} has the copies of an earlier run ({len(before):,}). Next: --overwrite to replace "
                "them, or another folder for --annotate."
            )
        self._list = folder / COPIES
        check_writable(self._list)  # a pipe would be waited for
        if self._list.is_symlink():
            raise InputError(f"{str(self._list)!r} is a link to another file. Give another folder for --annotate.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Before any copy: after a kill, too, the list has all of them.
            with self._list.open("w" if not before else "a", newline="", encoding="utf-8") as out:
                if not before:
                    csv.writer(out).writerow(("copy", "source"))
        except OSError as e:
            raise unwritable(folder, e) from None
        self._folder, self._below, self._before = folder, below, before
        self._taken = {os.path.realpath(f) for f in files}

    def save(self, result: ImageResult, image: ImageLike | ImageError) -> ImageResult:
        """The result, or one with an error where the copy could not be written. image: what it was read from."""
        from PIL import Image

        from facefeat.image.align import open_image
        from facefeat.image.draw import annotate

        if result.error is not None or isinstance(image, ImageError):
            return result
        try:
            target = self._target(result.source)
            self._note(target, result.source)
            with atomic_file(target) as new:
                Image.fromarray(annotate(open_image(image), result)).save(new, quality=92)
        except FacefeatError as e:
            return replace(result, error=str(e))
        except MemoryError:
            return replace(result, error=f"{result.source!r} is too large to be drawn on in the memory there is.")
        return result

    def _note(self, target: Path, source: str) -> None:
        if os.path.realpath(target) in self._before:
            return
        name = target.relative_to(self._folder).as_posix()
        safe = (text.encode("utf-8", "backslashreplace").decode("utf-8") for text in (name, source))
        try:
            with self._list.open("a", newline="", encoding="utf-8") as out:
                csv.writer(out).writerow(safe)
        except OSError as e:
            raise unwritable(self._list, e) from None

    def _target(self, source: str) -> Path:
        stem = Path(source.rstrip("/").rpartition("/")[2] or "photo").stem if "://" in source else Path(source).stem
        stem = os.fsdecode(os.fsencode("photo" if source == "-" else stem)[:_LONGEST])
        number = 1
        while True:
            name = f"{stem}-faces{'' if number == 1 else f'-{number}'}.jpg"
            path = self._folder / self._below.get(source, "") / name
            real = os.path.realpath(path)
            # What is there and is no copy of ours is the user's, and stays.
            if real not in self._taken and (real in self._before or not os.path.isfile(path)):
                self._taken.add(real)
                return path
            number += 1
