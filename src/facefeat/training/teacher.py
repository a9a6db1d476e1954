"""A teacher: another network's embeddings of the training faces, which the latent learns to tell.

What a network knows that was trained on millions of faces, a small one with thousands of labels can't find out. Beside
the labels, a linear layer on the latent is trained to point where the teacher's embedding points; the layer is thrown
away afterwards (Romero et al., "FitNets: hints for thin deep nets", ICLR 2015; the measure here is the angle).
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import TrainingError

if TYPE_CHECKING:
    from facefeat.training.recipe import Teacher
    from facefeat.types import FloatArray

NAME = "teacher"
"""Of its output and its targets, beside those of the attributes."""


def teacher_targets(teacher: Teacher, files: Sequence[str]) -> FloatArray:
    """(N, K) float32 of length 1 for each of the files of a data set; zeros for a file that the teacher has not seen.

    Raises TrainingError for a file of embeddings that is missing, is none, or knows none of these faces.
    """
    path = Path(teacher.file)
    what = f"the teacher's embeddings {str(path)!r}"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, vectors = arrays["files"], arrays["embeddings"]
    except OSError as e:
        raise TrainingError(f"cannot read {what}: {e.strerror or e}. The recipe's teacher.file names them.") from None
    except (ValueError, KeyError, zipfile.BadZipFile) as e:
        raise TrainingError(f"{what} are no .npz with arrays 'files' and 'embeddings' ({e}).") from None
    if vectors.ndim != 2 or len(vectors) != len(names) or vectors.dtype.kind != "f":
        raise TrainingError(
            f"{what}: 'embeddings' must be (N, K) numbers for the N names in 'files'. Received: {vectors.shape} "
            f"{vectors.dtype} for {len(names)} names."
        )
    rows = {str(name): i for i, name in enumerate(names)}
    at = np.array([rows.get(name, -1) for name in files])
    if not (at >= 0).any():
        raise TrainingError(f"{what} know none of the {len(at):,} faces; its first is {str(names[0])!r}.")
    found = np.where(at[:, None] >= 0, vectors[at], 0.0)
    found[~np.isfinite(found).all(axis=1)] = 0.0
    length = np.linalg.norm(found, axis=1, keepdims=True)
    unit: FloatArray = (found / np.where(length > 0, length, 1.0)).astype("float32")
    return unit


def teacher_loss(target: Any, said: Any) -> Any:
    """(B, K) unit vectors or zeros, (B, K) -> (B,): 1 less the cosine of the angle between them, 0 for zeros."""
    from keras import ops

    said = ops.cast(said, "float32")
    length = ops.sqrt(ops.sum(ops.square(said), axis=-1) + 1e-12)
    return ops.sum(ops.square(target), axis=-1) - ops.sum(target * said, axis=-1) / length


def fingerprint(teacher: Teacher) -> str:
    """SHA-256 of the file of embeddings; "" where there is none."""
    return hashlib.sha256(Path(teacher.file).read_bytes()).hexdigest() if teacher.weight else ""
