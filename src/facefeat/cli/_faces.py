"""The face that a command works on: the one asked for, or the largest, said aloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.cli._show import warn

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.types import Face, UInt8Array


def check_photos(*photos: str) -> None:
    """Call before `start_keras`: a photo that cannot be read is told at once. Raises ImageError."""
    from facefeat.image.align import open_image

    for photo in photos:
        open_image(photo)


def face_crop(model: FaceFeatureModel, photo: str, number: int) -> UInt8Array:
    """The (S, S, 3) uint8 aligned crop of face `number` of a photo, counted from 1; 0 for the largest, said aloud.

    Raises ImageError for a photo that cannot be read, InputError for one without a face, or without that face.
    """
    crop: Any = the_face(model, photo, number).crop
    assert crop is not None
    return crop


def the_face(model: FaceFeatureModel, photo: str, number: int) -> Face:
    """The face that `face_crop` is of. Raises as it does."""
    from facefeat.errors import InputError

    found = model.predict(photo).faces
    if not found:
        raise InputError(f"no face was found in {photo!r}. For a picture that is one whole face, crop it to the face.")
    if number > len(found):
        raise InputError(f"{photo!r} has {len(found)} face{'s' * (len(found) > 1)}. Received: --face {number}.")
    if not number and len(found) > 1:
        warn(f"{photo!r} has {len(found)} faces; the largest is taken. Another: --face N")
    return found[max(0, number - 1)].face
