"""The output of a run, written so that it can be killed at any time: parts next to it, joined into one file at the end.

faces.parquet.parts/run.json                      the settings that the rows depend on
faces.parquet.parts/part-000000000-000000007.parquet   the rows of chunks 0 to 7; written atomically
faces.parquet                                     all of them, in order, once every chunk has its part

Where pictures that failed are read again, their chunks have no part any more, so that they are read as a whole and the
rows are those of a run in which nothing failed. An existing output stays until it is replaced at the end.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.batch.reasons import class_of
from facefeat.batch.table import NO_FACE
from facefeat.errors import DataError, InputError
from facefeat.utils.atomic import atomic_file, sweep, write_text
from facefeat.utils.files import parse_json, read_json

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"facefeat"
"""Where the output's own metadata has the settings of the run, as JSON."""

_PART = re.compile(r"part-(\d{9,})-(\d{9,})\.parquet")
_ROW_GROUP = 16_384  # rows; fixed, so that a resumed run writes the same file
_PART_CHUNKS = 16
_PART_SECONDS = 15.0  # what a kill costs at most, and a chunk


@dataclass(frozen=True)
class BatchSummary:
    """What a run gave. pictures: all of them; faces: rows of faces; empty: pictures without one; failed: not read.

    resumed: pictures that an earlier run had done. reasons: class of a reason -> pictures that were not read for it.
    """

    output: Path
    pictures: int
    faces: int
    empty: int
    failed: int
    resumed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict, compare=False)


class Run:
    """An output and its parts, held by one process. Use as a context manager."""

    def __init__(
        self,
        output: str | Path,
        facts: Mapping[str, Any],
        pictures: int,
        chunk: int,
        resume: bool,
        retry_failed: bool = False,
        overwrite: bool = False,
    ) -> None:
        """facts: JSON-able; what the rows depend on. pictures in all, and in a chunk.

        retry_failed: chunks with pictures that could not be read count as not done. overwrite: an output, or an
        unfinished run, of ours goes first.

        Raises InputError where the output exists, or an unfinished run is there and `resume` is not asked for, is of
        other facts, or is going on; or nothing can be written there.
        """
        self.output = Path(output)
        self.folder = self.output.with_name(self.output.name + ".parts")
        self.facts = json.loads(json.dumps(dict(facts)))
        self.pictures, self.chunk = pictures, chunk
        self.chunks = -(-pictures // chunk)
        self.complete = self._ours = False
        self._lock: Any = None
        self._rows: list[pa.RecordBatch] = []
        self._first = self._next = 0
        self._since = time.monotonic()
        self._begin(resume, retry_failed, overwrite)
        self.done = self._ranges()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours and not any(self.folder.glob("part-*")):
            # Nothing was done: nothing is left to be deleted or gone on with.
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()
        if not (self.folder / "run.json").exists():
            Path(self._lock.lock_file).unlink(missing_ok=True)

    # ---------------------------------------------------------------- start

    def _begin(self, resume: bool, retry_failed: bool, overwrite: bool) -> None:
        from filelock import FileLock, Timeout

        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            # Next to the parts, not in their folder: it is held while they are removed.
            self._lock = FileLock(self.output.with_name(f".{self.output.name}.lock"))
            self._lock.acquire(timeout=0)
        except Timeout:
            if not Path(self._lock.lock_file).exists():  # some file systems have no room for a file of ours
                raise InputError(f"cannot write {str(self.output)!r}: no lock can be made next to it.") from None
            raise InputError(
                f"another run is writing {str(self.output)!r}. Wait for it, or name another file."
            ) from None
        except (OSError, ValueError) as e:  # ValueError: a NUL in the path
            raise InputError(f"cannot write {str(self.output)!r}: {getattr(e, 'strerror', None) or e}.") from None
        try:
            if overwrite:
                self._clear()
            self._check(resume)
            self.folder.mkdir(exist_ok=True)
            self._ours = True
            if not self.complete and not (self.folder / "run.json").exists():
                write_text(self.folder / "run.json", json.dumps(self.facts, indent=1))
            sweep(self.folder)
            outer = {_part_name(*r) for r in self._ranges()}
            for inner in [p for p in self.folder.glob("part-*") if p.name not in outer]:
                inner.unlink()
            if retry_failed:
                self._take_back()
        except OSError as e:
            self.__exit__()
            raise InputError(f"cannot write {str(self.folder)!r}: {e.strerror or e}.") from None
        except BaseException:
            self.__exit__()
            raise

    def _clear(self) -> None:
        """Remove what an earlier run left here. Raises InputError for a file that no run wrote."""
        if self.output.is_file():
            facts_of(self.output)
            self.output.unlink()
        if (self.folder / "run.json").exists():
            shutil.rmtree(self.folder)

    def _check(self, resume: bool) -> None:
        note = self.folder / "run.json"
        try:
            str(self.output).encode()
        except UnicodeEncodeError:
            raise InputError(f"the name {str(self.output)!r} is not UTF-8. Name another file.") from None
        if self.output.is_dir():
            raise InputError(f"{str(self.output)!r} is a folder. Name a file, such as faces.parquet.")
        if self.output.exists():
            if not resume:
                raise InputError(
                    f"{str(self.output)!r} is there already. Next: --overwrite to replace it, or another file."
                )
            self._compare(facts_of(self.output), f"{str(self.output)!r} was written")
            self.complete = not _is_retry(note)
        elif note.exists():
            if not resume:
                raise InputError(
                    f"{str(self.folder)!r} holds an unfinished run. Next: --resume to continue it, or "
                    "--overwrite to begin anew."
                )
            try:
                before = dict(read_json(note))
            except (OSError, ValueError, TypeError):
                raise InputError(f"{str(note)!r} is damaged. Delete the folder, and start anew.") from None
            self._compare(before, f"the unfinished run in {str(self.folder)!r} was started")
        elif self.folder.exists() and any(not p.name.startswith(".") for p in self.folder.iterdir()):
            raise InputError(
                f"{str(self.folder)!r} exists and is no unfinished run. Delete it, or name another output."
            )

    def _compare(self, before: Mapping[str, Any], what: str) -> None:
        """Raises InputError, naming the first fact that differs."""
        for name, now in self.facts.items():
            if before.get(name) == now:
                continue
            if name == "input":
                differs = f"with another input: {_pictures(before.get('input'))}, now {_pictures(now)}, or other ones "
                differs += "(a relative path is another one in another working folder)"
            elif name == "preset":
                differs = "with another preset"
            else:
                differs = f"with {name} {before.get(name)!r}, not {now!r}"
            raise InputError(
                f"{what} {differs}. Resume with the settings it was started with, or choose another output."
            )

    def _ranges(self) -> list[tuple[int, int]]:
        """First and last chunk of each part, in order; without those inside another, which `_take_back` may leave."""
        names = (_PART.fullmatch(p.name) for p in self.folder.glob("part-*"))
        found: list[tuple[int, int]] = []
        for first, last in sorted(((int(m[1]), int(m[2])) for m in names if m), key=lambda r: (r[0], -r[1])):
            if not found or first > found[-1][1]:
                found.append((first, last))
            elif last > found[-1][1]:
                raise DataError(f"{str(self.folder)!r} holds parts that overlap. Delete the folder, and start anew.")
        return found

    def _take_back(self) -> None:
        """Leave parts of those chunks alone in which no picture failed.

        Ended in the middle, nothing is lost: a part is removed when others hold its good chunks; the parts made from an
        output count once the note says so, which is written last.
        """
        if self.complete:
            if not _count(self.output)[2]:
                return
            shutil.rmtree(self.folder)  # what an ended run left
            self.folder.mkdir()
            self._keep_good(self.output, 0)
            write_text(self.folder / "run.json", json.dumps({**self.facts, "retry": True}, indent=1))
            self.complete = False
            return
        for first, last in self._ranges():
            path = self.folder / _part_name(first, last)
            if _count(path)[2]:
                self._keep_good(path, first)
                path.unlink()

    def _keep_good(self, path: Path, first: int) -> None:
        for number, rows in _by_chunk(path, first, self.chunk):
            if all(r is None or r == NO_FACE for r in rows.column("reason").to_pylist()):
                self.add(number, rows)
        self.flush()

    def has(self, chunk: int) -> bool:
        """Whether a part of an earlier run holds the chunk."""
        from bisect import bisect

        if self.complete:
            return True
        k = bisect(self.done, (chunk, self.chunks)) - 1
        return k >= 0 and chunk <= self.done[k][1]

    @property
    def resumed(self) -> int:
        """Pictures that an earlier run has done."""
        if self.complete:
            return self.pictures
        return sum(min(self.pictures, (b + 1) * self.chunk) - a * self.chunk for a, b in self.done)

    # ---------------------------------------------------------------- parts

    def add(self, chunk: int, rows: pa.RecordBatch) -> None:
        """Keep the rows of a chunk; a part is written every few chunks, and after some seconds."""
        if self._rows and chunk != self._next:
            self.flush()
        if not self._rows:
            self._first = chunk
        self._rows.append(rows)
        self._next = chunk + 1
        if len(self._rows) >= _PART_CHUNKS or time.monotonic() - self._since > _PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is kept as a part."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._rows:
            name = _part_name(self._first, self._next - 1)
            table = pa.Table.from_batches(self._rows)
            with atomic_file(self.folder / name, DataError) as new:
                pq.write_table(table, new)
            self._rows = []
        self._since = time.monotonic()

    def invalidate(self) -> None:
        """Mark the parts as those of an input that is gone: no later run may resume them."""
        write_text(self.folder / "run.json", json.dumps({**self.facts, "input": "changed meanwhile"}, indent=1))

    # ---------------------------------------------------------------- end

    def finish(self) -> BatchSummary:
        """Join the parts into the output, and remove them. Raises DataError where a chunk is missing."""
        import pyarrow.parquet as pq

        self.flush()
        resumed = self.resumed
        if not self.complete:
            parts = self._ranges()
            wanted = 0
            for first, last in parts:
                if first != wanted:
                    break
                wanted = last + 1
            if wanted != self.chunks:
                raise DataError(f"chunk {wanted} of {self.chunks} has no rows in {str(self.folder)!r}. Next: --resume")
            paths = [self.folder / _part_name(a, b) for a, b in parts]
            schema = pq.read_schema(paths[0]).with_metadata({KEY: json.dumps(self.facts).encode()})
            with atomic_file(self.output, DataError) as new:
                _join(paths, new, schema)
        (self.folder / "run.json").unlink(missing_ok=True)  # first: with it, parts are an unfinished run
        shutil.rmtree(self.folder, ignore_errors=True)
        faces, empty, reasons = _count(self.output)
        return BatchSummary(self.output, self.pictures, faces, empty, sum(reasons.values()), resumed, reasons)


def facts_of(output: str | Path) -> dict[str, Any]:
    """The settings that an output was written with. Raises InputError for a file that no batch run wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        facts = dict(parse_json((pq.read_schema(output).metadata or {})[KEY].decode()))
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException):
        raise InputError(f"{str(output)!r} exists, and no batch run wrote it. Name another file.") from None
    return facts


def _part_name(first: int, last: int) -> str:
    return f"part-{first:09d}-{last:09d}.parquet"


def _is_retry(note: Path) -> bool:
    """Whether failed pictures of a whole output are being read again."""
    try:
        return bool(read_json(note).get("retry"))
    except (OSError, ValueError, AttributeError):
        return False


def _by_chunk(path: Path, first: int, size: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of each chunk of a part or an output whose first chunk is given. size: pictures in a chunk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def whole() -> tuple[int, pa.RecordBatch]:
        table = pa.Table.from_batches(kept).replace_schema_metadata(None).combine_chunks()
        return number, table.to_batches()[0]

    number, pictures = first, 0
    kept: list[pa.RecordBatch] = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROW_GROUP):
            # A picture begins with its first face, or is a row without one.
            begun = pictures + np.cumsum(batch.column("face").fill_null(1).to_numpy() == 1)  # (rows,) from 1
            pictures = int(begun[-1])
            chunk = first + (begun - 1) // size
            ends = [*(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(batch)]
            for start, end in pairwise([0, *ends]):
                if chunk[start] != number:
                    yield whole()
                    number, kept = int(chunk[start]), []
                kept.append(batch.slice(start, end - start))
    if kept:
        yield whole()


def _join(paths: list[Path], target: Path, schema: pa.Schema) -> None:
    """The rows of all parts, a row group at a time: in constant memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(target, schema) as writer:
        kept: list[pa.Table] = []
        count = 0
        for path in paths:
            with pq.ParquetFile(path) as part:
                table = part.read().replace_schema_metadata(schema.metadata)
            while count + len(table) >= _ROW_GROUP:
                take = _ROW_GROUP - count
                writer.write_table(pa.concat_tables([*kept, table.slice(0, take)]), row_group_size=_ROW_GROUP)
                table, kept, count = table.slice(take), [], 0
            kept.append(table)
            count += len(table)
        if count:
            writer.write_table(pa.concat_tables(kept), row_group_size=_ROW_GROUP)


def _count(output: Path) -> tuple[int, int, dict[str, int]]:
    """(faces, pictures without one, class of a reason -> pictures that could not be read) of an output."""
    faces = empty = 0
    failed: Counter[str] = Counter()
    for reasons in _column(output, "reason"):
        without = [r for r in reasons.to_pylist() if r is not None]
        faces += len(reasons) - len(without)
        none = sum(r == NO_FACE for r in without)
        empty += none
        failed.update(class_of(r) for r in without if r != NO_FACE)
    return faces, empty, dict(failed.most_common())


def _column(path: Path, name: str) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[name]):
            yield batch.column(0)


def _pictures(value: Any) -> str:
    return f"{value['pictures']:,} pictures" if isinstance(value, dict) else "an unknown one"
