"""Freezing: which layers a phase trains, and the features of a frozen backbone, computed once."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import RecipeError, TrainingError
from facefeat.utils.atomic import atomic_file

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier
    from facefeat.training.base_recipe import Phase

FEATURE_BATCH = 64
_FEATURES = "features-"


def weighted_layers(model: Any) -> list[Any]:
    """The layers of a model that have weights of their own, first to last, those of nested models included."""
    found = []
    for layer in model.layers:
        inner = getattr(layer, "layers", None)
        if inner:
            found += weighted_layers(layer)
        elif layer.weights:
            found.append(layer)
    return found


def freeze(classifier: Classifier, trainable: str) -> None:
    """Set what trains: "all", "head", or "last N" layers of the backbone. A head always trains.

    A frozen batch normalisation runs on its stored statistics and leaves them alone, which is what Keras does for a
    layer with trainable = False. Raises RecipeError where the backbone has fewer layers than N.
    """
    layers, wanted = _trained(classifier, trainable)
    classifier.backbone_model.trainable = True
    classifier.head_model.trainable = True
    for i, layer in enumerate(layers):
        layer.trainable = i >= len(layers) - wanted


def check_phases(classifier: Classifier, phases: Iterable[Phase]) -> None:
    """Raises RecipeError where the backbone has fewer layers than one of the phases trains."""
    for phase in phases:
        _trained(classifier, phase.trainable)


def _trained(classifier: Classifier, trainable: str) -> tuple[list[Any], int]:
    """The backbone's layers with weights, and how many of them, from the last one on, are trained."""
    layers = weighted_layers(classifier.backbone_model)
    wanted = {"all": len(layers), "head": 0}.get(trainable)
    if wanted is None:
        wanted = int(trainable.removeprefix("last "))
    if wanted > len(layers):
        raise RecipeError(
            f"trainable = {trainable!r}: {classifier.backbone.name!r} has {len(layers)} layers with weights. "
            f"Valid: all, head, or last 1 to last {len(layers)}."
        )
    return layers, wanted


def frozen_features(classifier: Classifier, crops: Any) -> np.ndarray:
    """(N, h, w, C) float16: the backbone's feature map of every crop, computed once and kept on disk.

    crops: a CropView; the file lies next to theirs and is used again by every run with the same crops and weights.
    Values beyond float16's range are clipped to it. Raises TrainingError where it cannot be written.
    """
    path = crops.path.parent.parent / f"{_FEATURES}{_key(classifier, crops)}.npy"
    shape = (len(crops), *classifier.backbone_model.output_shape[1:])
    if path.is_file():
        stored: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if stored.shape == shape:
            return stored
    size = int(np.prod(shape)) * 2
    hint = f". The features of the frozen backbone take {size / 1e9:.1f} GB. FACEFEAT_CACHE names another folder."
    with atomic_file(path, TrainingError, hint) as new:
        free = shutil.disk_usage(path.parent).free
        if free < size * 1.02:
            raise OSError(errno.ENOSPC, f"only {free / 1e9:.1f} GB are free")
        _write(new, classifier, crops, shape)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _write(path: Path, classifier: Classifier, crops: Any, shape: tuple[int, ...]) -> None:
    """Compute the features into a .npy file.

    By `write`, which says where a disk fills up meanwhile: in a mapped file that is the signal SIGBUS, and the end of
    the process.
    """
    limit = np.finfo("float16").max
    with path.open("wb") as f:
        about = {"descr": np.lib.format.dtype_to_descr(np.dtype("float16")), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(f, about)
        for i in range(0, len(crops), FEATURE_BATCH):
            part = classifier.feature_map(crops[i : i + FEATURE_BATCH])
            f.write(np.clip(part, -limit, limit).astype("float16").tobytes())


def _key(classifier: Classifier, crops: Any) -> str:
    digest = hashlib.sha256(str(Path(crops.path).parent.name).encode())
    digest.update(repr((classifier.backbone.to_dict(), classifier.image_size)).encode())
    arrays: Sequence[np.ndarray] = classifier.backbone_model.get_weights()
    for array in (*arrays, crops.row_numbers):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:20]
