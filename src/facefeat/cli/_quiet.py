"""Starting TensorFlow without its start-up log, which would bury a one-line answer."""

from __future__ import annotations

import logging
import sys

from facefeat.networks.keras_backend import require_keras
from facefeat.utils.stderr import native_stderr_held


def start_keras() -> None:
    """Import Keras and its backend. What native code logs meanwhile is shown only where the import fails.

    TensorFlow logs a few lines as it is imported, before it has read TF_CPP_MIN_LOG_LEVEL; it writes them to file
    descriptor 2, past `sys.stderr`.
    """
    if "keras" in sys.modules:
        return
    require_keras("this command")
    with native_stderr_held():
        import keras  # noqa: F401
    # Of its own logger the warnings are for who writes a training loop: that a second model was compiled, say.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
