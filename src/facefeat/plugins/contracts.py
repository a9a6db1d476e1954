"""What a plugin registers: `Component`, and one contract per kind.

| kind | `build(...)` gives |
|---|---|
| detector | an object with `detect(image)` and `detect_batch(images)` |
| backbone | `build(*, image_size, **config)`: Keras model, crops (B, S, S, 3) 0..255 -> feature map (B, h, w, C) |
| head | `build(*, feature_shape, schema, **config)`: Keras model, feature map -> {attribute: logits} |
| decoder | `build(*, latent_dim, image_size, **config)`: Keras model, latents (B, D) -> crops (B, S, S, 3) in 0..1; |
|  | or a `DetailDecoder`: such a model for latents (B, D + K), and the encoder that gives the other K numbers |
| augmentation | `build(*, seed, **config)`: Keras layer, crops (B, S, S, 3) 0..255 -> the same shape: changed when |
|  | called with `training=True`, passed through otherwise |
| analyzer | an object with `analyze(latents, labels, model=None) -> Analysis` |
| preset | `build()`: the folder of the preset, a path |

`build` takes keyword-only, JSON-able configuration (a head's `schema` aside) and does its heavy imports inside, so that
registering a component costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from facefeat.model import FaceFeatureModel
    from facefeat.types import Analysis, Face, FloatArray, UInt8Array

KINDS = ("detector", "backbone", "head", "augmentation", "decoder", "analyzer", "preset")
"""The kinds of component; the hook of a kind is `facefeat_<kind>s`."""


@dataclass(frozen=True)
class Component:
    """A named building block.

    name: lower-case words joined by hyphens, such as "mlp".
    build: makes the thing; see the table above for what each kind takes and gives.
    summary: one line for `facefeat plugins`.
    requires: importable module names that `build` needs beyond the core, such as ("umap",).
    extra: what to `pip install` where one of them is missing, such as "facefeat[video]".
    """

    name: str
    build: Callable[..., Any]
    summary: str
    requires: tuple[str, ...] = ()
    extra: str = ""


@dataclass(frozen=True)
class DetailDecoder:
    """What a decoder's `build(*, latent_dim=D, ...)` gives where the classifier's features alone are too little.

    The latent is then [attribute features (D), detail code (K)].
    decoder: Keras model, latents (B, D + K) -> crops (B, S, S, 3) float32 in 0..1.
    detail_encoder: Keras model, crops (B, S, S, 3) float 0..255 -> codes (B, K) float32; trained with the decoder.
    """

    decoder: Any
    detail_encoder: Any


@runtime_checkable
class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: UInt8Array) -> list[Face]:
        """Faces of one (H, W, 3) uint8 RGB image, largest first, in the image's own pixels."""
        ...

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """Faces of several images, of any sizes: one list each, in order. Same answers as `detect`, only faster."""
        ...


@runtime_checkable
class Analyzer(Protocol):
    """Studies latents.

    Where `analyze` also takes `faces`, it gets the `FaceSet` that the latents are of, or None: file names, exact ages,
    crops. One that cannot do without model and faces says so by an attribute `needs_faces = True`.
    """

    def analyze(
        self, latents: FloatArray, labels: Mapping[str, np.ndarray], model: FaceFeatureModel | None = None
    ) -> Analysis:
        """latents (N, D) float32; labels: attribute -> (N,); model: the FaceFeatureModel they came from, if any."""
        ...
