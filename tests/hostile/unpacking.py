"""Archives, second half: odd members, compressions and Parquet schemas, for all that take a data set."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.archives import BATCH, PICTURE, tar
from hostile.case import Case, rng
from hostile.names import ESCAPES, EVIL
from hostile.pictures import encoded

NAME = "1_0_0_20170101.png"


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], comment: bytes = b"") -> bytes:
    """A zip of some members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
        archive.comment = comment
    return out.getvalue()


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, make: Callable[[Path], object], *command: str, **options: Any) -> None:
        out.append(Case("archives", name, make, command, **{"exit": (0, 1, 2), **options}))

    def each(name: str, data: bytes | Callable[[], bytes], ending: str = "tar", **options: Any) -> None:
        """For every command that takes an archive."""

        def make(folder: Path) -> None:
            (folder / f"a.{ending}").write_bytes(data() if callable(data) else data)

        archive = f"a.{ending}"
        add(f"{name}-import", make, "data", "import", archive, "-o", "d", **options)
        add(f"{name}-explore", make, "data", "explore", archive, "-o", "o", **options)
        if ending != "zip":
            add(f"{name}-batch", make, "batch", archive, *BATCH, **options)

    def entry(name: str, **about: Any) -> tuple[str, bytes, dict[str, Any]]:
        return name, PICTURE, about

    def members(*entries: tuple[str, bytes, dict[str, Any]], style: int = tarfile.PAX_FORMAT) -> bytes:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=style) as archive:
            for name, data, about in entries:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                for key, value in about.items():
                    setattr(info, key, value)
                archive.addfile(info, io.BytesIO(data))
        return made.getvalue()

    good = tar((NAME, PICTURE), ("2_1_0_2.png", PICTURE))
    for name, text in ESCAPES.items():
        each(f"member-{name}", tar((NAME, PICTURE), (f"1_0_0_{text.replace('/', '')}.png", b"no picture")))
    each("member-all", members(entry(NAME), entry(f"{EVIL}.png"), entry(f"3_0_0_{EVIL}.png")))
    for name, entries in {
        "twice": [entry(NAME)] * 2,
        "case": [entry(NAME), entry(NAME.upper())],
        "empty-name": [entry(""), entry(NAME)],
        "slash": [entry("/"), entry(NAME)],
        "dot": [entry("."), entry(".."), entry(NAME)],
        "folder-picture": [(NAME, b"", {"type": tarfile.DIRTYPE}), entry(f"{NAME}/{NAME}")],
        "deep": [entry("a/" * 2000 + NAME)],
        "times": [entry(NAME, mtime=-1e300), entry("2_0_0_2.png", mtime=2**62)],
        "owner": [entry(NAME, uname=EVIL, gname=EVIL, uid=2**30)],
        "surrogate": [entry("1_0_0_\udcff.png"), entry(NAME)],
        "mode": [entry(NAME, mode=0), entry("2_0_0_2.png", mode=0o7777)],
        "dots-name": [entry(f"./././{NAME}"), entry(NAME)],
    }.items():
        each(f"entry-{name}", lambda e=entries: members(*e))
    for name, headers in {
        "size": {"size": "99999999999"},
        "size-text": {"size": "x"},
        "size-negative": {"size": "-5"},
        "path-nul": {"path": "a\0b.png"},
        "path-empty": {"path": ""},
        "path-long": {"path": "x" * 60_000},
        "sparse": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 15},
        "sparse-map": {"GNU.sparse.map": "0,1," * 5000, "GNU.sparse.size": "99999999999"},
        "sparse-text": {"GNU.sparse.map": "x", "GNU.sparse.size": "x"},
        "charset": {"hdrcharset": "BINARY", "path": "\udcff.png"},
        "times": {"mtime": "nan", "atime": "1e400"},
        "numbers": {"uid": "9" * 5000},
        "many": {f"k{i}": "v" for i in range(3000)},
    }.items():
        each(f"pax-{name}", lambda h=headers: members((NAME, PICTURE, {"pax_headers": h}), entry("2_0_0_2.png")))
    each("two-tars", good + good)
    each("after-end", good + rng(0, "after").randbytes(100_000))
    each("zeros", bytes(50_000_000))
    each("short", good[:100])
    each("not-tar", PICTURE * 20)
    each("html", b"<html>" * 5000)
    each("checksum", good[:150] + b"9" + good[151:])
    each("many", lambda: tar(*((f"1_0_0_{i}.png", b"") for i in range(20_000))), seconds=120.0)
    each("table-within", tar(("faces.csv", b"file,age\n"), (NAME, PICTURE)))

    packed = gzip.compress(good)
    for name, data in {
        "name": b"\x1f\x8b\x08\x08\0\0\0\0\0\3" + b"x" * 5_000_000 + b"\0" + packed[10:],
        "extra": b"\x1f\x8b\x08\x04\0\0\0\0\0\3\xff\xff" + bytes(65_535) + packed[10:],
        "name-open": b"\x1f\x8b\x08\x08\0\0\0\0\0\3" + b"x" * 5_000_000,
        "members": b"".join(gzip.compress(good[i : i + 64]) for i in range(0, len(good), 64)),
        "members-empty": gzip.compress(b"") * 200_000 + packed,
        "tail": packed + b"tail" * 1000,
        "tail-zeros": packed + bytes(1_000_000),
        "sum": packed[:-8] + bytes(8),
        "method": packed[:2] + b"\7" + packed[3:],
        "flags": packed[:3] + b"\xff" + packed[4:],
        "stored": gzip.compress(good, 0),
        "zlib": zlib.compress(good),
        "bomb": lambda: gzip.compress(bytes(400_000_000), 1),
        "twice": lambda: gzip.compress(gzip.compress(bytes(300_000_000), 1)),
    }.items():
        each(f"gz-{name}", data, "tar.gz", seconds=120.0)
        each(f"tgz-{name}", data, "tgz", seconds=120.0)
    for ending in ("tar.bz2", "tar.xz", "tar.zst", "tar.lz4", "tar.Z", "7z", "rar", "TAR", "tar.gz.tar"):
        each(f"ending-{ending}", good, ending)
        each(f"ending-gz-{ending}", packed, ending)
    each("xz-memory", b"\xfd7zXZ\0\0\4\xe6\xd6\xb4F\2\0!\1\x28\0\0\0" + bytes(500), "tar.xz")
    each("bz2-randomised", b"BZh91AY&SY" + bytes(4) + b"\x80" + rng(0, "bz2").randbytes(500), "tar.bz2")

    # ---- zips

    def info(name: str, **about: Any) -> zipfile.ZipInfo:
        made = zipfile.ZipInfo(name)
        for key, value in about.items():
            setattr(made, key, value)
        return made

    sound = zipped((NAME, PICTURE), ("2_0_0_2.png", PICTURE))
    for name, text in ESCAPES.items():
        each(f"zip-member-{name}", zipped((NAME, PICTURE), (f"1_0_0_{text}.png", b"no picture")), "zip")
    for name, make in {
        "comment": lambda: zipped((NAME, PICTURE), comment=b"PK\5\6" * 16_000),
        "extra": lambda: zipped((info(NAME, extra=struct.pack("<HH", 1, 65_000) + bytes(60_000)), PICTURE)),
        "entry-comment": lambda: zipped((info(NAME, comment=EVIL.encode() * 300), PICTURE)),
        "link": lambda: zipped((info(NAME, external_attr=0o120777 << 16), b"/etc/passwd"), ("2_0_0_2.png", PICTURE)),
        "device": lambda: zipped((info(NAME, external_attr=0o020666 << 16), b""), ("2_0_0_2.png", PICTURE)),
        "outside": lambda: zipped(("../../../../etc/x.png", PICTURE), ("/etc/y.png", PICTURE), (NAME, PICTURE)),
        "backslash": lambda: zipped(("..\\..\\x.png", PICTURE), ("C:\\x.png", PICTURE), (NAME, PICTURE)),
        "folder-picture": lambda: zipped((f"{NAME}/", b""), (f"{NAME}/{NAME}", PICTURE)),
        "twice": lambda: zipped((NAME, PICTURE), (info(NAME), b"other")),
        "many": lambda: zipped(*((f"1_0_0_{i}.png", b"") for i in range(20_000))),
        "deep": lambda: zipped(("a/" * 2000 + NAME, PICTURE)),
        "empty": lambda: zipped(),
        "within": lambda: zipped(("a.zip", sound), ("b.tar", good)),
        "table": lambda: zipped(("faces.csv", b"file,age\n" + b"x" * 3_000_000), (NAME, PICTURE)),
        "nul": lambda: sound.replace(NAME.encode(), NAME.replace("_2017", "\0_201").encode()[: len(NAME)]),
        "surrogate": lambda: sound.replace(NAME.encode(), b"\xff" * len(NAME)),
        "offset": lambda: sound[:-6] + struct.pack("<I", 0xFFFFFFF0) + sound[-2:],
        "offset-zero": lambda: sound[:-6] + struct.pack("<I", 0) + sound[-2:],
        "count": lambda: sound[:-14] + struct.pack("<HH", 65_535, 65_535) + sound[-10:],
        "size-of-list": lambda: sound[:-10] + struct.pack("<I", 0xFFFFFFFF) + sound[-6:],
        "disk": lambda: sound[:-18] + struct.pack("<HH", 9, 9) + sound[-14:],
        "before": lambda: rng(0, "before").randbytes(70_000) + sound,
        "after": lambda: sound + rng(0, "behind").randbytes(70_000),
        "overlap": lambda: overlapping(200),
        "tail-only": lambda: sound[-22:],
        "zip64": lambda: sound[:-22] + b"PK\6\6" + b"\xff" * 52 + b"PK\6\7" + b"\xff" * 16 + sound[-22:],
    }.items():
        each(f"zip-{name}", make, "zip", seconds=90.0)

    # ---- Parquet

    def parquet(name: str, table: Callable[[Any], dict[str, Any]], *command: str, **options: Any) -> None:
        def make(folder: Path) -> None:
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table(table(pa)), folder / "a.parquet")
            pa.default_memory_pool().release_unused()

        add(f"schema-{name}", make, *(command or ("batch", "a.parquet", *BATCH)), **options)

    for name, table in {
        "struct": lambda pa: {"image": pa.array([{"bytes": PICTURE, "path": EVIL}] * 3)},
        "struct-deep": lambda pa: {"image": pa.array([{"bytes": {"bytes": {"bytes": PICTURE}}}])},
        "struct-none": lambda pa: {"image": pa.array([{"bytes": None, "path": "/etc/passwd"}] * 3)},
        "list": lambda pa: {"image": pa.array([[PICTURE] * 3])},
        "text": lambda pa: {"image": pa.array(["/etc/passwd", "/dev/zero", "http://127.0.0.1:9/a"])},
        "path": lambda pa: {"path": pa.array(["/etc/passwd", "/dev/zero", "/proc/kmsg", EVIL])},
        "number": lambda pa: {"image": pa.array([1, 2, 3])},
        "dictionary": lambda pa: {"image": pa.array([PICTURE] * 9).dictionary_encode()},
        "fixed": lambda pa: {"image": pa.array([PICTURE[:50]] * 3, pa.binary(50))},
        "nothing": lambda pa: {"image": pa.nulls(1000)},
        "map": lambda pa: {"image": pa.array([[("a", PICTURE)]], pa.map_(pa.string(), pa.binary()))},
        "columns-3000": lambda pa: {"image": [PICTURE], **{f"c{i}": [1] for i in range(3000)}},
        "column-escape": lambda pa: {"image": [PICTURE], EVIL: [EVIL]},
        "column-empty": lambda pa: {"": [PICTURE]},
        "column-long": lambda pa: {"x" * 1_000_000: [PICTURE]},
        "two-pictures": lambda pa: {"image": [PICTURE], "jpeg": [PICTURE], "bytes": [PICTURE]},
        "name-odd": lambda pa: {"image": [PICTURE] * 3, "file": [EVIL, None, "x" * 100_000], "name": [1, 2, 3]},
        "none": lambda pa: {},
        "view": lambda pa: {"image": pa.array([PICTURE] * 3, pa.binary_view())},
        "half": lambda pa: {"image": pa.array([1.0], pa.float16())},
        "time": lambda pa: {"image": pa.array([2**62], pa.timestamp("us"))},
    }.items():
        parquet(name, table)
        parquet(f"{name}-named", table, "batch", "a.parquet", "--column", "image", *BATCH)
        parquet(f"{name}-audit", table, "audit", "a.parquet", "--bootstrap", "0")
    whole = io.BytesIO()

    def footer(name: str, edit: Callable[[bytes], bytes]) -> None:
        def make(folder: Path) -> None:
            import pyarrow as pa
            import pyarrow.parquet as pq

            whole.seek(0)
            whole.truncate()
            pq.write_table(pa.table({"image": [PICTURE] * 20}), whole)
            (folder / "a.parquet").write_bytes(edit(whole.getvalue()))

        add(f"footer-{name}", make, "batch", "a.parquet", *BATCH)
        add(f"footer-{name}-audit", make, "audit", "a.parquet", "--bootstrap", "0")

    footer("encrypted", lambda data: b"PARE" + data[4:-4] + b"PARE")
    footer("length-huge", lambda data: data[:-8] + struct.pack("<I", 0x7FFFFFFF) + data[-4:])
    footer("length-zero", lambda data: data[:-8] + struct.pack("<I", 0) + data[-4:])
    footer("length-less", lambda data: data[:-8] + struct.pack("<I", 20) + data[-4:])
    footer("mark", lambda data: data[:-4] + b"ARROW")
    footer("twice", lambda data: data + data)
    footer("tiny", lambda data: b"PAR1PAR1")
    footer("head", lambda data: data[:12])
    for number in range(12):

        def damaged(data: bytes, number: int = number) -> bytes:
            random, made = rng(0, f"footer{number}"), bytearray(data)
            (length,) = struct.unpack("<I", data[-8:-4])
            for _ in range(3 + number):
                made[random.randrange(len(data) - 8 - length, len(data) - 8)] = random.randrange(256)
            return bytes(made)

        footer(f"flipped-{number}", damaged)
    return out


def overlapping(count: int) -> bytes:
    """A zip of many names for one picture: all of them the same bytes."""
    data = encoded("png", "RGB", 64)
    sum_ = zlib.crc32(data)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, sum_, len(data), len(data), 1, 0) + b"a" + data
    entries = b""
    for i in range(count):
        name = f"1_0_0_{i}.png".encode()
        entries += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, sum_, len(data), len(data), len(name),
                               0, 0, 0, 0, 0, 0) + name  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entries), len(local), 0)
    return local + entries + end
