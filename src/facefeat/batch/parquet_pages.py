"""How much a column chunk of an untrusted Parquet file unpacks to, from its page headers: Arrow believes what they say.

The headers are structs of Thrift's compact protocol; of each, two numbers are read
(https://github.com/apache/parquet-format, PageHeader: 2 uncompressed_page_size, 3 compressed_page_size).
"""

from __future__ import annotations

from typing import IO, Any

from facefeat.batch import files
from facefeat.image.io import MAX_PICTURE_BYTES

_HEADER = 1 << 16  # bytes that are read for a header; statistics in it may be long
_DEPTH = 8


def largest_page(path: str, group: Any, column: str) -> int:
    """Bytes of the largest page of a column in a row group, unpacked.

    Of a file at an address no page is looked at, which would take a request each: what its column chunk says, bounded.
    Raises OSError where the headers cannot be read.
    """
    chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column)
    if files.is_address(path):
        return min(int(chunk.total_uncompressed_size), MAX_PICTURE_BYTES)
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    end, largest = start + chunk.total_compressed_size, 0
    with files.open_file(path) as file:
        while start < end:
            unpacked, packed, header = _page(file, start)
            if unpacked < 0 or packed < 0:
                raise OSError("a page of it has a size below 0")
            largest = max(largest, unpacked)
            start += header + packed
    return largest


def _page(file: IO[bytes], at: int) -> tuple[int, int, int]:
    """(bytes unpacked, bytes packed, bytes of the header) of the page there. Raises OSError."""
    file.seek(at)
    reader = _Compact(file.read(_HEADER))
    try:
        found = reader.struct(0)
        return found[2], found[3], reader.at
    except (IndexError, KeyError, ValueError):
        raise OSError("a page header of it is damaged") from None


class _Compact:
    """Reads what is needed of the compact protocol, and passes over the rest."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def zigzag(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def struct(self, depth: int) -> dict[int, int]:
        """The whole numbers of a struct by the numbers of their fields."""
        if depth > _DEPTH:
            raise ValueError("structs are nested too deep")
        found: dict[int, int] = {}
        field = 0
        while (head := self.data[self.at]) != 0:
            self.at += 1
            kind, step = head & 0x0F, head >> 4
            field = field + step if step else self.zigzag()
            value = self.value(kind, depth)
            if value is not None:
                found[field] = value
        self.at += 1
        return found

    def value(self, kind: int, depth: int, listed: bool = False) -> int | None:
        """A value of a type: the number where it is a whole one."""
        if kind in (1, 2):
            self.at += listed  # as a field, the type is the value
        elif kind == 3:
            self.at += 1
        elif kind in (4, 5, 6):
            return self.zigzag()
        elif kind == 7:
            self.at += 8
        elif kind == 8:
            length = self.varint()
            self.at += length
        elif kind in (9, 10):
            self.list(depth)
        elif kind == 12:
            self.struct(depth + 1)
        else:
            raise ValueError("an unknown type")
        return None

    def list(self, depth: int) -> None:
        head = self.data[self.at]
        self.at += 1
        size = head >> 4 if head >> 4 != 15 else self.varint()
        if size > _HEADER:
            raise ValueError("a list longer than the header")
        for _ in range(size):
            self.value(head & 0x0F, depth, listed=True)
