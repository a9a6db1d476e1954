"""The built-in losses, one file each: targets (B, T) and outputs (B, M) of one attribute -> a cost for each face (B,).

Targets are those of the attribute's kind, NaN where a label is unknown: such a face costs nothing.

| name | what | source |
|---|---|---|
| cross-entropy | against the class (exact years: against the year) | |
| distribution | cross-entropy against a normal distribution around the year or class | Gao et al., TIP 2017 |
| focal | cross-entropy, less of it where the model is already right | Lin et al., ICCV 2017 |
| ordinal | cross-entropy of "older than k?" for every k, from the tails of the distribution | Cao et al., PRL 2020 |
| squared | squared error of the expected place on -1..1, or of the probabilities | the original experiment |
| binary-cross-entropy | of each class of a list alone | |
| huber, mse | of a number, with and without mercy for outliers | Huber, 1964 |
"""

from __future__ import annotations

from facefeat.builtin.losses import (
    binary_cross_entropy,
    cross_entropy,
    distribution,
    focal,
    huber,
    mse,
    ordinal,
    squared,
)
from facefeat.plugins.contracts import Component

COMPONENTS: list[Component] = [
    cross_entropy.COMPONENT,
    distribution.COMPONENT,
    focal.COMPONENT,
    ordinal.COMPONENT,
    squared.COMPONENT,
    binary_cross_entropy.COMPONENT,
    huber.COMPONENT,
    mse.COMPONENT,
]
