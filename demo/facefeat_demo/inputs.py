"""The photo component that the tabs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from facefeat_demo.photos import EXAMPLES, Kept, lend, uploaded


def photo_input(label: str, kept: Kept, *, height: int, elem_id: str) -> gr.Image:
    """A photo from a file, the clipboard or a camera; its file is deleted with the session.

    Listeners must say `preprocess=False` and read the photo by `photo_bytes`: a file that is no picture then gets its
    sentence in the page, and nothing is decoded twice.
    """
    photo = gr.Image(
        label=label,
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        image_mode=None,
        height=height,
        buttons=["fullscreen"],
        elem_id=elem_id,
        placeholder="Drop a photo here\n- or -\nclick to choose one",
        alt_text=label,
        webcam_options=gr.WebcamOptions(mirror=False),
    )
    move = photo.async_move_resource_to_block_cache

    async def only_here(path: Any) -> Any:
        if path is not None and str(path).lower().startswith(("http:", "https:")):
            raise gr.Error("Only photos that you upload are read, no addresses.", print_exception=False)
        return await move(path)

    photo.async_move_resource_to_block_cache = only_here  # Gradio would fetch any address from this machine
    photo.change(_remember(kept, photo), photo, None, preprocess=False, queue=False, api_visibility="private")
    return photo


def _remember(kept: Kept, photo: gr.Image) -> Callable[[Any, gr.Request], None]:
    def remember(value: Any, request: gr.Request) -> None:
        if isinstance(value, dict):
            kept.remember(request.session_hash, value.get("path"), photo.GRADIO_CACHE)

    return remember


def photo_bytes(value: Any, photo: gr.Image) -> bytes | None:
    """The bytes of what a listener of the photo was given; None for none."""
    return uploaded(value, photo.GRADIO_CACHE)


def fresh(make: Callable[[], str], **options: Any) -> gr.HTML:
    """HTML that is made anew whenever somebody opens the page: it depends on the model in use."""
    shown = gr.HTML(make(), js_on_load=None, **options)
    gr.on(None, make, None, shown, queue=False, show_progress="hidden", api_visibility="private")
    return shown


def examples(photo: gr.Image, label: str = "Try one of these") -> None:
    """A button with its picture for each example."""
    gr.HTML(f'<p class="ff-quiet ff-examples-label">{label}</p>')
    with gr.Row(elem_classes="ff-examples"):
        for path in sorted(EXAMPLES.glob("*.jpg"), reverse=True):
            button = gr.Button(path.stem.capitalize(), icon=str(path), size="sm", min_width=120)
            button.click(lambda p=path: lend(p, photo.GRADIO_CACHE), None, photo, queue=False, api_visibility="private")
