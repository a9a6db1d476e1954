"""One bad photo costs only itself: also where it is the detector that fails on it, or gives a face that is no face."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facefeat import Face, FaceBatch, ImageError, MissingExtraError
from facefeat.image.align import ALIGNMENTS
from facefeat.pipeline import read_images, read_photos
from made import batch_of
from test_image_align import smooth


class Reader:
    """Reads every crop as Male."""

    image_size = 8
    alignment = ALIGNMENTS["utkface"]

    def predict(self, crops: np.ndarray, faces: object = None, /) -> FaceBatch:
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


class Leaves(BaseException):
    """No Exception, and not Ctrl-C."""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "not iterable"),
        ([7], "it gave int where a Face is wanted"),
        ([Face((1, 2, 3))], "a box has four numbers"),  # type: ignore[arg-type]
        ([Face(("a", "b", "c", "d"))], "a box has four numbers"),  # type: ignore[arg-type]
        ([Face((0, 0, 9, 9), "sure")], "a score is one"),  # type: ignore[arg-type]
        ([Face((0, 0, 9, 9), 1, np.zeros((2, 5)))], "landmarks are five pairs of numbers"),
        (Leaves("enough"), "enough"),
    ],
    ids="none number short text score marks leaves".split(),
)
def test_what_is_no_list_of_faces_is_the_detectors_fault(given: Any, why: str) -> None:
    class Careless(Detector):
        def detect_batch(self, images: list[np.ndarray]) -> list[list[Face]]:
            if isinstance(given, BaseException):
                raise given
            return [given for _ in images]

    for answer in read_photos([plain(90), plain(80)], Careless(), Reader()):
        assert answer.error is not None and answer.error.startswith("the detector failed: ") and why in answer.error


def test_fewer_lists_than_pictures_are_asked_for_one_by_one() -> None:
    class Short(Detector):
        def detect_batch(self, images: list[np.ndarray]) -> list[list[Face]]:
            return super().detect_batch(images)[:1]

    answers = read_photos([plain(90), plain(80)], Short(), Reader())
    assert [len(a.faces) for a in answers] == [1, 1]


def test_alone_it_is_an_error() -> None:
    with pytest.raises(ImageError, match="the detector failed: float division by zero"):
        read_images(plain(255), Detector(), Reader())


def test_what_facefeat_says_of_the_detector_itself_is_raised() -> None:
    class Missing(Detector):
        def detect_batch(self, images: list[np.ndarray]) -> list[list[Face]]:
            raise MissingExtraError("pip install 'facefeat[detector]'")

    with pytest.raises(MissingExtraError, match="pip install"):
        read_photos([plain(90), plain(80)], Missing(), Reader())


class Finder:
    """Finds one face at the same place of every picture, and one that is all of it."""

    def __init__(self, side: int, seen_side: int | None) -> None:
        self.part, self.sizes = side, list[tuple[int, ...]]()
        if seen_side is not None:
            self.seen_side = seen_side

    def detect_batch(self, images: list[np.ndarray]) -> list[list[Face]]:
        self.sizes += [i.shape[:2] for i in images]
        scales = [i.shape[1] / 900 for i in images]
        marks = np.float32([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.3, 0.7], [0.7, 0.7]]) * self.part + 150
        return [
            [
                Face((0, 0, i.shape[1], i.shape[0])),
                Face((150 * s, 150 * s, 400 * s, 400 * s), 0.9, marks * np.float32(s)),
            ]
            for i, s in zip(images, scales, strict=True)
        ]


@pytest.mark.parametrize(("side", "scales"), [(300, [4]), (40, [4, 2]), (12, [4, 1])])
def test_a_large_jpeg_gives_nearly_the_crops_of_the_whole_picture(
    side: int, scales: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decoded once more only where a face is too small in the reduced one."""
    from facefeat import pipeline

    out = io.BytesIO()
    Image.fromarray(smooth(600, 900)).save(out, "JPEG", quality=95)
    opened: list[int] = []
    align = pipeline.align_face

    def noting(image: np.ndarray, *rest: object) -> np.ndarray:
        opened.append(round(900 / image.shape[1]))
        return align(image, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "align_face", noting)
    whole, reduced = Finder(side, None), Finder(side, 100)
    (expected,) = read_photos([out.getvalue()], whole, Reader())
    opened.clear()
    (found,) = read_photos([out.getvalue()], reduced, Reader())
    assert (whole.sizes, reduced.sizes) == ([(600, 900)], [(150, 225)])
    assert opened == [scales[-1]] * 2
    assert found.size == expected.size == (900, 600)
    for ours, its in zip(found.faces, expected.faces, strict=True):
        np.testing.assert_allclose(ours.face.box, its.face.box)
        assert ours.face.crop is not None and its.face.crop is not None
        assert np.abs(ours.face.crop.astype(int) - its.face.crop).mean() < 1


class Tensor:
    """As a framework's: it can be iterated, and is no array of NumPy."""

    shape = (2, 2, 3)

    def __array__(self) -> np.ndarray:
        return plain(90)

    def __iter__(self) -> object:
        raise AssertionError("its rows were taken for pictures")


@pytest.mark.parametrize("given", [io.BytesIO(b"a\nb\n"), io.StringIO("a\nb\n"), {"a": "b.jpg"}, Tensor()])
def test_what_only_can_be_iterated_is_no_list_of_pictures(given: Any) -> None:
    with pytest.raises(ImageError, match=rf"Received: {type(given).__name__}\."):
        read_images(given, Detector(), Reader())


def test_a_view_of_bytes_is_one_picture() -> None:
    out = io.BytesIO()
    Image.fromarray(plain(90)).save(out, "PNG")
    assert len(read_images(out.getbuffer(), Detector(), Reader()).faces) == 1  # type: ignore[call-overload]


def test_results_are_compared_by_their_values() -> None:
    one, same = (read_images(plain(90), Detector(), Reader()) for _ in range(2))
    assert one == same and [one] == [same]
    moved = Face((0, 0, 9, 9), landmarks=np.float32([[1, np.nan]] * 5))
    assert moved == Face((0, 0, 9, 9), landmarks=np.float32([[1, np.nan]] * 5))
    assert moved != Face((0, 0, 9, 9)) and moved != 7
