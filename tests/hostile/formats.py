"""Pictures of rare kinds, and of common kinds written as no camera writes them: the second half of the pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hostile.case import Case, rng
from hostile.pictures import encoded, png

NOISE = np.random.default_rng(1).integers(0, 255, (64, 64, 3), "uint8")


def saved(kind: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    """A picture file of noise, or of a picture, with the writer's options."""
    out = io.BytesIO()
    (picture or Image.fromarray(NOISE)).save(out, kind, **options)
    return out.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def after_start(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments at its beginning."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def exif(orientation: bytes, kind: int = 3, count: int = 1) -> bytes:
    """An EXIF segment with an orientation of any type."""
    entry = struct.pack("<HHHI", 1, 0x0112, kind, count) + orientation.ljust(4, b"\0")[:4]
    return segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4))


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan comes many times: each goes over all blocks."""
    data = saved("jpeg", Image.new("L", (side, side), 9), progressive=True)
    at = data.rfind(b"\xff\xda")
    return data[:-2] + data[at:-2] * count + b"\xff\xd9"


def sized(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG that claims another size."""
    data = bytearray(jpeg)
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"", after: int = 0) -> bytes:
    """A TIFF of one directory: (tag, type, count, value) each; its data at 8; after: where the next directory is."""
    start = 8 + len(data)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return (
        b"II*\0" + struct.pack("<I", start) + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", after)
    )


PLAIN = (
    (256, 3, 1, 16),
    (257, 3, 1, 16),
    (258, 3, 1, 8),
    (259, 3, 1, 1),
    (262, 3, 1, 1),
    (273, 4, 1, 8),
    (277, 3, 1, 1),
    (278, 3, 1, 16),
    (279, 4, 1, 256),
)


def with_tags(*tags: tuple[int, int, int, int], data: bytes = bytes(256), after: int = 0) -> bytes:
    """A plain grey TIFF of 16 pixels, some tags changed."""
    changed = {t[0]: t for t in (*PLAIN, *tags)}
    return tiff(*changed.values(), data=data, after=after)


def packed_tiff(mode: str, side: int = 13_000) -> bytes:
    """A large TIFF of zeros, packed."""
    return saved("tiff", Image.new(mode, (side, side)), compression="tiff_adobe_deflate")


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, data: bytes | Callable[[], bytes], codes: tuple[int, ...] = (0, 1), **options: Any) -> None:
        def make(folder: Path) -> None:
            (folder / "a.jpg").write_bytes(data() if callable(data) else data)

        out.append(Case("pictures", f"format-{name}", make, ("predict", "a.jpg"), exit=codes, **options))

    jpeg = encoded("jpeg", "RGB")
    progressive = saved("jpeg", progressive=True)
    for part in (0.3, 0.6, 0.9, 0.99):
        add(f"progressive-cut-{part}", progressive[: int(part * len(progressive))])
    add("progressive-sound", progressive, (0,))
    add("arithmetic", jpeg.replace(b"\xff\xc0", b"\xff\xc9", 1))
    add("lossless", jpeg.replace(b"\xff\xc0", b"\xff\xc3", 1))
    add("scans-50", lambda: scans(300, 50), (0,))
    add("scans-20000", lambda: scans(3000, 20_000), (1,), says="more than 64 scans")
    add("comments-65535", lambda: after_start(jpeg, *[segment(0xFE, b"x")] * 65_535), (0,))
    add("comments-large", lambda: after_start(jpeg, *[segment(0xFE, bytes(65_000))] * 1000), (0,))
    add("exif-many", lambda: after_start(jpeg, *[exif(b"\6\0")] * 5000), (0,))
    add(
        "icc-chunks",
        after_start(jpeg, *[segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(60_000)) for n in range(1, 256)]),
        (0,),
    )
    add("icc-of-none", after_start(jpeg, segment(0xE2, b"ICC_PROFILE\0\0\0")))
    for number, value in enumerate((b"\0\0", b"\x09\0", b"\xff\xff", b"\6\0")):
        add(f"orientation-{number}", after_start(jpeg, exif(value)), (0,))
    for kind in (0, 1, 2, 4, 5, 7, 9, 10, 12, 13, 99):
        add(f"orientation-type-{kind}", after_start(jpeg, exif(b"\6\0", kind)), (0,))
    add("orientation-many", after_start(jpeg, exif(b"\x08\0\0\0", 3, 2**31)), (0,))
    adobe = lambda transform: segment(0xEE, b"Adobe\0d\0\0\0\0" + bytes([transform]))  # noqa: E731
    for transform in (0, 1, 2, 9):
        add(f"cmyk-transform-{transform}", after_start(encoded("jpeg", "CMYK"), adobe(transform)))
        add(f"rgb-transform-{transform}", after_start(jpeg, adobe(transform)))
    for width, height in ((65_535, 65_535), (13_000, 13_000), (65_500, 2700), (0, 64), (64, 0), (1, 1)):
        add(f"jpeg-claims-{width}x{height}", sized(jpeg, width, height), megabytes=2500)
        add(f"progressive-claims-{width}x{height}", sized(progressive, width, height), megabytes=2500)
    add("no-end", jpeg[:-2])
    add("bytes-after", jpeg + bytes(3_000_000), (0,))
    add("two-pictures", jpeg + jpeg, (0,))
    add("mpo", lambda: saved("mpo", save_all=True, append_images=[Image.fromarray(NOISE)] * 3), (0,))

    def mpo() -> bytes:
        data = bytearray(saved("mpo", save_all=True, append_images=[Image.fromarray(NOISE)] * 3))
        at = data.find(b"MPF\0")
        for i in range(at + 12, at + 100, 3):
            data[i] ^= 0xFF
        return bytes(data)

    add("mpo-offsets", mpo)
    for level in (2, 9):
        bytes_of_it = 300_000_000 if level == 9 else 60_000_000
        for kind, head in ((b"iTXt", b"a\0\1\0\0\0"), (b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0")):
            bomb = lambda k=kind, h=head, n=bytes_of_it: chunk(k, h + zlib.compress(bytes(n), 9))  # noqa: E731
            add(f"{kind.decode()}-bomb-{level}", lambda b=bomb: png(8, 8, 8, 2, b()))
    add("text-many", lambda: png(8, 8, 8, 2, chunk(b"tEXt", b"a\0b") * 100_000))
    add("text-large", lambda: png(8, 8, 8, 2, chunk(b"tEXt", b"a\0" + bytes(60_000_000))))
    add("png-exif", png(8, 8, 8, 2, chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(99))))
    add("png-after-end", png(8, 8, 8, 2) + chunk(b"IDAT", bytes(99)), (0,))
    add("png-twice", png(8, 8, 8, 2)[:-12] + png(8, 8, 8, 2)[8:])
    add("png-no-palette", png(8, 8, 8, 3).replace(b"PLTE", b"plte"))
    add("png-palette-short", png(8, 8, 8, 0).replace(b"IHDR", b"IHDR"), (0,))
    add("png-tags", png(8, 8, 8, 2, chunk(b"tRNS", b"\0") + chunk(b"pHYs", bytes(9)) + chunk(b"gAMA", bytes(4))))
    frames = [Image.fromarray(np.roll(NOISE, i)) for i in range(40)]
    for kind in ("png", "webp", "gif"):
        add(f"animated-{kind}", saved(kind, frames[0], save_all=True, append_images=frames[1:]), (0,))
    apng = bytearray(saved("png", frames[0], save_all=True, append_images=frames[1:3]))
    at = apng.find(b"acTL")
    apng[at + 4 : at + 8] = struct.pack(">I", 2**31 - 1)
    apng[at + 12 : at + 16] = struct.pack(">I", zlib.crc32(bytes(apng[at : at + 12])))
    add("animated-claims", bytes(apng))
    gif = bytearray(saved("gif", frames[0]))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    add("gif-screen-65535", bytes(gif), (1,))
    gif[6:10] = struct.pack("<HH", 1, 1)
    add("gif-screen-1", bytes(gif))
    add("gif-frames", bytes(saved("gif", frames[0])[:-1]) + b"!\xf9\4\0\0\0\0\0" * 200_000 + b";")
    add("gif-comments", saved("gif")[:-1].replace(b",", b"!\xfe" + b"\1x" * 50_000 + b"\0,", 1))
    for name, data in {
        "one-bit": saved("tiff", Image.fromarray(NOISE).convert("1"), compression="group4"),
        "lab": saved("tiff", Image.fromarray(NOISE).convert("LAB")),
        "cmyk": saved("tiff", Image.fromarray(NOISE).convert("CMYK")),
        "float-nan": saved("tiff", Image.fromarray(np.full((64, 64), np.nan, "float32"))),
        "float-inf": saved("tiff", Image.fromarray(np.array([[np.inf, -np.inf, 1e38, -1e38]] * 4, "float32"))),
        "int32": saved("tiff", Image.fromarray(np.array([[2**31 - 1, -(2**31)] * 8] * 16, "int32"))),
        "lzw": saved("tiff", compression="tiff_lzw"),
        "jpeg": saved("tiff", compression="jpeg"),
    }.items():
        add(f"tiff-{name}", data, (0, 1) if name in ("float-nan", "float-inf", "int32") else (0,))
    for name, data in {
        "sound": with_tags(),
        "strip-far": with_tags((273, 4, 1, 2**32 - 1)),
        "strip-long": with_tags((279, 4, 1, 2**32 - 1)),
        "strips-many": with_tags((273, 4, 2**28, 8), (279, 4, 2**28, 8)),
        "rows-none": with_tags((278, 4, 1, 0)),
        "samples-65535": with_tags((277, 3, 1, 65_535)),
        "bits-65535": with_tags((258, 3, 1, 65_535)),
        "large": with_tags((256, 4, 1, 2**31 - 1), (257, 4, 1, 2**31 - 1)),
        "wide": with_tags((256, 4, 1, 2**20)),
        "size-float": with_tags((256, 11, 1, 0x7FC00000)),
        "size-text": with_tags((256, 2, 4, 0x61616161)),
        "size-none": with_tags((256, 4, 0, 0)),
        "tiles": with_tags((322, 4, 1, 16), (323, 4, 1, 16), (324, 4, 1, 2**32 - 9), (325, 4, 1, 2**32 - 1)),
        "tiles-none": with_tags((322, 4, 1, 0), (323, 4, 1, 0), (324, 4, 1, 8), (325, 4, 1, 8)),
        "tiles-wide": with_tags((322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 8), (325, 4, 1, 8)),
        "circle": with_tags(after=264),
        "sub-circle": with_tags((330, 4, 1, 264), (0x8769, 4, 1, 264), (0x8825, 4, 1, 264)),
        "packed-unknown": with_tags((259, 3, 1, 65_000)),
        "packed-jpeg": with_tags((259, 3, 1, 6), (513, 4, 1, 8), (514, 4, 1, 2**31)),
        "packed-fax": with_tags((259, 3, 1, 4), (256, 4, 1, 90_000), (257, 4, 1, 1900)),
        "colour": with_tags((262, 3, 1, 6), (530, 3, 2, 0)),
        "palette": with_tags((262, 3, 1, 3), (320, 3, 768, 2**31)),
        "orientation": with_tags((274, 3, 1, 9)),
        "orientation-many": with_tags((274, 3, 2**30, 9)),
        "planar": with_tags((284, 3, 1, 2), (277, 3, 1, 3)),
        "big": b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63) + bytes(50),
        "entries-65535": b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 65_535),
    }.items():
        add(f"tiff-of-{name}", data, (0,) if name == "sound" else (0, 1))
    for mode in ("F", "I", "RGBA", "CMYK", "LAB", "1"):
        add(f"tiff-large-{mode}", lambda m=mode: packed_tiff(m), megabytes=2500, seconds=240.0)
    for name, data in {
        "bmp-rle": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 0, 0)
        + b"\xff\0",
        "bmp-top-down": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 8, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
        "bmp-header": b"BM" + struct.pack("<IHHII", 99, 0, 0, 54, 2**31) + bytes(99),
        "bmp-palette": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 8, 8, 1, 8, 0, 0, 0, 0, 2**31, 0),
        "ppm-comment": b"P6 # " + b"x" * 50_000_000,
        "ppm-number": b"P6 " + b"9" * 5_000_000 + b" 1 255\n",
        "ppm-numbers": b"P3 3000 3000 255\n" + b"1 " * 9_000_000,
        "ppm-bits": b"P1 9000 9000\n" + b"1" * 20_000_000,
        "ppm-65535": b"P6 4 4 65535\n" + bytes(96),
        "ppm-maximum": b"P6 4 4 0\n" + bytes(96),
        "ppm-negative": b"P6 -4 4 255\n" + bytes(96),
        "pfm-nan": b"Pf 4 4 -1.0\n" + b"\0\0\xc0\x7f" * 16,
        "pfm-scale": b"Pf 4 4 nan\n" + bytes(64),
        "webp-claims": b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff" * 6 + bytes(50),
        "webp-lossless": saved("webp", lossless=True),
        "j2k-claims": b"\xff\x4f\xff\x51"
        + struct.pack(">HHIIIIIIIIH", 41, 0, 90_000, 1900, 0, 0, 1, 1, 0, 0, 1)
        + b"\7\1\1",
        "jp2-boxes": b"\0\0\0\x0cjP  \r\n\x87\n" + (b"\0\0\0\x08jp2h") * 50_000,
        "jp2-circle": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 \0\0\0\0jp2h",
        "avif-claims": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\xffmeta" + rng(0, "avif").randbytes(400),
    }.items():
        add(name, data)
    return out
