"""What lies where commands write or look: pipes, links, half runs, latents and indexes of strangers."""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile.batches import BATCH
from hostile.case import Case, rng
from hostile.names import EVIL
from hostile.pictures import encoded
from made import squares


def npy(head: bytes, body: bytes = b"") -> bytes:
    """A .npy file of any header."""
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + body


@functools.cache
def _index() -> tempfile.TemporaryDirectory[str]:
    """An index of a few faces, made in a process of its own: LanceDB's threads would harm the forks of this one."""
    folder = tempfile.TemporaryDirectory(prefix="hostile-index-")
    squares(Path(folder.name) / "data", 12)
    command = [sys.executable, "-m", "facefeat", "index", "data/faces.csv", "-o", "i"]
    subprocess.run(command, cwd=folder.name, check=True, capture_output=True)
    return folder


def index(place: Path) -> Path:
    """A copy of the index."""
    shutil.copytree(Path(_index().name) / "i", place)
    return place


def _damaged(place: Path, name: str) -> None:
    """Some bytes of every file of the index but its facts changed, cut off, or all of them gone."""
    how, _, number = name.partition("-")
    files = [p for p in sorted(index(place).rglob("*")) if p.is_file() and p.name != "index.json"]
    random = rng(0, f"index-{name}")
    chosen = files[int(number) % len(files)] if number else None
    for path in files if chosen is None else [chosen]:
        data = bytearray(path.read_bytes())
        if how == "flipped":
            for _ in range(1 + len(data) // 100):
                data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(data[: random.randrange(len(data))] if how == "cut" else b"" if how == "empty" else data)
        if how == "gone":
            path.unlink()


def _add_indexes(add: Callable[..., None]) -> None:
    """Damaged indexes."""
    similar = ("similar", "a.npy", "--index", "i", "--json")

    def asks(folder: Path) -> None:
        np.save(folder / "a.npy", np.zeros(896, "float32"))

    for how in ("cut", "empty", "gone", "flipped"):
        for number in ("", *(f"-{n}" for n in range(8 if how == "flipped" else 4))):
            add(f"index-{how}{number}", lambda f, n=f"{how}{number}": (asks(f), _damaged(f / "i", n)), *similar)
    keys = "version encoder model preset latent_dim metric attributes approximate complete crops image_size labels"
    for key in keys.split():
        for number, value in enumerate((None, [], {}, 7, -1, float("nan"), 10**30, EVIL, [EVIL], "/dev/zero", True)):

            def facts(folder: Path, key: str = key, value: Any = value) -> None:
                asks(folder)
                path = index(folder / "i") / "index.json"
                path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

            add(f"index-{key}-{number}", facts, *similar)
            if key in ("preset", "encoder", "model"):
                photo = ("similar", "good.png", "--index", "i", "--detector", "whole-image")
                add(f"index-{key}-{number}-photo", facts, *photo)


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []
    picture = encoded("png", "RGB", 24)

    def add(name: str, make: Callable[[Path], object], *command: str, **options: Any) -> None:
        def whole(folder: Path) -> None:
            (folder / "good.png").write_bytes(picture)
            (folder / "l.txt").write_text("good.png\n")
            make(folder)

        given = {"exit": (0, 1, 2), "seconds": 60.0, **options}
        out.append(Case("batches", f"place-{name}", whole, command or BATCH, **given))

    places: dict[str, Callable[[Path], object]] = {
        "pipe": os.mkfifo,
        "link-passwd": lambda p: p.symlink_to("/etc/passwd"),
        "link-zero": lambda p: p.symlink_to("/dev/zero"),
        "link-full": lambda p: p.symlink_to("/dev/full"),
        "link-itself": lambda p: p.symlink_to(p.name),
        "link-nowhere": lambda p: p.symlink_to("/nowhere/at/all"),
        "file": lambda p: p.write_bytes(b"mine"),
        "folder": lambda p: (p.mkdir(), (p / "mine").write_text("x")),
        "socket": lambda p: __import__("socket").socket(1).bind(str(p)),
    }
    for kind, make in places.items():
        for name in ("out.parquet", "out.parquet.parts", ".out.parquet.lock"):
            add(f"{name}-{kind}", lambda f, m=make, n=name: m(f / n))
        command = ("predict", "good.png", "--annotate", "o", "--detector", "whole-image")
        add(f"annotate-{kind}", lambda f, m=make: m(f / "o"), *command)
        add(
            f"import-{kind}",
            lambda f, m=make: (m(f / "o"), (f / "t.csv").write_text("file,age,gender,race\ngood.png,3,Male,White\n")),
            "data",
            "import",
            "t.csv",
            "-o",
            "o",
        )
        add(f"cache-{kind}", lambda f, m=make: m(f / ".cache"), "predict", "good.png", "--detector", "whole-image")

    for name, content in {
        "spaces": "  good.png  \n\tgood.png\n",
        "returns": "good.png\r\ngood.png\r\n",
        "bom": "\ufeffgood.png\n",
        "empty-lines": "\n" * 200_000 + "good.png\n",
        "many": "good.png\n" * 3 + "gone.png\n" * 3000,
        "pipes": "p.png\n" * 20 + "good.png\n",
        "lists": "l.txt\nm.txt\nl.txt\ngood.png\n",
        "quotes": "\"good.png\"\n'good.png'\ngood.png\n",
        "stars": "*" * 5000 + "\n" + "[" * 5000 + "\n{a,b}\ngood.png\n",
        "dashes": "--help\n-o\ngood.png\n",
        "tilde": "~\n~nobody-at-all/x.png\n~/\ngood.png\n",
        "bars": "a.tar!x.png\na.zip::b\n|id\n;id\n&id\ngood.png\n",
        "names-255": "x" * 255 + ".png\n" + "y" * 5000 + "/z.png\ngood.png\n",
        "slashes": "/" * 5000 + "\n" + "../" * 2000 + "good.png\ngood.png\n",
        "descriptors": "/dev/fd/0\n/proc/self/fd/2\n/proc/self/environ\n/proc/self/root/etc/passwd\ngood.png\n",
    }.items():
        add(
            f"list-{name}",
            lambda f, c=content: ((f / "l.txt").write_text(c, "utf-8"), os.mkfifo(f / "p.png")),
            seconds=120.0,
        )
    for word in (
        "[",
        "**/**/**/**/*.png",
        "{good,bad}.png",
        "good.png" + "?" * 3000,
        "*" * 300,
        "",
        "-",
        "--",
        "~",
        "good.png\n",
        "http://127.0.0.1:9/a.png",
        "file:///etc/passwd",
        "zip://a::good.png",
        "s3://x",
        "C:\\a.png",
        "\ud800.png",
    ):
        add(f"input-{word[:12]!r}", lambda f: None, "batch", word, "--detector", "whole-image", "-o", "o.parquet")
    for option, values in {
        "--column": ("", "\x1b[2J", "x" * 9999),
        "--give-up-after": ("-1", "1e9", "9" * 400, "nan"),
        "--threads": ("0", "-1", "999999999", "9" * 400),
        "--detector": ("", "\x1b[2J", "os:system", "../x", "x" * 9999),
        "--preset": ("", "/dev/zero", "/etc/passwd", "hf://\x1b[2J", "http://127.0.0.1:9", "~", "\ud800", "x" * 9999),
        "--engine": ("", "none"),
    }.items():
        for number, value in enumerate(values):
            # A column is asked of tables alone, and a limit may be as high as one likes.
            fine = option == "--column" or (option == "--give-up-after" and value.isdigit())
            add(f"option{option}-{number}", lambda f: None, *BATCH, option, value, exit=(0,) if fine else (1, 2))

    def half(text: str, data: bytes) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            parts = folder / "out.parquet.parts"
            parts.mkdir()
            (parts / "run.json").write_text(text)
            for number in (0, 1, 10**9):
                (parts / f"part-{number:09d}-{number:09d}.parquet").write_bytes(data)
            (parts / "part-x.parquet").write_bytes(data)
            (parts / "part-000000005-000000003.parquet").symlink_to("/dev/zero")

        return make

    for number, text in enumerate(("{}", '{"version": 1}', '{"facts": {}}', '{"chunk": 0}', '{"a": NaN}', "\x00")):
        add(f"half-{number}", half(text, rng(0, "half").randbytes(500)), *BATCH, "--resume")

    # ---- latents and indexes

    latents: dict[str, bytes] = {
        "empty": b"",
        "text": b"1,2,3",
        "pickle": b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",
        "objects": npy(
            b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."
        ),
        "huge": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", bytes(64)),
        "negative": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", bytes(64)),
        "head": npy(b"(" * 9000),
        "nan": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (896,)}", b"\0\0\xc0\x7f" * 896),
        "infinite": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (896,)}", b"\0\0\x80\x7f" * 896),
        "large": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (896,)}", np.full(896, 3e38, "<f4").tobytes()),
        "texts": npy(b"{'descr': '<U9', 'fortran_order': False, 'shape': (896,)}", bytes(896 * 36)),
        "complex": npy(b"{'descr': '<c8', 'fortran_order': False, 'shape': (896,)}", bytes(896 * 8)),
        "short": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", bytes(12)),
        "cube": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 896)}", bytes(4 * 4 * 896)),
        "zip": b"PK\3\4" + bytes(99),
    }

    for name, data in latents.items():
        add(
            f"latent-{name}",
            lambda f, d=data: (f / "a.npy").write_bytes(d),
            "similar",
            "a.npy",
            "--index",
            "i",
            exit=(1, 2),
        )
    add("latent-pipe", lambda f: os.mkfifo(f / "a.npy"), "similar", "a.npy", "--index", "i", exit=(1, 2))
    for kind, make in places.items():
        add(f"index-{kind}", lambda f, m=make: m(f / "i"), "similar", "good.png", "--index", "i", exit=(1, 2))
        add(f"preset-{kind}", lambda f, m=make: m(f / "p"), "predict", "good.png", "--preset", "p", exit=(1, 2))
    for words in (
        ("edit", "good.png", "--age"),
        ("compose", "--age"),
        ("compose", "--set"),
        ("edit", "good.png", "--attribute"),
        ("morph", "good.png", "good.png", "--fps"),
        ("edit", "good.png", "--limit"),
        ("compose", "--gender"),
    ):
        for number, value in enumerate(
            (
                "nan",
                "+inf",
                "1e400",
                "9" * 400,
                "\x1b[2J",
                "",
                "+1e308",
                "Female:nan",
                "0=nan",
                "0=1e308",
                "-1=1",
                f"{'9' * 50}=1",
                "age=nan",
                "=",
                "Female:2",
                "a" * 9999,
            )
        ):
            add(f"{words[0]}{words[-1]}-{number}", lambda f: None, *words, value, "-o", "o.png", exit=(1, 2))
    if importlib.util.find_spec("lancedb"):  # the extra `search`
        _add_indexes(add)
    made = io.BytesIO()
    np.savez(made, x=np.zeros(3))
    add(
        "latent-npz",
        lambda f: (f / "a.npz").write_bytes(made.getvalue()),
        "similar",
        "a.npz",
        "--index",
        "i",
        exit=(1, 2),
    )
    return out
