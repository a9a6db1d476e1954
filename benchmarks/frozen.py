"""What training on a frozen backbone costs: `python benchmarks/frozen.py [CROPS] [--epochs 4] [--size 224]`.

The recipe `fairface-vggface` (VGG-Face, here with random weights, which cost what trained ones cost) on made crops. Its
backbone reads every crop once, before the first epoch; later epochs are dense layers alone. Wants an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measured import machine

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Clock:
    """A reporter of a run: when it began, and when each epoch ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def started(self, epochs: int, first_epoch: int, batches: int) -> None:
        self.times.append(time.perf_counter())

    def batch(self, epoch: int, done: int, loss: float) -> None:
        pass

    def epoch(self, record: Any) -> None:
        self.times.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Of each epoch; the first with all that came before it."""
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


def made(folder: Path, count: int, size: int) -> Path:
    """A CSV of `count` pictures of noise with labels of FairFace, an eighth of them to choose on."""
    import numpy as np
    from PIL import Image

    from facefeat.schema import get_schema

    rng, schema = np.random.default_rng(0), get_schema("fairface")
    rows = [",".join(["file", "split", *schema.attributes])]
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype="uint8")).save(folder / f"{i}.jpg", quality=80)
        labels = [str(rng.choice(a.classes)) for a in schema.attributes.values()]
        rows.append(",".join([f"{i}.jpg", "train" if i % 8 else "val", *labels]))
    table = folder / "faces.csv"
    table.write_text("\n".join(rows) + "\n", "utf-8")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", nargs="?", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    args = parser.parse_args()
    packages = ("facefeat", "keras", "tensorflow", "numpy")
    machine(*packages)

    from facefeat import FaceFeatureModel
    from facefeat.data import load_dataset
    from facefeat.training import load_recipe

    recipe = load_recipe("fairface-vggface").replace(
        backbone={"name": "vggface", "config": {"weights": None}}, image_size=args.size, epochs=args.epochs, patience=0
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FACEFEAT_CACHE"] = str(Path(folder) / "cache")  # features of an earlier run would be used again
        dataset = load_dataset(made(Path(folder), args.crops, args.size), schema="fairface")
        train, val = dataset.split("train"), dataset.split("val")
        for part in (train, val):
            part.crops(args.size)  # decoded before the clock runs
        FaceFeatureModel.from_recipe(recipe).fit(train, val, recipe, reporter=clock)
    first, *later = clock.seconds()
    print(f"{len(train.table):,} made crops to train on, {len(val.table):,} to choose on, {args.size} pixels")
    print("what | value")
    print(f"the features of every crop, and the first epoch | {first:.1f} s")
    print(f"a later epoch, median of {len(later)} | {statistics.median(later):.2f} s")
    print(f"so the first takes as long as | {first / statistics.median(later):,.0f} later ones")


if __name__ == "__main__":
    main()
