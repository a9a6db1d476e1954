"""A decoder with its detail encoder: latents in, crops out, in batches, on any runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError, PluginError
from facefeat.networks.keras_backend import require_keras
from facefeat.networks.models import ComponentRef
from facefeat.networks.runtime import BATCH, KerasRuntime, Runtime, in_batches, only_output
from facefeat.plugins.contracts import DetailDecoder
from facefeat.plugins.registry import get_registry

if TYPE_CHECKING:
    import numpy as np

    from facefeat.types import FloatArray, UInt8Array

WEIGHTS = {"decoder": "decoder.weights.h5", "detail_encoder": "detail_encoder.weights.h5"}
"""Part of a decoder -> the file of a preset that holds its weights."""
DRAWN = 8
"""Faces that ONNX Runtime draws at once."""


@dataclass
class FaceDecoder:
    """A decoder for the latents of one classifier.

    feature_dim: D, the width of the classifier's own latents. detail_dim: K, that of the detail code; 0 without one.
    image_size: S, the side of the crops that the classifier and the detail encoder see.
    models: "decoder" -> Keras model, latents (B, D + K) -> faces (B, F, F, 3) in 0..1, and where K is not 0
    "detail_encoder" -> Keras model, crops (B, S, S, 3) float 0..255 -> codes (B, K); of a preset they are built when
    something needs Keras. runtime: what computes their outputs. hashes, stored: as of a
    `Classifier`.
    """

    ref: ComponentRef
    image_size: int
    feature_dim: int
    detail_dim: int
    models: Mapping[str, Any]
    runtime: Runtime
    hashes: Mapping[str, str] = field(default_factory=dict)
    stored: Path | None = None

    @classmethod
    def build(
        cls, name: str, *, feature_dim: int, image_size: int, config: Mapping[str, Any] | None = None
    ) -> FaceDecoder:
        """Builds it from the registry, with fresh weights.

        Raises UnknownComponentError, MissingExtraError, InputError where the configuration is not valid, PluginError
        where what was built takes latents of another width.
        """
        require_keras("building a network")
        registry = get_registry()
        found = registry.get("decoder", name)
        ref = ComponentRef(found.component.name, dict(config or {}), found.distribution, found.version)
        made = registry.build("decoder", name, latent_dim=feature_dim, image_size=image_size, **(config or {}))
        model, encoder = (made.decoder, made.detail_encoder) if isinstance(made, DetailDecoder) else (made, None)
        models = {"decoder": model, **({} if encoder is None else {"detail_encoder": encoder})}
        width = 0 if encoder is None else int(encoder.output_shape[-1])
        decoder = cls(ref, image_size, feature_dim, width, models, KerasRuntime(models))
        if model.input_shape != (None, decoder.latent_dim):
            raise PluginError(
                f"decoder {found.qualified!r} {found.version} breaks its contract: it takes {model.input_shape}, but "
                f"latents are (None, {decoder.latent_dim})."
            )
        return decoder

    @property
    def latent_dim(self) -> int:
        """D + K, the width of the latents that it reads."""
        return self.feature_dim + self.detail_dim

    @cached_property
    def face_size(self) -> int:
        """F, the side of the faces that it draws, in pixels: S or more."""
        import numpy as np

        return int(self.decode(np.zeros((1, self.latent_dim), "float32")).shape[1])

    @property
    def parts(self) -> dict[str, Any]:
        """Network -> its Keras model: "decoder", and "detail_encoder" where there is one; built at first use."""
        return dict(self.models)

    @property
    def model(self) -> Any:
        """The decoder's Keras model."""
        return self.models["decoder"]

    @property
    def detail_encoder(self) -> Any:
        """The detail encoder's Keras model, or None."""
        return self.models.get("detail_encoder")

    def use_keras(self) -> None:
        """Run the Keras models from now on, with the weights that they have: before and after they are changed."""
        self.runtime, self.hashes = KerasRuntime(self.models), {}

    @property
    def weights(self) -> list[Any]:
        """The variables of all parts."""
        return [w for part in self.parts.values() for w in part.weights]

    def clone(self) -> FaceDecoder:
        """The same architecture built again, under the Keras dtype policy of the moment, with the same weights."""
        made = FaceDecoder.build(
            self.ref.qualified,
            feature_dim=self.feature_dim,
            image_size=self.image_size,
            config=self.ref.config,
        )
        made.copy_weights(self)
        return made

    def copy_weights(self, other: FaceDecoder) -> None:
        """Take the weights of a decoder of the same architecture."""
        for mine, its in zip(self.parts.values(), other.parts.values(), strict=True):
            mine.set_weights(its.get_weights())
        if self.hashes or not isinstance(self.runtime, KerasRuntime):
            self.use_keras()

    def decode(self, latents: FloatArray) -> FloatArray:
        """(N, D + K) -> (N, F, F, 3) float32 in 0..1. Raises InputError for latents of another width, or NaN."""
        checked = check_latents(latents, self.latent_dim)
        # A large map for each face: 64 at once take 640 MB, which ONNX Runtime keeps, and are no faster.
        size = BATCH if isinstance(self.runtime, KerasRuntime) else DRAWN
        crops: FloatArray = in_batches(lambda batch: self._run("decoder", batch, (None, None, 3)), checked, size)
        return crops

    def _run(self, network: str, batch: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
        """The output of a network for a batch; shape: of one row."""
        return only_output(self.runtime.run(network, batch), network, (len(batch), *shape))

    def draw(self, latents: FloatArray) -> UInt8Array:
        """(N, D + K) -> (N, F, F, 3) uint8. Raises as `decode`.

        The floats, four times as large, are there for one batch at a time.
        """
        import numpy as np

        checked = check_latents(latents, self.latent_dim)
        out = np.empty((len(checked), self.face_size, self.face_size, 3), "uint8")
        for i in range(0, len(checked), BATCH):
            out[i : i + BATCH] = to_pixels(self.decode(checked[i : i + BATCH]))
        return out

    def latents(self, features: FloatArray, crops: UInt8Array) -> FloatArray:
        """(N, D) attribute features and the crops (N, S, S, 3) uint8 that they are of -> (N, D + K) latents."""
        import numpy as np

        if not self.detail_dim:
            return features
        codes = in_batches(lambda batch: self._run("detail_encoder", batch, (self.detail_dim,)), crops)
        return np.concatenate([features, codes], axis=1)


def check_latents(latents: object, width: int) -> FloatArray:
    """(N, width) float32. Raises InputError for another shape, what is no number, NaN and infinity."""
    import numpy as np

    try:
        array = np.asarray(latents)
    except ValueError:
        raise InputError(f"latents must be an array (N, {width}). Received: rows of different lengths.") from None
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(f"latents must be (N, {width}). Received: an array of shape {array.shape}.")
    if array.dtype.kind not in "fiu":
        raise InputError(f"latents must be numbers. Received: an array of {array.dtype}.")
    with np.errstate(over="ignore"):
        checked: FloatArray = array.astype("float32")
    bad = np.flatnonzero(~np.isfinite(checked).all(axis=1))
    if len(bad):
        raise InputError(
            f"latents must be finite. Received: NaN or infinity in {len(bad)} of {len(checked)}, first in row {bad[0]}."
        )
    return checked


def to_pixels(crops: FloatArray) -> UInt8Array:
    """(N, S, S, 3) in 0..1 -> uint8."""
    import numpy as np

    return np.rint(np.clip(crops, 0, 1) * 255).astype("uint8")
