"""Pictures: damaged, truncated, bombs, special files and what only seems to be a picture, given to `predict`."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from hostile.case import Case, rng

FORMATS = (
    *(("jpeg", "RGB"), ("jpeg", "L"), ("jpeg", "CMYK"), ("png", "RGB"), ("png", "RGBA"), ("png", "P"), ("png", "I;16")),
    *(("png", "1"), ("png", "LA"), ("webp", "RGB"), ("webp", "RGBA"), ("gif", "P"), ("bmp", "RGB"), ("tiff", "RGB")),
    *(("tiff", "F"), ("tiff", "I;16"), ("jpeg2000", "RGB"), ("ppm", "RGB"), ("avif", "RGB")),
)


def encoded(kind: str, mode: str, side: int = 64) -> bytes:
    """A picture file of noise."""
    made = np.random.default_rng(0).integers(0, 255, (side, side, 3), "uint8")
    picture = Image.fromarray(made)
    if mode == "I;16":
        picture = Image.fromarray(made[..., 0].astype("uint16") * 257)
    elif mode == "LA":
        picture = picture.convert("RGBA").convert("LA")
    else:
        picture = picture.convert(mode)
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def flipped(data: bytes, seed: int, name: str) -> bytes:
    """Some bytes of a file changed at random; the first are left, so that it is taken for what it was."""
    random, out = rng(seed, name), bytearray(data)
    for _ in range(random.randint(1, 40)):
        out[random.randrange(min(12, len(out) - 1), len(out))] = random.randrange(256)
    return bytes(out)


def png(width: int, height: int, depth: int, colour: int, extra: bytes = b"") -> bytes:
    """A PNG of zeros of any claimed size, without the memory for it."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\0" * (1 + (width * depth * channels + 7) // 8)
    packer, packed = zlib.compressobj(9), []
    block = row * max(1, 4_000_000 // len(row))
    rows = len(block) // len(row)
    for _ in range(height // rows):
        packed.append(packer.compress(block))
    packed += [packer.compress(row * (height % rows)), packer.flush()]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", b"\0\0\0" * 256) if colour == 3 else b""
    data = chunk(b"IDAT", b"".join(packed))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + extra + data + chunk(b"IEND", b"")


def transparent() -> bytes:
    """The chunk by which a palette has transparent entries."""
    data = bytes(range(256))
    return struct.pack(">I", 256) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, make: Callable[[Path], object], *command: str, **options: object) -> None:
        out.append(Case("pictures", name, make, command or ("predict", "a.jpg"), **options))  # type: ignore[arg-type]

    def file(data: bytes | Callable[[], bytes], name: str = "a.jpg") -> Callable[[Path], object]:
        return lambda folder: (folder / name).write_bytes(data() if callable(data) else data)

    for kind, mode in FORMATS:
        try:
            data = encoded(kind, mode)
        except (OSError, KeyError, ValueError):
            continue  # this Pillow cannot write it
        for number in range(3):
            name = f"{kind}-{mode}-flipped-{number}"
            add(name, file(flipped(data, seed, name)), exit=(0, 1))
        cut = rng(seed, f"{kind}{mode}").randrange(20, len(data) - 1)
        add(f"{kind}-{mode}-cut", file(data[:cut]), exit=(0, 1))
        add(f"{kind}-{mode}-sound", file(data), exit=(0,))
    for name, data in {
        "empty": b"",
        "zeros": bytes(5000),
        "text": b"not a picture",
        "html": b"<html><script>alert(1)</script>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "pdf": b"%PDF-1.7\n",
        "elf": b"\x7fELF" + bytes(200),
        "zip": b"PK\x03\x04" + bytes(100),
        "pickle": b"\x80\x04cos\nsystem\n(S'id'\ntR.",
        "heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "video": b"\0\0\0\x18ftypisom" + bytes(100),
        "psd": b"8BPS\0\x01" + bytes(200),
        "icns": b"icns" + bytes(200),
        "fli": b"\0\0\0\0\x11\xaf" + bytes(200),
    }.items():
        add(f"no-picture-{name}", file(data), exit=(1,))
    for name, width, height, depth, colour, extra in (
        ("grey-16-bit", 13_000, 13_000, 16, 0, b""),
        ("rgba", 13_000, 13_000, 8, 6, b""),
        ("rgb-16-bit", 13_000, 13_000, 16, 2, b""),
        ("palette-transparent", 13_000, 13_000, 8, 3, transparent()),
        ("one-bit", 13_000, 13_000, 1, 0, b""),
    ):
        make = file(partial(png, width, height, depth, colour, extra), "a.png")
        add(f"large-{name}", make, "predict", "a.png", exit=(0, 1), megabytes=2500, seconds=240.0)
    for width, height in ((179_000_000, 1), (1, 179_000_000), (99_000, 1), (1, 99_000), (100_001, 3)):
        make = file(partial(png, width, height, 8, 0), "a.png")
        add(f"long-{width}x{height}", make, "predict", "a.png", exit=(0, 1), megabytes=2000)
    for width, height in ((14_000, 14_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 0)):
        small = bytearray(png(8, 8, 8, 2))
        small[16:24] = struct.pack(">II", width, height)
        small[29:33] = struct.pack(">I", zlib.crc32(bytes(small[12:29])))
        add(f"claims-{width}x{height}", file(bytes(small), "a.png"), "predict", "a.png", exit=(1,))

    def eight(folder: Path) -> None:
        data = png(12_000, 12_000, 1, 0)
        for i in range(8):
            (folder / f"{i}.png").write_bytes(data)

    add("eight-large", eight, "predict", ".", exit=(0,), megabytes=2500, seconds=300.0)

    def mixed(folder: Path) -> None:
        (folder / "a.png").write_bytes(png(179_000_000, 1, 8, 0))
        (folder / "b.png").write_bytes(encoded("png", "RGB"))
        (folder / "c.jpg").write_bytes(b"x")

    add("bad-among-good", mixed, "predict", ".", exit=(1,), says="b.png")
    text = b"a\0" + zlib.compress(bytes(50_000_000), 9)
    bomb = struct.pack(">I", len(text) + 1) + b"zTXt" + text[:2] + b"\0" + text[2:]
    bomb += struct.pack(">I", zlib.crc32(bomb[4:]))
    add("text-bomb", file(png(8, 8, 8, 2, bomb), "a.png"), "predict", "a.png", exit=(0, 1))
    for number in range(12):  # EXIF that leads in circles, of every kind of damage
        name = f"exif-{number}"
        exif = rng(seed, name).randbytes(200)
        body = b"Exif\0\0" + (b"II*\0\x08\0\0\0" if number % 2 else b"MM\0*\0\0\0\x08") + exif
        head = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(body) + 2) + body
        add(name, file(head + encoded("jpeg", "RGB")[2:]), exit=(0, 1))
    add("pipe", lambda f: os.mkfifo(f / "a.jpg"), exit=(1,), says="no regular file", seconds=20.0)
    add("pipe-in-folder", lambda f: os.mkfifo(f / "a.jpg"), "predict", ".", exit=(1,), seconds=20.0)
    add("link-to-zero", lambda f: (f / "a.jpg").symlink_to("/dev/zero"), exit=(1,), says="no regular file")
    add("link-to-itself", lambda f: (f / "a.jpg").symlink_to("a.jpg"), exit=(1,))
    add("link-to-passwd", lambda f: (f / "a.jpg").symlink_to("/etc/passwd"), exit=(1,))
    add("folder", lambda f: (f / "a.jpg").mkdir(), exit=(1, 2))
    add("standard-input", lambda f: None, "predict", "/dev/stdin", exit=(1, 2))
    add("kernel-log", lambda f: None, "predict", "/proc/kmsg", exit=(1,), seconds=20.0)
    add("nothing", lambda f: None, exit=(1, 2))
    for number, address in enumerate(("http://[", "https://[::1", "http://a b", "http://127.0.0.1:99999", "https://")):
        add(f"address-{number}", file(encoded("jpeg", "RGB")), "predict", address, "a.jpg", exit=(1,), says="a.jpg")

    def annotate(folder: Path) -> None:
        (folder / "a.jpg").write_bytes(encoded("jpeg", "RGB"))
        os.mkfifo(folder / "a-faces.jpg")

    add("annotate-over-pipe", annotate, "predict", "a.jpg", "--annotate", ".", "--detector", "whole-image", exit=(0, 1))
    return out
