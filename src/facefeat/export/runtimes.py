"""Runs an exported file of any format once, where something is installed that can: for checks."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np


def outputs_of(path: Path, format: str, crops: np.ndarray) -> dict[str, np.ndarray]:
    """Output name -> array for crops (N, S, S, 3) uint8."""
    return {"onnx": _onnx, "litert": _litert, "savedmodel": _saved_model}[format](path, crops)


def _onnx(path: Path, crops: np.ndarray) -> dict[str, np.ndarray]:
    from facefeat.networks.runtime import RuntimeOptions, open_session, providers

    session = open_session(path.read_bytes(), repr(str(path)), providers("cpu"), RuntimeOptions())
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"crops": crops}), strict=True))


def _litert(path: Path, crops: np.ndarray) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it moves to the package ai-edge-litert, one day
        import tensorflow as tf

        # Without delegates, whose start it would log.
        plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=plain)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], crops.shape)
    runner = interpreter.get_signature_runner()
    return {k: np.asarray(v) for k, v in runner(crops=crops).items()}


def _saved_model(path: Path, crops: np.ndarray) -> dict[str, np.ndarray]:
    import keras

    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
    return {k: np.asarray(v) for k, v in layer(crops).items()}
