"""What `facefeat batch` is given, as a stream of pictures in a fixed order; nothing is decoded here.

A folder, a glob, a text file of paths, a tar, a Parquet file with pictures in a column, each by path or by any address
that fsspec knows. Listing takes constant memory, and gives the same items each time: a run is resumed by their numbers.
"""

from __future__ import annotations

import glob
import hashlib
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from facefeat.batch import files
from facefeat.data.sources import clean_name
from facefeat.errors import InputError, did_you_mean
from facefeat.image.io import MAX_PICTURE_BYTES, is_picture_name
from facefeat.utils.archives import DAMAGED, CheckedMember
from facefeat.utils.files import is_compressed
from facefeat.utils.text import one_line

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_PARQUETS = (".parquet", ".pq")
_LINE = 32_768  # bytes of a line of a list
_LISTS = (".txt", ".lst", ".list")
_NAMES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "bytes")
_VALID = (
    "Valid: a folder, a glob, a picture, a list of paths (.txt), a .tar, a .parquet, or the address of one of these "
    "(such as s3://...)."
)


class Item(NamedTuple):
    """One picture to be read.

    source: its name in the output, as given. kind and at: "path" (path), "address" (address), "slice" (tar, first byte,
    size), "row" (Parquet, column, row group, row in it), "bytes" (the picture file), "fault" (the reason why it is not
    read). Paths in `at` are absolute: a worker of a cluster runs in another folder.
    """

    source: str
    kind: str
    at: tuple[Any, ...]


Chunk = tuple[int, list[Item]]
"""A chunk's number, from 0, and its pictures: the unit of work of every engine."""


@dataclass(frozen=True)
class InputSpec:
    """One input, looked at. kind: "picture", "folder", "list", "tar" or "parquet". column: of a Parquet's pictures."""

    text: str
    kind: str
    column: str = ""


def look(inputs: Iterable[str], column: str | None = None) -> list[InputSpec]:
    """What each input is. column: the one with the pictures of every Parquet; else found by type and name.

    Raises InputError for one that is not there, or is of no kind that can be read.
    """
    found: list[InputSpec] = []
    for text in inputs:
        if files.is_folder(text):
            found.append(InputSpec(text, "folder"))
        elif glob.has_magic(text) and not files.exists(text):
            matches = _matching(text, column)
            if not matches:
                raise InputError(f"nothing matches {text!r}. {_VALID}")
            found += matches
        elif not files.exists(text):
            raise InputError(f"no such file or folder: {text!r}. {_VALID}")
        else:
            kind = _kind(text)
            if kind is None:
                raise InputError(f"not an input: {text!r}. {_VALID}")
            found.append(_spec(text, kind, column))
    if not found:
        raise InputError(f"no input given. {_VALID}")
    return found


def _matching(pattern: str, column: str | None) -> list[InputSpec]:
    found = []
    for text in files.matching(pattern):
        kind = _kind(text)
        if kind in ("picture", "tar", "parquet"):
            found.append(_spec(text, kind, column))
        elif "**" not in pattern and files.is_folder(text):
            found.append(InputSpec(text, "folder"))
    return found


def _kind(text: str) -> str | None:
    name = text.partition("::")[0].lower()
    if name.startswith(("http://", "https://")):
        name = name.partition("?")[0]  # where a presigned address has its signature
    for kind, endings in (("tar", _TARS), ("parquet", _PARQUETS), ("list", _LISTS)):
        if name.endswith(endings):
            return kind
    return "picture" if is_picture_name(name) else None


def shards_in(given: Iterable[InputSpec]) -> str | None:
    """A glob of the tars or Parquet files in the folders among these, if any: a folder gives its pictures alone."""
    for one in given:
        folder, chained, rest = one.text.partition("::")
        folder = (folder if files.is_address(one.text) else glob.escape(folder)).rstrip("/")
        for deep in ("*", "**/*") if one.kind == "folder" else ():
            for path in files.matching(f"{folder}/{deep}{chained}{rest}"):
                name = path.partition("::")[0]
                ending = next((e for e in (*_TARS, *_PARQUETS) if name.lower().endswith(e)), None)
                if ending is not None:
                    return f"{folder}/{deep}{name[-len(ending) :]}{chained}{rest}"
    return None


def _spec(text: str, kind: str, column: str | None) -> InputSpec:
    if kind == "tar":
        _check_tar(text)
    return InputSpec(text, kind, _picture_column(text, column) if kind == "parquet" else "")


# ---------------------------------------------------------------- listing


def list_items(given: Sequence[InputSpec], *, read: bool = True, allow_remote: Collection[str] = ()) -> Iterator[Item]:
    """Every picture, in order. read: False where only names are wanted, so that a compressed tar is not read twice.

    allow_remote: the schemes of addresses that the lines of a list may have; none are followed without.
    An archive that breaks off is a last item with a reason.
    """
    for one in given:
        if one.kind == "folder":
            for path, fault in files.pictures_in(one.text):
                yield _item(path) if fault is None else Item(path, "fault", (fault,))
        elif one.kind == "list":
            yield from _in_list(one.text, allow_remote)
        elif one.kind == "tar":
            yield from _in_tar(one.text, read)
        elif one.kind == "parquet":
            yield from _in_parquet(one.text, one.column)
        else:
            yield _item(one.text)


def chunks(items: Iterable[Item], size: int) -> Iterator[Chunk]:
    """The items, `size` at a time, numbered."""
    number, part = 0, []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield number, part
            number, part = number + 1, []
    if part:
        yield number, part


class InputDigest:
    """Counts the items that pass; `digest` is a hash of which they were, in their order."""

    def __init__(self) -> None:
        self.count, self._hash = 0, hashlib.sha256()

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items."""
        for item in items:
            self.count += 1
            self._hash.update(repr((item.source, item.kind, () if item.kind == "bytes" else item.at)).encode())
            yield item

    @property
    def digest(self) -> str:
        """Of the items so far."""
        return self._hash.hexdigest()


def _item(text: str) -> Item:
    return Item(text, "address" if files.is_address(text) else "path", (files.absolute(text),))


def _in_list(text: str, allow_remote: Collection[str]) -> Iterator[Item]:
    try:
        with files.open_file(text) as file:
            for line in iter(lambda: file.readline(_LINE), b""):
                path = line.decode("utf-8", "surrogateescape").strip("\r\n\ufeff")
                refused = files.refused(path, allow_remote) if len(line) < _LINE else "a line is too long for a path"
                if refused:
                    yield Item(one_line(path, 1000), "fault", (f"{one_line(path)!r} is not read: {refused}.",))
                elif path.strip():
                    yield _item(path)
    except (OSError, TypeError) as e:  # TypeError: of a file that gives no bytes, such as /proc/kmsg
        yield Item(text, "fault", (f"cannot read {text!r}: {getattr(e, 'strerror', None) or e}.",))


def _packed(text: str) -> bool:
    """Whether a tar is compressed, and so can be read from its start only."""
    with files.open_file(text) as file:
        return is_compressed(file.read(6))


def needs_order(given: Iterable[InputSpec]) -> InputSpec | None:
    """The first input that can be read from its start only, if any: a compressed tar."""
    return next((g for g in given if g.kind == "tar" and _packed(g.text)), None)


def _check_tar(text: str) -> None:
    try:
        with files.open_file(text) as file, tarfile.open(fileobj=file, mode="r|*", tarinfo=CheckedMember):
            pass
    except DAMAGED as e:
        raise InputError(f"{text!r} is not a tar that can be read ({_short(e)}).") from None


def _in_tar(text: str, read: bool) -> Iterator[Item]:
    found, opened = 0, files.absolute(text)
    try:
        packed = _packed(text)
        mode: Literal["r|*", "r:"] = "r|*" if packed else "r:"
        with files.open_file(text) as file, tarfile.open(fileobj=file, mode=mode, tarinfo=CheckedMember) as tar:
            while (member := tar.next()) is not None:
                # Else it keeps every header, and memory grows with the archive. The attribute is in no type stub.
                tar.members.clear()  # type: ignore[attr-defined]
                if not member.isreg() or member.issparse() or not is_picture_name(member.name):
                    continue
                found += 1
                source = f"{text}#{clean_name(member.name)}"
                if not packed:
                    yield Item(source, "slice", (opened, member.offset_data, member.size))
                    continue
                if member.size > MAX_PICTURE_BYTES:
                    yield Item(source, "fault", (f"{source!r} is larger than {MAX_PICTURE_BYTES // 1024**2} MB.",))
                    continue
                stream = tar.extractfile(member) if read else None
                yield Item(source, "bytes", (b"" if stream is None else stream.read(),))
    except DAMAGED as e:
        yield Item(text, "fault", (f"{text!r} breaks off after {found:,} pictures ({_short(e)}).",))


def _picture_column(text: str, wanted: str | None) -> str:
    """The column that holds picture files: bytes, or a struct with a field `bytes` as the Hugging Face hub has it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with files.open_file(text) as file:
            schema = pq.read_schema(file)
    except (OSError, pa.ArrowException) as e:
        raise InputError(f"{text!r} is not a Parquet file that can be read ({_short(e)}).") from None
    fit: dict[str, str] = {}
    for field in schema:
        inside = field.type
        if pa.types.is_struct(inside) and inside.get_field_index("bytes") >= 0:
            fit[field.name], inside = f"{field.name}.bytes", inside.field("bytes").type
        if not (pa.types.is_binary(inside) or pa.types.is_large_binary(inside)):
            fit.pop(field.name, None)
        else:
            fit.setdefault(field.name, field.name)
    if wanted is not None:
        if wanted not in fit:
            raise InputError(f"no column with picture bytes in {text!r}. {did_you_mean(wanted, fit)}")
        return fit[wanted]
    named = [n for n in _NAMES if n in fit] or list(fit)
    if not named:
        raise InputError(f"{text!r} has no column with picture bytes. Its columns: {', '.join(schema.names)}.")
    return fit[named[0]]


def _in_parquet(text: str, column: str) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, opened = 0, files.absolute(text)
    try:
        with files.open_file(text) as file:
            about = pq.ParquetFile(file).metadata
            size = file.seek(0, 2)
            if about.num_rows > size:
                raise OSError(f"it claims {about.num_rows:,} rows in {size:,} bytes")
            for group in range(about.num_row_groups):
                for row in range(about.row_group(group).num_rows):
                    yield Item(f"{text}#{number}", "row", (opened, column, group, row))
                    number += 1
    except (OSError, pa.ArrowException, OverflowError) as e:
        yield Item(text, "fault", (f"{text!r} breaks off after {number:,} rows ({_short(e)}).",))


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
