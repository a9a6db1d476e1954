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
    """Descriptor 2 goes to a file meanwhile, shown only where an exception comes; `sys.stderr` is not changed."""
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # none, closed, or a stand-in of a test: nothing to hold
        yield
        return
    if fd != 2:
        yield
        return
    before = sys.stderr
    before.flush()
    # Never closed: the thread that draws the progress bar may hold it a moment longer than this block.
    real = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    _kept.append(real)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
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
            sys.stderr = before
