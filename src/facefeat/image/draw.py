"""Draws what was found onto a picture: boxes with numbers, and what the model reads from each face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facefeat.plugins.kinds import captions

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

    from facefeat.types import FaceResult, ImageResult, UInt8Array

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
    for number, face in reversed(list(enumerate(result.faces, 1))):
        text = label(number, face)
        font = _font(draw, text, width, height)
        _write(draw, text, font, face.box, _COLOURS[(number - 1) % len(_COLOURS)], (width, height))
    return np.array(picture)


def label(number: int, face: FaceResult) -> str:
    """The lines of a face's label: "1  34 years", then a line for each other attribute, such as "Female 98%".

    What makes the face hard to read comes last, such as "too dark".
    """
    lines = captions(face.attributes)
    if face.quality is not None and face.quality.reasons:
        lines.append(", ".join(face.quality.reasons[:2]))
    return "\n".join([f"{number}  {lines[0]}", *lines[1:]]) if lines else str(number)


def _grown(box: tuple[float, float, float, float], by: int, width: int, height: int) -> tuple[float, ...]:
    left, top, right, bottom = box
    return (max(0.0, left - by), max(0.0, top - by), min(width - 1.0, right + by), min(height - 1.0, bottom + by))


def _font(
    draw: ImageDraw.ImageDraw, text: str, width: int, height: int
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font at about 2.6 % of the picture's mean side, or smaller where the label would not fit in it."""
    from PIL import ImageFont

    size = max(11.0, 0.026 * (width + height) / 2)
    while True:
        font = ImageFont.load_default(size)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font)
        if size <= 6 or (right - left + size <= width and bottom - top + size <= height):
            return font
        size = max(6.0, size * 0.8)


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    box: tuple[float, float, float, float],
    colour: str,
    size: tuple[int, int],
) -> None:
    """The text on a dark ground: above the box where there is room, else below, else at the picture's border."""
    x0, y0, x1, y1 = draw.multiline_textbbox((0, 0), text, font=font)
    pad = max(2.0, (y1 - y0) / (6 * (text.count("\n") + 1)))
    wide, high = x1 - x0 + 2 * pad, y1 - y0 + 2 * pad
    left = min(max(0.0, box[0]), max(0.0, size[0] - wide))
    top = box[1] - high - pad
    if top < 0:
        top = box[3] + pad
    top = min(max(0.0, top), max(0.0, size[1] - high))
    draw.rectangle((left, top, left + wide, top + high), fill=_DARK)
    draw.multiline_text((left + pad - x0, top + pad - y0), text, font=font, fill=colour)
