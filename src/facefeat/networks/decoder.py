"""A decoder with its detail encoder: latents in, crops out, in batches, on any Keras backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError, PluginError
from facefeat.networks.classifier import BATCH, ComponentRef, padded, use_jit
from facefeat.networks.classifier import run_in_batches as in_batches
from facefeat.plugins.contracts import DetailDecoder
from facefeat.plugins.registry import get_registry

if TYPE_CHECKING:
    import numpy as np

    from facefeat.types import FloatArray, UInt8Array

WEIGHTS = {"decoder": "decoder.weights.h5", "detail_encoder": "detail_encoder.weights.h5"}
"""Part of a decoder -> the file of a preset that holds its weights."""


@dataclass
class FaceDecoder:
    """A decoder for the latents of one classifier.

    feature_dim: D, the width of the classifier's own latents.
    model: Keras model, latents (B, D + K) -> crops (B, S, S, 3) in 0..1.
    detail_encoder: Keras model, crops (B, S, S, 3) float 0..255 -> codes (B, K); None where K is 0.
    """

    ref: ComponentRef
    image_size: int
    feature_dim: int
    model: Any
    detail_encoder: Any = None
    _runners: dict[str, Callable[[np.ndarray], Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def build(
        cls, name: str, *, feature_dim: int, image_size: int, config: Mapping[str, Any] | None = None
    ) -> FaceDecoder:
        """Builds it from the registry, with fresh weights.

        Raises UnknownComponentError, MissingExtraError, InputError where the configuration is not valid, PluginError
        where what was built takes latents of another width.
        """
        registry = get_registry()
        found = registry.get("decoder", name)
        ref = ComponentRef(found.component.name, dict(config or {}), found.distribution, found.version)
        made = registry.build("decoder", name, latent_dim=feature_dim, image_size=image_size, **(config or {}))
        model, encoder = (made.decoder, made.detail_encoder) if isinstance(made, DetailDecoder) else (made, None)
        decoder = cls(ref, image_size, feature_dim, model, encoder)
        if model.input_shape != (None, decoder.latent_dim):
            raise PluginError(
                f"decoder {found.qualified!r} {found.version} breaks its contract: it takes {model.input_shape}, but "
                f"latents are (None, {decoder.latent_dim})."
            )
        return decoder

    @property
    def detail_dim(self) -> int:
        """K, the width of the detail code; 0 without a detail encoder."""
        return 0 if self.detail_encoder is None else int(self.detail_encoder.output_shape[-1])

    @property
    def latent_dim(self) -> int:
        """D + K, the width of the latents that it reads."""
        return self.feature_dim + self.detail_dim

    @property
    def parts(self) -> dict[str, Any]:
        """Part -> its Keras model: "decoder", and "detail_encoder" where there is one."""
        parts = {"decoder": self.model, "detail_encoder": self.detail_encoder}
        return {k: v for k, v in parts.items() if v is not None}

    @property
    def weights(self) -> list[Any]:
        """The variables of all parts."""
        return [w for part in self.parts.values() for w in part.weights]

    def clone(self) -> FaceDecoder:
        """The same architecture built again, under the Keras dtype policy of the moment, with the same weights."""
        made = FaceDecoder.build(
            f"{self.ref.distribution}:{self.ref.name}",
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

    def decode(self, latents: FloatArray) -> FloatArray:
        """(N, D + K) -> (N, S, S, 3) float32 in 0..1. Raises InputError for latents of another width, or NaN."""
        checked = check_latents(latents, self.latent_dim)
        crops: FloatArray = in_batches(self._runner("decoder"), checked, (self.latent_dim,))
        return crops

    def draw(self, latents: FloatArray) -> UInt8Array:
        """(N, D + K) -> (N, S, S, 3) uint8. Raises as `decode`.

        The floats, four times as large, are there for one batch at a time.
        """
        import numpy as np

        checked = check_latents(latents, self.latent_dim)
        out = np.empty((len(checked), self.image_size, self.image_size, 3), "uint8")
        for i in range(0, len(checked), BATCH):
            out[i : i + BATCH] = to_pixels(self.decode(checked[i : i + BATCH]))
        return out

    def latents(self, features: FloatArray, crops: UInt8Array) -> FloatArray:
        """(N, D) attribute features and the crops (N, S, S, 3) uint8 that they are of -> (N, D + K) latents."""
        import numpy as np

        if self.detail_encoder is None:
            return features
        size = self.image_size
        codes = in_batches(self._runner("detail_encoder"), crops, (size, size, 3))
        return np.concatenate([features, codes], axis=1)

    def _runner(self, part: str) -> Callable[[np.ndarray], Any]:
        import keras

        if part not in self._runners:
            inner = self.parts[part]
            inputs = keras.Input(inner.input_shape[1:])
            model = keras.Model(inputs, inner(inputs))
            model.compile(jit_compile=use_jit(model))
            self._runners[part] = padded(model.predict_on_batch)
        return self._runners[part]


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
