"""Installed distributions whose entry points fail, lie or print: what worked without them still works."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case
from hostile.names import ESCAPES

HEAD = "from facefeat import Component, hookimpl\n"
BUILD = "def build(**config):\n    raise {}\n"


def installed(
    site: Path, name: str, source: str, *, version: str = "6.6.6", requires: str = "", points: str = ""
) -> None:
    """A distribution of one module, as an installer leaves it."""
    module = "".join(c if c.isalnum() else "_" for c in name)
    info = site / f"{module}-6.6.6.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(source, "utf-8", errors="surrogateescape")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    (info / "METADATA").write_text(metadata, "utf-8", errors="surrogateescape")
    (info / "entry_points.txt").write_text(points or f"[facefeat]\n{name} = {module}\n", "utf-8")


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, source: str, code: tuple[int, ...] = (0, 1), terminal: bool = False, **about: Any) -> None:
        def command(folder: Path) -> None:
            sys.path.insert(0, str(folder / "site"))
            from facefeat.cli import run

            found = run(["plugins", "check"])
            assert found in code, f"plugins check: exit code {found}"
            found = run(["recipes"])
            assert found == 0, f"recipes: exit code {found}"
            found = run(["presets"])
            assert found in (0, 1), f"presets: exit code {found}"

        make: Callable[[Path], object] = lambda folder: installed(folder / "site", "evil", source, **about)  # noqa: E731
        out.append(Case("plugins", name, make, command, exit=(0,), terminal=terminal, says="mobilenet-112-utkface"))

    broken = (1,)
    for error in ("ValueError('x')", "MemoryError()", "RecursionError()", "KeyboardInterrupt()", "SystemExit(0)",
                  "SystemExit('x')", "GeneratorExit()", "BaseException('x')", "StopIteration()", "ImportError('x')",
                  "UnicodeDecodeError('utf-8', b'', 0, 1, 'x')", "OSError(28, 'full')", "ValueError('\\x1b[2J' * 9)",
                  "ValueError('x' * 10**7)", "ExceptionGroup('x', [ValueError()])"):  # fmt: skip
        if error.startswith("KeyboardInterrupt"):
            continue  # Ctrl+C is the user's
        name = error.split("(")[0] + str(len(error))
        add(f"import-{name}", f"raise {error}\n", broken)
        add(f"hook-{name}", HEAD + f"@hookimpl\ndef facefeat_backbones():\n    raise {error}\n", broken)
        generator = f"@hookimpl\ndef facefeat_heads():\n    yield 1\n    raise {error}\n"
        add(f"generator-{name}", HEAD + generator, broken)
    for name, value in {
        "none": "None",
        "number": "7",
        "text": "'abc'",
        "class": "object",
        "dict": "{1: 2}",
        "self": "[[]]",
        "component": "Component",
        "lambda": "lambda: 1",
    }.items():
        add(f"gives-{name}", HEAD + f"@hookimpl\ndef facefeat_detectors():\n    return {value}\n", (0, 1))
    for name, text in ESCAPES.items():
        hook = f"@hookimpl\ndef facefeat_losses():\n    return [Component({text!r}, print, {text!r})]\n"
        add(f"names-{name}", HEAD + hook, (0, 1), terminal=True)
        add(f"fails-{name}", f"raise ValueError({text!r})\n", broken, terminal=True)
    add("syntax", "def (:\n", broken)
    add("nul", "x = 1\0\n", broken)
    add("no-utf8", "x = '\udcff'\n", broken)
    add("prints", "import sys\nsys.stderr.write('')\n", (0, 1))
    add("shadow", HEAD + "@hookimpl\ndef facefeat_heads():\n    return [Component('mlp', print, 'x')]\n", (0, 1))
    add("version-odd", HEAD, (0, 1), version="not-a-version")
    add("requires-odd", HEAD, (0, 1), requires="~~~ ???")
    add("requires-newer", "raise ValueError", broken, requires="facefeat>=99")
    add("point-missing", HEAD, broken, points="[facefeat]\nevil = nowhere.at.all\n")
    add("point-odd", HEAD, (0, 1), points="[facefeat]\nevil = :::\n= x\n[[\n")
    add("points-many", HEAD, (0, 1), points="[facefeat]\n" + "".join(f"e{i} = evil\n" for i in range(300)))
    return out
