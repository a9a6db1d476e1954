"""Archives: tars, zips and Parquet files that claim, unpack to or lead to what they should not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case, rng
from hostile.pictures import encoded

BATCH = ("--detector", "whole-image", "-o", "out.parquet")
PICTURE = encoded("png", "RGB", 24)


def tar(*members: tuple[str, bytes], edit: Callable[[tarfile.TarInfo], Any] = lambda info: None) -> bytes:
    """A tar of some members, each edited before it is written."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            edit(info)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def header(kind: bytes, size: int, name: str = "././@LongLink") -> bytes:
    """The header of a member of a type and a claimed size."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


class Zeros(io.RawIOBase):
    """A stream of a header, many zeros, and an end."""

    def __init__(self, head: bytes, zeros: int, tail: bytes) -> None:
        self.parts, self.zeros, self.tail = head, zeros, tail

    def write_to(self, path: Path) -> None:
        with gzip.open(path, "wb", 1) as file:
            file.write(self.parts)
            block = bytes(1 << 20)
            for _ in range(self.zeros >> 20):
                file.write(block)
            file.write(self.tail)


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, make: Callable[[Path], object], *command: str, **options: Any) -> None:
        out.append(Case("archives", name, make, command, **options))

    def both(name: str, data: bytes, ending: str = "tar", **options: Any) -> None:
        make = lambda f: (f / f"a.{ending}").write_bytes(data)  # noqa: E731
        add(f"{name}-batch", make, "batch", f"a.{ending}", *BATCH, **{"exit": (0, 1, 2), **options})
        add(f"{name}-import", make, "data", "import", f"a.{ending}", "-o", "d", **{"exit": (0, 1, 2), **options})

    good = tar(("1_0_0_20170101.png", PICTURE), ("2_1_0_20170101.png", PICTURE))
    for kind, name in ((tarfile.GNUTYPE_LONGNAME, "long-name"), (tarfile.GNUTYPE_LONGLINK, "long-link"),
                       (tarfile.XHDTYPE, "pax"), (tarfile.XGLTYPE, "pax-global")):  # fmt: skip
        for size in (3 * 1024**3, 2**33 - 1, 100_000):
            both(f"{name}-{size}", header(kind, size) + bytes(1024), exit=(1, 2))
        for command in (("batch", "a.tar.gz", *BATCH), ("data", "import", "a.tar.gz", "-o", "d")):
            stream = Zeros(header(kind, 3 * 1024**3), 256 << 20, bytes(1024))
            add(f"{name}-compressed-{command[0]}", lambda f, s=stream: s.write_to(f / "a.tar.gz"), *command)
    both("chain-of-long-names", (header(tarfile.GNUTYPE_LONGNAME, 5) + b"a" * 5 + bytes(507)) * 5000, exit=(1, 2))
    both("chain-of-pax", (header(tarfile.XHDTYPE, 12) + b"12 path=a.b\n" + bytes(500)) * 5000, exit=(0, 1, 2))
    huge = bytearray(good)
    for name, size in (("2-70", 1 << 70), ("2-63", 1 << 63), ("negative", -(1 << 40))):
        made = bytearray(huge)
        made[124:136] = (size & ((1 << 96) - 1)).to_bytes(12, "big")
        made[124] = 0xFF if size < 0 else 0x80
        made[148:156] = b" " * 8
        made[148:156] = f"{sum(made[:512]):06o}\0 ".encode()
        both(f"size-{name}", bytes(made))
    for name in ("../../etc/cron.d/x.png", "/etc/passwd.png", "C:\\x.png", "a/../../b.png", "..\\..\\x.png"):
        both(f"outside-{name.replace('/', '_')}", tar((name, PICTURE)))
    for kind, name in ((tarfile.SYMTYPE, "symlink"), (tarfile.LNKTYPE, "hardlink"), (tarfile.FIFOTYPE, "pipe"),
                       (tarfile.CHRTYPE, "device"), (tarfile.GNUTYPE_SPARSE, "sparse"), (b"9", "unknown")):  # fmt: skip

        def edit(info: tarfile.TarInfo, kind: bytes = kind) -> None:
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

        both(f"member-{name}", tar(("1_0_0_2.png", b""), edit=edit))
    for number in range(6):
        random, data = rng(seed, f"tar{number}"), bytearray(good)
        for _ in range(30):
            data[random.randrange(len(data))] = random.randrange(256)
        both(f"tar-flipped-{number}", bytes(data))
        both(f"tar-cut-{number}", good[: random.randrange(len(good))])
    for name, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
        data = pack(good)
        both(f"cut-{name}", data[: len(data) // 2], f"tar.{name}")
        both(f"wrong-{name}", data[:20] + bytes(100), f"tar.{name}")
        both(f"within-{name}", pack(pack(good)), f"tar.{name}")

    # ---- zips: data sets alone

    def zipped(name: str, data: bytes | Callable[[], bytes], **options: Any) -> None:
        add(name, lambda f: (f / "a.zip").write_bytes(data() if callable(data) else data),
            "data", "import", "a.zip", "-o", "d", **{"exit": (0, 1, 2), **options})  # fmt: skip

    def made_zip(method: int = zipfile.ZIP_DEFLATED, data: bytes = PICTURE) -> bytearray:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", method) as archive:
            archive.writestr("1_0_0_20170101.png", data)
            archive.writestr("2_0_0_20170101.png", PICTURE)
        return bytearray(made.getvalue())

    zipped("zip-bomb", lambda: bytes(made_zip(data=bytes(700_000_000))), megabytes=2000)
    for method in (1, 6, 12, 14, 95, 99, 65535):
        data = made_zip()
        for mark, step in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            data[data.find(mark) + step :][:2] = b""
            at = data.find(mark) + step
            data[at : at + 2] = struct.pack("<H", method)
        zipped(f"zip-method-{method}", bytes(data))
    data = made_zip()
    for mark, step in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + step] |= 1
    zipped("zip-encrypted", bytes(data))
    data = made_zip()
    at = data.find(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    zipped("zip-claims-4-gb", bytes(data))
    for number in range(8):
        random, data = rng(seed, f"zip{number}"), made_zip()
        for _ in range(20):
            data[random.randrange(len(data))] = random.randrange(256)
        zipped(f"zip-flipped-{number}", bytes(data))

    # ---- Parquet

    def parquet(name: str, table: Callable[[], Any], **options: Any) -> None:
        kinds = {k: options.pop(k) for k in ("compression", "use_dictionary", "row_group_size") if k in options}

        def make(folder: Path) -> None:
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(table(), folder / "a.parquet", **kinds)
            pa.default_memory_pool().release_unused()  # else the case, a fork, is taken to have what this has

        add(name, make, "batch", "a.parquet", *BATCH, **{"exit": (0, 1, 2), **options})

    def cells(*values: bytes | None) -> Callable[[], Any]:
        import pyarrow as pa

        return lambda: pa.table({"image": pa.array(list(values), pa.large_binary())})

    whole: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}
    large: dict[str, Any] = {"megabytes": 2500, "seconds": 180.0}
    parquet("parquet-cell-600-mb", cells(bytes(600_000_000), PICTURE), **whole, **large)
    # The largest page that is read, and a larger one.
    parquet("parquet-page-800-mb", lambda: cells(*[bytes(200_000_000)] * 4)(), **whole, **large)
    parquet("parquet-page-1-gb", lambda: cells(*[bytes(200_000_000)] * 5)(), **whole, **large, exit=(1,))
    parquet("parquet-dictionary", lambda: cells(*[bytes(60_000_000)] * 16)(), compression="zstd", **large)
    parquet("parquet-nulls", cells(*[None] * 3000), compression="zstd", exit=(1,))
    parquet("parquet-empty", cells(), exit=(2,))
    parquet("parquet-no-pictures", cells(b"", b"x", bytes(100)), exit=(1,))

    def claims(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"image": pa.nulls(30_000_000, pa.binary())})
        pq.write_table(table, folder / "a.parquet", compression="zstd", row_group_size=30_000_000)

    add("parquet-30-million-nulls", claims, "batch", "a.parquet", *BATCH, seconds=90.0)
    for number in range(8):

        def flipped(folder: Path, number: int = number) -> None:
            import pyarrow.parquet as pq

            pq.write_table(cells(*[PICTURE] * 20)(), folder / "a.parquet")
            random, data = rng(seed, f"parquet{number}"), bytearray((folder / "a.parquet").read_bytes())
            for _ in range(20):
                data[random.randrange(len(data))] = random.randrange(256)
            (folder / "a.parquet").write_bytes(bytes(data))

        add(f"parquet-flipped-{number}", flipped, "batch", "a.parquet", *BATCH, exit=(0, 1, 2))
    return out
