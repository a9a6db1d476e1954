"""The detectors that come with facefeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.component import Component

if TYPE_CHECKING:
    from facefeat.builtin.detectors.mtcnn import Mtcnn
    from facefeat.builtin.detectors.whole_image import WholeImage


def _mtcnn(**config: Any) -> Mtcnn:
    from facefeat.builtin.detectors.mtcnn import Mtcnn

    return Mtcnn(**config)


def _whole_image(**config: Any) -> WholeImage:
    from facefeat.builtin.detectors.whole_image import WholeImage

    return WholeImage(**config)


COMPONENTS = [
    Component("mtcnn", _mtcnn, "three small networks in a cascade: boxes and five landmarks (Zhang et al. 2016)"),
    Component("whole-image", _whole_image, "takes each image as one face: for pictures that are crops already"),
]
