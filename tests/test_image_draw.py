"""Drawing on pictures."""

from __future__ import annotations

import numpy as np
import pytest

from facefeat.image.draw import annotate, label
from facefeat.types import AttributePrediction, Face, FaceResult, ImageResult, Interval


def face(*box: float, years: float | None = 34.4, race: str = "Latino_Hispanic") -> FaceResult:
    attributes = {
        "age": AttributePrediction("30-39", 0.61, {}, value=years, unit="years", kind="ordered"),
        "gender": AttributePrediction("Female", 0.984, {}),
        "race": AttributePrediction(race, 0.87, {}),
    }
    return FaceResult(Face(box), attributes)  # type: ignore[arg-type]


def test_the_label_says_years_gender_and_race() -> None:
    assert label(1, face(0, 0, 1, 1)) == "1  34 years\nFemale 98%\nLatino_Hispanic 87%"
    assert label(2, face(0, 0, 1, 1, years=None)) == "2  age 30-39 61%\nFemale 98%\nLatino_Hispanic 87%"
    assert label(3, FaceResult(Face((0, 0, 1, 1)), {})) == "3"


def test_a_label_is_as_honest_as_a_table() -> None:
    between = Interval(0, 62, 0.9)
    attributes = {
        "age": AttributePrediction("0-2", 0.3, {}, value=3.0, unit="years", kind="ordered", interval=between),
        "gender": AttributePrediction("Male", 1.0, {"Male": 1.0, "Female": 0.0}),
        "race": AttributePrediction("White", 0.45, {"White": 0.45, "Asian": 0.4, "Black": 0.15}),
    }
    said = label(1, FaceResult(Face((0, 0, 1, 1)), attributes))
    assert said == "1  3 years, 0-62 (90%)\nMale >99%\nWhite 45% or Asian 40%"


def test_labels_of_faces_side_by_side_do_not_hide_each_other() -> None:
    image = np.full((300, 700, 3), 100, "uint8")
    alone = annotate(image, ImageResult("a.jpg", (face(300, 120, 340, 160),)))
    both = annotate(image, ImageResult("a.jpg", (face(300, 120, 340, 160), face(345, 120, 385, 160))))
    dark = [(drawn == (0x10, 0x14, 0x18)).all(axis=2).sum() for drawn in (alone, both)]
    assert dark[1] > 1.9 * dark[0]


def test_the_input_stays_and_no_faces_change_nothing() -> None:
    image = np.full((60, 80, 3), 100, "uint8")
    copy = annotate(image, ImageResult("a.jpg", size=(80, 60)))
    np.testing.assert_array_equal(copy, image)
    assert copy is not image
    read_only = image.copy()
    read_only.setflags(write=False)
    drawn = annotate(read_only, ImageResult("a.jpg", (face(20, 20, 50, 50),)))
    assert (read_only == 100).all() and (drawn != 100).any()


@pytest.mark.parametrize("side", [120, 640, 2500])
def test_box_and_text_grow_with_the_picture(side: int) -> None:
    image = np.full((side, side, 3), 100, "uint8")
    box = tuple(side * f for f in (0.3, 0.5, 0.6, 0.9))
    drawn = annotate(image, ImageResult("a.jpg", (face(*box),)))
    changed = (drawn != 100).any(axis=2)
    assert 0.07 < np.ptp(np.nonzero(changed[: int(box[1] - side / 100)])[0]) / side < 0.4  # the height of three lines
    rows, columns = np.nonzero(changed)
    assert columns.min() > 0.05 * side and rows.max() < 0.95 * side
    assert changed[int(box[3]), int(side * 0.45)] and not changed[int(side * 0.7), int(side * 0.45)]


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, 90, 90),
        (560, 5, 700, 300),
        (5, 400, 90, 520),
        (0, 0, 639, 479),
        (-9, -9, 999, 999),
        (700, 700, 800, 800),
    ],
)
def test_labels_stay_in_the_picture(box: tuple[float, float, float, float]) -> None:
    image = np.full((480, 640, 3), 100, "uint8")
    reference = annotate(image, ImageResult("a.jpg", (face(300, 200, 400, 300),)))
    wide, high = _label_extent(reference)
    drawn = annotate(image, ImageResult("a.jpg", (face(*box),)))
    assert drawn.shape == image.shape
    dark = (drawn == (0x10, 0x14, 0x18)).all(axis=2)
    assert dark.sum() > 0.5 * wide * high  # the whole label, not the part of one that was cut off


def _label_extent(drawn: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero((drawn[:195] != 100).any(axis=2))
    return int(np.ptp(columns)), int(np.ptp(rows))


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (500, 3), (30, 30)])
def test_tiny_pictures_are_no_error(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 100, "uint8")
    assert annotate(image, ImageResult("a.jpg", (face(0, 0, shape[1], shape[0]),))).shape == image.shape


def test_faces_have_different_colours() -> None:
    image = np.full((400, 600, 3), 100, "uint8")
    faces = (face(50, 150, 150, 250), face(400, 150, 500, 250))
    drawn = annotate(image, ImageResult("a.jpg", faces))
    first, second = (drawn[200, x - 2 : x + 3] for x in (50, 400))
    assert {tuple(p) for p in first.tolist()} != {tuple(p) for p in second.tolist()}
