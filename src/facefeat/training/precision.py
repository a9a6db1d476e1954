"""The precision of a run: bfloat16 where the processor is fast at it, else float32."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder

Model = TypeVar("Model", "Classifier", "FaceDecoder")
CPU_INFO = Path("/proc/cpuinfo")
FAST = "amx_bf16"
"""The flag of a processor with matrix units for bfloat16. One without them took 2.3 times as long as in float32."""


def policy_of(mixed_precision: str) -> str:
    """The Keras dtype policy that a recipe asks for: for "auto", what suits this machine and backend."""
    import keras

    from facefeat.networks.keras_backend import has_accelerator

    if mixed_precision != "auto":
        return mixed_precision
    # On a CPU only TensorFlow is known to use these units (oneDNN).
    fast = has_accelerator() or (keras.backend.backend() == "tensorflow" and has_matrix_units())
    return "mixed_bfloat16" if fast else "float32"


@functools.cache
def has_matrix_units() -> bool:
    """Whether this machine's processor multiplies bfloat16 matrices in hardware, as far as Linux says it."""
    try:
        return FAST in CPU_INFO.read_text("utf-8").split()
    except OSError:  # another system than Linux
        return False


def in_precision(model: Model, policy: str, always: bool = False) -> Model:
    """The model itself, or a clone of it under another dtype policy, which then shares no weights with it.

    always: a clone in any case.
    """
    import keras

    before = keras.config.dtype_policy()
    if policy == before.name and not always:
        return model
    keras.config.set_dtype_policy(policy)
    try:
        return model.clone()
    finally:
        keras.config.set_dtype_policy(before)
