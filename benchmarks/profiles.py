"""Where the time goes, and what each change brought: `python benchmarks/profiles.py [PHOTO...]`.

First the deterministic profile (cProfile) of 64 photos read as one chunk of `facefeat batch` is read, by the functions
that do the work; then ONNX Runtime's own profile of the default classifier's backbone, by kind of operation. Then
changes that such profiles led to, each compared with the code before, in this run. In processor time, the networks on
one thread. Prints the machine and versions.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine
from speed import timed

PORTRAIT = Path(__file__).resolve().parent.parent / "docs" / "assets" / "portrait.jpg"
CHUNK, ROUNDS = 64, 3

STAGES = {
    ("io.py", "open_photo"): "decoding, upright and in RGB",
    ("common.py", "shrink"): "scaling photos down for the detector",
    ("common.py", "run_graph"): "the detector's networks",
    ("pipeline.py", "_aligned"): "aligning crops",
    ("classifier.py", "logits"): "classifying crops",
}
"""File and function -> what it is; their cumulative times, none inside another."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    args = parser.parse_args()
    photos = args.photos or [PORTRAIT]
    machine()

    from facefeat import FaceFeatureModel
    from facefeat.utils.ort import set_threads

    set_threads(1)
    model = FaceFeatureModel.from_preset()
    chosen = [str(photos[i % len(photos)]) for i in range(CHUNK)]
    print(f"\nreading {CHUNK} photos | ms a photo | share")
    for row in of_photos(model, chosen):
        print(row, flush=True)
    crops = model.align(chosen[: len(photos)])
    crops = np.concatenate([crops] * CHUNK)[:CHUNK]
    print("\nthe backbone on 64 crops, by ONNX Runtime's operation | ms | share")
    for row in of_the_graph(crops):
        print(row, flush=True)
    print("\nwhat was changed | before | after | times")
    for name, before, after, unit in changes(model, photos, crops):
        print(f"{name} | {1000 * before:.1f} {unit} | {1000 * after:.1f} {unit} | {before / after:.1f}", flush=True)


def of_photos(model: Any, photos: list[str]) -> Iterator[str]:
    """A row for each of STAGES, and of what is left."""
    model.predict(photos)
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(model.predict, photos)
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    seconds = dict.fromkeys(STAGES.values(), 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in stats.items():
        stage = STAGES.get((Path(file).name, function))
        if stage:
            seconds[stage] += cumulative
    total = max(cumulative for _, _, _, cumulative, _ in stats.values())
    seconds["all else"] = total - sum(seconds.values())
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        yield f"{name} | {1000 * value / len(photos):.1f} | {value / total:.0%}"


def of_the_graph(crops: np.ndarray, rows: int = 8) -> Iterator[str]:
    """The kinds of operation that take longest, on one thread."""
    import json
    import tempfile

    import onnxruntime

    from facefeat.presets.store import find_preset
    from facefeat.utils.ort import session_options

    spent: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads=1)
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(find_preset(None) / "backbone.onnx", options)
        for _ in range(ROUNDS + 1):
            session.run(None, {"input": crops})
        for event in json.loads(Path(session.end_profiling()).read_text("utf-8")):
            if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
                spent[event["args"]["op_name"]] += event["dur"]
    total = sum(spent.values())
    for name, micros in spent.most_common(rows):
        yield f"`{name}` | {micros / (ROUNDS + 1) / 1000:.1f} | {micros / total:.0%}"


def changes(model: Any, photos: list[Path], crops: np.ndarray) -> Iterator[tuple[str, float, float, str]]:
    """What was done, and seconds of the unit before and after."""
    from facefeat.builtin.detectors.common import shrink
    from facefeat.image.io import open_photo

    path = max(photos, key=lambda p: open_photo(p).pixels.size)
    large = open_photo(path).pixels
    yield (
        f"a photo of {large.shape[1]} x {large.shape[0]} decoded at a fraction of its size",
        _seconds(lambda: open_photo(path)), _seconds(lambda: open_photo(path, 1600)), "ms",
    )  # fmt: skip
    yield (
        f"a photo of {large.shape[1]} x {large.shape[0]} scaled down for the detector from every n-th pixel",
        _seconds(lambda: _resized(large, 640)), _seconds(lambda: shrink(large, 640)), "ms",
    )  # fmt: skip
    singly = _seconds(lambda: [model.predict_faces(c[None]) for c in crops])
    yield "64 crops classified at once, not one by one", singly, _seconds(lambda: model.predict_faces(crops)), "ms"
    yield "rotation, shift, shear and zoom of 64 crops in one resampling, not four", *_augmented(crops, _moves()), "ms"
    yield (
        "brightness, contrast, saturation and hue of 64 crops in one pass, not four",
        *_augmented(crops, _colours()),
        "ms",
    )


def _resized(image: np.ndarray, side: int) -> Any:
    from PIL import Image

    ratio = side / max(image.shape[:2])
    size = (round(image.shape[1] * ratio), round(image.shape[0] * ratio))
    return Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)


def _moves() -> tuple[list[Any], Any]:
    """Keras's layers, and ours."""
    from keras import layers

    from facefeat.plugins.registry import get_registry

    four = [
        layers.RandomRotation(10 / 360),
        layers.RandomTranslation(0.06, 0.06),
        layers.RandomShear(0.05, 0.05),
        layers.RandomZoom(0.12),
    ]
    config = {"rotation": 10.0, "zoom": 0.12, "shear": 0.05, "shift": 0.06, "flip": False}
    return four, get_registry().build("augmentation", "affine", seed=0, **config)


def _colours() -> tuple[list[Any], Any]:
    """Keras's layers, and ours."""
    from keras import layers

    from facefeat.plugins.registry import get_registry

    pixels = {"value_range": (0, 255)}
    light = [layers.RandomBrightness(0.2, **pixels), layers.RandomContrast((0.25, 0.25), **pixels)]
    # Keras counts saturation in pixels of 0..1.
    colour = [
        layers.Rescaling(1 / 255),
        layers.RandomSaturation((0.44, 0.55), value_range=(0, 1)),
        layers.Rescaling(255.0),
    ]
    config = {"brightness": 0.2, "contrast": 0.25, "saturation": 0.2, "hue": 0.1}
    ours = get_registry().build("augmentation", "colour", seed=0, **config)
    return [*light, *colour, layers.RandomHue(0.1, **pixels)], ours


def _augmented(crops: np.ndarray, either: tuple[list[Any], Any]) -> tuple[float, float]:
    """Seconds of several layers one after the other, and of one."""
    import tensorflow as tf

    several, one = either
    batch = tf.constant(crops.astype("float32"))

    def chained(x: Any) -> Any:
        for layer in several:
            x = layer(x, training=True)
        return x

    before, after = tf.function(chained), tf.function(lambda x: one(x, training=True))
    return _seconds(lambda: before(batch)), _seconds(lambda: after(batch))


def _seconds(run: Callable[[], object]) -> float:
    return timed(run, ROUNDS)[1]


if __name__ == "__main__":
    main()
