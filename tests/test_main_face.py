"""The face that a photo is of: large, and near the middle."""

from __future__ import annotations

import numpy as np
import pytest

from facefeat import Face
from facefeat.image.align import ALIGNMENTS
from facefeat.image.main_face import main_face
from facefeat.pipeline import align_at

SIZE = (200, 100)


def at(x: float, y: float, side: float) -> Face:
    return Face((x - side / 2, y - side / 2, x + side / 2, y + side / 2))


def test_of_equal_faces_it_is_the_central_one() -> None:
    assert main_face([at(20, 50, 30), at(100, 50, 30), at(180, 50, 30)], SIZE) == 1


def test_a_somewhat_larger_face_at_the_edge_is_not_the_main_one() -> None:
    assert main_face([at(15, 80, 40), at(100, 50, 32)], SIZE) == 1


def test_a_much_larger_face_is_the_main_one_even_off_the_middle() -> None:
    assert main_face([at(60, 50, 80), at(100, 50, 20)], SIZE) == 0


def test_of_two_alike_it_is_the_first() -> None:
    assert main_face([at(80, 50, 30), at(120, 50, 30)], SIZE) == 0


@pytest.mark.parametrize("box", [(-400.0, -400.0, -300.0, -300.0), (5.0, 5.0, 5.0, 5.0)])
def test_a_face_outside_the_picture_or_of_no_size_never_wins(box: tuple[float, float, float, float]) -> None:
    assert main_face([Face(box), at(190, 90, 10)], SIZE) == 1


def test_align_cuts_the_main_face() -> None:
    class Detector:
        """Finds a large face at the edge, and a smaller one in the middle."""

        def detect_batch(self, images: list[np.ndarray]) -> list[list[Face]]:
            return [[at(15, 80, 40), at(100, 50, 32)] for _ in images]

    picture = np.zeros((100, 200, 3), "uint8")
    picture[34:66, 84:116] = 250
    (crops,) = align_at(picture, Detector(), ALIGNMENTS["utkface"], (32,))  # type: ignore[arg-type]
    assert crops[0, 8:24, 8:24].min() == 250
