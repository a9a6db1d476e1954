"""What plugins cost at start-up: `python benchmarks/plugins.py [HOW MANY]`. Wants an idle machine.

Installs 50 distributions of one component each into a temporary folder, and times whole processes that load every
plugin, with that folder on the path and without it, in turns. Prints both medians and the difference.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 0.2
"""Seconds that 50 plugins may add."""
TIMES = 15
SOURCE = """
from facefeat import Component, hookimpl

def build(*, image_size, width=16):
    import keras
    return keras.Sequential([keras.Input((image_size, image_size, 3)), keras.layers.Conv2D(width, 3)])

@hookimpl
def facefeat_backbones():
    return [Component("net-{i}", build, "a backbone")]
"""
LOAD = """
from facefeat.plugins.registry import get_registry
r = get_registry()
print(len([i for i in r.all() if i.distribution != "facefeat"]), len(r.problems))
"""


def install(folder: Path, count: int) -> None:
    """Distributions as pip leaves them, each with a requirement of facefeat."""
    for i in range(count):
        (folder / f"dist_{i}.py").write_text(SOURCE.replace("{i}", str(i)), "utf-8")
        info = folder / f"dist_{i}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: dist-{i}\nVersion: 1.0\nRequires-Dist: facefeat<99,>=0.1\n"
        (info / "METADATA").write_text(metadata, "utf-8")
        (info / "entry_points.txt").write_text(f"[facefeat]\ndist-{i} = dist_{i}\n", "utf-8")


def seconds(folder: Path, has: int) -> float:
    """Wall time of one process that loads all plugins; it must find `has` components more than without the folder."""
    path = os.pathsep.join(
        [str(folder), *(os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**os.environ, "PYTHONPATH": path, "FACEFEAT_STRICT": ""}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    taken = time.perf_counter() - start
    assert int(done.stdout.split()[0]) >= has, f"plugins were lost: {done.stdout}{done.stderr}"
    return taken


def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="facefeat-bench-") as made:
        empty, full = Path(made).resolve() / "empty", Path(made).resolve() / "full"
        empty.mkdir()
        full.mkdir()
        install(full, count)
        for folder, has in ((empty, 0), (full, count)):
            seconds(folder, has)  # writes the byte code, as the first start after an installation does
        # In turns, so that a machine that slows down slows both.
        pairs = [(seconds(empty, 0), seconds(full, count)) for _ in range(TIMES)]
    without, with_all = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, median of {TIMES} processes each, in turns")
    print("what | seconds")
    print(f"every plugin loaded, only the built-in ones | {without:.3f}")
    print(f"every plugin loaded, {count} and the built-in ones | {with_all:.3f}")
    print(f"added by the {count} (the limit for 50 is {LIMIT}) | {added:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
