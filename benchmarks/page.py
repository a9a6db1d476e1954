"""Measures what docs/benchmarks.md claims, and writes it there. Wants an idle machine.

    python benchmarks/page.py [DATA [PHOTOS]] [--splits CSV] [--mixed FOLDER]... [--before PYTHON]
        [--only NAME,NAME] [--rows 1000000] [--page FILE]

DATA is a labelled data set (UTKFace.tar), PHOTOS a folder; --mixed and --before are those of runtime.py. What one
script prints goes between `<!-- bench:NAME -->` and `<!-- /bench -->`; a block that cannot be measured here is not
changed (the reason is printed). The page is written after every script, so that an interrupted run keeps what it has.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Given:
    """What there is to measure on. rows: of the index that is searched. mixed: folders of more photos, for batches.

    before: the Python of an environment with another version, to compare with.
    """

    data: str | None = None
    photos: tuple[str, ...] = ()
    splits: str | None = None
    rows: int = 1_000_000
    mixed: tuple[str, ...] = ()
    before: str | None = None


def plan(given: Given) -> dict[str, list[str] | str]:
    """Block of the page -> the script and its arguments; or, as a text, why it cannot be run here."""
    data = [given.data] if given.data else []
    splits = ["--splits", given.splits] if given.splits else []
    no_data = "no data set was given"
    no_chip = _missing("jax") or ("" if shutil.which("nvidia-smi") else "no GPU here")
    before = ["--before", given.before] if given.before else []
    runtime = ["runtime.py", *given.mixed, *before] if given.mixed else "no folders of mixed photos were given"
    deepface = _missing("deepface", "tf_keras") or ("" if given.photos else "no photos were given")
    return {
        "accuracy": ["accuracy.py", *data, *splits] if data else no_data,
        "runtime": runtime,
        "speed": ["speed.py", *given.photos],
        "peers": deepface or ["peers.py", *given.photos],
        "profile": ["profiles.py", *given.photos],
        "search": _missing("lancedb") or ["search.py", str(given.rows)],
        "input": ["input_pipeline.py", *data] if data else no_data,
        "memory": _missing("pyarrow") or ["memory.py"],
        "frozen": ["frozen.py"],
        "plugins": ["plugins.py"],
        "accelerator": no_chip or ["accelerator.py", *data, *splits],
        "demo": _missing("gradio", "playwright") or ["demo.py"],
    }


def _missing(*modules: str) -> str:
    absent = [m for m in modules if importlib.util.find_spec(m) is None]
    return f"{' and '.join(absent)} not installed" if absent else ""


def as_markdown(printed: str) -> str:
    """What a script printed, for the page: lines of `name | value` as a table, whose first line is its head.

    Lines of text become one sentence before the table that they belong to.
    """
    parts = []
    for kind, group in groupby(printed.strip().splitlines(), _kind):
        lines = [line.strip() for line in group]
        if kind == "text":
            parts.append(", ".join(lines))
        elif kind == "table":
            rows = [[cell.strip() for cell in line.split("|")] for line in lines]
            width = max(map(len, rows))
            rows = [row + [""] * (width - len(row)) for row in rows]
            rows.insert(1, ["---"] * width)
            parts[-1:] = [f"{p}:" if not p.startswith("|") else p for p in parts[-1:]]
            parts.append("\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows))
    return "\n\n".join(p if p.startswith("|") or p.endswith(":") else f"{p}." for p in parts)


def _kind(line: str) -> str:
    return "table" if " | " in line else "text" if line.strip() else "gap"


def blocks(page: str) -> list[str]:
    """The names of the page's blocks, in order."""
    return re.findall(r"^<!-- bench:([\w-]+) -->$", page, re.MULTILINE)


def put(page: str, name: str, text: str) -> str:
    """The page with another text in a block. Raises ValueError where it has no such block, or two."""
    pattern = re.compile(rf"^(<!-- bench:{re.escape(name)} -->\n).*?^(<!-- /bench -->)$", re.MULTILINE | re.DOTALL)
    new, count = pattern.subn(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page)
    if count != 1:
        raise ValueError(f"the page has {count} blocks {name!r}; it must have one.")
    return new


def measure(command: list[str]) -> str:
    """What a script printed, shown meanwhile. Raises CalledProcessError where it failed."""
    return "".join(_lines([sys.executable, "-u", str(HERE / command[0]), *command[1:]]))


def _lines(command: list[str]) -> Iterator[str]:
    # What the script says on standard error goes to ours.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            yield line
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--splits", help="CSV with `file` and `split`, for raw data")
    parser.add_argument("--mixed", action="append", default=[], help="folder of photos for runtime.py; repeatable")
    parser.add_argument("--before", help="Python of an environment with another version, for runtime.py")
    parser.add_argument("--only", help="these blocks alone, with commas")
    parser.add_argument("--rows", type=int, default=Given.rows, help="of the index that is searched")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    photos = tuple(str(p) for p in sorted(args.photos.glob("*.jpg"))) if args.photos else ()
    planned = plan(Given(args.data, photos, args.splits, args.rows, tuple(args.mixed), args.before))
    wanted = args.only.split(",") if args.only else list(planned)
    unknown = [n for n in wanted if n not in planned or n not in blocks(args.page.read_text("utf-8"))]
    if unknown:
        parser.error(f"no such block: {', '.join(unknown)}. Valid: {', '.join(planned)}.")
    failed, left = [], []
    for name in wanted:
        command = planned[name]
        if isinstance(command, str):
            left.append(f"{name}: left as it is, {command}")
            continue
        print(f"\n== {name}", flush=True)
        try:
            text = as_markdown(measure(command))
        except subprocess.CalledProcessError as e:
            failed.append(f"{name}: failed with {e.returncode}, left as it is")
            continue
        # Read anew: somebody may have written the words around it meanwhile.
        new = put(args.page.read_text("utf-8"), name, text)
        made = args.page.with_name(f".{args.page.name}.{os.getpid()}")
        made.write_text(new, "utf-8")
        os.replace(made, args.page)
    print("\n".join(["", *left, *failed, f"{args.page} is written"]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
