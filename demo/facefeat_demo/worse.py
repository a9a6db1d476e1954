"""How dark, or how blurred, a photo can be: the answer and its doubt, from the photo as it is to a bad one."""

from __future__ import annotations

import base64
import binascii
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from facefeat import InputError
from facefeat.image.align import resize_crops
from facefeat.image.corrupt import corrupt
from facefeat.image.video import enlarge
from facefeat_demo.morph_view import viewer
from facefeat_demo.photos import open_photo

if TYPE_CHECKING:
    from facefeat import FaceBatch
    from facefeat.types import UInt8Array
    from facefeat_demo.host import Host

KINDS = {
    "dark": "How dark can it be?",
    "defocus-blur": "How blurred?",
    "low-resolution": "How few pixels?",
    "jpeg": "How compressed?",
}
"""Corruption -> the question that it answers."""
STEPS = 25
_SHOWN = 160
_LARGEST = 200_000  # characters of a face, as it comes from the browser
_STATIC = Path(__file__).resolve().parent / "static"


@dataclass(frozen=True)
class Worse:
    """A face made worse and worse: (STEPS, S, S, 3) frames, and what the model predicts from each."""

    frames: UInt8Array
    predictions: FaceBatch


def how_bad(host: Host) -> gr.HTML:
    """The questions of KINDS for the face that the page shows, and the slider that answers."""
    one = threading.Lock()

    def worsen(asked: Any) -> dict[str, str]:
        """The slider and its curves for {"picture": data address of a face, "kind": of KINDS}."""
        try:
            with one:
                picture, kind = (asked.get(k) if isinstance(asked, dict) else None for k in ("picture", "kind"))
                made = worse(host, picture, kind)
        except InputError as e:
            return {"error": str(e)}
        return {"html": viewer(made, "From the photo as it is, on the left, to one that says little.")}

    buttons = "".join(
        f'<button type="button" data-kind="{kind}" aria-pressed="false">{says}</button>' for kind, says in KINDS.items()
    )
    page = (
        '<div class="ff-worse"><h2 class="ff-count">And if the photo were worse?</h2>'
        '<p class="ff-quiet">The face above, worse step by step: when does the answer change, and do I notice?'
        f'</p><div class="ff-worse-ask">{buttons}</div><div class="ff-worse-shown" aria-live="polite"></div></div>'
    )
    script = "".join((_STATIC / name).read_text("utf-8") for name in ("morph.js", "worse.js"))
    return gr.HTML(page, js_on_load=script, server_functions=[worsen], elem_id="classify-worse")


def worse(host: Host, picture: Any, kind: Any) -> Worse:
    """Raises InputError where the picture is none, or the kind is not known. What comes is untrusted."""
    head, comma, data = picture.partition(",") if isinstance(picture, str) else ("", "", "")
    if kind not in KINDS or not comma or not head.startswith("data:image/") or len(data) > _LARGEST:
        raise InputError("Choose a photo with a face first.")
    try:
        opened = open_photo(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        opened = "This is not a picture of a face."
    if isinstance(opened, str):
        raise InputError(opened)
    size = host.model.image_size
    crop = resize_crops(opened[None], size)[0]
    frames = np.stack([corrupt(crop, kind, float(s)) for s in np.linspace(0, 1, STEPS)])
    return Worse(enlarge(frames, _SHOWN), host.model.predict_faces(frames))
