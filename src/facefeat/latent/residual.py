"""What decoding loses of a face, put back into its edits: a decoder draws the change, the photo keeps the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError
from facefeat.latent.frames import enlarge

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

FADE = 20.0
"""Shades of 255: where an edit changes so much, 1 / e of what was lost is put back, since what is drawn anew there does
not go with what was there."""
AROUND = 16
"""A place is a square of one 16th of the crop's side."""


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
        share = self._share(decoded)[..., None]  # (N, S, S, 1)
        now, before = decoded, self.made
        side = crops.shape[1]
        if side != decoded.shape[1]:
            now, before = enlarge(now, side), enlarge(before, side)
            share = enlarge(np.rint(np.repeat(share, 3, axis=3) * 255).astype("uint8"), side) / np.float32(255)
        lost = crops.astype("float32") - before
        return np.asarray(np.rint(np.clip(now + share * lost, 0, 255)), "uint8")

    def _share(self, decoded: UInt8Array) -> np.ndarray:
        """(N, S, S) float32 in 0..1: how much of what was lost goes with each place."""
        from scipy.ndimage import uniform_filter

        changed = np.abs(decoded.astype("float32") - self.made).mean(axis=3)
        square = max(1, changed.shape[1] // AROUND)
        return np.asarray(np.exp(-uniform_filter(changed, (0, square, square), mode="nearest") / FADE))
