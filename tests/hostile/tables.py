"""Tables, splits and schemas of strangers: given to `data import` and `evaluate`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case, rng
from hostile.pictures import encoded

IMPORT = ("data", "import", "t.csv", "-o", "d")
SOUND = "file,age,gender,race,split\n" + "".join(f"{i}.png,{i + 1},Male,White,train\n" for i in range(4))


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, content: bytes | str | Callable[[Path], object], *command: str, **options: Any) -> None:
        def make(folder: Path) -> None:
            for i in range(4):
                (folder / f"{i}.png").write_bytes(encoded("png", "RGB", 24))
            if callable(content):
                content(folder)
            else:
                data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
                (folder / "t.csv").write_bytes(data)

        out.append(Case("tables", name, make, command or IMPORT, **{"exit": (0, 1, 2), **options}))

    add("sound", SOUND, exit=(0,))
    for name, text in {
        "empty": "",
        "lines": "\n" * 1000,
        "header-only": "file,age\n",
        "no-file-column": "age,gender\n1,Male\n",
        "binary": b"\x00\x01\x02" * 100,
        "nul-within": SOUND.encode() + b"a\0b.png,1,Male,White,train\n",
        "utf16-cut": "file,age\n".encode("utf-16")[:-1],
        "utf16": SOUND.encode("utf-16"),
        "latin": "file,age\nä.png,1\n".encode("latin-1"),
        "bom": b"\xef\xbb\xbf" + SOUND.encode(),
        "columns-100000": ",".join(["file", *(f"c{i}" for i in range(100_000))]) + "\n" + "0.png" + "," * 100_000,
        "columns-alike": ",".join(["file"] * 100_000) + "\n",
        "commas": "file" + "," * 2_000_000 + "\n",
        "commas-only": "," * 1_000_000,
        "semicolons": ";" * 500_000 + "\n" + ";" * 500_000,
        "quote-open": 'file,age\n"' + "x" * 3_000_000,
        "quotes": 'file,age\n' + '"' * 200_001,
        "field-long": "file,age\n" + "x" * 1_000_000 + ",1\n",
        "ragged": "file,age\n" + "".join("0.png" + ",1" * (i % 9) + "\n" for i in range(5000)),
        "formula": "file,age\n=cmd|' /C calc'!A0,1\n",
        "returns": "file,age\r0.png,1\r1.png,2\r",
        "separators": "file\u2028age\n0.png\u20281\n",
        "age-huge": "file,age,gender,race\n0.png," + "9" * 5000 + ",Male,White\n",
        "age-nan": "file,age,gender,race\n0.png,nan,Male,White\n1.png,inf,Male,White\n2.png,1e400,Male,White\n",
        "age-negative": "file,age,gender,race\n0.png,-1,Male,White\n",
        "age-arabic": "file,age,gender,race\n0.png,\u0661\u0662,Male,White\n",
        "race-number": "file,age,gender,race\n0.png,1,99999999999999999999,White\n",
        "passwd": "file,age,gender,race\n/etc/passwd,1,Male,White\n",
        "up": "file,age,gender,race\n../../../../etc/passwd,1,Male,White\n",
        "kmsg": "file,age,gender,race\n/proc/kmsg,1,Male,White\n",
        "zero": "file,age,gender,race\n/dev/zero,1,Male,White\n",
        "random": "file,age,gender,race\n/dev/random,1,Male,White\n",
        "stdin": "file,age,gender,race\n/dev/stdin,1,Male,White\n",
        "folder": "file,age,gender,race\n.,1,Male,White\n",
        "address": "file,age,gender,race\nhttp://127.0.0.1:9/a.png,1,Male,White\n",
        "name-nul": "file,age,gender,race\n\ufffd.png,1,Male,White\n",
        "name-long": "file,age,gender,race\n" + "y" * 5000 + ".png,1,Male,White\n",
        "twice": SOUND + SOUND.split("\n", 1)[1],
        "contradiction": SOUND + SOUND.split("\n", 1)[1].replace("Male", "Female"),
        "split-odd": SOUND.replace("train", "\x1b[2J"),
        "labels-unknown": SOUND.replace("Male", "x" * 100_000),
        "labels-many": "file,gender\n" + "".join(f"{i}.png,g{i}\n" for i in range(20_000)),
        "rows-200000": "file,age\n" + "".join(f"{i}.png,1\n" for i in range(200_000)),
    }.items():  # fmt: skip
        add(name, text, seconds=120.0 if "0000" in name else 60.0)
    for number in range(10):
        random, data = rng(seed, f"csv{number}"), bytearray(SOUND.encode())
        for _ in range(12):
            data[random.randrange(len(data))] = random.randrange(256)
        add(f"flipped-{number}", bytes(data))
    add("pipe", lambda f: os.mkfifo(f / "t.csv"), seconds=30.0)
    add("device", lambda f: (f / "t.csv").symlink_to("/dev/zero"), seconds=30.0)
    both = lambda f: ((f / "t.csv").write_text(SOUND), os.mkfifo(f / "s.csv"))  # noqa: E731
    add("splits-pipe", both, *IMPORT, "--splits", "s.csv", seconds=30.0)

    def names(folder: Path) -> None:
        (folder / "u").mkdir()
        odd = "999_9_9_9.png 1_0_0.png _0_0_1.png -1_0_0_1.png \u0661_0_0_1.png 1e9_0_0_1.png 116_1_4_x.jpg.chip.jpg"
        for name in ("1_0_0_20170101.png", *odd.split(), "1_0_0_" + "9" * 200 + ".png"):
            (folder / "u" / name).write_bytes(encoded("png", "RGB", 24))

    add("utkface-names", names, "data", "import", "u", "-o", "d")

    def schema(text: str) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            (folder / "t.csv").write_text(SOUND)
            (folder / "s.toml").write_text(text, "utf-8", errors="surrogateescape")

        return make

    attribute = 'name = "x"\n[attributes.gender]\nclasses = '
    for name, text in {
        "empty": "",
        "deep": 'name = "x"\nattributes = ' + "[" * 5000 + "]" * 5000,
        "dotted": ".".join(["a"] * 20_000) + " = 1",
        "number": "name = " + "9" * 6000,
        "no-classes": attribute + "[]",
        "one-class": attribute + '["a"]',
        "classes-many": attribute + json.dumps([f"c{i}" for i in range(50_000)]),
        "years-wide": 'name="x"\n[attributes.age]\nclasses=["a","b"]\nyears=[[0,9],[10,999999999]]\nexact=true',
        "years-huge": 'name="x"\n[attributes.age]\nclasses=["a","b"]\nyears=[[0,9],[10,' + "9" * 400 + "]]",
        "range-nan": 'name="x"\n[attributes.yaw]\nkind="continuous"\nrange=[nan,inf]',
        "bins-many": 'name="x"\n[attributes.yaw]\nkind="continuous"\nrange=[0,1e6]\nbins='
        + json.dumps(list(range(1, 60_000))),
        "kind": 'name="x"\n[attributes.a]\nkind="\\u001b[2J"\nclasses=["a","b"]',
        "class-escape": attribute + '["\\u001b[2J", "b"]',
        "alias-loop": attribute + '["a","b"]\naliases={a="b",b="a"}',
        "name-bad": 'name="x"\n[attributes."../x"]\nclasses=["a","b"]',
        "attribute-file": 'name="x"\n[attributes.file]\nclasses=["a","b"]',
        "surrogate": 'name = "\udcff"',
    }.items():
        add(f"schema-{name}", schema(text), *IMPORT, "--schema", "s.toml", exit=(1, 2))
    add("schema-pipe", lambda f: ((f / "t.csv").write_text(SOUND), os.mkfifo(f / "s.toml")), *IMPORT, "--schema",
        "s.toml", exit=(1, 2), seconds=30.0)  # fmt: skip
    return out
