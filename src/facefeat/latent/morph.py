"""Morphing: one face turns into another, and on through more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from facefeat.latent.interpolate import check_morph, latent_path
from facefeat.latent.portraits import Portraits

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceBatch, FloatArray, UInt8Array

DECODED_AT_ONCE, DRAWN_AT_ONCE = 64, 8
"""Frames that are decoded together, and of these drawn together: large frames are floats meanwhile."""


@dataclass(frozen=True, eq=False)
class Morph:
    """T frames from face to face, through K faces.

    `for frame in morph`, and `save`, draw a few frames at a time, however long it is; `frames` and `predictions` are
    arrays of all, made at first use.

    Attributes:
        faces: the K faces.
        latents: (T, L) float32.
        weights: (T, K) float32, how near each frame is to each face; rows of sum 1.

    Example:
        >>> morph = model.morph("a.jpg", "b.jpg", steps=60)
        >>> morph.frames.shape
        (60, 256, 256, 3)
        >>> morph.save("morph.mp4")
    """

    faces: Portraits
    latents: FloatArray
    weights: FloatArray
    model: FaceFeatureModel = field(repr=False)

    def __len__(self) -> int:
        return len(self.latents)

    def __iter__(self) -> Iterator[UInt8Array]:
        for decoded, weights in self._chunks():
            yield from self._drawn(decoded, weights)

    @cached_property
    def frames(self) -> UInt8Array:
        """(T, size, size, 3) uint8. With the residual the frames of the faces are their crops."""
        out = np.empty((len(self), self.faces.size, self.faces.size, 3), "uint8")
        for i, frame in enumerate(self._drawn(self._decoded, self.weights)):
            out[i] = frame
        return out

    @cached_property
    def predictions(self) -> FaceBatch:
        """What the model predicts from each frame, as large as it sees faces."""
        return self.model.predict_faces(self.faces.blend(self._decoded, self.weights))

    def save(self, output: str | Path, *, fps: float = 30.0, attributes: bool = False) -> Path:
        """Write the frames; the ending says how: .mp4, .gif, .webp, .png or .jpg (a contact sheet), none (a folder).

        attributes: whether a frame's predictions are written next to it. Raises InputError where it cannot
        be written, or an animation would fill the memory; MissingExtraError for .mp4 without the extra `video`.
        """
        from facefeat.image.video import check_animation, write_frames

        check_animation(Path(output), len(self), *self.frame_size(attributes))
        return write_frames(self._captioned() if attributes else self, output, fps=fps, count=len(self))

    def frame_size(self, attributes: bool = False) -> tuple[int, int]:
        """(width, height) of a frame that `save` writes, in pixels."""
        return self.faces.size * (2 if attributes else 1), self.faces.size

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the predictions, the latents and the weights of the faces; frames are left out."""
        return {
            "predictions": self.predictions.to_dict(),
            "latents": self.latents.tolist(),
            "weights": self.weights.tolist(),
        }

    @cached_property
    def _decoded(self) -> UInt8Array:
        """(T, S, S, 3) uint8: kept, since what is drawn and what is predicted both come from it."""
        return self.model.decode(self.latents)

    def _chunks(self) -> Iterator[tuple[UInt8Array, FloatArray]]:
        for start in range(0, len(self), DECODED_AT_ONCE):
            rows = slice(start, start + DECODED_AT_ONCE)
            yield self.model.decode(self.latents[rows]), self.weights[rows]

    def _drawn(self, decoded: UInt8Array, weights: FloatArray) -> Iterator[UInt8Array]:
        for start in range(0, len(decoded), DRAWN_AT_ONCE):
            rows = slice(start, start + DRAWN_AT_ONCE)
            yield from self.faces.blend(decoded[rows], weights[rows], large=True)

    def _captioned(self) -> Iterator[UInt8Array]:
        from facefeat.image.video import with_text
        from facefeat.latent.captions import caption_beside

        for decoded, weights in self._chunks():
            batch = self.model.predict_faces(self.faces.blend(decoded, weights))
            for i, frame in enumerate(self._drawn(decoded, weights)):
                yield with_text(frame[None], [caption_beside(batch, i)])[0]


class MorphOptions(TypedDict, total=False):
    """Options of `FaceFeatureModel.morph`; the defaults are those of `FaceFeatureModel.morph_faces`."""

    steps: int
    path: str
    easing: str
    bounce: bool
    residual: bool


def morph_faces(
    model: FaceFeatureModel,
    crops: UInt8Array,
    large: UInt8Array | None = None,
    *,
    steps: int,
    path: str,
    easing: str,
    bounce: bool,
    residual: bool,
) -> Morph:
    """The morph through (K, H, W, 3) uint8 crops; see `FaceFeatureModel.morph`."""
    check_morph(len(crops), steps, path, easing)
    faces = Portraits.of(model, crops, large, residual=residual)
    latents = latent_path(faces.latents, steps, path=path, easing=easing, bounce=bounce)
    weights = latent_path(np.eye(len(faces), dtype="float32"), steps, easing=easing, bounce=bounce)
    return Morph(faces, latents, weights, model)
