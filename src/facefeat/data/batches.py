"""Batches of crops and targets, read ahead by one thread. NumPy only: the same on every Keras backend."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facefeat.errors import InputError

AHEAD = 3
"""Batches that wait, read, while the device works on one."""

Batch = tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]


class Images(Protocol):
    """An array or a CropView."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class _Failure:
    error: BaseException


class Batches:
    """Epochs of (images (B, S, S, 3) uint8, {target: (B, ...)}); their order depends on `seed` and the epoch alone.

    images: (N, S, S, 3) uint8 array or CropView, or (N, h, w, C) float array of feature maps.
    targets: name -> (N, ...) array; may be empty. part: (i, n) to give of each batch the i-th of n equal parts only.
    draw: epoch -> (N,) positions of its images, in place of every image once.
    The last batch is smaller unless drop_last. Raises InputError where lengths differ or no batch would come out.
    """

    def __init__(
        self,
        images: Images,
        targets: Mapping[str, NDArray[Any]],
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        part: tuple[int, int] = (0, 1),
        draw: Callable[[int], NDArray[np.int64]] | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number from 1. Received: {batch_size!r}.")
        crops = getattr(images, "dtype", np.uint8) == np.uint8  # else the feature maps of a frozen backbone
        if len(images.shape) != 4 or (crops and images.shape[3] != 3):
            raise InputError(f"images must be (N, S, S, 3). Received shape: {tuple(images.shape)}.")
        for name, target in targets.items():
            if np.ndim(target) < 1 or len(target) != len(images):
                raise InputError(
                    f"target {name!r} has shape {np.shape(target)}, but there are {len(images):,} images. Where"
                    " pictures could not be decoded, a data set has fewer rows after crops(): take its labels after it."
                )
        index, parts = part
        if batch_size % parts:
            raise InputError(f"batch_size must be a multiple of the {parts} processes. Received: {batch_size}.")
        self.share = slice(index * batch_size // parts, (index + 1) * batch_size // parts)
        self.images = images
        self.targets = {k: np.asarray(v) for k, v in targets.items()}
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.draw = draw
        if len(self) == 0:
            raise InputError(f"{len(images)} images make no batch of {batch_size} (drop_last={drop_last})")

    def __len__(self) -> int:
        """Batches in an epoch."""
        n = len(self.images)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """(N,) positions of the images in the order of this epoch."""
        n = len(self.images)
        if self.draw is not None:
            return self.draw(epoch)
        if not self.shuffle:
            return np.arange(n)
        return np.random.default_rng([self.seed, epoch]).permutation(n)

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """The batches of one epoch. A thread reads ahead; it ends with the iterator, also when that is left early."""
        order = self.order(epoch)
        ready: queue.Queue[Batch | _Failure | None] = queue.Queue(AHEAD)
        stop = threading.Event()

        def put(item: Batch | _Failure | None) -> bool:
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def read() -> None:
            try:
                for i in range(len(self)):
                    rows = order[i * self.batch_size : (i + 1) * self.batch_size][self.share]
                    if not put((self.images[rows], {k: v[rows] for k, v in self.targets.items()})):
                        return
                put(None)
            except BaseException as e:  # noqa: BLE001 - raised again in the consumer's thread
                put(_Failure(e))

        return self._consume(ready, stop, threading.Thread(target=read, name="facefeat-batches", daemon=True))

    @staticmethod
    def _consume(
        ready: queue.Queue[Batch | _Failure | None], stop: threading.Event, thread: threading.Thread
    ) -> Iterator[Batch]:
        thread.start()
        try:
            while True:
                item = ready.get()
                if item is None:
                    return
                if isinstance(item, _Failure):
                    raise item.error
                yield item
        finally:
            stop.set()
            while not ready.empty():  # a blocked put sees the stop at once
                try:
                    ready.get_nowait()
                except queue.Empty:
                    break
            thread.join()
