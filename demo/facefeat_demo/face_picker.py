"""A photo and the choice of one of its faces, which several tabs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from facefeat import FacefeatError, InputError
from facefeat_demo.cards import notice, turned
from facefeat_demo.editing import CHANGED, stamp
from facefeat_demo.host import MAX_CARDS, QUEUE, Host
from facefeat_demo.inputs import examples, photo_bytes, photo_input
from facefeat_demo.photos import data_uri

if TYPE_CHECKING:
    from facefeat.types import UInt8Array
    from facefeat_demo.photos import Kept


@dataclass(frozen=True)
class PickedFace:
    """state: None, or {"crops": (N, S, S, 3), "large": (N, FACE, FACE, 3), "chosen": int, "turned": degrees, "of": the
    stamp of the model}.

    events: after which the state may be another. parts: the photo, its faces, the choice and the state.
    """

    state: gr.State
    events: tuple[Any, ...]
    parts: tuple[Any, ...]

    def empty(self) -> list[Any]:
        """Updates of the parts: no photo."""
        return [None, *find(None, None)]


def pick_face(
    host: Host, kept: Kept, label: str, name: str, *, height: int = 220, try_these: bool = True
) -> PickedFace:
    """A photo, its faces in a row, and which of them; name: the end of the elements' ids, "morph-1"."""
    tab, _, number = name.partition("-")
    photo = photo_input(label, kept, height=height, elem_id=f"{tab}-photo-{number or 1}")
    if try_these:
        examples(photo, kept)
    faces = gr.HTML("", js_on_load=None, elem_classes="ff-strip-holder")
    choice = gr.Radio([], label=f"{label}: which one?", visible=False, elem_id=f"{tab}-choice-{number or 1}")
    state = gr.State(None, time_to_live=3600)

    def found_in(value: Any) -> tuple[Any, ...]:
        """The faces of a photo: a strip of them, the choice, and their crops."""
        return find(photo_bytes(value, photo), host)

    found = photo.change(
        found_in,
        photo,
        [faces, choice, state],
        preprocess=False,
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=faces,
        api_visibility="private",
        **QUEUE,
    )
    chosen = choice.input(choose, [choice, state], [faces, state], queue=False, api_visibility="private")
    return PickedFace(state, (found, chosen), (photo, faces, choice, state))


def find(data: bytes | None, host: Host | None) -> tuple[Any, ...]:
    """(HTML strip of the faces, update of the choice, state) for a photo; None is a photo that was taken away."""
    hidden = gr.update(visible=False, choices=[], value=None)
    if data is None or host is None:
        return "", hidden, None
    try:
        faces, large, degrees = host.faces(data)
    except FacefeatError as e:
        return notice("That did not work", host.said(e)), hidden, None
    found = faces[:MAX_CARDS]
    crops = np.stack([f.face.crop for f in found if f.face.crop is not None])
    state = {"crops": crops, "large": large, "chosen": 0, "turned": degrees, "of": stamp(host.model)}
    choices = [(f"Face {i}", i) for i in range(1, len(found) + 1)]
    return strip(state), gr.update(visible=len(found) > 1, choices=choices, value=1), state


def choose(number: int | None, state: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    """The strip and the state with another face chosen."""
    if state is None or number is None or not 1 <= number <= len(state["crops"]):
        return "", state
    state = {**state, "chosen": int(number) - 1}
    return strip(state), state


def crop_of(state: dict[str, Any], host: Host, which: str = "crops") -> UInt8Array:
    """(S, S, 3), the chosen face. which: or "large", as it is shown.

    Raises InputError where it was cut out for another model than the one in use.
    """
    if state["of"] != stamp(host.model):
        raise InputError(CHANGED)
    crop: UInt8Array = state[which][state["chosen"]]
    return crop


def strip(state: dict[str, Any]) -> str:
    """The faces of a photo in a row, the chosen one marked."""
    several = len(state["crops"]) > 1
    pictures = "".join(
        f"<figure{' class=ff-chosen' if i == state['chosen'] else ''}>"
        f'<img src="{data_uri(crop, quality=90)}" alt="Face {i + 1}{", chosen" if i == state["chosen"] else ""}">'
        f"{f'<figcaption>{i + 1}</figcaption>' if several else ''}</figure>"
        for i, crop in enumerate(state["crops"])
    )
    note = f'<p class="ff-quiet">{turned(state["turned"])}</p>' if state.get("turned") else ""
    return f'<div class="ff-strip">{pictures}</div>{note}'
