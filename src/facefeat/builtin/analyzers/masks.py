"""Which pixels of a crop are face: from where an aligned face's landmarks lie, or from a folder of masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.image.align import open_image, resize_crop

if TYPE_CHECKING:
    from facefeat.types import Alignment, FaceSet, UInt8Array


def landmark_mask(alignment: Alignment, size: int, grow: float) -> np.ndarray:
    """(S, S) bool: the hull of the alignment's five landmarks, `grow` times as large about its centre, rounded.

    Crops are aligned, so one mask does for all. The landmarks lie inside the face, hence the growth.
    """
    from PIL import Image, ImageDraw, ImageFilter

    marks = np.asarray(alignment.landmarks)
    corners = marks[[0, 1, 4, 3]]  # eyes, then the corners of the mouth, in order around them
    centre = corners.mean(axis=0)
    wide = centre + (corners - centre) * grow
    scale = 4  # drawn larger, so that the rounding is smooth
    picture = Image.new("L", (size * scale, size * scale))
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in wide * size * scale], fill=255)
    # A blur of an eighth of the side and a cut at one half round the corners off and leave the sides.
    picture = picture.filter(ImageFilter.GaussianBlur(size * scale / 8)).resize((size, size))
    return np.asarray(picture) >= 128


def folder_masks(folder: Path, faces: FaceSet, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows that have a mask (M,), masks (M, S, S) bool): pictures named like the faces, bright where the face is.

    A face "a/b.jpg" has its mask in "a/b.png" or "b.png" of the folder (or with the face's own suffix). Raises
    InputError where no face has one.
    """
    found, masks = [], []
    for row in rows:
        path = _mask_of(folder, faces.files[row])
        if path is not None:
            found.append(row)
            masks.append(resize_crop(open_image(path), size).mean(axis=-1) >= 128)
    if not found:
        raise InputError(
            f"analyzer 'background': the folder {str(folder)!r} has a mask of none of the faces. "
            f"Valid: pictures named like them, such as {Path(faces.files[rows[0]]).with_suffix('.png').name!r}."
        )
    return np.asarray(found), np.stack(masks)


def _mask_of(folder: Path, file: str) -> Path | None:
    name = Path(file)
    relative = name if not name.is_absolute() and ".." not in name.parts else Path(name.name)
    options = [relative.with_suffix(".png"), relative, Path(name.name).with_suffix(".png"), Path(name.name)]
    return next((folder / o for o in options if (folder / o).is_file()), None)


def blanked(crops: UInt8Array, hide: np.ndarray, fill: str) -> UInt8Array:
    """Crops (N, S, S, 3) with the pixels of `hide` (N, S, S) bool in all crops' mean colour ("mean"), or black."""
    colour: Any = crops.reshape(-1, 3).mean(axis=0) if fill == "mean" else 0
    return np.where(hide[..., None], colour, crops).astype("uint8")
