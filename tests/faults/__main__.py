"""`python -m faults [OPERATION...] [--kills N] [--seed N]`: prints a line for each operation.

Each operation (batch, save, index, export, train) is run whole once; then killed by kill -9 at random moments and run
again, as a user would. What comes out must be what the whole run gave, and nothing may be left beside it. Then: a disk
that fills up, a folder that cannot be written, two writers at once, files from the future (a clock that was set back).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hostile.pictures import encoded
from made import squares

SEED = 20261128
FULL = 10_000
"""Bytes that a file may have on the disk that is full: every operation writes more."""
_SAVE = """
import sys
from facefeat import FacefeatError, FaceFeatureModel
try:
    FaceFeatureModel.from_preset().save({output!r})
except FacefeatError as e:
    sys.exit(f"facefeat: {{e}}")
"""
_RECIPE = """
image_size = 32
backbone = { name = "compact", config = { widths = [8, 8], blocks = [1, 1], stem = 8 } }
head = { name = "mlp", config = { trunk = [] } }
train = { epochs = 4, batch_size = 12, mixed_precision = "float32" }
"""


@dataclass(frozen=True)
class Operation:
    """prepare: writes the input into the working folder. command: writes `output`, a name. ours: what else stays.

    resume: words that continue a stopped run. digest: of what came out.
    """

    name: str
    prepare: Callable[[Path], object]
    command: tuple[str, ...]
    output: str
    resume: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    digest: Callable[[Path], str] = lambda path: tree(path)


def tree(path: Path) -> str:
    """A hash of a file, or of all files of a folder and their names."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return found.hexdigest()


def table(path: Path) -> str:
    """A hash of the rows of a batch. Reasons name the working folder."""
    import pyarrow.parquet as pq

    found = pq.read_table(path)
    reasons = [r is None for r in found.column("reason").to_pylist()]
    return hashlib.sha256(repr((found.drop_columns(["reason"]).to_pylist(), reasons)).encode()).hexdigest()


def answers(graph: Path) -> str:
    """A hash of what an exported graph answers: tf2onnx names its constants anew each time, whole runs too."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    crops = np.random.default_rng(0).integers(0, 256, (2, *given.shape[1:]), "uint8")
    found = [np.round(out, 3) + 0.0 for out in session.run(None, {given.name: crops})]
    return hashlib.sha256(b"".join(out.tobytes() for out in found)).hexdigest()


def weights(run: Path) -> str:
    """A hash of what a run learnt."""
    return tree(run / "preset" / "backbone.weights.h5") + tree(run / "preset" / "head.weights.h5")


def rows(index: Path) -> str:
    """How many faces an index has: LanceDB's files have names of their own each time."""
    from facefeat.index import FaceIndex

    return str(len(FaceIndex(index)))


def photos(folder: Path) -> None:
    """500 pictures, some of them bad."""
    (folder / "photos").mkdir()
    for i in range(500):
        data = encoded("png", "RGB", 24 + i % 9) if i % 50 else b"bad"
        (folder / "photos" / f"{i:04d}.png").write_bytes(data)


def faces(folder: Path) -> None:
    """48 labelled faces, and a recipe."""
    squares(folder / "data")
    (folder / "r.toml").write_text(_RECIPE)


RUN = (sys.executable, "-m", "facefeat")
WHOLE = ("--detector", "whole-image")
OPERATIONS = {
    o.name: o
    for o in (
        Operation("batch", photos, (*RUN, "batch", "photos", *WHOLE, "-o", "out.parquet"), "out.parquet", ("--resume",),
                  ("out.parquet.parts", ".out.parquet.lock"), table),
        Operation("save", lambda f: None, (sys.executable, "-c", _SAVE.format(output="out")), "out"),
        Operation("index", faces, (*RUN, "index", "data/faces.csv", "-o", "out"), "out", (), ("out.part",), rows),
        Operation("export", lambda f: None, (*RUN, "export", "-o", "out.onnx"), "out.onnx", digest=answers),
        Operation("train", faces, (*RUN, "train", "--recipe", "r.toml", "--data", "data/faces.csv", "-o", "out"), "out",
                  ("--resume",), digest=weights),
    )
}  # fmt: skip


class Fault(Exception):
    """What went wrong."""


def run(
    operation: Operation, folder: Path, *more: str, limit: int | None = None, after: float | None = None
) -> tuple[int, str]:
    """(exit code, output) of an operation in a folder. limit: bytes of a file. after: seconds until it is killed."""

    def bounded() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "FACEFEAT_CACHE": str(folder / "cache")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*operation.command, *more], cwd=folder, env=env, stdout=log, stderr=log, preexec_fn=bounded
        )
        try:
            process.wait(after if after is not None else 900)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode, (folder / "log").read_text("utf-8", "replace")


def fresh(operation: Operation, root: Path, name: str) -> Path:
    """A folder with the input of an operation."""
    folder = root / name
    folder.mkdir()
    operation.prepare(folder)
    return folder


def check_left(operation: Operation, folder: Path) -> None:
    """Raises Fault where something is left beside input, output and what stays on purpose."""
    known = {"photos", "data", "r.toml", "log", "cache", operation.output, *operation.ours}
    left = sorted(p.name for p in folder.iterdir() if p.name not in known)
    if left:
        raise Fault(f"left behind: {left}")


def expect(found: tuple[int, str], codes: tuple[int, ...], what: str) -> None:
    """Raises Fault for another exit code, or a traceback."""
    code, text = found
    if code not in codes or "Traceback (most recent" in text:
        raise Fault(f"{what}: exit code {code}, wanted {codes}: {text[-400:]!r}")


def killed(operation: Operation, root: Path, number: int, moment: float, good: str) -> None:
    """Kill at a moment, then run again, up to the end."""
    folder = fresh(operation, root, f"{operation.name}-kill-{number}")
    try:
        code, _ = run(operation, folder, after=moment)
        output = folder / operation.output
        if code == 0 and output.exists():
            return  # it was faster this time
        if output.is_file() and operation.digest(output) != good:
            raise Fault(f"killed after {moment:.1f} s: a half-written {output.name}")
        resume = operation.resume if operation.name != "train" or (output / "checkpoint.npz").exists() else ()
        expect(run(operation, folder, *resume), (0,), f"killed after {moment:.1f} s, run again")
        if operation.digest(output) != good:
            raise Fault(f"killed after {moment:.1f} s, run again: another result")
        check_left(operation, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def full_disk(operation: Operation, root: Path, good: str) -> None:
    """Files may grow to FULL bytes alone; then there is room again."""
    folder = fresh(operation, root, f"{operation.name}-full")
    before = (folder / operation.output).exists()
    found = run(operation, folder, limit=FULL)
    expect(found, (1, 2), "a full disk")
    if (folder / operation.output).is_file() != before:
        raise Fault("a full disk left a file")
    resume = operation.resume if operation.name != "train" or (folder / "out" / "checkpoint.npz").exists() else ()
    expect(run(operation, folder, *resume), (0,), "after a full disk")
    if operation.digest(folder / operation.output) != good:
        raise Fault("another result after a full disk")
    check_left(operation, folder)


def no_writing(operation: Operation, root: Path) -> None:
    """The output is to lie where nobody may write, not even root."""
    folder = fresh(operation, root, f"{operation.name}-unwritable")
    shown = [c.replace(operation.output, f"/proc/none/{operation.output}") if operation.output in c else c
             for c in operation.command]  # fmt: skip
    other = Operation(operation.name, operation.prepare, tuple(shown), operation.output)
    expect(run(other, folder), (1, 2), "an unwritable folder")
    check_left(operation, folder)


def two_writers(operation: Operation, root: Path, good: str) -> None:
    """Two at once, to one output: one may be turned away, and the result is whole."""
    folder = fresh(operation, root, f"{operation.name}-two")
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "FACEFEAT_CACHE": str(folder / "cache")}
    both = [subprocess.Popen(operation.command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(2)]  # fmt: skip
    found = [(p, p.communicate(timeout=900)[0].decode("utf-8", "replace")) for p in both]
    if not any(p.returncode == 0 for p, _ in found) or any("Traceback" in text for _, text in found):
        raise Fault(f"two writers: {[(p.returncode, text[-300:]) for p, text in found]}")
    if operation.digest(folder / operation.output) != good:
        raise Fault("two writers: another result")
    check_left(operation, folder)


def from_the_future(operation: Operation, root: Path, good: str, seconds: float) -> None:
    """Half a run, its files then dated in the future: the clock was set back. Run again, up to the end."""
    folder = fresh(operation, root, f"{operation.name}-clock")
    run(operation, folder, after=seconds * 0.7)
    later = time.time() + 400 * 86400
    for path in folder.rglob("*"):
        os.utime(path, (later, later), follow_symlinks=False)
    output = folder / operation.output
    if output.exists() and operation.name != "train":
        return
    resume = operation.resume if operation.name != "train" or (output / "checkpoint.npz").exists() else ()
    expect(run(operation, folder, *resume), (0,), "after the clock was set back")
    if operation.digest(output) != good:
        raise Fault("another result after the clock was set back")


def suffer(operation: Operation, root: Path, kills: int, chance: random.Random) -> tuple[int, int]:
    """(tried, failed) of an operation under all faults; prints each failure."""
    folder = fresh(operation, root, "whole")
    start = time.monotonic()
    expect(run(operation, folder), (0,), "the whole run")
    seconds = time.monotonic() - start
    good = operation.digest(folder / operation.output)
    check_left(operation, folder)
    moments = [chance.uniform(0.2, 1.0) * seconds for _ in range(kills)]
    steps: list[tuple[str, Callable[[], None]]] = [
        *(("kill", partial(killed, operation, root, n, m, good)) for n, m in enumerate(moments)),
        ("full disk", partial(full_disk, operation, root, good)),
        ("unwritable", partial(no_writing, operation, root)),
        ("two writers", partial(two_writers, operation, root, good)),
        ("clock", partial(from_the_future, operation, root, good, seconds)),
    ]
    failed = 0
    for what, step in steps:
        try:
            step()
        except Fault as e:
            failed += 1
            print(f"  {operation.name}, {what}: {e}", flush=True)
    return len(steps), failed


def main() -> int:
    """Run the operations; 1 where something was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("operations", nargs="*", default=list(OPERATIONS))
    parser.add_argument("--kills", type=int, default=50, help="of each operation")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    lost = 0
    print(f"{'operation':10} {'tried':>6} {'failed':>6} {'seconds':>8}", flush=True)
    for name in given.operations:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="faults-") as where:
            tried, failed = suffer(OPERATIONS[name], Path(where), given.kills, random.Random(f"{given.seed}/{name}"))
        print(f"{name:10} {tried:6} {failed:6} {time.monotonic() - began:8.0f}", flush=True)
        lost += failed
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
