"""Pictures as plain arrays: opening, checking, resizing and aligning them. Pure functions, no Keras.

Coordinates are continuous: the image spans (0, 0) to (width, height), the centre of its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from facefeat.errors import ImageError, InputError, did_you_mean
from facefeat.types import Alignment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as PILImage

    from facefeat.types import Face, ImageLike, UInt8Array

MAX_PIXELS = 178_956_970
"""Pictures of more pixels are refused before they are decoded; also where Pillow refuses, unless told otherwise."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "MPO")
"""Pillow's names of the formats that are tried. A closed list: some of its readers start other programs (EPS)."""

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .avif .jp2 .j2k .ppm .pgm .pbm .pnm .mpo".split()
)
"""What counts as a picture when a folder is searched. A file named by itself is tried whatever its name."""

_READABLE = "Readable: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF"
_ORIENTATION_TAG = 0x0112

# What Pillow's readers raise on damaged data. On 22,000 pictures of 19 kinds, damaged at random, no error was seen
# but those of the first line; the second is what such code may raise when it believes a wrong number.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error),
    *(LookupError, ArithmeticError, TypeError, AttributeError),
)

_open_lock = threading.Lock()  # warnings.catch_warnings swaps a global list


# ---------------------------------------------------------------- opening


def is_picture_name(path: str) -> bool:
    """By its ending; hidden files are not the user's photos (macOS leaves `._photo.jpg` beside photo.jpg)."""
    base = os.path.basename(path)
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in PICTURE_SUFFIXES


def is_one_image(images: object) -> bool:
    """Whether this is one image, as `open_image` takes it, rather than several."""
    import numpy as np

    if isinstance(images, np.ndarray):
        return images.ndim != 4
    return isinstance(images, str | bytes | bytearray) or not isinstance(images, Iterable)


def name_of(image: object, index: int) -> str:
    """What to call an image in a result: its path, or "image 3"."""
    return str(image) if isinstance(image, str) or hasattr(image, "__fspath__") else f"image {index}"


def open_image(source: ImageLike) -> UInt8Array:
    """The upright picture as an (H, W, 3) uint8 RGB array.

    source: a path, the bytes of a picture file, a PIL image or an (H, W, 3) uint8 RGB array. EXIF orientation is
    honoured; transparency lies on white; of an animation the first frame counts; 16-bit and float pictures are scaled
    to 8 bits. The array may be read-only, and is the given one where an array was given. Raises ImageError, in one
    sentence, for whatever cannot be read: missing, empty or truncated files, folders, other formats, more than
    MAX_PIXELS pixels, arrays of another shape or dtype.
    """
    import numpy as np
    from PIL import Image

    if isinstance(source, np.ndarray):
        array = _checked(source, "the array", "H, W, 3")
        if array.shape[0] * array.shape[1] > MAX_PIXELS:
            raise _too_large("the array", f"{array.shape[1]:,} x {array.shape[0]:,} pixels")
        return array
    if isinstance(source, Image.Image):
        return _from_pil(source, "the PIL image")
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        if not data:
            raise ImageError(f"cannot read the picture: received 0 bytes. {_READABLE}.")
        return _from_file(io.BytesIO(data), f"the picture of {len(data):,} bytes")
    if isinstance(source, str | os.PathLike):
        return _from_path(os.fspath(source))
    raise ImageError(
        "not a picture. Valid: a path, bytes, a PIL image or an (H, W, 3) uint8 array. "
        f"Received: {type(source).__name__}."
    )


def _from_path(path: str) -> UInt8Array:
    name = repr(path if len(path) <= 200 else f"{path[:60]}...{path[-100:]}")
    if os.path.isdir(path):
        raise ImageError(f"{name} is a folder. Valid: the path of one picture.")
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0 and os.path.isfile(path):
                raise ImageError(f"{name} is empty (0 bytes).")
            return _from_file(file, name)
    except FileNotFoundError:
        raise ImageError(f"no such file: {name}.") from None
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path; _from_file lets out ImageError alone
        if isinstance(e, ImageError):
            raise
        raise ImageError(f"cannot read {name}: {getattr(e, 'strerror', None) or e}.") from None


def _from_file(file: Any, name: str) -> UInt8Array:
    from PIL import Image, UnidentifiedImageError

    try:
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the limit here
            picture = Image.open(file, formats=_formats())
    except Image.DecompressionBombError as e:
        count = re.search(r"\d+", str(e))
        raise _too_large(name, f"{int(count.group()):,} pixels" if count else "too many pixels") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture that can be read{_looks_like(file)}. {_READABLE}.") from None
    except _DAMAGE as e:
        raise _damaged(name, e) from None
    with picture:
        return _from_pil(picture, name)


@cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow was built with."""
    from PIL import Image

    Image.init()
    return tuple(f for f in FORMATS if f in Image.OPEN)


def _from_pil(picture: PILImage.Image, name: str) -> UInt8Array:
    import numpy as np
    from PIL import Image

    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width:,} x {height:,} pixels")
    if width == 0 or height == 0:
        raise ImageError(f"{name} has no pixels: {width} x {height}.")
    try:
        picture.load()
        upright = _upright(picture)
        if upright.mode.startswith("I") or upright.mode == "F":
            grey = _to_8_bits(np.asarray(upright), 65535 if upright.mode.startswith("I;16") else None, name)
            upright = Image.fromarray(grey)
        elif upright.has_transparency_data:
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        return np.asarray(upright if upright.mode == "RGB" else upright.convert("RGB"))
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(name, "too many pixels") from None
    except _DAMAGE as e:
        raise _damaged(name, e) from None


def _upright(picture: PILImage.Image) -> PILImage.Image:
    """The picture turned as its EXIF orientation says; broken EXIF counts as none, for the pixels are still good."""
    from PIL.Image import Transpose

    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG)
    except _DAMAGE:
        orientation = None
    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation if isinstance(orientation, int) else 1)
    return picture if turn is None else picture.transpose(turn)


def _to_8_bits(values: NDArray[Any], white: int | None, name: str) -> UInt8Array:
    """(H, W) of any number type -> (H, W) uint8. white: the value of white; None: the least usual one that holds all.

    Files of 32-bit integers and floats do not say what white is: it is 1 (floats), 255 or 65535.
    """
    import numpy as np

    if not np.isfinite(values).all():
        raise ImageError(f"{name} holds NaN or infinite values. Valid: finite numbers.")
    low, high = float(values.min()), float(values.max())
    if white is None:
        whites = [1, 255, 65535] if values.dtype.kind == "f" else [255, 65535]
        white = next((w for w in whites if high <= w), None)
    if white is None or low < 0:
        raise ImageError(f"{name} holds values from {low:g} to {high:g}. Valid: 0..1, 0..255 or 0..65535.")
    return np.rint(values * (255.0 / white)).astype("uint8")


def _checked(array: NDArray[Any], what: str, axes: str) -> UInt8Array:
    """The array, where it is uint8 with as many axes as named and three channels. Raises ImageError."""
    import numpy as np

    received = f"Valid: ({axes}) uint8, RGB, 0 to 255. Received: {array.shape} {array.dtype}."
    if array.dtype.kind == "f" and array.size and not np.isfinite(array).all():
        raise ImageError(f"{what} holds NaN or infinite values. {received}")
    if array.ndim != len(axes.split(",")) or array.shape[-1] != 3:
        raise ImageError(f"{what} has a wrong shape. {received}")
    if array.dtype != np.uint8:
        raise ImageError(f"{what} has a wrong dtype. {received}")
    if 0 in array.shape[-3:]:
        raise ImageError(f"{what} has no pixels. {received}")
    return array


def _too_large(name: str, received: str) -> ImageError:
    return ImageError(f"{name} is too large. Received: {received}. Valid: up to {MAX_PIXELS:,} pixels; scale it down.")


def _damaged(name: str, error: BaseException) -> ImageError:
    detail = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in detail.lower():
        return ImageError(f"{name} is truncated: its last part is missing.")
    return ImageError(f"{name} is damaged or of a kind that cannot be read ({detail[:120]}).")


def _looks_like(file: Any) -> str:
    """What a file that Pillow does not know probably is, as ": it looks like ..."; empty where that is not known."""
    try:
        file.seek(0)
        head = file.read(512)
    except OSError:
        return ""
    if head[4:8] == b"ftyp":
        still = head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
        return ": it looks like HEIC; save it as JPEG" if still else ": it looks like a video; give single frames"
    if head[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):
        return ": it looks like a video; give single frames"
    if head[:4] == b"%PDF":
        return ": it looks like PDF"
    if head[:2] == b"%!":
        return ": it looks like PostScript"
    if b"<svg" in head:
        return ": it looks like SVG"
    if b"\0" not in head:
        return ": it looks like text"
    return ""


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
    return _checked(array, "the batch of crops", "N, H, W, 3")


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
    marks: NDArray[Any] | None = face.landmarks
    if marks is None:
        if np.allclose(face.box, (0, 0, width, height), atol=0.5):
            side = min(width, height)
            top, left = (height - side) // 2, (width - side) // 2
            return resize_crop(np.ascontiguousarray(image[top : top + side, left : left + side]), size)
        marks = _marks_in_box(face.box)
    to_crop = similarity(marks, np.asarray(alignment.landmarks) * size)
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


def _marks_in_box(box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """(5, 2): where the landmarks of an average face are in a box, seen as a square about its centre."""
    import numpy as np

    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    return np.array([(left + right) / 2, (top + bottom) / 2]) + (np.asarray(MARKS_IN_BOX) - 0.5) * side
