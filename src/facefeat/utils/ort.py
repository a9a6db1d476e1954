"""The package onnxruntime, imported in one place."""

from __future__ import annotations

import os
from typing import Any

from facefeat.errors import MissingExtraError


def import_onnxruntime() -> Any:
    """The package onnxruntime. Raises MissingExtraError where it is not installed or cannot be loaded."""
    # From 1.32 on it would keep a database of telemetry in the user's home. Its own switch, read when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as e:
        raise MissingExtraError(f"ONNX Runtime cannot be loaded: {e}. Next: pip install -U onnxruntime") from None
    return onnxruntime
