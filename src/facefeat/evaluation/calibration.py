"""Calibration: probabilities as high as the accuracy, and intervals with the stated coverage. How each is fitted is the
business of the attribute's kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from facefeat.networks.postprocess import Calibration

if TYPE_CHECKING:
    import numpy as np

    from facefeat.data import FaceDataset
    from facefeat.schema import Schema


def calibrate(
    schema: Schema,
    logits: Mapping[str, np.ndarray],
    dataset: FaceDataset,
    *,
    coverage: float = 0.9,
    seed: int = 0,
) -> Calibration:
    """Everything that a preset stores to make its answers honest, fitted on `dataset`.

    logits: attribute -> (N, outputs), in the rows of the data set. coverage: share of faces, 0 to 1, whose number an
    interval is to hold. Unlabelled rows are left out.
    """
    targets = dataset.targets()
    return Calibration(
        {
            name: a.strategy.calibrate(a, logits[name], targets[name], coverage, seed)
            for name, a in schema.attributes.items()
        }
    )
