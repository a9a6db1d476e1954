"""What decoding loses of a face, put back into its edits: a decoder draws the change, the photo keeps the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError
from facefeat.image.video import enlarge

if TYPE_CHECKING:
    from facefeat.types import FloatArray, UInt8Array

FADE = 20.0
"""Shades of 255: where an edit changes so much, 1 / e of what was lost is put back, since what is drawn anew there does
not go with what was there."""
SOFT = 0.08
"""Share of the crop's side, from each edge, over which a change begins when a face is put back into its photo."""


@dataclass(frozen=True)
class Residual:
    """What decoding lost of N faces: the difference of `crops` and `made`, both (N, S, S, 3) uint8.

    crops: the faces. made: what is decoded from their latents.
    """

    crops: UInt8Array
    made: UInt8Array

    def of(self, rows: Sequence[int] | np.ndarray) -> Residual:
        """The same of some of the faces."""
        return Residual(self.crops[rows], self.made[rows])

    def put_back(self, decoded: UInt8Array, crops: UInt8Array | None = None) -> UInt8Array:
        """(N, S, S, 3) uint8, decoded of the same faces edited -> uint8, with what was lost: less where much changed.

        A face that is decoded as before is its crop again.
        crops: (N, T, T, 3) uint8, the same faces cut larger: then the answer has their size and their sharpness, and
        only the change is enlarged. Raises InputError for other shapes.
        """
        crops = self.crops if crops is None else crops
        if decoded.shape != self.made.shape or len(crops) != len(decoded):
            raise InputError(f"decoded faces must be {self.made.shape}, and as many crops. Received: {decoded.shape}.")
        if not len(decoded):
            return np.asarray(crops)
        return _rounded(enlarge(decoded, crops.shape[1]) + _lost(decoded, self.made, crops))

    def blend(self, decoded: UInt8Array, weights: FloatArray, crops: UInt8Array | None = None) -> UInt8Array:
        """(M, S, S, 3) uint8, decoded between the N faces -> uint8, with what was lost of each, by its weight.

        weights: (M, N), rows of sum 1. crops: as of `put_back`. Raises InputError for other shapes.
        """
        crops = self.crops if crops is None else crops
        n = len(self.made)
        if decoded.shape[1:] != self.made.shape[1:] or weights.shape != (len(decoded), n) or len(crops) != n:
            raise InputError(
                f"decoded faces must be (M, {', '.join(map(str, self.made.shape[1:]))}), weights (M, {n}), crops {n}. "
                f"Received: {decoded.shape}, {weights.shape}, {len(crops)}."
            )
        out = enlarge(decoded, crops.shape[1]).astype("float32") if len(decoded) else np.asarray(decoded, "float32")
        for k in range(n):
            rows = np.flatnonzero(weights[:, k])
            if len(rows):
                out[rows] += weights[rows, k, None, None, None] * _lost(decoded[rows], self.made[[k]], crops[[k]])
        return _rounded(out)


def _lost(decoded: UInt8Array, made: UInt8Array, crops: UInt8Array) -> np.ndarray:
    """(M, T, T, 3) float32: what is to be put back into decoded (M, S, S, 3), of made (S) and crops (T), M or one."""
    from PIL import Image

    changed = np.abs(decoded.astype("float32") - made).mean(axis=3, keepdims=True)  # (M, S, S, 1)
    share = np.exp(-changed / FADE)
    side = crops.shape[1]
    if side != made.shape[1]:
        made = enlarge(made, side)
        grey = (Image.fromarray(s) for s in np.rint(share[..., 0] * 255).astype("uint8"))
        larger = [g.resize((side, side), Image.Resampling.BILINEAR) for g in grey]
        share = np.stack([np.asarray(g, "float32") for g in larger])[..., None] / np.float32(255)
    return np.asarray(share * (crops.astype("float32") - made), "float32")


def _rounded(pixels: np.ndarray) -> UInt8Array:
    return np.asarray(np.rint(np.clip(pixels, 0, 255)), "uint8")


def into_photo(photo: UInt8Array, before: UInt8Array, after: UInt8Array, to_crop: np.ndarray) -> UInt8Array:
    """(H, W, 3) uint8 photo with a face changed: the difference of two crops of it is added, softly at their edges.

    before, after: (T, T, 3) uint8, the face as it was cut from the photo, and changed.
    to_crop: (2, 3) float64, takes points of the photo to pixels of the crop (`image.crop_transform`).
    A face that lies outside the photo leaves it as it is.
    """
    from PIL import Image

    side = len(before)
    height, width = photo.shape[:2]
    ends = np.array([[0, 0], [side, 0], [0, side], [side, side]], "float64")
    corners = (ends - to_crop[:, 2]) @ np.linalg.inv(to_crop[:, :2]).T
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, [width, height]).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, [width, height]).astype(int)
    out = np.array(photo)
    if right <= left or bottom <= top:
        return out
    inward = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) / (SOFT * side)
    ramp = np.minimum(inward, 1).astype("float32")
    change = (after.astype("float32") - before) * (ramp[:, None] * ramp)[..., None]
    shift = to_crop[:, :2] @ (left, top) + to_crop[:, 2]
    how = (*to_crop[0, :2], shift[0], *to_crop[1, :2], shift[1])
    place = (int(right - left), int(bottom - top))
    turned = [
        np.asarray(
            Image.fromarray(change[..., c]).transform(place, Image.Transform.AFFINE, how, Image.Resampling.BILINEAR)
        )
        for c in range(3)
    ]
    part = out[top:bottom, left:right]
    part[:] = np.rint(np.clip(part + np.stack([np.asarray(t) for t in turned], axis=-1), 0, 255))
    return out
