"""Edit: one face, and sliders that change what the model reads from it."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat import FacefeatError
from facefeat.image.video import write_picture
from facefeat_demo import editing
from facefeat_demo.editing import DIRECTIONS, Changed, Control, Request, Start, controls, lacks
from facefeat_demo.face_picker import crop_of, pick_face
from facefeat_demo.face_view import compared, figure, lacking, sentence
from facefeat_demo.host import QUEUE, Host
from facefeat_demo.inputs import check_room, sorry
from facefeat_demo.photos import data_uri

if TYPE_CHECKING:
    from facefeat_demo.photos import Kept

TITLE = "Edit"
ATTRIBUTES = 4
"""Attributes that have sliders at most: models of other schemas can come later, and the page is built once."""
_FAR = 2.0
_UNCHANGED = "unchanged"
_EMPTY = """
<div class="ff-empty"><p class="ff-empty-title">Choose a photo, or a synthetic face</p>
<p>Then move a slider: the face changes at once, and the table says what the model predicts from it now.</p></div>
"""
Values = Sequence[Any]
"""Of all sliders: number and class of each of the ATTRIBUTES, then DIRECTIONS numbers."""


def build(host: Host, kept: Kept) -> None:
    """Fill the tab."""
    lack = lacks(host.model)
    without = gr.HTML(lacking("Editing", lack), visible=bool(lack), js_on_load=None)
    with gr.Column(visible=not lack) as content:
        pool = _content(host, kept)

    def fit() -> list[Any]:
        """The sliders for the model that is in use now."""
        lack = lacks(host.model)
        shown = [gr.update(value=lacking("Editing", lack), visible=bool(lack)), gr.update(visible=not lack)]
        found = [] if lack else controls(host.model)
        return [*shown, *(gr.update(**options) for options in _pool(found)), *(gr.update(**o) for o in _sides(found))]

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    gr.on(None, fit, None, [without, content, *pool], **quiet)


def _content(host: Host, kept: Kept) -> list[Any]:
    found = [] if lacks(host.model) else controls(host.model)
    start = gr.State(None, time_to_live=3600)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280):
            picked = pick_face(host, kept, "Your photo", "edit", height=240)
            synthetic = gr.Button("A synthetic face", size="sm", elem_id="edit-synthetic")
        with gr.Column(scale=7, min_width=280):
            with gr.Row(equal_height=False, elem_classes="ff-stage-edit"):
                before = gr.HTML(_EMPTY, elem_id="edit-before", js_on_load=None, min_width=80, scale=2)
                after = gr.HTML("", elem_id="edit-after", js_on_load=None, min_width=60, scale=1, visible=False)
            sliders = _sliders(found)
            with gr.Row():
                until = gr.Button("Edit until the model agrees", variant="primary", elem_id="edit-until", min_width=220)
                reset = gr.Button("Reset", elem_id="edit-reset", min_width=120)
            table = gr.HTML("", elem_id="edit-predictions", js_on_load=None)
            sides = _grid(host, kept, found, start, sliders)
    shown = [before, after, table, *sliders]

    def began(state: dict[str, Any] | None) -> list[Any]:
        """The chosen face, and its reconstruction."""
        if state is None:
            return [None, *_nothing(host)]
        made = _tell(host, lambda: editing.begin(host.model, *(crop_of(state, host, k) for k in ("crops", "large"))))
        return [made, *opened(made, host)]

    def other() -> list[Any]:
        """A synthetic face."""
        made = _tell(host, lambda: editing.synthetic(host.model, secrets.randbelow(1_000_000)))
        return [made, *opened(made, host)]

    def move(start: Start | None, *values: Any) -> list[Any]:
        """The face as the sliders say."""
        if start is None:
            return [gr.skip(), gr.skip()]
        made = _tell(host, lambda: editing.move(host.model, start, request_of(host, values)))
        return changed(start, replace(made, sentence=waiting(host, values)), host)

    def edited(start: Start | None, *values: Any) -> list[Any]:
        """The face edited until the model predicts what the sliders ask."""
        if start is None:
            raise gr.Error("Choose a photo first, or a synthetic face.", print_exception=False)
        made = _tell(host, lambda: editing.edit(host.model, start, request_of(host, values)))
        return changed(start, made, host)

    def back(start: Start | None) -> list[Any]:
        """The face and the sliders as they began."""
        if start is None:
            return [gr.skip()] * (3 + len(sliders))
        _tell(host, lambda: editing.check(host.model, start))
        return opened(start, host)

    private: dict[str, Any] = {"api_visibility": "private", **QUEUE}
    for event in picked.events:
        event.success(began, picked.state, [start, *shown], show_progress="hidden", **private)
    synthetic.click(other, None, [start, *shown], show_progress="minimal", show_progress_on=before, **private)
    gr.on(
        [s.input for s in sliders],
        move,
        [start, *sliders],
        [after, table],
        trigger_mode="always_last",  # one movement on its way at a time, and the last one always comes through
        show_progress="hidden",
        **private,
    )
    until.click(edited, [start, *sliders], [after, table], show_progress="minimal", show_progress_on=after, **private)
    reset.click(back, start, shown, queue=False, show_progress="hidden", api_visibility="private")
    return [*sliders, *sides]


def opened(start: Start, host: Host) -> list[Any]:
    """A face before anything is changed: its pictures, what is predicted, and every slider where it began."""
    first = figure(start.face.large[0], "Photo", "The face in the photo") if start.real else ""
    second = figure(start.face.reconstructions[0], "Reconstruction" if start.real else "A synthetic face")
    after, table = changed(start, Changed(start.face.large[0], start.predictions), host)
    values = (_FAR if c.kind == "towards" else 0 for c in controls(host.model)[:ATTRIBUTES])
    numbers = [*values, *[0] * ATTRIBUTES][:ATTRIBUTES]
    at_first = [v for number in numbers for v in (number, _UNCHANGED)]
    return [f'<div class="ff-faces">{first}{second}</div>', after, table, *at_first, *[0] * DIRECTIONS]


def _nothing(host: Host) -> list[Any]:
    return [_EMPTY, gr.update(value="", visible=False), "", *[gr.skip()] * (2 * ATTRIBUTES + DIRECTIONS)]


def changed(start: Start, made: Changed, host: Host) -> list[Any]:
    """The edited face, and what is predicted from it."""
    after = f'<div class="ff-faces">{figure(made.picture, "Edited", "The edited face")}</div>'
    table = sentence(made.sentence) + compared(host.model, start.predictions, made.predictions, start.real)
    return [gr.update(value=after, visible=True), table]


def request_of(host: Host, values: Values) -> Request:
    """What all sliders together ask for."""
    asked = {}
    for i, control in enumerate(controls(host.model)[:ATTRIBUTES]):
        one = editing.requested(control, values[2 * i], values[2 * i + 1])
        if one is not None:
            asked[control.name] = one
    return Request(asked, tuple(float(v or 0) for v in values[2 * ATTRIBUTES :]))


def waiting(host: Host, values: Values) -> str:
    """A sentence on a slider that was moved and cannot do anything yet; empty where there is none."""
    for i, control in enumerate(controls(host.model)[:ATTRIBUTES]):
        far, label = values[2 * i : 2 * i + 2]
        if control.kind == "towards" and label not in control.classes and (far or 0) != _FAR:
            return f"{control.name.capitalize()}: choose towards what, and the slider moves the face there."
    return ""


def _tell(host: Host, make: Callable[[], Any]) -> Any:
    """What `make` gives; an error of the library becomes a sentence of the page."""
    try:
        return make()
    except FacefeatError as e:
        raise sorry(e, host) from None


# ---------------------------------------------------------------- sliders


def _sliders(found: Sequence[Control]) -> list[Any]:
    """The pool of sliders: a number and a class for each attribute, then the first directions."""
    options = _pool(found)
    out: list[Any] = []
    with gr.Row(equal_height=False, elem_classes="ff-sliders"):
        for i in range(ATTRIBUTES):
            with gr.Column(min_width=230, elem_id=f"edit-attribute-{i + 1}", elem_classes="ff-slider-group"):
                label = gr.Dropdown(**options[2 * i + 1])  # first what, then how far
                out += [gr.Slider(**options[2 * i]), label]
    with gr.Accordion("Directions without a name", open=False, elem_id="edit-directions"):
        gr.HTML(
            '<p class="ff-quiet">What varies most among faces, whatever it is: light, pose, hair. In standard '
            "deviations.</p>",
            js_on_load=None,
        )
        with gr.Row(elem_classes="ff-sliders"):
            out += [gr.Slider(**o, min_width=200) for o in options[2 * ATTRIBUTES :]]
    return out


def _pool(found: Sequence[Control]) -> list[dict[str, Any]]:
    """The options of every component of the pool; those that no attribute needs are hidden."""
    out = []
    for i in range(ATTRIBUTES):
        control = found[i] if i < len(found) else None
        out += [_number(control), _class(control)]
    along = {"minimum": -3, "maximum": 3, "step": 0.1, "value": 0}
    return out + [{**along, "label": f"Direction {i + 1}"} for i in range(DIRECTIONS)]


def _number(control: Control | None) -> dict[str, Any]:
    if control is None:
        return {"visible": False, "value": 0, "label": "Unused"}
    name = control.name.capitalize()
    label = {
        "steps": f"{name}: {control.unit} more or less",
        "between": f"{name}: {' to '.join(control.classes)}",
        "towards": f"{name}: how far",
    }[control.kind]
    ends = {"minimum": control.low, "maximum": control.high, "step": control.step}
    return {**ends, "value": _FAR if control.kind == "towards" else 0, "label": label, "visible": True}


def _class(control: Control | None) -> dict[str, Any]:
    several = control is not None and control.kind == "towards"
    classes = control.classes if control is not None and several else ()
    name = control.name.capitalize() if control is not None else "Unused"
    return {
        "choices": [_UNCHANGED, *classes],
        "value": _UNCHANGED,
        "label": f"{name}: towards",
        "visible": several,
    }


# ---------------------------------------------------------------- grid


def _grid(host: Host, kept: Kept, found: Sequence[Control], start: gr.State, sliders: Sequence[Any]) -> list[Any]:
    """A picture of faces by two attributes, and its download. Gives the two choices."""
    across_options, down_options = _sides(found)
    with gr.Accordion("A grid of faces", open=False, elem_id="edit-grid"):
        with gr.Row(elem_classes="ff-changer"):
            across = gr.Dropdown(**across_options, min_width=150)
            down = gr.Dropdown(**down_options, min_width=150)
            make = gr.Button("Make the grid", min_width=150)
        shown = gr.HTML("", js_on_load=None, elem_id="edit-grid-shown")
        download = gr.DownloadButton("Download PNG", size="sm", visible=False, min_width=140)

    def drawn(start: Start | None, across: str, down: str, *values: Any) -> tuple[str, Any]:
        """The grid of two attributes."""
        if start is None:
            raise gr.Error("Choose a photo first, or a synthetic face.", print_exception=False)
        _tell(host, lambda: editing.check(host.model, start))
        by_name = {c.name: c for c in controls(host.model)}
        if across not in by_name or down not in by_name:
            raise gr.Error("Choose two attributes for the grid.", print_exception=False)
        sides = by_name[across], by_name[down]
        picture = _tell(host, lambda: editing.grid(host.model, start, request_of(host, values), *sides))
        alt = f"Faces by {across}, from left to right, and {down}, from top to bottom, with what the model predicts"
        return f'<div class="ff-grid"><img src="{data_uri(picture, quality=88)}" alt="{alt}"></div>', picture

    def file(picture: Any, request: gr.Request) -> Any:
        if picture is None:
            return gr.update(visible=False)
        check_room(kept, download.GRADIO_CACHE)
        path = write_grid(picture, download.GRADIO_CACHE)
        kept.remember(request.session_hash, path, download.GRADIO_CACHE)
        return gr.update(value=path, visible=True)

    made = gr.State(None, time_to_live=3600)
    done = make.click(
        drawn,
        [start, across, down, *sliders],
        [shown, made],
        show_progress="minimal",
        show_progress_on=shown,
        api_visibility="private",
        **QUEUE,
    )
    done.success(file, made, download, show_progress="hidden", api_visibility="private")
    return [across, down]


def _sides(found: Sequence[Control]) -> list[dict[str, Any]]:
    """The options of the two choices of a grid."""
    names = [c.name for c in found]
    choices = [(n.capitalize(), n) for n in names]
    values = [*names, None, None][:2]
    labels = ("From left to right", "From top to bottom")
    return [{"choices": choices, "value": v, "label": k} for v, k in zip(values, labels, strict=True)]


def write_grid(picture: Any, cache: str | Path) -> str:
    """A grid as a PNG in the upload folder."""
    Path(cache).mkdir(parents=True, exist_ok=True)
    return str(write_picture(picture, Path(tempfile.mkdtemp(dir=cache)) / "grid.png"))
