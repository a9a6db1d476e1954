"""Plugins whose components load and then break their contract, and plugins that change the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hostile.case import Case
from hostile.names import EVIL
from hostile.pictures import encoded
from hostile.plugins import installed

DETECTOR = """
import numpy as np
from facefeat import Component, hookimpl
from facefeat.types import Face
BOX, POINTS = (4.0, 4.0, 40.0, 40.0), np.asarray([[15, 18], [30, 18], [22, 25], [16, 32], [29, 32]], "float32")
class Evil:
    def detect(self, image):
        {body}
    def detect_batch(self, images):
        return {batch}
@hookimpl
def facefeat_detectors():
    return [Component("evil", Evil, "x")]
"""
HOOK = """
from facefeat import Component, hookimpl
{before}
@hookimpl
def facefeat_{kind}():
    return [Component("evil", {build}, "x")]
"""
COMMANDS = """
import click
from facefeat import hookimpl
@hookimpl
def facefeat_commands(cli):
    {body}
"""


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []
    picture = encoded("png", "RGB", 64)

    def add(name: str, source: str, *command: str, files: dict[str, str] | None = None, **options: Any) -> None:
        def make(folder: Path) -> None:
            installed(folder / "site", "evil", source)
            (folder / "a.png").write_bytes(picture)
            for file, text in (files or {}).items():
                (folder / file).write_text(text)

        def run(folder: Path) -> None:
            sys.path.insert(0, str(folder / "site"))
            from facefeat.cli import run

            raise SystemExit(run(command))

        out.append(Case("plugins", name, make, run, **{"exit": (1, 2), "seconds": 60.0, **options}))

    predict = ("predict", "a.png", "--detector", "evil:evil")
    each = "[self.detect(i) for i in images]"
    face = "return [Face({box}, {score}, {points})]"

    def detects(name: str, body: str, batch: str = each, **options: Any) -> None:
        source = DETECTOR.format(body=body, batch=batch)
        add(f"detector-{name}", source, *predict, **options)
        add(f"detector-{name}-batch", source, "batch", "a.png", "--detector", "evil:evil", "-o", "o.parquet", **options)

    whole: dict[str, Any] = {"exit": (0, 1, 2)}
    for name, body in {
        "sound": face.format(box="BOX", points="POINTS", score=0.9),
        "many": face.format(box="BOX", points="POINTS", score=0.9) + " * 3000",
        "outside": face.format(box="(-1e6, -1e6, -9e5, -9e5)", points="POINTS - 1e6", score=0.9),
        "huge": face.format(box="(-1e9, -1e9, 1e9, 1e9)", points="POINTS * 1e8", score=0.9),
        "points-alike": face.format(box="BOX", points="POINTS * 0", score=0.9),
        "box-turned": face.format(box="(40.0, 40.0, 4.0, 4.0)", points="POINTS", score=0.9),
        "score-huge": face.format(box="BOX", points="POINTS", score="1e300"),
        "no-faces": "return []",
    }.items():
        detects(name, body, **whole, megabytes=2500)
    for name, body in {
        "none": "return None",
        "numbers": "return [1, 2]",
        "texts": f"return [{EVIL!r}]",
        "array": "return np.zeros((3, 4))",
        "generator": "yield 1",
        "box-nan": face.format(box="(float('nan'),) * 4", points="POINTS", score=0.9),
        "box-short": face.format(box="(1.0, 2.0)", points="POINTS", score=0.9),
        "box-text": face.format(box=f"({EVIL!r},) * 4", points="POINTS", score=0.9),
        "points-nan": face.format(box="BOX", points="POINTS * float('nan')", score=0.9),
        "points-two": face.format(box="BOX", points="POINTS[:2]", score=0.9),
        "points-none": face.format(box="BOX", points="None", score=0.9),
        "points-text": face.format(box="BOX", points=f"np.full((5, 2), {EVIL[:6]!r})", score=0.9),
        "score-nan": face.format(box="BOX", points="POINTS", score="float('nan')"),
        "score-text": face.format(box="BOX", points="POINTS", score="'x'"),
        "raises": f"raise ValueError({EVIL!r})",
        "raises-memory": "raise MemoryError()",
        "exits": "raise SystemExit(0)",
        "exits-base": "raise BaseException('x')",
        "deep": "return self.detect(image)",
    }.items():
        detects(name, body, **whole)
    detects("batch-short", "return []", "[]", **whole)
    detects("batch-long", "return []", "[[]] * 9", **whole)
    detects("batch-none", "return []", "None", **whole)
    detects("writes", "image[:] = 0; return []", **whole)

    for name, build in {
        "raises": "lambda: 1 / 0",
        "exits": "lambda: __import__('sys').exit(0)",
        "number": "lambda: 7",
        "class": "lambda: object",
        "wants": "lambda *, size: size",
        "text": f"lambda: {EVIL!r}",
    }.items():
        add(f"builds-{name}", HOOK.format(before="", kind="detectors", build=build), *predict)

    # ---- presets

    for name, value in {
        "nowhere": "'/nowhere/at/all'",
        "passwd": "'/etc/passwd'",
        "device": "'/dev/zero'",
        "folder": "'/'",
        "escapes": repr("/x" + EVIL),
        "nul": "'a\\0b'",
        "empty": "''",
        "bytes": "b'/tmp'",
        "number": "7",
        "long": "'x' * 10**6",
        "address": "'hf://nobody/nothing'",
    }.items():
        source = HOOK.format(before="", kind="presets", build=f"lambda: {value}")
        add(f"preset-{name}", source, "predict", "a.png", "--preset", "evil:evil")
        add(f"preset-{name}-listed", source, "presets", exit=(0, 1))

    # ---- what recipes and schemas name

    def recipe(name: str, kind: str, before: str, build: str, text: str, **options: Any) -> None:
        source = HOOK.format(before=before, kind=kind, build=build)
        add(f"{kind}-{name}", source, "recipes", "r.toml", files={"r.toml": text}, **options)

    layer = '[[augment.layers]]\nname = "evil:evil"\n'
    loss = '[loss.age]\nkind = "evil:evil"\n'
    for name, build in {
        "raises": "lambda **k: 1 / 0",
        "exits": "lambda **k: __import__('sys').exit(0)",
        "number": "lambda **k: 7",
        "none": "lambda **k: None",
        "wants": "lambda *, sigma: sigma",
        "escapes": f"lambda **k: (_ for _ in ()).throw(ValueError({EVIL!r}))",
    }.items():
        recipe(name, "losses", "", build, loss)
        recipe(name, "augmentations", "", build, layer, exit=(0, 1, 2))
        recipe(name, "attribute_kinds", "", build, 'schema = "s.toml"\n', exit=(1, 2))
    schema = 'name = "s"\n[attributes.a]\nkind = "evil:evil"\nclasses = ["a", "b"]\n'
    for name, build in {"raises": "lambda: 1 / 0", "number": "lambda: 7", "exits": "lambda: exit(0)"}.items():
        source = HOOK.format(before="", kind="attribute_kinds", build=build)
        table = {"s.toml": schema, "t.csv": "file,a\na.png,a\n"}
        add(f"kind-{name}", source, "data", "import", "t.csv", "--schema", "s.toml", "-o", "d", files=table)

    # ---- commands

    for name, body in {
        "raises": "raise ValueError(1)",
        "exits": "raise SystemExit(0)",
        "shadows": "cli.add_command(click.Command('predict', callback=lambda: print('mine')))",
        "clears": "cli.commands.clear()",
        "renames": "cli.name = 'x'",
        "escapes": f"cli.add_command(click.Command({EVIL!r}, help={EVIL!r}))",
        "help-long": "cli.add_command(click.Command('evil', help='x' * 10**6))",
        "none": "cli.add_command(None)",
        "many": "[cli.add_command(click.Command(f'evil{i}')) for i in range(5000)]",
        "deletes": "cli.commands = None",
        "callback": "cli.callback = None; cli.params = []",
        "calls": "cli(['recipes'])",
    }.items():
        for number, words in enumerate((("recipes",), ("--help",), ("plugins", "check"))):
            add(f"commands-{name}-{number}", COMMANDS.format(body=body), *words, exit=(0, 1, 2), terminal=number == 1)

    # ---- distributions

    add("requires-many", HOOK.format(before="", kind="heads", build="print"), "plugins", exit=(0, 1))
    graph = "import evil\n" + "a = None\n" * 100_000
    add("module-long", graph + HOOK.format(before="", kind="heads", build="print"), "plugins", exit=(0, 1))
    big = "class A:\n    pass\nfor _ in range(10**4):\n    A = type('A', (), {'a': A})\n"
    add("module-busy", big + HOOK.format(before="", kind="heads", build="print"), "plugins", exit=(0, 1))
    twice = HOOK.format(before="", kind="heads", build="print").replace("[Component", "2 * [Component")
    add("twice", twice, "plugins", exit=(0, 1))
    many = HOOK.format(before="", kind="heads", build="print").replace(
        '[Component("evil", print, "x")]', '[Component(f"evil-{i}", print, "x") for i in range(100_000)]'
    )
    add("many", many, "plugins", exit=(0, 1))
    for name, text in {"slash": "../../x", "colon": "a:b:c", "space": "a b", "case": "EVIL", "long": "x" * 10_000,
                       "empty": "", "dot": ".", "nul": "a\0b", "surrogate": "\udc80"}.items():  # fmt: skip
        named = HOOK.format(before="", kind="detectors", build="print").replace('"evil"', repr(text))
        add(f"named-{name}", named, "plugins", exit=(0, 1), terminal=True)
        add(f"named-{name}-json", named, "plugins", "--json", exit=(0, 1, 2))
    summary = HOOK.format(before="", kind="heads", build="print").replace('"x"', json.dumps(EVIL) + " * 2000")
    add("summary", summary, "plugins", exit=(0, 1), terminal=True)
    requires = HOOK.format(before="", kind="heads", build="print").replace('"x")', f'"x", ({EVIL!r}, ".", "a..b"))')
    add("component-requires", requires, "plugins", exit=(0, 1), terminal=True)
    return out
