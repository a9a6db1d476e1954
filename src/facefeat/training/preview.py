"""What a recipe's augmentation does to crops, as one picture: originals on the left, random changes next to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from facefeat.training.recipe import Augment
    from facefeat.types import UInt8Array

_GAP, _MARGIN, _LINE = 4, 12, 16


def preview_grid(
    crops: UInt8Array, augment: Augment, columns: int = 8, seed: int = 1, title: str = "", cell: int = 96
) -> UInt8Array:
    """A picture with one row for each crop: the crop, then `columns` augmented versions, as training would see them.

    crops: (N, S, S, 3) uint8; what MixUp and CutMix mix in comes from the other rows. cell: side of a crop in the
    picture, in pixels, S where S is larger. Returns (H, W, 3) uint8.
    """
    from PIL import Image, ImageDraw

    drawn, captions = augmented(crops, augment, columns, seed)
    cell = max(cell, crops.shape[1])
    step, caption = cell + _GAP, _LINE if any(captions) else 0
    font = _font()
    heading = [t for t in (title, describe(augment)) if t]
    width = 2 * _MARGIN + step * (columns + 1) + _MARGIN
    lines = [line for text in heading for line in _wrap(text, width - 2 * _MARGIN, font)]
    top = _MARGIN + _LINE * (len(lines) + 1) + _GAP
    picture = Image.new("RGB", (width, top + len(crops) * (step + caption) + _MARGIN), "white")
    pen = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + i * _LINE), line, "black", font=font)
    # A wider gap sets the originals apart.
    lefts = [_MARGIN, *(2 * _MARGIN + step * c for c in range(1, columns + 1))]
    for text, left in (("original", lefts[0]), ("augmented", lefts[min(1, columns)])):
        pen.text((left, top - _LINE - _GAP), text, "#666666", font=font)
    for row, crop in enumerate(crops):
        y = top + row * (step + caption)
        for x, pixels in zip(lefts, (crop, *drawn[row]), strict=True):
            picture.paste(Image.fromarray(pixels).resize((cell, cell), Image.Resampling.BICUBIC), (x, y))
        for x, text in zip(lefts[1:], captions[row] if captions else (), strict=False):
            pen.text((x, y + cell + 1), text, "#666666", font=font)
    return np.asarray(picture)


def augmented(
    crops: UInt8Array, augment: Augment, columns: int, seed: int
) -> tuple[list[list[UInt8Array]], list[list[str]]]:
    """Each crop changed `columns` times, and what was mixed into it: (N lists of (S, S, 3) uint8, N lists of str).

    The captions are empty where the recipe mixes nothing. The same seed draws the same changes.
    """
    import keras

    from facefeat.training.augmentation import augmentation_layers
    from facefeat.training.mixing import mixing_layer

    layers, mixing = augmentation_layers(augment, seed), mixing_layer(augment, seed)
    pixels: list[list[UInt8Array]] = [[] for _ in crops]
    captions: list[list[str]] = [[] for _ in crops]
    for _ in range(columns):
        x: Any = keras.ops.convert_to_tensor(crops.astype("float32"))
        for layer in layers:
            x = layer(x, training=True)
        if mixing is not None:
            x, partner, own = mixing(x, training=True)
            shares = zip(keras.ops.convert_to_numpy(partner), keras.ops.convert_to_numpy(own), strict=True)
            for row, (other, share) in enumerate(shares):
                captions[row].append("" if other == row else f"{1 - share:.0%} of row {other + 1}")
        for row, crop in enumerate(keras.ops.convert_to_numpy(x)):
            pixels[row].append(np.clip(np.rint(crop), 0, 255).astype("uint8"))
    return pixels, captions if mixing is not None else []


def describe(augment: Augment) -> str:
    """What is switched on, as a recipe would say it: "flip = true, rotation = 10.0"."""
    from dataclasses import asdict

    values = asdict(augment)
    names = [layer["name"] for layer in values.pop("layers")]
    values = {k: v for k, v in values.items() if v and (k != "magnitude" or augment.randaugment)}
    if not augment.jpeg:
        values = {k: v for k, v in values.items() if not k.startswith("jpeg")}
    parts = [f"{k} = {'true' if v is True else v}" for k, v in values.items()]
    return ", ".join([*parts, *names]) or "no augmentation"


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(12)


def _wrap(text: str, width: int, font: Any) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        trial = f"{lines[-1]} {word}".strip()
        if font.getlength(trial) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = trial
    return lines
