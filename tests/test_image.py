"""Opening, checking, resizing and aligning pictures."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facefeat.errors import ImageError, InputError
from facefeat.image import (
    ALIGNMENTS,
    MARKS_IN_BOX,
    MAX_PIXELS,
    align_face,
    check_crops,
    open_image,
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


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG file that declares so many pixels and holds hardly any."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


# ---------------------------------------------------------------- opening


def test_every_kind_of_source_gives_the_same_array(tmp_path: Path) -> None:
    pixels = smooth(20, 30)
    data = encoded(Image.fromarray(pixels), "PNG")
    path = tmp_path / "ein Bild äöü.png"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), Image.fromarray(pixels), pixels):
        opened = open_image(source)  # type: ignore[arg-type]
        assert opened.dtype == np.uint8
        np.testing.assert_array_equal(opened, pixels)


UPRIGHT = {  # what EXIF asks a viewer to do with the stored pixels, said in NumPy
    1: lambda s: s,
    2: lambda s: s[:, ::-1],
    3: lambda s: s[::-1, ::-1],
    4: lambda s: s[::-1],
    5: lambda s: s.transpose(1, 0, 2),
    6: lambda s: np.rot90(s, -1),
    7: lambda s: np.rot90(s, 2).transpose(1, 0, 2),
    8: lambda s: np.rot90(s, 1),
    0: lambda s: s,
    9: lambda s: s,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_honoured(orientation: int, kind: str) -> None:
    stored = smooth(12, 17)
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = open_image(encoded(Image.fromarray(stored), kind, exif=exif))
    np.testing.assert_array_equal(opened, UPRIGHT[orientation](stored))


def test_orientation_of_a_jpeg_and_of_a_pil_image_that_stays_as_it_was() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.open(io.BytesIO(encoded(Image.fromarray(smooth(16, 48)), "JPEG", exif=exif)))
    assert open_image(picture).shape == (48, 16, 3)
    assert picture.size == (48, 16)


def test_broken_exif_is_no_reason_to_refuse_the_pixels() -> None:
    data = encoded(Image.fromarray(smooth(16, 16)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's own remark
        assert open_image(data).shape == (16, 16, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    flat = Image.new("RGB", (8, 8), (200, 200, 200)).convert("L" if mode in ("LA", "I", "F") else "RGB")
    flat = flat.quantize(4) if mode == "P" else flat.convert(mode)
    opened = open_image(flat)
    assert opened.shape == (8, 8, 3)
    if mode != "1":
        assert np.abs(opened.astype(int) - 200).max() <= 3


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    opened = open_image(encoded(Image.new("RGB", (16, 16), (220, 40, 90)).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(opened.mean(axis=(0, 1)) - (220, 40, 90)).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bits_are_scaled_not_cut(kind: str, order: str) -> None:
    grey = np.array([[0, 257, 32768, 65535]], "uint16").astype(order)
    opened = open_image(encoded(Image.fromarray(grey), kind))
    np.testing.assert_array_equal(opened[0, :, 0], [0, 1, 128, 255])
    np.testing.assert_array_equal(opened[..., 0], opened[..., 2])


def test_float_and_32_bit_pictures_are_scaled_by_what_white_must_be() -> None:
    for white in (1.0, 255.0, 65535.0):
        grey = np.array([[0, 0.5, 1]], "float32") * np.float32(white)
        opened = open_image(encoded(Image.fromarray(grey), "TIFF"))
        np.testing.assert_allclose(opened[0, :, 1], [0, 127.5, 255], atol=0.5)
    np.testing.assert_array_equal(open_image(Image.fromarray(np.array([[0, 99]], "int32")))[0, :, 0], [0, 99])
    for bad in ([[0, np.nan]], [[0, 1e9]], [[-1, 0]]):
        with pytest.raises(ImageError, match=r"Valid: "):
            open_image(Image.fromarray(np.array(bad, "float32")))


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (open_image(encoded(clear, "PNG")) == 255).all()
    half = open_image(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    assert np.abs(half.astype(int) - 127).max() <= 1
    palette = Image.fromarray(smooth(8, 8)).quantize(4)
    index = int(np.asarray(palette)[0, 0])
    assert (open_image(encoded(palette, "PNG", transparency=index))[0, 0] == 255).all()
    keyed = encoded(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert (open_image(keyed) == 255).all()


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue", "green")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(open_image(data)[0, 0], [255, 0, 0])


def test_one_pixel_is_a_picture() -> None:
    assert open_image(encoded(Image.new("RGB", (1, 1), "white"), "JPEG")).shape == (1, 1, 3)


# ---------------------------------------------------------------- what cannot be opened


def refusal(source: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as caught:
            open_image(source)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 300
    assert caught.value.__cause__ is None
    return text


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    def file(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    assert "no such file" in refusal(tmp_path / "none.jpg") and "none.jpg" in refusal(tmp_path / "none.jpg")
    assert "is a folder" in refusal(tmp_path)
    assert "is empty (0 bytes)" in refusal(file("empty.jpg", b""))
    assert "it looks like text" in refusal(file("text.jpg", b"hello, I am a picture\n"))
    assert "Readable: JPEG" in refusal(file("text.jpg", b"hello, I am a picture\n"))
    assert "HEIC" in refusal(file("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)))
    assert "video" in refusal(file("film.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + bytes(64)))
    assert "PDF" in refusal(file("a.pdf", b"%PDF-1.7\n" + bytes(64)))
    assert "PostScript" in refusal(file("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"))
    assert "SVG" in refusal(file("a.svg", b'<?xml version="1.0"?><svg width="9"/>'))
    assert "cannot read" in refusal("with a \0 in its name")
    assert "cannot read" in refusal("x" * 5000)
    assert "..." in refusal("x" * 5000)
    assert "0 bytes" in refusal(b"")
    assert "0 bytes" not in refusal(b"\xff\xd8\xff" + bytes(50))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_refused(part: float, progressive: bool) -> None:
    data = encoded(Image.fromarray(smooth(200, 300)), "JPEG", progressive=progressive)
    assert "is truncated" in refusal(data[: int(len(data) * part)])


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    assert "900,000,000 pixels" in refusal(png_header(30_000, 30_000))
    assert "is truncated" in refusal(png_header(12_000, 12_000))  # more than Pillow warns at, fewer than the limit here
    huge = np.broadcast_to(np.zeros(3, "uint8"), (30_000, 30_000, 3))
    assert "too large" in refusal(huge) and f"{MAX_PIXELS:,}" in refusal(huge)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_limit_that_the_user_lifted_in_pillow_does_not_lift_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert "30,000 x 30,000" in refusal(png_header(30_000, 30_000))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4), "uint8"), "shape"),
        (np.zeros((4, 4, 4), "uint8"), "shape"),
        (np.zeros((4, 4, 1), "uint8"), "shape"),
        (np.zeros((2, 4, 4, 3), "uint8"), "shape"),
        (np.zeros((), "uint8"), "shape"),
        (np.zeros((4, 4, 3), "float32"), "dtype"),
        (np.zeros((4, 4, 3), "int64"), "dtype"),
        (np.full((4, 4, 3), np.nan, "float32"), "NaN"),
        (np.zeros((0, 4, 3), "uint8"), "no pixels"),
        (np.zeros((4, 0, 3), "uint8"), "no pixels"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, words: str) -> None:
    text = refusal(array)
    assert words in text and "(H, W, 3) uint8" in text and str(array.dtype) in text


@pytest.mark.parametrize("source", [None, 3, [1, 2], {"a": 1}, object()])
def test_other_things_are_named_by_their_type(source: object) -> None:
    assert f"Received: {type(source).__name__}." in refusal(source)


def test_damage_never_leaks_another_error() -> None:
    """A small version of the search that taught which errors Pillow raises."""
    dice = random.Random(5)
    picture = Image.fromarray(smooth(24, 30))
    files = [encoded(picture, k) for k in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")]
    files.append(encoded(picture, "TIFF", compression="tiff_lzw"))
    files.append(encoded(picture.convert("CMYK"), "JPEG"))
    read = 0
    for i in range(400):
        data = bytearray(files[i % len(files)])
        if dice.random() < 0.4:
            del data[dice.randrange(1, len(data)) :]
        for _ in range(dice.randrange(8)):
            data[dice.randrange(min(len(data), 300))] = dice.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on broken TIFF tags
            try:
                opened = open_image(bytes(data))
            except ImageError:
                continue
        read += 1
        assert opened.dtype == np.uint8 and opened.ndim == 3
    assert 20 < read < 380


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
