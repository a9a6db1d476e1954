"""What a user types after a command: names checked before TensorFlow starts, photos made into a list of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from facefeat.cli._annotate import without_copies
from facefeat.cli._sources import is_file_name
from facefeat.errors import DataError
from facefeat.image.io import PICTURE_SUFFIXES, is_picture_name, pictures_below
from facefeat.utils.files import expanded, matching, nearest_file

if TYPE_CHECKING:
    from facefeat.data import FaceDataset

ALL = "all"
"""What --split takes for every face."""


@dataclass(frozen=True)
class Inputs:
    """files: each path once, in the order given, those of a folder or glob sorted. complaints: a sentence each.

    below: file -> its folder, relative to the folder that was searched. copies: annotated copies that were left out.
    """

    files: tuple[str, ...]
    complaints: tuple[str, ...]
    below: Mapping[str, str] = field(default_factory=dict)
    copies: int = 0


def check_model(preset: str | None, detector: str | None = None) -> None:
    """Call before `start_keras`: a mistyped name is then reported at once.

    Raises UnknownPresetError for a preset that is no name and no folder, UnknownComponentError for such a detector.
    """
    from facefeat.plugins.registry import get_registry
    from facefeat.presets.store import find_preset

    if detector is not None:
        get_registry().get("detector", detector)
    if preset is not None:
        find_preset(preset)


def check_data(data: str | Path, splits: Path | None = None) -> None:
    """Call before `start_keras`. Raises DataError for a data set or a table of splits that is not there."""
    if not os.path.exists(expanded(data)):
        raise DataError(
            f"no such file or folder: {str(data)!r}.{nearest_file(data)} Valid: an imported folder, tar, zip or CSV."
        )
    if Path(data).is_dir() and not any(Path(data).iterdir()):
        raise DataError(f"{str(data)!r} is empty. Valid: an imported folder, tar, zip or CSV.")
    if splits is not None and not os.path.isfile(expanded(splits)):
        raise DataError(f"no such file: {str(splits)!r}. Valid: a CSV with the columns file and split.")


def the_split(dataset: FaceDataset, name: str) -> FaceDataset:
    """The split of this name; the whole data set for "all", where no split has that name. Raises DataError."""
    return dataset if name == ALL and ALL not in dataset.splits else dataset.split(name)


def expand(given: Iterable[str]) -> Inputs:
    """Files, folders searched with their subfolders, and globs (`*`, `?`, `[...]`, `**`); what is none stays in.

    A file that does not exist stays in: reading it fails with its own sentence, and the others are read.
    """
    files: dict[str, None] = {}
    complaints: list[str] = []
    below: dict[str, str] = {}
    copies = 0
    for text in given:
        if not is_file_name(text):
            found = [text]
        elif os.path.isdir(text):
            found, faults = _in_folder(text)
            complaints += faults
            found, own = without_copies(found)
            copies += own
            below |= {f: os.path.relpath(os.path.dirname(f) or ".", text) for f in found}
            if not found and not faults and not own:
                complaints.append(f"the folder {text!r} has no pictures. Valid: files named {_suffixes()}.")
        elif not os.path.lexists(text) and glob.has_magic(text):
            found, faults = _matching(text)
            complaints += faults
            found, own = without_copies(found)
            copies += own
            if not found and not faults and not own:
                complaints.append(f"no picture matches {text!r}.")
        else:
            found = [text]
        files.update(dict.fromkeys(found))
    if copies and not files and not complaints:
        complaints.append("all that was found are annotated copies of an earlier run.")
    return Inputs(tuple(files), tuple(complaints), below, copies)


def _matching(pattern: str) -> tuple[list[str], list[str]]:
    found: list[str] = []
    faults: list[str] = []
    for path in matching(pattern):
        if os.path.isfile(path) and is_picture_name(path):
            found.append(path)
        elif os.path.isdir(path) and "**" not in pattern:
            inside, more = _in_folder(path)
            found += inside
            faults += more
    return found, faults


def _in_folder(folder: str) -> tuple[list[str], list[str]]:
    listed = list(pictures_below(folder))
    return [path for path, fault in listed if fault is None], [fault for _, fault in listed if fault is not None]


def _suffixes() -> str:
    return ", ".join(sorted(PICTURE_SUFFIXES))
