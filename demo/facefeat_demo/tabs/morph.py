"""Morph: from one face to the next, as a slider, a film and curves of what the model predicts between them.

It opens with a morph of two examples, which plays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat import FacefeatError, MissingExtraError
from facefeat.image.video import enlarge, write_frames
from facefeat_demo.face_picker import crop_of, pick_face
from facefeat_demo.face_view import lacking
from facefeat_demo.host import QUEUE, Host
from facefeat_demo.inputs import check_room, sorry
from facefeat_demo.morph_view import viewer

if TYPE_CHECKING:
    from collections.abc import Callable

    from facefeat.types import UInt8Array
    from facefeat_demo.photos import Kept

FACES = ("First face", "Second face", "Third face (if you like)")
FILM_SIZES = {".mp4": 384, ".gif": 192}
"""Side of a film's pictures, in pixels."""
FPS = 24
_SCRIPT = Path(__file__).resolve().parent.parent / "static" / "morph.js"
_EMPTY = '<div class="ff-empty ff-wants-example"><p>Choose two photos, or three, and press <b>Morph</b>.</p></div>'
_AGAIN = '<div class="ff-empty"><p>Press <b>Morph</b> to see these faces turn into each other.</p></div>'
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
        for number, label in enumerate(FACES[:2], 1):
            with gr.Column(min_width=240):
                picked.append(pick_face(host, kept, label, f"morph-{number}", height=132))
        with gr.Column(min_width=240, elem_classes="ff-morph-ask"):
            button = gr.Button("Morph", variant="primary", elem_id="morph-button")
            with gr.Accordion("A third face, and options", open=False, elem_id="morph-options"):
                picked.append(pick_face(host, kept, FACES[2], "morph-3", height=132, try_these=False))
                steps = gr.Slider(
                    12, 120, value=60, step=12, label="Pictures", info="More are smoother, and take longer."
                )
                path = gr.Radio(
                    [("Straight", "linear"), ("Around", "spherical")],
                    value="linear",
                    label="Path",
                    info="Straight fades from face to face; around keeps more character between them.",
                )
    shown = gr.HTML(_EMPTY, elem_id="morph-result", js_on_load=_SCRIPT.read_text("utf-8"), min_height=440)
    made = gr.State(None, time_to_live=3600)
    with gr.Row(visible=False, elem_classes="ff-downloads") as downloads:
        make = {".mp4": gr.Button("Make an MP4", size="sm"), ".gif": gr.Button("Make a GIF", size="sm")}
        ready = {
            ending: gr.DownloadButton(f"Download {ending[1:].upper()}", size="sm", variant="primary", visible=False)
            for ending in make
        }
    private: dict[str, Any] = {"api_visibility": "private", **QUEUE}

    def example() -> Any:
        """The morph that the tab opens with."""
        return host.example_morph() if host.model.has_decoder else gr.skip()

    def morph(count: float, path: str, *states: Any) -> list[Any]:
        """Frames from face to face. Raises an error with a sentence for the page."""
        chosen = [s for s in states if s]
        if len(chosen) < 2:
            raise gr.Error("Choose at least two photos with a face in each.", print_exception=False)
        try:
            crops, large = ([crop_of(s, host, which) for s in chosen] for which in ("crops", "large"))
            result = host.morph(crops, min(max(int(count), 12), 120), path, large)
        except FacefeatError as e:
            raise sorry(e, host) from None
        return [viewer(result), result.frames, gr.update(visible=True), *_buttons()]

    def other() -> list[Any]:
        """Another face was chosen: the morph of those before is no longer of these."""
        return [_AGAIN, None, gr.update(visible=False), *_buttons()]

    def filmed(ending: str) -> Callable[..., list[Any]]:
        def film(frames: Any, request: gr.Request, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
            """One film, written when it is asked for."""
            if frames is None:
                return [gr.skip(), gr.skip()]
            cache = ready[ending].GRADIO_CACHE
            kept.present(request.session_hash)
            check_room(kept, cache)
            try:
                path = write_film(frames, ending, cache, lambda share: progress(share, desc="Making the film"))
            except MissingExtraError as e:
                raise sorry(e, host) from None
            kept.remember(request.session_hash, path, cache)
            return [gr.update(visible=False), gr.update(visible=True, value=path)]

        return film

    shown.select(example, None, shown, show_progress="hidden", **private)
    results = [shown, made, downloads, *make.values(), *ready.values()]
    button.click(morph, [steps, path, *(one.state for one in picked)], results, scroll_to_output=True, **private)
    for one in picked:
        for event in one.events:
            event.success(other, None, results, queue=False, show_progress="hidden", api_visibility="private")
    for ending, asked in make.items():
        asked.click(
            filmed(ending),
            made,
            [asked, ready[ending]],
            show_progress="full",
            show_progress_on=asked,
            concurrency_id="film",
            concurrency_limit=1,
            api_visibility="private",
        )


def _buttons() -> list[Any]:
    """The buttons before a film was made: what makes one is there, and what downloads it is not."""
    there = [gr.update(visible=True) for _ in FILM_SIZES]
    return there + [gr.update(visible=False, value=None) for _ in FILM_SIZES]


def write_film(
    frames: UInt8Array, ending: str, cache: str | Path, tell: Callable[[float], Any] = lambda share: None
) -> str:
    """The frames, there and back again, as a film in the upload folder. tell: given the share that is done.

    Raises MissingExtraError for MP4 without the extra `video`.
    """
    Path(cache).mkdir(parents=True, exist_ok=True)
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]

    def drawn() -> Iterator[UInt8Array]:
        for done, i in enumerate(order):
            tell(done / len(order))
            yield enlarge(frames[i : i + 1], FILM_SIZES[ending])[0]

    folder = Path(tempfile.mkdtemp(dir=cache))
    return str(write_frames(drawn(), folder / f"morph{ending}", fps=FPS, count=len(order)))
