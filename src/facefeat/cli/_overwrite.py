"""One rule for what is there already: it stays, unless --overwrite is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from facefeat.errors import InputError

overwrite_option: Callable[[Any], Any] = click.option(
    "--overwrite", is_flag=True, help="Replace what an earlier run left at --output."
)


def check_no_input(output: Path, inputs: Iterable[str | os.PathLike[str]], option: str = "--output") -> None:
    """Call before the work. Raises InputError where the output is a file that the command reads, by whatever name."""
    for path in inputs:
        try:
            same = os.path.samefile(output, path)
        except (OSError, ValueError):  # what is not there cannot be lost
            continue
        if same:
            raise InputError(f"{str(output)!r} is read by this command, and would be lost. Next: another {option}.")


def check_new(
    output: Path, overwrite: bool, option: str = "--output", inputs: Iterable[str | os.PathLike[str]] = ()
) -> None:
    """Call before the work. A folder counts as there where it holds anything.

    inputs: files that are read, which --overwrite does not replace either.

    Raises InputError where something is at `output` that may not be replaced. What is not facefeat's own is refused
    later all the same.
    """
    check_no_input(output, inputs, option)
    try:
        there = any(output.iterdir()) if output.is_dir() else output.exists()
    except OSError:
        there = True  # which cannot be listed; writing says why
    if there and not overwrite:
        raise InputError(f"{str(output)!r} is there already. Next: --overwrite to replace it, or another {option}.")
