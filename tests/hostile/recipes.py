"""Recipes of strangers: read by `recipes`, which checks them as `train` does before it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case, rng


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, content: str | Callable[[Path], object], *command: str, **options: Any) -> None:
        def make(folder: Path) -> None:
            if callable(content):
                content(folder)
            else:
                (folder / "r.toml").write_text(content, "utf-8", errors="surrogateescape")

        out.append(Case("recipes", name, make, command or ("recipes", "r.toml"), **options))

    nested = "".join(f"[a{i}]\n" for i in range(50_000))
    numbers = [*"1e400 -1e400 nan inf -inf 0 -1 9223372036854775807 1.5 true".split(), "9" * 400, "9" * 5000, '"x"']
    for key in ("seed", "image_size", "train.epochs", "train.batch_size", "train.learning_rate", "augment.rotation"):
        for number, value in enumerate(numbers):
            add(f"{key}-{number}", f"{key} = {value}\n", exit=(0, 2) if len(value) < 4 else (2,))
    for name, text in {
        "empty": "",
        "keys-200000": "".join(f"k{i} = {i}\n" for i in range(200_000)),
        "keys-900": "".join(f"k{i} = {i}\n" for i in range(900)),
        "phases-30000": "[[train.phases]]\nepochs = 1\n" * 30_000,
        "phases-333": "[[train.phases]]\nepochs = 1\n" * 333,
        "phases-inline": "train.phases = [" + "{epochs=1}," * 60_000 + "]",
        "tables": nested,
        "deep-list": "x = " + "[" * 20_000 + "]" * 20_000,
        "deep-inline": "x = " + "{a=" * 5000 + "1" + "}" * 5000,
        "dotted": "train." + ".".join(["a"] * 20_000) + " = 1",
        "string-long": 'summary = "' + "x" * 900_000 + '"',
        "string-lines": 'summary = """' + "\n" * 950 + '"""\nseed = "x"',
        "string-lines-wide": 'summary = """' + ("y" * 900 + "\n") * 900 + '"""\nseed = "x"',
        "open-string": 'summary = """' + "\n" * 5000,
        "large": "# " + "x" * 3_000_000,
        "bom": "\ufeffseed = 1",
        "surrogate": 'summary = "\udcff"',
        "control": 'summary = "\x1b[2J"',
        "escape": 'summary = "\\u001b[2J"\nx = 1',
        "escaped-key": '"\\u001b]0;x\\u0007" = 1',
        "start-link": 'start = "/dev/zero"\nseed = "x"',
        "component": '[backbone]\nname = "os:system"\n[head]\nname = "../../x"\nconfig = 1',
        "config-deep": "[backbone]\nname = 'compact'\nconfig = " + "{a=" * 90 + "1" + "}" * 90,
        "loss-kind": "[loss.age]\nkind = '__import__'",
        "schema-file": 'schema = "/etc/passwd"',
        "schema-device": 'schema = "/dev/zero.toml"',
        "date": "seed = 1979-05-27",
        "unicode": 'summary = "\U0001f468\u200d\U0001f469" # ' + "\u202e" * 100 + "\nx = 1",
    }.items():
        sound = name in (
            "phases-333",
            "empty",
            "bom",
            "deep-inline",
            "config-deep",
            "string-long",
            "component",
            "schema-device",
            "large",
        )
        add(name, text, exit=(0, 2) if sound or name == "component" else (2,), seconds=60.0)
    for number in range(10):
        random = rng(seed, f"toml{number}")
        text = "".join(random.choice("[]{}=.,\"'\n#a1- \\") for _ in range(400))
        add(f"random-{number}", text, exit=(0, 2))
    add("pipe", lambda f: os.mkfifo(f / "r.toml"), exit=(2,), seconds=30.0)
    add("device", lambda f: (f / "r.toml").symlink_to("/dev/zero"), exit=(2,), seconds=30.0)
    add("folder", lambda f: (f / "r.toml").mkdir(), exit=(2,))

    def run(**files: str) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            (folder / "run").mkdir()
            for name, text in files.items():
                (folder / "run" / f"{name}.json").write_text(text)

        return make

    report = json.dumps({"dataset": "x", "metrics": {"a": 1e308}, "schema": []})
    for name, text in {
        "deep": "[" * 100_000,
        "number": "9" * 5000,
        "list": "[]",
        "null": "null",
        "recipe-none": '{"recipe": null, "epochs": null}',
        "recipe-list": '{"recipe": [], "epochs": 7}',
        "nan": '{"recipe": {"name": NaN}, "epochs": [NaN]}',
    }.items():
        add(f"compare-{name}", run(training=text, report=report), "compare", "run", exit=(0, 1, 2))
        add(f"compare-report-{name}", run(training="{}", report=text), "compare", "run", exit=(0, 1, 2))
    return out
