"""Morph: from one face to the next, as a slider, a film and curves of what the model reads on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from facefeat import FacefeatError, MissingExtraError
from facefeat.latent.frames import enlarge, write_frames
from facefeat_demo.cards import notice
from facefeat_demo.host import MAX_CARDS, QUEUE, Host, Morph
from facefeat_demo.inputs import examples, photo_bytes, photo_input
from facefeat_demo.morph_view import viewer
from facefeat_demo.photos import data_uri

if TYPE_CHECKING:
    from facefeat.types import UInt8Array
    from facefeat_demo.photos import Kept

TITLE = "Morph"
FACES = ("First face", "Second face", "Third face (if you like)")
FILM_SIZE = 384
FPS = 24
_SCRIPT = Path(__file__).resolve().parent.parent / "static" / "morph.js"
_EMPTY = '<div class="ff-empty"><p>Choose two photos, or three, and press <b>Morph</b>.</p></div>'
NO_DECODER = """
<div class="ff-notice"><p class="ff-notice-title">This model cannot draw faces</p>
<p>Morphing needs a model with a decoder, and this one has none. <code>facefeat train-decoder</code> makes one;
<code>facefeat demo --preset FOLDER</code> starts this page with it.</p></div>
"""


def build(host: Host, kept: Kept) -> None:
    """Fill the tab."""
    can = host.model.has_decoder
    without = gr.HTML(NO_DECODER, visible=not can, js_on_load=None)
    with gr.Column(visible=can) as content:
        _content(host, kept)
    gr.on(
        None,
        lambda: [gr.update(visible=not host.model.has_decoder), gr.update(visible=host.model.has_decoder)],
        None,
        [without, content],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _content(host: Host, kept: Kept) -> None:
    slots = []
    with gr.Row(equal_height=False):
        for number, label in enumerate(FACES):
            with gr.Column(min_width=240):
                slots.append(_slot(host, kept, label, number))
    with gr.Accordion("Options", open=False), gr.Row():
        steps = gr.Slider(12, 120, value=60, step=12, label="Pictures", info="More are smoother, and take longer.")
        path = gr.Radio(
            [("Straight", "linear"), ("Around", "spherical")],
            value="linear",
            label="Way",
            info="Straight fades from face to face; around keeps more character on the way.",
        )
    button = gr.Button("Morph", variant="primary", elem_id="morph-button")
    shown = gr.HTML(_EMPTY, elem_id="morph-result", js_on_load=_SCRIPT.read_text("utf-8"), min_height=80)
    made = gr.State(None, time_to_live=3600)
    with gr.Row(visible=False, elem_classes="ff-downloads") as downloads:
        film = gr.DownloadButton("Download MP4", size="sm", min_width=140)
        animation = gr.DownloadButton("Download GIF", size="sm", min_width=140)

    def morph(count: float, way: str, *states: Any) -> tuple[str, Morph, Any]:
        """Frames from face to face. Raises an error with a sentence for the page."""
        crops = [s["crops"][s["chosen"]] for s in states if s]
        if len(crops) < 2:
            raise gr.Error("Choose at least two photos with a face in each.", print_exception=False)
        try:
            result = host.morph(crops, min(max(int(count), 12), 120), way)
        except FacefeatError as e:
            raise gr.Error(str(e), print_exception=False) from None
        return viewer(result), result, gr.update(visible=False)

    def files(result: Morph | None, request: gr.Request) -> list[Any]:
        if result is None:
            return [gr.update(visible=False), None, None]
        paths = write_files(result.frames, film.GRADIO_CACHE)
        for p in paths:
            kept.remember(request.session_hash, p, film.GRADIO_CACHE)
        updates = [gr.update(visible=p is not None, value=p) for p in paths]
        return [gr.update(visible=True), *updates]

    states = [state for state, _ in slots]
    done = button.click(
        morph,
        [steps, path, *states],
        [shown, made, downloads],
        api_visibility="private",
        scroll_to_output=True,
        **QUEUE,
    )
    done.success(files, made, [downloads, film, animation], api_visibility="private", show_progress="hidden")


def _slot(host: Host, kept: Kept, label: str, number: int) -> tuple[gr.State, gr.Image]:
    """One photo with the choice of its face. The state holds {"crops": (N, S, S, 3), "chosen": int} or None."""
    photo = photo_input(label, kept, height=220, elem_id=f"morph-photo-{number + 1}")
    if number < 2:
        examples(photo)
    faces = gr.HTML("", js_on_load=None, elem_classes="ff-strip-holder")
    choice = gr.Radio([], label=f"{label}: which one?", visible=False, elem_id=f"morph-choice-{number + 1}")
    state = gr.State(None, time_to_live=3600)

    def look(value: Any) -> tuple[Any, ...]:
        """The faces of a photo: a strip of them, the choice, and their crops."""
        return find(photo_bytes(value, photo), host)

    photo.change(
        look,
        photo,
        [faces, choice, state],
        preprocess=False,
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=faces,
        api_visibility="private",
        **QUEUE,
    )
    choice.input(_choose, [choice, state], [faces, state], queue=False, api_visibility="private")
    return state, photo


def find(data: bytes | None, host: Host) -> tuple[Any, ...]:
    """(HTML strip of the faces, update of the choice, state) for a photo; None is a photo that was taken away."""
    hidden = gr.update(visible=False, choices=[], value=None)
    if data is None:
        return "", hidden, None
    try:
        found = host.faces(data)[:MAX_CARDS]
    except FacefeatError as e:
        return notice("That did not work", str(e)), hidden, None
    state = {"crops": np.stack([f.face.crop for f in found if f.face.crop is not None]), "chosen": 0}
    choices = [(f"Face {i}", i) for i in range(1, len(found) + 1)]
    return strip(state), gr.update(visible=len(found) > 1, choices=choices, value=1), state


def _choose(number: int | None, state: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    if state is None or number is None or not 1 <= number <= len(state["crops"]):
        return "", state
    state = {**state, "chosen": int(number) - 1}
    return strip(state), state


def strip(state: dict[str, Any]) -> str:
    """The faces of a photo in a row, the chosen one marked."""
    several = len(state["crops"]) > 1
    pictures = "".join(
        f"<figure{' class=ff-chosen' if i == state['chosen'] else ''}>"
        f'<img src="{data_uri(crop, quality=90)}" alt="Face {i + 1}{", chosen" if i == state["chosen"] else ""}">'
        f"{f'<figcaption>{i + 1}</figcaption>' if several else ''}</figure>"
        for i, crop in enumerate(state["crops"])
    )
    return f'<div class="ff-strip">{pictures}</div>'


def write_files(frames: UInt8Array, cache: str | Path) -> list[str | None]:
    """The frames, there and back again, as MP4 and GIF in the upload folder; None for MP4 without the extra `video`."""
    Path(cache).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=cache))
    looped = np.concatenate([frames, frames[-2:0:-1]])
    write: Callable[..., Path] = write_frames
    try:
        film: str | None = str(write(enlarge(looped, FILM_SIZE), folder / "morph.mp4", fps=FPS))
    except MissingExtraError:
        film = None
    return [film, str(write(enlarge(looped, FILM_SIZE // 2), folder / "morph.gif", fps=FPS))]
