"""Pictures as plain arrays: opening, checking, resizing and aligning them. Pure functions, no Keras.

Coordinates are continuous: the image spans (0, 0) to (width, height), the centre of its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from facefeat.errors import ImageError, InputError, did_you_mean
from facefeat.image.io import (
    FORMATS,
    MAX_PIXELS,
    PICTURE_SUFFIXES,
    check_pixels,
    is_one_image,
    is_picture_name,
    name_of,
    open_image,
)
from facefeat.types import Alignment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as PILImage

    from facefeat.types import Face, UInt8Array

__all__ = [
    "ALIGNMENTS",
    "FORMATS",
    "MARKS_IN_BOX",
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "align_face",
    "check_crops",
    "crop_side",
    "crop_transform",
    "get_alignment",
    "is_one_image",
    "is_picture_name",
    "name_of",
    "open_image",
    "paste_face",
    "resize_crop",
    "resize_crops",
    "similarity",
]


# ---------------------------------------------------------------- crops


def check_crops(crops: object) -> UInt8Array:
    """A batch of crops as an (N, H, W, 3) uint8 array; N may be 0.

    crops: such an array, anything that NumPy makes one of, or a list of (H, W, 3) uint8 arrays of one size.
    Raises ImageError for another shape or dtype, NaN, or crops without pixels.
    """
    import numpy as np

    valid = "Valid: (N, H, W, 3) uint8, RGB, 0 to 255"
    if isinstance(crops, list | tuple):
        if not crops:
            return np.zeros((0, 1, 1, 3), "uint8")
        shapes = sorted({np.shape(c) for c in crops}, key=str)
        if len(shapes) > 1:
            raise ImageError(f"the crops differ in shape. {valid}. Received: {', '.join(map(str, shapes[:4]))}.")
    elif not hasattr(crops, "__array__"):
        raise ImageError(f"not a batch of crops. {valid}. Received: {type(crops).__name__}.")
    array = np.asarray(crops)
    if array.ndim == 3 and array.shape[-1] == 3:
        raise ImageError(f"one crop where a batch belongs: give crop[None]. {valid}. Received: {array.shape}.")
    if array.shape[:1] == (0,) and array.ndim == 4:
        return np.zeros((0, 1, 1, 3), "uint8")
    return check_pixels(array, "the batch of crops", "N, H, W, 3")


def resize_crop(image: PILImage.Image | UInt8Array, size: int) -> UInt8Array:
    """An aligned crop, PIL or (H, W, 3) uint8 RGB, at (size, size, 3) uint8: antialiased bilinear.

    The only way in which crops are resized, for training and for prediction alike: a model that learnt from crops made
    smaller in one way reads those made in another way worse.
    """
    import numpy as np
    from PIL import Image

    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(picture)


def resize_crops(crops: UInt8Array, size: int) -> UInt8Array:
    """Crops (N, H, W, 3) uint8 -> (N, size, size, 3) uint8, each by `resize_crop`."""
    import numpy as np

    if crops.shape[1:] == (size, size, 3):
        return crops
    out = np.empty((len(crops), size, size, 3), "uint8")
    for i, crop in enumerate(crops):
        out[i] = resize_crop(crop, size)
    return out


# ---------------------------------------------------------------- alignment

ALIGNMENTS: dict[str, Alignment] = {
    # Means over the 198 of 200 UTKFace crops, evenly spread over the archive, in which the detector `mtcnn` finds a
    # face. Standard deviations: eyes 1.4 to 1.9 % of the side, nose 3.0 %, mouth 2.6 to 3.8 %.
    "utkface": Alignment(
        "utkface", ((0.3035, 0.2947), (0.6857, 0.2936), (0.4897, 0.5181), (0.3197, 0.6894), (0.6686, 0.6883))
    ),
    # The same over six FairFace crops of margin 0.25, 224 pixels; the eyes and the corners of the mouth levelled,
    # since the mean of so few heads is tilted by 1.7 degrees.
    "fairface-0.25": Alignment(
        "fairface-0.25", ((0.3190, 0.2932), (0.6739, 0.2932), (0.4978, 0.5248), (0.3393, 0.6744), (0.6464, 0.6744))
    ),
}
"""The geometries that models are trained on, by name."""

_SOFT = 0.08
"""Share of the crop's side, from each edge, over which a change begins when a face is pasted into its photo."""

MARKS_IN_BOX = ((0.325, 0.368), (0.684, 0.367), (0.499, 0.578), (0.341, 0.739), (0.668, 0.737))
"""Mean landmarks of the same 198 faces as fractions of their box, squared about its centre to its longer side."""


def get_alignment(value: str | Alignment) -> Alignment:
    """An alignment, or that of a name of ALIGNMENTS. Raises InputError for an unknown name."""
    if isinstance(value, Alignment):
        return value
    if value not in ALIGNMENTS:
        raise InputError(f"no such alignment. {did_you_mean(str(value), ALIGNMENTS)}")
    return ALIGNMENTS[value]


def similarity(src: Any, dst: Any) -> NDArray[np.float64]:
    """The turn, scale and shift that takes points nearest to others, in the least-squares sense.

    src, dst: (K, 2), K >= 2. Returns (2, 3) float64 M, to be used as `src @ M[:, :2].T + M[:, 2]`; it never mirrors.
    Raises InputError where the shapes differ, a number is not finite, or all points of src are one.
    Source: Umeyama 1991, in two dimensions, where complex numbers give his solution in one division.
    """
    import numpy as np

    a, b = np.asarray(src, "float64"), np.asarray(dst, "float64")
    if a.ndim != 2 or a.shape[1] != 2 or a.shape != b.shape or len(a) < 2:
        raise InputError(f"points must be two (K, 2) arrays of one shape, K >= 2. Received: {a.shape} and {b.shape}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("points must be finite numbers. Received: NaN or infinity.")
    z, w = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    z0, w0 = z.mean(), w.mean()
    spread = float(np.sum(np.abs(z - z0) ** 2))
    if spread <= 1e-12 * max(1.0, abs(z0) ** 2):
        raise InputError(f"all points are one, so they have no size and no direction. Received: {a.tolist()}.")
    turn = np.sum(np.conj(z - z0) * (w - w0)) / spread
    shift = w0 - turn * z0
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def align_face(image: UInt8Array, face: Face, alignment: Alignment, size: int) -> UInt8Array:
    """The face of an (H, W, 3) uint8 image as a (size, size, 3) uint8 crop in the geometry of an alignment.

    With landmarks: the similarity transform that takes them nearest to the alignment's. With a box alone: the average
    landmarks in such a box stand in. With a box that is the whole image and no landmarks: the image is a crop already;
    its largest central square is resized and nothing else. What lies outside the image is black, as in UTKFace and
    FairFace, whose crops were made the same way. Raises InputError where the landmarks or the box are one point.
    """
    import numpy as np
    from PIL import Image

    height, width = image.shape[:2]
    if _is_whole(face, width, height):
        left, top, side = _central_square(width, height)
        return resize_crop(np.ascontiguousarray(image[top : top + side, left : left + side]), size)
    to_crop = crop_transform(face, alignment, size, (width, height))
    to_image = np.linalg.inv(np.vstack([to_crop, [0, 0, 1]]))

    # 1. The part of the image that the crop shows, with two pixels more for the interpolation.
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ to_image[:2].T
    extent = np.array([width, height])
    left, top = np.clip(np.floor(corners.min(axis=0)) - 2, 0, extent - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 2, [left + 1, top + 1], extent).astype(int)
    part = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))

    # 2. Where it is larger than twice the crop: made smaller first, because an affine transform reads single pixels.
    factor = min(1.0, 2 * math.hypot(to_crop[0, 0], to_crop[1, 0]))
    small = (max(1, round(part.width * factor)), max(1, round(part.height * factor)))
    zoom = np.array([small[0] / part.width, small[1] / part.height])
    if small != part.size:
        part = part.resize(small, Image.Resampling.HAMMING)

    # 3. Turned at twice the crop's size, then resized as all crops are.
    linear, shift = to_image[:2, :2] / 2, to_image[:2, 2] - (left, top)
    linear, shift = linear * zoom[:, None], shift * zoom
    coefficients = (*linear[0], shift[0], *linear[1], shift[1])
    turned = part.transform((2 * size, 2 * size), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    return resize_crop(turned, size)


def crop_transform(face: Face, alignment: Alignment, size: int, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """(2, 3) float64 M that takes points of the image to those of `align_face`'s crop: `points @ M[:, :2].T + M[:, 2]`.

    image_size: (width, height). Raises InputError as `align_face`.
    """
    import numpy as np

    if _is_whole(face, *image_size):
        left, top, side = _central_square(*image_size)
        scale = size / side
        return np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    marks = _marks_in_box(face.box) if face.landmarks is None else face.landmarks
    found = similarity(marks, np.asarray(alignment.landmarks) * size)
    if not math.hypot(found[0, 0], found[1, 0]) > 1e-6:
        raise InputError(
            f"no turn and scale takes these landmarks to the crop's. Received: {np.asarray(marks).tolist()}."
        )
    return found


def crop_side(face: Face, alignment: Alignment, image_size: tuple[int, int]) -> float:
    """Side of a face's crop, in pixels of the image. image_size: (width, height). Raises as `align_face`."""
    to_crop = crop_transform(face, alignment, 1, image_size)
    return 1 / math.hypot(*to_crop[0, :2])


def paste_face(photo: UInt8Array, before: UInt8Array, after: UInt8Array, to_crop: NDArray[np.float64]) -> UInt8Array:
    """(H, W, 3) uint8 photo with a face changed: the difference of two crops of it is added, softly at their edges.

    before, after: (T, T, 3) uint8, the face as it was cut from the photo, and changed.
    to_crop: (2, 3) float64, takes points of the photo to pixels of the crop (`crop_transform`).
    A face outside the photo changes nothing.
    """
    import numpy as np
    from PIL import Image

    side = len(before)
    height, width = photo.shape[:2]
    ends = np.array([[0, 0], [side, 0], [0, side], [side, side]], "float64")
    corners = (ends - to_crop[:, 2]) @ np.linalg.inv(to_crop[:, :2]).T
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, [width, height]).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, [width, height]).astype(int)
    out = np.array(photo)
    if right <= left or bottom <= top:
        return out
    inward = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) / (_SOFT * side)
    ramp = np.minimum(inward, 1).astype("float32")
    change = (after.astype("float32") - before) * (ramp[:, None] * ramp)[..., None]
    shift = to_crop[:, :2] @ (left, top) + to_crop[:, 2]
    how = (*to_crop[0, :2], shift[0], *to_crop[1, :2], shift[1])
    place = (int(right - left), int(bottom - top))
    turned = [
        np.asarray(
            Image.fromarray(change[..., c]).transform(place, Image.Transform.AFFINE, how, Image.Resampling.BILINEAR)
        )
        for c in range(3)
    ]
    part = out[top:bottom, left:right]
    part[:] = np.rint(np.clip(part + np.stack([np.asarray(t) for t in turned], axis=-1), 0, 255))
    return out


def _is_whole(face: Face, width: int, height: int) -> bool:
    """Whether a face is the whole image: no landmarks, and its box."""
    import numpy as np

    return face.landmarks is None and np.allclose(face.box, (0, 0, width, height), atol=0.5)


def _central_square(width: int, height: int) -> tuple[int, int, int]:
    """(left, top, side) of the largest one."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side


def _marks_in_box(box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """(5, 2): where the landmarks of an average face are in a box, seen as a square about its centre."""
    import numpy as np

    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    return np.array([(left + right) / 2, (top + bottom) / 2]) + (np.asarray(MARKS_IN_BOX) - 0.5) * side
