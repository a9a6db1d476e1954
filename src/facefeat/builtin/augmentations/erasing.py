"""Random erasing (Zhong et al., AAAI 2020): a share of the crops lose a rectangle."""

from __future__ import annotations

from typing import Any

from facefeat.builtin.checks import checked, real
from facefeat.plugins.contracts import Component

WHAT = "augmentation 'erasing'"


@checked(WHAT)
def build(*, seed: int, share: float = 0.25) -> Any:
    """A Keras layer, crops (B, S, S, 3) -> the same shape: a rectangle of noise over at most a fifth of the crop.

    A face must stay readable. share: of the crops, 0 to 1. Raises InputError.
    """
    from keras import layers

    share = real(WHAT, "share", share, 0, 1)
    # Of one number Keras makes a share drawn from 0 to number, hence the pair.
    return layers.RandomErasing((share, share), scale=(0.02, 0.2), value_range=(0, 255), seed=seed)


COMPONENT = Component("erasing", build, "a rectangle of noise over a share of the crops")
