"""Models: the one in use with its card, those that are installed, and the components of plugins."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from facefeat import FacefeatError
from facefeat.plugins.registry import get_registry
from facefeat_demo.cards import notice
from facefeat_demo.host import QUEUE, Host, read_card
from facefeat_demo.inputs import fresh, sorry
from facefeat_demo.redaction import without_paths
from facefeat_demo.text import to_html

if TYPE_CHECKING:
    from facefeat_demo.photos import Kept

TITLE = "Models"
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
