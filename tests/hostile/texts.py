"""Texts of strangers, second half: in arguments, pictures, labels and pages. None is obeyed."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case
from hostile.names import ESCAPES, EVIL
from hostile.pictures import encoded

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}${7*7}"
ODD = {
    "markup": MARKUP,
    "formula": '=HYPERLINK("http://x";"y")',
    "percent": "%s%n%x{0}{x!r}$HOME",
    "rich": "[red]x[/red][link=http://x]y[/link][/]",
    "long": "x" * 30_000,
    "surrogate": "\udc80\udcff",
    "combining": "e" + "\u0301" * 3000,
    "wide": "\uff21" * 200 + "\U0001f468\u200d\U0001f469" * 50,
    "zero": "\u200b\u200d\ufeff\u2060" * 50,
    "tags": "".join(chr(0xE0000 + ord(c)) for c in "ignore"),
    "line": "a\u2028b\u2029c\x85d\ve\ff",
    "tab": "a\tb\tc",
    "dash": "--output=/etc/x",
    "dots": "../" * 40 + "etc/passwd",
    "device": "/dev/zero",
    "passwd": "/etc/passwd",
    "memory": "/proc/self/mem",
    "space": " ",
    "quote": "'; rm -rf / #\"",
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "batch": ("batch", "{}", "-o", "o.parquet"),
    "batch-output": ("batch", "a.png", "-o", "{}/x/y.parquet"),
    "data-import": ("data", "import", "{}", "-o", "d"),
    "data-schema": ("data", "import", "t.csv", "--schema", "{}", "-o", "d"),
    "data-map": ("data", "import", "t.csv", "--map", "{}={}", "-o", "d"),
    "data-format": ("data", "import", "t.csv", "--format", "{}", "-o", "d"),
    "data-explore": ("data", "explore", "{}", "-o", "o"),
    "data-doctor": ("data", "doctor", "{}", "-o", "o"),
    "data-apply": ("data", "doctor", "t.csv", "--apply", "{}", "-o", "o"),
    "data-merge": ("data", "merge", "{}", "{}", "-o", "o"),
    "data-preview": ("data", "preview", "{}", "-o", "o.png"),
    "train-recipe": ("train", "--recipe", "{}", "--data", "t.csv", "-o", "o"),
    "train-data": ("train", "--data", "{}", "-o", "o"),
    "train-start": ("train", "--start", "{}", "--data", "t.csv", "-o", "o"),
    "decoder": ("train-decoder", "--data", "{}", "-o", "o"),
    "tune": ("tune", "--recipe", "{}", "--data", "t.csv", "-o", "o"),
    "directions": ("fit-directions", "{}", "--data", "t.csv"),
    "evaluate": ("evaluate", "--data", "{}"),
    "evaluate-preset": ("evaluate", "{}", "--data", "t.csv"),
    "audit": ("audit", "{}"),
    "audit-map": ("audit", "t.csv", "--map", "{}={}"),
    "audit-report": ("audit", "t.csv", "--report", "{}/x", "--bootstrap", "0"),
    "audit-rule": ("audit", "t.csv", "--fail-under", "{}"),
    "audit-compare": ("audit", "t.csv", "{}", "--compare"),
    "census": ("census", "{}"),
    "calibrate": ("calibrate", "{}", "--data", "t.csv", "-o", "o"),
    "analyze": ("analyze", "{}", "--data", "t.csv", "-o", "o"),
    "explain": ("explain", "{}", "-o", "o.png"),
    "explain-attribute": ("explain", "a.png", "--attribute", "{}", "-o", "o.png"),
    "morph": ("morph", "{}", "{}", "-o", "o.png"),
    "morph-output": ("morph", "a.png", "a.png", "-o", "{}"),
    "edit": ("edit", "{}", "--age", "+5", "-o", "o.png"),
    "edit-gender": ("edit", "a.png", "--gender", "{}", "-o", "o.png"),
    "edit-race": ("edit", "a.png", "--race", "{}", "-o", "o.png"),
    "compose-race": ("compose", "--race", "{}", "-o", "o.png"),
    "index": ("index", "{}", "-o", "i"),
    "similar": ("similar", "a.png", "--index", "{}"),
    "export": ("export", "--preset", "{}", "-o", "o.onnx"),
    "quantize": ("quantize", "--preset", "{}", "-o", "q"),
    "compare": ("compare", "{}", "{}"),
    "recipes": ("recipes", "{}"),
    "presets": ("presets", "{}"),
    "plugins-kind": ("plugins", "--kind", "{}"),
    "plugins-new": ("plugins", "new", "{}", "-o", "o"),
    "demo": ("demo", "--preset", "{}"),
    "demo-host": ("demo", "--host", "{}"),
    "runtime": ("predict", "a.png", "--runtime", "{}"),
    "min": ("predict", "a.png", "--min-confidence", "{}"),
}


def text_chunks(text: bytes) -> bytes:
    """A PNG whose text chunks, profile and physical size are odd."""
    data = encoded("png", "RGB", 48)
    made = b""
    for kind, body in ((b"tEXt", b"Comment\0" + text), (b"zTXt", b"x\0\0" + zlib.compress(text)),
                       (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text), (b"iCCP", b"evil\0\0" + zlib.compress(text)),
                       (b"eXIf", b"II*\0\x08\0\0\0" + text[:64]), (b"pHYs", b"\xff" * 9)):  # fmt: skip
        made += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + made + data[33:]


def exif(text: str) -> bytes:
    """A JPEG with odd texts, orientation and resolution in its EXIF data."""
    from PIL import Image

    image = Image.open(io.BytesIO(encoded("png", "RGB", 48)))
    about = Image.Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298, 0x9C9B):
        about[tag] = text
    about[0x0112] = 99
    out = io.BytesIO()
    image.save(out, "JPEG", exif=about, comment=text.encode("utf-8", "replace")[:60_000])
    return out.getvalue()


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []
    picture = encoded("png", "RGB", 48)
    table = (
        "file,age,gender,race,age_predicted,gender_predicted,race_predicted\n" + "a.png,9,Male,White,9,Male,White\n" * 9
    )

    def add(name: str, make: Callable[[Path], object], *command: str, **options: Any) -> None:
        def whole(folder: Path) -> None:
            (folder / "a.png").write_bytes(picture)
            (folder / "t.csv").write_text(table)
            make(folder)

        out.append(Case("names", name, whole, command, **{"exit": (0, 1, 2), "terminal": True, **options}))

    texts = {"all": EVIL, **ODD}
    for command, words in COMMANDS.items():
        for name in ("all", "rich", "surrogate", "dots", "device"):
            filled = [w.replace("{}", texts[name]) for w in words]
            if all("\0" not in w for w in filled):
                add(f"{command}-{name}", lambda f: None, *filled, seconds=90.0)
    for name, text in {**ESCAPES, **ODD}.items():
        plain = text.replace("/", "")[:60]

        def pictured(folder: Path, name: str = plain) -> None:
            place = Path(os.fsdecode(os.fsencode(folder))) / f"x{name} .png"
            place.write_bytes(picture)
            (folder / f"y{name}.png").write_bytes(b"no picture")

        for number, words in enumerate((("predict", ".", "--annotate", "o"), ("predict", ".", "-o", "o.csv"),
                                        ("predict", ".", "-o", "o.json"), ("batch", ".", "-o", "o.parquet"),
                                        ("census", "."))):  # fmt: skip
            add(f"picture-{name}-{number}", pictured, *words, *(["--detector", "whole-image"] if number < 4 else []))
        chunks = text.encode("utf-8", "surrogatepass")
        add(f"chunks-{name}", lambda f, d=chunks: (f / "b.png").write_bytes(text_chunks(d)), "predict", "b.png",
            "--json", "--detector", "whole-image")  # fmt: skip
        tags = text.encode("utf-8", "replace").decode()[:4_000]
        add(f"exif-{name}", lambda f, t=tags: (f / "b.jpg").write_bytes(exif(t)), "predict", "b.jpg", "--json",
            "--detector", "whole-image")  # fmt: skip

        def inside(folder: Path, name: str = plain) -> None:
            place = folder / f"d{name} "
            place.mkdir()
            (place / "a.png").write_bytes(picture)
            (place / "l.txt").write_text("a.png\n")

        add(f"folder-{name}", inside, "predict", f"d{plain} ", "--detector", "whole-image")
        add(f"glob-{name}", inside, "predict", f"{plain}*[!x]", "--detector", "whole-image")

        def labelled(folder: Path, text: str = text) -> None:
            import csv

            with (folder / "u.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["file", "mood", "mood_predicted", "group", text])
                rows.writerows([f"{text}{i}", text if i % 2 else "b", text if i % 3 else "b", text[:50], i]
                               for i in range(40))  # fmt: skip

        add(f"labels-{name}", labelled, "audit", "u.csv", "--bootstrap", "0")
        add(f"labels-page-{name}", labelled, "audit", "u.csv", "--bootstrap", "0", "--report", "o")
        add(f"labels-import-{name}", labelled, "data", "import", "u.csv", "-o", "d", "--schema", "s.toml")

        def schema(folder: Path, text: str = text) -> None:
            labelled(folder, text)
            quoted = json.dumps(text.encode("utf-8", "replace").decode())
            (folder / "s.toml").write_text(f'name = {quoted}\n[attributes.mood]\nclasses = [{quoted}, "b"]\n', "utf-8")

        add(f"labels-schema-{name}", schema, "data", "import", "u.csv", "-o", "d", "--schema", "s.toml")

        for key in ("FACEFEAT_PLUGINS", "FACEFEAT_STRICT", "FACEFEAT_CACHE"):

            def set_first(folder: Path, key: str = key, value: str = text[:9000]) -> None:
                os.environ[key] = value
                from facefeat.cli import run

                raise SystemExit(run(["plugins"]))

            out.append(
                Case("names", f"variable-{key}-{name}", lambda f: None, set_first, exit=(0, 1, 2), terminal=True)
            )
    return out
