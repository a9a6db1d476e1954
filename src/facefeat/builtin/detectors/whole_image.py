"""`whole-image`: each image is one face, not cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from facefeat.types import Face

if TYPE_CHECKING:
    from facefeat.types import UInt8Array


@dataclass(frozen=True)
class WholeImage:
    """For pictures that are aligned crops already: the box is the whole image, and there are no landmarks.

    Aligning such a face resizes the image's largest central square and does nothing else (`image.align_face`), so a
    square crop comes out just as in training.
    """

    concurrent: ClassVar[bool] = True

    def detect(self, image: UInt8Array) -> list[Face]:
        """One face of score 1 whose box is the whole (H, W, 3) uint8 image."""
        height, width = image.shape[:2]
        return [Face(box=(0.0, 0.0, float(width), float(height)), score=1.0)]

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """`detect` of each image."""
        return [self.detect(image) for image in images]
