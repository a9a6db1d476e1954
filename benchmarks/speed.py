"""Speed and size of the default preset: `python benchmarks/speed.py [FOLDER OF PHOTOS]`. Wants an idle machine.

Prints the machine and versions, then one row per figure of docs/benchmarks.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def median_seconds(run: Callable[[], object], times: int = 5) -> float:
    """Median wall time of `times` runs after one that is not counted."""
    run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def process_seconds(*command: str) -> float:
    """Median wall time of a command as a whole process."""
    return median_seconds(lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True))


def main() -> None:
    packages = ("facefeat", "keras", "tensorflow", "numpy", "pillow")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(f"{p} {version(p)}" for p in packages))
    print(f"python -c 'import facefeat', less bare Python | {_import_seconds() * 1000:.0f} ms")
    print(f"facefeat --help | {process_seconds('-m', 'facefeat', '--help'):.2f} s")

    import numpy as np

    from facefeat import FaceFeatureModel
    from facefeat.image import open_image

    model = FaceFeatureModel.from_preset()
    crops = np.random.default_rng(0).integers(0, 256, (64, 96, 96, 3), dtype="uint8")
    many = np.concatenate([crops] * 8)
    print(f"parameters | {model.parameters:,}")
    print(f"crops/s, batch 64 | {64 / median_seconds(lambda: model.predict_faces(crops), 15):.0f}")
    print(f"crops/s, 512 crops | {512 / median_seconds(lambda: model.predict_faces(many)):.0f}")
    print(f"one crop | {1000 * median_seconds(lambda: model.predict_faces(crops[:1]), 20):.1f} ms")
    for folder in sys.argv[1:]:
        for path in sorted(Path(folder).glob("*.jpg")):
            height, width = open_image(path).shape[:2]
            seconds = median_seconds(lambda p=path: model.predict(p))
            faces = len(model.predict(path).faces)
            print(f"{path.name}, {width} x {height}, read to labels | {seconds:.2f} s, faces found {faces}")


def _import_seconds() -> float:
    return process_seconds("-c", "import facefeat") - process_seconds("-c", "pass")


if __name__ == "__main__":
    main()
