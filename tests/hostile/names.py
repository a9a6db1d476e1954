"""Names, and every other text that a stranger chooses: no terminal obeys it, wherever it is planted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case
from hostile.pictures import encoded
from hostile.presets import changed, preset

ESCAPES = {
    "clear": "\x1b[2J",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://x\x1b\\y",
    "c1": "\x9b31m",
    "bell": "\x07",
    "back": "a\b\b\b",
    "return": "safe\rfake",
    "bidi": "\u202egpj.exe",
    "isolate": "\u2066x\u2069",
    "delete": "\x7f",
}
EVIL = "".join(ESCAPES.values())


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, make: Callable[[Path], object], *command: str, **options: Any) -> None:
        for terminal in (True, False) if options.pop("both", True) else (True,):
            where = "terminal" if terminal else "pipe"
            out.append(Case("names", f"{name}-{where}", make, command, terminal=terminal, **options))

    sound = encoded("png", "RGB")
    for kind, text in ESCAPES.items():

        def bad(folder: Path, name: str = f"{text.replace('/', '')}.png") -> None:
            (folder / name).write_bytes(b"no picture")
            (folder / "b.png").write_bytes(sound)

        add(f"file-bad-{kind}", bad, "predict", ".", "--detector", "whole-image", exit=(1,))

        def good(folder: Path, name: str = f"{text.replace('/', '')}.png") -> None:
            (folder / name).write_bytes(sound)

        add(f"file-good-{kind}", good, "predict", ".", "--detector", "whole-image", exit=(0,), both=False)
        add(f"argument-{kind}", lambda f: None, "predict", f"{text}.jpg", exit=(1, 2))
        add(f"preset-{kind}", lambda f: None, "predict", "a.jpg", "--preset", text, both=False)

    def one(folder: Path) -> None:
        (folder / f"{EVIL.replace('/', '')}.png").write_bytes(sound)

    for form in ("--json", "--csv"):
        add(f"all{form}", one, "predict", ".", form, "--detector", "whole-image", exit=(0,), both=False)
    add("no-utf8", lambda f: Path(os.fsdecode(os.fsencode(f) + b"/\xff\xfe.png")).write_bytes(sound), "predict", ".",
        "--detector", "whole-image", exit=(0,))  # fmt: skip
    add("long", lambda f: (f / ("x" * 250 + ".png")).write_bytes(b"x"), "predict", ".", exit=(1,))
    add("nul", lambda f: None, "predict", "a\0b.png", exit=(1, 2), both=False)
    add("dashes", lambda f: (f / "--help.png").write_bytes(b"x"), "predict", ".", exit=(1,), both=False)
    add("option", lambda f: None, "predict", f"--{EVIL}", exit=(2,))
    add("command", lambda f: None, EVIL, exit=(2,))
    add("recipe-name", lambda f: None, "recipes", EVIL, exit=(2,))

    def plant(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            changed(preset(folder / "p"), edit)
            (folder / "a.png").write_bytes(sound)

        return make

    read = ("predict", "a.png", "--detector", "whole-image", "--preset", "p")
    attributes = lambda c: c["schema"]["attributes"]  # noqa: E731
    for name, edit in {
        "name": lambda c: c.update(name=EVIL),
        "summary": lambda c: c.update(summary=EVIL),
        "licence": lambda c: c.update(licence=EVIL),
        "version": lambda c: c["backbone"].update(version=EVIL, name="none"),
        "distribution": lambda c: c["head"].update(distribution=EVIL, name="none"),
        "component": lambda c: c["head"].update(name=EVIL),
        "made-by": lambda c: c.update(format=99, facefeat=EVIL),
        "format": lambda c: c.update(format=EVIL),
        "class": lambda c: attributes(c)["gender"].update(classes=[EVIL, "Female"]),
        "attribute": lambda c: attributes(c).update({EVIL: attributes(c)["gender"]}),
        "schema": lambda c: c["schema"].update(name=EVIL),
        "key": lambda c: attributes(c)["gender"].update({EVIL: 1}),
        "alignment": lambda c: c["alignment"].update(name=EVIL),
        "no-graphs": lambda c: c.update(no_graphs=EVIL),
    }.items():
        add(f"preset-field-{name}", plant(edit), *read, exit=(0, 1, 2))

    def card(folder: Path) -> None:
        made = preset(folder / "p")
        changed(made, lambda c: None, card=f"# {EVIL}\n")

    add("card", card, "presets", "p", exit=(0,))

    def sums(folder: Path) -> None:
        made = preset(folder / "p")
        with (made / "SHA256SUMS").open("a") as file:
            file.write(f"{'0' * 64}  {EVIL.split(chr(13))[0]}\n")

    add("listed-file", sums, *read)

    def table(folder: Path) -> None:
        (folder / "t.csv").write_text(f"file,{EVIL.replace(chr(13), '')},split\na.png,1,{EVIL[:8]}\n", "utf-8")
        (folder / "a.png").write_bytes(sound)

    add("csv-header", table, "data", "import", "t.csv", "--output", "d", exit=(0, 1, 2))
    add("csv-evaluate", table, "evaluate", "--data", "t.csv", exit=(1, 2))

    def recipe(folder: Path) -> None:
        text = json.dumps(EVIL)  # TOML's escapes are JSON's
        (folder / "r.toml").write_text(f"summary = {text}\nschema = {text}\n", "utf-8")

    add("recipe-value", recipe, "recipes", "r.toml", exit=(2,))

    def run(folder: Path) -> None:
        from facefeat.schema import get_schema

        (folder / "run").mkdir()
        about = {"recipe": {"name": EVIL, "summary": EVIL, "schema": "utkface"}, "epochs": [], "best": {EVIL: EVIL}}
        (folder / "run" / "training.json").write_text(json.dumps(about))
        (folder / "run" / "report.json").write_text(
            json.dumps({"dataset": EVIL, "metrics": {EVIL: 1.0}, "schema": get_schema("utkface").to_dict()})
        )

    add("run-folder", run, "compare", "run", exit=(0, 1, 2))
    add("export-name", lambda f: shutil.copytree(preset(f / "p"), f / "q"), "export", "--preset", "q", "--format",
        EVIL, "--output", "x", exit=(1, 2))  # fmt: skip
    return out
