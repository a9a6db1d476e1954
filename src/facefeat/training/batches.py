"""The batches of one data set, as the loop takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from facefeat.data import Batches, FaceDataset
    from facefeat.data.drawing import WeightedDraw
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


def weighted_draw(dataset: FaceDataset, seed: int) -> WeightedDraw | None:
    """How an epoch draws from the parts of a data set; None where it has none."""
    from facefeat.data.drawing import WeightedDraw

    return WeightedDraw(dataset.part_numbers(), [p.weight for p in dataset.parts], seed) if dataset.parts else None


def drawn_counts(dataset: FaceDataset, seed: int) -> dict[str, dict[str, int]]:
    """Attribute -> class -> how many faces of it an epoch draws, about; of a data set without parts, its own counts."""
    draw = weighted_draw(dataset, seed)
    if draw is None:
        return dataset.counts
    out: dict[str, dict[str, float]] = {}
    for number, drawn in enumerate(draw.counts()):
        rows = np.flatnonzero(draw.groups == number)
        for name, classes in dataset.take(rows).counts.items() if len(rows) else ():
            found = out.setdefault(name, {})
            for label, n in classes.items():
                found[label] = found.get(label, 0.0) + n * drawn / len(rows)
    return {name: {label: round(n) for label, n in classes.items()} for name, classes in out.items()}


def training_targets(dataset: FaceDataset) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Attribute -> its targets (N, T), or (N, T + M) with soft labels behind them; the attributes that have these."""
    targets: dict[str, np.ndarray] = dict(dataset.targets())
    soft = dataset.soft_targets()
    for name, rows in soft.items():
        targets[name] = np.concatenate([targets[name], rows], axis=1)
    return targets, tuple(soft)


def face_batches(
    images: Any, targets: Mapping[str, np.ndarray], dataset: FaceDataset, recipe: BaseRecipe, processes: Processes
) -> FaceBatches:
    """Shuffled batches of a data set's crops or feature maps (N, ...); the last, smaller one is left out.

    Of a data set of several parts, an epoch draws from each by its weight. Each process has its part of every batch.
    """
    from facefeat.data import Batches

    size = min(recipe.train.batch_size, len(images))
    part = (processes.index, processes.count)
    batches = Batches(images, targets, size, shuffle=True, seed=recipe.seed, drop_last=True, part=part,
                      draw=weighted_draw(dataset, recipe.seed))  # fmt: skip
    return FaceBatches(batches, files_of(dataset))
