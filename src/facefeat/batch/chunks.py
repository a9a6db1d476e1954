"""A chunk of pictures in, its rows out: the work that every engine does, in the same way.

What a model says of a face depends, in the last digits, on which others are in the batch with it. So batches are formed
from a chunk alone: its pictures go through the detector one by one, or in groups that follow from the pictures
themselves, its faces through the model together. An engine decides who reads a chunk and when, and nothing that can
change a row.

Threads work side by side, each on a picture or on the faces of a chunk, and the networks of each have that thread
alone: several threads for one network would wait for each other, which took a tenth of the processor time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facefeat.batch.inputs import Chunk, Item
from facefeat.batch.reader import PictureReader
from facefeat.batch.table import Found, arrow_schema, to_rows
from facefeat.errors import ImageError
from facefeat.image.io import MAX_PICTURE_BYTES, TooManyPixels
from facefeat.networks.runtime import RuntimeOptions, default_options
from facefeat.pipeline import AT_ONCE, PIXELS_AT_ONCE, faces_of, side_to_keep
from facefeat.utils.machine import cores
from facefeat.utils.ort import one_thread

if TYPE_CHECKING:
    import pyarrow as pa

    from facefeat.image.io import Photo
    from facefeat.model import FaceFeatureModel
    from facefeat.types import Face

T = TypeVar("T")

CHUNK = 64
"""Pictures in a chunk: with one face each, as many as the classifier takes at once."""

_AHEAD_PIXELS = 24_000_000  # a larger picture is not decoded ahead of its turn


@dataclass(frozen=True)
class Settings:
    """What the rows depend on. preset: a folder. runtime: what the networks run on."""

    preset: str
    detector: str = "centerface"
    detector_config: Mapping[str, Any] = field(default_factory=dict)
    latent: bool = False
    chunk: int = CHUNK
    runtime: RuntimeOptions = field(default_factory=default_options)


def default_threads() -> int:
    """Decode threads: one a core, 8 at most; more pictures than that would wait for the detector in memory."""
    return min(8, cores())


def load_model(settings: Settings) -> FaceFeatureModel:
    """The model that the settings name, each of whose networks has one thread."""
    from facefeat.model import FaceFeatureModel

    config = dict(settings.detector_config)
    runtime = replace(settings.runtime, threads=1)
    return FaceFeatureModel.from_preset(
        settings.preset, detector=settings.detector, detector_config=config, runtime=runtime
    )


class ChunkReader:
    """Reads chunks with a model of its own. Twice as many pictures as threads are ahead of their turn at any time."""

    def __init__(self, settings: Settings, threads: int | None = None) -> None:
        """threads: that read pictures; of these no more than `settings.runtime.threads` compute at a time."""
        self.model = load_model(settings)
        self._latent = settings.latent
        self._threads = threads or default_threads()
        self._computing = threading.BoundedSemaphore(settings.runtime.threads or cores())
        self._reader = PictureReader(side_to_keep(self.model.detector))
        self.schema: pa.Schema = arrow_schema(self.model.schema, self.model.latent_dim if settings.latent else None)

    def read(self, chunks: Iterable[Chunk]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Each chunk's number and rows, in order; the pictures of the next one are read meanwhile."""
        pool = ThreadPoolExecutor(self._threads, "facefeat-read", initializer=one_thread)
        concurrent = getattr(self.model.detector, "concurrent", False) is True
        try:
            found: list[Found] = []
            rows: tuple[int, Future[pa.RecordBatch]] | None = None
            for number, last, one in (self._one_by_one if concurrent else self._in_groups)(chunks, pool):
                found.append(one)
                if last:
                    if rows is not None:
                        yield rows[0], rows[1].result()
                    rows, found = (number, pool.submit(self._rows, found)), []
            if rows is not None:
                yield rows[0], rows[1].result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _one_by_one(self, chunks: Iterable[Chunk], pool: ThreadPoolExecutor) -> Iterator[tuple[int, bool, Found]]:
        """(chunk, whether it is the chunk's last, what a picture gave) in order; a thread sees to all of a picture."""
        for number, item, last, read in self._ahead(chunks, pool, self._found):
            try:
                yield number, last, read.result()
            except TooManyPixels:
                yield number, last, pool.submit(self._found, item).result()

    def _found(self, item: Item, max_pixels: int | None = None) -> Found:
        """What a picture gives. Raises TooManyPixels where it has more than max_pixels."""
        try:
            photo = self._open(item, max_pixels)
        except ImageError as e:
            if max_pixels is not None and isinstance(e, TooManyPixels):
                raise
            return Found(item.source, reason=str(e))
        with self._computing:
            (faces,) = faces_of([photo], self.model.detector, self.model)
        return _with(Found(item.source, photo.size), faces)

    def _in_groups(self, chunks: Iterable[Chunk], pool: ThreadPoolExecutor) -> Iterator[tuple[int, bool, Found]]:
        """The same, for a detector that is to see several pictures at once, and is called in one thread only."""
        group: list[tuple[Found, Photo | None]] = []
        pixels = 0
        for number, item, last, opened in self._ahead(chunks, pool, self._open):
            try:
                photo = self._taken(item, opened)
                group.append((Found(item.source, photo.size), photo))
                pixels += photo.pixels.size // 3
            except ImageError as e:
                group.append((Found(item.source, reason=str(e)), None))
            if last or len(group) == AT_ONCE or pixels > PIXELS_AT_ONCE:
                for i, one in enumerate(self._detected(group, pool), 1):
                    yield number, last and i == len(group), one
                group, pixels = [], 0

    def _ahead(
        self, chunks: Iterable[Chunk], pool: ThreadPoolExecutor, work: Callable[[Item, int | None], T]
    ) -> Iterator[tuple[int, Item, bool, Future[T]]]:
        """(chunk, item, whether it is the chunk's last, what `work` makes of it) in order, a few of them ahead."""
        waiting: deque[tuple[int, Item, bool, Future[T]]] = deque()
        held = 0  # bytes of the pictures that have come as such
        for number, items in chunks:
            for i, given in enumerate(items, 1):
                item = self._reader.in_order(given)
                waiting.append((number, item, i == len(items), pool.submit(work, item, _AHEAD_PIXELS)))
                held += _bytes_in(item)
                while len(waiting) >= 2 * self._threads or (waiting and held > MAX_PICTURE_BYTES):
                    held -= _bytes_in(waiting[0][1])
                    yield waiting.popleft()
        while waiting:
            yield waiting.popleft()

    def _open(self, item: Item, max_pixels: int | None = None) -> Photo:
        """The picture. Raises ImageError, for more than max_pixels TooManyPixels."""
        return self._reader.open(item) if max_pixels is None else self._reader.open(item, max_pixels)

    def _taken(self, item: Item, opened: Future[Photo]) -> Photo:
        """The picture, now that it is its turn. Raises ImageError."""
        try:
            return opened.result()
        except TooManyPixels:
            return self._open(item)

    def _detected(self, group: list[tuple[Found, Photo | None]], pool: ThreadPoolExecutor) -> list[Found]:
        """The faces of a group, with their crops."""
        photos = [photo for _, photo in group if photo is not None]
        read = iter(faces_of(photos, self.model.detector, self.model, each=pool.map))
        return [one if photo is None else _with(one, next(read)) for one, photo in group]

    def _rows(self, found: list[Found]) -> pa.RecordBatch:
        faces = [face for one in found for face in one.faces]
        crops: list[Any] = [face.crop for face in faces]
        if not crops:
            return to_rows(found, None, None, self.schema)
        with self._computing:
            stacked = np.stack(crops)
            latents = self.model.encode(stacked) if self._latent else None
            return to_rows(found, self.model.predict_faces(stacked, faces), latents, self.schema)


def _bytes_in(item: Item) -> int:
    return len(item.at[0]) if item.kind == "bytes" else 0


def _with(one: Found, faces: list[Face] | str) -> Found:
    return replace(one, reason=faces) if isinstance(faces, str) else replace(one, faces=tuple(faces))
