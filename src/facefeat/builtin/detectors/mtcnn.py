"""`mtcnn`: faces with five landmarks, by a cascade of three small networks.

Source: Zhang, Zhang, Li, Qiao 2016, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks". The weights are those in the `mtcnn` distribution (MIT); the cascade is written anew over plain TensorFlow
operations, because the distribution's own one (1.0.0)
  * works with Keras on TensorFlow only, while here Keras may run on JAX or PyTorch;
  * rounds landmarks to whole pixels, which costs accuracy in the alignment of small faces;
  * gives a padded batch's images each other's offsets where one of them has no face;
  * takes every InvalidArgumentError of TensorFlow's for "no faces".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, PluginError
from facefeat.types import Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facefeat.types import UInt8Array

    Floats = NDArray[np.float32]

_CELL, _STRIDE = 12, 2  # what the first network sees at once, and how far apart, in pixels of a pyramid level
_STEP = 0.709  # from one pyramid level to the next: half the area
_CHUNK = 8  # images of one size that go through the first network together
_PATCHES = {"rnet": 1024, "onet": 256}  # of images of any sizes, that go through a network together: some 60 MB in it

# Shapes of the weights in order: kernel, bias and slope of each layer, then kernel and bias of each output.
_FIRST_KERNELS = {"pnet": (3, 3, 3, 10), "rnet": (3, 3, 3, 28), "onet": (3, 3, 3, 32)}
_ARRAYS = {"pnet": 13, "rnet": 16, "onet": 21}


@dataclass(frozen=True)
class Mtcnn:
    """The cascade. Immutable, and safe to use from several threads.

    max_side: images are scaled down so that their longer side has at most this many pixels: the time for an image
        grows with its square, and the faces found are those larger than about min_face / max_side of the longer side.
        1024 or more for groups with small faces.
    min_face: side of the smallest face to look for, in pixels after that scaling; at least 12.
    score: faces of a lower score than this, 0 to 1, are left out.
    Raises InputError for other values.
    """

    max_side: int = 640
    min_face: int = 20
    score: float = 0.9

    def __post_init__(self) -> None:
        for name, low in (("max_side", _CELL), ("min_face", _CELL)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise InputError(f"mtcnn: {name} must be a whole number of at least {low} pixels. Received: {value!r}.")
        if isinstance(self.score, bool) or not isinstance(self.score, int | float) or not 0 <= self.score <= 1:
            raise InputError(f"mtcnn: score must be a number from 0 to 1. Received: {self.score!r}.")

    def detect(self, image: UInt8Array) -> list[Face]:
        """Faces of one (H, W, 3) uint8 RGB image, largest first, in its own pixels; none for a tiny image."""
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """Faces of several images, of any sizes: one list each, in order; what `detect` gives, up to rounding."""
        small = [_shrink(image, self.max_side) for image in images]
        owner, boxes = self._proposals(small)
        rows = self._refined(small, owner, boxes)  # (n, 15)
        found = []
        for image, shrunk, own in zip(images, small, rows, strict=True):
            zoom = np.array(image.shape[1::-1]) / np.maximum(1, shrunk.shape[1::-1])
            found.append(sorted((_face(row, zoom) for row in own), key=lambda f: -f.area))
        return found

    def _proposals(self, images: Sequence[UInt8Array]) -> tuple[NDArray[np.intp], Floats]:
        """(n,) image numbers, ascending, and (n, 4) square boxes, by the first network: images of one size at once."""
        sizes: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            if min(image.shape[:2]) >= self.min_face:
                sizes.setdefault(image.shape, []).append(i)
        owners, boxes = [np.zeros(0, "intp")], [np.zeros((0, 4), "float32")]
        for members in sizes.values():
            for start in range(0, len(members), _CHUNK):
                part = members[start : start + _CHUNK]
                owner, box = self._propose(np.stack([images[k] for k in part]))
                owners.append(np.array(part, "intp")[owner])
                boxes.append(box)
        owner, box = np.concatenate(owners), np.concatenate(boxes)
        order = np.argsort(owner, kind="stable")
        return owner[order], box[order]

    def _refined(self, images: Sequence[UInt8Array], owner: NDArray[np.intp], boxes: Floats) -> list[Floats]:
        """The two other networks, over boxes of images of any sizes together.

        For each image (n, 15): box, score, five x, five y.
        """
        box_shift, score = _look("rnet", 24, images, owner, boxes)
        owner, boxes, score, box_shift = _take(score > 0.7, owner, boxes, score, box_shift)
        boxes = _moved(boxes, box_shift)
        keep = _keep(owner, boxes, score, 0.7)
        owner, boxes = owner[keep], _squared(boxes[keep])

        box_shift, marks, score = _look("onet", 48, images, owner, boxes)
        owner, boxes, score, box_shift, marks = _take(score > self.score, owner, boxes, score, box_shift, marks)
        corner, side = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        marks = np.hstack([corner[:, :1] + marks[:, :5] * side[:, :1], corner[:, 1:] + marks[:, 5:] * side[:, 1:]])
        boxes = _moved(boxes, box_shift)
        keep = _keep(owner, boxes, score, 0.4, inside=0.7)
        rows = np.hstack([boxes, score[:, None], marks])[keep]  # (n, 15)
        return [rows[owner[keep] == i] for i in range(len(images))]

    def _propose(self, images: UInt8Array) -> tuple[NDArray[np.intp], Floats]:
        """images (B, H, W, 3) uint8 -> (n,) image numbers and (n, 4) square boxes that may hold a face."""
        from PIL import Image

        height, width = images.shape[1:3]
        owners, boxes, scores = [], [], []
        scale = _CELL / self.min_face
        while min(height, width) * scale >= _CELL:
            size = (round(width * scale), round(height * scale))
            level = np.stack([np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BOX)) for x in images])
            shift, score = _run("pnet", _normalised(level))  # (B, h, w, 4), (B, h, w)
            owner, y, x = np.nonzero(score > 0.6)
            zoom = np.array([width / size[0], height / size[1]] * 2, "float32")
            cell = np.stack([x, y, x, y], axis=1) * _STRIDE + np.array([0, 0, _CELL, _CELL])
            box = ((cell + shift[owner, y, x] * _CELL) * zoom).astype("float32")
            keep = _keep(owner, box, score[owner, y, x], 0.5)
            owners.append(owner[keep])
            boxes.append(box[keep])
            scores.append(score[owner, y, x][keep])
            scale *= _STEP
        owner, box = np.concatenate(owners), np.concatenate(boxes)
        keep = _keep(owner, box, np.concatenate(scores), 0.7)
        return owner[keep], _squared(box[keep])


# ---------------------------------------------------------------- images and boxes


def _shrink(image: UInt8Array, max_side: int) -> UInt8Array:
    """The image itself, or scaled down so that its longer side has max_side pixels."""
    from PIL import Image

    height, width = image.shape[:2]
    ratio = max_side / max(height, width)
    if ratio >= 1:
        return image
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    # From more than four times too large, every second, third ... pixel is enough to average over: on a photo of
    # 12 megapixels, handing all of them to Pillow takes as long as finding the faces.
    step = max(1, int(1 / ratio) // 2)
    picture = Image.fromarray(np.ascontiguousarray(image[::step, ::step]))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def _normalised(images: UInt8Array) -> Floats:
    """uint8 -> float32 from -1 to 1, as the networks were trained."""
    return ((images - np.float32(127.5)) / np.float32(128)).astype("float32", copy=False)


def _face(row: Floats, zoom: NDArray[np.float64]) -> Face:
    """row (15,) and the (2,) factors x and y to the original's pixels -> a Face."""
    left, top, right, bottom = (row[:4] * np.tile(zoom, 2)).tolist()
    marks = row[5:].reshape(2, 5).T * zoom  # five x, five y -> (5, 2); the network's order is LANDMARK_NAMES
    return Face((left, top, right, bottom), min(1.0, float(row[4])), marks.astype("float32"))


def _take(keep: NDArray[np.bool_], *arrays: Any) -> tuple[Any, ...]:
    return tuple(a[keep] for a in arrays)


def _moved(boxes: Floats, shift: Floats) -> Floats:
    """boxes (n, 4) moved by shift (n, 4), which is in units of their width and height."""
    return boxes + shift * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _squared(boxes: Floats) -> Floats:
    """boxes (n, 4) -> squares of the same centres and the longer sides."""
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0.0) / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.hstack([centre - half, centre + half])


def _keep(owner: NDArray[np.intp], boxes: Floats, scores: Floats, over: float, inside: float = 1.0) -> NDArray[np.intp]:
    """Non-maximum suppression: which of n boxes stay; by image, each image's best first.

    A box goes where a better one of the same image overlaps with it by more than `over` of their union, or covers more
    than `inside` of the smaller of the two.
    """
    sides = boxes.astype("float64")
    area = np.prod(np.maximum(sides[:, 2:] - sides[:, :2], 0.0), axis=1)
    by_image = np.lexsort((-scores, owner))
    kept = []
    # An image at a time: the work grows with the square of the boxes that are looked at together.
    for order in np.split(by_image, np.flatnonzero(np.diff(owner[by_image])) + 1):
        while len(order):
            best, rest = order[0], order[1:]
            kept.append(best)
            low, high = np.maximum(sides[best, :2], sides[rest, :2]), np.minimum(sides[best, 2:], sides[rest, 2:])
            common = np.prod(np.maximum(high - low, 0.0), axis=1)
            union = area[best] + area[rest] - common
            smaller = np.minimum(area[best], area[rest])
            order = rest[(common <= over * union) & (common <= inside * smaller)]
    return np.array(kept, "intp")


# ---------------------------------------------------------------- networks


@cache
def _tensorflow() -> Any:
    """TensorFlow, kept off the accelerator where that belongs to Keras on another backend."""
    import keras
    import tensorflow as tf

    if keras.config.backend() != "tensorflow":
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:  # somebody used TensorFlow before, and has it set up in their way
            return tf
    return tf


def _run(net: str, pixels: Any) -> tuple[Floats, ...]:
    """pixels (B, h, w, 3), B >= 0 -> the network's outputs for each; the last is the probability of a face."""
    tf = _tensorflow()
    count = len(pixels)
    if not count:  # some kernels of TensorFlow's refuse to run on nothing
        pixels = np.zeros((1, *pixels.shape[1:]), "float32")
    with tf.device("CPU:0"):
        return tuple(out.numpy()[:count] for out in _network(net)(tf.convert_to_tensor(pixels)))


def _look(
    net: str, side: int, images: Sequence[UInt8Array], owner: NDArray[np.intp], boxes: Floats
) -> tuple[Floats, ...]:
    """The network's outputs for n boxes. owner (n,): their images, ascending; the images are of any sizes."""
    step = _PATCHES[net]
    parts = [
        _run(net, _patches(images, owner[k : k + step], boxes[k : k + step], side))
        for k in range(0, max(1, len(owner)), step)
    ]
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


def _patches(images: Sequence[UInt8Array], owner: NDArray[np.intp], boxes: Floats, side: int) -> Floats:
    """images (H, W, 3) uint8, owner (n,), boxes (n, 4) -> (n, side, side, 3) float32; grey, 0, outside the image.

    The first and last samples lie on a box's edges, as in the distribution's own cascade. On 200 UTKFace crops and 100
    scenes made of them this found 198 faces in the crops, with samples inset by half their distance 196, with
    antialiased inset ones 197; the errors of the alignment differed by too little to tell the three apart.
    """
    tf = _tensorflow()
    patches = np.empty((len(owner), side, side, 3), "float32")
    for i in np.unique(owner):
        mine = owner == i
        height, width = images[i].shape[:2]
        yxyx = boxes[mine][:, [1, 0, 3, 2]] / np.array([height, width, height, width], "float32")
        with tf.device("CPU:0"):
            pixels = _normalised(images[i][None])
            patches[mine] = tf.image.crop_and_resize(pixels, yxyx, np.zeros(len(yxyx), "int32"), (side, side)).numpy()
    return patches


@cache
def _weights(net: str) -> list[Floats]:
    """The arrays of one network, checked. Raises PluginError where the distribution holds others than expected."""
    import mtcnn
    from mtcnn.utils.tensorflow import load_weights

    # An absolute path: given a bare name, load_weights would first look into the current folder.
    path = Path(mtcnn.__file__).resolve().parent / "assets" / "weights" / f"{net}.lz4"
    arrays = load_weights(str(path)) if path.is_file() else []
    if len(arrays) != _ARRAYS[net] or arrays[0].shape != _FIRST_KERNELS[net]:
        raise PluginError(
            f"the distribution mtcnn does not hold the expected weights {path.name}. "
            "Next: pip install --force-reinstall 'mtcnn>=1.0,<2'"
        )
    return [np.asarray(a, "float32") for a in arrays]


@cache
def _network(net: str) -> Callable[[Any], tuple[Any, ...]]:
    """A compiled function: float32 pixels from -1 to 1 -> outputs, the last the probability of a face."""
    tf = _tensorflow()
    with tf.device("CPU:0"):
        weights = [tf.constant(a) for a in _weights(net)]

    def layer(x: Any, i: int, kind: Callable[[Any, Any], Any]) -> Any:
        """Layer i: product, bias, and a leaky rectifier of learnt slope."""
        kernel, bias, slope = weights[3 * i : 3 * i + 3]
        x = kind(x, kernel) + bias
        return tf.nn.relu(x) - slope * tf.nn.relu(-x)

    def conv(x: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(x, kernel, strides=1, padding="VALID")

    def pool(x: Any, side: int, padding: str) -> Any:
        return tf.nn.max_pool2d(x, side, strides=2, padding=padding)

    def flat(x: Any) -> Any:
        """(n, h, w, C) -> (n, w * h * C): the weights come from a library that counts columns first."""
        x = tf.transpose(x, (0, 2, 1, 3))  # (n, w, h, C)
        return tf.reshape(x, (-1, x.shape[1] * x.shape[2] * x.shape[3]))

    def outputs(x: Any, kind: Callable[[Any, Any], Any], first: int) -> tuple[Any, ...]:
        parts = [kind(x, weights[k]) + weights[k + 1] for k in range(first, len(weights), 2)]
        return (*parts[:-1], tf.nn.softmax(parts[-1])[..., 1])

    def pnet(x: Any) -> tuple[Any, ...]:
        x = pool(layer(x, 0, conv), 2, "SAME")
        return outputs(layer(layer(x, 1, conv), 2, conv), conv, 9)

    def rnet(x: Any) -> tuple[Any, ...]:
        x = pool(layer(x, 0, conv), 3, "SAME")
        x = pool(layer(x, 1, conv), 3, "VALID")
        return outputs(layer(flat(layer(x, 2, conv)), 3, tf.matmul), tf.matmul, 12)

    def onet(x: Any) -> tuple[Any, ...]:
        x = pool(layer(x, 0, conv), 3, "SAME")
        x = pool(layer(x, 1, conv), 3, "VALID")
        x = pool(layer(x, 2, conv), 2, "SAME")
        return outputs(layer(flat(layer(x, 3, conv)), 4, tf.matmul), tf.matmul, 15)

    run, side = {"pnet": (pnet, None), "rnet": (rnet, 24), "onet": (onet, 48)}[net]
    signature = [tf.TensorSpec((None, side, side, 3), tf.float32)]
    compiled: Callable[[Any], tuple[Any, ...]] = tf.function(run, input_signature=signature, jit_compile=False)
    return compiled
