"""What a page is made of beside its figures: tables with a sentence on how to read each, and where to download it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facefeat.utils.csv_rows import ENDING, LineFeeds
from facefeat.utils.text import plain_cell

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Section:
    """A titled table. key: lower-case name, of its anchor and its file. text: sentences above it.

    table: the figures, with the columns NAME, NAME_low and NAME_high where NAME has an interval; `small` marks rows of
    few faces. shown: column -> title, of those on the page; the others are in the download only. percent: columns that
    are shares.
    """

    key: str
    title: str
    text: tuple[str, ...]
    table: pd.DataFrame
    shown: dict[str, str]
    percent: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"key": self.key, "title": self.title, "text": list(self.text), "rows": records(self.table)}

    def rows(self) -> list[tuple[bool, list[tuple[str, str, bool]]]]:
        """(small, cells) of each row; a cell is text, its interval ("" where none), and whether it is a number."""
        out = []
        for row in self.table.to_dict("records"):
            cells = []
            for column in self.shown:
                value, percent = row[column], column in self.percent
                number = isinstance(value, int | float) and not isinstance(value, bool)
                ends = [row.get(f"{column}_{end}") for end in ("low", "high")]
                between = (
                    ""
                    if None in ends or ends[0] != ends[0]
                    else f"{_said(ends[0], percent)} to " + _said(ends[1], percent)
                )
                cells.append((_said(value, percent), between, number))
            out.append((bool(row.get("small", False)), cells))
        return out


def _said(value: Any, percent: bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value != value:
            return "–"
        if abs(value) == float("inf"):
            return "none"
        return f"{100 * value:.1f} %" if percent else f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: NaN and infinity are null."""
    found: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=6))
    return found


def csv_of(table: pd.DataFrame) -> str:
    """The table as CSV in which no cell is a formula."""
    safe = table.copy()
    for column in safe.columns:
        if safe[column].dtype.kind in "OUT" or str(safe[column].dtype) in ("str", "string"):
            safe[column] = [plain_cell(str(v)) for v in safe[column]]
    safe.columns = [plain_cell(str(c)) for c in safe.columns]
    text = io.StringIO()
    safe.to_csv(LineFeeds(text), index=False, lineterminator=ENDING)
    return text.getvalue()


def csv_link(table: pd.DataFrame) -> str:
    """The address of a link that downloads the table."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(csv_of(table).encode()).decode()


def sentence_list(items: Sequence[str], most: int = 6) -> str:
    """ "a, b and c"; "a, b and 4 more"."""
    some = list(items[:most]) + ([f"{len(items) - most} more"] if len(items) > most else [])
    return some[0] if len(some) == 1 else f"{', '.join(some[:-1])} and {some[-1]}" if some else "none"
