"""The detectors that come with facefeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.builtin.detectors.centerface import CenterFace
    from facefeat.builtin.detectors.mtcnn import Mtcnn
    from facefeat.builtin.detectors.whole_image import WholeImage


def _centerface(
    *,
    side: int = 320,
    max_side: int = 800,
    score: float = 0.4,
    turned: bool = True,
    refine: bool = True,
    threads: int = 0,
) -> CenterFace:
    from facefeat.builtin.detectors.centerface import CenterFace

    return CenterFace(side, max_side, score, turned, refine, threads)


def _mtcnn(*, max_side: int = 640, min_face: int = 20, score: float = 0.9, threads: int = 0) -> Mtcnn:
    from facefeat.builtin.detectors.mtcnn import Mtcnn

    return Mtcnn(max_side, min_face, score, threads)


def _whole_image() -> WholeImage:
    from facefeat.builtin.detectors.whole_image import WholeImage

    return WholeImage()


COMPONENTS = [
    Component("centerface", _centerface, "one network without anchors, landmarks by MTCNN's last (Xu et al. 2019)"),
    Component("mtcnn", _mtcnn, "three small networks in a cascade: boxes and five landmarks (Zhang et al. 2016)"),
    Component("whole-image", _whole_image, "takes each image as one face: for pictures that are crops already"),
]
