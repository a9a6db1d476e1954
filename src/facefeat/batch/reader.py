"""From items to pixels: where each kind of item has its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from facefeat.batch import files
from facefeat.batch.inputs import Item
from facefeat.batch.parquet_pages import largest_page
from facefeat.errors import FacefeatError, ImageError
from facefeat.image.io import MAX_PICTURE_BYTES, MAX_PIXELS, Photo, open_photo

_ROWS = 16  # of a Parquet that are in memory at once, and fewer where its pages are large
_MAX_PAGE = 768 * 1024**2  # bytes; Arrow takes almost three times as much, and writers put a thousand rows into one


class PictureReader:
    """Reads items. `in_order` is for one thread, in the order of the items; `open` for any."""

    def __init__(self, side: int | None = None) -> None:
        """side: of `open_photo`."""
        self._rows, self._side = _RowReader(), side

    def in_order(self, item: Item) -> Item:
        """The item, with the bytes where they are cheap to get in order only: rows of a Parquet."""
        if item.kind != "row":
            return item
        try:
            data = self._rows.read(*item.at)
        except ImageError as e:
            return Item(item.source, "fault", (str(e),))
        return Item(item.source, "bytes", (data,))

    def open(self, item: Item, max_pixels: int = MAX_PIXELS) -> Photo:
        """The picture. Raises ImageError as `open_photo`, for whatever cannot be read."""
        try:
            return self._open(item, max_pixels)
        except MemoryError:
            raise ImageError(f"{item.source!r} is too large for the memory of this machine.") from None

    def _open(self, item: Item, most: int) -> Photo:
        if item.kind == "fault":
            raise ImageError(item.at[0])
        if item.kind == "path":
            return open_photo(item.at[0], self._side, most)
        if item.kind == "address":
            return self._decoded(files.read_bytes(item.at[0]), item.source, most)
        if item.kind == "slice":
            archive, start, size = item.at
            if not size:
                raise ImageError(f"{item.source!r} is empty (0 bytes).")
            data = files.read_bytes(archive, start, start + size)
            if len(data) < size:
                raise ImageError(f"{item.source!r} is cut short: the archive ends before it does.")
            return self._decoded(data, item.source, most)
        if item.kind == "bytes":
            return self._decoded(item.at[0], item.source, most)
        return self._open(self.in_order(item), most)

    def _decoded(self, data: bytes, source: str, most: int) -> Photo:
        if not data:
            raise ImageError(f"{source!r} is empty (0 bytes).")
        try:
            return open_photo(data, self._side, most)
        except ImageError as e:
            raise type(e)(str(e).replace(f"the picture of {len(data):,} bytes", repr(source))) from None


class _RowReader:
    """Picture bytes by row of a Parquet; rows in order are read once, a few at a time. An earlier row starts anew."""

    def __init__(self) -> None:
        self._file: Any = None
        self._at: tuple[str, str, int] | None = None
        self._rows: Iterator[bytes | ImageError | None] = iter(())
        self._next = 0

    def read(self, path: str, column: str, group: int, row: int) -> bytes:
        """The bytes in a row of a row group. Raises ImageError."""
        import pyarrow as pa

        try:
            if self._at != (path, column, group) or row < self._next:
                self._start(path, column, group)
            data = None
            while self._next <= row:
                data = next(self._rows)
                self._next += 1
        except Exception as e:
            self._at = None
            # A store's own errors are of any class; a plain OSError is Arrow's, too, for a file that is broken.
            known = isinstance(e, OSError | pa.ArrowException | StopIteration)
            kept_away = not known or isinstance(e, PermissionError | ConnectionError | TimeoutError)
            if files.is_address(path) and kept_away:
                raise ImageError(str(e) if isinstance(e, FacefeatError) else files.refusal(path, e)) from None
            if not known:
                raise
            raise ImageError(f"cannot read row {row} of row group {group} in {path!r} ({str(e)[:160]}).") from None
        if isinstance(data, ImageError):
            raise data
        if data is None:
            raise ImageError(f"row {row} of row group {group} in {path!r} has no picture (null).")
        return data

    def _start(self, path: str, column: str, group: int) -> None:
        import pyarrow.parquet as pq

        if self._at is None or self._at[0] != path:
            self.close()
            # Neither the whole row group nor the whole column is read ahead: a row group may hold gigabytes.
            self._file = pq.ParquetFile(files.open_file(path), pre_buffer=False, buffer_size=1 << 20)
        largest = largest_page(path, self._file.metadata.row_group(group), column)
        if largest > _MAX_PAGE:
            raise OSError(f"a page of it unpacks to {largest:,} bytes")
        self._at, self._next = (path, column, group), 0
        self._rows = self._iterate(column, group, largest)

    def _iterate(self, column: str, group: int, largest: int) -> Iterator[bytes | ImageError | None]:
        """largest: bytes of the column's largest page, which one value may take, and in a dictionary each of many."""
        rows = max(1, min(_ROWS, MAX_PICTURE_BYTES // max(1, largest)))
        for batch in self._file.iter_batches(batch_size=rows, row_groups=[group], columns=[column], use_threads=False):
            values = batch.column(0)
            if column not in batch.schema.names:  # image.bytes comes as a struct of one field
                values = values.flatten()[0]
            yield from map(_value, values)

    def close(self) -> None:
        """Close the file that is open, if any."""
        if self._file is not None:
            self._file.close(force=True)
            self._file = None


def _value(cell: Any) -> bytes | ImageError | None:
    """The bytes of a cell of Arrow, None for a null, an error for one too large: it is raised later."""
    held = cell.as_buffer()
    if held is not None and held.size > MAX_PICTURE_BYTES:
        return ImageError(f"a picture of {held.size:,} bytes is larger than {MAX_PICTURE_BYTES // 1024**2} MB.")
    return None if held is None else bytes(held)
