"""Writes a model as ONNX, LiteRT or SavedModel, with its metadata inside, and checks what was written."""

from __future__ import annotations

import importlib.util
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import FacefeatError, InputError, MissingExtraError, PluginError
from facefeat.export.metadata import FILE, KEY, ExportMetadata, format_of, output_name
from facefeat.export.network import export_graph
from facefeat.export.runtimes import outputs_of
from facefeat.networks.fingerprint import encoder_hash, model_hash
from facefeat.utils.atomic import atomic_file, atomic_folder, check_folder, check_writable

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder

TOLERANCE = 1e-3
"""How far a probability of an exported file may be from that of the model."""
_WHAT = "an exported model"
_SAVED_MODEL = {"assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"}


@dataclass(frozen=True)
class Exported:
    """What was written. difference: the largest between its probabilities and the model's on made crops; None where
    nothing is installed that runs the format."""

    path: Path
    format: str
    metadata: ExportMetadata
    difference: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        about = {"path": str(self.path), "format": self.format, "difference": self.difference}
        return {**about, "metadata": self.metadata.to_dict()}


def export_model(
    classifier: Classifier,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    latent: bool = False,
    decoder: FaceDecoder | None = None,
    about: Mapping[str, Any] | None = None,
) -> Exported:
    """Write the file (for "savedmodel" the folder) atomically; an earlier one is replaced.

    format: "onnx", "litert" or "savedmodel"; None for that of the ending, .onnx or .tflite. latent: whether it gives
    that too. about: its "name" and "licence", for the metadata. The result is run on made crops and must agree with the
    model.

    Raises InputError for a format or path that is not valid, or another Keras backend than TensorFlow;
    MissingExtraError without the extra `export`; PluginError where a component cannot be exported.
    """
    target = Path(path)
    kind = check_export(target, format)
    _check_model(classifier, decoder if latent else None)
    from facefeat._version import __version__

    graph = export_graph(classifier, latent=latent, decoder=decoder)
    outputs = {n: tuple(o.shape) for n, o in graph.output.items()}
    metadata = ExportMetadata(
        name=str((about or {}).get("name", "")),
        licence=str((about or {}).get("licence", "")),
        schema=classifier.schema,
        image_size=classifier.image_size,
        alignment=classifier.alignment,
        fingerprint=model_hash(classifier),
        encoder=encoder_hash(classifier, decoder),
        facefeat=__version__,
        answers={
            n: a.strategy.describe(a, classifier.calibration.of(n)) for n, a in classifier.schema.attributes.items()
        },
        latent_dim=int(outputs["latent"][-1]) if latent else 0,
    )
    crops = _made_crops(classifier.image_size)
    expected = {k: np.asarray(v) for k, v in graph.predict_on_batch(crops).items()}  # and Keras wants it called once
    folder = kind == "savedmodel"
    with atomic_folder(target, _WHAT, _SAVED_MODEL.__contains__) if folder else atomic_file(target) as new:
        _write(graph, new, kind, metadata, classifier)
        difference = _check(new, kind, crops, expected, classifier)
    return Exported(target, kind, metadata, difference)


def check_export(path: Path, format: str | None) -> str:
    """The format in which `path` would be written, before the work. Raises InputError and MissingExtraError."""
    kind = format_of(path, format)
    if kind == "savedmodel":
        check_folder(path, _WHAT, _SAVED_MODEL.__contains__)
    elif path.is_dir():
        raise InputError(f"{str(path)!r} is a folder. Give the name of a file.")
    check_writable(path)
    # Not by import: that would start TensorFlow, with its log.
    if kind == "onnx" and not all(importlib.util.find_spec(p) for p in ("onnx", "tf2onnx")):
        raise MissingExtraError('writing ONNX needs a converter. Next: pip install "facefeat[export]"')
    return kind


def _check_model(classifier: Classifier, decoder: FaceDecoder | None) -> None:
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise InputError(
            f"models are exported on the TensorFlow backend. Received: KERAS_BACKEND={backend}. A preset is the same "
            "on every backend: save it, and type KERAS_BACKEND=tensorflow facefeat export --preset FOLDER"
        )
    from facefeat.networks.keras_backend import can_jit

    parts = [(classifier.backbone, classifier.backbone_model), (classifier.head, classifier.head_model)]
    if decoder is not None and decoder.detail_encoder is not None:
        parts.append((decoder.ref, decoder.detail_encoder))
    for ref, model in parts:
        if not can_jit(model):
            raise PluginError(
                f"the component {ref.name!r} of {ref.distribution} calls Python, which no exported file can: it cannot "
                "be exported."
            )


def _write(graph: Any, new: Path, kind: str, metadata: ExportMetadata, classifier: Classifier) -> None:
    keras_name = {"onnx": "onnx", "litert": "litert", "savedmodel": "tf_saved_model"}[kind]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the converters, on NumPy's future
            graph.export(new, format=keras_name, verbose=False)
    except OSError:  # no room, or no right to write: the caller's sentence
        raise
    except Exception as e:  # a converter's errors share no base
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise PluginError(f"{_who(classifier)} cannot be written as {kind}: {first}") from e
    if kind == "onnx":
        _describe_onnx(new, metadata)
    elif kind == "litert":
        # LiteRT's own way for associated files: a zip after the model, which the runtime does not see.
        with zipfile.ZipFile(new, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(FILE), metadata.to_json())
    else:
        (new / "assets.extra").mkdir(exist_ok=True)
        (new / "assets.extra" / FILE).write_text(metadata.to_json(), "utf-8")


def _describe_onnx(path: Path, metadata: ExportMetadata) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, path)


def _check(
    new: Path, kind: str, crops: np.ndarray, expected: Mapping[str, np.ndarray], classifier: Classifier
) -> float | None:
    found = outputs_of(new, kind, crops)
    if found is None:
        return None
    if set(found) != set(expected):
        raise FacefeatError(f"the {kind} file has the outputs {sorted(found)}, not {sorted(expected)}.")
    worst = {n: float(np.abs(found[n] - expected[n]).max(initial=0)) for n in expected}
    scale = max(1.0, float(np.abs(expected["latent"]).max())) if "latent" in expected else 1.0
    if "latent" in worst:
        worst["latent"] /= scale
    allowed = dict.fromkeys(worst, TOLERANCE) | {
        output_name(n, suffix): far
        for n, a in classifier.schema.attributes.items()
        for suffix, far in a.strategy.tolerances.items()
    }
    # What may differ by more is in another unit than probabilities: it is checked, but not reported.
    difference = max((v for n, v in worst.items() if allowed[n] <= TOLERANCE), default=0.0)
    if any(not v <= allowed[n] for n, v in worst.items() if allowed[n] < np.inf):
        raise PluginError(f"{_who(classifier)}: the {kind} file answers otherwise than the model, by {difference:.2g}.")
    return difference


def _who(classifier: Classifier) -> str:
    return f"the model of backbone {classifier.backbone.name!r} and head {classifier.head.name!r}"


def _made_crops(size: int) -> np.ndarray:
    """(3, size, size, 3) uint8: noise, a slope, and black."""
    crops = np.zeros((3, size, size, 3), "uint8")
    crops[0] = np.random.default_rng(0).integers(0, 256, (size, size, 3))
    crops[1] = np.linspace(40, 220, size).astype("uint8")[:, None, None]
    return crops
