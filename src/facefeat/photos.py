"""From photos to faces: decode, detect, align, and read what the classifier says; one bad photo costs only itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facefeat.errors import ImageError
from facefeat.image import align_face, is_one_image, name_of, open_image
from facefeat.readout import face_result
from facefeat.types import Face, ImageResult

if TYPE_CHECKING:
    from facefeat.component import Detector
    from facefeat.types import Alignment, FaceBatch, ImageLike, UInt8Array

AT_ONCE = 16
"""Photos decoded and detected together: enough for the detector's batches, few enough for memory."""


class Reader(Protocol):
    """What reads aligned crops: a Classifier, or an exported model."""

    @property
    def image_size(self) -> int:
        """S, the side of its crops in pixels."""
        ...

    @property
    def alignment(self) -> Alignment:
        """The geometry of its crops."""
        ...

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
    found = dict(zip(opened, detector.detect_batch(list(opened.values())), strict=True))
    geometry = classifier.alignment, classifier.image_size
    crops = [align_face(opened[i], face, *geometry) for i, faces in found.items() for face in faces]
    batch = classifier.predict(np.stack(crops)) if crops else None
    results, row = [], 0
    for i, image in enumerate(images):
        source = name_of(image, first + i)
        if i in errors:
            results.append(ImageResult(source, error=errors[i]))
            continue
        faces = []
        for face in found[i]:
            assert batch is not None
            with_crop = Face(face.box, face.score, face.landmarks, crops[row])
            faces.append(face_result(with_crop, batch, row))
            row += 1
        height, width = opened[i].shape[:2]
        results.append(ImageResult(source, tuple(faces), (width, height)))
    return results


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
