"""Recipes whose data, sources, start or distillation are a stranger's: read as `train` reads them before it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hostile.archives import tar
from hostile.case import Case, rng
from hostile.names import EVIL
from hostile.pictures import encoded

ROWS = "file,age,gender,race,split\n" + "".join(
    f"{i}.png,{i + 1},{('Male', 'Female')[i % 2]},White,{'val' if i == 3 else 'train'}\n" for i in range(4)
)


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []
    picture = encoded("png", "RGB", 24)

    def pictures(folder: Path) -> None:
        for i in range(4):
            (folder / f"{i}.png").write_bytes(picture)

    def add(name: str, text: str, files: Mapping[str, str | bytes | Callable[[Path], Any]] | None = None,
            **options: Any) -> None:  # fmt: skip
        """The recipe is read, and the data of its sources."""

        def make(folder: Path) -> None:
            pictures(folder)
            (folder / "a.csv").write_text(ROWS)
            (folder / "r.toml").write_text(text, "utf-8", errors="surrogateescape")
            for file, content in (files or {}).items():
                if callable(content):
                    content(folder / file)
                else:
                    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())

        def read(folder: Path) -> None:
            from facefeat import FacefeatError
            from facefeat.cli._show import warn
            from facefeat.training.sources import load_sources

            try:
                load_sources("r.toml")
            except FacefeatError as e:
                warn(str(e))
                raise SystemExit(2) from None

        out.append(Case("recipes", f"source-{name}", make, read, **{"exit": (0, 2), **options}))

    def source(*lines: str, count: int = 1) -> str:
        return ("[[sources]]\n" + "\n".join(lines) + "\n") * count

    add("sound", source('data = "a.csv"'), exit=(0,))
    for name, value in {
        "empty": '""',
        "passwd": '"/etc/passwd"',
        "zero": '"/dev/zero"',
        "random": '"/dev/random"',
        "stdin": '"/dev/stdin"',
        "kmsg": '"/proc/kmsg"',
        "memory": '"/proc/self/mem"',
        "root": '"/"',
        "proc": '"/proc/self"',
        "dot": '"."',
        "up": '"../../../../../../etc/passwd"',
        "home": '"~"',
        "home-nobody": '"~nobody-at-all/x"',
        "address": '"http://127.0.0.1:9/a.csv"',
        "hub": '"hf://nobody/x"',
        "nul": '"a\\u0000b"',
        "long": json.dumps("x" * 5000),
        "slashes": json.dumps("/" * 5000),
        "escapes": json.dumps(EVIL),
        "surrogate": '"\udcff"',
        "itself": '"r.toml"',
        "number": "7",
        "list": '["a.csv"]',
        "picture": '"0.png"',
        "gone": '"gone.csv"',
    }.items():
        for key in ("data", "root", "splits"):
            lines = [f"{key} = {value}", *(['data = "a.csv"'] if key != "data" else [])]
            add(f"{key}-{name}", source(*lines), exit=(0, 2) if key != "data" else (2,), seconds=60.0)
    numbers = [*"-1 0 1e400 -1e400 nan inf 1e-320 9223372036854775807 true".split(), "9" * 400, '"x"', "[]"]
    for key in ("weight", "limit", "trust.gender", "error.age", "trust.age", "error.gender", "trust.x", "error.x"):
        for number, value in enumerate(numbers):
            add(f"{key}-{number}", source('data = "a.csv"', f"{key} = {value}"))
    for name, value in {
        "escapes": json.dumps(EVIL),
        "slash": '"../../x"',
        "empty": '""',
        "dots": '".."',
        "long": json.dumps("x" * 100_000),
        "bidi": '"\u202egpj"',
        "formula": '"=cmd|x"',
        "markup": '"<script>alert(1)</script>"',
        "space": '" "',
    }.items():
        for key in ("name", "licence", "use"):
            add(f"{key}-{name}", source('data = "a.csv"', f"{key} = {value}"))
    for name, value in {
        "number": "7",
        "itself": '{ "Male" = "Male" }',
        "unknown": '{ "Male" = "x" }',
        "list-empty": '{ "Male" = [] }',
        "list-long": '{ "Male" = [' + '"Male",' * 50_000 + "] }",
        "list-number": '{ "Male" = [1] }',
        "deep": '{ "Male" = ' + "[" * 300 + "]" * 300 + " }",
        "many": "{ " + ", ".join(f'"m{i}" = "Male"' for i in range(50_000)) + " }",
        "escapes": "{ " + json.dumps(EVIL) + " = " + json.dumps(EVIL) + " }",
        "all": '{ "Male" = ["Male", "Female"], "Female" = ["Male", "Female"] }',
        "empty": '{ "" = "" }',
        "swap": '{ "Male" = "Female", "Female" = "Male" }',
        "nan": '{ "Male" = nan }',
    }.items():
        for attribute in ("gender", "age", "file", "__class__"):
            add(f"labels-{attribute}-{name}", source('data = "a.csv"', f"labels.{attribute} = {value}"), seconds=60.0)
    add("twice", source('data = "a.csv"', count=2), exit=(2,))
    add("validation-only", source('data = "a.csv"', 'use = "validation"'), exit=(2,))
    add("many", "".join(source('data = "a.csv"', f'name = "s{i}"') for i in range(300)), seconds=120.0)
    add("many-over", source('data = "a.csv"', count=5000), exit=(2,))
    add("table", '[sources]\ndata = "a.csv"\n', exit=(2,))
    add("none", "sources = []\n", exit=(2,))
    add("nested", '[[sources]]\ndata = "a.csv"\n[[sources.sources]]\ndata = "a.csv"\n', exit=(2,))
    add("schema-data", 'schema = "data"\n' + source('data = "a.csv"'))
    add("schema-fairface", 'schema = "fairface"\n' + source('data = "a.csv"'))

    # ---- the data of a source

    one = source('data = "d"')
    for name, about in {
        "empty": "",
        "list": "[]",
        "deep": "[" * 100_000,
        "number": "9" * 5000,
        "null": '{"name": null}',
        "format": '{"format": 99}',
        "source-passwd": '{"format": 1, "name": "x", "source": "/etc/passwd", "prefix": "", "kind": "folder"}',
        "source-up": '{"format": 1, "name": "x", "source": "../../../../etc", "prefix": "", "kind": "folder"}',
    }.items():

        def imported(place: Path, about: str = about) -> None:
            place.mkdir()
            (place / "dataset.json").write_text(about)
            (place / "faces.csv").write_text(ROWS)

        add(f"imported-{name}", one, {"d": imported}, exit=(2,))

    def changed(name: str, edit: Callable[[dict[str, Any]], Any], table: str = ROWS) -> None:
        """An import of ours, changed."""

        def make(place: Path) -> None:
            from facefeat.data.imported import write_dataset
            from facefeat.data.importers import read_raw

            write_dataset(read_raw(place.parent / "a.csv"), place)
            about = json.loads((place / "dataset.json").read_text())
            edit(about)
            (place / "dataset.json").write_text(json.dumps(about))
            if table != ROWS:
                (place / "faces.csv").write_text(table, "utf-8", errors="surrogateescape")

        add(f"changed-{name}", one, {"d": make}, seconds=60.0)

    for key in ("name", "licence", "schema", "source", "prefix", "format", "format_version", "rows", "splits", "kind"):
        for number, value in enumerate((None, [], {}, 7, float("nan"), -1, 10**30, EVIL, "x" * 100_000, "/dev/zero")):
            changed(f"{key}-{number}", lambda about, k=key, v=value: about.update({k: v}))
    for name, table in {
        "empty": "",
        "header": ROWS.split("\n")[0] + "\n",
        "other": "a,b\n1,2\n",
        "nul": ROWS.replace("Male", "Ma\0le"),
        "split": ROWS.replace("train", EVIL[:4]),
        "years": ROWS.replace("1,", "1e400,"),
        "class": ROWS.replace("Male", "x"),
        "soft": ROWS.replace("race,", "race,gender_soft,").replace("White,", "White,Male 1e400 Female nan,"),
        "up": ROWS.replace("0.png", "../../../../etc/passwd"),
        "wide": ROWS.replace("\n", "," * 50_000 + "\n"),
        "quote": ROWS + '"' + "x" * 500_000,
    }.items():
        changed(f"table-{name}", lambda about: None, table)
    for label in ("Male 1e400", "Male nan", "Male -1", "Male | " * 5000, "34 +-", "34 +-1e400", "34 +-nan",
                  "0-999999999", "99-1", "gender:", ":Male", "gender:Male" * 5000, "1|2|3", "|",
                  "Male 0.5 Female 0.5 Male 0.5", EVIL.replace("\r", ""), "9" * 5000, "1e-400",
                  "\u0661", "--5"):  # fmt: skip
        for column in ("age", "gender"):
            at = {"age": 1, "gender": 2}[column]
            rows = [r.split(",") for r in ROWS.strip().split("\n")]
            for row in rows[1:]:
                row[at] = f'"{label}"'
            text = "\n".join(",".join(r) for r in rows)
            add(f"label-{column}-{len(out)}", source('data = "a.csv"'), {"a.csv": text}, seconds=60.0)

    for name, content in {
        "tar": tar(("1_0_0_2.png", picture), ("2_1_0_2.png", picture)),
        "tar-cut": tar(("1_0_0_2.png", picture))[:700],
        "noise": rng(0, "noise").randbytes(5000),
        "zip": b"PK\3\4" + bytes(500),
        "gz": b"\x1f\x8b\x08" + bytes(500),
    }.items():
        add(f"archive-{name}", source('data = "d.tar"', 'splits = "train"'), {"d.tar": content})
        add(f"archive-{name}-zip", source('data = "d.zip"', 'splits = "train"'), {"d.zip": content})
    add("pipe", source('data = "d.csv"'), {"d.csv": os.mkfifo}, exit=(2,), seconds=30.0)
    add("pipe-splits", source('data = "a.csv"', 'splits = "s.csv"'), {"s.csv": os.mkfifo}, exit=(2,), seconds=30.0)
    add("pipe-root", source('data = "a.csv"', 'root = "d.tar"'), {"d.tar": os.mkfifo}, exit=(2,), seconds=30.0)
    link = lambda p: p.symlink_to("/dev/zero")  # noqa: E731
    add("link", source('data = "d.csv"'), {"d.csv": link}, exit=(2,), seconds=30.0)
    add("circle", source('data = "d"'), {"d": lambda p: p.symlink_to("d")}, exit=(2,), seconds=30.0)

    # ---- of all recipes

    def whole(name: str, text: str, **options: Any) -> None:
        def make(folder: Path) -> None:
            (folder / "r.toml").write_text(text, "utf-8", errors="surrogateescape")

        out.append(Case("recipes", f"whole-{name}", make, ("recipes", "r.toml"), **{"exit": (0, 2), **options}))

    for key in ("distillation.file", "start", "schema", "alignment", "backbone.name", "head.name", "train.trainable"):
        for number, value in enumerate(("/etc/passwd", "/dev/zero", "../x", EVIL, "", "x" * 50_000, "hf://a/b", "a:b:c",
                                        "last " + "9" * 400, "\0", "~", "C:\\x", "__import__('os')")):  # fmt: skip
            whole(f"{key}-{number}", f"{key} = {json.dumps(value)}\n", seconds=30.0)
    components = ("backbone", "head")
    for component in components:
        for number, config in enumerate(
            ("7", "[]", '{ x = 1 }', '{ widths = [100000] }', '{ widths = [-1] }', '{ widths = "x" }',
             '{ blocks = 999999999 }', '{ weights = "/dev/zero" }', '{ trunk = [1e9] }', '{ dropout = nan }',
             '{ "\\u001b[2J" = 1 }', '{ kernel = [[[[]]]] }', "{ schema = 1 }", "{ image_size = 1 }")
        ):  # fmt: skip
            name = {"backbone": "compact", "head": "mlp"}[component]
            whole(f"{component}-config-{number}", f'{component} = {{ name = "{name}", config = {config} }}\n')
    for key in ("rotation shift zoom shear brightness contrast saturation hue magnitude jpeg jpeg_low jpeg_high erase "
                "coarse_dropout mixup cutmix randaugment").split():  # fmt: skip
        for number, value in enumerate(("nan", "-1", "1e308", '"x"', "9" * 400)):
            whole(f"augment-{key}-{number}", f"[augment]\n{key} = {value}\n", exit=(2,))
    for name, text in {
        "layers-500": '[[augment.layers]]\nname = "noise"\n' * 500,
        "layers-5000": '[[augment.layers]]\nname = "noise"\n' * 5000,
        "layer-config": '[[augment.layers]]\nname = "noise"\nconfig = { share = nan }\n',
        "layer-unknown": f"[[augment.layers]]\nname = {json.dumps(EVIL)}\n",
        "loss-unknown": '[loss.age]\nkind = "distribution"\nsigma = nan\n',
        "loss-negative": '[loss.age]\nkind = "distribution"\nsigma = -1e308\n',
        "loss-attribute": f"[loss.{json.dumps(EVIL)}]\nweight = 1\n",
        "loss-many": "".join(f"[loss.a{i}]\nweight = 1\n" for i in range(5000)),
        "loss-deep": "[loss.age]\nconfig = " + "{ a = " * 80 + "1" + " }" * 80,
        "phases-zero": "[[train.phases]]\nepochs = 0\n",
        "phases-huge": "[[train.phases]]\nepochs = 9007199254740992\n" * 3,
        "decoder": 'task = "decoder"\n[decoder]\nname = "\\u001b[2J"\n',
        "decoder-nan": '[decoder]\nname = "upsampling"\nconfig = { base = nan }\n',
        "crlf": 'seed = 1\r\n[train]\r\nepochs = "x"\r\n',
        "returns": "seed = 1\rimage_size = 2\r",
        "form-feed": "seed = 1\f\n",
        "twice": "seed = 1\nseed = 2\n",
        "redefined": "[train]\nepochs = 1\n[train]\nepochs = 2\n",
        "utf-16": "seed = 1\n".encode("utf-16").decode("latin-1"),
        "key-empty": '"" = 1\n',
        "key-proto": "__proto__ = 1\n[__class__]\nx = 1\n",
        "time": "seed = 07:32:00\n",
        "hex": "seed = 0x" + "f" * 5000 + "\n",
        "underscores": "seed = " + "1_" * 3000 + "1\n",
        "float-long": "[train]\nlearning_rate = 0." + "0" * 900_000 + "1\n",
        "comment": "#" * 900_000 + "\nx = 1\n",
        "lines-999": "\n" * 998 + "x = 1\n",
        "array-lines": "sources = [\n" + "{ data = 'a' },\n" * 900 + "{ data = 7 },\n]\n",
    }.items():
        whole(name, text, seconds=60.0)
    return out
