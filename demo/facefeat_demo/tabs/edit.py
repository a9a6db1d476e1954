"""Edit: one face, and sliders that change what the model reads from it."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat import FacefeatError
from facefeat.image.video import write_picture
from facefeat_demo import editing
from facefeat_demo.ages import SOON, ages_of, whole_row
from facefeat_demo.editing import SENSITIVE, Changed, Control, Start, controls, lacks
from facefeat_demo.face_picker import crop_of, pick_face
from facefeat_demo.face_view import compared, figure, lacking, sentence
from facefeat_demo.host import QUEUE, Host
from facefeat_demo.inputs import check_room, sorry
from facefeat_demo.photos import data_uri
from facefeat_demo.sliders import ATTRIBUTES, checked, first_values, narrowed, options, pool, request_of, waiting
from facefeat_demo.sliders import sliders as made_sliders

if TYPE_CHECKING:
    from facefeat_demo.photos import Kept

WAITING = 16
"""Movements of all visitors that may wait for the model; the next one asks again a little later."""
_SCRIPT = "new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) "
_SCRIPT += "&& element.querySelector('.ff-wants-example')) trigger('select', {}); }, "
_SCRIPT += "{ rootMargin: '3000px' }).observe(element);"
"""The example comes when the tab is looked at, not with the page."""
_MOVES = (Path(__file__).resolve().parent.parent / "static" / "edit.js").read_text("utf-8")
_EMPTY = """
<div class="ff-empty"><p class="ff-empty-title">Choose a photo, or a synthetic face</p>
<p>Then move a slider: the face changes at once, and the table says what the model predicts from it now.</p></div>
"""
_FIRST = _EMPTY.replace("ff-empty", "ff-empty ff-wants-example", 1)
_DIVIDER = (
    '<input type="range" min="0" max="100" value="0" class="ff-divider" '
    'aria-label="Divider: the photo to its left, the edited face to its right">'
)
_RACE = "A race is changed on synthetic faces only: such pictures of real people are easily used to mock or mislead."


def build(host: Host, kept: Kept) -> None:
    """Fill the tab."""
    lack = lacks(host.model)
    without = gr.HTML(lacking("Editing", lack), visible=bool(lack), js_on_load=None)
    with gr.Column(visible=not lack) as content:
        parts = _content(host, kept)

    def fit() -> list[Any]:
        """The sliders for the model that is in use now."""
        lack = lacks(host.model)
        shown = [gr.update(value=lacking("Editing", lack), visible=bool(lack)), gr.update(visible=not lack)]
        found = [] if lack else controls(host.model)
        return [
            *shown,
            *(gr.update(**one) for one in options(found)),
            *(gr.update(**o) for o in _sides(found)),
        ]

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    gr.on(None, fit, None, [without, content, *parts], **quiet)


def _content(host: Host, kept: Kept) -> list[Any]:
    found = [] if lacks(host.model) else controls(host.model)
    start = gr.State(None, time_to_live=3600)
    drawn = gr.State("", time_to_live=3600)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280):
            picked = pick_face(host, kept, "Your photo", "edit", height=132)
            synthetic = gr.Button("A synthetic face", size="sm", elem_id="edit-synthetic")
        with gr.Column(scale=8, min_width=280):
            with gr.Row(equal_height=False, elem_classes="ff-stage-edit"):
                with gr.Column(min_width=200, elem_classes="ff-compare"):
                    before = gr.HTML(_FIRST, elem_id="edit-before", js_on_load=_SCRIPT, min_height=200)
                    after = gr.HTML("", elem_id="edit-after", js_on_load=_MOVES, server_functions=past_the_queue(host))
                    gr.HTML(_DIVIDER, elem_id="edit-divider", js_on_load=None)
                table = gr.HTML("", elem_id="edit-predictions", js_on_load=None, min_height=200)
            ages = gr.HTML("", elem_id="edit-ages", js_on_load=None, min_height=210)
            sliders, groups = made_sliders(found)
            with gr.Row():
                until = gr.Button("Edit until the model agrees", variant="primary", elem_id="edit-until", min_width=220)
                reset = gr.Button("Reset", elem_id="edit-reset", min_width=120)
    sides, grid_shown, grid_file = _grid(host, kept, found, start, sliders)
    shown = [before, after, table, ages, grid_shown, grid_file, *groups, *sliders]

    def began(state: dict[str, Any] | None, now: Start | None) -> Iterator[list[Any]]:
        """The chosen face, before anything is changed; a little later, how far its sliders go."""
        if state is None:
            # The photo was taken away; where a synthetic face took its place, that stays.
            yield [gr.skip()] * (1 + len(shown)) if now is not None and not now.real else [None, *_nothing(host)]
            return
        made = _tell(host, lambda: editing.first(host.model, *(crop_of(state, host, k) for k in ("crops", "large"))))
        yield [made, *opened(made, host)]
        yield far(made)

    def other() -> Iterator[list[Any]]:
        """A synthetic face, and no photo."""
        made = _tell(host, lambda: editing.synthetic(host.model, secrets.randbelow(1_000_000)))
        yield [made, *opened(made, host), *picked.empty()]
        yield [*far(made), *(gr.skip() for _ in picked.parts)]

    def far(start: Start) -> list[Any]:
        """How far the sliders of a face go, and nothing else."""
        made = _tell(host, lambda: editing.with_paths(host.model, start))
        sliders = narrowed(host.model, editing.ranged(host.model, made), made)
        return [made, *(gr.skip() for _ in shown[: -len(sliders)]), *sliders]

    def example() -> list[Any]:
        """The face that the tab opens with."""
        made = host.example_face()
        return [gr.skip()] * (1 + len(shown)) if made is None else [made, *opened(made, host)]

    def every_age(start: Start | None, drawn: str) -> list[Any]:
        """The face at 10 to 80 years, unless it was drawn already: of two faces in a row the last one is drawn."""
        if start is None or start.key == drawn:
            return [gr.skip(), gr.skip()]
        return [_tell(host, lambda: ages_of(start, host, first_values(host, start))), start.key]

    def edited(start: Start | None, *values: Any) -> list[Any]:
        """The face edited until the model predicts what the sliders ask."""
        if start is None:
            raise gr.Error("Choose a photo first, or a synthetic face.", print_exception=False)
        made = _tell(host, lambda: editing.edit(host.model, start, request_of(host, start, values)))
        return changed(start, made, host)

    def back(start: Start | None) -> list[Any]:
        """The face and the sliders as they began."""
        if start is None:
            return [gr.skip()] * len(shown)
        _tell(host, lambda: editing.check(host.model, start))
        first = opened(start, host)
        return [*first[:3], gr.skip(), *first[4:]]

    private: dict[str, Any] = {"api_visibility": "private", **QUEUE}
    begun = [
        event.success(began, [picked.state, start], [start, *shown], show_progress="hidden", **private)
        for event in picked.events
    ]
    begun.append(
        synthetic.click(
            other, None, [start, *shown, *picked.parts], show_progress="minimal", show_progress_on=before, **private
        )
    )
    begun.append(before.select(example, None, [start, *shown], show_progress="hidden", **private))
    for event in begun:
        event.success(every_age, [start, drawn], [ages, drawn], show_progress="hidden", **private)
    follow = "(...values) => window.facefeatMove ? window.facefeatMove(values) : []"
    gr.on([s.input for s in sliders], None, sliders, [after, table], js=follow, show_progress="hidden")
    until.click(edited, [start, *sliders], [after, table], show_progress="minimal", show_progress_on=after, **private)
    reset.click(back, start, shown, queue=False, show_progress="hidden", api_visibility="private")
    return [*sliders, *sides]


def past_the_queue(host: Host) -> list[Callable[[Any], dict[str, Any]]]:
    """What `static/edit.js` asks for without waiting for what takes longer: each movement of a slider, and the row."""
    one, room = threading.Lock(), threading.BoundedSemaphore(WAITING)

    def one_at_a_time(make: Callable[[Host, Any], dict[str, Any]], asked: Any) -> dict[str, Any]:
        if not room.acquire(blocking=False):
            return {"busy": True}
        try:
            with one:
                return make(host, asked)
        finally:
            room.release()

    def move(asked: Any) -> dict[str, Any]:
        """The HTML of the face and of its predictions for {"face": its key, "values": of all sliders}."""
        return one_at_a_time(moved, asked)

    def row(asked: Any) -> dict[str, Any]:
        """The picture of {"face": its key} at every age."""
        return one_at_a_time(row_of, asked)

    return [move, row]


def row_of(host: Host, asked: Any) -> dict[str, Any]:
    """{"picture": address of a JPEG}, or {"error": a sentence}. What comes is untrusted."""
    try:
        return {"picture": whole_row(editing.begun(asked.get("face") if isinstance(asked, dict) else None), host)}
    except FacefeatError as e:
        return {"error": host.said(e)}


def moved(host: Host, asked: Any) -> dict[str, Any]:
    """{"after": face, "table": predictions}, or {"table": a sentence}; {"busy": True} while it is being found where the
    face can be moved. What comes is untrusted."""
    key, values = (asked.get(k) if isinstance(asked, dict) else None for k in ("face", "values"))
    try:
        start = editing.begun(key)
        wanted = request_of(host, start, checked(values))
        if not editing.has_paths(host.model, start, wanted):
            return {"busy": True}
        made = editing.move(host.model, start, wanted)
    except FacefeatError as e:
        return {"table": sentence(host.said(e))}
    after, table = changed(start, replace(made, sentence=waiting(host, start, checked(values))), host)
    return {"after": after, "table": table}


def opened(start: Start, host: Host) -> list[Any]:
    """A face before anything is changed: its pictures, what is predicted, and every slider where it began, as far as
    that face goes."""
    first = figure(start.face.large[0], "Before", "The face in the photo" if start.real else "A synthetic face")
    first = f'<div data-face="{start.key}">{first}</div>'
    after, table = changed(start, Changed(start.face.large[0], start.predictions), host)
    sliders = pool(host.model, editing.ranged(host.model, start), start)
    soon = SOON if any(c.kind == "steps" and c.unit == "years" for c in controls(host.model)) else ""
    return [first, after, table, soon, "", gr.update(visible=False, value=None), *_groups(host, start), *sliders]


def _nothing(host: Host) -> list[Any]:
    empty = [_EMPTY, "", "", "", "", gr.update(visible=False, value=None)]
    return [*empty, *_groups(host, None), *pool(host.model, controls(host.model), None)]


def _groups(host: Host, start: Start | None) -> list[Any]:
    """Which of the pool of sliders are there: of a real person's face, none for a race."""
    names = [c.name for c in controls(host.model)][:ATTRIBUTES]
    there = names if start is None else [c.name for c in editing.ranged(host.model, start)]
    return [gr.update(visible=i < len(names) and names[i] in there) for i in range(ATTRIBUTES)]


def changed(start: Start, made: Changed, host: Host) -> list[Any]:
    """The edited face, and what is predicted from it."""
    after = figure(made.picture, "After", "The edited face")
    table = sentence(made.sentence) + compared(host.model, start.predictions, made.predictions, start.real)
    keep = '<button type="button" class="ff-link" data-keep="#edit-after img">Save the edited face</button>'
    note = f'<p class="ff-quiet">{_RACE}</p>' if start.real and _has_sensitive(host) else ""
    return [after, f'{table}<p class="ff-quiet">{keep}</p>{note}']


def _has_sensitive(host: Host) -> bool:
    return any(c.name in SENSITIVE for c in controls(host.model))


def _tell(host: Host, make: Callable[[], Any]) -> Any:
    """What `make` gives; an error of the library becomes a sentence of the page."""
    try:
        return make()
    except FacefeatError as e:
        raise sorry(e, host) from None


# ---------------------------------------------------------------- grid


def _grid(
    host: Host, kept: Kept, found: Sequence[Control], start: gr.State, sliders: Sequence[Any]
) -> tuple[list[Any], Any, Any]:
    """A picture of faces by two attributes, and its download. Gives the two choices, the picture and the download."""
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
        by_name = {c.name: c for c in editing.ranged(host.model, start)}
        if across not in by_name or down not in by_name:
            why = f" {_RACE}" if start.real and {across, down} & set(SENSITIVE) else ""
            raise gr.Error(f"Choose two attributes for the grid.{why}", print_exception=False)
        sides = by_name[across], by_name[down]
        picture = _tell(host, lambda: editing.grid(host.model, start, request_of(host, start, values), *sides))
        alt = f"Faces by {across}, from left to right, and {down}, from top to bottom, with what the model predicts"
        return f'<div class="ff-grid"><img src="{data_uri(picture, quality=88)}" alt="{alt}"></div>', picture

    def file(picture: Any, request: gr.Request) -> Any:
        if picture is None:
            return gr.update(visible=False)
        kept.present(request.session_hash)
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
    return [across, down], shown, download


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
