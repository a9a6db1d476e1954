"""Explore: the map of the latents, the face at each point of it, and synthetic faces."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat import FacefeatError
from facefeat.plugins.kinds import captions
from facefeat_demo.editing import lacks
from facefeat_demo.exploring import PROJECTIONS, Atlas
from facefeat_demo.face_picker import crop_of, pick_face
from facefeat_demo.face_view import figure, lacking, predicted_of, sentence
from facefeat_demo.host import QUEUE, Host
from facefeat_demo.inputs import sorry
from facefeat_demo.map_view import drawn, mean_name

if TYPE_CHECKING:
    from facefeat.latent.compose import Composition
    from facefeat.schema import Attribute
    from facefeat.types import UInt8Array
    from facefeat_demo.photos import Kept

ATTRIBUTES, COORDINATES = 4, 3
"""How many attributes, and how many single coordinates, can be asked for at once."""
NEAREST = 5
_SCRIPT = Path(__file__).resolve().parent.parent / "static" / "map.js"
_ANY = "any"
_NO_POINT = '<div class="ff-empty"><p>Choose a point of the map to see its face.</p></div>'
_OTHER_MAP = '<div class="ff-empty"><p>The model was changed; reload this page to see its map.</p></div>'


def _sent(event: gr.EventData, name: str) -> Any:
    """What the page sent under a name; None where it sent nothing, or no table (a request of a visitor's own)."""
    try:
        return getattr(event, name)
    except (AttributeError, TypeError):
        return None


def build(host: Host, kept: Kept) -> None:
    """Fill the tab."""
    lack = lacks(host.model)
    without = gr.HTML(_without(host), visible=bool(lack), js_on_load=None)
    with gr.Column(visible=host.atlas is not None) as charted:
        chart = _chart(host, kept)
    with gr.Column(visible=not lack) as made:
        pool = _composer(host)

    def fit() -> list[Any]:
        """The tab for the model that is in use now."""
        lack = lacks(host.model)
        seen = [
            gr.update(value=_without(host), visible=bool(lack)),
            gr.update(visible=host.atlas is not None),
            gr.update(visible=not lack),
        ]
        return [*seen, *(gr.update(**o) for o in _chart_options(host)), *(gr.update(**o) for o in _pool(host))]

    gr.on(
        None,
        fit,
        None,
        [without, charted, made, *chart, *pool],
        show_progress="hidden",
        api_visibility="private",
        **QUEUE,  # the atlas of another model may have to be made
    )


def _without(host: Host) -> str:
    what = "Composing a face" if host.atlas is not None else "The map"
    return lacking(what, lacks(host.model))


# ---------------------------------------------------------------- the map


def _chart(host: Host, kept: Kept) -> list[Any]:
    """The map, how it is drawn, and the face of the chosen point. Gives the components of `_chart_options`."""
    options = _chart_options(host)
    with gr.Row(elem_classes="ff-map-options"):
        by = gr.Dropdown(**options[0], min_width=160, elem_id="explore-by")
        projection = gr.Radio(**options[1], min_width=220, elem_id="explore-projection")
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=280):
            shown = gr.HTML(**options[2], js_on_load=_SCRIPT.read_text("utf-8"), elem_id="explore-map", min_height=80)
        with gr.Column(scale=4, min_width=260):
            with gr.Accordion("Put me on the map", open=False, elem_id="explore-you"):
                you = pick_face(host, kept, "Your photo", "explore", height=132, try_these=False)
            face = gr.HTML(_NO_POINT, js_on_load=None, elem_id="explore-face", min_height=200)

    def look(event: gr.EventData) -> str:
        """The face of a point of the map."""
        return at_point(host, _sent(event, "index"), _sent(event, "of"))

    def draw(by: str | None, projection: str | None, state: dict[str, Any] | None) -> str:
        """The map, coloured and laid out as asked, with the visitor's face where there is one."""
        try:
            return the_map(host, by, projection, None if state is None else crop_of(state, host))
        except FacefeatError as e:
            raise sorry(e, host) from None

    def placed(by: str | None, projection: str | None, state: dict[str, Any] | None) -> list[Any]:
        """The map with the visitor's face on it, and what is near."""
        shown = draw(by, projection, state)
        return [shown, _NO_POINT if state is None else near_you(host, crop_of(state, host))]

    shown.select(look, None, face, show_progress="minimal", show_progress_on=face, api_visibility="private", **QUEUE)
    gr.on(
        [by.input, projection.input],
        draw,
        [by, projection, you.state],
        shown,
        trigger_mode="always_last",
        show_progress="minimal",
        api_visibility="private",
        **QUEUE,
    )
    for event in you.events:
        event.success(
            placed,
            [by, projection, you.state],
            [shown, face],
            show_progress="minimal",
            api_visibility="private",
            **QUEUE,
        )
    return [by, projection, shown]


def _chart_options(host: Host) -> list[dict[str, Any]]:
    """Of the choice of the colours, the choice of the projection, and the map."""
    atlas = host.atlas
    names = list(host.model.schema.attributes)
    faces = atlas is not None and atlas.crops is not None
    projections = () if atlas is None else atlas.projections
    return [
        {"choices": [(n.capitalize(), n) for n in names], "value": names[0], "label": "Colour by", "visible": faces},
        {
            "choices": [(PROJECTIONS[w], w) for w in projections or ("pca",)],
            "value": "pca",
            "label": "How the points are laid out",
            "visible": len(projections) > 1,
        },
        {"value": the_map(host, names[0], "pca")},
    ]


def the_map(host: Host, by: str | None, projection: str | None, crop: UInt8Array | None = None) -> str:
    """The HTML of the map. crop: of the visitor's face, to be put on it.

    Raises FacefeatError where an analyzer cannot lay it out.
    """
    atlas = host.atlas
    if atlas is None:
        return ""
    attribute = host.model.schema.attributes.get(str(by)) or next(iter(host.model.schema.attributes.values()))
    known = projection if projection in atlas.projections else "pca"
    you = None if crop is None else atlas.place(host.model.encode(crop[None])[0], known)
    return drawn(atlas, known, attribute.name, attribute.axis is not None, you)


def near_you(host: Host, crop: UInt8Array) -> str:
    """What lies near the visitor's face, (S, S, 3), on the map."""
    atlas = host.atlas
    assert atlas is not None
    latent = host.model.encode(crop[None])[0]
    picture = f'<div class="ff-faces">{figure(crop, "You", "Your face")}</div>'
    if atlas.crops is None:
        says = sentence(f"The averages nearest to you: {nearest_means(atlas, latent)}.")
        return f'<div class="ff-point">{picture}{says}</div>'
    near = _real(atlas, atlas.nearest(latent, NEAREST))
    title = f"Nearest of the {len(atlas.points):,} faces"
    return f'<div class="ff-point">{picture}<p class="ff-number">{title}</p><div class="ff-near">{near}</div></div>'


def at_point(host: Host, index: Any, of: Any = None) -> str:
    """The face of a point with predictions: its crop, its reconstruction and its neighbours, or a class mean.

    of: the stamp of the map that the point was chosen on.
    """
    atlas = host.atlas
    if atlas is not None and of is not None and of != atlas.stamp:
        return _OTHER_MAP
    if atlas is None or not isinstance(index, int) or not 0 <= index < atlas.shown:
        return _NO_POINT
    point, model = atlas.points[index], host.model
    near = ""
    if index in atlas.pictures:
        crops = atlas.pictures[index][None]
        pictures = figure(crops[0], point.name, f"The face of {point.name}")
        pictures += figure(model.reconstruct(crops)[0], "Redrawn by the model")
        says = f"A real face. The averages nearest to it: {nearest_means(atlas, atlas.latents[index])}."
    elif atlas.crops is None:
        name = mean_name(point)
        crops = model.decode(atlas.latents[index : index + 1])
        pictures = figure(crops[0], f"The average of {name}", f"The average face of {name}")
        says = "Nobody's face: the average of all faces of this group, as the model draws it."
    else:
        crops = atlas.crops[index : index + 1]
        pictures = figure(crops[0], "Face", f"The face at this point, labelled {point.name}")
        if model.has_decoder:
            pictures += figure(model.reconstruct(crops)[0], "Redrawn by the model")
        says = f"Labelled: {point.name}."
        alike = [i for i in atlas.nearest(atlas.latents[index], NEAREST + 1) if i != index][:NEAREST]
        if alike:
            title = f"Nearest of the {len(atlas.points):,} faces"
            near = f'<p class="ff-number">{title}</p><div class="ff-near">{_real(atlas, alike)}</div>'
    predictions = model.predict_faces(crops)
    return (
        f'<div class="ff-point"><div class="ff-faces">{pictures}</div>{sentence(says)}'
        f'<p class="ff-number">The model predicts</p>{predicted_of(predictions)}{near}</div>'
    )


def nearest_means(atlas: Atlas, latent: Any) -> str:
    """The class means that are nearest to a latent, such as "age 30-39, gender Female, race White"."""
    order = atlas.nearest(latent, len(atlas.points))
    out: dict[str, str] = {}
    for i in order:
        for name in atlas.points[i].labels:
            out.setdefault(name, mean_name(atlas.points[i]))
    return ", ".join(out[n] for n in atlas.classes if n in out)


def _real(atlas: Atlas, rows: Sequence[int]) -> str:
    """Faces of the data set, each with its labels."""
    names = [atlas.points[i].name for i in rows]
    return "".join(
        figure(atlas.crops[i], "Real", f"A real face near it, labelled {name}", name.split(", "))
        for i, name in zip(rows, names, strict=True)
        if atlas.crops is not None
    )


# ---------------------------------------------------------------- synthetic faces


def _composer(host: Host) -> list[Any]:
    """A latent from attributes and coordinates, and the faces that it gives. Gives the components of `_pool`."""
    options = _pool(host)
    gr.HTML('<div class="ff-prose"><h2>Compose a face</h2></div>', js_on_load=None)
    asked: list[Any] = []
    with gr.Row(equal_height=False, elem_classes="ff-sliders"):
        for i in range(ATTRIBUTES):
            asked.append(gr.Slider(**options[2 * i], min_width=200, elem_id=f"compose-number-{i + 1}"))
            asked.append(gr.Dropdown(**options[2 * i + 1], min_width=200, elem_id=f"compose-class-{i + 1}"))
    with gr.Accordion("Single coordinates", open=False, elem_id="compose-coordinates"):
        gr.HTML(
            '<p class="ff-quiet">Hold up to three numbers of the latent where you like, in standard deviations from '
            "their mean.</p>",
            js_on_load=None,
        )
        for i in range(COORDINATES):
            with gr.Row(elem_classes="ff-changer"):
                asked.append(gr.Number(**options[2 * ATTRIBUTES + i], min_width=120, scale=1))
                asked.append(
                    gr.Slider(-5, 5, value=0, step=0.1, label=f"Coordinate {i + 1}: held at", min_width=200, scale=3)
                )
    with gr.Row(elem_classes="ff-changer"):
        count = gr.Slider(
            1, 6, value=3, step=1, label="Faces", info="They differ in all that you left open.", min_width=200
        )
        button = gr.Button("Make faces", variant="primary", elem_id="compose-button", min_width=160)
    shown = gr.HTML("", js_on_load=None, elem_id="composed-faces")

    def make(count: float, *values: Any) -> str:
        """Synthetic faces, each with the nearest real ones where a data set was given."""
        try:
            attributes, coordinates = asked_of(host, values)
            faces, seed = min(max(int(count), 1), 6), secrets.randbelow(1_000_000)
            made = host.model.compose(attributes, coordinates=coordinates, count=faces, seed=seed)
        except FacefeatError as e:
            raise sorry(e, host) from None
        return composed_faces(host, made)

    button.click(
        make,
        [count, *asked],
        shown,
        show_progress="minimal",
        show_progress_on=shown,
        api_visibility="private",
        **QUEUE,
    )
    numbers = asked[2 * ATTRIBUTES :: 2]
    return [*asked[: 2 * ATTRIBUTES], *numbers]


def _pool(host: Host) -> list[dict[str, Any]]:
    """The options of a number and a class for each attribute, then of the coordinates' numbers."""
    attributes = list(host.model.schema.attributes.values())
    out: list[dict[str, Any]] = []
    for i in range(ATTRIBUTES):
        out += _asked(attributes[i]) if i < len(attributes) else [_HIDDEN_NUMBER, _HIDDEN_CLASS]
    last = host.model.latent_dim - 1
    number = {"minimum": 0, "maximum": last, "precision": 0, "value": None}
    return out + [{**number, "label": f"Coordinate {i + 1}: which (0 to {last})"} for i in range(COORDINATES)]


_HIDDEN_NUMBER: dict[str, Any] = {"minimum": 0, "maximum": 100, "value": 0, "label": "Unused", "visible": False}
_HIDDEN_CLASS: dict[str, Any] = {"choices": [_ANY], "value": _ANY, "label": "Unused", "visible": False}


def _asked(attribute: Attribute) -> list[dict[str, Any]]:
    name = attribute.name.capitalize()
    axis = attribute.axis
    if not _slides(attribute) or axis is None:
        return [_HIDDEN_NUMBER, {"choices": [_ANY, *attribute.groups], "value": _ANY, "label": name, "visible": True}]
    slider = {"minimum": axis.low, "maximum": axis.high, "step": 1, "value": min(max(40, axis.low), axis.high)}
    return [{**slider, "label": f"{name} in {axis.unit}", "visible": True}, _HIDDEN_CLASS]


def _slides(attribute: Attribute) -> bool:
    """Whether it is a number, rather than a class to be chosen."""
    return attribute.axis is not None and attribute.axis.near >= 1


def asked_of(host: Host, values: Sequence[Any]) -> tuple[dict[str, Any], dict[int, float]]:
    """Attributes and coordinates, as `compose` takes them, from what all components say."""
    attributes: dict[str, Any] = {}
    for i, attribute in enumerate(list(host.model.schema.attributes.values())[:ATTRIBUTES]):
        number, label = values[2 * i : 2 * i + 2]
        if _slides(attribute):
            attributes[attribute.name] = float(number)
        elif label in attribute.groups:
            attributes[attribute.name] = label
    rest = values[2 * ATTRIBUTES :]
    coordinates = {
        int(which): float(at or 0) for which, at in zip(rest[::2], rest[1::2], strict=True) if which is not None
    }
    return attributes, coordinates


def composed_faces(host: Host, made: Composition) -> str:
    """The faces that were made, with predictions, and the nearest real ones where there is a data set."""
    atlas = host.atlas
    out = []
    for i in range(len(made)):
        own = figure(made.crops[i], f"Face {i + 1}", f"Face {i + 1}, synthetic", captions(made.predictions.row(i)))
        near = ""
        if atlas is not None and atlas.crops is not None:
            near = f'<div class="ff-near">{_real(atlas, atlas.nearest(made.latents[i], NEAREST))}</div>'
        out.append(f'<section class="ff-made" aria-label="Face {i + 1}">{own}{near}</section>')
    missed = int((~made.reached).sum())
    says = f"The model does not predict all that was asked in {missed} of {len(made)}." if missed else ""
    return f'{sentence(says)}<div class="ff-all-made{" ff-with-near" if near else ""}">{"".join(out)}</div>'
