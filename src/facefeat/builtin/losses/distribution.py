"""`distribution`: cross-entropy against a normal distribution around the true year, or around the true class of an
order (Gao et al., "Deep label distribution learning with label ambiguity", TIP 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat.builtin import checks
from facefeat.builtin.losses import common
from facefeat.builtin.losses.cross_entropy import cross_entropy
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.schema import Attribute

NAME = "distribution"


def build(*, attribute: Attribute, sigma: float = 2.0, label_smoothing: float = 0.0) -> common.Loss:
    """sigma: standard deviation, in years or classes. label_smoothing: as of cross-entropy. Raises InputError."""
    width = checks.real(common.check_fit(NAME, attribute), "sigma", sigma, 0.01, 1000.0)
    return common.class_loss(NAME, attribute, label_smoothing, cross_entropy, width)


COMPONENT = Component(NAME, build, "cross-entropy against a normal distribution around the true year or class")
