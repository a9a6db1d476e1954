"""`python -m hostile [CLASS...] [--seed N] [--sample N]`: tries the corpus, prints a line for each class."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hostile.case import Case, Verdict, attempt, rng

CLASSES = ("pictures", "names", "presets", "archives", "tables", "recipes", "batches", "visitors", "plugins")
SEED = 20261128
MORE = {
    "pictures": "formats",
    "names": "texts",
    "presets": "graphs",
    "archives": "unpacking",
    "tables": "sheets",
    "recipes": "learning",
    "batches": "places",
    "visitors": "events",
    "plugins": "components",
}
"""Class -> the module of its second half."""


def cases(group: str, seed: int = SEED) -> list[Case]:
    """All cases of a class."""
    found: list[Case] = importlib.import_module(f"hostile.{group}").cases(seed)
    found = [*found, *importlib.import_module(f"hostile.{MORE[group]}").cases()]
    names = [c.name for c in found]
    twice = {n for n in names if names.count(n) > 1}
    assert not twice, f"{group}: two cases have one name: {twice}"
    return found


def prepare() -> None:
    """Import what the cases need, once: each is a fork of this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # no threads before a fork
    for name in ("numpy", "pandas", "PIL.Image", "onnxruntime", "h5py", "rich.console", "rich.table", "facefeat.cli"):
        importlib.import_module(name)
    from PIL import Image

    Image.init()
    from facefeat.cli import COMMANDS

    for name in ("predict", "data", "recipes", "presets", "plugins"):
        COMMANDS[name].load()


def try_all(group: str, seed: int = SEED, sample: int = 0) -> Iterator[Verdict]:
    """The verdicts of a class, or of some of its cases."""
    found = cases(group, seed)
    if sample:
        found = rng(seed, group).sample(found, min(sample, len(found)))
    if group == "visitors":
        from hostile.visitors import try_visitors

        yield from try_visitors(found)
        return
    with tempfile.TemporaryDirectory(prefix="hostile-") as root:
        for number, case in enumerate(found):
            folder = Path(root) / str(number)
            folder.mkdir()
            yield attempt(case, folder)
            _remove(folder)


def _remove(folder: Path) -> None:
    import shutil

    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Try the classes; 1 where a case failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("classes", nargs="*", default=CLASSES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sample", type=int, default=0, help="of each class, so many cases")
    given = parser.parse_args()
    prepare()
    total = failed = 0
    print(f"{'class':10} {'tried':>6} {'failed':>6} {'seconds':>8} {'longest':>8} {'MB':>6}", flush=True)
    for group in given.classes:
        began, verdicts = time.monotonic(), []
        for verdict in try_all(group, given.seed, given.sample):
            verdicts.append(verdict)
            if verdict.fault:
                print(f"  {group}/{verdict.case.name}: {verdict.fault}", flush=True)
        bad = sum(bool(v.fault) for v in verdicts)
        longest, peak = max(v.seconds for v in verdicts), max(v.megabytes for v in verdicts)
        seconds = time.monotonic() - began
        print(f"{group:10} {len(verdicts):6} {bad:6} {seconds:8.0f} {longest:8.1f} {peak:6}", flush=True)
        total, failed = total + len(verdicts), failed + bad
    print(f"{'all':10} {total:6} {failed:6}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
