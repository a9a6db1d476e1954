"""The Keras layer around onnxruntime. Imports Keras: import it inside a `build`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from facefeat import InputError


class OnnxFeatures(keras.layers.Layer):
    """Crops (B, S, S, 3) -> (B, h, w, C) float32, computed by onnxruntime outside the graph.

    It is not saved with a model: a preset builds it again from the backbone's settings. On TensorFlow it runs in the
    Python process and cannot be compiled by XLA, as `supports_jit` says.
    Raises InputError for a file or an output that does not fit.
    """

    def __init__(
        self,
        path: Path,
        size: int,
        output: str,
        layout: str,
        mean: Sequence[float],
        scale: Sequence[float],
        bgr: bool,
        threads: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=False, **kwargs)
        self.supports_jit = keras.backend.backend() == "jax"
        self._size, self._first, self._bgr = size, layout == "nchw", bgr
        self._mean, self._scale = np.asarray(mean, "float32"), np.asarray(scale, "float32")
        self._session = _session(path, threads)
        self._input = self._session.get_inputs()[0].name
        names = [o.name for o in self._session.get_outputs()]
        if output and output not in names:
            raise InputError(f"backbone 'onnx': no such output. Received: {output!r}. Valid: {', '.join(names)}.")
        self._output = output or names[0]
        # One black crop gives the shape of the map, which the file may leave open.
        self._map = self._run(np.zeros((1, size, size, 3), "float32")).shape[1:]  # (h, w, C)

    def _run(self, crops: Any) -> np.ndarray:
        """(B, S, S, 3) float32 0..255 -> (B, h, w, C) float32."""
        x = (np.asarray(crops, "float32") - self._mean) / self._scale
        x = x[..., ::-1] if self._bgr else x
        x = x.transpose(0, 3, 1, 2) if self._first else x
        try:
            (out,) = self._session.run([self._output], {self._input: np.ascontiguousarray(x)})
        except Exception as e:  # onnxruntime's own errors share no public base
            first = str(e).strip().splitlines()[0]
            raise InputError(f"backbone 'onnx': the network does not take crops of {self._size} px: {first}") from e
        if out.ndim == 2:
            out = out[:, None, None, :]  # (B, C) -> (B, 1, 1, C)
        elif out.ndim == 4 and self._first:
            out = out.transpose(0, 2, 3, 1)
        if out.ndim != 4:
            raise InputError(f"backbone 'onnx': the output must be (B, C) or a map. Received: {out.shape}.")
        return np.ascontiguousarray(out, "float32")

    def compute_output_spec(self, crops: Any) -> Any:
        """(B, S, S, 3) -> (B, h, w, C), without running anything."""
        return keras.KerasTensor((crops.shape[0], *self._map), "float32")

    def call(self, crops: Any) -> Any:
        """(B, S, S, 3) -> (B, h, w, C)."""
        crops = keras.ops.stop_gradient(crops)
        backend = keras.backend.backend()
        if backend == "tensorflow":
            import tensorflow as tf

            out = tf.numpy_function(self._run, [crops], tf.float32)
            out.set_shape((crops.shape[0], *self._map))
            return out
        if backend == "jax":
            import jax

            shape = jax.ShapeDtypeStruct((crops.shape[0], *self._map), "float32")
            return jax.pure_callback(self._run, shape, crops)
        return keras.ops.convert_to_tensor(self._run(keras.ops.convert_to_numpy(crops)))


def _session(path: Path, threads: int) -> Any:
    # From 1.32 on it would keep a database of telemetry in the user's home. Its own switch, read when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors: its warnings go to standard error, and say nothing to a user
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
    except Exception as e:  # onnxruntime's own errors share no public base
        first = str(e).strip().splitlines()[0]
        raise InputError(f"backbone 'onnx': {str(path)!r} cannot be read: {first}") from e
