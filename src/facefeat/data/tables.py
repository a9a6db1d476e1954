"""Reading tables as people have them: any of four separators, a BOM, Windows' letters, quotes, ragged rows."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facefeat.errors import DataError
from facefeat.image.io import is_picture_name
from facefeat.utils.files import read_regular

MAX_TABLE_BYTES = 512 * 1024**2
MAX_COLUMNS = 10_000
SEPARATORS = ",;\t|"
_SEP_LINE = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)
"""The first line of a file that names its separator for Excel, such as `sep=;`."""
_CALLED = {"file": ("filename", "file_name", "filepath", "file_path", "path", "image", "image_path", "img", "img_path",
                    "img_name", "picture", "photo", "name", "source")}  # fmt: skip
"""What a column is called elsewhere."""
_NAME = re.compile(r"[\w .-]{1,60}")
"""What the only column of a table may be called; a line of other text is no header."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    where: its name, for messages. columns: lower-case names in their order.
    rows: (line number, {column: text, stripped}). ragged: (line number, reason) of the rows that do not fit.
    """

    where: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    ragged: tuple[tuple[int, str], ...] = ()

    def require(self, columns: Iterable[str]) -> None:
        """Raises DataError where one of the columns is missing."""
        missing = [c for c in columns if c not in self.columns]
        if missing:
            if len(self.columns) == 1 and not _NAME.fullmatch(self.columns[0]):
                raise DataError(f"{self.where!r} is not a CSV table: its first line has no names of columns.")
            found = ", ".join(self.columns[:50]) + ", ..." * (len(self.columns) > 50) or "(none)"
            raise DataError(
                f"{self.where!r} has no column {', '.join(map(repr, missing))}. Columns found: {found}."
                f"{_renamed(missing[0], self.columns)}"
            )


def _renamed(missing: str, columns: Sequence[str]) -> str:
    """What to do about a missing column, where that is known."""
    near = [c for c in _CALLED.get(missing, ()) if c in columns] or difflib.get_close_matches(missing, columns, n=1)
    if near:
        return f" Next: rename the column {near[0]!r} to {missing!r}."
    if not any(_NAME.fullmatch(c) for c in columns) or any(is_picture_name(c) for c in columns):
        return " Next: a first line with the names of the columns."
    return ""


def read_table(path: Path) -> Table:
    """The table in a CSV file. Raises DataError where it cannot be read as one."""
    try:
        return parse_table(read_regular(path, MAX_TABLE_BYTES), str(path))
    except (OSError, ValueError) as e:
        raise DataError(f"cannot read {str(path)!r}: {getattr(e, 'strerror', None) or e}") from None


def parse_table(data: bytes, where: str) -> Table:
    """The table in a CSV file's bytes: separated by one of SEPARATORS; UTF-8, UTF-16 with BOM, or Windows-1252.

    Raises DataError where it is empty, not text, or names a column twice.
    """
    text = _decode(data, where)
    lines = text.lstrip("\r\n")
    if not lines.strip():
        raise DataError(f"{where!r} is empty: expected a header line with a column 'file', then one line per picture")
    skipped = text[: len(text) - len(lines)].count("\n")
    separator, told = _separator(lines)
    if told:
        lines, skipped = lines[len(lines.splitlines(keepends=True)[0]) :], skipped + 1
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator, skipinitialspace=True, strict=False)
    rows: list[tuple[int, Mapping[str, str]]] = []
    ragged: list[tuple[int, str]] = []
    try:
        names = [c.strip().casefold() for c in next(reader)]
        while names and not names[-1]:
            names.pop()  # a separator at the end of every line
        columns = tuple(names)
        if len(columns) > MAX_COLUMNS:
            raise DataError(f"{where!r} has {len(columns):,} columns. Valid: up to {MAX_COLUMNS:,}.")
        _check_names(columns, where)
        for fields in reader:
            line = reader.line_num + skipped
            if not any(f.strip() for f in fields):
                continue
            extra = fields[len(columns) :]
            if len(fields) < len(columns) or any(f.strip() for f in extra):
                ragged.append((line, f"line {line} has {len(fields)} fields, the header {len(columns)}"))
                continue
            rows.append((line, {c: f.strip() for c, f in zip(columns, fields, strict=False)}))
    except csv.Error as e:
        raise DataError(f"{where!r} is not a CSV table: {e}") from None
    return Table(where, columns, tuple(rows), tuple(ragged))


def sniff(head: bytes, where: str) -> tuple[str, str, int]:
    """(encoding, separator, lines before the header) of a CSV file by its first bytes.

    Raises DataError as `parse_table`.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, text = "utf-16", head[: len(head) // 2 * 2].decode("utf-16", "ignore")
    else:
        _check_text(head, where)
        whole = head[: head.rfind(b"\n") + 1] or head  # no letter cut in two
        text = _decode(whole, where)
        encoding = "utf-8-sig"
        try:
            whole.decode("utf-8")
        except UnicodeDecodeError:
            encoding = "cp1252"
    lines = text.lstrip("\r\n").splitlines()
    if not lines or not lines[0].strip():
        raise DataError(f"{where!r} is empty: expected a header line, then one line per face")
    separator, told = _separator(lines[0])
    if len(lines) > told:
        try:
            names = next(csv.reader([lines[told]], delimiter=separator))
        except csv.Error as e:
            raise DataError(f"{where!r} is not a CSV table: {e}") from None
        if len(names) > MAX_COLUMNS:
            raise DataError(f"{where!r} has {len(names):,} columns. Valid: up to {MAX_COLUMNS:,}.")
        _check_names([c.strip() for c in names], where)
    return encoding, separator, int(told)


def _separator(text: str) -> tuple[str, bool]:
    """The separator of a table, and whether its first line says it."""
    first = text.splitlines()[0]
    said = _SEP_LINE.fullmatch(first.strip(" \r\n"))
    return (
        (said[1], True)
        if said and not (said[1].isalnum() or said[1] in '"\0 ')
        else (max(SEPARATORS, key=first.count), False)
    )


def _check_names(names: Sequence[str], where: str) -> None:
    twice = sorted(c for c, n in Counter(names).items() if n > 1 and c)
    if twice:
        raise DataError(f"{where!r} has more than one column named {', '.join(map(repr, twice[:5]))}")


def _check_text(data: bytes, where: str) -> None:
    if b"\0" in data[:65536]:
        raise DataError(f"{where!r} is not a CSV table but a binary file. Save it as CSV first.")


def _decode(data: bytes, where: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise DataError(f"{where!r} is not a CSV table: its text is cut short") from None
    _check_text(data, where)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Windows-1252 leaves five bytes without a letter; Latin-1 has one for each.
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return data.decode("latin-1")
