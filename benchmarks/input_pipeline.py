"""Images per second into the device: facefeat's cached batches beside loading each file anew, as the original did.

    python benchmarks/input_pipeline.py UTKFace.tar [--pictures 2000] [--size 96] [--batch-size 64]

The original experiment read its pictures with Keras' `flow_from_dataframe`: every epoch opens, decodes and resizes
every file again, in one thread. This takes the same pictures, as files in a temporary folder, through

* `flow_from_dataframe` itself (Keras still carries it as a legacy class),
* the same by hand: `keras.utils.load_img` and `img_to_array`,
* `FaceDataset.crops` and `Batches`,

each until a batch is a float array on the device. Then it reads an epoch of the whole data set and shows the memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from facefeat.data import Batches, FaceDataset, load_dataset
from facefeat.data.sources import open_source

OURS = "facefeat, cached"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="UTKFace.tar, or any data set of one archive or folder")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        files = extract(args.data, Path(folder), args.pictures)
        dataset = load_dataset(Path(folder) / "faces.csv", schema="utkface")
        start = time.perf_counter()
        crops = dataset.crops(args.size, Path(folder) / "cache")
        first = len(crops) / (time.perf_counter() - start)
        batches = Batches(crops, dataset.labels(), args.batch_size)
        shape = (args.size, args.size)
        ways: dict[str, Callable[[], int]] = {
            "Keras' `flow_from_dataframe`": lambda: flow(files, shape, args.batch_size),
            "`keras.utils.load_img` in one thread": lambda: by_hand(files, shape, args.batch_size),
            OURS: lambda: cached(batches),
        }
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds):  # in turn, so that a busy moment of the machine meets all of them
            for name, way in ways.items():
                start = time.perf_counter()
                done = 0
                while done == 0 or time.perf_counter() - start < 1.0:
                    done += way()
                speeds[name].append(done / (time.perf_counter() - start))
        print(f"{len(files):,} pictures at {args.size} pixels, batches of {args.batch_size}")
        print(f"median of {args.rounds} rounds")
        print("way | images/s | least and most | facefeat is faster by")
        ours = statistics.median(speeds[OURS])
        for name, values in speeds.items():
            middle = statistics.median(values)
            faster = "" if name == OURS else f"{ours / middle:.0f}"
            print(f"{name} | {middle:,.0f} | {min(values):,.0f} to {max(values):,.0f} | {faster}")
        print(f"facefeat, decoding the first time | {first:,.0f}")
    memory(load_dataset(args.data), args.size, args.batch_size)


def machine() -> str:
    """One line on what this was measured on."""
    from PIL import __version__ as pillow

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{platform.processor() or platform.machine()}, {cores} cores{load}; Python {platform.python_version()}, Keras"
        f" {keras.__version__} on {keras.backend.backend()}, NumPy {np.__version__}, Pillow {pillow}"
    )


def extract(data: Path, folder: Path, count: int) -> list[str]:
    """Evenly spread pictures of the data set as files, and their table; returns the paths."""
    dataset = load_dataset(data)
    picked = dataset.take(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int))
    source = open_source(data)
    where = {n.rpartition("/")[2]: n for n in source.names()}
    table = picked.table.copy()
    for name in table["file"]:
        (folder / name).write_bytes(source.read(where[name.rpartition("/")[2]]))
    table.to_csv(folder / "faces.csv", index=False)
    return [str(folder / name) for name in table["file"]]


def to_device(images: np.ndarray) -> Any:
    """The batch as a float tensor on the device; returns when it is there."""
    tensor = keras.ops.cast(keras.ops.convert_to_tensor(images), "float32")
    return np.asarray(tensor[:1, :1, :1])  # the value is there when one of its numbers is


def flow(files: list[str], shape: tuple[int, int], batch_size: int) -> int:
    """One epoch of Keras' own generator, which a `fit` of its day pulled from one thread."""
    import pandas as pd
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    frame = pd.DataFrame({"filename": files})
    iterator = ImageDataGenerator().flow_from_dataframe(
        frame, class_mode=None, target_size=shape, batch_size=batch_size, validate_filenames=False, verbose=0
    )
    for i in range(len(iterator)):
        to_device(iterator[i])
    return len(files)


def by_hand(files: list[str], shape: tuple[int, int], batch_size: int) -> int:
    """One epoch of opening, decoding and resizing each file."""
    for i in range(0, len(files), batch_size):
        images = [
            keras.utils.img_to_array(keras.utils.load_img(f, target_size=shape)) for f in files[i : i + batch_size]
        ]
        to_device(np.stack(images))
    return len(files)


def cached(batches: Batches) -> int:
    """One epoch of ours."""
    done = 0
    for images, _ in batches.epoch(0):
        to_device(images)
        done += len(images)
    return done


def resident() -> float:
    """Memory that this process holds, in MB; NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(dataset: FaceDataset, size: int, batch_size: int) -> None:
    """Memory over two epochs of the whole data set."""
    crops = dataset.crops(size)
    batches = Batches(crops, dataset.labels(), batch_size)
    for images, _ in Batches(crops[:batch_size], {}, batch_size).epoch(0):
        to_device(images)
    print(f"\nmemory over two epochs of {len(crops):,} pictures ({crops.nbytes / 1e6:,.0f} MB of crops) | MB")
    print(f"before | {resident():,.0f}")
    most = 0.0
    for epoch in range(2):
        for images, _ in batches.epoch(epoch):
            to_device(images)
            most = max(most, resident())
    print(f"after | {resident():,.0f}")
    print(f"at most | {most:,.0f}")


if __name__ == "__main__":
    sys.exit(main())
