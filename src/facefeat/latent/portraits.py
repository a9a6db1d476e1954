"""Faces with their latents, and the residual: what decoding loses of a face, which edits and morphs restore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError
from facefeat.image.align import check_crops, resize_crops
from facefeat.image.video import enlarge
from facefeat.latent.colours import hold_colours

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FloatArray, UInt8Array

    Rows = Sequence[int] | np.ndarray

FADE = 8.0
"""Shades of 255: where an edit changes so much, 1 / e of the residual is restored, since what is drawn anew there does
not go with what was there."""


@dataclass(frozen=True, eq=False)
class Portraits:
    """N faces with their latents: where edits and morphs start.

    Attributes:
        crops: (N, F, F, 3) uint8, at the side of the faces that the decoder draws.
        large: (N, T, T, 3) uint8, the same faces cut at the size in which results are drawn.
        latents: (N, L) float32.
        reconstructions: (N, F, F, 3) uint8, decoded from the latents.
        residual: whether what decoding loses, the difference of crops and reconstructions, is restored.
    """

    crops: UInt8Array
    large: UInt8Array
    latents: FloatArray
    reconstructions: UInt8Array
    residual: bool = True

    @classmethod
    def of(
        cls, model: FaceFeatureModel, crops: UInt8Array, large: UInt8Array | None = None, *, residual: bool = True
    ) -> Portraits:
        """The portraits of (N, H, W, 3) uint8 crops.

        large: (N, T, T, 3) uint8, where the same faces are cut at another size to be drawn; else square crops are
        drawn at their own size, others at S. Raises InputError for other shapes, PresetError without a decoder.
        """
        model.require_decoder()
        crops = check_crops(crops)
        seen, drawn = resize_crops(crops, model.image_size), model.decoder.face_size
        if large is None:
            large = crops if len(crops) and crops.shape[1] == crops.shape[2] else seen
        large = check_crops(large) if len(large) else seen
        if len(large) != len(seen) or large.shape[1] != large.shape[2]:
            raise InputError(f"large must be ({len(seen)}, T, T, 3): the same faces. Received: {large.shape}.")
        latents = model.encode(seen)
        as_drawn = seen if drawn == model.image_size else resize_crops(large, drawn)
        return cls(as_drawn, large, latents, model.decode(latents), residual)

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def size(self) -> int:
        """T, the side in pixels of what is drawn."""
        return int(self.large.shape[1])

    def take(self, rows: Rows) -> Portraits:
        """Some of the faces, in this order."""
        arrays = {n: getattr(self, n)[rows] for n in ("crops", "large", "latents", "reconstructions")}
        return replace(self, **arrays)

    def restore(self, decoded: UInt8Array, rows: Rows, *, large: bool = False) -> UInt8Array:
        """Faces decoded from changed latents, with the residual: less of it where much changed.

        A face that is decoded as before is its crop again. The change takes no new colours (`hold_colours`).

        Args:
            decoded: (M, F, F, 3) uint8.
            rows: (M,), which of the faces each is.
            large: whether the result is (M, T, T, 3), as sharp as `large`: only the change is enlarged then.
        """
        crops = self.large if large else self.crops
        if not self.residual or not len(decoded):
            return enlarge(decoded, crops.shape[1])
        decoded = hold_colours(decoded, self.reconstructions[rows])
        drawn = enlarge(decoded, crops.shape[1])
        return _rounded(drawn + _residual(decoded, self.reconstructions[rows], crops[rows]))

    def blend(self, decoded: UInt8Array, weights: FloatArray, *, large: bool = False) -> UInt8Array:
        """Faces decoded between the N, with the residual of each by its weight.

        Args:
            decoded: (M, F, F, 3) uint8.
            weights: (M, N), rows of sum 1.
            large: as of `restore`.
        """
        crops = self.large if large else self.crops
        drawn = enlarge(decoded, crops.shape[1])
        if not self.residual or not len(decoded):
            return drawn
        out = drawn.astype("float32")
        for k in range(len(self)):
            rows = np.flatnonzero(weights[:, k])
            if len(rows):
                residual = _residual(decoded[rows], self.reconstructions[[k]], crops[[k]])
                out[rows] += weights[rows, k, None, None, None] * residual
        return _rounded(out)


def _residual(decoded: UInt8Array, reconstructions: UInt8Array, crops: UInt8Array) -> np.ndarray:
    """(M, T, T, 3) float32: what is restored in decoded (M, F, F, 3); reconstructions (F) and crops (T) are M or 1."""
    from PIL import Image

    change = np.abs(decoded.astype("float32") - reconstructions)
    # Added up by hand: NumPy's mean over an axis of three takes as long as all the rest.
    mean = (change[..., :1] + change[..., 1:2] + change[..., 2:]) / np.float32(3)  # (M, F, F, 1)
    share = np.exp(-mean / FADE)
    side = crops.shape[1]
    if side != reconstructions.shape[1]:
        reconstructions = enlarge(reconstructions, side)
        grey = (Image.fromarray(s) for s in np.rint(share[..., 0] * 255).astype("uint8"))
        larger = [g.resize((side, side), Image.Resampling.BILINEAR) for g in grey]
        share = np.stack([np.asarray(g, "float32") for g in larger])[..., None] / np.float32(255)
    return np.asarray(share * (crops.astype("float32") - reconstructions), "float32")


def _rounded(pixels: np.ndarray) -> UInt8Array:
    return np.asarray(np.rint(np.clip(pixels, 0, 255)), "uint8")
