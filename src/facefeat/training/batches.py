"""The batches of one data set, as the loop takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from facefeat.data import Batches, FaceDataset
    from facefeat.training.base_recipe import BaseRecipe
    from facefeat.training.processes import Processes


@dataclass(frozen=True)
class FaceBatches:
    """An `EpochBatches` of `facefeat.data.Batches`. files: the name of each face."""

    batches: Batches
    files: Sequence[str]

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.batches)

    def epoch(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        """(images, targets), or (images,) where what they are compared with is in the graph."""
        return (batch if batch[1] else batch[:1] for batch in self.batches.epoch(epoch))

    def faces(self, epoch: int, numbers: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
        """The names of the faces in these batches of an epoch, and their images and targets."""
        size, order = self.batches.batch_size, self.batches.order(epoch)
        rows = np.concatenate([order[i * size :][:size] for i in numbers])
        targets = {f"target_{k}": v[rows] for k, v in self.batches.targets.items()}
        return [self.files[i] for i in rows], {"images": self.batches.images[rows], **targets}


def files_of(dataset: FaceDataset) -> list[str]:
    """The name of each face of a data set."""
    return [str(f) for f in dataset.table["file"]]


def face_batches(
    images: Any, targets: Mapping[str, np.ndarray], dataset: FaceDataset, recipe: BaseRecipe, processes: Processes
) -> FaceBatches:
    """Shuffled batches of a data set's crops or feature maps (N, ...); the last, smaller one is left out.

    Each process has its part of every batch.
    """
    from facefeat.data import Batches

    size = min(recipe.train.batch_size, len(images))
    part = (processes.index, processes.count)
    batches = Batches(images, targets, size, shuffle=True, seed=recipe.seed, drop_last=True, part=part)
    return FaceBatches(batches, files_of(dataset))
