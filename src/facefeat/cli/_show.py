"""What several commands share: tables for a terminal or a pipe, plain text for untrusted strings, progress."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from facefeat.utils.text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PROGRESS_AFTER = 1.0
"""Seconds without a bar: what is done sooner needs none."""


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, which may be untrusted: control characters are escaped."""
    click.echo(printable(text), err=err, nl=nl)


def warn(message: str) -> None:
    """One line on standard error."""
    say(f"facefeat: {message}", err=True)


@contextmanager
def warned() -> Iterator[None]:
    """Warnings of the library within a block are lines as of `warn`, without the file and the line of the code."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in found:
        if one.category is UserWarning:
            warn(str(one.message))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


class Escaping:
    """Writes to a terminal as `say` does; to a file or pipe it writes the data unchanged."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._safe = out, printable if out.isatty() else str

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._out.isatty()

    def write(self, text: str) -> int:
        """Write a text."""
        return self._out.write(self._safe(text))

    def flush(self) -> None:
        """Write what is held back."""
        self._out.flush()


def terminal(
    *, stderr: bool = False, quiet: bool = False, out: TextIO | None = None, width: int | None = None
) -> Console:
    """What draws tables, bars and lines on a terminal, and escapes all text that it is given as `say` does.

    Square brackets are no markup: a name may hold them.
    """
    from rich.console import Console
    from rich.text import Text

    class Escaped(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            """As Rich, for every text: of a line, a cell, a title."""
            return super().render_str(printable(text), **{**options, "markup": False})

    return Escaped(stderr=stderr, quiet=quiet, file=out, width=width, highlight=False, markup=False, emoji=False)


def megabytes(size: int) -> str:
    """A file size for people: "4.9 MB"."""
    return f"{size / 1e6:.1f} MB" if size >= 50_000 else f"{size / 1e3:.1f} kB"


def rows(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A table on standard output: ruled on a terminal that is wide enough, else plain columns, never cut."""
    headers = [one_line(h, 10_000) for h in headers]
    cells = [[one_line(c, 10_000) for c in line] for line in lines]
    widths = [max(len(c) for c in column) for column in zip(headers, *cells, strict=True)]
    if sys.stdout.isatty():
        wide = terminal()
        # The last column may fold; the others must fit.
        if sum(widths[:-1]) + 3 * len(widths) + 20 <= wide.width:
            _ruled(wide, headers, cells)
            return
    for line in [list(headers), *cells]:
        padded = (c.ljust(w) for c, w in zip(line, widths, strict=True))
        say("  ".join(padded).rstrip())


def _ruled(out: Console, headers: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    for i, header in enumerate(headers):
        table.add_column(header, no_wrap=i < len(headers) - 1)
    for line in cells:
        table.add_row(*(Text(c) for c in line))  # Text: a name with [brackets] is no markup
    out.print(table)


class Bar:
    """A progress bar on standard error that shows itself after a second, and steps aside for output."""

    def __init__(self, progress: Progress | None, task: TaskID | None) -> None:
        self._progress, self._task = progress, task
        self._lock = threading.RLock()
        self._shown = self._closed = False

    def show(self) -> None:
        """Start drawing, unless it is over already."""
        with self._lock:
            if self._progress is not None and not self._closed:
                self._shown = True
                self._progress.start()

    def advance(self, steps: int, description: str | None = None) -> None:
        """So many more are done; from now on it is about `description`."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=steps, description=description)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """No bar while something else is written to the terminal."""
        with self._lock:
            if self._progress is not None and self._shown:
                self._progress.stop()
            try:
                yield
            finally:
                if self._progress is not None and self._shown and not self._closed:
                    self._progress.start()

    def close(self) -> None:
        """Take it away."""
        with self._lock:
            self._closed = True
            if self._progress is not None and self._shown:
                self._progress.stop()


@contextmanager
def progress(description: str, total: int) -> Iterator[Bar]:
    """A `Bar`; where standard error is no terminal it draws nothing."""
    if not sys.stderr.isatty():
        yield Bar(None, None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=terminal(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar = Bar(shown, shown.add_task(description, total=total))
    timer = threading.Timer(PROGRESS_AFTER, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        bar.close()
