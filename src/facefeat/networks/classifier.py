"""A backbone and a head joined: crops in, latents and logits out, in batches, on any runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError
from facefeat.networks.keras_backend import require_keras
from facefeat.networks.models import ComponentRef
from facefeat.networks.postprocess import Calibration, read_logits
from facefeat.networks.runtime import KerasRuntime, Runtime, in_batches, named_output, only_output
from facefeat.plugins.registry import get_registry

if TYPE_CHECKING:
    import numpy as np

    from facefeat.schema import Schema
    from facefeat.types import Alignment, Face, FaceBatch, FloatArray, UInt8Array


@dataclass
class Classifier:
    """A backbone and a head with what their answers mean.

    models: "backbone" -> Keras model, crops (B, S, S, 3) float 0..255 -> feature map (B, h, w, C), and "head" -> Keras
    model, feature map -> {attribute: logits (B, outputs)}; of a preset they are built when something needs Keras.
    feature_shape: (h, w, C) of the feature map.
    runtime: what computes their outputs.
    calibration: what turns logits into probabilities and an age interval, fitted on validation data.
    hashes: network -> SHA-256 of its weights as the preset says; empty where they are the models' own.
    stored: the preset folder that it came from.
    Whoever changes the weights of a model calls `use_keras` afterwards: a graph or compiled function has the old ones.
    """

    schema: Schema
    image_size: int
    alignment: Alignment
    backbone: ComponentRef
    head: ComponentRef
    models: Mapping[str, Any]
    feature_shape: tuple[int, int, int]
    runtime: Runtime
    calibration: Calibration = field(default_factory=Calibration)
    hashes: Mapping[str, str] = field(default_factory=dict)
    stored: Path | None = None
    parameters: int = 0

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
        require_keras("building a network")
        registry = get_registry()
        refs = {}
        for kind, name, config in (("backbone", backbone, backbone_config), ("head", head, head_config)):
            found = registry.get(kind, name)
            refs[kind] = ComponentRef(found.component.name, dict(config or {}), found.distribution, found.version)
        backbone_model = registry.build("backbone", backbone, image_size=image_size, **(backbone_config or {}))
        shape = tuple(backbone_model.output_shape[1:])
        head_model = registry.build("head", head, feature_shape=shape, schema=schema, **(head_config or {}))
        models = {"backbone": backbone_model, "head": head_model}
        count = int(backbone_model.count_params() + head_model.count_params())
        runtime = KerasRuntime(models)
        return cls(
            schema, image_size, alignment, refs["backbone"], refs["head"], models, shape, runtime, parameters=count
        )

    @property
    def latent_dim(self) -> int:
        """D, the width of the latent: the channels of the feature map."""
        return self.feature_shape[-1]

    @property
    def backbone_model(self) -> Any:
        """Keras model, crops (B, S, S, 3) float 0..255 -> feature map (B, h, w, C); built at first use."""
        return self.models["backbone"]

    @property
    def head_model(self) -> Any:
        """Keras model, feature map (B, h, w, C) -> {attribute: logits (B, outputs)}; built at first use."""
        return self.models["head"]

    def use_keras(self) -> None:
        """Run the Keras models from now on, with the weights that they have: before and after they are changed."""
        self.runtime, self.hashes = KerasRuntime(self.models), {}

    def clone(self) -> Classifier:
        """The same architecture built again, under the Keras dtype policy of the moment, with the same weights."""
        made = Classifier.build(
            schema=self.schema,
            image_size=self.image_size,
            alignment=self.alignment,
            backbone=self.backbone.qualified,
            head=self.head.qualified,
            backbone_config=self.backbone.config,
            head_config=self.head.config,
        )
        made.copy_weights(self)
        return made

    def copy_weights(self, other: Classifier) -> None:
        """Take the weights of a classifier of the same architecture."""
        self.backbone_model.set_weights(other.backbone_model.get_weights())
        self.head_model.set_weights(other.head_model.get_weights())
        if self.hashes or not isinstance(self.runtime, KerasRuntime):
            self.use_keras()

    def logits(self, crops: UInt8Array) -> dict[str, FloatArray]:
        """(N, S, S, 3) uint8 -> attribute -> (N, outputs) float32."""
        return dict(self._of_crops(crops, self._head))

    def feature_map(self, crops: UInt8Array) -> FloatArray:
        """(N, S, S, 3) uint8 -> (N, h, w, D) float32: what the head reads."""
        features: FloatArray = self._of_crops(crops, lambda features: features)
        return features

    def logits_of(self, features: FloatArray) -> dict[str, FloatArray]:
        """(N, h, w, D) feature maps -> attribute -> (N, outputs) float32."""
        return dict(in_batches(self._head, features))

    def encode(self, crops: UInt8Array) -> FloatArray:
        """(N, S, S, 3) uint8 -> (N, D) float32 latents: the feature map averaged over its positions."""
        latents: FloatArray = self._of_crops(crops, lambda features: features.mean(axis=(1, 2)))
        return latents

    def predict(self, crops: UInt8Array, faces: Sequence[Face] | None = None) -> FaceBatch:
        """(N, S, S, 3) uint8 -> calibrated predictions, with the quality of each crop.

        faces: the N faces that the crops were cut from, whose size, pose and score belong to the quality.
        """
        quality = self.calibration.quality.of(crops, faces)
        return read_logits(self.schema, self.logits(crops), self.calibration, quality)

    def predict_without(self, crops: UInt8Array, coordinates: Sequence[int], at: FloatArray) -> FaceBatch:
        """`predict` for a head that no longer sees some coordinates of the latent: channels of its feature map.

        coordinates: which, each 0 to D - 1. at: (D,) float32, what these are held at, everywhere on the map.
        """
        import numpy as np

        held = np.asarray(coordinates, int)
        held = held[held < self.latent_dim]  # what follows is a decoder's detail code, which no head sees

        def without(features: np.ndarray) -> Any:
            kept = features.copy()  # (B, h, w, D)
            kept[..., held] = np.asarray(at, "float32")[held]
            return self._head(kept)

        logits = self._of_crops(crops, without)
        return read_logits(self.schema, logits, self.calibration, self.calibration.quality.of(crops))

    def _head(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """(B, h, w, D) -> attribute -> (B, outputs)."""
        found = self.runtime.run("head", features)
        shapes = {n: (len(features), a.outputs) for n, a in self.schema.attributes.items()}
        return {n: named_output(found, "head", n, shape) for n, shape in shapes.items()}

    def _of_crops(self, crops: UInt8Array, then: Callable[[np.ndarray], Any]) -> Any:
        """What `then` makes of the feature maps (B, h, w, D) of all crops, a batch at a time."""
        s = self.image_size
        if crops.ndim != 4 or crops.shape[1:] != (s, s, 3):
            raise InputError(f"crops must be (N, {s}, {s}, 3). Received: an array of shape {crops.shape}.")

        def step(batch: np.ndarray) -> Any:
            return then(only_output(self.runtime.run("backbone", batch), "backbone", (len(batch), None, None, None)))

        return in_batches(step, crops)
