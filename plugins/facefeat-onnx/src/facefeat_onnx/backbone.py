"""The backbone `onnx`: its settings, and the file that it reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from facefeat import InputError

FOLDER = "FACEFEAT_ONNX"
"""Environment variable: the folder in which to look for a file that is not at its path."""
LAYOUTS = ("nchw", "nhwc")
WHAT = "backbone 'onnx'"


def build(
    *,
    image_size: int,
    file: str,
    sha256: str = "",
    output: str = "",
    layout: str = "nchw",
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    scale: Sequence[float] = (255.0, 255.0, 255.0),
    bgr: bool = False,
    threads: int = 0,
):
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, h, w, C) float32; a network that gives (B, C) has h = w = 1.

    file: the ONNX file. A preset keeps its path, not the file: where there is none at that path, the file of that name
    in the folder $FACEFEAT_ONNX is taken. sha256: the file's hash in hex; give it, so that a preset finds the same
    network again or none.
    output: which output; by default the first. layout: how the network wants its pixels and gives its map, channels
    first ("nchw") or last ("nhwc"). mean, scale: pixels become (pixel - mean) / scale, three numbers each, in RGB; then
    bgr turns the channels around. threads: of onnxruntime; 0 for its own choice.
    Raises InputError for a file that is not there, is another or cannot be read, and for a setting that is not valid.
    """
    import keras

    from facefeat_onnx.layer import OnnxFeatures

    if layout not in LAYOUTS:
        raise InputError(f"{WHAT}: no such layout. Received: {layout!r}. Valid: {', '.join(LAYOUTS)}.")
    for name, three in (("mean", mean), ("scale", scale)):
        if len(three) != 3 or (name == "scale" and not all(three)):
            raise InputError(f"{WHAT}: {name} must be three numbers, and scale not 0. Received: {three!r}.")
    path = find(file, sha256)
    crops = keras.Input((image_size, image_size, 3), name="crops")
    # float32 under mixed precision, too: that is what the network was exported with.
    layer = OnnxFeatures(path, image_size, output, layout, mean, scale, bgr, threads, name="onnx", dtype="float32")
    return keras.Model(crops, layer(crops), name="onnx_backbone")


def find(file: str, sha256: str) -> Path:
    """Where the file is. Raises InputError where it is nowhere, or another."""
    places = [Path(file)]
    if os.environ.get(FOLDER):
        places.append(Path(os.environ[FOLDER]) / Path(file).name)
    found = next((p for p in places if p.is_file()), None)
    if found is None:
        looked = " and ".join(repr(str(p)) for p in places)
        raise InputError(
            f"{WHAT}: no such file. Looked at {looked}. Next: put {Path(file).name!r} into a folder, and name that in "
            f"{FOLDER}."
        )
    if sha256:
        with found.open("rb") as f:
            received = hashlib.file_digest(f, "sha256").hexdigest()
        if received != sha256.lower():
            raise InputError(f"{WHAT}: {str(found)!r} is another file. Its SHA-256 is {received}, not {sha256}.")
    return found
