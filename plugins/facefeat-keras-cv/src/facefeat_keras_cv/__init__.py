"""KerasCV's backbones for facefeat, with random weights, and those of its augmentations that still work.

KerasCV (0.9.0, the last one) is discontinued; see the README for what to use instead. Each network is built from its
own explicit configuration: KerasCV's alias classes, such as ResNet18V2Backbone, ask a hub for theirs.
"""

from __future__ import annotations

from functools import partial

from facefeat import Component, hookimpl
from facefeat_keras_cv.augmentations import AUGMENTATIONS
from facefeat_keras_cv.networks import NETWORKS, build

COMPONENTS = [Component(n.name, partial(build, n), n.summary) for n in NETWORKS]

LAYERS = [Component(a.name, a, a.summary) for a in AUGMENTATIONS]


@hookimpl
def facefeat_backbones():
    return COMPONENTS


@hookimpl
def facefeat_augmentations():
    return LAYERS
