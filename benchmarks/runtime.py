"""What the runtime costs, compared with another version: `python benchmarks/runtime.py PHOTOS... [--before PYTHON]`.

PHOTOS: files, or folders with .jpg; of several folders the pictures are mixed. --before: the Python of an environment
with that other version (`git worktree add before 982ba61`, and `pip install './before[demo,batch]'` in it). Both take
turns in one run, each as whole processes with its own defaults, and the medians are printed: seconds of processor time,
which a busy machine changes least, wall time, and the peak of memory. --only start,crops,batch,memory,labels,demo,size
measures some alone. On Linux and macOS.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from measured import Cost, in_turn, machine

ROOT = Path(__file__).resolve().parent.parent
PORTRAIT = ROOT / "docs" / "assets" / "portrait.jpg"
LABELLED = 69
"""Photos whose labels are compared."""
WAIT = 300
"""Seconds until a demo that does not answer is given up."""

COMPILE = """
import compileall, sysconfig
compileall.compile_dir(sysconfig.get_path("purelib"), quiet=2)
"""
# As pip does and uv does not: the first start would else count the compilation of TensorFlow.

CROPS = """
import json, os, sys, time
import numpy as np
from facefeat import FaceFeatureModel
model = FaceFeatureModel.from_preset()
crops = np.random.default_rng(0).integers(0, 256, (64, model.image_size, model.image_size, 3), dtype="uint8")
model.predict_faces(crops), model.predict_faces(crops)
taken = []
for _ in range(5):
    before = time.process_time()
    model.predict_faces(crops)
    taken.append(time.process_time() - before)
print(json.dumps(sorted(taken)[2]))
"""
AGAIN = """
import os, runpy, sys
if os.path.exists(sys.argv[-1]):
    os.remove(sys.argv[-1])
runpy.run_module("facefeat", run_name="__main__")
"""
MEMORY = """
import json, resource, sys
from facefeat.batch import run_batch
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
early = []
def progress(done, total):
    if done >= total / 10 and not early:
        early.append(peak())
run_batch(sys.argv[1], sys.argv[2], overwrite=True, progress=progress)
print(json.dumps([early[0], peak()]))
"""
READ = """
import json, sys
from facefeat import FaceFeatureModel
model = FaceFeatureModel.from_preset(detector="mtcnn")
rows = []
for result in model.predict(json.load(open(sys.argv[1]))):
    rows.append([[[list(map(float, f.face.box)), float(f.face.score), f.face.landmarks.tolist()],
                  {n: [a.label, {k: float(v) for k, v in a.probabilities.items()}]
                   for n, a in f.attributes.items()}] for f in result.faces])
print(json.dumps(rows))
"""
AGAIN_AT = """
import json, sys
from importlib.util import find_spec
import numpy as np
from facefeat import FaceFeatureModel
from facefeat.image.align import align_face, open_image
from facefeat.networks.postprocess import face_result
from facefeat.networks.runtime import RuntimeOptions
from facefeat.types import Face
model = FaceFeatureModel.from_preset(runtime=RuntimeOptions("keras" if find_spec("tensorflow") else "auto"))
rows = []
for photo, found in zip(*json.load(open(sys.argv[1]))):
    image, faces = open_image(photo), [Face(tuple(b), s, np.float32(m)) for (b, s, m), _ in found]
    crops = [align_face(image, f, model.alignment, model.image_size) for f in faces]
    batch = model.predict_faces(np.stack(crops), faces) if crops else None
    rows.append([])
    for (where, _), row in zip(found, range(len(faces))):
        read = face_result(faces[row], batch, row).attributes
        rows[-1].append([where, {n: [a.label, {k: float(v) for k, v in a.probabilities.items()}]
                                 for n, a in read.items()}])
print(json.dumps(rows))
"""
# The weights of the preset have changed since: so today's read what the version before found, in the whole photo, on
# TensorFlow where it is installed.
ASK = """
import sys
from gradio_client import Client, handle_file
_, numbers = Client(sys.argv[1], verbose=False).predict(handle_file(sys.argv[2]), api_name="/classify")
assert numbers["faces"], numbers
"""


@dataclass(frozen=True)
class Side:
    """An environment to measure: its Python."""

    python: str

    def facefeat(self, *words: str) -> list[str]:
        """A command of its facefeat."""
        return [self.python, "-m", "facefeat", *words]

    def run(self, code: str, *words: str) -> str:
        """What a program prints; ends this one where that fails."""
        done = subprocess.run([self.python, "-c", code, *words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{self.python}: {done.stderr[-2000:]}")
        return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--before", help="Python of an environment with another version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=500, help="of a batch; ten times as many for its memory")
    parser.add_argument("--only", help="these alone, with commas")
    args = parser.parse_args()
    photos = mixed(args.photos)
    sides = {"now": Side(sys.executable)} | ({"before": Side(args.before)} if args.before else {})
    with tempfile.TemporaryDirectory() as made:
        parts: dict[str, Callable[[], Iterator[str]]] = {
            "start": lambda: start(sides, args.rounds),
            "crops": lambda: crops(sides, args.rounds),
            "batch": lambda: batch(sides, photos, args.pictures, Path(made), min(3, args.rounds)),
            "memory": lambda: memory(sides["now"], photos, args.pictures, Path(made)),
            "labels": lambda: labels(sides, list(dict.fromkeys(photos))[:LABELLED], Path(made)),
            "demo": lambda: demo(sides, min(3, args.rounds)),
            "size": lambda: size(Path(made)),
        }
        wanted = args.only.split(",") if args.only else list(parts)
        if unknown := set(wanted) - set(parts):
            parser.error(f"no such part: {', '.join(sorted(unknown))}. Valid: {', '.join(parts)}.")
        machine()
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for side in sides.values():
            side.run(COMPILE)
        print(f"{len(set(photos)):,} photos" + (f"; before: facefeat of {args.before}" if args.before else ""))
        print("what | now | before | now / before")
        for name in wanted:
            for row in parts[name]():
                print(row, flush=True)


def mixed(given: list[Path]) -> list[str]:
    """One photo of each folder in turn; those of a smaller folder come again."""
    folders = [sorted(g.rglob("*.jpg")) if g.is_dir() else [g] for g in given]
    return [str(f[i % len(f)].resolve()) for i in range(max(map(len, folders))) for f in folders]


def figures(what: str, found: dict[str, Cost], per: int = 1) -> Iterator[str]:
    """A row each for processor time, wall time and memory. per: so many pictures the times are divided by."""
    unit = "ms a photo" if per > 1 else "s"
    factor = 1000 / per if per > 1 else 1.0
    for name, attribute in (("processor time", "processor"), ("wall time", "wall")):
        yield row(f"{what}, {name}", {s: factor * getattr(c, attribute) for s, c in found.items()}, unit)
    yield row(f"{what}, peak memory", {s: c.peak for s, c in found.items()}, "MB")


def row(what: str, values: dict[str, float], unit: str) -> str:
    """One line of the table."""
    said = {s: f"{v:.2f} {unit}" if v < 10 else f"{v:,.0f} {unit}" for s, v in values.items()}
    ratio = f"{values['now'] / values['before']:.3f}" if "before" in values else ""
    return f"{what} | {said['now']} | {said.get('before', '')} | {ratio}"


def start(sides: dict[str, Side], rounds: int) -> Iterator[str]:
    """`facefeat predict` on one photo, from a cold start."""
    found = in_turn({s: side.facefeat("predict", str(PORTRAIT)) for s, side in sides.items()}, rounds)
    yield from figures("`facefeat predict` on one photo", found)


def crops(sides: dict[str, Side], rounds: int) -> Iterator[str]:
    """Crops a second of processor time, in batches of 64."""
    taken: dict[str, list[float]] = {s: [] for s in sides}
    for _ in range(rounds):
        for s, side in sides.items():
            taken[s].append(float(json.loads(side.run(CROPS).splitlines()[-1])))
    rates = {s: 64 / statistics.median(t) for s, t in taken.items()}
    yield row("crops classified in a second of processor time, batches of 64", rates, "")


def batch_command(side: Side, photos: list[str], count: int, folder: Path) -> list[str]:
    """Reads `count` photos, the same ones again where there are fewer, to an output that is written anew each time."""
    listed = folder / f"{count}.txt"
    listed.write_text("\n".join(photos[i % len(photos)] for i in range(count)), "utf-8")
    return [side.python, "-c", AGAIN, "batch", str(listed), "-o", str(folder / "faces.parquet")]


def batch(sides: dict[str, Side], photos: list[str], count: int, folder: Path, rounds: int) -> Iterator[str]:
    """`facefeat batch` over many photos."""
    commands = {s: batch_command(side, photos, count, folder) for s, side in sides.items()}
    yield from figures(f"`facefeat batch` on {count:,} photos", in_turn(commands, rounds, warmup=False), count)


def memory(side: Side, photos: list[str], count: int, folder: Path) -> Iterator[str]:
    """How far the peak of one run over ten times as many photos grows after the first `count`."""
    _, _, _, *words = batch_command(side, photos, 10 * count, folder)
    early, late = json.loads(side.run(MEMORY, words[1], words[-1]).splitlines()[-1])
    yield row(f"`facefeat batch`, peak memory for {10 * count:,} photos", {"now": late}, "MB")
    yield row(f"growth of that from {count:,} photos", {"now": late - early}, "MB")


def labels(sides: dict[str, Side], photos: list[str], folder: Path) -> Iterator[str]:
    """Whether today's weights say the same of faces found and cut as before, by the detector `mtcnn`, and as now."""
    listed = folder / "labelled.json"
    listed.write_text(json.dumps(photos), "utf-8")
    read = {s: json.loads(side.run(READ, str(listed)).splitlines()[-1]) for s, side in sides.items()}
    faces = {s: sum(map(len, rows)) for s, rows in read.items()}
    yield f"faces found by `mtcnn` in {len(photos)} photos | {faces['now']} | {faces.get('before', '')} |"
    if "before" not in read:
        return
    listed.write_text(json.dumps([photos, read["before"]]), "utf-8")
    before = json.loads(sides["now"].run(AGAIN_AT, str(listed)).splitlines()[-1])
    pairs = [(a, b) for x, y in zip(read["now"], before, strict=True) for a, b in zip(x, y, strict=False)]
    said = [(ours[n], its[n]) for (_, ours), (_, its) in pairs for n in ours]
    equal = sum(a[0] == b[0] for a, b in said)
    most = max((abs(a[1][k] - b[1][k]) for a, b in said for k in a[1]), default=0.0)
    yield f"labels of these that are equal | {equal} of {len(said)} | |"
    yield f"largest difference of a probability | {most:.4f} | |"


def demo(sides: dict[str, Side], rounds: int) -> Iterator[str]:
    """From the start of `facefeat demo` to its answer to one photo."""
    found: dict[str, list[Cost]] = {s: [] for s in sides}
    for _ in range(rounds):
        for s, side in sides.items():
            found[s].append(first_answer(side))
    yield from figures("the demo, from its start to the first answer", {s: Cost.median(c) for s, c in found.items()})


def first_answer(side: Side) -> Cost:
    """The demo's own cost until it has answered; the client runs in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    began = time.perf_counter()
    process = subprocess.Popen(
        side.facefeat("demo", "--port", str(port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            with suppress(OSError), urllib.request.urlopen(url, timeout=5):
                break
            if process.poll() is not None or time.perf_counter() - began > WAIT:
                sys.exit(f"{side.python}: the demo did not start")
            time.sleep(0.1)
        subprocess.run([side.python, "-c", ASK, url, str(PORTRAIT)], check=True, capture_output=True)
        wall = time.perf_counter() - began
    finally:
        process.terminate()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


def size(folder: Path) -> Iterator[str]:
    """A fresh environment with `pip install .`, which compiles bytecode, too; its largest packages."""
    place = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    install = (
        ["uv", "pip", "install", "--compile-bytecode"]
        if shutil.which("uv")
        else [sys.executable, "-m", "pip", "install"]
    )
    python = ["--python", str(place / "bin" / "python")]
    command = [*install, *python, str(ROOT)] if install[0] == "uv" else [*install[:3], *python, "install", str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (packages,) = place.glob("lib/python*/site-packages")
    sizes = {p.name: weight(p) for p in packages.iterdir()}
    yield row("a fresh environment of `pip install .`", {"now": weight(place) / 1e6}, "MB")
    compiled = sum(p.stat().st_size for p in place.rglob("*.pyc"))
    yield row("of which bytecode, which Python would else write at each first import", {"now": compiled / 1e6}, "MB")
    for name, used in islice(sorted(sizes.items(), key=lambda item: -item[1]), 8):
        yield row(f"of which `{name}`", {"now": used / 1e6}, "MB")


def weight(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files if p.is_file() and not p.is_symlink())


if __name__ == "__main__":
    main()
