"""What native code writes to file descriptor 2, past `sys.stderr`: held back while something starts."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_kept: list[TextIO] = []


@contextmanager
def native_stderr_held() -> Iterator[None]:
    """Descriptor 2 goes to a file meanwhile, shown only where an exception comes; `sys.stderr` is not changed.

    In a notebook, too, whose kernel copies the descriptor into the cell while its `sys.stderr` is another.
    """
    before = sys.stderr
    try:
        # Never closed: the thread that draws the progress bar may hold it a moment longer than this block.
        real = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    except OSError:  # no descriptor 2: nothing to hold
        yield
        return
    _kept.append(real)
    ours = _descriptor(before) == 2
    if ours:
        before.flush()
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        if ours:
            sys.stderr = real
        try:
            yield
        except BaseException:
            held.seek(0)
            real.write(held.read().decode("utf-8", "replace"))
            raise
        finally:
            real.flush()
            os.dup2(real.fileno(), 2)
            if ours:
                sys.stderr = before


def _descriptor(stream: object) -> int | None:
    try:
        return int(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # none, closed, or a stand-in
        return None
