"""Classify: a photo in, a numbered box and a card for every face out. It opens with an example that is read already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat_demo.cards import opening, page
from facefeat_demo.host import QUEUE, Host
from facefeat_demo.inputs import example_buttons, photo_bytes, photo_input
from facefeat_demo.live import live_camera
from facefeat_demo.photos import PORTRAITS, SEVERAL
from facefeat_demo.worse import how_bad

if TYPE_CHECKING:
    from facefeat_demo.photos import Kept

_FREE = """(value) => {
  if (!value) return null;  // a camera that is being opened
  setTimeout(() => {
    const field = document.querySelector('#classify-photo');
    const camera = field.querySelector('[data-testid="webcam-video"]');
    if (camera) field.querySelector('[data-testid="source-select"] button').click();
  }, 100);
  return null;
}"""
AT_ONCE = 4
"""Photos of several visitors that are read together."""


def build(host: Host, kept: Kept) -> None:
    """Fill the tab."""
    with gr.Row(equal_height=False, elem_classes="ff-ask"):
        with gr.Column(scale=5, min_width=280):
            photo = photo_input("Your photo", kept, height=132, elem_id="classify-photo")
        with gr.Column(scale=6, min_width=280):
            gr.HTML('<p class="ff-quiet ff-examples-label">No photo at hand? Try one of these.</p>', js_on_load=None)
            buttons = example_buttons((*PORTRAITS, *SEVERAL))
            live_camera(host)
    result = gr.HTML(opening(host), elem_id="classify-result", js_on_load=None, min_height=480)
    how_bad(host)
    numbers = gr.JSON(visible=False)

    def classify(values: list[Any]) -> tuple[list[Any], list[dict[str, Any] | None]]:
        """Age, gender and race of every face of a photo: the HTML of the page, and the numbers."""
        pages, numbers = read([photo_bytes(value, photo) for value in values], host)
        # Whoever opens the camera or takes a photo away keeps the answer before.
        return [page or gr.skip() for page in pages], numbers

    done = photo.input(
        classify,
        photo,
        [result, numbers],
        preprocess=False,
        batch=True,
        max_batch_size=AT_ONCE,
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=result,
        api_name="classify",
        **QUEUE,
    )
    # The answer shows the photo: the field is free for the next one, and a camera is closed.
    done.then(None, photo, photo, js=_FREE, show_progress="hidden", api_visibility="private")
    for name, button in buttons.items():
        button.click(
            lambda name=name: page(host.example(name)),
            None,
            result,
            show_progress="minimal",
            show_progress_on=result,
            trigger_mode="always_last",
            api_visibility="private",
            **QUEUE,
        )
    gr.on(None, lambda: opening(host), None, result, queue=False, show_progress="hidden", api_visibility="private")


def read(photos: list[bytes | None], host: Host) -> tuple[list[str], list[dict[str, Any] | None]]:
    """For each photo the HTML of its page and its numbers; None, a photo that was taken away, has neither."""
    results = iter(host.predict([p for p in photos if p is not None]))
    pages: list[str] = []
    numbers: list[dict[str, Any] | None] = []
    for photo in photos:
        result = None if photo is None else next(results)
        pages.append("" if result is None else page(result))
        numbers.append(None if result is None else result.to_dict())
    return pages, numbers
