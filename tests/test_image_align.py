"""Checking, resizing and aligning crops; the similarity between five points and five."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facefeat.errors import ImageError, InputError
from facefeat.image.align import (
    ALIGNMENTS,
    MARKS_IN_BOX,
    align_face,
    check_crops,
    resize_crop,
    resize_crops,
    similarity,
)
from facefeat.types import Alignment, Face


def smooth(height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 without symmetry, smooth enough to be compared after interpolation."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = [127 + 90 * np.sin(7 * x + 2 * y), 255 * x, 60 + 150 * y * x + 40 * np.cos(9 * y)]
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype("uint8")


# ---------------------------------------------------------------- crops


def test_check_crops_takes_batches() -> None:
    batch = np.stack([smooth(8, 8), smooth(8, 8)[::-1]])
    np.testing.assert_array_equal(check_crops(batch), batch)
    np.testing.assert_array_equal(check_crops(list(batch)), batch)
    for nothing in ([], (), np.zeros((0, 8, 8, 3), "uint8"), np.zeros((0, 0, 0, 3), "float64")):
        assert len(check_crops(nothing)) == 0 and check_crops(nothing).ndim == 4


@pytest.mark.parametrize(
    ("crops", "words"),
    [
        (np.zeros((8, 8, 3), "uint8"), r"crop\[None\]"),
        (np.zeros((2, 8, 8), "uint8"), "shape"),
        (np.zeros((2, 8, 8, 1), "uint8"), "shape"),
        (np.zeros((2, 8, 8, 3), "float32"), "dtype"),
        (np.full((2, 8, 8, 3), np.inf), "NaN"),
        (np.zeros((2, 0, 8, 3), "uint8"), "no pixels"),
        ([np.zeros((8, 8, 3), "uint8"), np.zeros((9, 9, 3), "uint8")], "differ in shape"),
        (["a.jpg", "b.jpg"], "shape"),
        ("a.jpg", "Received: str"),
        (None, "Received: NoneType"),
    ],
)
def test_check_crops_refuses(crops: object, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        check_crops(crops)
    assert "Valid: (N, H, W, 3) uint8" in str(caught.value)


def test_resizing_is_antialiased_and_the_same_for_one_and_many() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype("uint8")
    small = resize_crop(noise, 20)
    assert small.shape == (20, 20, 3) and small.std() < 12  # point sampling would keep 74
    np.testing.assert_array_equal(resize_crop(Image.fromarray(noise), 20), small)
    np.testing.assert_array_equal(resize_crops(np.stack([noise, noise[::-1]]), 20)[0], small)
    np.testing.assert_array_equal(resize_crop(noise, 400), noise)
    assert resize_crops(np.zeros((0, 1, 1, 3), "uint8"), 20).shape == (0, 20, 20, 3)


# ---------------------------------------------------------------- similarity

numbers = st.floats(-500, 500)
points = (
    st.lists(st.tuples(numbers, numbers), min_size=2, max_size=8)
    .map(np.array)
    .filter(lambda p: np.ptp(p, axis=0).max() > 1e-2)
)


def moved(matrix: np.ndarray, pts: np.ndarray) -> np.ndarray:
    return pts @ matrix[:, :2].T + matrix[:, 2]


@given(points, st.floats(0.05, 20), st.floats(-np.pi, np.pi), numbers, numbers)
def test_similarity_finds_the_one_that_there_is(
    src: np.ndarray, scale: float, angle: float, x: float, y: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    dst = src @ turn.T + (x, y)
    found = similarity(src, dst)
    np.testing.assert_allclose(moved(found, src), dst, atol=1e-6 * max(1.0, scale))


@given(points, st.data())
def test_similarity_agrees_with_umeyama_and_never_mirrors(src: np.ndarray, data: st.DataObject) -> None:
    dst = np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=len(src), max_size=len(src))))
    found = similarity(src, dst)
    assert np.linalg.det(found[:, :2]) >= 0
    np.testing.assert_allclose(found[0, :2], [found[1, 1], -found[1, 0]])
    # Umeyama's own way: singular values of the covariance, the last turned round where they would mirror.
    a, b = src - src.mean(0), dst - dst.mean(0)
    u, d, vt = np.linalg.svd(b.T @ a / len(a))
    s = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    theirs = (d * s).sum() / (a**2).sum(1).mean() * (u * s) @ vt
    errors = [((moved(m, src) - dst) ** 2).sum() for m in (found, np.c_[theirs, dst.mean(0) - theirs @ src.mean(0)])]
    assert errors[0] <= errors[1] * (1 + 1e-6) + 1e-3


@pytest.mark.parametrize(
    ("src", "dst"),
    [
        ([[1, 1], [1, 1]], [[0, 0], [1, 1]]),
        ([[1, 1]], [[0, 0]]),
        ([[0, 0], [1, 1]], [[0, 0], [1, 1], [2, 2]]),
        ([[0, 0, 0], [1, 1, 1]], [[0, 0, 0], [1, 1, 1]]),
        ([[0, 0], [1, np.nan]], [[0, 0], [1, 1]]),
    ],
)
def test_similarity_refuses(src: list[list[float]], dst: list[list[float]]) -> None:
    with pytest.raises(InputError):
        similarity(src, dst)


# ---------------------------------------------------------------- alignment

UTKFACE = ALIGNMENTS["utkface"]


def marked(alignment: Alignment, side: float) -> np.ndarray:
    return np.asarray(alignment.landmarks) * side


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_a_crop_that_is_aligned_already_stays_as_it_is(name: str) -> None:
    crop = smooth(200, 200)
    marks = marked(ALIGNMENTS[name], 200).astype("float32")
    aligned = align_face(crop, Face((0, 0, 200, 200), landmarks=marks), ALIGNMENTS[name], 96)
    assert np.abs(aligned.astype(int) - resize_crop(crop, 96)).mean() < 0.8  # of 255; Pillow's transform rounds down
    assert ALIGNMENTS[name] == Alignment.from_dict(ALIGNMENTS[name].to_dict())


@given(st.floats(0.3, 3), st.floats(-40, 40), st.sampled_from([24, 64, 96]))
def test_a_face_comes_back_from_a_scaled_and_turned_scene(scale: float, degrees: float, size: int) -> None:
    crop, (height, width) = smooth(200, 200), (900, 1000)
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    to_scene = np.array([[c, -s, 500 - 100 * (c - s)], [s, c, 450 - 100 * (s + c)]])
    back = np.linalg.inv(np.vstack([to_scene, [0, 0, 1]]))[:2]
    scene = Image.fromarray(crop).transform((width, height), Image.Transform.AFFINE, tuple(back.ravel()), 3)
    marks = moved(to_scene, marked(UTKFACE, 200)).astype("float32")
    aligned = align_face(np.asarray(scene), Face((0, 0, 1, 1), landmarks=marks), UTKFACE, size)
    inner = slice(size // 12, -(size // 12))
    error = np.abs(aligned.astype(int) - resize_crop(crop, size))[inner, inner]
    assert error.mean() < 2.0


def test_a_large_face_is_antialiased() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3)).astype("uint8")
    marks = (marked(UTKFACE, 1900) + 50).astype("float32")
    assert align_face(noise, Face((0, 0, 1, 1), landmarks=marks), UTKFACE, 64).std() < 8  # of 74


def test_outside_of_the_image_is_black() -> None:
    white = np.full((100, 100, 3), 255, "uint8")
    marks = (marked(UTKFACE, 100) - (50, 0)).astype("float32")
    aligned = align_face(white, Face((0, 0, 1, 1), landmarks=marks), UTKFACE, 64)
    assert (aligned[:, :28] == 0).all() and (aligned[:, 36:] == 255).all()
    for far in (1e5, -1e5):
        away = Face((0, 0, 1, 1), landmarks=(marked(UTKFACE, 100) + far).astype("float32"))
        assert (align_face(white, away, UTKFACE, 64) == 0).all()
    gigantic = Face((0, 0, 1, 1), landmarks=marked(UTKFACE, 1e7).astype("float32"))
    assert align_face(white, gigantic, UTKFACE, 64).shape == (64, 64, 3)


def test_a_box_alone_puts_an_average_face_in_its_place() -> None:
    image = smooth(400, 500)
    box = (180.0, 90.0, 300.0, 240.0)
    marks = (np.array([240, 165]) + (np.asarray(MARKS_IN_BOX) - 0.5) * 150).astype("float32")
    np.testing.assert_array_equal(
        align_face(image, Face(box), UTKFACE, 96), align_face(image, Face(box, landmarks=marks), UTKFACE, 96)
    )


@pytest.mark.parametrize(("height", "width"), [(200, 200), (200, 260), (300, 200), (1, 1), (1, 9)])
def test_the_whole_image_is_resized_without_distortion(height: int, width: int) -> None:
    image = smooth(height, width)
    side, top, left = min(height, width), (height - min(height, width)) // 2, (width - min(height, width)) // 2
    aligned = align_face(image, Face((0, 0, width, height)), UTKFACE, 96)
    np.testing.assert_array_equal(aligned, resize_crop(image[top : top + side, left : left + side].copy(), 96))


def test_a_face_that_is_one_point_is_refused() -> None:
    for face in (Face((5, 5, 5, 5)), Face((0, 0, 9, 9), landmarks=np.ones((5, 2), "float32"))):
        with pytest.raises(InputError, match="one"):
            align_face(smooth(50, 60), face, UTKFACE, 64)
