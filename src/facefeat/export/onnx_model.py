"""An ONNX file that facefeat wrote, read by onnxruntime: no Keras, no TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError, MissingExtraError
from facefeat.export.metadata import KEY, LATENT, ExportMetadata
from facefeat.networks.classifier import run_in_batches

if TYPE_CHECKING:
    import numpy as np

    from facefeat.plugins.contracts import Detector
    from facefeat.schema import Schema
    from facefeat.types import Alignment, FaceBatch, FloatArray, ImageLike, UInt8Array


class OnnxModel:
    """Reads faces as the FaceFeatureModel does that was exported.

    >>> OnnxModel("model.onnx").predict_faces(crops).labels["gender"]
    array(['Female'], dtype='<U6')
    """

    def __init__(self, path: str | os.PathLike[str], *, detector: str = "mtcnn", threads: int = 0) -> None:
        """path: a file of `facefeat export --format onnx`. threads: of onnxruntime; 0 for its own choice.

        detector: finds the faces in photos (`predict`); it is built when the first photo is read. "whole-image" takes
        photos for crops, and needs nothing beside onnxruntime; the built-in "mtcnn" imports TensorFlow.
        Raises InputError for a file that is not there, is no ONNX or not facefeat's; UnknownComponentError;
        MissingExtraError without the extra `onnx`.
        """
        from facefeat.plugins.registry import get_registry

        self._session = open_session(Path(path), threads)
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise InputError(
                f"{str(path)!r} is an ONNX file without facefeat's metadata. Valid: a file that "
                "`facefeat export --format onnx -o model.onnx` wrote."
            )
        self.metadata = ExportMetadata.from_json(text, repr(str(path)))
        get_registry().get("detector", detector)
        self._detector_name = detector
        self._detector: Detector | None = None

    @property
    def name(self) -> str:
        """The name of the preset that it was made from."""
        return self.metadata.name

    @property
    def schema(self) -> Schema:
        """The attributes that the model reads."""
        return self.metadata.schema

    @property
    def image_size(self) -> int:
        """S, the side of a crop in pixels."""
        return self.metadata.image_size

    @property
    def alignment(self) -> Alignment:
        """The geometry of the crops that the model was trained on."""
        return self.metadata.alignment

    @property
    def detector(self) -> Detector:
        """The face detector, built at first use."""
        if self._detector is None:
            from facefeat.plugins.registry import get_registry

            self._detector = get_registry().build("detector", self._detector_name)
        return self._detector

    def predict_faces(self, crops: UInt8Array) -> FaceBatch:
        """Predictions for crops that are already aligned, as of `FaceFeatureModel.predict_faces`.

        crops: (N, H, W, 3) uint8, of any size; resized to (N, S, S, 3). Raises InputError for anything else.
        """
        return self.metadata.batch(self._run(self.metadata.outputs, crops))

    def encode(self, crops: UInt8Array) -> FloatArray:
        """(N, H, W, 3) uint8 crops -> (N, D) float32 latents. Raises InputError where the file has no such output."""
        if not self.metadata.latent_dim:
            raise InputError(f"{self.name!r} was exported without latents. Next: facefeat export --latent")
        latents: FloatArray = self._run((LATENT,), crops)[LATENT]
        return latents

    def predict(self, images: ImageLike | Sequence[ImageLike]) -> Any:
        """Every face of an image, with its attributes, as of `FaceFeatureModel.predict`; here the detector runs."""
        from facefeat.pipeline import read_images

        return read_images(images, self.detector, _Reader(self))

    def _run(self, names: Sequence[str], crops: UInt8Array) -> dict[str, np.ndarray]:
        from facefeat.image.align import check_crops, resize_crops

        s = self.image_size
        sized = resize_crops(check_crops(crops), s)

        def run(batch: np.ndarray) -> dict[str, np.ndarray]:
            return dict(zip(names, self._session.run(list(names), {"crops": batch}), strict=True))

        outputs: dict[str, np.ndarray] = run_in_batches(run, sized, (s, s, 3))
        return outputs

    def __repr__(self) -> str:
        return f"OnnxModel({self.name!r}, schema={self.schema.name!r}, image_size={self.image_size})"


class _Reader:
    """The model as `photos` wants it: crops in, a FaceBatch out."""

    def __init__(self, model: OnnxModel) -> None:
        self.alignment, self.image_size, self.predict = model.alignment, model.image_size, model.predict_faces


def open_session(path: Path, threads: int = 0) -> Any:
    """An onnxruntime session. Raises InputError for a file that is not there or is no ONNX, and MissingExtraError."""
    # From 1.32 on it would keep a database of telemetry in the user's home. Its own switch, read when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("running ONNX needs onnxruntime. Type: pip install 'facefeat[onnx]'") from None
    if not path.is_file():
        raise InputError(f"no such ONNX file: {str(path)!r}. Next: facefeat export --format onnx -o model.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors: its warnings go to standard error, and say nothing to a user
    # All that the installed package has, but TensorRT: it compiles the model anew at each start, and where its own
    # libraries are missing, as they mostly are, it complains on standard error.
    providers = [p for p in onnxruntime.get_available_providers() if "tensorrt" not in p.lower()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as e:  # onnxruntime's own errors share no public base
        first = str(e).strip().splitlines()[0]
        raise InputError(f"{str(path)!r} is no ONNX file that can be read: {first}") from e
