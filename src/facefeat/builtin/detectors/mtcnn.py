"""`mtcnn`: faces with five landmarks, by a cascade of three small networks.

Source: Zhang, Zhang, Li, Qiao 2016, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks". The graphs are the networks of the `mtcnn` distribution 1.0.0 (MIT), written by benchmarks/convert_mtcnn.py.
The cascade is our own, because the distribution's
  * works with Keras on TensorFlow only;
  * rounds landmarks to whole pixels, which costs accuracy in the alignment of small faces;
  * gives a padded batch's images each other's offsets where one of them has no face;
  * takes every InvalidArgumentError of TensorFlow's for "no faces".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from facefeat.builtin.detectors import common
from facefeat.types import Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facefeat.builtin.detectors.common import Floats, Indices
    from facefeat.types import UInt8Array

_CELL, _STRIDE = 12, 2  # what the first network sees at once, and how far apart, in pixels of a pyramid level
_STEP = 0.709  # from one pyramid level to the next: half the area
_PATCHES = {"rnet": 256, "onet": 64}  # that go through a network together: some 30 MB in it


@dataclass(frozen=True)
class Mtcnn:
    """The cascade. Immutable, and safe to use from several threads.

    max_side: images are scaled down so that their longer side has at most this many pixels: the time for an image
        grows with its square, and the faces found are those larger than about min_face / max_side of the longer side.
        1024 or more for groups with small faces.
    min_face: side of the smallest face to look for, in pixels after that scaling; at least 12.
    score: faces of a lower score than this, 0 to 1, are left out.
    threads: how many the networks use; 0: one a core.
    Raises InputError for other values.
    """

    max_side: int = 640
    min_face: int = 20
    score: float = 0.9
    threads: int = 0
    concurrent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        common.check_pixels("mtcnn", "max_side", self.max_side, _CELL)
        common.check_pixels("mtcnn", "min_face", self.min_face, _CELL)
        common.check_number("mtcnn", "score", self.score)
        common.check_threads("mtcnn", self.threads)

    @property
    def seen_side(self) -> int:
        """The longer side that larger images are scaled down to."""
        return self.max_side

    def detect(self, image: UInt8Array) -> list[Face]:
        """Faces of one (H, W, 3) uint8 RGB image, largest first, in its own pixels; none for a tiny image."""
        small = common.shrink(image, self.max_side)
        if min(small.shape[:2]) < self.min_face:
            return []
        rows = self._refined(small, self._proposals(small))
        zoom = np.array(image.shape[1::-1]) / small.shape[1::-1]
        return sorted((_face(row, zoom) for row in rows), key=lambda f: -f.area)

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """`detect` of each image.

        Batches of images gain nothing on a processor: the first network's layers leave its caches, and 48 pictures of
        448 pixels took 8 % longer in eights than one by one.
        """
        return [self.detect(image) for image in images]

    def _proposals(self, image: UInt8Array) -> Floats:
        """image (H, W, 3) -> (n, 4) square boxes that may hold a face, by the first network."""
        from PIL import Image

        picture = Image.fromarray(image)
        height, width = image.shape[:2]
        boxes, scores = [], []
        scale = _CELL / self.min_face
        while min(height, width) * scale >= _CELL:
            size = (round(width * scale), round(height * scale))
            level = np.asarray(picture.resize(size, Image.Resampling.BOX))[None]
            shift, probability = common.run_graph("mtcnn-pnet", level, self.threads)  # (1, h, w, 4), (1, h, w)
            y, x = np.nonzero(probability[0] > 0.6)
            score = probability[0, y, x]
            zoom = np.array([width / size[0], height / size[1]] * 2, "float32")
            cell = np.stack([x, y, x, y], axis=1) * _STRIDE + np.array([0, 0, _CELL, _CELL])
            box = ((cell + shift[0, y, x] * _CELL) * zoom).astype("float32")
            keep = common.suppress(box, score, 0.5)
            boxes.append(box[keep])
            scores.append(score[keep])
            scale *= _STEP
        box = np.concatenate(boxes)
        return common.squared(box[common.suppress(box, np.concatenate(scores), 0.7)])

    def _refined(self, image: UInt8Array, boxes: Floats) -> Floats:
        """boxes (n, 4) -> (m, 15) by the two other networks: box, score, five x, five y."""
        shift, score = look("rnet", image, boxes, self.threads)
        boxes, score, shift = common.take(score > 0.7, boxes, score, shift)
        boxes = common.moved(boxes, shift)
        boxes = common.squared(boxes[common.suppress(boxes, score, 0.7)])

        shift, marks, score = look("onet", image, boxes, self.threads)
        boxes, score, shift, marks = common.take(score > self.score, boxes, score, shift, marks)
        corner, side = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        marks = np.hstack([corner[:, :1] + marks[:, :5] * side[:, :1], corner[:, 1:] + marks[:, 5:] * side[:, 1:]])
        boxes = common.moved(boxes, shift)
        rows: Floats = np.hstack([boxes, score[:, None], marks])
        return rows[common.suppress(boxes, score, 0.4, inside=0.7)]


def look(net: str, image: UInt8Array, boxes: Floats, threads: int = 0) -> tuple[Floats, ...]:
    """What "rnet" or "onet" says of n boxes of an image (H, W, 3).

    Both: shift (n, 4) and, last, the probability of a face (n,); "onet" between them five x, five y (n, 10). All but
    the probability are in units of the boxes' sides.
    """
    side, step = {"rnet": 24, "onet": 48}[net], _PATCHES[net]
    parts = [
        common.run_graph(f"mtcnn-{net}", _patches(image, boxes[k : k + step], side), threads)
        for k in range(0, max(1, len(boxes)), step)
    ]
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


def _face(row: Floats, zoom: NDArray[np.float64]) -> Face:
    """row (15,) and the (2,) factors x and y to the original's pixels -> a Face."""
    left, top, right, bottom = (row[:4] * np.tile(zoom, 2)).tolist()
    marks = row[5:].reshape(2, 5).T * zoom  # five x, five y -> (5, 2); the network's order is LANDMARK_NAMES
    return Face((left, top, right, bottom), min(1.0, float(row[4])), marks.astype("float32"))


def _patches(image: UInt8Array, boxes: Floats, side: int) -> Floats:
    """image (H, W, 3) uint8, boxes (n, 4) -> (n, 3, side, side) float32 from -1 to 1; grey, 0, outside the image.

    Bilinear; the first and last samples lie on a box's edges, as in the distribution's own cascade. On 200 UTKFace
    crops and 100 scenes made of them this found 198 faces in the crops, with samples inset by half their distance 196,
    with antialiased inset ones 197; the errors of the alignment differed by too little to tell the three apart.
    """
    if not len(boxes):
        return np.zeros((0, 3, side, side), "float32")
    height, width = image.shape[:2]
    above, below, part_y, in_y = _samples(boxes[:, 1], boxes[:, 3], height, side)
    left, right, part_x, in_x = _samples(boxes[:, 0], boxes[:, 2], width, side)
    pixels = np.ascontiguousarray(image).reshape(-1, 3)

    def row(y: Indices) -> Floats:
        """(n, side, side, 3): interpolated between columns. What is looked at becomes a float, not the whole image."""
        at = (y * width)[:, :, None]
        out = _scaled(pixels.take(at + left[:, None, :], axis=0))
        after = _scaled(pixels.take(at + right[:, None, :], axis=0))
        after -= out
        after *= part_x[:, None, :, None]
        out += after
        return out

    patches, after = row(above), row(below)
    after -= patches
    after *= part_y[:, :, None, None]
    patches += after
    patches *= (in_y[:, :, None] & in_x[:, None, :])[..., None]
    return np.ascontiguousarray(patches.transpose(0, 3, 1, 2))


def _scaled(pixels: UInt8Array) -> Floats:
    """uint8 -> float32 from -1 to 1."""
    out: Floats = pixels.astype("float32")
    out -= np.float32(127.5)
    out *= np.float32(1 / 128)
    return out


def _samples(low: Floats, high: Floats, size: int, side: int) -> tuple[Indices, Indices, Any, NDArray[np.bool_]]:
    """`side` places from low (n,) to high (n,) along an axis of `size` pixels.

    (n, side) each: the pixels before and after, how far from the one to the other, and whether inside the image.
    """
    first, last = low / np.float32(size) * (size - 1), high / np.float32(size) * (size - 1)
    place = first[:, None] + np.arange(side, dtype="float32") * ((last - first) / np.float32(side - 1))[:, None]
    inside = (place >= 0) & (place <= size - 1)
    place = np.clip(place, 0, size - 1)
    before = np.floor(place)
    return before.astype("intp"), np.ceil(place).astype("intp"), place - before, inside
