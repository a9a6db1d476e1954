"""Draws what was found onto a picture: boxes with numbers, and what the model reads from each face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facefeat.plugins.kinds import say

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

    from facefeat.types import AttributePrediction, FaceResult, ImageResult, UInt8Array

Rectangle = tuple[float, float, float, float]
"""left, top, right, bottom in pixels."""
_COLOURS = ("#ffd54f", "#4fc3f7", "#aed581", "#ff8a65", "#ba68c8", "#4db6ac", "#f06292", "#fff176")
_DARK = "#101418"


def annotate(image: UInt8Array, result: ImageResult) -> UInt8Array:
    """A copy of an (H, W, 3) uint8 RGB image with a box, a number and a label for each face of its result.

    Faces are numbered from 1 in the result's order. Text and lines grow with the picture, and labels stay inside it.
    Returns (H, W, 3) uint8. A result without faces gives a plain copy.
    """
    from PIL import Image, ImageDraw

    if not result.faces:
        return image.copy()
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    height, width = image.shape[:2]
    line = max(1, round((width + height) / 600))
    for number, face in reversed(list(enumerate(result.faces, 1))):  # the first and largest face ends up on top
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        left, top, right, bottom = face.box
        box = (max(0.0, left), max(0.0, top), min(width - 1.0, right), min(height - 1.0, bottom))
        if box[0] < box[2] and box[1] < box[3]:
            draw.rectangle(_grown(box, line, width, height), outline=_DARK, width=3 * line)
            draw.rectangle(box, outline=colour, width=line)
    labels = [_fitted(draw, label(number, face), width, height) for number, face in enumerate(result.faces, 1)]
    taken: list[Rectangle] = []
    for text, face in zip(labels, result.faces, strict=True):
        taken.append(_place(text, face.box, taken, width, height))
    for i in reversed(range(len(labels))):
        _write(draw, labels[i], taken[i], _COLOURS[i % len(_COLOURS)])
    return np.array(picture)


def label(number: int, face: FaceResult) -> str:
    """The lines of a face's label: "1  34 years, 25-41 (90%)", then one for each other attribute: "Female 98%".

    As honest as a table: an interval where there is one, ">99%" rather than "100%", and where the first class is no
    clear answer the second one, too: "White 45% or Asian 40%". What makes the face hard to read comes last, such as
    "too dark".
    """
    lines = [_line(name, prediction) for name, prediction in face.attributes.items()]
    if face.quality is not None and face.quality.reasons:
        lines.append(", ".join(face.quality.reasons[:2]))
    return "\n".join([f"{number}  {lines[0]}", *lines[1:]]) if lines else str(number)


def _line(name: str, prediction: AttributePrediction) -> str:
    words = say(name, prediction)
    if prediction.interval is not None and not prediction.abstained:
        return f"{words.short}, {words.lines[-1]}"
    if len(words.lines) > 1 and words.text == " or ".join(words.lines):
        return words.short.replace(words.lines[0], words.text)
    return words.short


def _grown(box: tuple[float, float, float, float], by: int, width: int, height: int) -> tuple[float, ...]:
    left, top, right, bottom = box
    return (max(0.0, left - by), max(0.0, top - by), min(width - 1.0, right + by), min(height - 1.0, bottom + by))


@dataclass(frozen=True)
class _Label:
    """A label's text in a font that fits, and where its ink begins; wide, high: of its ground, with `pad` around it."""

    text: str
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    x0: float
    y0: float
    pad: float
    wide: float
    high: float


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int, height: int) -> _Label:
    """In Pillow's own font at about 2.6 % of the picture's mean side, or smaller where it would not fit in it."""
    from PIL import ImageFont

    size = max(11.0, 0.026 * (width + height) / 2)
    while True:
        font = ImageFont.load_default(size)
        x0, y0, x1, y1 = draw.multiline_textbbox((0, 0), text, font=font)
        if size <= 6 or (x1 - x0 + size <= width and y1 - y0 + size <= height):
            pad = max(2.0, (y1 - y0) / (6 * (text.count("\n") + 1)))
            return _Label(text, font, x0, y0, pad, x1 - x0 + 2 * pad, y1 - y0 + 2 * pad)
        size = max(6.0, size * 0.8)


def _place(text: _Label, box: Rectangle, taken: Sequence[Rectangle], width: int, height: int) -> Rectangle:
    """Where a label's ground goes: above its box, else below, else at a side, where it hides none that is there.

    Inside the picture in any case. Where every place is taken, the one that hides least.
    """
    above, below = box[1] - text.high - text.pad, box[3] + text.pad
    room_above = above >= 0
    at = [(box[0], above if room_above else below), (box[0], below if room_above else above)]
    at += [(box[0], y) for y in (above - text.high, below + text.high)]
    at += [(box[2] - text.wide, above), (box[2] - text.wide, below), (box[2] + text.pad, box[1])]
    at += [(box[0] - text.wide - text.pad, box[1]), (box[0], box[1])]
    places = []
    for left, top in at:
        x = min(max(0.0, left), max(0.0, width - text.wide))
        y = min(max(0.0, top), max(0.0, height - text.high))
        places.append((x, y, x + text.wide, y + text.high))
    return min(places, key=lambda place: sum(_shared(place, other) for other in taken))


def _shared(a: Rectangle, b: Rectangle) -> float:
    """The area that two rectangles share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _write(draw: ImageDraw.ImageDraw, text: _Label, place: Rectangle, colour: str) -> None:
    draw.rectangle(place, fill=_DARK)
    at = (place[0] + text.pad - text.x0, place[1] + text.pad - text.y0)
    draw.multiline_text(at, text.text, font=text.font, fill=colour)
