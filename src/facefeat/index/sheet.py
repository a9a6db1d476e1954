"""The nearest faces as one picture, with the labels of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError
from facefeat.image.video import SHEET, check_output, contact_sheet, enlarge, with_text
from facefeat.index.database import Neighbour
from facefeat.utils.text import with_unit

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

SIDE = 160


def check_sheet(output: Path) -> None:
    """Raises InputError, before the work, where a sheet cannot be written there."""
    if output.suffix.lower() not in SHEET:
        raise InputError(f"a sheet is a picture: {' or '.join(SHEET)}. Received: {str(output)!r}.")
    check_output(output)


def neighbour_sheet(query: UInt8Array | None, found: Sequence[Neighbour], metric: str) -> UInt8Array:
    """One (H, W, 3) uint8 picture: the (S, S, 3) uint8 face that was asked about, where there is one, then each found.

    Raises InputError where the index keeps no crops.
    """
    crops = [n.crop for n in found]
    if not crops or any(c is None for c in crops):
        raise InputError("the index keeps no pictures of its faces. Next: facefeat index without --no-crops")
    shown = [*([query] if query is not None else []), *crops]
    texts = [*(["asked about"] if query is not None else []), *(_text(n, metric) for n in found)]
    frames = np.concatenate([enlarge(np.asarray(c)[None], SIDE) for c in shown])
    return contact_sheet(with_text(frames, texts), columns=min(len(shown), 3))


def _text(found: Neighbour, metric: str) -> str:
    lines = [f"{found.rank}.   {metric} {found.distance:.3f}", ""]
    lines += [f"{n.replace('_', ' ')}: {label}" for n, label in found.labels.items() if label]
    lines += [] if np.isnan(found.age_years) else [with_unit(f"{found.age_years:.0f}", "years")]
    name = Path(found.file).name
    if found.box is not None:
        name += f", face {found.face}"
    return "\n".join([*lines, "", *(name[i : i + 22] for i in range(0, min(len(name), 66), 22))])
