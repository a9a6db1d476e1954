"""An accelerator under the default preset: `KERAS_BACKEND=jax python benchmarks/accelerator.py [DATA] [--splits CSV]`.

Crops classified and trained on a second, in float32 and bfloat16, from the host and from the device's own memory; the
share of the chip's peak that this is, and what bounds it: the operations and bytes are XLA's count of the compiled
program, the peaks the makers' data sheets. Then 500 morph frames; and with DATA the minutes in which the recipe
`utkface-compact` trains from nothing, and how well. Without an accelerator it runs on the processor, whose peak is not
known. Prints the machine and versions.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from frozen import Clock, made
from speed import median_seconds

POLICIES = ("float32", "mixed_bfloat16")
PEAKS = {
    "H200": (494.7e12, 989.4e12, 4.8e12),
    "H100 PCIe": (378e12, 756e12, 2.0e12),
    "H100": (494.7e12, 989.4e12, 3.35e12),
    "A100": (156e12, 312e12, 2.039e12),
    "L40S": (183e12, 362e12, 0.864e12),
    "L4": (60e12, 121e12, 0.3e12),
    "A10G": (35e12, 70e12, 0.6e12),
    "T4": (8.1e12, 65e12, 0.32e12),
}
"""Part of a device's name -> operations a second of float32 (TF32 where the chip has it, as XLA uses it) and bfloat16
(T4: float16) without sparsity, and bytes a second of its memory; NVIDIA's data sheets. The first that fits counts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="UTKFace, to train on")
    parser.add_argument("--splits", help="CSV with `file` and `split`, for raw data")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--crops", type=int, default=16384, help="made ones, to train on")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")

    import jax

    device = jax.devices()[0]
    print(f"{device.device_kind} ({device.platform}), {os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{p} {version(p)}" for p in ("facefeat", "keras", "jax", "numpy")))
    print("classifying, batches of " + str(args.batch) + " | crops/s | share of the peak | bound by")
    for row in classifying(device.device_kind, args.batch, args.rounds):
        print(row, flush=True)
    print("\ntraining, batches of 256 | crops/s")
    for policy in POLICIES:
        print(f"{policy} | {training(policy, args.crops):,.0f}", flush=True)
    print("\nwhat | value")
    print(f"500 morph frames of 112 pixels | {morphing():.2f} s", flush=True)
    if args.data:
        for name, value in from_nothing(args.data, args.splits):
            print(f"{name} | {value}", flush=True)


def classifying(kind: str, batch: int, rounds: int) -> Iterator[str]:
    """A row for each policy, with the crops on the device; then one of `predict_faces`, with the crops on the host."""
    import jax
    import keras

    from facefeat import FaceFeatureModel

    model = FaceFeatureModel.from_preset()
    size = model.image_size
    crops = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype="uint8")
    for i, policy in enumerate(POLICIES):
        keras.config.set_dtype_policy(policy)
        clone = model.classifier.clone()
        keras.config.set_dtype_policy("float32")
        joined = keras.Model(clone.backbone_model.input, clone.head_model(clone.backbone_model.output))
        weights = [[v.value for v in joined.trainable_variables], [v.value for v in joined.non_trainable_variables]]

        def read(x: Any, weights: Any = weights, joined: Any = joined) -> Any:
            return joined.stateless_call(*weights, x.astype("float32"), training=False)[0]

        there = jax.device_put(crops)
        compiled = jax.jit(read).lower(there).compile()
        seconds = median_seconds(_waits(compiled, there), rounds)
        cost = compiled.cost_analysis()
        cost = cost[0] if isinstance(cost, list) else cost
        share, bound = verdict(kind, i, float(cost["flops"]), float(cost["bytes accessed"]), seconds)
        yield f"{policy} | {batch / seconds:,.0f} | {share} | {bound}"
    seconds = median_seconds(lambda: model.predict_faces(crops), 5)
    yield f"`predict_faces`, float32, crops on the host | {batch / seconds:,.0f} | | "


def _waits(run: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    import jax

    return lambda: jax.block_until_ready(run(x))


def verdict(kind: str, policy: int, operations: float, moved: float, seconds: float) -> tuple[str, str]:
    """The share of the chip's peak that a program reaches, and what bounds it, by the roofline model.

    operations, moved: floating-point operations and bytes of one run of `seconds` (Williams et al., "Roofline", 2009).
    """
    peak = next((p for name, p in PEAKS.items() if name in kind), None)
    if peak is None:
        return "unknown peak", f"{operations / moved:.0f} operations a byte"
    fastest, bandwidth = peak[policy], peak[2]
    least = {"arithmetic": operations / fastest, "memory": moved / bandwidth}
    bound = max(least, key=lambda k: least[k])
    told = f"{operations / seconds / fastest:.1%} of {fastest / 1e12:,.0f} TFLOP/s"
    # Where even the narrower of the two explains less than half of the time, it is neither.
    if least[bound] < seconds / 2:
        return told, f"launches and small layers: {seconds / least[bound]:.1f} times what {bound} alone would take"
    return told, bound


def training(policy: str, count: int) -> float:
    """Crops a second of `utkface-compact`'s network, in the last of three epochs on made crops, input path included."""
    from facefeat import FaceFeatureModel
    from facefeat.data import load_dataset
    from facefeat.training import load_recipe

    recipe = load_recipe("utkface-compact").replace(schema="fairface", epochs=3, batch_size=256, patience=0)
    recipe = recipe.replace(mixed_precision=policy)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        dataset = load_dataset(made(Path(folder), count, recipe.image_size), schema="fairface")
        train, val = dataset.split("train"), dataset.split("val")
        FaceFeatureModel.from_recipe(recipe).fit(train, val, recipe, reporter=clock)
    return len(train.table) / clock.seconds()[-1]


def morphing() -> float:
    """Seconds of 500 morph frames between two crops, the model loaded."""
    from facefeat import FaceFeatureModel

    model = FaceFeatureModel.from_preset()
    crops = np.random.default_rng(0).integers(0, 256, (2, model.image_size, model.image_size, 3), dtype="uint8")
    return median_seconds(lambda: model.morph_faces(crops, steps=500).frames, 3)


def from_nothing(data: str, splits: str | None) -> Iterator[tuple[str, str]]:
    """`utkface-compact` trained from random weights, in bfloat16: the minutes, and the figures on val."""
    from facefeat import FaceFeatureModel
    from facefeat.data import load_dataset
    from facefeat.training import load_recipe

    recipe = load_recipe("utkface-compact").replace(mixed_precision="mixed_bfloat16", batch_size=256)
    dataset = load_dataset(data, schema="utkface", splits=splits)
    train, val = dataset.split("train"), dataset.split("val")
    for part in (train, val):
        part.crops(recipe.image_size)  # decoded before the clock runs
    model = FaceFeatureModel.from_recipe(recipe)
    start = time.perf_counter()
    model.fit(train, val, recipe)
    yield (
        f"`utkface-compact` from nothing, {recipe.train.epochs} epochs",
        f"{(time.perf_counter() - start) / 60:.1f} min",
    )
    found = model.evaluate(val).metrics
    for name in ("gender_accuracy", "race_accuracy", "age_mae"):
        yield f"its {name} on val", f"{found[name]:.4f}"


if __name__ == "__main__":
    main()
