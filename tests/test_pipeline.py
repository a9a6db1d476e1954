"""One bad photo costs only itself: also where it is the detector that fails on it, or gives a face that is no face."""

from __future__ import annotations

import numpy as np
import pytest

from facefeat import Face, FaceBatch, ImageError, MissingExtraError
from facefeat.image.align import ALIGNMENTS
from facefeat.pipeline import read_images, read_photos
from made import batch_of


class Reader:
    """Reads every crop as Male."""

    image_size = 8
    alignment = ALIGNMENTS["utkface"]

    def predict(self, crops: np.ndarray) -> FaceBatch:
        n = len(crops)
        return batch_of({"gender": np.tile(np.float32([0.9, 0.1]), (n, 1))}, {"gender": ("Male", "Female")})


class Detector:
    """Finds the whole picture; fails on white ones, and finds a face of no size in black ones."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def detect_batch(self, images: list[np.ndarray]) -> list[list[Face]]:
        self.calls.append(len(images))
        if any(image.min() == 255 for image in images):
            raise ZeroDivisionError("float division\nby zero")
        found = [(5, 5, 5, 5) if image.max() == 0 else (0, 0, 20, 20) for image in images]
        return [[Face(tuple(map(float, box)), 0.9)] for box in found]


def plain(value: int) -> np.ndarray:
    return np.full((20, 20, 3), value, "uint8")


def test_the_others_are_read() -> None:
    detector = Detector()
    grey, white, black = read_photos([plain(90), plain(255), plain(0)], detector, Reader())
    assert grey.error is None and grey.faces[0].attributes["gender"].label == "Male"
    assert white.error == "the detector failed: float division by zero" and white.faces == ()
    assert black.error is not None and black.error.startswith("the detector gave a face that cannot be aligned: ")
    assert detector.calls == [3, 1, 1, 1], "one by one only after the batch has failed"


def test_alone_it_is_an_error() -> None:
    with pytest.raises(ImageError, match="the detector failed: float division by zero"):
        read_images(plain(255), Detector(), Reader())


def test_what_facefeat_says_of_the_detector_itself_is_raised() -> None:
    class Missing(Detector):
        def detect_batch(self, images: list[np.ndarray]) -> list[list[Face]]:
            raise MissingExtraError("pip install 'facefeat[detector]'")

    with pytest.raises(MissingExtraError, match="pip install"):
        read_photos([plain(90), plain(80)], Missing(), Reader())
