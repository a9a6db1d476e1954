"""The photo component that the tabs share."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.state_holder import SessionState

from facefeat import FacefeatError, InputError
from facefeat_demo.photos import EXAMPLES, PORTRAITS, SEVERAL, Kept, inside, lend, uploaded

if TYPE_CHECKING:
    from facefeat_demo.host import Host

_MOVE = "async_move_resource_to_block_cache"
"""An internal of Gradio, by which a file, or whatever is at an address, comes from a visitor into the upload folder."""
_UNKNOWN = (
    f"this Gradio, {gr.__version__}, fetches the addresses that visitors send by a way that the demo does not know and "
    'so cannot close. Next: pip install "gradio~=6.31.0"'
)


class NoAddress(gr.Error):
    """A visitor sent an address in place of a photo."""

    def __init__(self) -> None:
        super().__init__("Only photos that you upload are read, no addresses.", print_exception=False)


class NoFile(gr.Error):
    """A visitor sent a folder, or what is not there, in place of a photo."""

    def __init__(self) -> None:
        super().__init__("This photo is no longer here. Please choose it again.", print_exception=False)


class Unfit(gr.Error):
    """A visitor sent a value that its field does not take."""

    def __init__(self) -> None:
        super().__init__("This field does not take what was sent. Please reload the page.", print_exception=False)


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
        placeholder="Drop a photo here, or click to choose one",
        elem_classes="ff-photo-field",
        alt_text=label,
        webcam_options=gr.WebcamOptions(mirror=False),
    )
    photo.change(_remember(kept, photo), photo, None, preprocess=False, queue=False, api_visibility="private")
    return photo


def only_files(page: gr.Blocks) -> None:
    """Of what visitors send, to whatever component, Gradio may take the regular files of its upload folder alone.

    It would fetch any address from this machine, and keep a folder among the files to be deleted later, where its
    deleting ends with an error and never starts again. Raises InputError where this is not the way to keep that off.
    """
    for block in page.blocks.values():
        move = getattr(block, _MOVE, None)
        if move is not None:
            setattr(block, _MOVE, _checked(move, getattr(block, "GRADIO_CACHE", "")))
        elif isinstance(block, gr.Image):
            raise InputError(_UNKNOWN)


def only_values(page: gr.Blocks) -> None:
    """A value that a field does not take gets a sentence. Gradio writes it into the log, whole, and a traceback.

    After `only_files`, whose errors stay.
    """
    preprocess = page.preprocess_data

    async def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return await preprocess(*args, **kwargs)
        except gr.Error as e:
            if e.print_exception:
                raise Unfit from None
            raise
        except Exception:  # noqa: BLE001 - Gradio's own components raise all sorts
            raise Unfit from None

    page.preprocess_data = checked


def own_bounds() -> None:
    """A number outside what its field takes gets a sentence of ours, and no traceback in the log, as Gradio has it.

    For every page of the process. A Gradio that looks at bounds in another way keeps its own sentence.
    """

    def check(value: Any, low: float | None, high: float | None) -> None:
        first, last = -math.inf if low is None else low, math.inf if high is None else high
        if isinstance(value, bool) or not isinstance(value, int | float) or not first <= value <= last:
            says = f"A number from {first:g} to {last:g} is wanted here. Received: {escape(repr(value)[:40])}."
            raise gr.Error(says, print_exception=False)

    gr.Number.raise_if_out_of_bounds = staticmethod(check)


def _checked(move: Callable[[Any], Awaitable[Any]], cache: str) -> Callable[[Any], Awaitable[Any]]:
    async def checked(path: Any) -> Any:
        if path is None:
            return None
        if str(path).lower().startswith(("http:", "https:")):
            raise NoAddress
        if inside(path, cache) is None and not Path(str(path)).is_file():  # the page's own files lie elsewhere
            raise NoFile
        return await move(path)

    return checked


def check_photos(page: gr.Blocks) -> None:
    """Raises InputError unless an address, sent to any photo of the page, is turned away as `only_files` wants it.

    It is asked of Gradio itself, as it would ask for a visitor; where another Gradio does that in another way, the
    page must not start. No address is fetched either way: Gradio fetches none of this machine.
    """
    url = "http://127.0.0.1:9/photo.jpg"
    sent = {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}

    async def ask() -> None:
        session = SessionState(page)  # else each question makes one, with the options of all components
        for fn in page.fns.values():
            if not any(isinstance(block, gr.Image) for block in fn.inputs):
                continue
            values = [dict(sent) if isinstance(block, gr.Image) else None for block in fn.inputs]
            try:
                await page.preprocess_data(fn, values, session)
            except NoAddress:
                continue
            raise InputError(_UNKNOWN)

    try:
        with ThreadPoolExecutor(1) as helper:  # this thread may run an event loop
            helper.submit(asyncio.run, ask()).result()
    except InputError:
        raise
    except Exception as e:  # whatever it is: it is not our answer
        raise InputError(_UNKNOWN) from e


def sorry(error: FacefeatError, host: Host) -> gr.Error:
    """An error of the library as a sentence of the page."""
    return gr.Error(escape(host.said(error)), print_exception=False)


def check_room(kept: Kept, cache: str | Path) -> None:
    """Raises an error with a sentence for the page where no further file may be written."""
    try:
        kept.check_room(cache)
    except InputError as e:
        raise gr.Error(str(e), print_exception=False) from None


def _remember(kept: Kept, photo: gr.Image) -> Callable[[Any, gr.Request], None]:
    def remember(value: Any, request: gr.Request) -> None:
        if isinstance(value, dict):
            kept.present(request.session_hash)
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


def examples(photo: gr.Image, kept: Kept, names: Sequence[str] = PORTRAITS) -> None:
    """A button with its picture for each of some examples, which puts that photo into a field."""

    def give(path: Path) -> str:
        check_room(kept, photo.GRADIO_CACHE)
        return lend(path, photo.GRADIO_CACHE)

    for name, button in example_buttons(names).items():
        button.click(lambda p=EXAMPLES / f"{name}.jpg": give(p), None, photo, queue=False, api_visibility="private")


def example_buttons(names: Sequence[str] = PORTRAITS) -> dict[str, gr.Button]:
    """A button with a small picture for each of some examples; its name is for screen readers."""
    with gr.Row(elem_classes="ff-examples"):
        return {
            name: gr.Button(
                name.capitalize(),
                icon=str(EXAMPLES / "thumbs" / f"{name}.webp"),
                size="sm",
                min_width=44,
                elem_classes="ff-wide-example" if name in SEVERAL else None,
            )
            for name in names
        }
