"""KerasHub's backbones for facefeat: from explicit configurations with random weights, or with those of a preset.

Importing this imports neither Keras nor KerasHub: both come in when a network is built.
"""

from __future__ import annotations

from functools import partial

from facefeat import Component, hookimpl
from facefeat_keras_hub.build import build
from facefeat_keras_hub.networks import NETWORKS

COMPONENTS = [Component(n.name, partial(build, n), n.summary, requires=("keras_hub",)) for n in NETWORKS]


@hookimpl
def facefeat_backbones():
    return COMPONENTS
