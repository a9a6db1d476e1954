"""What `utkface-mobilenet-distilled` learns in addition to the labels.

    python benchmarks/distillation.py DATA PRESET[=SHARE]... [--splits CSV] [-o FILE]

For each face of the train split, embeddings and probabilities of gender and race, for the recipe's `[distillation]`.

The embeddings are dlib's (King 2017, CC0, trained on three million faces), as the npm package `@vladmandic/face-api`
1.7.15 (MIT) publishes its ResNet. The probabilities are a geometric mean. Each PRESET, a run such as one of
`utkface-mobilenet`, has the SHARE that is given with it (0.5), mean over the crop and its mirror image. The rest is a
logistic regression on these embeddings and on the features of the backbone `mobilenet` with the weights "vggface2",
predictions out of fold (five folds). Both networks are fetched on first use (6 and 14 MB).
Prints the machine, and how many faces each reads as they are labelled.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from facefeat.builtin.backbones import mobilenet
from facefeat.data import load_dataset
from facefeat.presets.store import find_preset, load_classifier
from facefeat.utils.download import fetch
from facefeat.utils.machine import cache_dir

BASE = "https://cdn.jsdelivr.net/npm/@vladmandic/face-api@1.7.15/model/"
FILES = {
    "face_recognition_model-weights_manifest.json": "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
    "face_recognition_model.bin": "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
}
SIDE, MIDDLE = 176, 150
"""Pixels of the crops that dlib's network is shown the middle of."""
BATCH, STRENGTH = 128, 1e-3
ATTRIBUTES = ("gender", "race")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("presets", nargs="+", metavar="PRESET[=SHARE]")
    parser.add_argument("--splits", help="CSV with `file` and `split`, for raw UTKFace data")
    parser.add_argument("-o", "--output", type=Path, default=Path("distillation.npz"))
    args = parser.parse_args()
    named = [p.rpartition("=") if "=" in p else (p, "", "0.5") for p in args.presets]
    shares = [float(share) for _, _, share in named]
    if not 0 < sum(shares) < 1 or min(shares) <= 0:
        parser.error(f"the shares must be over 0, and under 1 together. Received: {shares}.")
    classifiers = [load_classifier(find_preset(name))[0] for name, _, _ in named]
    faces = load_dataset(args.data, schema=classifiers[0].schema, splits=args.splits).split("train")
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, Keras {keras.__version__}"
    )
    print(f"{len(faces):,} faces of {faces.name}")

    before = (SIDE - MIDDLE) // 2
    middle = faces.crops(SIDE)[:, before : before + MIDDLE, before : before + MIDDLE]
    described = embeddings(middle)
    seen = mobilenet.build(image_size=160, view=0.75, weights="vggface2")
    seen = keras.Model(seen.input, keras.layers.GlobalAveragePooling2D()(seen.output))
    known = seen.predict(faces.crops(160)[:], batch_size=BATCH, verbose=0)
    both = StandardScaler().fit_transform(np.concatenate([known, described], axis=1))
    read, out = [_read(c, faces.crops(c.image_size)[:]) for c in classifiers], {}
    print(" | ".join(["attribute", "regression", *(name for name, _, _ in named), "all"]))
    for name in ATTRIBUTES:
        labels = faces.labels()[name]
        model = LogisticRegression(C=STRENGTH, max_iter=100)
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        told = np.log(cross_val_predict(model, both, labels, cv=folds, method="predict_proba") + 1e-6)
        mine = [r[name] for r in read]
        whole = np.exp((1 - sum(shares)) * told + sum(s * m for s, m in zip(shares, mine, strict=True)))
        out[f"probabilities_{name}"] = (whole / whole.sum(axis=1, keepdims=True)).astype("float32")
        right = [f"{np.mean(v.argmax(axis=1) == labels):.1%}" for v in (told, *mine, whole)]
        print(" | ".join([name, *right]), flush=True)
    np.savez(args.output, files=np.array([str(f) for f in faces.table["file"]]), embeddings=described, **out)


def _read(classifier: Any, crops: np.ndarray) -> dict[str, np.ndarray]:
    """Attribute -> (N, K) mean log-probabilities of (N, S, S, 3) crops and their mirror images."""
    both = [classifier.predict(c).probabilities for c in (crops, np.ascontiguousarray(crops[:, :, ::-1]))]
    return {name: sum(np.log(p[name] + 1e-6) for p in both) / 2 for name in ATTRIBUTES}


def embeddings(crops: np.ndarray) -> np.ndarray:
    """(N, 150, 150, 3) uint8 -> (N, 384) float32: the 256 features of dlib's network, and its 128 numbers of a face."""
    weights = _weights()
    parts = []
    for i in range(0, len(crops), BATCH):
        x = np.asarray(crops[i : i + BATCH], "float32")
        views = (_described(ops.convert_to_tensor(v), weights) for v in (x, np.ascontiguousarray(x[:, :, ::-1])))
        parts.append(np.mean([ops.convert_to_numpy(v) for v in views], axis=0))
    return np.concatenate(parts)


def _weights() -> dict[str, np.ndarray]:
    """Name -> float32 array; the file has bytes, each array with a scale and a least value of its own."""
    listed, numbers = (
        fetch(BASE + n, sha, cache_dir() / "face-api" / n, max_bytes=20_000_000) for n, sha in FILES.items()
    )
    data, at, out = numbers.read_bytes(), 0, {}
    for about in json.loads(listed.read_bytes())[0]["weights"]:
        count, how = math.prod(about["shape"]), about.get("quantization")
        values = np.frombuffer(data, "uint8" if how else "<f4", count, at).astype("float32")
        at += count if how else 4 * count
        out[about["name"]] = (values * how["scale"] + how["min"] if how else values).reshape(about["shape"])
    return out


def _described(x: Any, weights: dict[str, np.ndarray]) -> Any:
    """(B, 150, 150, 3) float 0..255 -> (B, 384). The architecture is that of the published weights."""

    def conv(x: Any, name: str, stride: int = 1, relu: bool = True, padding: str = "same") -> Any:
        scale = weights[f"{name}/scale/weights"]
        kernel = weights[f"{name}/conv/filters"] * scale
        shift = weights[f"{name}/conv/bias"] * scale + weights[f"{name}/scale/biases"]
        x = ops.conv(x, kernel, strides=stride, padding=padding, data_format="channels_last") + shift
        return ops.relu(x) if relu else x

    def residual(x: Any, name: str) -> Any:
        return ops.relu(conv(conv(x, f"{name}/conv1"), f"{name}/conv2", relu=False) + x)

    def halved(x: Any, name: str) -> Any:
        y = conv(conv(x, f"{name}/conv1", 2, padding="valid"), f"{name}/conv2", relu=False)
        short = ops.average_pool(x, 2, 2, padding="valid", data_format="channels_last")
        rows, columns = (short.shape[i] - y.shape[i] for i in (1, 2))
        y = ops.pad(y, ((0, 0), (0, rows), (0, columns), (0, 0)))
        short = ops.pad(short, ((0, 0), (0, 0), (0, 0), (0, y.shape[3] - short.shape[3])))
        return ops.relu(y + short)

    x = (x - np.array([122.782, 117.001, 104.298], "float32")) / 256
    x = ops.max_pool(conv(x, "conv32_down", 2, padding="valid"), 3, 2, padding="valid", data_format="channels_last")
    for width, count in ((32, 3), (64, 3), (128, 2), (256, 2)):
        if width > 32:
            x = halved(x, f"conv{width}_down")
        for i in range(1, count + 1):
            x = residual(x, f"conv{width}_{i}")
    features = ops.mean(halved(x, "conv256_down_out"), axis=(1, 2))
    return ops.concatenate([features, ops.matmul(features, weights["fc"])], axis=1)


if __name__ == "__main__":
    main()
