"""Reading and decoding many pictures on all cores, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from facefeat.data.sources import Source
from facefeat.errors import ImageError
from facefeat.utils.machine import cores

T = TypeVar("T")
CHUNK = 32
"""Pictures per task: enough that handing it to a thread costs nothing compared with the work."""


def decode_all(
    source: Source, names: Sequence[str], work: Callable[[bytes], T], progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[int, T | ImageError]]:
    """(position in names, what `work` made of the bytes, or the ImageError it raised), in the order that reads fastest.

    Pillow decodes without Python's lock, so threads use all cores. Memory holds a few chunks, however many the names.
    """
    order = sorted(range(len(names)), key=lambda i: (source.position(names[i]), i))
    threads = cores()
    pending: deque[Future[list[tuple[int, T | ImageError]]]] = deque()
    done = 0
    pool = ThreadPoolExecutor(threads, thread_name_prefix="facefeat-decode")
    try:
        for chunk in (order[i : i + CHUNK] for i in range(0, len(order), CHUNK)):
            # A compressed tar is read here, in order: going back in it means unpacking it from its start again.
            data = [_read(source, names[i]) for i in chunk] if source.sequential else None
            pending.append(pool.submit(_chunk, source, names, chunk, data, work))
            while len(pending) > 3 * threads:
                results = pending.popleft().result()
                yield from results
                done += len(results)
                if progress:
                    progress(done, len(names))
        while pending:
            results = pending.popleft().result()
            yield from results
            done += len(results)
            if progress:
                progress(done, len(names))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(source: Source, name: str) -> bytes | ImageError:
    try:
        return source.read(name)
    except ImageError as e:
        return e


def _chunk(
    source: Source,
    names: Sequence[str],
    chunk: Sequence[int],
    data: Sequence[bytes | ImageError] | None,
    work: Callable[[bytes], T],
) -> list[tuple[int, T | ImageError]]:
    results: list[tuple[int, T | ImageError]] = []
    for n, i in enumerate(chunk):
        read = _read(source, names[i]) if data is None else data[n]
        if isinstance(read, ImageError):
            results.append((i, read))
            continue
        try:
            results.append((i, work(read)))
        except ImageError as e:
            results.append((i, e))
    return results
