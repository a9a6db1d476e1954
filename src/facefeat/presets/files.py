"""The files of a preset folder: each is regular, lies inside it, is of bounded size, and as SHA256SUMS lists it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from facefeat.errors import PresetError
from facefeat.utils.files import open_regular, read_regular

MAX_CONFIG_BYTES = 1_000_000
MAX_WEIGHT_BYTES = 2_000_000_000
SUMS = "SHA256SUMS"


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file. Raises OSError as `open_regular`."""
    with open_regular(path) as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def read_file(folder: Path, name: str, max_bytes: int = MAX_WEIGHT_BYTES) -> bytes:
    """The bytes of one file. Raises PresetError where it is not regular, leads out of the folder, or is too large."""
    try:
        return read_regular(folder / name, max_bytes, inside=folder)
    except (OSError, ValueError) as e:
        raise _unreadable(folder, name, e) from None


def listed_sums(folder: Path) -> dict[str, str]:
    """File name -> the SHA-256 that the folder's list has for it. Raises PresetError where there is no such list."""
    try:
        text = read_file(folder, SUMS, MAX_CONFIG_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise PresetError(
            f"preset {str(folder)!r}: {SUMS} is not text. Valid: a SHA-256 and a file name on each line. "
            "Fetch or train the preset again."
        ) from None
    listed = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    return listed


def check_sums(folder: Path, required: Iterable[str]) -> None:
    """Raises PresetError for a required or listed file that is missing, altered, too large or no file of the folder."""
    listed = listed_sums(folder)
    for name in sorted({*required, *listed} - {SUMS}):
        if name not in listed:
            raise PresetError(f"preset {str(folder)!r}: {SUMS} does not list {name!r}.")
        if Path(name).name != name:
            raise PresetError(f"preset {str(folder)!r}: {SUMS} names {name!r}, which is not in the folder.")
        try:
            with open_regular(folder / name, MAX_WEIGHT_BYTES, inside=folder) as f:
                found = hashlib.file_digest(f, "sha256").hexdigest()
        except FileNotFoundError:
            raise PresetError(
                f"preset {str(folder)!r}: the file {name!r} is missing. Fetch or train the preset again."
            ) from None
        except (OSError, ValueError) as e:
            raise _unreadable(folder, name, e) from None
        if found != listed[name]:
            raise PresetError(
                f"preset {str(folder)!r}: {name!r} was altered. SHA-256 received: {found[:16]}…, "
                f"listed: {listed[name][:16]}…. Fetch or train the preset again."
            )


def copy_files(folder: Path, target: Path) -> None:
    """Copy the listed files into another folder. Raises PresetError as `read_file`, OSError where it cannot write."""
    for name in (SUMS, *sorted({*listed_sums(folder)} - {SUMS})):
        if Path(name).name != name:
            raise PresetError(f"preset {str(folder)!r}: {SUMS} names {name!r}, which is not in the folder.")
        try:
            source = open_regular(folder / name, MAX_WEIGHT_BYTES, inside=folder)
        except (OSError, ValueError) as e:
            raise _unreadable(folder, name, e) from None
        with source, (target / name).open("wb") as to:
            shutil.copyfileobj(source, to, 1 << 20)


def _unreadable(folder: Path, name: str, error: Exception) -> PresetError:
    return PresetError(f"preset {str(folder)!r}: cannot read {name!r}: {getattr(error, 'strerror', None) or error}.")
