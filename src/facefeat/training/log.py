"""The progress of a training run, and its log."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from facefeat.data import FaceDataset


class TrainingReporter(Protocol):
    """Receives the progress of a run; the command line draws it."""

    def started(self, epochs: int, first_epoch: int, batches: int) -> None:
        """Before the first epoch of this process."""

    def batch(self, epoch: int, done: int, loss: float) -> None:
        """After a batch; loss is the mean since the epoch began."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """After an epoch; the record is a row of the log."""


@dataclass
class TrainingLog:
    """What a run left behind: a row per epoch, which of them was the best, and what the run depended on.

    origin: the preset that it started from, and the licence that its weights have of that and of the data.
    """

    recipe: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    origin: dict[str, Any] = field(default_factory=dict)
    best_epoch: int = -1
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def key(self) -> str:
        """A hash of what the run depends on, for its checkpoints."""
        return hashlib.sha256(json.dumps([self.recipe, self.data], sort_keys=True).encode()).hexdigest()

    @property
    def licence(self) -> str:
        """What the weights may be used for: what the data and the start allow."""
        return str(self.origin.get("licence") or self.data["licence"])

    def scores(self, phase: int) -> list[float]:
        """The validation scores of a phase's epochs so far."""
        return [r["score"] for r in self.epochs if r["phase"] == phase]

    def add(self, record: dict[str, Any]) -> bool:
        """Note an epoch; gives whether it is the best so far."""
        best = self.best_epoch < 0 or record["score"] > self.epochs[self.best_epoch]["score"]
        self.epochs.append(record)
        if best:
            self.best_epoch = len(self.epochs) - 1
        return best


BY_SOURCE = "sources"
"""In a log's data and in its epochs: name of a data set -> what is said of it alone."""


def describe(train_set: FaceDataset, validation_set: FaceDataset) -> dict[str, Any]:
    """What a log says of its data, JSON-able."""
    return {
        **({BY_SOURCE: describe_parts(train_set, validation_set)} if train_set.parts else {}),
        "name": train_set.name,
        "licence": train_set.licence,
        "train": {"faces": len(train_set.table), "fingerprint": train_set.fingerprint},
        "validation": {"faces": len(validation_set.table), "fingerprint": validation_set.fingerprint},
    }


def describe_parts(train_set: FaceDataset, validation_set: FaceDataset) -> dict[str, Any]:
    """Name of each part of a joined data set -> its licence, weight and faces, JSON-able."""
    numbers = {"train": train_set.part_numbers(), "validation": validation_set.part_numbers()}
    splits = {"train": "train", "validation": "val"}
    return {
        part.name: {
            "licence": part.licence,
            "weight": part.weight,
            **{
                use: {"faces": int((found == i).sum()), "fingerprint": part.fingerprints.get(splits[use], "")}
                for use, found in numbers.items()
            },
        }
        for i, part in enumerate(train_set.parts)
    }


def versions(precision: str) -> dict[str, str]:
    """What a log says of the software. precision: the Keras dtype policy of the run."""
    import keras

    from facefeat._version import __version__

    return {
        "facefeat": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "precision": precision,
    }
