"""A stand-in for the model in the tests of batch: instant, without Keras, and with answers that show their batch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facefeat.image.align import ALIGNMENTS
from facefeat.networks.postprocess import Calibration, read_logits
from facefeat.testing import toy_schema
from facefeat.types import Face, FaceBatch

SIZE = 8
DEADLY = (7, 7, 7)
"""The first pixel of a picture that kills every worker of a cluster that looks at it."""


_in_a_worker = False


class Detector:
    """As many faces as the first pixel's red says; fails on pictures whose first pixel is (9, 9, 9)."""

    def __init__(self) -> None:
        self.groups: list[int] = []

    def detect_batch(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        self.groups.append(len(images))
        time.sleep(float(os.environ.get("STANDIN_SECONDS", "0")))
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> list[Face]:
        if tuple(image[0, 0]) == (9, 9, 9):
            raise ValueError("a detector that cannot")
        if tuple(image[0, 0]) == DEADLY and _in_a_worker:
            time.sleep(3)  # until what was done before is with the driver, on a busy machine, too
            os.kill(os.getpid(), signal.SIGKILL)
        height, width = image.shape[:2]
        if tuple(image[0, 0]) == (8, 8, 8):
            return [Face((0, 0, 5, 5), 0.5, np.ones((5, 2), "float32"))]
        return [Face((0.25 * k, 0, width / 2, height / 2), 1 - 0.1 * k) for k in range(int(image[0, 0, 0]) % 4)]


class StandIn:
    """What `run_batch` asks of a model. An answer depends on the crop, and in the last digits on the batch, too."""

    schema = toy_schema()
    latent_dim = 3
    image_size = SIZE
    alignment = ALIGNMENTS["utkface"]
    has_decoder = False

    def __init__(self) -> None:
        self.detector = Detector()

    def predict_faces(self, crops: np.ndarray, faces: Any = None) -> FaceBatch:
        mean = crops.reshape(len(crops), -1).mean(axis=1, keepdims=True) / 255 + 1e-4 * len(crops)  # (N, 1)
        logits: dict[str, Any] = {
            n: np.sin(np.arange(1, a.outputs + 1)[None] * 5 * mean).astype("float32")
            for n, a in self.schema.attributes.items()
        }
        calibration = Calibration({"age": {"interval": {"coverage": 0.9, "low": 0.05, "high": 0.95}}})
        return read_logits(self.schema, logits, calibration, calibration.quality.of(crops, faces))

    def encode(self, crops: np.ndarray) -> np.ndarray:
        return (crops.reshape(len(crops), -1, 3).mean(axis=1) + 1e-3 * len(crops)).astype("float32")


def install() -> None:
    """Put it in the place of the model, in this process."""
    from facefeat.batch import chunks

    chunks.load_model = lambda settings: StandIn()


class Worker:
    """The actor of the engine "ray", with the stand-in in its process."""

    def __init__(self, *given: Any) -> None:
        from facefeat.batch import cluster

        global _in_a_worker
        _in_a_worker = True
        install()
        self._worker = cluster.Worker(*given)

    def __call__(self, table: Any) -> Any:
        return self._worker(table)


def picture(seed: int, faces: int, height: int = 20, width: int = 24) -> np.ndarray:
    """(height, width, 3) uint8 noise in which the stand-in finds so many faces, up to 3."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")
    image[0, 0] = (faces, 0, 0)
    return image


def album(folder: Path, pictures: int = 23) -> Path:
    """A folder of `pictures` PNG files with 0 to 3 faces each, in two subfolders, and two files that cannot be read."""
    for i in range(pictures):
        where = folder / ("a" if i < pictures // 2 else "b")
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i, i % 4)).save(where / f"{i:03d}.png")
    (folder / "a" / "empty.jpg").write_bytes(b"")
    (folder / "b" / "text.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("not a picture's name\n")
    return folder
