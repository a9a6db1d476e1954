"""Memory over a long time: `python benchmarks/soak.py demo|batch [--seconds 600] [--visitors 30] [--pictures 20000]`.

`demo`: so many visitors at once send photos to a page in a process of its own, each with a session that it ends and
opens again. `batch`: one `facefeat batch` of many pictures. Every 15 s the resident memory of the process is read; flat
is where the last third does not lie above the middle one. Prints a line for each reading, then one for the result.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PORTRAIT = ROOT / "docs" / "assets" / "portrait.jpg"
EVERY = 15.0
"""Seconds between two readings."""


def resident(process: int) -> float:
    """Megabytes that a process holds."""
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def watch(process: int, going: Callable[[], bool], note: Callable[[], str]) -> list[float]:
    """Read the memory as long as something goes on, and print it."""
    found, began = [], time.monotonic()
    while going():
        with contextlib.suppress(OSError, StopIteration):
            found.append(resident(process))
            print(f"{time.monotonic() - began:6.0f} s  {found[-1]:7.0f} MB  {note()}", flush=True)
        time.sleep(EVERY)
    return found


def say(found: list[float]) -> None:
    """Print how the memory went, by thirds of the time."""
    third = max(1, len(found) // 3)
    thirds = [statistics.mean(found[i * third : (i + 1) * third] or found[-1:]) for i in range(3)]
    shown = ", ".join(f"{value:.0f} MB" for value in thirds)
    print(f"memory by thirds of the time: {shown}; highest {max(found):.0f} MB")


def demo(seconds: float, visitors: int) -> None:
    """Visitors at once, each with one photo after the other."""
    sys.path.insert(0, str(ROOT / "tests"))
    from hostile.visitors import photo, running

    data = PORTRAIT.read_bytes()
    with running(every=5, after=60) as page:  # uploads wait a few seconds where so many come at once
        page.classify(photo(page.upload(data, "a.jpg")))
        until, done, failed = time.monotonic() + seconds, [0] * visitors, [0] * visitors

        def visit(number: int) -> None:
            while time.monotonic() < until:
                try:
                    done[number] += "complete" in page.classify(photo(page.upload(data, "a.jpg")))
                except Exception:  # noqa: BLE001 - counted
                    failed[number] += 1

        threads = [threading.Thread(target=visit, args=(n,), daemon=True) for n in range(visitors)]
        for thread in threads:
            thread.start()
        found = watch(
            page.process, lambda: time.monotonic() < until, lambda: f"{sum(done)} answers, {sum(failed)} failed"
        )
        for thread in threads:  # what was asked in time is answered before the page ends
            thread.join(60)
    print(f"{visitors} visitors, {seconds:.0f} s: {sum(done)} answers, {sum(failed)} failed")
    say(found)


def batch(seconds: float, pictures: int, small: bool) -> None:
    """One run of many pictures, for some time at most. small: crops of 64 pixels, without a detector."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "facefeat", "batch", "l.txt", "-o", "out.parquet"]
        picture = PORTRAIT
        if small:
            picture = Path(folder) / "a.png"
            Image.open(PORTRAIT).crop((183, 64, 266, 171)).resize((64, 64)).save(picture)
            command += ["--detector", "whole-image"]
        (Path(folder) / "l.txt").write_text(f"{picture}\n" * pictures)
        with subprocess.Popen(command, cwd=folder, env={**os.environ, "FACEFEAT_CACHE": folder}) as process:
            until = time.monotonic() + seconds
            parts = Path(folder) / "out.parquet.parts"

            def note() -> str:
                ends = [int(p.stem.rsplit("-", 1)[1]) for p in parts.glob("part-*")]
                return f"{64 * (max(ends) + 1) if ends else 0} pictures kept"

            found = watch(process.pid, lambda: process.poll() is None and time.monotonic() < until, note)
            process.terminate()
    say(found)


def main() -> None:
    """Soak what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["demo", "batch"])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--small", action="store_true", help="of batch: small crops, without a detector")
    given = parser.parse_args()
    if given.what == "demo":
        demo(given.seconds, given.visitors)
    else:
        batch(given.seconds, given.pictures, given.small)


if __name__ == "__main__":
    main()
