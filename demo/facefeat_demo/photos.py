"""Photos that visitors send to a page: from the page's own upload folder, within limits, deleted with the session."""

from __future__ import annotations

import base64
import contextlib
import io
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat import ImageError
from facefeat.image.align import FORMATS, open_image
from facefeat.image.headers import endless
from facefeat_demo.limits import MEGABYTE, check_room

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

FACE = 256
"""Side of a face as the page shows it, in pixels."""
MAX_MEGAPIXELS = 64
"""Larger photos are turned away before they are decoded: a visitor must not fill the memory of the machine."""
SHOWN = 1280
"""Longest side of a photo as the page shows it, in pixels."""
EXAMPLES = Path(__file__).resolve().parent / "examples"
PORTRAITS, SEVERAL = ("lauren", "astronaut", "grace", "hakeem", "don", "norma", "admiral"), ("both",)
"""Examples with one face, and with more. The first is read when the page opens."""

_LEFT = 4096  # visits that are remembered to be over
EMPTY_AFTER = 60.0
"""Seconds after which an emptied folder is deleted; the cleaner finds what is left when nobody comes."""


def open_photo(data: bytes) -> UInt8Array | str:
    """The upright (H, W, 3) uint8 pixels of a picture file, or a sentence for the page that says what is wrong."""
    if not data:
        return "This photo is empty, or no longer here. Please choose it again."
    width, height = _size(data)
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        return (
            f"This photo is too large: {width:,} × {height:,} pixels. Up to {MAX_MEGAPIXELS} million pixels can be "
            "read; please make it smaller."
        )
    try:
        return open_image(data)
    except ImageError as e:
        return str(e).replace(f"the picture of {len(data):,} bytes", "This file")


def _size(data: bytes) -> tuple[int, int]:
    """(width, height) as the file's header has it; (0, 0) where it is unknown."""
    from PIL import Image

    if endless(io.BytesIO(data)):
        return 0, 0  # `open_image` says why
    Image.init()
    known = [f for f in FORMATS if f in Image.OPEN]
    with contextlib.suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return Image.open(io.BytesIO(data), formats=known).size
    return 0, 0


def shrink(pixels: UInt8Array, longest: int = SHOWN) -> UInt8Array:
    """(H, W, 3) uint8 at `longest` pixels on its longer side, or unchanged where it is smaller."""
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def data_uri(pixels: UInt8Array, kind: str = "jpeg", quality: int = 85) -> str:
    """(H, W, 3) uint8 as the address of a picture that is in the page itself: no file is written."""
    from PIL import Image

    made = io.BytesIO()
    Image.fromarray(pixels).save(made, kind, quality=quality)
    return f"data:image/{kind};base64,{base64.b64encode(made.getvalue()).decode('ascii')}"


def uploaded(value: Mapping[str, Any] | None, cache: str | Path) -> bytes | None:
    """The bytes of what a photo component holds; None for none.

    The value is untrusted, and Gradio looks only at paths that say they are files: see `inside`.
    """
    path = None if not isinstance(value, Mapping) else value.get("path")
    if not path:
        return None
    real = inside(path, cache)
    try:
        return b"" if real is None else real.read_bytes()
    except OSError:  # deleted meanwhile
        return b""


def inside(path: object, cache: str | Path) -> Path | None:
    """The path, where it is a file in the upload folder, links followed; None for any other."""
    try:
        real = Path(str(path)).resolve()
        good = real.is_relative_to(Path(cache).resolve()) and real.is_file()
    except (OSError, ValueError):  # too long, a NUL
        return None
    return real if good else None


def lend(example: Path, cache: str | Path) -> str:
    """A copy of an example in the upload folder, so that it goes the way of every photo."""
    Path(cache).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=cache))
    return str(shutil.copy(example, folder))


class Kept:
    """Which session has which files, to be deleted when it ends; a file of two sessions stays for both.

    most: bytes that the files of all sessions together may take.
    """

    def __init__(self, most: int = 1000 * MEGABYTE) -> None:
        self.most = most
        self._of: dict[str, set[Path]] = {}
        self._left: OrderedDict[str, None] = OrderedDict()
        self._emptied: dict[Path, float] = {}
        self._lock = threading.Lock()

    def check_room(self, cache: str | Path) -> None:
        """Raises InputError, with a sentence for the page, where no further file may be written."""
        check_room(cache, self.most)

    def remember(self, session: str | None, path: object, cache: str | Path) -> None:
        """The file belongs to the session. What does not lie in the upload folder is left alone.

        It is deleted at once where the session ended meanwhile: see `present`.
        """
        real = inside(path, cache)
        if session and path and real is not None:
            with self._lock:
                self._of.setdefault(session, set()).add(real)
                gone = session in self._left
            if gone:
                self.forget(session)

    def present(self, session: str | None) -> None:
        """The visitor is here and asks for something: before work whose file may outlast the visit."""
        with self._lock:
            self._left.pop(session or "", None)

    def forget(self, session: str | None) -> None:
        """Delete the session's files."""
        with self._lock:
            mine = self._of.pop(session or "", set())
            self._left[session or ""] = None
            while len(self._left) > _LEFT:
                self._left.popitem(last=False)
            others = set().union(*self._of.values()) if self._of else set()
            for path in mine - others:
                path.unlink(missing_ok=True)
                self._emptied[path.parent] = time.monotonic()
            self._delete_emptied()

    def _delete_emptied(self) -> None:
        """Delete folders some time after their last file: the same photo of another visitor may be on its way."""
        now = time.monotonic()
        for folder in [f for f, since in self._emptied.items() if now - since >= EMPTY_AFTER]:
            del self._emptied[folder]
            with contextlib.suppress(OSError):  # not empty, or gone
                folder.rmdir()
