"""An edit takes no new colours: what it adds to a face is held near the colours that the face has.

Age and gender show in shape, light and shade more than in colour. Decoders also draw what a classifier takes for
an age and eyes do not: blue eyes in children, red chins and bright spots in old people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from facefeat.types import FloatArray, UInt8Array

FREE = 6.0
"""Shades of 255: a change of colour as small as this stays as it is."""
SOFT = 14.0
"""Shades of 255: a change of colour that is so much larger than FREE is halved; larger ones more."""
GROWTH = 8.0
"""Shades of 255 that a colour may become stronger by."""


def hold_colours(decoded: UInt8Array, reconstructions: UInt8Array) -> UInt8Array:
    """Decoded faces whose colours stay near those of the faces that they came from; light and shade stay as decoded.

    A pixel's colour is its distance from grey: a vector of three shades, of mean zero. The constants were chosen by eye
    on six official portraits at 10 to 80 years.

    Args:
        decoded: (M, F, F, 3) uint8, decoded from changed latents.
        reconstructions: (M or 1, F, F, 3) uint8, decoded from the latents before the change.

    Returns:
        (M, F, F, 3) uint8; a face that is decoded as before stays as it is.

    Example:
        >>> import numpy as np
        >>> from facefeat.latent.colours import hold_colours
        >>> grey = np.full((1, 2, 2, 3), 120, "uint8")
        >>> red = grey + np.array([60, 0, 0], "uint8")
        >>> hold_colours(red, grey)[0, 0, 0].tolist()
        [147, 136, 136]
    """
    shade, colour = _parts(decoded)
    _, before = _parts(reconstructions)
    change = colour - before
    change *= SOFT / (SOFT + np.maximum(_length(change) - FREE, 0))
    colour = before + change
    longest = np.maximum(_length(before), 1) + GROWTH
    colour *= np.minimum(longest / np.maximum(_length(colour), 1e-3), 1)
    out: UInt8Array = np.clip(np.rint(shade + colour), 0, 255).astype("uint8")
    return out


def _parts(faces: UInt8Array) -> tuple[FloatArray, FloatArray]:
    """(M, F, F, 1) the mean of the three channels, and (M, F, F, 3) what differs from it."""
    exact = faces.astype("float32")
    # Added up by hand: NumPy's mean over an axis of three takes as long as all the rest.
    shade = (exact[..., :1] + exact[..., 1:2] + exact[..., 2:]) / np.float32(3)
    return shade, exact - shade


def _length(colour: FloatArray) -> FloatArray:
    """(M, F, F, 1) of (M, F, F, 3)."""
    return np.asarray(np.sqrt(colour[..., :1] ** 2 + colour[..., 1:2] ** 2 + colour[..., 2:] ** 2), "float32")
