"""Picture files that their reader would spend minutes or hours on, found before it is started."""

from __future__ import annotations

import re
from typing import IO

MAX_SCANS = 64
"""Of a JPEG: encoders write about ten. Each goes over the whole picture, and a thousand fit into a few kilobytes."""

_PNM_HEAD = 65_536
_PNM_COMMENT = re.compile(rb"#[^\r\n]*")
_START_OF_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""What ends the data of a scan: within it 0xFF is followed by 0, by a restart marker, or by another 0xFF."""


def endless(file: IO[bytes]) -> str:
    """Why a picture file is not to be decoded, as a clause; "" where nothing is wrong. The file is read from its start
    and left there. Raises OSError."""
    file.seek(0)
    try:
        head = file.read(3)
        if head == b"\xff\xd8\xff":
            file.seek(0)  # adding the rest to the head would copy it
            return _many_scans(file.read())
        if head[:1] == b"P" and head[1:2] in b"0123456fy":
            return _long_comment(head + file.read(_PNM_HEAD))
        return ""
    finally:
        file.seek(0)


def _many_scans(data: bytes) -> str:
    if data.count(_START_OF_SCAN) <= MAX_SCANS:  # a fast look: most need no other
        return ""
    count, at = 0, 2
    while found := _MARKER.search(data, at):
        at = found.end()
        kind = data[at - 1]
        if kind == 0xD9:
            break
        if kind == 0xDA:
            count += 1
            if count > MAX_SCANS:
                return f"it has more than {MAX_SCANS} scans"
        if not (kind == 0x01 or kind == 0xD8):  # a segment of a length
            at += int.from_bytes(data[at : at + 2], "big")
    return ""


def _long_comment(head: bytes) -> str:
    """Pillow reads such comments a byte at a time."""
    if len(head) <= _PNM_HEAD:
        return ""
    words = _PNM_COMMENT.sub(b"", head).split(maxsplit=4)
    needed = 3 if head[1:2] in b"14" else 4  # the kind, width, height, and the largest value
    return f"its header is longer than {_PNM_HEAD:,} bytes" if len(words) < needed else ""
