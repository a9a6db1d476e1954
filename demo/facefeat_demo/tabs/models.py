"""Models: the one in use with its card, those that are installed, and the components of plugins."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat import FacefeatError
from facefeat.plugins.registry import get_registry
from facefeat_demo.cards import card, notice
from facefeat_demo.host import QUEUE, Host, left_to_right, read_card
from facefeat_demo.inputs import examples, fresh, photo_bytes, photo_input, sorry
from facefeat_demo.photos import open_photo
from facefeat_demo.redaction import without_paths
from facefeat_demo.text import to_html

if TYPE_CHECKING:
    from facefeat_demo.photos import Kept

_COMPARED = 4  # faces of a photo that two models are compared on
_KINDS = {
    "detector": "Detectors: find the faces in a photo",
    "backbone": "Backbones: turn a face into features",
    "head": "Heads: turn features into answers",
    "decoder": "Decoders: turn features back into a face",
    "analyzer": "Analyzers: study what the features hold",
    "preset": "Presets: trained models",
}


def build(host: Host, kept: Kept) -> None:
    """Fill the tab."""
    fresh(lambda: in_use(host), elem_classes="ff-prose")
    if host.allowed is not None:
        _changer(host)
    _side_by_side(host, kept)
    with gr.Accordion("Model card: data, licence, figures, limits", open=True):
        names = _presets()
        if len(names) > 1:
            choice = gr.Dropdown([("The model in use", ""), *((n, n) for n in names)], value="", label="Whose card")
            card = fresh(lambda: card_of("", host), elem_classes="ff-prose")
            choice.change(lambda name: card_of(name, host), choice, card, queue=False, api_visibility="private")
        else:
            fresh(lambda: card_of("", host), elem_classes="ff-prose")
    with gr.Accordion("What is installed: every part is a plugin", open=False):
        gr.HTML(components(), elem_classes="ff-prose", js_on_load=None)


def _changer(host: Host) -> None:
    with gr.Row(elem_classes="ff-changer"):
        choice = gr.Dropdown(host.choices(), label="Other models in this demo's folder", scale=3, min_width=220)
        button = gr.Button("Use this model", variant="secondary", scale=1, min_width=160)
    says = gr.HTML("", js_on_load=None)

    def change(name: str | None) -> str:
        """Change the model for everybody who uses this page."""
        if not name:
            raise gr.Error("Choose a model first.", print_exception=False)
        try:
            host.use(name)
        except FacefeatError as e:
            raise sorry(e, host) from None
        return notice("Done", f"This page now uses {host.model.name}, for everybody who has it open.")

    done = button.click(change, choice, says, api_visibility="private", **QUEUE)
    # What the other tabs show depends on the model: they are made anew.
    done.success(None, None, None, js="() => setTimeout(() => location.reload(), 1200)")


def _side_by_side(host: Host, kept: Kept) -> None:
    """A photo, and what the model in use and another one say about it."""
    names = host.others()
    with gr.Accordion("Two models, one photo", open=True, visible=bool(names), elem_id="models-two"):
        with gr.Row(equal_height=False):
            photo = photo_input("Your photo", kept, height=132, elem_id="models-photo")
            with gr.Column(min_width=240):
                other = gr.Dropdown(names, value=names[0] if names else None, label="Beside the model in use")
                examples(photo, kept)
        shown = gr.HTML("", js_on_load=None, elem_id="models-both", min_height=60)

    def both(value: Any, name: str | None) -> Any:
        """What two models say about a photo."""
        data = photo_bytes(value, photo)
        if data is None:
            return ""
        try:
            return two(host, data, name)
        except FacefeatError as e:
            raise sorry(e, host) from None

    gr.on(
        [photo.change, other.input],
        both,
        [photo, other],
        shown,
        preprocess=False,
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=shown,
        api_visibility="private",
        **QUEUE,
    )


def two(host: Host, data: bytes, name: str | None) -> str:
    """A photo as the model in use and another one read it, next to each other. Raises FacefeatError."""
    opened = open_photo(data)
    if isinstance(opened, str):
        return notice("That did not work", opened)
    columns = ""
    for model in (host.model, host.other(name)):
        faces = left_to_right(model.predict(opened).faces)[:_COMPARED]
        cards = "".join(card(i, face, {}, alone=len(faces) == 1) for i, face in enumerate(faces, 1))
        columns += (
            f'<section aria-label="{escape(model.name)}"><h3>{escape(model.name)}</h3><div class="ff-cards">'
            f"{cards or 'No face was found.'}</div></section>"
        )
    return f'<div class="ff-two">{columns}</div>'


def in_use(host: Host) -> str:
    """The model in use, in figures."""
    model = host.model
    facts = {
        "Reads": ", ".join(model.schema.attributes),
        "Size of the classifier": f"{model.parameters / 1e6:.1f} million weights"
        if model.parameters >= 1e5
        else f"{model.parameters:,} weights",
        "Looks at": f"{model.image_size} × {model.image_size} pixels of a face",
        "Can draw faces": "yes" if model.has_decoder else "no: it has no decoder",
        "Runs on": host.device,
        "Licence": host.licence or "not stated: see its card",
    }
    listed = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    summary = f"<p>{escape(host.summary)}</p>" if host.summary else ""
    return f'<h2>In use: {escape(model.name)}</h2>{summary}<dl class="ff-facts">{listed}</dl>'


def _presets() -> list[str]:
    return list(get_registry().names("preset"))


def card_of(name: str, host: Host) -> str:
    """The card of a registered preset as HTML, or of the model in use where the name is empty."""
    if not name:
        card = host.card
    elif name in _presets():
        try:
            card = read_card(Path(get_registry().build("preset", name)))
        except FacefeatError as e:
            return notice("This model cannot be read", host.said(e))
    else:
        card = ""
    return to_html(card) if card else notice("No model card", "This model came without a card.")


def components() -> str:
    """Every component by kind, and the plugins that did not load."""
    registry = get_registry()
    parts = []
    for kind, group in groupby(registry.all(), key=lambda item: item.kind):
        rows = "".join(
            f"<li><b>{escape(i.name)}</b> {escape(i.component.summary)}"
            f'{_from(i.distribution, i.version)}</li>' for i in group
        )  # fmt: skip
        parts.append(f"<h3>{_KINDS.get(kind, kind)}</h3><ul class='ff-parts'>{rows}</ul>")
    return "".join(parts) + _problems(without_paths(str(p)) for p in registry.problems)


def _from(distribution: str, version: str) -> str:
    return (
        "" if distribution == "facefeat" else f' <span class="ff-chip">{escape(distribution)} {escape(version)}</span>'
    )


def _problems(lines: Iterable[str]) -> str:
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>Plugins that did not load</h3><ul>{listed}</ul>" if listed else ""
