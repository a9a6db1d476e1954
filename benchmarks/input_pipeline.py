"""Images per second into the device: facefeat's cached batches, and loading each file anew as the original did.

    python benchmarks/input_pipeline.py UTKFace.tar [--pictures 2000] [--size 96] [--batch-size 64]

The original experiment read its pictures with Keras' `flow_from_dataframe`: every epoch opens, decodes and resizes
every file again, and changes it, in one thread. This takes the same pictures, as files in a temporary folder, through

* `flow_from_dataframe` itself (Keras still carries it as a legacy class),
* the same by hand: `keras.utils.load_img` and `img_to_array`,
* `FaceDataset.crops` and `Batches`,

and then, each crop changed at random, through

* the original's `ImageDataGenerator` (rotation, shift, shear, zoom, flip), whose `preprocessing_function` runs an
  imgaug Sequential: JPEG, CoarseDropout, colour,
* `Batches` and a recipe's augmentation layers for the same changes, compiled as the trainer compiles them,
* the same with the fewer changes that the default preset was trained with,

each until a batch is a float array on the device. The second table has the cached crops alone, too: they are the whole
input path of a recipe that changes nothing. A third one says what each change takes of the processor. imgaug 0.4, its
last version, fails with NumPy 2 for want of a table of types (`np.sctypes`), which is defined here. Then it reads an
epoch of the whole data set and shows the memory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from facefeat.data import Batches, FaceDataset, load_dataset
from facefeat.data.sources import open_source
from facefeat.presets.store import DEFAULT_PRESET

OURS = "facefeat, cached"
CHANGED = "facefeat, cached, a recipe's layers for the same changes"
AS_DEFAULT = f"facefeat, cached, the changes of the recipe `{DEFAULT_PRESET}`"
IMGAUG = "`ImageDataGenerator` with imgaug"
Way = Callable[[], Generator[int, None, None]]
"""An epoch, as the number of images in each batch that is on the device."""

# The same changes twice: of every crop its place and size, JPEG at quality 60 to 75 (imgaug counts down from 100), a
# tenth of 8 x 8 squares black, hue, saturation, brightness, contrast.
GENERATOR: dict[str, Any] = {
    "rotation_range": 10, "width_shift_range": 0.06, "height_shift_range": 0.06, "shear_range": 6, "zoom_range": 0.12,
    "horizontal_flip": True,
}  # fmt: skip
AUGMENT: dict[str, Any] = {
    "flip": True, "rotation": 10.0, "shift": 0.06, "shear": 0.1, "zoom": 0.12, "jpeg": 1.0, "jpeg_low": 60,
    "jpeg_high": 75, "coarse_dropout": 0.1, "hue": 0.08, "saturation": 0.15, "brightness": 0.15, "contrast": 0.2,
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="UTKFace.tar, or any data set of one archive or folder")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way in each round")
    parser.add_argument("--no-memory", action="store_true", help="leave the epochs of the whole data set out")
    args = parser.parse_args()
    changing, said = imgaug_changes()
    print(machine())
    print(said)
    with tempfile.TemporaryDirectory() as folder:
        files = extract(args.data, Path(folder), args.pictures)
        dataset = load_dataset(Path(folder) / "faces.csv", schema="utkface")
        start = time.perf_counter()
        crops = dataset.crops(args.size, Path(folder) / "cache")
        first = len(crops) / (time.perf_counter() - start)
        batches = Batches(crops, dataset.labels(), args.batch_size)
        shape = (args.size, args.size)
        augmented, as_default = augmenting(AUGMENT, args.size), augmenting(recipe_changes(DEFAULT_PRESET), args.size)
        plain: dict[str, Way] = {
            "Keras' `flow_from_dataframe`": lambda: flow(files, shape, args.batch_size),
            "`keras.utils.load_img` in one thread": lambda: by_hand(files, shape, args.batch_size),
            OURS: lambda: cached(batches),
        }
        changed: dict[str, Way] = {
            CHANGED: lambda: cached(batches, augmented),
            AS_DEFAULT: lambda: cached(batches, as_default),
        }
        if changing is not None:
            made = {**GENERATOR, "preprocessing_function": changing}
            changed = {IMGAUG: lambda: flow(files, shape, args.batch_size, **made), **changed}
        speeds = measure({**plain, **changed}, args.rounds, args.seconds)
        print(f"{len(files):,} pictures at {args.size} pixels, batches of {args.batch_size}")
        print(f"median of {args.rounds} rounds")
        middle = {name: statistics.median(values) for name, values in speeds.items()}

        def row(name: str, ratio: float | None, more: str = "") -> None:
            values, told = speeds[name], "" if ratio is None else f"{ratio:.{0 if ratio >= 10 else 1}f}"
            print(f"{name}{more} | {middle[name]:,.0f} | {min(values):,.0f} to {max(values):,.0f} | {told}")

        print("way | images/s | least and most | facefeat is faster by")
        for name in plain:
            row(name, None if name == OURS else middle[OURS] / middle[name])
        print(f"facefeat, decoding the first time | {first:,.0f}")
        print("\nevery crop changed at random | images/s | least and most | times the original's")
        if changing is None:
            print(f"{IMGAUG} | not measured: {said}")
        for name in changed:
            row(name, middle[name] / middle[IMGAUG] if IMGAUG in middle and name != IMGAUG else None)
        row(OURS, middle[OURS] / middle[IMGAUG] if IMGAUG in middle else None, ", nothing changed")
        print("\nof those changes, alone | milliseconds a crop, of one core")
        for name, milliseconds in of_each(AUGMENT, args.size, args.batch_size):
            print(f"{name} | {milliseconds:.2f}")
    if not args.no_memory:
        memory(load_dataset(args.data), args.size, args.batch_size)


def measure(ways: dict[str, Way], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Images per second of each way in each round; epoch after epoch, the last one left where the time is up."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # what is compiled or imported at the first batch is not measured
        with contextlib.closing(way()) as epoch:
            next(epoch)
    for _ in range(rounds):  # in turn, so that a busy moment of the machine meets all of them
        for name, way in ways.items():
            start, done, taken = time.perf_counter(), 0, 0.0
            while taken < seconds:
                with contextlib.closing(way()) as epoch:
                    for count in epoch:
                        done, taken = done + count, time.perf_counter() - start
                        if taken >= seconds:
                            break
            speeds[name].append(done / taken)
    return speeds


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


def imgaug_changes() -> tuple[Callable[[np.ndarray], np.ndarray] | None, str]:
    """What a `preprocessing_function` of the original did, (S, S, 3) -> (S, S, 3), and imgaug's version; or why not."""
    if not hasattr(np, "sctypes"):
        # Gone in NumPy 2, and read when imgaug is imported; its last version is of 2020.
        np.sctypes = {  # type: ignore[attr-defined]
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64],
        }
    try:
        import imgaug
        from imgaug import augmenters as iaa
    except Exception as e:  # noqa: BLE001 - OpenCV without its system libraries, or a NumPy that lacks still more
        return None, f"imgaug cannot be imported ({' '.join(str(e).split())[:120]})"
    sequence = iaa.Sequential(
        [
            iaa.JpegCompression(compression=(25, 40)),
            iaa.CoarseDropout(0.1, size_percent=1 / 12),
            iaa.AddToHueAndSaturation((-20, 20)),
            iaa.Multiply((0.85, 1.15)),
            iaa.LinearContrast((0.8, 1.2)),
        ]
    )

    def change(image: np.ndarray) -> np.ndarray:
        return sequence(image=image.astype("uint8")).astype("float32")  # type: ignore[no-any-return]

    return change, f"imgaug {imgaug.__version__} with `np.sctypes` defined"


def flow(files: list[str], shape: tuple[int, int], batch_size: int, **changes: Any) -> Generator[int, None, None]:
    """One epoch of Keras' own generator, which a `fit` of its day pulled from one thread."""
    import pandas as pd
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    frame = pd.DataFrame({"filename": files})
    with contextlib.redirect_stdout(sys.stderr):  # it says how many files it has, whatever `verbose` is
        iterator = ImageDataGenerator(**changes).flow_from_dataframe(
            frame, class_mode=None, target_size=shape, batch_size=batch_size, validate_filenames=False, verbose=0
        )
    for i in range(len(iterator)):
        images = iterator[i]
        to_device(images)
        yield len(images)


def by_hand(files: list[str], shape: tuple[int, int], batch_size: int) -> Generator[int, None, None]:
    """One epoch of opening, decoding and resizing each file."""
    for i in range(0, len(files), batch_size):
        images = [
            keras.utils.img_to_array(keras.utils.load_img(f, target_size=shape)) for f in files[i : i + batch_size]
        ]
        to_device(np.stack(images))
        yield len(images)


def cached(batches: Batches, further: Callable[[np.ndarray], Any] = to_device) -> Generator[int, None, None]:
    """One epoch of ours. further: what is done with a batch."""
    with contextlib.closing(batches.epoch(0)) as epoch:  # type: ignore[type-var]
        for images, _ in epoch:
            further(images)
            yield len(images)


def augmenting(changes: dict[str, Any], size: int) -> Callable[[np.ndarray], Any]:
    """Crops (B, S, S, 3) uint8 -> float32, changed; compiled as the trainer does. changes: a recipe's `[augment]`.

    They stay on the device: what comes back is a number for each, which is there when all of its crop is.
    """
    from facefeat.networks.keras_backend import use_jit
    from facefeat.training.augmentation import augmentation_layers
    from facefeat.training.recipe import Augment

    class Changed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.changes = augmentation_layers(Augment(**changes), seed=1)

        def call(self, crops: Any) -> Any:
            crops = keras.ops.cast(crops, "float32")
            for layer in self.changes:
                crops = layer(crops, training=True)
            return keras.ops.mean(crops, axis=(1, 2, 3))

    model = Changed()
    model.compile(jit_compile=use_jit())
    model.predict_on_batch(np.zeros((1, size, size, 3), "uint8"))
    return model.predict_on_batch  # type: ignore[no-any-return]


def recipe_changes(name: str) -> dict[str, Any]:
    """What a shipped recipe's `[augment]` says; the default preset has the name of its recipe."""
    from dataclasses import asdict

    from facefeat.training import load_recipe

    return asdict(load_recipe(name).augment)


def of_each(changes: dict[str, Any], size: int, batch_size: int, times: int = 10) -> Iterator[tuple[str, float]]:
    """(what, milliseconds of the processor for a crop) of each change alone, beyond what none of them takes."""
    crops = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, 3), dtype="uint8")

    def cost(some: dict[str, Any]) -> float:
        run = augmenting({"flip": False, **some}, size)
        run(crops)
        taken = []
        for _ in range(times):
            start = time.process_time()
            run(crops)
            taken.append(time.process_time() - start)
        return 1000 * statistics.median(taken) / batch_size

    none = cost({})
    for what, some in parts(changes).items():
        yield what, cost(some) - none


def parts(changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The changes, those that are one layer together: rotation, shift, shear and zoom are, and all of JPEG's keys."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        moves = key in ("rotation", "shift", "shear", "zoom")
        name = "place and size" if moves else key.removesuffix("_low").removesuffix("_high").replace("_", " ")
        found.setdefault(name, {})[key] = value
    return found


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
