"""The package onnxruntime, imported in one place, and what all of its sessions have in common."""

from __future__ import annotations

import os
import re
import threading
from typing import Any

from facefeat.errors import MissingExtraError

OLDEST = (1, 20)
"""As pyproject.toml requires."""


def import_onnxruntime() -> Any:
    """The package onnxruntime. Raises MissingExtraError where it is not installed, cannot be loaded or is too old."""
    # From 1.32 on it would keep a database of telemetry in the user's home. Its own switch, read when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as e:
        raise MissingExtraError(f"ONNX Runtime cannot be loaded: {e}. Next: pip install -U onnxruntime") from None
    version = str(getattr(onnxruntime, "__version__", "0"))  # another package's folder may have the name
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise MissingExtraError(
            f"onnxruntime {version} is too old: facefeat needs {needed} or newer. Next: pip install -U onnxruntime"
        )
    return onnxruntime


_threads = 0
_mine = threading.local()


def set_threads(threads: int) -> None:
    """The threads of sessions that are opened from now on and name no number of their own; 0 for one a usable core."""
    global _threads
    _threads = threads


def one_thread() -> None:
    """From now on sessions that the calling thread asks for have one thread, where no number is given.

    For a thread that works next to others of its kind.
    """
    _mine.threads = 1


def threads_of(threads: int = 0) -> int:
    """Threads of a session on the CPU: those given, else the thread's, else the process's, else one a usable core."""
    from facefeat.utils.machine import cores

    return threads or getattr(_mine, "threads", 0) or _threads or cores()


def session_options(threads: int = 0) -> Any:
    """SessionOptions for `threads_of(threads)` threads, none of which spins while it waits.

    Each session has threads of its own: a pool for all, as ONNX Runtime's Python package offers it, spins, which takes
    a core's time from decoding pictures, and from other workers on the machine. Threads that sleep cost nothing.
    """
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads_of(threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised; its log would go to standard error
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
