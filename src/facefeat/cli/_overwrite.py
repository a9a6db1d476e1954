"""One rule for what is there already: it stays, unless --overwrite is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from facefeat.errors import InputError

overwrite_option: Callable[[Any], Any] = click.option(
    "--overwrite", is_flag=True, help="Replace what an earlier run left at --output."
)


def check_new(output: Path, overwrite: bool, option: str = "--output") -> None:
    """Call before the work. A folder counts as there where it holds anything.

    Raises InputError where something is at `output` that may not be replaced. What is not facefeat's own is refused
    later all the same.
    """
    try:
        there = any(output.iterdir()) if output.is_dir() else output.exists()
    except OSError:
        there = True  # which cannot be listed; writing says why
    if there and not overwrite:
        raise InputError(f"{str(output)!r} is there already. Next: --overwrite to replace it, or another {option}.")
