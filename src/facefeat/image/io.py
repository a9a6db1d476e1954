"""Opening pictures: a path, bytes, a PIL image or an array in, the upright pixels out, or one sentence why not."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from facefeat.errors import ImageError
from facefeat.image.headers import endless
from facefeat.utils.files import open_regular, walk

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image as PILImage

    from facefeat.types import ImageLike, UInt8Array

MAX_PICTURE_BYTES = 256 * 1024**2
"""A larger file is not read: no photo is that large, and an archive may declare anything."""

MAX_PIXELS = 178_956_970
"""Pictures of more pixels are refused before they are decoded; also where Pillow refuses, unless set otherwise."""

MAX_SIDE = 100_000
"""Pictures of a longer side are refused: no camera makes them, and readers take memory for each row."""

LARGE_PIXELS = 32_000_000
"""Pictures of more pixels are decoded one at a time, whatever number of threads there is."""

# HEIF is read where the extra `heic` is installed.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "MPO", "HEIF")
"""Pillow's names of the formats that are tried. A closed list: some of its readers start other programs (EPS)."""

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .avif .jp2 .j2k .ppm .pgm .pbm .pnm .mpo .heic .heif".split()
)
"""What counts as a picture when a folder is searched. A file named by itself is tried whatever its name."""

_READABLE = "Readable: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF"
_ORIENTATION_TAG, _BITS_TAG = 0x0112, 0x0102

# What Pillow's readers raise on damaged data. On 22,000 pictures of 19 kinds, damaged at random, no error was seen
# but those of the first line; the second is what such code may raise when it believes a wrong number.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error),
    *(LookupError, ArithmeticError, TypeError, AttributeError),
)

# A picture of more than _WHOLE pixels is converted _BAND at a time. These stay in a core's cache: 12.9 megapixels take
# 94 ms instead of 110, decoding included. And no second copy of all is held.
_BAND, _WHOLE = 250_000, 2_000_000

_open_lock = threading.Lock()  # warnings.catch_warnings swaps a global list
_large_lock = threading.RLock()


class TooManyPixels(ImageError):
    """A picture of more pixels than was asked for; it may be read with a higher limit."""


def one_large(pixels: int) -> AbstractContextManager[Any]:
    """Entered by one thread at a time where a picture of so many pixels is large, else by any number."""
    return _large_lock if pixels > LARGE_PIXELS else nullcontext()


def is_picture_name(path: str) -> bool:
    """By its ending; hidden files are not the user's photos (macOS leaves `._photo.jpg` next to photo.jpg)."""
    base = os.path.basename(path)
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in PICTURE_SUFFIXES


def pictures_below(folder: str) -> Iterator[tuple[str, str | None]]:
    """(path, None) of each picture in a folder and those below it, and (folder, reason) where one cannot be listed.

    Sorted: a folder's own pictures come before those of its subfolders. Hidden ones are left out.
    """
    for path, fault in walk(folder):
        if fault is not None:
            yield path, f"cannot read the folder {path!r}: {fault.strerror}."
        elif is_picture_name(path):
            yield path, None


def is_one_image(images: object) -> bool:
    """Whether this is one image, as `open_image` takes it or refuses it, rather than several.

    An open file, a dictionary, a table and a tensor are one, to be refused as such: their lines, keys, columns and rows
    are no pictures.
    """
    import numpy as np

    if isinstance(images, np.ndarray):
        return images.ndim != 4
    if isinstance(images, str | bytes | bytearray | memoryview | Mapping) or not isinstance(images, Iterable):
        return True
    return hasattr(images, "read") or len(getattr(images, "shape", ())) > 1


def name_of(image: object, index: int) -> str:
    """What to call an image in a result: its path, or "image 3"."""
    return str(image) if isinstance(image, str) or hasattr(image, "__fspath__") else f"image {index}"


def open_image(source: ImageLike) -> UInt8Array:
    """The upright picture as an (H, W, 3) uint8 RGB array.

    source: a path, the bytes of a picture file, a PIL image or an (H, W, 3) uint8 RGB array. EXIF orientation is
    honoured; transparency lies on white; of an animation the first frame counts; 16-bit and float pictures are scaled
    to 8 bits. The array may be read-only, and is the given one where an array was given. Raises ImageError, in one
    sentence, for whatever cannot be read: missing, empty or truncated files, folders, other formats, more than
    MAX_PIXELS pixels, sides over MAX_SIDE, arrays of another shape or dtype, what this machine's memory does not hold.
    """
    return open_photo(source).pixels


@dataclass(frozen=True, eq=False)
class Photo:
    """An opened picture; a large JPEG may be decoded to a fraction of its size, which takes a fraction of the time.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, upright.
        size: (W, H) of the whole picture, upright.
        scale: 1, 2, 4 or 8: pixels of the whole picture along the side of one of `pixels`.
        source: what it was opened from.
    """

    pixels: UInt8Array
    size: tuple[int, int]
    scale: int
    source: ImageLike

    def finer(self, scale: int) -> Photo:
        """The picture decoded again, with a smaller `scale`. Raises ImageError as `open_image`."""
        return self if scale >= self.scale else _opened(self.source, lambda width, height: scale)


def open_photo(source: ImageLike, side: int | None = None, max_pixels: int = MAX_PIXELS) -> Photo:
    """A picture as `open_image` opens it; a JPEG, where its longer side keeps `side` pixels, at 1/2, 1/4 or 1/8.

    libjpeg then computes each pixel as the mean of those that it stands for. Raises TooManyPixels, before anything is
    decoded, where that gives more than max_pixels.
    """
    return _opened(source, lambda width, height: 1 if side is None else _scale(max(width, height), side), max_pixels)


Scale = Callable[[int, int], int]
"""(width, height) of a picture -> the scale to decode it at: 1, 2, 4 or 8."""
SCALES = (8, 4, 2, 1)


def _scale(longer: int, side: int) -> int:
    return next((s for s in SCALES if longer // s >= side), 1)


def _opened(source: ImageLike, scale: Scale, most: int = MAX_PIXELS) -> Photo:
    import numpy as np
    from PIL import Image

    if isinstance(source, np.ndarray):
        array = check_pixels(source, "the array", "H, W, 3")
        if array.shape[0] * array.shape[1] > most:
            raise _too_large("the array", f"{array.shape[1]:,} x {array.shape[0]:,} pixels")
        return Photo(array, (array.shape[1], array.shape[0]), 1, source)
    if isinstance(source, Image.Image):
        return Photo(*_from_pil(source, "the PIL image", lambda width, height: 1, most), source)
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        if not data:
            raise ImageError(f"cannot read the picture: received 0 bytes. {_READABLE}.")
        return Photo(*_from_file(io.BytesIO(data), f"the picture of {len(data):,} bytes", scale, most), source)
    if isinstance(source, str | os.PathLike):
        return Photo(*_from_path(os.fspath(source), scale, most), source)
    following = ""
    if hasattr(source, "read"):
        following = " Next: open it in mode 'rb', and give what its read() returns."
    elif hasattr(source, "__array__"):
        following = " Next: give numpy.asarray of it."
    raise ImageError(
        "not a picture. Valid: a path, bytes, a PIL image or an (H, W, 3) uint8 array. "
        f"Received: {type(source).__name__}.{following}"
    )


_Decoded = tuple["UInt8Array", tuple[int, int], int]
"""pixels, size and scale of a `Photo`."""


def _from_path(path: str, scale: Scale, most: int) -> _Decoded:
    name = repr(path if len(path) <= 200 else f"{path[:60]}...{path[-100:]}")
    try:
        with open_regular(path, MAX_PICTURE_BYTES) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ImageError(f"{name} is empty (0 bytes).")
            return _from_file(file, name, scale, most)
    except FileNotFoundError:
        raise ImageError(f"no such file: {name}.") from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a folder. Valid: the path of one picture.") from None
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path; _from_file lets out ImageError alone
        if isinstance(e, ImageError):
            raise
        raise ImageError(f"cannot read {name}: {getattr(e, 'strerror', None) or e}.") from None


def _from_file(file: Any, name: str, scale: Scale, most: int) -> _Decoded:
    from PIL import Image, UnidentifiedImageError

    try:
        if reason := endless(file):
            raise ImageError(f"{name} is not read: {reason}.")
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the limit here
            picture = Image.open(file, formats=_formats())
    except Image.DecompressionBombError as e:
        count = re.search(r"\d+", str(e))
        raise _too_large(name, f"{int(count.group()):,} pixels" if count else "too many pixels") from None
    except ImageError:
        raise
    except MemoryError:
        raise _no_memory(name) from None
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture that can be read{_looks_like(file)}. {_READABLE}.") from None
    except _DAMAGE as e:
        raise _damaged(name, e) from None
    with picture:
        return _from_pil(picture, name, scale, most)


@cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow was built with."""
    from PIL import Image

    Image.init()
    with contextlib.suppress(ImportError):  # the extra `heic`; without it a HEIC picture says which line to type
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    return tuple(f for f in FORMATS if f in Image.OPEN)


def _from_pil(picture: PILImage.Image, name: str, scale: Scale, most: int) -> _Decoded:
    from PIL import Image

    width, height = picture.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise _too_large(name, f"{width:,} x {height:,} pixels")
    if width == 0 or height == 0:
        raise ImageError(f"{name} has no pixels: {width} x {height}.")
    try:
        factor = _reduce(picture, scale(width, height))
        count = picture.size[0] * picture.size[1]
        if count > most:
            raise _too_large(name, f"{width:,} x {height:,} pixels")
        with one_large(count):
            picture.load()
            orientation = _orientation(picture)
            pixels = (_whole if count <= _WHOLE else _in_bands)(picture, orientation, name)
        return pixels, (height, width) if orientation >= 5 else (width, height), factor
    except ImageError:
        raise
    except MemoryError:
        raise _no_memory(name) from None
    except Image.DecompressionBombError:
        raise _too_large(name, "too many pixels") from None
    except _DAMAGE as e:
        raise _damaged(name, e) from None


def _whole(picture: PILImage.Image, orientation: int, name: str) -> UInt8Array:
    """The upright (H, W, 3) pixels of a loaded picture, by Pillow's own copies."""
    import numpy as np
    from PIL import Image
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    upright = picture if turn is None else picture.transpose(turn)
    if _is_number(upright):
        values = np.asarray(upright)
        return np.asarray(Image.fromarray(_to_8_bits(values, _white(upright, values, name))).convert("RGB"))
    return _rgb(upright)


def _in_bands(picture: PILImage.Image, orientation: int, name: str) -> UInt8Array:
    """The same of a large picture: converted some rows at a time, straight to their places, in no more memory."""
    import numpy as np

    width, height = picture.size
    out = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), "uint8")
    stored: UInt8Array = {  # (H, W, 3), a view of `out`: where the stored rows go
        2: out[:, ::-1],
        3: out[::-1, ::-1],
        4: out[::-1],
        5: out.swapaxes(0, 1),
        6: np.rot90(out, 1),
        7: out.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(out, 3),
    }.get(orientation, out)
    values = np.asarray(picture) if _is_number(picture) else None
    white = 0 if values is None else _white(picture, values, name)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        if values is None:
            stored[top : top + rows] = _rgb(picture.crop((0, top, width, min(height, top + rows))))
        else:
            stored[top : top + rows] = _to_8_bits(values[top : top + rows], white)[..., None]
    return out


def _rgb(picture: PILImage.Image) -> UInt8Array:
    """(H, W, 3) of a picture whose pixels are colours; transparency lies on white."""
    import numpy as np
    from PIL import Image

    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _is_number(picture: PILImage.Image) -> bool:
    """Whether pixels are one number of 16 or 32 bits."""
    return picture.mode.startswith("I") or picture.mode == "F"


def _reduce(picture: PILImage.Image, scale: int) -> int:
    """Have a JPEG decoded at 1/scale, before it is loaded; gives the scale that it gets."""
    width, height = picture.size
    if scale == 1 or picture.format not in ("JPEG", "MPO") or min(width, height) < 64 * scale:
        return 1
    picture.draft(None, (width // scale, height // scale))
    return next(s for s in SCALES if (-(-width // s), -(-height // s)) == picture.size)


def _orientation(picture: PILImage.Image) -> int:
    """EXIF's, 1 to 8; broken EXIF counts as none, for the pixels are still good."""
    try:
        found = picture.getexif().get(_ORIENTATION_TAG)
    except _DAMAGE:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _white(picture: PILImage.Image, values: NDArray[Any], name: str) -> int:
    """The value of white among values (H, W). Raises ImageError where they have no such range.

    Files of 32-bit integers and floats do not say it: it is the least of 1 (floats), 255 and 65535 that holds all.
    """
    import numpy as np

    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # either is NaN where any value is
        raise ImageError(f"{name} holds NaN or infinite values. Valid: finite numbers.")
    whites = [_white_of_bits(picture)] if picture.mode.startswith("I;16") else [255, 65535]
    white = next((w for w in ([1] if values.dtype.kind == "f" else []) + whites if high <= w), None)
    if white is None or low < 0:
        raise ImageError(f"{name} holds values from {low:g} to {high:g}. Valid: 0..1, 0..255 or 0..65535.")
    return white


def _white_of_bits(picture: PILImage.Image) -> int:
    """White of a picture of mode I;16, which holds the 12 bits of some TIFF files as they are."""
    bits = getattr(picture, "tag_v2", {}).get(_BITS_TAG, (16,))
    return 4095 if bits == (12,) else 65535


def _to_8_bits(values: NDArray[Any], white: int) -> UInt8Array:
    """(H, W) of any number type -> (H, W) uint8."""
    import numpy as np

    return np.rint(values * (255.0 / white)).astype("uint8")


def check_pixels(array: NDArray[Any], what: str, axes: str) -> UInt8Array:
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


def _too_large(name: str, received: str) -> TooManyPixels:
    return TooManyPixels(
        f"{name} is too large. Received: {received}. Valid: up to {MAX_PIXELS:,} pixels, "
        f"{MAX_SIDE:,} a side; scale it down."
    )


def _damaged(name: str, error: BaseException) -> ImageError:
    detail = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in detail.lower():
        return ImageError(f"{name} is truncated: its last part is missing.")
    return ImageError(f"{name} is damaged or of a kind that cannot be read ({detail[:120]}).")


def _no_memory(name: str) -> ImageError:
    return ImageError(f"{name} is too large for the memory of this machine.")


# How files begin -> what they are. Some are of formats that are read, and so damaged that Pillow does not know them.
_BEGINNINGS = {
    b"%PDF": "looks like PDF",
    b"%!": "looks like PostScript",
    b"8BPS": "looks like a Photoshop file (PSD)",
    **dict.fromkeys((b"\xff\x0a", b"\0\0\0\x0cJXL "), "is JPEG XL; save it as JPEG or PNG"),
    **dict.fromkeys((b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*"), "begins like one, and is damaged"),
    b"\x1aE\xdf\xa3": "looks like a video; give single frames",
}
_STILLS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HEIC = 'is HEIC, as iPhones write it. Next: pip install "facefeat[heic]", or save it as JPEG'


def _looks_like(file: Any) -> str:
    """What a file that Pillow does not know probably is, as ": it looks like ..."; empty where that is not known."""
    try:
        file.seek(0)
        head = file.read(512)
    except OSError:
        return ""
    what = next((w for begins, w in _BEGINNINGS.items() if head.startswith(begins)), "")
    if head[4:8] == b"ftyp":
        what = _BEGINNINGS[b"\x1aE\xdf\xa3"]
        if head[8:12] in _STILLS:
            what = _HEIC
        elif head[8:12] in (b"avif", b"avis"):
            what = _BEGINNINGS[b"\xff\xd8"]
    elif head[:4] == b"RIFF":
        what = _BEGINNINGS[b"\xff\xd8" if head[8:12] == b"WEBP" else b"\x1aE\xdf\xa3"]
    elif b"<svg" in head:
        what = "looks like SVG"
    elif not what and _is_text(head):
        what = "looks like text"
    return f": it {what}" if what else ""


def _is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 without control characters; a character may be cut at the end."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c in "\t\n\r\f\ufeff" for c in text)
