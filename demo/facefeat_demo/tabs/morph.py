"""Morph: from one face to the next, as a slider, a film and curves of what the model predicts between them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from facefeat import FacefeatError, MissingExtraError
from facefeat.image.video import enlarge, write_frames
from facefeat_demo.face_picker import crop_of, pick_face
from facefeat_demo.face_view import lacking
from facefeat_demo.host import QUEUE, Host
from facefeat_demo.inputs import check_room, sorry
from facefeat_demo.morph_view import viewer

if TYPE_CHECKING:
    from facefeat.types import UInt8Array
    from facefeat_demo.photos import Kept

TITLE = "Morph"
FACES = ("First face", "Second face", "Third face (if you like)")
FILM_SIZE = 384
FPS = 24
_SCRIPT = Path(__file__).resolve().parent.parent / "static" / "morph.js"
_EMPTY = '<div class="ff-empty"><p>Choose two photos, or three, and press <b>Morph</b>.</p></div>'
NO_DECODER = lacking("Morphing", "decoder")


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
    picked = []
    with gr.Row(equal_height=False):
        for number, label in enumerate(FACES):
            with gr.Column(min_width=240):
                picked.append(pick_face(host, kept, label, f"morph-{number + 1}", try_these=number < 2))
    with gr.Accordion("Options", open=False), gr.Row():
        steps = gr.Slider(12, 120, value=60, step=12, label="Pictures", info="More are smoother, and take longer.")
        path = gr.Radio(
            [("Straight", "linear"), ("Around", "spherical")],
            value="linear",
            label="Path",
            info="Straight fades from face to face; around keeps more character between them.",
        )
    button = gr.Button("Morph", variant="primary", elem_id="morph-button")
    shown = gr.HTML(_EMPTY, elem_id="morph-result", js_on_load=_SCRIPT.read_text("utf-8"), min_height=80)
    made = gr.State(None, time_to_live=3600)
    with gr.Row(visible=False, elem_classes="ff-downloads") as downloads:
        film = gr.DownloadButton("Download MP4", size="sm", min_width=140)
        animation = gr.DownloadButton("Download GIF", size="sm", min_width=140)

    def morph(count: float, path: str, *states: Any) -> tuple[str, UInt8Array, Any]:
        """Frames from face to face. Raises an error with a sentence for the page."""
        chosen = [s for s in states if s]
        if len(chosen) < 2:
            raise gr.Error("Choose at least two photos with a face in each.", print_exception=False)
        try:
            crops, large = ([crop_of(s, host, which) for s in chosen] for which in ("crops", "large"))
            result = host.morph(crops, min(max(int(count), 12), 120), path, large)
        except FacefeatError as e:
            raise sorry(e, host) from None
        return viewer(result), result.frames, gr.update(visible=False)

    def files(frames: Any, request: gr.Request) -> list[Any]:
        if frames is None:
            return [gr.update(visible=False), None, None]
        check_room(kept, film.GRADIO_CACHE)
        paths = write_files(frames, film.GRADIO_CACHE)
        for p in paths:
            kept.remember(request.session_hash, p, film.GRADIO_CACHE)
        updates = [gr.update(visible=p is not None, value=p) for p in paths]
        return [gr.update(visible=True), *updates]

    done = button.click(
        morph,
        [steps, path, *(one.state for one in picked)],
        [shown, made, downloads],
        api_visibility="private",
        scroll_to_output=True,
        **QUEUE,
    )
    done.success(files, made, [downloads, film, animation], api_visibility="private", show_progress="hidden")


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
