"""The sliders of the tab Edit: what each is called, how far it goes, and what all of them together ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat import InputError
from facefeat_demo import editing
from facefeat_demo.editing import DIRECTIONS, SENSITIVE, Control, Request, Start, controls

if TYPE_CHECKING:
    from facefeat_demo.host import Host

ATTRIBUTES = 4
"""Attributes that have sliders at most: models of other schemas can come later, and the page is built once."""
_VALUES = 2 * ATTRIBUTES + DIRECTIONS
_FAR = 2.0
_UNCHANGED = "unchanged"
Values = Sequence[Any]
"""Of all sliders: number and class of each of the ATTRIBUTES, then DIRECTIONS numbers."""


def request_of(host: Host, start: Start, values: Values) -> Request:
    """What all sliders together ask for."""
    asked = {}
    there = {c.name: c for c in editing.ranged(host.model, start)}
    for i, name in enumerate(c.name for c in controls(host.model)[:ATTRIBUTES]):
        control = there.get(name)
        if control is None:
            continue
        one = editing.requested(control, values[2 * i], values[2 * i + 1])
        if one is not None:
            asked[control.name] = one
    return Request(asked, tuple(float(v or 0) for v in values[2 * ATTRIBUTES :]))


def waiting(host: Host, start: Start, values: Values) -> str:
    """A sentence on a slider that was moved and cannot do anything yet; empty where there is none."""
    for i, control in enumerate(controls(host.model)[:ATTRIBUTES]):
        far, label = values[2 * i : 2 * i + 2]
        if start.real and control.name in SENSITIVE:
            continue
        if control.kind == "towards" and label not in control.classes and (far or 0) != _FAR:
            return f"{control.name.capitalize()}: choose towards what, and the slider moves the face there."
    return ""


def checked(values: Any) -> Values:
    """The values of all sliders, as a stranger sent them. Raises InputError where they are none."""
    numbers = {*range(0, 2 * ATTRIBUTES, 2), *range(2 * ATTRIBUTES, _VALUES)}
    if not isinstance(values, list) or len(values) != _VALUES:
        raise InputError(f"The {_VALUES} values of all sliders are wanted.")
    for i, value in enumerate(values):
        number = isinstance(value, int | float) and math.isfinite(value)
        if value is not None and not (number if i in numbers else isinstance(value, str)):
            raise InputError("A slider has a number, and a choice has a word.")
    return values


def first_values(host: Host, start: Start) -> list[Any]:
    """The values of all sliders before any was moved."""
    return [update["value"] for update in pool(host.model, editing.ranged(host.model, start), start)]


def sliders(found: Sequence[Control]) -> tuple[list[Any], list[Any]]:
    """The pool of sliders: a number and a class for each attribute, then the first directions; and the groups."""
    given = options(found)
    out: list[Any] = []
    groups: list[Any] = []
    with gr.Row(equal_height=False, elem_classes="ff-sliders"):
        for i in range(ATTRIBUTES):
            named: dict[str, Any] = {"elem_id": f"edit-attribute-{i + 1}", "elem_classes": "ff-slider-group"}
            with gr.Column(min_width=230, visible=i < len(found), **named) as group:
                label = gr.Dropdown(**given[2 * i + 1])  # first what, then how far
                out += [gr.Slider(**given[2 * i]), label]
            groups.append(group)
    with gr.Accordion("Directions without a name", open=False, elem_id="edit-directions"):
        gr.HTML(
            '<p class="ff-quiet">What differs most from face to face, whatever it is: light, pose, hair. '
            "3 is as far as faces go.</p>",
            js_on_load=None,
        )
        with gr.Row(elem_classes="ff-sliders"):
            out += [gr.Slider(**o, min_width=200) for o in given[2 * ATTRIBUTES :]]
    return out, groups


def options(found: Sequence[Control], start: Start | None = None) -> list[dict[str, Any]]:
    """The options of every component of the pool; those that no attribute needs are hidden."""
    out = []
    for i in range(ATTRIBUTES):
        control = found[i] if i < len(found) else None
        out += [_number(control, start), _class(control)]
    along = {"minimum": -3, "maximum": 3, "step": 0.1, "value": 0}
    return out + [{**along, "label": f"Direction {i + 1}"} for i in range(DIRECTIONS)]


def narrowed(model: Any, ranged: Sequence[Control], start: Start) -> list[Any]:
    """Updates of the pool as of `pool`, which leave each slider where it is."""
    return [{k: v for k, v in update.items() if k != "value"} for update in pool(model, ranged, start)]


def pool(model: Any, ranged: Sequence[Control], start: Start | None) -> list[Any]:
    """Updates of the pool; each attribute keeps its place, whether or not this face has its slider."""
    by_name = {c.name: c for c in ranged}
    return [gr.update(**o) for o in options([by_name.get(c.name, c) for c in controls(model)], start)]


def _number(control: Control | None, start: Start | None) -> dict[str, Any]:
    if control is None:
        return {"visible": False, "value": 0, "label": "Unused"}
    name = control.name.capitalize()
    label = {
        "steps": f"{name}: {control.unit} more or less",
        "between": f"{name}: {control.classes[0]} to {control.classes[-1]}" if control.classes else name,
        "towards": f"{name}: how far",
    }[control.kind]
    ends: dict[str, Any] = {"minimum": control.low, "maximum": control.high, "step": control.step}
    info = "It ends where I no longer see a change."
    if control.high - control.low < control.step:  # this face cannot be moved: the model reads the same all along
        ends = {"minimum": 0, "maximum": control.step, "step": control.step}
        info = "I say the same of this face, however it is changed."
    elif start is not None and control.kind == "steps" and control.name in start.paths:
        now = start.paths[control.name].origin
        info = f"I can follow this face from {now + control.low:.0f} to {now + control.high:.0f}."
    elif control.kind == "towards":
        info = "0 is not at all, 2 is a clear change."
    # Log-odds tell a visitor nothing: the slider alone is shown.
    ends["elem_classes"] = "ff-no-number" if control.kind == "between" else ""
    return {**ends, "value": _FAR if control.kind == "towards" else 0, "label": label, "info": info, "visible": True}


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
