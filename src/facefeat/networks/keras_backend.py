"""What the Keras backend in use can do."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from facefeat.errors import MissingExtraError
from facefeat.utils.stderr import native_stderr_held

BACKENDS = ("tensorflow", "jax", "torch")


def backend_in_use() -> str:
    """The Keras backend that is, or will be, in use; without importing it."""
    keras = sys.modules.get("keras")
    if keras is not None:
        return str(keras.config.backend())
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        configured = json.loads((home / "keras.json").read_text("utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        configured = "tensorflow"
    return os.environ.get("KERAS_BACKEND") or str(configured)


def require_keras(what: str) -> None:
    """Import Keras and its backend, without the start-up log of TensorFlow in a terminal or a notebook's cell.

    what: needs it; the sentence begins with it, such as "training". Raises MissingExtraError, with the line to type,
    where the backend is not installed.
    """
    backend = backend_in_use()
    if "keras" in sys.modules:
        return
    if backend not in BACKENDS or find_spec(backend) is not None:
        _import_quietly()
        return
    others = [b for b in BACKENDS if find_spec(b) is not None]
    instead = f". Or, with what is installed: KERAS_BACKEND={others[0]}" if others else ""
    raise MissingExtraError(
        f"{what} needs a Keras backend, and {backend} is not installed. "
        f'Next: pip install "facefeat[{backend}]"{instead}'
    )


def _import_quietly() -> None:
    """What native code logs meanwhile is shown only where the import fails.

    TensorFlow logs a few lines as it is imported, before it has read TF_CPP_MIN_LOG_LEVEL; it writes them to file
    descriptor 2, past `sys.stderr`.
    """
    with native_stderr_held():
        import keras  # noqa: F401
    # Of its own logger the warnings are for who writes a training loop: that a second model was compiled, say.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def has_accelerator() -> bool:
    """Whether the Keras backend in use sees a GPU or TPU."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return bool(jax.default_backend() != "cpu")
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    return False


def use_jit(*models: Any) -> bool:
    """Whether to compile with XLA: always on JAX; on TensorFlow only on a GPU (on CPU it halves the speed).

    Never where a layer of these models says that it cannot be (`supports_jit`): one that calls Python, for example.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow" and not (has_accelerator() and all(can_jit(m) for m in models)):
        return False
    return backend in ("tensorflow", "jax")


def count_numbers(make: Callable[[], Any]) -> int | None:
    """How many numbers the networks of what `make` builds have; it is built without memory for them.

    None where it cannot be built so: `make` reads the values of its own weights.
    """
    import keras
    from keras.src.backend.common import global_state

    pending = "uninitialized_variables"  # variables wait there for their first values
    before = list(global_state.get_global_attribute(pending) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            return sum(int(model.count_params()) for model in make().models.values())
    except Exception:  # noqa: BLE001 - whatever it is, it is raised again where the networks are built in earnest
        return None
    finally:
        global_state.set_global_attribute(pending, before)


def can_jit(layer: Any) -> bool:
    """Whether neither a layer nor one inside it says that it calls Python, or else cannot be compiled."""
    return getattr(layer, "supports_jit", True) and all(can_jit(x) for x in getattr(layer, "layers", ()))
