"""Which faces of several data sets an epoch sees: of each its share, every face of it equally often over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WeightedDraw:
    """Epoch -> (N,) positions of faces; what it gives depends on the seed and the epoch alone.

    groups: (N,) int, the data set of each face. weights: of each data set, its share of the N faces of an epoch,
    relative to the others'. Its faces come in shuffled rounds that go on from one epoch to the next, so that each is
    drawn once before any is drawn twice.
    """

    groups: NDArray[np.int64]
    weights: Sequence[float]
    seed: int

    def counts(self) -> NDArray[np.int64]:
        """(G,) how many faces of each data set an epoch draws; N in all."""
        total = len(self.groups)
        here = np.bincount(self.groups, minlength=len(self.weights)) > 0
        shares = np.where(here, np.asarray(self.weights, "float64"), 0.0)
        exact = total * shares / shares.sum()
        counts = np.floor(exact).astype(np.int64)
        # What is left after rounding down goes to the largest remainders.
        for i in np.argsort(-(exact - counts), kind="stable")[: total - counts.sum()]:
            counts[i] += 1
        return counts

    def __call__(self, epoch: int) -> NDArray[np.int64]:
        """The positions of an epoch's faces, in its order."""
        drawn = []
        for group, count in enumerate(self.counts()):
            rows = np.flatnonzero(self.groups == group)
            if not count:
                continue
            first, end = epoch * count, (epoch + 1) * count
            rounds = range(first // len(rows), -(-end // len(rows)))
            shuffled = [np.random.default_rng([self.seed, group, r]).permutation(rows) for r in rounds]
            start = rounds.start * len(rows)
            drawn.append(np.concatenate(shuffled)[first - start : end - start])
        order = np.concatenate(drawn)
        return np.asarray(order[np.random.default_rng([self.seed, epoch]).permutation(len(order))], np.int64)
