"""Writing results to standard output one by one: a table, plain lines, JSON or CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from facefeat.networks.postprocess import no_faces
from facefeat.plugins.kinds import say
from facefeat.utils.csv_rows import csv_writer
from facefeat.utils.json_text import finite
from facefeat.utils.text import one_line, printable

if TYPE_CHECKING:
    from facefeat.cli._show import Escaping
    from facefeat.schema import Schema
    from facefeat.types import FaceResult, ImageResult

NO_FACE = "no face found"
_BOX_WIDTH, _NARROWEST_NAME, _WIDEST_NAME = 19, 12, 48


class Writer(Protocol):
    """Takes results in order; `close` ends the output."""

    def write(self, results: Iterable[ImageResult]) -> None:
        """Write these now."""
        ...

    def close(self) -> None:
        """Write what ends the output."""
        ...


def box_text(face: FaceResult) -> str:
    """left,top right,bottom in whole pixels; any may be negative, for a box may reach beyond the photo."""
    left, top, right, bottom = (f"{v:.0f}" if math.isfinite(v) else "?" for v in face.box)
    return f"{left},{top} {right},{bottom}"


def quality_lines(face: FaceResult) -> list[str]:
    """ "quality 0.43", and what lowers it, "too dark"; nothing where it was not measured."""
    if face.quality is None:
        return []
    return [f"quality {face.quality.value:.2f}", *([", ".join(face.quality.reasons)] if face.quality.reasons else [])]


class JsonWriter:
    """A list of `ImageResult.to_dict()`, one on each line."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lead = out, "["

    def write(self, results: Iterable[ImageResult]) -> None:
        """ASCII only: a file name may hold bytes that are no text."""
        for result in results:
            self._out.write(f"{self._lead}\n{json.dumps(finite(result.to_dict()), allow_nan=False)}")
            self._lead = ","
        self._out.flush()

    def close(self) -> None:
        """End the list."""
        self._out.write("[]\n" if self._lead == "[" else "\n]\n")


class CsvWriter:
    """One row per face; the columns depend on the schema alone. A photo without faces has no row."""

    def __init__(self, out: TextIO | Escaping, schema: Schema | None) -> None:
        self._out, self._csv = out, csv_writer(out)
        self._answers = list(no_faces(schema).columns()) if schema is not None else []
        self._csv.writerow(["source", "face", "left", "top", "right", "bottom", "score", *self._answers])

    def write(self, results: Iterable[ImageResult]) -> None:
        """An empty cell is a value that is not there, or not a number."""
        for result in results:
            for number, face in enumerate(result.faces, 1):
                self._csv.writerow(["" if v is None else v for v in map(finite, self._row(result, number, face))])
        self._out.flush()

    def _row(self, result: ImageResult, number: int, face: FaceResult) -> list[Any]:
        cells = face.columns()
        about = [result.source, number, *(round(float(v), 2) for v in face.box), round(float(face.score), 4)]
        return [*about, *(cells[c] for c in self._answers)]

    def close(self) -> None:
        """Nothing ends a CSV."""


class PlainWriter:
    """One line per face, nothing cut: for pipes, and for terminals that are too narrow for a table.

    width: of such a terminal; what would cross its right edge goes to a line below. None: no terminal.
    """

    def __init__(self, out: TextIO, width: int | None = None) -> None:
        self._out, self._width = out, width

    def write(self, results: Iterable[ImageResult]) -> None:
        """A photo that could not be read is named on standard error, not here."""
        for result in results:
            if result.error is not None:
                continue
            name = one_line(result.source, 10_000)
            if not result.faces:
                self._line([name, NO_FACE])
            for number, face in enumerate(result.faces, 1):
                parts = [f"{n.replace('_', ' ')} {say(n, p).text}" for n, p in face.attributes.items()]
                parts += quality_lines(face) and [" ".join(quality_lines(face)), *face.notes]
                self._line([name, f"face {number}", f"box {box_text(face)}", *parts])
        self._out.flush()

    def _line(self, parts: Sequence[str]) -> None:
        parts = [printable(p) for p in parts]
        line = parts[0]
        for part in parts[1:]:
            if self._width is not None and len(line) + 2 + len(part) > self._width:
                self._out.write(f"{line}\n")
                line = f"    {part}"
            else:
                line += f"  {part}"
        self._out.write(f"{line}\n")

    def close(self) -> None:
        """Nothing ends it."""


class TableWriter:
    """A table for a terminal: columns of fixed width, so that rows can be printed one by one."""

    def __init__(self, out: TextIO, schema: Schema | None, sources: Iterable[str], width: int) -> None:
        from facefeat.cli._show import terminal

        self._console = terminal(out=out, width=width)
        attributes = schema.attributes if schema is not None else {}
        self._widths = {n: max(len(n), a.strategy.width(a)) for n, a in attributes.items()}
        longest = max((len(one_line(s, 10_000)) for s in sources), default=0)
        left = width - self._fixed()
        self._name = max(_NARROWEST_NAME, min(longest, _WIDEST_NAME, left))
        self._headed = False

    def _fixed(self) -> int:
        # Between two columns are a space and the (blank) line of the box.
        return sum(self._widths.values()) + _BOX_WIDTH + 4 + 2 * (len(self._widths) + 2)

    @property
    def fits(self) -> bool:
        """Whether the terminal is wide enough for this table."""
        return self._fixed() + self._name <= self._console.width

    def write(self, results: Iterable[ImageResult]) -> None:
        """Prints the heading with the first rows."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            show_header=not self._headed,
            header_style="bold",
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        table.add_column("Photo", width=self._name, overflow="fold")
        table.add_column("Face", width=4, justify="right")
        table.add_column("Box", width=_BOX_WIDTH)
        for name, width in self._widths.items():
            table.add_column(name.replace("_", " ").capitalize(), width=width)
        notes: list[str] = []
        for result in results:
            if result.error is not None:
                continue
            photo = Text(one_line(result.source, 10_000))
            if not result.faces:
                table.add_row(photo, "", Text(NO_FACE, style="dim"), *("" for _ in self._widths))
            for number, face in enumerate(result.faces, 1):
                cells = [printable("\n".join(say(n, face.attributes[n]).lines)) for n in self._widths]
                place = "\n".join([box_text(face), *quality_lines(face)])
                table.add_row(photo if number == 1 else "", str(number), Text(place), *map(Text, cells))
                notes += [f"{one_line(result.source, 10_000)}, face {number}: {note}" for note in face.notes]
        if table.row_count:
            self._console.print(table)
            self._headed = True
        for note in notes:
            self._console.print(Text(note, style="dim"))

    def close(self) -> None:
        """The table has no lower edge."""


def terminal_writer(out: TextIO, schema: Schema | None, sources: Iterable[str], width: int | None) -> Writer:
    """A table where the terminal (width in columns; None: no terminal) is wide enough for one, else plain lines."""
    if width is not None:
        table = TableWriter(out, schema, sources, width)
        if table.fits:
            return table
    return PlainWriter(out, width)
