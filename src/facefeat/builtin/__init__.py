"""The built-ins: a plugin like any other, registered through the same hooks under the distribution `facefeat`."""

from __future__ import annotations

from collections.abc import Iterable

from facefeat.plugins.contracts import Component
from facefeat.plugins.hookspecs import hookimpl


@hookimpl
def facefeat_detectors() -> Iterable[Component]:
    """`centerface`, `mtcnn` and `whole-image`."""
    from facefeat.builtin.detectors import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_backbones() -> Iterable[Component]:
    """`compact`, this project's own, and the well-known ones."""
    from facefeat.builtin.backbones import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_heads() -> Iterable[Component]:
    """`single`, `mlp` and `attention`."""
    from facefeat.builtin.heads import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_augmentations() -> Iterable[Component]:
    """`affine`, `colour`, `randaugment`, `jpeg`, `erasing`, `coarse-dropout`, and corruptions such as `motion-blur`."""
    from facefeat.builtin.augmentations import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_decoders() -> Iterable[Component]:
    """`upsampling`, `detail` and `spatial`."""
    from facefeat.builtin.decoders import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_analyzers() -> Iterable[Component]:
    """`pca`, `tsne`, `directions`, `probe`, `coordinates`, `neighbours` and `background`."""
    from facefeat.builtin.analyzers import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_presets() -> Iterable[Component]:
    """The presets that ship in the package."""
    from facefeat.builtin.presets import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_attribute_kinds() -> Iterable[Component]:
    """`categorical`, `ordered`, `multilabel` and `continuous`."""
    from facefeat.builtin.kinds import COMPONENTS

    return COMPONENTS


@hookimpl
def facefeat_losses() -> Iterable[Component]:
    """Those of classes, of lists of classes, and of numbers."""
    from facefeat.builtin.losses import COMPONENTS

    return COMPONENTS
