"""Speed and size of the default preset: `python benchmarks/speed.py [PHOTO|FOLDER...] [--rounds 5]`.

Wants an idle machine. Prints the machine and versions, then one row per figure of
docs/benchmarks.md, then the cold start of every command.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measured import in_turn, machine

ROUNDS, BATCH, FRAMES = 5, 64, 500


def median_seconds(run: Callable[[], object], times: int = ROUNDS) -> float:
    """Median wall time of `times` runs after one that is not counted."""
    return timed(run, times)[0]


def timed(run: Callable[[], object], times: int = ROUNDS) -> tuple[float, float]:
    """Medians of the wall and the processor time of `times` runs after one that is not counted."""
    run()
    taken = []
    for _ in range(times):
        start, used = time.perf_counter(), time.process_time()
        run()
        taken.append((time.perf_counter() - start, time.process_time() - used))
    wall, processor = (statistics.median(column) for column in zip(*taken, strict=True))
    return wall, processor


def process_seconds(*command: str, times: int = ROUNDS) -> float:
    """Median wall time of a command as a whole process."""
    return median_seconds(lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True), times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--commands", help="time the start of these alone, with commas")
    args = parser.parse_args()
    machine()
    print("what | value | by processor time")
    bare, ours = (process_seconds("-c", code, times=args.rounds) for code in ("pass", "import facefeat"))
    print(f"`import facefeat`, beyond bare Python | {1000 * (ours - bare):.0f} ms")
    seconds = process_seconds("-m", "facefeat", "--help", times=args.rounds)
    print(f"`facefeat --help`, whole process | {seconds:.2f} s", flush=True)
    for name, *values in [*of_the_model(args.rounds), *of_photos(args.photos, args.rounds)]:
        print(f"{name} | {' | '.join(values)}")
    print("\nwhole process, cold | seconds | of the processor | peak memory, MB", flush=True)
    for name, *values in starts(args.commands.split(",") if args.commands else [], args.rounds):
        print(f"{name} | {' | '.join(values)}", flush=True)


def of_the_model(rounds: int) -> Iterator[tuple[str, ...]]:
    """Its size, and what it does a second; of a decoder, where there is one, too."""
    import numpy as np

    from facefeat import FaceFeatureModel
    from facefeat.presets.store import find_preset

    model = FaceFeatureModel.from_preset()
    size = model.image_size
    crops = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype="uint8")

    def rates(what: str, run: Callable[[], object], times: int) -> tuple[str, ...]:
        return (what, *(f"{BATCH / t:.0f}" for t in timed(run, times)))

    yield "parameters of the default classifier", f"{model.parameters:,}"
    files = [p for p in find_preset(None).rglob("*") if p.is_file()]
    yield "preset on disk", f"{sum(p.stat().st_size for p in files) / 1e6:.1f} MB"
    yield rates(f"crops classified a second, batches of {BATCH}", lambda: model.predict_faces(crops), 3 * rounds)
    one = timed(lambda: model.predict_faces(crops[:1]), 4 * rounds)
    yield "one crop", *(f"{1000 * t:.1f} ms" for t in one)
    yield rates(f"crops encoded a second, batches of {BATCH}", lambda: model.encode(crops), 3 * rounds)
    if not model.has_decoder:
        return
    latents = model.encode(crops)
    yield rates(f"faces decoded a second, batches of {BATCH}", lambda: model.decode(latents), rounds)
    for what, residual in (("", False), (", with the residual", True)):
        # The frames are made at first use, so each run makes a morph of its own.
        taken = timed(lambda r=residual: model.morph_faces(crops[:2], steps=FRAMES, residual=r).frames, rounds)  # type: ignore[misc]
        yield f"{FRAMES} morph frames of {size} pixels{what}", *(f"{t:.2f} s" for t in taken)


def of_photos(given: list[Path], rounds: int) -> Iterator[tuple[str, ...]]:
    """From file to labels. given: files, or folders of .jpg."""
    from facefeat import FaceFeatureModel

    model = FaceFeatureModel.from_preset()
    for path in [p for g in given for p in (sorted(g.glob("*.jpg")) if g.is_dir() else [g])]:
        taken = timed(lambda p=path: model.predict(p), rounds)  # type: ignore[misc]
        result = model.predict(path)
        width, height = result.size
        pixels = f" ({width * height / 1e6:.1f} megapixels)" if width * height > 1e7 else ""
        found = "" if len(result.faces) == 1 else f", {len(result.faces)} faces"
        yield f"photo of {width} x {height} pixels{pixels}, from file to labels{found}", *(f"{t:.2f} s" for t in taken)


def starts(only: list[str], rounds: int) -> Iterator[tuple[str, ...]]:
    """Each command from its start to its help; then `predict` on one crop, on Keras and on ONNX Runtime."""
    import numpy as np
    from PIL import Image

    from facefeat.cli import COMMANDS

    def took(*command: str) -> tuple[str, ...]:
        used = in_turn({"now": [sys.executable, "-m", "facefeat", *command]}, rounds)["now"]
        return f"{used.wall:.2f}", f"{used.processor:.2f}", f"{used.peak:.0f}"

    for name in only or COMMANDS:
        yield f"`facefeat {name} --help`", *took(name, "--help")
    with tempfile.TemporaryDirectory() as folder:
        crop = str(Path(folder) / "crop.png")
        pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype="uint8")
        Image.fromarray(pixels).save(crop)
        command = ["predict", crop, "--detector", "whole-image"]
        what = "`facefeat predict --runtime keras` on one crop"
        if importlib.util.find_spec("tensorflow") is None:
            yield what, "not measured: tensorflow is not installed"
        else:
            yield what, *took(*command, "--runtime", "keras")
        yield "`facefeat predict` on one crop (the limit is 1.5)", *took(*command)
        heavy = frameworks(*command)
        yield "of the frameworks, it imports", ", ".join(heavy) or "none"


def frameworks(*command: str) -> list[str]:
    """Which of the large packages a command imports."""
    script = (
        "import sys; from facefeat.cli import run; run(sys.argv[1:]); "
        "print(*{'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], check=True, capture_output=True, text=True)
    return sorted(done.stderr.splitlines()[-1].split())


if __name__ == "__main__":
    main()
