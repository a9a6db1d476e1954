"""What the benchmarks share: the machine and versions of a figure, and what a command costs as a whole process."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The programs that are measured start their frameworks quietly.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_FROM = "facefeat", "keras", "tensorflow", "onnxruntime", "numpy", "pillow"


def machine(*packages: str, out: Callable[..., object] = print) -> None:
    """Print the machine, and the versions of those of the packages that are installed."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    out(f"{os.cpu_count()} cores, {platform.machine()}{load}, Python {platform.python_version()}", flush=True)
    found = []
    for name in packages or _FROM:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    out(", ".join(found), flush=True)


@dataclass(frozen=True)
class Cost:
    """Of one process and those that it waited for: seconds of processor and wall time, the largest one's peak in MB."""

    processor: float
    wall: float
    peak: float

    @classmethod
    def median(cls, costs: Sequence[Cost]) -> Cost:
        """The median of each figure."""
        return cls(*(statistics.median(getattr(c, n) for c in costs) for n in ("processor", "wall", "peak")))


_SMALL = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
wall = time.perf_counter() - began
with open(sys.argv[1], "w") as file:
    json.dump([process.returncode, used.ru_utime + used.ru_stime, wall, used.ru_maxrss], file)
"""
# A process counts the memory of the one that starts it into its own peak: this one is small.


def cost(command: Sequence[str]) -> Cost:
    """What a command costs as a whole process; ends this program where it fails. On Linux and macOS."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        found = Path(folder) / "cost.json"
        starter = [sys.executable, "-S", "-c", _SMALL, str(found), *command]
        subprocess.run(starter, stdout=said, stderr=subprocess.STDOUT, check=True)
        status, processor, wall, peak = json.loads(found.read_text("utf-8"))
        if status:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {status}\n{said.read()[-2000:]}")
    return Cost(processor, wall, peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def in_turn(sides: Mapping[str, Sequence[str]], rounds: int, warmup: bool = True) -> dict[str, Cost]:
    """Side -> the medians of what its command costs. The sides take turns, so that a slower hour slows all of them."""
    if warmup:
        for command in sides.values():
            cost(command)
    found: dict[str, list[Cost]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, command in sides.items():
            found[side].append(cost(command))
    return {side: Cost.median(costs) for side, costs in found.items()}
