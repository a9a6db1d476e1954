"""One face at every age, as HTML: eight of them in a row, and all for the slider, which then asks nobody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from facefeat.image.align import resize_crops
from facefeat.plugins.kinds import captions, say
from facefeat_demo import editing
from facefeat_demo.morph_view import sprite
from facefeat_demo.photos import data_uri

if TYPE_CHECKING:
    from facefeat_demo.host import Host

_SIDE = 192  # of a picture while the slider moves, in pixels; where it rests, the whole one follows
_ROW = 128  # of a picture of the row
SOON = (
    '<div class="ff-ages-head"><h2 class="ff-count">The same face, 10 to 80</h2></div>'
    f'<div class="ff-ages" aria-hidden="true">{"<i></i>" * 8}</div><p class="ff-quiet">Drawing them …</p>'
)
"""What is there until they come."""


def ages_of(start: editing.Start, host: Host, values: Sequence[Any]) -> str:
    """The face at 10 to 80 years in one row, each with what the model reads; empty for a model without years.

    values: of all sliders, before any was moved.
    """
    editing.check(host.model, start)
    made = editing.film(host.model, start)
    if made is None:
        return ""
    strip, path = made.strip, made.strip.path
    faces, pale = "", False
    for i, (asked, picture) in enumerate(zip(strip.asked, resize_crops(strip.pictures, _ROW), strict=True)):
        reads = captions(strip.predictions.row(i))[0]
        short = reads.removesuffix(" years")
        beyond = not path.low - 5 <= asked <= path.high + 5
        pale = pale or beyond
        faces += (
            f'<figure{" class=ff-beyond" if beyond else ""}><img src="{data_uri(picture)}" width="160" height="160" '
            f'alt="At {asked:.0f}: the model reads {escape(reads)}">'
            f"<figcaption><b>{asked:.0f}</b> I say {escape(short)}</figcaption></figure>"
        )
    says = "At the pale ones I no longer see the change. " if pale else ""
    return (
        '<div class="ff-ages-head"><h2 class="ff-count">The same face, 10 to 80</h2>'
        '<button type="button" class="ff-play" data-play-ages aria-pressed="false">▶ Play</button></div>'
        '<div class="ff-ages" tabindex="0" role="region" '
        f'aria-label="The face at eight ages">{faces}</div><p class="ff-quiet">{says}'
        '<button type="button" class="ff-link" data-save-ages>Save the row</button></p>'
        f"{_film(made, start, host, values)}"
    )


def whole_row(start: editing.Start, host: Host) -> str:
    """The row at full size, with its captions, as the address of a JPEG; empty for a model without years."""
    editing.check(host.model, start)
    made = editing.film(host.model, start)
    return "" if made is None else data_uri(made.strip.draw(), quality=90)


def _film(made: editing.Film, start: editing.Start, host: Host, values: Sequence[Any]) -> str:
    """All pictures in one, and what `static/edit.js` must know to show them."""
    sheet, across = sprite(resize_crops(made.pictures, _SIDE))
    path, names = made.strip.path, list(host.model.schema.attributes)
    rows = (made.predictions.row(i) for i in range(len(made.pictures)))
    slider = [c.name for c in editing.controls(host.model)].index(path.attribute)
    data = {
        "face": start.key,
        "slider": slider,
        "values": list(values),
        "far": [round(float(v) - path.origin, 2) for v in path.values],
        "says": [[say(name, row[name]).short for name in names] for row in rows],
        "across": across,
        "size": _SIDE,
    }
    return (
        f'<img class="ff-film" src="{data_uri(sheet, "webp", 80)}" alt="" hidden '
        f"data-film='{escape(json.dumps(data), quote=True)}'>"
    )
