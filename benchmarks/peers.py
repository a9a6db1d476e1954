"""facefeat compared with DeepFace, in one run: `python benchmarks/peers.py PHOTO...`. Needs an idle machine.

Both must be installed in the environment (`pip install deepface tf-keras`). DeepFace builds its age, gender and race
networks with random weights here, which cost what trained ones cost: nothing is downloaded. Crops go to
`DeepFace.analyze` with its detector off, photos with `mtcnn`, the same network that facefeat finds faces with.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measured import machine

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["DEEPFACE_BACKEND_ENGINE"] = "tensorflow"

ACTIONS = ("age", "gender", "race")
CROPS = 8  # enough for DeepFace, at about one a second
ROUNDS = 3


def median_seconds(run: Callable[[], object]) -> float:
    """Median wall time of ROUNDS runs after one that is not counted."""
    run()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def untrained_deepface() -> object:
    """DeepFace, whose networks keep the random weights that they were built with."""
    from deepface import DeepFace
    from deepface.commons import weight_utils

    weight_utils.download_weights_if_necessary = lambda *_, **__: ""
    weight_utils.load_model_weights = lambda model, weight_file: model
    return DeepFace


def main() -> None:
    if not sys.argv[1:]:
        sys.exit("usage: python benchmarks/peers.py PHOTO...")
    photos = [Path(p) for p in sys.argv[1:]]
    packages = ("facefeat", "onnxruntime", "deepface", "keras", "tensorflow", "mtcnn", "numpy")
    machine(*packages)
    print(f"{len(photos)} photos")
    with contextlib.redirect_stdout(sys.stderr):  # DeepFace logs to standard output, which has figures alone
        rows = list(measured([str(p) for p in photos]))
    print("what | facefeat | DeepFace | ratio")
    print("\n".join(rows))


def measured(photos: list[str]) -> Iterator[str]:
    """A row for crops, and one for photos."""
    import numpy as np

    from facefeat import FaceFeatureModel

    model, peer = FaceFeatureModel.from_preset(), untrained_deepface()
    crops = np.random.default_rng(0).integers(0, 256, (64, model.image_size, model.image_size, 3), dtype="uint8")
    few = [np.ascontiguousarray(c) for c in crops[:CROPS]]

    def analyze(images: object, detector: str) -> object:
        return peer.analyze(  # type: ignore[attr-defined]
            images, actions=ACTIONS, detector_backend=detector, enforce_detection=False, silent=True
        )

    ours = 64 / median_seconds(lambda: model.predict_faces(crops))
    theirs = CROPS / median_seconds(lambda: analyze(few, "skip"))
    yield f"crops a second: age, gender and race | {ours:.0f} | {theirs:.2f} | {ours / theirs:.0f}"
    ours = len(photos) / median_seconds(lambda: model.predict(photos))
    theirs = len(photos) / median_seconds(lambda: [analyze(p, "mtcnn") for p in photos])
    yield f"photos a second, with detection | {ours:.1f} | {theirs:.2f} | {ours / theirs:.0f}"


if __name__ == "__main__":
    main()
