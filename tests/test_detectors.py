"""The detectors: on the portrait that the docs ship, on made scenes and, where they are there, on real photos."""

from __future__ import annotations

import tarfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facefeat.builtin.detectors import COMPONENTS, mtcnn
from facefeat.builtin.detectors.mtcnn import Mtcnn
from facefeat.builtin.detectors.whole_image import WholeImage
from facefeat.errors import InputError, PluginError
from facefeat.image.align import ALIGNMENTS, align_face, open_image, resize_crop, similarity
from facefeat.plugins.contracts import Detector
from facefeat.types import LANDMARK_NAMES, Face

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

UTKFACE = ALIGNMENTS["utkface"]


@pytest.fixture(scope="module")
def portrait(repo: Path) -> UInt8Array:
    return open_image(repo / "docs" / "assets" / "portrait.jpg")


@pytest.fixture(scope="module")
def crop(portrait: UInt8Array) -> UInt8Array:
    """The portrait's face as a crop of 200 pixels."""
    return align_face(portrait, Mtcnn().detect(portrait)[0], UTKFACE, 200)


def scene(crop: UInt8Array, scale: float, degrees: float, x: float, y: float) -> tuple[UInt8Array, np.ndarray]:
    """A crop laid, antialiased, into a grey picture of 640 x 480; and the (2, 3) transform that took it there."""
    side = len(crop) / 2
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    there = np.array([[c, -s, x - side * (c - s)], [s, c, y - side * (s + c)]])
    back = np.linalg.inv(np.vstack([there, [0, 0, 1]]))[:2]
    back[:, :2] /= 2  # drawn at twice the size, then averaged
    parts = []
    for layer in (Image.fromarray(crop), Image.new("L", crop.shape[1::-1], 255)):
        drawn = layer.transform((1280, 960), Image.Transform.AFFINE, tuple(back.ravel()), Image.Resampling.BICUBIC)
        parts.append(drawn.reduce(2))
    shade = np.linspace(70, 180, 640).astype("uint8")
    picture = Image.fromarray(np.broadcast_to(shade[None, :, None], (480, 640, 3)).copy())
    picture.paste(parts[0], (0, 0), parts[1])
    return np.asarray(picture), there


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def same(a: list[Face], b: list[Face]) -> bool:
    return len(a) == len(b) and all(
        np.allclose(f.box, g.box, atol=0.05)
        and abs(f.score - g.score) < 1e-3
        and f.landmarks is not None
        and g.landmarks is not None
        and np.allclose(f.landmarks, g.landmarks, atol=0.05)
        for f, g in zip(a, b, strict=True)
    )


# ---------------------------------------------------------------- every detector


@pytest.mark.backend
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)
def test_the_contract(component, portrait: UInt8Array) -> None:  # type: ignore[no-untyped-def]
    detector = component.build()
    assert isinstance(detector, Detector)
    shapes = [(1, 1), (5, 300), (12, 12), (19, 21), (20, 20), (64, 48)]
    images = [np.full((*s, 3), 90, "uint8") for s in shapes] + [portrait]
    found = detector.detect_batch(images)
    assert len(found) == len(images) and detector.detect_batch([]) == []
    for faces in found:
        assert [f.area for f in faces] == sorted((f.area for f in faces), reverse=True)
        for face in faces:
            assert 0 <= face.score <= 1 and face.area > 0 and all(type(v) is float for v in face.box)
            assert face.landmarks is None or (face.landmarks.shape == (5, 2) and face.landmarks.dtype == np.float32)
    assert len(found[-1]) == 1
    with pytest.raises(TypeError):
        component.build(no_such_option=1)


def test_whole_image() -> None:
    image = np.zeros((30, 50, 3), "uint8")
    assert WholeImage().detect(image) == [Face((0.0, 0.0, 50.0, 30.0), 1.0)]
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype("uint8")
    face = WholeImage().detect(noise)[0]
    np.testing.assert_array_equal(align_face(noise, face, UTKFACE, 96), resize_crop(noise, 96))


# ---------------------------------------------------------------- mtcnn


def test_the_portrait_has_one_face_with_landmarks_in_order(portrait: UInt8Array) -> None:
    (face,) = Mtcnn().detect(portrait)
    np.testing.assert_allclose(face.box, (181, 66, 267, 177), atol=8)  # forehead to chin
    assert face.score > 0.95 and face.landmarks is not None
    at = dict(zip(LANDMARK_NAMES, face.landmarks, strict=True))
    eyes, nose, mouth = ((203, 101), (247, 103)), (222, 127), ((203, 140), (244, 141))
    by_eye = dict(zip(LANDMARK_NAMES, (*eyes, nose, *mouth), strict=True))
    for name, place in by_eye.items():
        np.testing.assert_allclose(at[name], place, atol=6, err_msg=name)


def test_a_mirrored_face_still_has_its_left_eye_on_the_left(portrait: UInt8Array) -> None:
    (face,), (mirrored,) = Mtcnn().detect_batch([portrait, portrait[:, ::-1].copy()])
    assert face.landmarks is not None and mirrored.landmarks is not None
    expected = face.landmarks[[1, 0, 2, 4, 3]] * (-1, 1) + (portrait.shape[1], 0)
    np.testing.assert_allclose(mirrored.landmarks, expected, atol=4)


def test_a_batch_gives_what_single_images_give(portrait: UInt8Array, crop: UInt8Array) -> None:
    empty = np.full(crop.shape, 120, "uint8")
    tiny = np.zeros((3, 3, 3), "uint8")
    images = [empty, crop, tiny, portrait, crop[:, ::-1].copy(), scene(crop, 0.7, 10, 300, 200)[0]] + [crop] * 10
    detector = Mtcnn()
    together = detector.detect_batch(images)
    assert [len(f) for f in together] == [0, 1, 0, 1, 1, 1] + [1] * 10
    assert all(same(faces, detector.detect(image)) for faces, image in zip(together[:6], images, strict=False))
    assert all(same(faces, together[1]) for faces in together[6:])


@pytest.mark.parametrize("at_once", [None, 3])
def test_images_of_different_sizes_go_through_the_later_networks_together(
    at_once: int | None, portrait: UInt8Array, crop: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    if at_once is not None:
        monkeypatch.setattr(mtcnn, "_PATCHES", {"rnet": at_once, "onet": at_once})
    sizes = [(300, 300), (260, 340), (333, 301)]
    scaled = [np.asarray(Image.fromarray(portrait).resize(s, Image.Resampling.BICUBIC)) for s in sizes]
    images = [scaled[0], np.full((90, 70, 3), 120, "uint8"), *scaled[1:], np.zeros((3, 3, 3), "uint8"), crop, scaled[0]]
    runs: list[tuple[str, int]] = []
    run = mtcnn._run

    def counting(net: str, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        runs.append((net, len(pixels)))
        return run(net, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(mtcnn, "_run", counting)
        together = Mtcnn().detect_batch(images)
    assert [len(faces) for faces in together] == [1, 0, 1, 1, 0, 1, 1]
    for faces, image in zip(together, images, strict=True):
        assert same(faces, Mtcnn().detect(image))
    later = {net: [n for name, n in runs if name == net] for net in ("rnet", "onet")}
    if at_once is None:
        assert [len(counts) for counts in later.values()] == [1, 1] and later["onet"][0] >= 5
    else:
        assert all(n <= at_once for counts in later.values() for n in counts)


def test_large_photos_are_scaled_down_and_boxes_are_in_their_own_pixels(portrait: UInt8Array) -> None:
    large = np.asarray(Image.fromarray(portrait).resize((2560, 2560), Image.Resampling.BICUBIC))
    (small_face,), (face,) = Mtcnn().detect_batch([portrait, large])
    assert face.landmarks is not None and small_face.landmarks is not None
    np.testing.assert_allclose(face.landmarks, small_face.landmarks * 5, atol=15)
    narrow = np.vstack([portrait] + [np.zeros_like(portrait)] * 14)  # 512 x 7680: 640 high, the face 7 pixels
    assert Mtcnn().detect(narrow) == [] and len(Mtcnn(max_side=7680, min_face=60).detect(narrow)) == 1


def test_several_faces_come_once_each_and_largest_first(crop: UInt8Array) -> None:
    places = [(0.4, 120, 120), (1.1, 450, 240), (0.6, 130, 330)]
    picture = np.max([scene(crop, s, 0, x, y)[0] * _mask(s, x, y) for s, x, y in places], axis=0).astype("uint8")
    faces = Mtcnn().detect(picture)
    centres = [((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for f in faces]
    np.testing.assert_allclose(centres, [(450, 240), (130, 330), (120, 120)], atol=20)


def _mask(scale: float, x: float, y: float) -> np.ndarray:
    columns, rows = np.arange(640)[None, :, None], np.arange(480)[:, None, None]
    return (abs(columns - x) < 100 * scale) & (abs(rows - y) < 100 * scale)


@pytest.mark.parametrize("kind", ["noise", "stripes", "black", "white"])
def test_no_face_is_no_error(kind: str) -> None:
    image = {
        "noise": np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype("uint8"),
        "stripes": np.tile(np.repeat(np.array([0, 255], "uint8"), 8), 20)[None, :, None].repeat(200, 0).repeat(3, 2),
        "black": np.zeros((240, 320, 3), "uint8"),
        "white": np.full((240, 320, 3), 255, "uint8"),
    }[kind]
    assert Mtcnn().detect(image) == []


@pytest.mark.parametrize("option", ["max_side", "min_face", "score"])
@pytest.mark.parametrize("value", [-1, 1.5, "640", None, True])
def test_options_are_checked(option: str, value: object) -> None:
    with pytest.raises(InputError, match=f"mtcnn: {option} must be .* Received: "):
        Mtcnn(**{option: value})  # type: ignore[arg-type]


def test_weights_come_from_the_distribution_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for net in ("pnet", "rnet", "onet"):
        (tmp_path / f"{net}.lz4").write_bytes(b"not weights")  # where mtcnn's own loader looks first
    monkeypatch.chdir(tmp_path)
    mtcnn._weights.cache_clear()
    assert [len(mtcnn._weights(net)) for net in ("pnet", "rnet", "onet")] == [13, 16, 21]
    mtcnn._weights.cache_clear()
    import mtcnn as distribution

    monkeypatch.setattr(distribution, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(PluginError, match="pip install"):
        mtcnn._weights("pnet")
    mtcnn._weights.cache_clear()


coordinate = st.floats(0, 100, width=32)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), coordinate, coordinate, coordinate, coordinate, st.floats(0, 1)), max_size=25
    ),
    st.floats(0.1, 0.9),
)
def test_suppression_leaves_no_duplicates_and_nothing_else_out(rows: list[tuple[float, ...]], over: float) -> None:
    table = np.array(rows, "float64").reshape(-1, 6)
    owner, scores = table[:, 0].astype("intp"), table[:, 5].astype("float32")
    boxes = np.hstack([table[:, 1:3], table[:, 1:3] + table[:, 3:5] + 1]).astype("float32")
    kept = mtcnn._keep(owner, boxes, scores, over).tolist()
    assert all((owner[a], -scores[a]) <= (owner[b], -scores[b]) for a, b in pairwise(kept))

    def overlap(i: int, j: int) -> float:
        if owner[i] != owner[j]:
            return 0.0
        a, b = boxes[i].astype(float), boxes[j].astype(float)
        common = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
        return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))

    for i in range(len(rows)):
        rivals = [j for j in kept if j != i]
        if i in kept:
            assert all(overlap(i, j) <= over + 1e-6 for j in rivals)
        else:
            assert any(overlap(i, j) > over - 1e-6 and scores[j] >= scores[i] for j in rivals)


# ---------------------------------------------------------------- from photo to crop


@pytest.mark.parametrize(("scale", "degrees"), [(0.4, 0), (0.5, -20), (1.0, 15), (1.6, -12), (2.0, 8)])
def test_the_portrait_comes_back_from_larger_scaled_and_turned_scenes(
    crop: UInt8Array, scale: float, degrees: float
) -> None:
    picture, _ = scene(crop, scale, degrees, 320, 240)
    (face,) = Mtcnn().detect(picture)
    aligned = align_face(picture, face, UTKFACE, 96)
    middle = slice(16, 80)
    assert (
        np.abs(aligned.astype(int) - resize_crop(crop, 96))[middle, middle].mean() < 10
    )  # of 255; by the box alone: 17 to 35


def test_utkface_pictures_come_back_from_scenes(shared_data: Path) -> None:
    """25 crops spread over the archive: their landmarks, found in scenes, are those found in the crops themselves."""
    crops = []
    with tarfile.open(shared_data / "utkface" / "UTKFace.tar") as archive:
        for i, member in enumerate(m for m in archive if m.name.endswith(".jpg")):
            if i % 820 == 7:
                file = archive.extractfile(member)
                assert file is not None
                crops.append(open_image(file.read()))
    dice = np.random.default_rng(0)
    scenes = [
        scene(c, np.exp(dice.uniform(-1, 0.75)), dice.uniform(-20, 20), dice.uniform(220, 420), dice.uniform(200, 280))
        for c in crops
    ]
    detector = Mtcnn()
    direct, found = detector.detect_batch(crops), detector.detect_batch([picture for picture, _ in scenes])
    marks, corners = [], np.array([[0, 0], [200, 0], [0, 200], [200, 200]])
    shifts = []
    for own, seen, (_, there) in zip(direct, found, scenes, strict=True):
        if own and seen:
            assert own[0].landmarks is not None and seen[0].landmarks is not None
            inverse = np.linalg.inv(np.vstack([there, [0, 0, 1]]))[:2]
            marks.append(np.abs(moved(inverse, seen[0].landmarks) - own[0].landmarks).mean())
            to_crop = similarity(seen[0].landmarks, np.asarray(UTKFACE.landmarks) * 200)
            shifts.append(np.linalg.norm(moved(to_crop, moved(there, corners)) - corners, axis=1).mean())
    assert len(marks) >= 0.95 * len(crops)
    assert np.median(marks) < 2.0  # pixels of the crop's 200
    assert np.median(shifts) < 8.0  # the same for its corners: how UTKFace was aligned differs by so much


# Faces that are clearly visible, counted by eye. Behind the person in race_Latino.jpg a second face is cut off by the
# picture's border and far out of focus.
PHOTOS = {"race_Asian": 1, "race_Black": 1, "race_Latino": 1, "race_Middle_Eastern": 1, "race_White": 1}


@pytest.mark.parametrize("name", PHOTOS)
def test_all_clearly_visible_faces_of_the_photos_are_found(name: str, shared_data: Path) -> None:
    image = open_image(shared_data / "photos" / f"{name}.jpg")
    faces = Mtcnn().detect(image)
    assert len(faces) == PHOTOS[name]
    assert same(faces, Mtcnn().detect_batch([image[:50, :50], image])[1])
