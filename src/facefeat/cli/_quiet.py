"""Starting TensorFlow without its start-up log, which would bury a one-line answer."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_kept: list[TextIO] = []


def start_keras() -> None:
    """Import Keras and its backend. What native code logs meanwhile is shown only where the import fails.

    TensorFlow logs a few lines as it is imported, before it has read TF_CPP_MIN_LOG_LEVEL; it writes them to file
    descriptor 2, past `sys.stderr`.
    """
    if "keras" in sys.modules:
        return
    with _native_stderr_held():
        import keras  # noqa: F401
    # Of its own logger the warnings are for who writes a training loop: that a second model was compiled, say.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextmanager
def _native_stderr_held() -> Iterator[None]:
    """Descriptor 2 goes to a file meanwhile, and `sys.stderr` to where descriptor 2 went."""
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
