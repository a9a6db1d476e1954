"""`facefeat similar`: the faces of an index that are most like one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._faces import open_photos, the_face
from facefeat.cli._inputs import check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._overwrite import check_new, check_no_input, overwrite_option
from facefeat.cli._show import rows, say
from facefeat.errors import InputError
from facefeat.utils.files import open_regular
from facefeat.utils.json_text import json_text
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    from facefeat.index import FaceIndex
    from facefeat.types import FloatArray, UInt8Array

_MAX_BYTES = 16 * 1024**2  # of a latent


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.option(
    "--index", "folder", required=True, type=click.Path(path_type=Path), help="The folder that `facefeat index` wrote."
)
@click.option("--count", default=8, show_default=True, type=click.IntRange(1, 1000), help="How many faces.")
@click.option("--face", type=click.IntRange(1), metavar="N",
              help="Which face of the photo, by `facefeat predict`'s numbers. [default: the main one]")  # fmt: skip
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write a contact sheet: .png or .jpg.")
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one item per face.")
@click.option("--exact", is_flag=True, help="Compare with every face, where the index would be searched approximately.")
@click.option("--preset", metavar="NAME|FOLDER", help="The model. [default: that of the index]")
@click.option("--detector", metavar="NAME", help="centerface (default), mtcnn, whole-image for crops, or a plugin's.")
@runtime_options
def similar(
    photo: str,
    folder: Path,
    count: int,
    face: int | None,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    exact: bool,
    preset: str | None,
    detector: str | None,
) -> None:
    """List the faces of an index that are nearest to the face in PHOTO, or to a latent in a .npy file."""
    from facefeat.index.database import FaceIndex
    from facefeat.index.sheet import check_sheet, neighbour_sheet

    if output is not None:
        check_sheet(output)
        check_no_input(output, [photo])
        check_new(output, overwrite)
    index = FaceIndex(folder)
    crop: UInt8Array | None = None
    if photo.lower().endswith(".npy"):
        latent = read_latent(photo)
    else:
        crop, latent = encode_photo(index, photo, face, preset, detector)
    (found,) = index.nearest(latent, count, exact=exact, crops=output is not None)
    if output is not None:
        from facefeat.image.video import write_frames

        write_frames(neighbour_sheet(crop, found, index.metric)[None], output)
    if as_json:
        say(json_text([n.to_dict() for n in found]))
        return
    headers = ["", index.metric, "file", *(["face"] if any(n.box for n in found) else []), *index.attributes]
    rows(
        headers,
        [
            [
                str(n.rank),
                f"{n.distance:.3f}",
                n.file,
                *([str(n.face)] if "face" in headers else []),
                *n.labels.values(),
            ]
            for n in found
        ],
    )


def read_latent(path: str) -> FloatArray:
    """(1, D) from a .npy file of (D,) or (1, D). Raises InputError for anything else."""
    import numpy as np

    try:
        with open_regular(path, _MAX_BYTES) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"no such file: {path!r}.") from None
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError, OverflowError) as e:
        raise InputError(f"{path!r} is no .npy file of numbers: {e}") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path!r} is no .npy file of numbers. Received: an array of {array.dtype}.")
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or len(array) != 1:
        raise InputError(f"{path!r} must hold one latent, (D,) or (1, D). Received: {array.shape}.")
    return array


def own_preset(index: FaceIndex) -> str | None:
    """The preset that an index names: a registered name or a folder; None where it names none, for the default.

    Raises InputError for an address, also of a shared Windows folder. Whoever wrote the index may not be the one who
    runs the command, and an address in it would send a request from this machine.
    """
    named = str(index.facts["preset"])
    if "://" in named or named[:2] in ("//", "\\\\"):
        raise InputError(
            f"the index {str(index.folder)!r} names its preset by an address, {one_line(named, 200)!r}, and an address "
            "is not followed because an index says so. Next: --preset with that address, if you trust it, or with a "
            "name or folder of the same model."
        )
    return named or None


def encode_photo(
    index: FaceIndex, photo: str, face: int | None, preset: str | None, detector: str | None
) -> tuple[UInt8Array, FloatArray]:
    """The (S, S, 3) uint8 crop of a face and its (1, D) latent, by the model of the index."""
    preset = preset or own_preset(index)
    check_model(preset, detector)
    (pixels,) = open_photos(photo)

    model = load_model(preset, detector)
    index.check(model)
    crop = the_face(model, photo, pixels, face).cut(model.image_size)
    return crop, model.encode(crop[None])
