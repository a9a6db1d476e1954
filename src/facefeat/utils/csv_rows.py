"""CSV whose rows end in a line feed, and whose cells may hold any: a name with a carriage return is one cell."""

from __future__ import annotations

import csv
from typing import Any, Protocol

ENDING = "\r\n"
"""What `csv.writer` and pandas are to end rows in, over `LineFeeds`. They quote a cell for the characters of the ending
alone: with a line feed as the ending, a carriage return stays bare, and readers take it for the end of a row."""


class _Writable(Protocol):
    def write(self, text: str, /) -> Any: ...


class LineFeeds:
    """A text file for writers of CSV, which write a row at a time; the rows end in a line feed."""

    def __init__(self, out: _Writable) -> None:
        self._out = out

    def write(self, row: str) -> int:
        """Write a row."""
        self._out.write(f"{row[: -len(ENDING)]}\n" if row.endswith(ENDING) else row)
        return len(row)


def csv_writer(out: _Writable) -> Any:
    """A `csv.writer`."""
    return csv.writer(LineFeeds(out), lineterminator=ENDING)
