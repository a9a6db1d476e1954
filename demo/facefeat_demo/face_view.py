"""Faces and what is predicted from them, as the HTML of the tabs Edit and Explore."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from facefeat.image.video import enlarge
from facefeat.plugins.kinds import say
from facefeat_demo.cards import bars, value
from facefeat_demo.photos import FACE, data_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facefeat import FaceBatch, FaceFeatureModel
    from facefeat.types import UInt8Array

_LACKS = {
    "decoder": (
        "This model cannot draw faces",
        "{what} needs a model with a decoder, and this one has none. The bundled model has one: start this page "
        "without <code>--preset</code>. <code>facefeat train-decoder</code> makes one for another model, with the "
        "directions of its latents; <code>facefeat demo --preset FOLDER</code> starts this page with it.",
    ),
    "directions": (
        "This model has no directions",
        "{what} needs the directions of its latents. <code>facefeat fit-directions --preset FOLDER --data DIR</code> "
        "adds them to the model; then start this page again.",
    ),
}


def lacking(what: str, lack: str) -> str:
    """What to type where a model lacks its decoder or its directions; empty where it lacks nothing."""
    if not lack:
        return ""
    title, text = _LACKS[lack]
    return f'<div class="ff-notice"><p class="ff-notice-title">{title}</p><p>{text.format(what=what)}</p></div>'


def figure(crop: UInt8Array, caption: str, alt: str = "", under: Sequence[str] = ()) -> str:
    """One (S, S, 3) face with its caption, and lines of text under it. alt: the caption where it is empty."""
    lines = "".join(f"<span>{escape(line)}</span>" for line in under)
    return (
        f'<figure class="ff-face"><img src="{data_uri(enlarge(crop[None], FACE)[0], quality=88)}" '
        f'width="{FACE}" height="{FACE}" alt="{escape(alt or caption)}">'
        f"<figcaption><b>{escape(caption)}</b>{lines}</figcaption></figure>"
    )


def compared(model: FaceFeatureModel, before: FaceBatch, now: FaceBatch, real: bool = True) -> str:
    """A table of what the model predicts from a face before and after, with all probabilities folded under it."""
    rows = []
    for name in model.schema.attributes:
        old, new = (escape(say(name, b.row(0)[name]).short) for b in (before, now))
        changed = ' class="ff-changed"' if old != new else ""
        rows.append(f'<tr{changed}><th scope="row">{escape(name.capitalize())}</th><td>{old}</td><td>{new}</td></tr>')
    all_bars = "".join(bars(name, read) for name, read in now.row(0).items() if read.value is None)
    return (
        '<table class="ff-predictions"><caption>What the model predicts</caption><thead><tr><td></td>'
        f'<th scope="col">{"Photo" if real else "At first"}</th><th scope="col">Edited</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        f'<details class="ff-look"><summary>All probabilities of the edited face</summary>{all_bars}</details>'
    )


def predicted_of(batch: FaceBatch, row: int = 0) -> str:
    """What the model predicts from one face: its numbers, and a table of bars for each other attribute."""
    predicted = batch.row(row)
    numbers = "".join(value(n, p) for n, p in predicted.items())
    return numbers + "".join(bars(n, p) for n, p in predicted.items() if p.value is None)


def sentence(text: str) -> str:
    """A sentence on what was done, read aloud by a screen reader; empty for none."""
    return f'<p class="ff-says" role="status">{escape(text)}</p>' if text else ""
