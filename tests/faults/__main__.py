"""`python -m faults [OPERATION...] [--kills N] [--seed N]`: prints a line for each operation.

Each operation (batch, save, index, export, train) is run whole once, as a program of its own; then killed by kill -9 at
random moments and run again, as a user would: every third time killed once more. What comes out must be what the whole
run gave, and nothing may be left beside it. Then: a disk that fills up, a folder that cannot be written, two writers at
once, files from the future (a clock that was set back). Runs are forks of one process that has imported what they need.

As root of its own mounts the full disk is a small tmpfs and the folder a read-only one; for others a limit of each
file's size and a folder of /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from faults.starter import Started, Starter
from hostile.pictures import encoded
from made import squares

SEED = 20261128
FULL = (0.02, 0.3, 0.6, 0.9)
"""Of the bytes that a whole run writes, how many the disk that fills up has left."""
LIMIT = 10_000
"""Bytes that a file may have, where no disk can be made: every operation writes more."""
_SAVE = """
import sys
from facefeat import FacefeatError, FaceFeatureModel
try:
    FaceFeatureModel.from_preset().save({output!r})
except FacefeatError as e:
    sys.exit(f"facefeat: {{e}}")
"""
_PRESET = """
from facefeat import FaceFeatureModel
from facefeat.training import load_recipe
FaceFeatureModel.from_recipe(load_recipe("r.toml")).save("small")
"""
_RECIPE = """
image_size = 32
backbone = { name = "compact", config = { widths = [8, 8], blocks = [1, 1], stem = 8 } }
head = { name = "mlp", config = { trunk = [] } }
train = { epochs = 4, batch_size = 12, mixed_precision = "float32" }
"""


@dataclass(frozen=True)
class Operation:
    """prepare: writes the input into the working folder. command: of `facefeat`, or `-c` and a program; it writes
    `output`, a name. resume: words that continue a stopped run. ours: what else stays. digest: of what came out.
    modules: that are imported before it is forked; none that starts a thread.
    """

    name: str
    prepare: Callable[[Path], object]
    command: tuple[str, ...]
    output: str
    resume: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    digest: Callable[[Path], str] = lambda path: tree(path)
    modules: tuple[str, ...] = ()

    def resumed(self, folder: Path) -> tuple[str, ...]:
        """The command that goes on in a folder where a run was stopped."""
        going = self.name != "train" or (folder / self.output / "checkpoint.npz").exists()
        return (*self.command, *(self.resume if going else ()))


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


@functools.cache
def _made() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="faults-preset-")
    (Path(folder.name) / "r.toml").write_text(_RECIPE)
    subprocess.run([sys.executable, "-c", _PRESET], cwd=folder.name, check=True, stderr=subprocess.DEVNULL)
    return folder


def preset(folder: Path) -> None:
    """The preset of a small network: the bundled one's takes half a minute to be exported."""
    shutil.copytree(Path(_made().name) / "small", folder / "small")


WHOLE = ("--detector", "whole-image")
QUICK = ("numpy", "PIL.Image", "facefeat.cli")
KERAS = (*QUICK, "tensorflow", "tf2onnx", "tf2onnx.convert", "onnx")
OPERATIONS = {
    o.name: o
    for o in (
        Operation("batch", photos, ("batch", "photos", *WHOLE, "-o", "out.parquet"), "out.parquet", ("--resume",),
                  ("out.parquet.parts", ".out.parquet.lock"), table,
                  (*QUICK, "pyarrow.parquet", "pyarrow.dataset", "fsspec", "facefeat.batch.run")),
        Operation("save", lambda f: None, ("-c", _SAVE.format(output="out")), "out", modules=QUICK),
        Operation("index", faces, ("index", "data/faces.csv", "-o", "out"), "out", (), ("out.part",), rows,
                  (*QUICK, "pyarrow.dataset")),
        Operation("export", preset, ("export", "--preset", "small", "-o", "out.onnx"), "out.onnx", digest=answers,
                  modules=KERAS),
        Operation("train", faces, ("train", "--recipe", "r.toml", "--data", "data/faces.csv", "-o", "out"), "out",
                  ("--resume",), digest=weights, modules=KERAS),
    )
}  # fmt: skip


class Fault(Exception):
    """What went wrong."""


@dataclass
class Trial:
    """An operation, its starter, a folder for all its trials, and what the whole run gave: seconds, bytes, digest."""

    operation: Operation
    starter: Starter
    root: Path
    chance: random.Random
    seconds: float = 0.0
    written: int = 0
    good: str = ""

    def fresh(self, name: str) -> Path:
        """A folder with the input."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        self.operation.prepare(folder)
        return folder

    def start(self, folder: Path, command: tuple[str, ...] = (), limit: int | None = None, log: str = "log") -> Started:
        """A run begins in a folder. limit: bytes of a file."""
        return self.starter.start(command or self.operation.command, folder, limit, str(self.root / log))

    def run(self, folder: Path, command: tuple[str, ...] = (), limit: int | None = None) -> tuple[int, str]:
        """(exit code, output) of a run in a folder."""
        started = self.start(folder, command, limit)
        if not started.wait(900):
            started.kill()
            return -9, "ran out of time"
        assert started.code is not None
        return started.code, self.log()

    def log(self, name: str = "log") -> str:
        """What a run has said."""
        return (self.root / name).read_text("utf-8", "replace")

    def check(self, folder: Path, when: str) -> None:
        """Raises Fault where the result is another than the whole run's, or anything is left beside it."""
        if self.operation.digest(folder / self.operation.output) != self.good:
            raise Fault(f"{when}: another result")
        known = {"photos", "data", "r.toml", "small", "cache", self.operation.output, *self.operation.ours}
        if left := sorted(p.name for p in folder.iterdir() if p.name not in known):
            raise Fault(f"{when}: left behind: {left}")

    def go_on(self, folder: Path, when: str) -> None:
        """Run again up to the end, as a user would; raises Fault."""
        expect(self.run(folder, self.operation.resumed(folder)), (0,), f"{when}, run again")
        self.check(folder, f"{when}, run again")


def expect(found: tuple[int, str], codes: tuple[int, ...], what: str) -> None:
    """Raises Fault for another exit code, or a traceback."""
    code, text = found
    if code not in codes or "Traceback (most recent" in text:
        raise Fault(f"{what}: exit code {code}, wanted {codes}: {text[-400:]!r}")


def whole(trial: Trial) -> None:
    """One run as a program of its own: what it gives is right. How long it takes as a fork is measured then."""
    folder = trial.fresh("whole")
    command = trial.operation.command
    program = [sys.executable, *(command if command[0] == "-c" else ("-m", "facefeat", *command))]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "FACEFEAT_CACHE": str(folder / "cache")}
    found = subprocess.run(program, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expect((found.returncode, found.stdout.decode("utf-8", "replace")), (0,), "the whole run")
    trial.good = trial.operation.digest(folder / trial.operation.output)
    trial.check(folder, "the whole run")
    folder = trial.fresh("forked")
    before = size(folder)
    trial.start(folder).kill()  # the first one waits for the imports
    shutil.rmtree(folder)
    folder = trial.fresh("forked")
    began = time.monotonic()
    expect(trial.run(folder), (0,), "the forked run")
    trial.seconds = time.monotonic() - began
    trial.check(folder, "the forked run")
    trial.written = size(folder) - before


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def killed(trial: Trial, number: int) -> None:
    """Kill at a random moment, every third time in the second run as well; then run again up to the end."""
    output = trial.operation.output
    for attempt in range(5):
        moment = trial.chance.uniform(0.0, 1.0) * trial.seconds
        folder = trial.fresh(f"kill-{number}-{attempt}")
        started = trial.start(folder)
        if not started.wait(moment):
            break
        shutil.rmtree(folder)  # it was faster this time
    else:
        raise Fault("it always ended before it was killed")
    started.kill()
    when = f"killed after {moment:.2f} of {trial.seconds:.1f} s"
    if (folder / output).is_file() and trial.operation.digest(folder / output) != trial.good:
        raise Fault(f"{when}: a half-written {output}")
    if number % 3 == 0 and not (folder / output).is_file():
        again, moment = trial.start(folder, trial.operation.resumed(folder)), trial.chance.random() * trial.seconds
        if not again.wait(moment):
            again.kill()
            when += f", and again after {moment:.2f} s"
    if (folder / output).is_file() and trial.operation.name == "batch":
        return trial.check(folder, when)  # all was done: --resume has nothing to do, and the same command refuses
    trial.go_on(folder, when)
    shutil.rmtree(folder)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Callable[[str], bool]]:
    """A tmpfs in a folder, and a function that mounts it anew with options; it says False where nobody may mount."""
    folder.mkdir()
    may = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False).returncode == 0

    def again(options: str) -> bool:
        return may and not subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True).returncode

    try:
        yield again
    finally:
        if may:
            subprocess.run(["umount", "-l", folder], check=True)


def full_disk(trial: Trial, share: float) -> None:
    """The disk fills up; then there is room again."""
    name = f"full-{share}"
    with disk(trial.root / name) as mounted:
        folder = trial.fresh(name)
        used = sum((p.lstat().st_blocks or 8) * 512 for p in folder.rglob("*"))
        # At least two blocks short: what an export of a small network writes is hardly more than those that are added.
        room = min(int(share * trial.written) + 8192, trial.written - 8192)
        small = mounted(f"size={used + room}")
        found = trial.run(folder, limit=None if small else LIMIT)
        expect(found, (1, 2), "a full disk")
        if (folder / trial.operation.output).is_file():
            raise Fault("a full disk left a file")
        mounted("size=2g")
        trial.go_on(folder, f"a disk with room for {share:.0%}")


def no_writing(trial: Trial) -> None:
    """The output is to lie where nobody may write, not even root."""
    with disk(trial.root / "unwritable") as mounted:
        folder, output = trial.fresh("unwritable"), trial.operation.output
        command = trial.operation.command
        if not mounted("ro"):
            command = tuple(c.replace(output, f"/proc/none/{output}") for c in command)
        expect(trial.run(folder, command), (1, 2), "an unwritable folder")
        if left := [p.name for p in folder.iterdir() if p.name not in ("photos", "data", "r.toml", "small", "cache")]:
            raise Fault(f"an unwritable folder: left behind: {left}")


def two_writers(trial: Trial) -> None:
    """Two at once, to one output: one may be turned away, and the result is whole."""
    folder = trial.fresh("two")
    both = [trial.start(folder, log=f"log-{n}") for n in range(2)]
    for started in both:
        started.wait(900)
    said = [trial.log(f"log-{n}") for n in range(2)]
    if not any(b.code == 0 for b in both) or any("Traceback" in text for text in said):
        raise Fault(f"two writers: {[(b.code, text[-300:]) for b, text in zip(both, said, strict=True)]}")
    if any(b.code and not text.count("facefeat: ") for b, text in zip(both, said, strict=True)):
        raise Fault(f"two writers, one without a sentence: {said}")
    trial.check(folder, "two writers")


def from_the_future(trial: Trial) -> None:
    """Half a run, its files then dated in the future: the clock was set back. Run again, up to the end."""
    folder = trial.fresh("clock")
    started = trial.start(folder)
    if not started.wait(0.6 * trial.seconds):
        started.kill()
    later = time.time() + 400 * 86400
    for path in folder.rglob("*"):
        os.utime(path, (later, later), follow_symlinks=False)
    if not (folder / trial.operation.output).is_file():
        trial.go_on(folder, "the clock was set back")


def suffer(trial: Trial, kills: int) -> tuple[int, int]:
    """(tried, failed) of an operation under all faults; prints each failure."""
    whole(trial)
    steps: list[tuple[str, Callable[[], None]]] = [
        *(("kill", partial(killed, trial, n)) for n in range(kills)),
        *(("full disk", partial(full_disk, trial, share)) for share in FULL),
        ("unwritable", partial(no_writing, trial)),
        ("two writers", partial(two_writers, trial)),
        ("clock", partial(from_the_future, trial)),
    ]
    failed = 0
    for what, step in steps:
        try:
            step()
        except Fault as e:
            failed += 1
            print(f"  {trial.operation.name}, {what}: {e}", flush=True)
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
        began, starter = time.monotonic(), Starter(OPERATIONS[name].modules)
        with tempfile.TemporaryDirectory(prefix="faults-") as where:
            trial = Trial(OPERATIONS[name], starter, Path(where), random.Random(f"{given.seed}/{name}"))
            tried, failed = suffer(trial, given.kills)
        starter.close()
        print(f"{name:10} {tried:6} {failed:6} {time.monotonic() - began:8.0f}", flush=True)
        lost += failed
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
