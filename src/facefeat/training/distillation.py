"""Distillation: another network's embeddings or probabilities of the training faces are learnt, and the labels.

A network trained on millions of faces has features that thousands of labels cannot give to a small one. A
linear layer on the latent is trained to point where the other network's embedding points; the layer is thrown away
afterwards (Romero et al., "FitNets: hints for thin deep nets", ICLR 2015; the measure here is the angle). Or the heads
learn the other network's probabilities (Hinton et al., "Distilling the knowledge in a neural network", 2015): they say
how sure one can be, and are less wrong than single labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import TrainingError
from facefeat.utils.archives import read_npz

if TYPE_CHECKING:
    from facefeat.schema import Attribute, Schema
    from facefeat.training.recipe import Distillation
    from facefeat.types import FloatArray

MAX_BYTES = 16 * 1024**3
"""Of the file: the embeddings of ten million faces."""
NAME = "distillation"
"""The name of its output and targets, next to those of the attributes."""


def all_targets(distillation: Distillation, files: Sequence[str], schema: Schema) -> dict[str, FloatArray]:
    """Name of an output -> its targets (N, K) float32: of embeddings and of probabilities, as far as they weigh.

    Raises TrainingError as `embedding_targets` and `probability_targets` do.
    """
    out = {NAME: embedding_targets(distillation, files)} if distillation.embeddings else {}
    return out | (probability_targets(distillation, files, schema) if distillation.probabilities else {})


def embedding_targets(distillation: Distillation, files: Sequence[str]) -> FloatArray:
    """(N, K) float32 of length 1 for each of the files of a data set; zeros for a file that is not in it.

    Raises TrainingError for a file of embeddings that is missing, is none, or knows none of these faces.
    """
    found = _rows(*_read(distillation, "embeddings"), files)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    unit: FloatArray = (found / np.where(length > 0, length, 1.0)).astype("float32")
    return unit


def probability_targets(distillation: Distillation, files: Sequence[str], schema: Schema) -> dict[str, FloatArray]:
    """ "distillation_ATTRIBUTE" -> (N, classes) float32 probabilities, for each attribute of which the file has some.

    They are scaled to sum to 1; zeros for a file that is not in it, or where they are not finite.
    Raises TrainingError for a file without any, with other classes, with negative ones, or that knows none of these
    faces.
    """
    out = {}
    for name, attribute in schema.attributes.items():
        what, names, values = _read(distillation, f"probabilities_{name}", optional=True)
        if values is None:
            continue
        if not _distilled(attribute) or values.shape[1] != len(attribute.classes) or (values < 0).any():
            valid = (
                f"must be (N, {len(attribute.classes)}), none below 0: {', '.join(attribute.classes)}"
                if _distilled(attribute)
                else "cannot be distilled, since a head has no output for each class"
            )
            raise TrainingError(f"{what}: 'probabilities_{name}' {valid}. Received: {values.shape}.")
        found = _rows(what, names, values, files)
        total = found.sum(axis=1, keepdims=True)
        out[f"{NAME}_{name}"] = (found / np.where(total > 0, total, 1.0)).astype("float32")
    if not out:
        valid = ", ".join(f"probabilities_{name}" for name, a in schema.attributes.items() if _distilled(a))
        raise TrainingError(
            f"distillation.probabilities: {distillation.file!r} has no probabilities. Valid arrays: {valid}."
        )
    return out


def _distilled(attribute: Attribute) -> bool:
    """Whether a head's outputs are one for each class, of which a face has one."""
    return attribute.exclusive and attribute.outputs == len(attribute.classes)


def _read(distillation: Distillation, key: str, optional: bool = False) -> tuple[str, np.ndarray, Any]:
    """What the file is called in messages, the names in it, and its (N, K) array of this name; None where optional."""
    path = Path(distillation.file)
    what = f"the {'embeddings' if key == 'embeddings' else 'probabilities'} {str(path)!r}"
    try:
        arrays = read_npz(path, MAX_BYTES, ("files",) if optional else ("files", key), (key,))
        if key not in arrays:
            return what, arrays["files"], None
        names, vectors = arrays["files"], arrays[key]
    except OSError as e:
        raise TrainingError(
            f"cannot read {what}: {e.strerror or e}. The recipe's distillation.file names them."
        ) from None
    except ValueError as e:
        raise TrainingError(f"{what} are no .npz with arrays 'files' and {key!r} ({e}).") from None
    if vectors.ndim != 2 or len(vectors) != len(names) or vectors.dtype.kind != "f":
        raise TrainingError(
            f"{what}: {key!r} must be (N, K) numbers for the N names in 'files'. Received: {vectors.shape} "
            f"{vectors.dtype} for {len(names)} names."
        )
    return what, names, vectors


def _rows(what: str, names: np.ndarray, vectors: np.ndarray, files: Sequence[str]) -> np.ndarray:
    """(N, K) of these files, zeros for one that is not among the names or whose numbers are not finite."""
    rows = {str(name): i for i, name in enumerate(names)}
    at = np.array([rows.get(name, -1) for name in files])
    if not (at >= 0).any():
        raise TrainingError(f"{what} know none of the {len(at):,} faces; its first is {str(names[0])!r}.")
    found = np.where(at[:, None] >= 0, vectors[at], 0.0)
    found[~np.isfinite(found).all(axis=1)] = 0.0
    return found


def embedding_loss(target: Any, output: Any) -> Any:
    """(B, K) unit vectors or zeros, (B, K) -> (B,): 1 less the cosine of the angle between them, 0 for zeros."""
    from keras import ops

    output = ops.cast(output, "float32")
    length = ops.sqrt(ops.sum(ops.square(output), axis=-1) + 1e-12)
    return ops.sum(ops.square(target), axis=-1) - ops.sum(target * output, axis=-1) / length


def probability_loss(target: Any, logits: Any) -> Any:
    """(B, K) probabilities or zeros, logits (B, K) -> (B,): their cross-entropy, 0 for zeros."""
    from keras import ops

    return -ops.sum(target * ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)


def fingerprint(distillation: Distillation) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(Path(distillation.file).read_bytes()).hexdigest()
