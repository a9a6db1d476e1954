"""From photos to faces: decode, detect, align, and read what the classifier says; one bad photo costs only itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facefeat.errors import FacefeatError, ImageError
from facefeat.image.align import align_face, is_one_image, name_of, open_image
from facefeat.networks.postprocess import face_result
from facefeat.types import Face, ImageResult

if TYPE_CHECKING:
    from facefeat.plugins.contracts import Detector
    from facefeat.types import Alignment, FaceBatch, ImageLike, UInt8Array

AT_ONCE = 16
"""Photos decoded and detected together: enough for the detector's batches, few enough for memory."""


class Geometry(Protocol):
    """What says how a face becomes a crop: a model, a Classifier, or an exported one."""

    @property
    def image_size(self) -> int:
        """S, the side of its crops in pixels."""
        ...

    @property
    def alignment(self) -> Alignment:
        """The geometry of its crops."""
        ...


class Reader(Geometry, Protocol):
    """What reads aligned crops: a Classifier, or an exported model."""

    def predict(self, crops: UInt8Array, /) -> FaceBatch:
        """(N, S, S, 3) uint8 -> calibrated predictions."""
        ...


def read_images(images: ImageLike | Sequence[ImageLike], detector: Detector, classifier: Reader) -> Any:
    """An ImageResult for one image, a list of them for several, in order.

    A bad image in a list is a result with `.error` set; alone, it raises ImageError.
    """
    if not is_one_image(images):
        return read_photos(list(images), detector, classifier)  # type: ignore[arg-type]
    (result,) = read_photos([images], detector, classifier)  # type: ignore[list-item]
    if result.error is not None:
        raise ImageError(result.error)
    return result


def read_photos(images: Sequence[ImageLike], detector: Detector, classifier: Reader) -> list[ImageResult]:
    """One ImageResult for each image, in order; a bad one is a result with `.error` set."""
    results: list[ImageResult] = []
    for start in range(0, len(images), AT_ONCE):
        results += _read_some(images[start : start + AT_ONCE], start, detector, classifier)
    return results


def _read_some(images: Sequence[ImageLike], first: int, detector: Detector, classifier: Reader) -> list[ImageResult]:
    opened: dict[int, UInt8Array] = {}
    errors: dict[int, str] = {}
    for i, image in enumerate(images):
        try:
            opened[i] = open_image(image)
        except ImageError as e:
            errors[i] = str(e)
    found: dict[int, list[Face]] = {}
    for i, faces in zip(opened, faces_of(list(opened.values()), detector, classifier), strict=True):
        if isinstance(faces, str):
            errors[i] = faces
        else:
            found[i] = faces
    crops = [face.crop for faces in found.values() for face in faces if face.crop is not None]
    batch = classifier.predict(np.stack(crops)) if crops else None
    results, row = [], 0
    for i, image in enumerate(images):
        source = name_of(image, first + i)
        if i in errors:
            results.append(ImageResult(source, error=errors[i]))
            continue
        read = []
        for face in found[i]:
            assert batch is not None
            read.append(face_result(face, batch, row))
            row += 1
        height, width = opened[i].shape[:2]
        results.append(ImageResult(source, tuple(read), (width, height)))
    return results


def faces_of(images: Sequence[UInt8Array], detector: Detector, geometry: Geometry) -> list[list[Face] | str]:
    """The faces of each (H, W, 3) uint8 image with their crops, or the reason why there are none: one sentence.

    Only what is wrong with a picture is a reason; what facefeat itself says of the detector (a missing extra) is
    raised.
    """
    return [_aligned(image, faces, geometry) for image, faces in zip(images, _detect(images, detector), strict=True)]


def _detect(images: Sequence[UInt8Array], detector: Detector) -> list[list[Face] | str]:
    try:
        return list(detector.detect_batch(list(images))) if images else []
    except FacefeatError:
        raise
    except Exception as e:  # noqa: BLE001 - a detector may be a stranger's; which picture it was is found out below
        if len(images) == 1:
            return [f"the detector failed: {' '.join(str(e).split())[:200] or type(e).__name__}"]
        return [_detect([image], detector)[0] for image in images]


def _aligned(image: UInt8Array, faces: list[Face] | str, geometry: Geometry) -> list[Face] | str:
    if isinstance(faces, str):
        return faces
    try:
        return [replace(f, crop=align_face(image, f, geometry.alignment, geometry.image_size)) for f in faces]
    except FacefeatError as e:
        return f"the detector gave a face that cannot be aligned: {e}"


def largest_faces(
    images: ImageLike | Sequence[ImageLike], detector: Detector, alignment: Alignment, size: int
) -> UInt8Array:
    """(N, size, size, 3) uint8 crops: the largest face of each image, or the whole image where none is found.

    Raises ImageError for an image that cannot be read.
    """
    crops = []
    listed: list[Any] = [images] if is_one_image(images) else list(images)  # type: ignore[arg-type]
    for start in range(0, len(listed), AT_ONCE):
        opened = [open_image(i) for i in listed[start : start + AT_ONCE]]
        for image, faces in zip(opened, detector.detect_batch(opened), strict=True):
            height, width = image.shape[:2]
            face = faces[0] if faces else Face((0, 0, width, height))
            crops.append(align_face(image, face, alignment, size))
    return np.stack(crops) if crops else np.zeros((0, size, size, 3), "uint8")
