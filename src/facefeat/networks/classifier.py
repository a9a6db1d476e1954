"""A backbone and a head joined: crops in, latents and logits out, in batches, on any Keras backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError
from facefeat.networks.postprocess import Calibration, read_logits
from facefeat.plugins.registry import get_registry

if TYPE_CHECKING:
    import numpy as np

    from facefeat.schema import Schema
    from facefeat.types import Alignment, FaceBatch, FloatArray, UInt8Array

BATCH = 64
"""Crops per step. Larger batches gain nothing on CPU and cost memory."""
FOLDED_BYTES = 200_000_000
"""Weights at most that a graph of TensorFlow holds as constants: 2 GB are its limit, and large ones gain nothing."""


@dataclass(frozen=True)
class ComponentRef:
    """A component as a preset names it: enough to build it again, or to say which plugin is missing."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    distribution: str = "facefeat"
    version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "config": dict(self.config),
        }


@dataclass
class Classifier:
    """A backbone and a head with what their answers mean.

    backbone_model: Keras model, crops (B, S, S, 3) float 0..255 -> feature map (B, h, w, C).
    head_model: Keras model, feature map -> {attribute: logits (B, outputs)}.
    calibration: what turns its logits into probabilities and an age interval, fitted on validation data.
    frozen: whether its weights stay as they are, so that it may be compiled with them (1.2 times as fast on a CPU with
    TensorFlow). Whoever changes them nevertheless calls `clear_compiled` afterwards.
    """

    schema: Schema
    image_size: int
    alignment: Alignment
    backbone: ComponentRef
    head: ComponentRef
    backbone_model: Any
    head_model: Any
    calibration: Calibration = field(default_factory=Calibration)
    frozen: bool = False
    _runners: dict[str, Callable[[np.ndarray], Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def build(
        cls,
        *,
        schema: Schema,
        image_size: int,
        alignment: Alignment,
        backbone: str,
        head: str,
        backbone_config: Mapping[str, Any] | None = None,
        head_config: Mapping[str, Any] | None = None,
    ) -> Classifier:
        """Builds both from the registry, with fresh weights.

        Raises UnknownComponentError, MissingExtraError, or InputError where a configuration is not valid.
        """
        registry = get_registry()
        refs = {}
        for kind, name, config in (("backbone", backbone, backbone_config), ("head", head, head_config)):
            found = registry.get(kind, name)
            refs[kind] = ComponentRef(found.component.name, dict(config or {}), found.distribution, found.version)
        backbone_model = registry.build("backbone", backbone, image_size=image_size, **(backbone_config or {}))
        shape = tuple(backbone_model.output_shape[1:])
        head_model = registry.build("head", head, feature_shape=shape, schema=schema, **(head_config or {}))
        return cls(schema, image_size, alignment, refs["backbone"], refs["head"], backbone_model, head_model)

    @property
    def temperatures(self) -> Mapping[str, float]:
        """Attribute -> what its logits are divided by; 1 where absent."""
        return self.calibration.temperatures

    @property
    def latent_dim(self) -> int:
        """D, the width of the latent: the channels of the feature map."""
        return int(self.backbone_model.output_shape[-1])

    @property
    def parameters(self) -> int:
        """Weights of backbone and head together."""
        return int(self.backbone_model.count_params() + self.head_model.count_params())

    def clone(self) -> Classifier:
        """The same architecture built again, under the Keras dtype policy of the moment, with the same weights."""
        made = Classifier.build(
            schema=self.schema,
            image_size=self.image_size,
            alignment=self.alignment,
            backbone=f"{self.backbone.distribution}:{self.backbone.name}",
            head=f"{self.head.distribution}:{self.head.name}",
            backbone_config=self.backbone.config,
            head_config=self.head.config,
        )
        made.copy_weights(self)
        return made

    def copy_weights(self, other: Classifier) -> None:
        """Take the weights of a classifier of the same architecture."""
        self.backbone_model.set_weights(other.backbone_model.get_weights())
        self.head_model.set_weights(other.head_model.get_weights())
        if self.frozen:
            self.clear_compiled()

    def clear_compiled(self) -> None:
        """Forget the compiled functions, after weights or layers were replaced."""
        self._runners.clear()

    def logits(self, crops: UInt8Array) -> dict[str, FloatArray]:
        """(N, S, S, 3) uint8 -> attribute -> (N, outputs) float32."""
        return dict(self._run("logits", crops))

    def feature_map(self, crops: UInt8Array) -> FloatArray:
        """(N, S, S, 3) uint8 -> (N, h, w, D) float32: what the head reads."""
        features: FloatArray = self._run("features", crops)
        return features

    def logits_of(self, features: FloatArray) -> dict[str, FloatArray]:
        """(N, h, w, D) feature maps -> attribute -> (N, outputs) float32."""
        shape = tuple(self.backbone_model.output_shape[1:])
        return dict(self._in_batches("head", features, shape))

    def encode(self, crops: UInt8Array) -> FloatArray:
        """(N, S, S, 3) uint8 -> (N, D) float32 latents: the feature map averaged over its positions."""
        latents: FloatArray = self._run("encode", crops)
        return latents

    def predict(self, crops: UInt8Array) -> FaceBatch:
        """(N, S, S, 3) uint8 -> calibrated predictions."""
        return read_logits(self.schema, self.logits(crops), self.calibration)

    def predict_without(self, crops: UInt8Array, coordinates: Sequence[int], at: FloatArray) -> FaceBatch:
        """`predict` for a head that no longer sees some coordinates of the latent: channels of its feature map.

        coordinates: which, each 0 to D - 1. at: (D,) float32, what these are held at, everywhere on the map.
        """
        import numpy as np

        held = np.asarray(coordinates, int)
        held = held[held < self.latent_dim]  # what follows is a decoder's detail code, which no head sees
        parts = []
        for start in range(0, len(crops), BATCH):
            features = self.feature_map(crops[start : start + BATCH]).copy()  # (B, h, w, D)
            features[..., held] = np.asarray(at, "float32")[held]
            parts.append(self.logits_of(features))
        logits = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]} if parts else self.logits(crops)
        return read_logits(self.schema, logits, self.calibration)

    def _run(self, what: str, crops: UInt8Array) -> Any:

        s = self.image_size
        if crops.ndim != 4 or crops.shape[1:] != (s, s, 3):
            raise InputError(f"crops must be (N, {s}, {s}, 3). Received: an array of shape {crops.shape}.")
        return self._in_batches(what, crops, (s, s, 3))

    def _in_batches(self, what: str, rows: np.ndarray, shape: tuple[int, ...]) -> Any:
        return run_in_batches(self._runners.get(what) or self._compile(what), rows, shape)

    def _compile(self, what: str) -> Callable[[np.ndarray], Any]:
        import keras

        if what == "head":
            inputs = keras.Input(self.backbone_model.output_shape[1:], name="features")
            outputs = self.head_model(inputs)
        else:
            inputs = keras.Input((self.image_size, self.image_size, 3), name="crops")
            outputs = self.backbone_model(inputs)
        if what == "logits":
            outputs = self.head_model(outputs)
        elif what == "encode":
            outputs = keras.layers.GlobalAveragePooling2D(dtype="float32")(outputs)
        model = keras.Model(inputs, outputs)
        if self.frozen and can_fold(model):
            run = folded(model)
        else:
            model.compile(jit_compile=use_jit(model))
            run = model.predict_on_batch
        self._runners[what] = runner = padded(run)
        return runner


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


def can_jit(layer: Any) -> bool:
    """Whether neither a layer nor one inside it says that it calls Python, or else cannot be compiled."""
    return getattr(layer, "supports_jit", True) and all(can_jit(x) for x in getattr(layer, "layers", ()))


def run_in_batches(runner: Callable[[np.ndarray], Any], rows: np.ndarray, shape: tuple[int, ...]) -> Any:
    """What the runner gives for all rows (N, *shape), BATCH at a time: an array, or a table of them; also for none."""
    import numpy as np

    parts = [runner(np.asarray(rows[i : i + BATCH])) for i in range(0, len(rows), BATCH)]
    if not parts:
        empty = runner(np.zeros((1, *shape), "uint8"))
        return {k: v[:0] for k, v in empty.items()} if isinstance(empty, dict) else empty[:0]
    if isinstance(parts[0], dict):
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    return np.concatenate(parts)


def can_fold(model: Any) -> bool:
    """Whether `folded` is for this model: on a CPU with TensorFlow, below FOLDED_BYTES of weights."""
    import keras

    if keras.backend.backend() != "tensorflow" or has_accelerator():
        return False
    return sum(math.prod(v.shape) for v in model.variables) * 4 < FOLDED_BYTES


def folded(model: Any) -> Callable[[np.ndarray], Any]:
    """A Keras model of one input as a function of (B, ...) float32, with its weights of this moment as constants.

    TensorFlow multiplies constants out once, so that a batch norm costs nothing after its convolution.
    """
    import tensorflow as tf
    from keras.ops import convert_to_numpy

    learnt = [convert_to_numpy(v) for v in model.trainable_variables]
    other = [convert_to_numpy(v) for v in model.non_trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec(model.inputs[0].shape, "float32")], autograph=False)
    def run(batch: Any) -> Any:
        # Made in here: an eager tensor from outside would become an input of the graph, not a constant.
        constants = ([tf.constant(v) for v in vs] for vs in (learnt, other))
        outputs, _ = model.stateless_call(*constants, batch, training=False)
        return outputs

    return lambda batch: run(tf.constant(batch))


def padded(call: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """Runs a model's `call` on batches padded to 1, 8 or BATCH rows, so that it is traced three times at most."""
    import numpy as np

    def run(crops: np.ndarray) -> Any:
        n = len(crops)
        size = next(b for b in (1, 8, BATCH) if n <= b)
        batch = np.zeros((size, *crops.shape[1:]), "float32")
        batch[:n] = crops
        out = call(batch)
        if isinstance(out, dict):
            return {k: np.asarray(v, "float32")[:n] for k, v in out.items()}
        return np.asarray(out, "float32")[:n]

    return run
