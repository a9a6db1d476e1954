"""From photos to faces: decode, detect, align, predict; a bad photo does not affect the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np

from facefeat.errors import FacefeatError, ImageError, InputError
from facefeat.image.align import align_face, crop_side, crop_transform, is_one_image, name_of, paste_face
from facefeat.image.io import SCALES, Photo, one_large, open_photo
from facefeat.image.main_face import main_face
from facefeat.networks.postprocess import face_result
from facefeat.types import Face, ImageResult

if TYPE_CHECKING:
    from facefeat.plugins.contracts import Detector
    from facefeat.types import Alignment, FaceBatch, ImageLike, UInt8Array

AT_ONCE, PIXELS_AT_ONCE = 16, 64_000_000
"""Photos decoded and detected together, and their pixels, beyond which no further one is: enough for the detector's
batches, few enough for memory (192 MB, and one photo more)."""

_PIXELS = 2
"""So many pixels of a photo a crop's pixel is made of at least, along a side, where the photo has them."""

_MARGIN = 1.5
"""So many times the pixels that a detector sees, along a side, a reduced photo has at least. With 1, landmarks moved by
up to 0.8 pixels of a crop; with 1.5, by 0.2 of `centerface` and 0.5 of `mtcnn`, and no label of 69 photos changed."""

MAX_SIDE = 4096
"""Pixels of a crop's side at most."""


class Geometry(Protocol):
    """What defines the geometry of crops: a model or a Classifier."""

    @property
    def image_size(self) -> int:
        """S, the side of its crops in pixels."""
        ...

    @property
    def alignment(self) -> Alignment:
        """The geometry of its crops."""
        ...


class Reader(Geometry, Protocol):
    """What predicts from aligned crops: a Classifier."""

    def predict(self, crops: UInt8Array, faces: Sequence[Face] | None = None, /) -> FaceBatch:
        """(N, S, S, 3) uint8 -> calibrated predictions. faces: the faces that the crops were cut from."""
        ...


@overload
def read_images(images: ImageLike, detector: Detector, classifier: Reader) -> ImageResult: ...  # type: ignore[overload-overlap]  # a str is a Sequence[str], too
@overload
def read_images(images: Sequence[ImageLike], detector: Detector, classifier: Reader) -> list[ImageResult]: ...
def read_images(
    images: ImageLike | Sequence[ImageLike], detector: Detector, classifier: Reader
) -> ImageResult | list[ImageResult]:
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
    for group in _opened(images, side_to_keep(detector)):
        names = [name_of(images[i], i) for i in range(len(results), len(results) + len(group))]
        results += _read_some(names, group, detector, classifier)
    return results


def _opened(images: Sequence[ImageLike], side: int | None = None) -> Iterator[list[Photo | ImageError]]:
    """The images as `open_photo` opens them, or why not, in order and in groups that memory holds."""
    group: list[Photo | ImageError] = []
    pixels = 0
    for image in images:
        try:
            group.append(photo := open_photo(image, side))
            pixels += photo.pixels.size // 3
        except ImageError as e:
            group.append(e)
        if len(group) == AT_ONCE or pixels > PIXELS_AT_ONCE:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def _read_some(
    names: Sequence[str], group: Sequence[Photo | ImageError], detector: Detector, classifier: Reader
) -> list[ImageResult]:
    """The results of a group of opened images, of these names."""
    opened = {i: one for i, one in enumerate(group) if isinstance(one, Photo)}
    errors = {i: str(one) for i, one in enumerate(group) if isinstance(one, ImageError)}
    found: dict[int, list[Face]] = {}
    for i, faces in zip(opened, faces_of(list(opened.values()), detector, classifier), strict=True):
        if isinstance(faces, str):
            errors[i] = faces
        else:
            found[i] = faces
    every = [face for faces in found.values() for face in faces]
    crops = [face.crop for face in every if face.crop is not None]
    batch = classifier.predict(np.stack(crops), every) if crops else None
    results, row = [], 0
    for i, source in enumerate(names):
        if i in errors:
            results.append(ImageResult(source, error=errors[i]))
            continue
        read = []
        for face in found[i]:
            assert batch is not None
            read.append(face_result(face, batch, row))
            row += 1
        results.append(ImageResult(source, tuple(read), opened[i].size))
    return results


def side_to_keep(detector: Detector) -> int | None:
    """The longer side in pixels that a detector needs of a picture, where it says what it sees; else None."""
    side = getattr(detector, "seen_side", None)
    return int(_MARGIN * side) if isinstance(side, int) and side > 0 else None


def faces_of(
    photos: Sequence[Photo], detector: Detector, geometry: Geometry, each: Callable[..., Iterable[Any]] = map
) -> list[list[Face] | str]:
    """The faces of each photo with their crops, or the reason why there are none: one sentence.

    Boxes and landmarks are in pixels of the whole photo. each: `map`, or that of a pool, whose threads cut the crops.

    Only faults of the picture are reasons; errors of the detector itself (a missing extra) are
    raised.
    """
    found = _detect([p.pixels for p in photos], detector)
    return list(each(partial(_aligned, geometry=geometry), photos, found))


def _detect(images: Sequence[UInt8Array], detector: Detector) -> list[list[Face] | str]:
    try:
        found = list(detector.detect_batch(list(images))) if images else []
        if len(found) != len(images):
            raise TypeError(f"it gave {len(found)} lists of faces for {len(images)} pictures")
        return [as_faces(faces) for faces in found]
    except (FacefeatError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as e:  # noqa: BLE001 - it may be a plugin's; which picture it was is found below
        if len(images) == 1:
            return [f"the detector failed: {' '.join(str(e).split())[:200] or type(e).__name__}"]
        return [_detect([image], detector)[0] for image in images]


def as_faces(found: Any) -> list[Face]:
    """What a detector gave for one picture. Raises TypeError for anything but faces as the contract has them."""
    faces = list(found)
    for face in faces:
        if not isinstance(face, Face):
            raise TypeError(f"it gave {type(face).__name__} where a Face is wanted")
        numbers = np.asarray([*face.box, face.score])
        marks = None if face.landmarks is None else np.asarray(face.landmarks)
        if numbers.shape != (5,) or numbers.dtype.kind not in "fiu":
            raise TypeError("a box has four numbers, and a score is one")
        if marks is not None and (marks.shape != (5, 2) or marks.dtype.kind not in "fiu"):
            raise TypeError("landmarks are five pairs of numbers")
    return faces


def _aligned(photo: Photo, faces: list[Face] | str, geometry: Geometry) -> list[Face] | str:
    if isinstance(faces, str) or not faces:
        return faces
    try:
        given = _size(photo.pixels)
        whole = [_rescaled(f, given, photo.size, photo.scale) for f in faces]
        sides = [crop_side(f, geometry.alignment, photo.size) for f in whole]
        # A crop is first made twice as large as it will be: from more pixels than that nothing is gained.
        scale = next((s for s in SCALES if min(sides) >= _PIXELS * s * geometry.image_size), 1)
        with one_large(photo.size[0] * photo.size[1] // scale**2):
            photo = photo.finer(scale)
            seen = [_rescaled(f, photo.size, _size(photo.pixels), 1 / photo.scale) for f in whole]
            crops = [align_face(photo.pixels, f, geometry.alignment, geometry.image_size) for f in seen]
        return [replace(f, crop=crop) for f, crop in zip(whole, crops, strict=True)]
    except ImageError as e:
        return str(e)
    except (FacefeatError, MemoryError) as e:
        return f"the detector gave a face that cannot be aligned: {str(e) or 'it needs more memory than there is'}"


def _size(pixels: UInt8Array) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[0]


def _rescaled(face: Face, before: tuple[int, int], after: tuple[int, int], factor: float) -> Face:
    """A face of a picture in another size of it, (width, height) each: an edge of the picture stays one."""
    if factor == 1:
        return face
    edges = zip(face.box, before * 2, after * 2, strict=True)
    left, top, right, bottom = (new if at == old else at * factor for at, old, new in edges)
    marks = None if face.landmarks is None else (face.landmarks * factor).astype("float32")
    return replace(face, box=(left, top, right, bottom), landmarks=marks)


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """A face and the photo that it is in, to be cut out at any size, and pasted back.

    Attributes:
        photo: (H, W, 3) uint8 RGB, upright.
        face: where it is, in pixels of the photo.
        alignment: the geometry of its crops.
    """

    photo: UInt8Array
    face: Face
    alignment: Alignment

    def cut(self, size: int) -> UInt8Array:
        """The aligned crop, (size, size, 3) uint8."""
        return align_face(self.photo, self.face, self.alignment, size)

    @property
    def side(self) -> float:
        """Side of the crop in pixels of the photo."""
        return crop_side(self.face, self.alignment, _size(self.photo))

    def paste(self, before: UInt8Array, after: UInt8Array) -> UInt8Array:
        """(H, W, 3) uint8, the photo with the face changed, from `before` to `after`: (T, T, 3) uint8 crops of it."""
        return paste_face(self.photo, before, after, self._to_crop(len(before)))

    def _to_crop(self, size: int) -> np.ndarray:
        return crop_transform(self.face, self.alignment, size, _size(self.photo))


def photo_faces(photo: UInt8Array, detector: Detector, geometry: Geometry) -> list[PhotoFace]:
    """The faces of an (H, W, 3) uint8 photo, largest first. Raises ImageError where the detector fails."""
    (found,) = faces_of([Photo(photo, _size(photo), 1, photo)], detector, geometry)
    if isinstance(found, str):
        raise ImageError(found)
    return [PhotoFace(photo, face, geometry.alignment) for face in found]


def main_faces(
    images: ImageLike | Sequence[ImageLike], detector: Detector, alignment: Alignment
) -> Iterator[PhotoFace]:
    """The main face of each image (`image.main_face`), or the whole image where none is found.

    Raises ImageError for an image that cannot be read.
    """
    listed: list[Any] = [images] if is_one_image(images) else list(images)  # type: ignore[arg-type]
    for group in _opened(listed):
        opened = []
        for photo in group:
            if isinstance(photo, ImageError):
                raise photo
            opened.append(photo.pixels)
        for image, faces in zip(opened, _detect(opened, detector), strict=True):
            if isinstance(faces, str):
                raise ImageError(faces)
            height, width = image.shape[:2]
            face = faces[main_face(faces, (width, height))] if faces else Face((0, 0, width, height))
            yield PhotoFace(image, face, alignment)


def align(images: ImageLike | Sequence[ImageLike], detector: Detector, geometry: Geometry) -> UInt8Array:
    """(N, S, S, 3) uint8 crops of the `main_faces`."""
    return align_at(images, detector, geometry.alignment, (geometry.image_size,))[0]


def align_at(
    images: ImageLike | Sequence[ImageLike], detector: Detector, alignment: Alignment, sizes: Sequence[int]
) -> list[UInt8Array]:
    """For each size the (N, size, size, 3) uint8 crops of the `main_faces`; each image is decoded once.

    Raises InputError for a size that is not valid.
    """
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_SIDE:
            raise InputError(f"size must be a whole number of pixels from 1 to {MAX_SIDE:,}. Received: {size!r}.")
    crops = [[face.cut(size) for size in sizes] for face in main_faces(images, detector, alignment)]
    return [np.stack([c[i] for c in crops]) if crops else np.zeros((0, s, s, 3), "uint8") for i, s in enumerate(sizes)]
