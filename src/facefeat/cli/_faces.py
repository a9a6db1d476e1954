"""The face that a command works on: the one asked for, or the main one, which is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat.cli._show import warn

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.pipeline import PhotoFace
    from facefeat.types import UInt8Array


def open_photos(*photos: str) -> list[UInt8Array]:
    """The (H, W, 3) uint8 pixels of each. Call before `start_keras`: then unreadable files are reported at once.

    Raises ImageError.
    """
    from facefeat.image.align import open_image

    return [open_image(photo) for photo in photos]


def the_face(model: FaceFeatureModel, photo: str, pixels: UInt8Array, number: int | None) -> PhotoFace:
    """Face `number` of a photo, counted from 1; None for the main one, large and near the middle.

    Raises InputError for a photo without a face, or without that face.
    """
    from facefeat.errors import InputError
    from facefeat.image.main_face import main_face
    from facefeat.pipeline import photo_faces

    found = photo_faces(pixels, model.detector, model)
    if not found:
        raise InputError(f"no face was found in {photo!r}. For a picture that is one whole face, crop it to the face.")
    if number is not None and number > len(found):
        raise InputError(f"{photo!r} has {len(found)} face{'s' * (len(found) > 1)}. Received: --face {number}.")
    if number is None:
        height, width = pixels.shape[:2]
        number = main_face([f.face for f in found], (width, height)) + 1
        if len(found) > 1:
            warn(f"{photo!r} has {len(found)} faces; face {number}, the main one, is taken. Another: --face N")
    return found[number - 1]
