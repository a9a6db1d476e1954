"""Photos that are no files: standard input, as "-", and addresses that the user typed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from facefeat.errors import ImageError
from facefeat.image.io import MAX_PICTURE_BYTES

if TYPE_CHECKING:
    from facefeat.types import ImageLike

STDIN = "-"
SECONDS = 20.0
"""That a server may take to answer."""


def is_file_name(text: str) -> bool:
    """Whether a text that was typed names a file, rather than standard input or an address."""
    return text != STDIN and not text.lower().startswith(("http://", "https://"))


def read_source(text: str) -> ImageLike:
    """What `FaceFeatureModel.predict` takes for it: the path itself, or the bytes that were read.

    Raises ImageError, in one sentence, where nothing can be read.
    """
    if is_file_name(text):
        return text
    if text == STDIN:
        data = sys.stdin.buffer.read(MAX_PICTURE_BYTES + 1)
        if not data:
            raise ImageError("nothing came on standard input. Such as: facefeat predict - < photo.jpg")
    else:
        from facefeat.utils.download import read_bytes

        data = read_bytes(text, MAX_PICTURE_BYTES, SECONDS, ImageError)
    if len(data) > MAX_PICTURE_BYTES:
        raise ImageError(f"{text!r} is larger than {MAX_PICTURE_BYTES // 1024**2} MB.")
    return data
