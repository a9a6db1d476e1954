"""Pictures opened from every kind of source, upright, in RGB and 8 bits; what cannot be, refused by name."""

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
from PIL import Image

from facefeat.errors import ImageError
from facefeat.image import io as io_room
from facefeat.image.align import (
    MAX_PIXELS,
    open_image,
)
from facefeat.image.io import TooManyPixels, open_photo
from test_image_align import smooth


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


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
@pytest.mark.parametrize("orientation", [1, 2, 6, 7])
@pytest.mark.parametrize(
    ("width", "height", "side", "scale"), [(1001, 701, 240, 4), (1001, 701, 501, 1), (640, 900, 400, 2)]
)
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(
    kind: str, orientation: int, width: int, height: int, side: int, scale: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(smooth(height, width)), kind, quality=95, exif=exif)
    whole, photo = open_image(data), open_photo(data, side)
    assert photo.size == (whole.shape[1], whole.shape[0]) and photo.scale == scale
    assert photo.pixels.shape[:2] == (-(-whole.shape[0] // scale), -(-whole.shape[1] // scale))
    rows, columns = (n // scale * scale for n in whole.shape[:2])
    blocks = whole[:rows, :columns].reshape(rows // scale, scale, columns // scale, scale, 3).mean(axis=(1, 3))
    if orientation == 1:  # else the incomplete blocks lie at the other edges
        assert np.abs(photo.pixels[: rows // scale, : columns // scale] - blocks).mean() < 1
    np.testing.assert_array_equal(photo.finer(1).pixels, whole)
    assert photo.finer(scale) is photo


def test_what_is_no_large_jpeg_is_decoded_whole() -> None:
    pixels = smooth(600, 900)
    picture = Image.fromarray(pixels)
    for source in (encoded(picture, "PNG"), picture, pixels):
        photo = open_photo(source, 100)
        assert photo.scale == 1 and photo.size == (900, 600)
        np.testing.assert_array_equal(photo.pixels, pixels)
    assert open_photo(encoded(Image.fromarray(smooth(60, 4000)), "JPEG"), 100).scale == 1, "too narrow"


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


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_pictures_are_converted_in_bands_to_the_same(
    mode: str, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(0, 255, (13, 9, 3), "uint8")
    if mode in ("I;16", "I", "F"):
        picture = Image.fromarray(values[..., 0].astype({"I;16": "uint16", "I": "int32", "F": "float32"}[mode]))
    else:
        picture = Image.fromarray(values).convert("RGBA" if mode == "LA" else mode).convert(mode)
    if mode == "P":
        picture.info["transparency"] = bytes(range(256))
    picture.getexif()[0x0112] = orientation
    whole = open_image(picture)
    monkeypatch.setattr(io_room, "_WHOLE", 0)
    monkeypatch.setattr(io_room, "_BAND", 20)
    np.testing.assert_array_equal(open_image(picture), whole)


def test_a_side_over_the_limit_is_refused() -> None:
    with pytest.raises(ImageError, match="too large. Received: 100,001 x 1 pixels"):
        open_image(Image.new("1", (100_001, 1)))


def test_a_limit_of_pixels_may_be_lower() -> None:
    with pytest.raises(TooManyPixels, match="too large. Received: 10 x 10"):
        open_photo(Image.new("L", (10, 10)), max_pixels=99)


def test_a_picture_that_memory_does_not_hold_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(io_room, "_whole", none)
    with pytest.raises(ImageError, match="too large for the memory of this machine"):
        open_image(Image.new("L", (10, 10)))


def test_a_jpeg_of_many_scans_is_not_decoded() -> None:
    out = io.BytesIO()
    Image.new("L", (64, 64), 9).save(out, "jpeg", progressive=True)
    data = out.getvalue()
    last = data[data.rfind(b"\xff\xda") : -2]
    assert open_image(data[:-2] + last * 40 + b"\xff\xd9").shape == (64, 64, 3)
    with pytest.raises(ImageError, match="more than 64 scans"):
        open_image(data[:-2] + last * 100 + b"\xff\xd9")
    thumbnails = b"\xff\xe1\xea\x62" + b"\xff\xda" * 30_000  # in a segment they are no scans
    assert open_image(data[:2] + thumbnails + data[2:]).shape == (64, 64, 3)


def test_a_pnm_whose_comment_never_ends_is_refused_and_a_large_one_read() -> None:
    with pytest.raises(ImageError, match="header is longer"):
        open_image(b"P6 # " + b"x" * 100_000)
    assert open_image(b"P6 #a\n300 300 255\n" + b"\1" * 270_000).shape == (300, 300, 3)
    assert open_image(b"P4 1000 1000\n" + bytes(125_000)).shape == (1000, 1000, 3)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff\xd8", "begins like one, and is damaged"),
        (b"\x89PNG\r\n\x1a\n", "begins like one, and is damaged"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "begins like one, and is damaged"),
        (b"\xff\x0a\xfa\x00", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\1" + bytes(30), "PSD"),
        ("Grüße, 你好\n".encode() * 90, "it looks like text"),
    ],
)
def test_what_a_file_looks_like_is_true(data: bytes, what: str) -> None:
    assert what in refusal(data)


@pytest.mark.parametrize("data", [b"\x76\x2f\x31\x01", b"\x1f\x8b\x08abc", b"\xfe\xed\xfa\xce", b"a\x01b"])
def test_binary_files_without_a_zero_do_not_look_like_text(data: bytes) -> None:
    assert "text" not in refusal(data)


def test_the_limit_of_a_side_is_said() -> None:
    assert "100,001 x 1" in refusal(Image.new("1", (100_001, 1))) and "100,000 a side" in refusal(
        png_header(100_001, 1)
    )


def test_tiff_files_of_twelve_bits_are_as_bright_as_they_say() -> None:
    values = np.array([[0, 4095], [2048, 16]])
    first, second = values[:, 0], values[:, 1]
    packed = np.stack([first >> 4, ((first & 15) << 4) | (second >> 8), second & 255], -1).astype("uint8").tobytes()
    numbers = {256: 2, 257: 2, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(numbers))
    assert open_image(head + entries + bytes(4))[..., 0].tolist() == [[0, 255], [128, 1]]
