"""The map of Explore as HTML: a button for each point, which `static/map.js` brings to life."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from facefeat_demo.exploring import Atlas, Point, apart
from facefeat_demo.morph_view import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

# From dark to light (viridis, without its yellow end): classes with an order.
_SCALE = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#9fda3a", "#c8e020")
# A label's width, for each letter and around them, and its height, as shares of the map on a phone.
_LETTER, _AROUND, _HIGH = 0.031, 0.1, 0.105


def colours_of(classes: Sequence[str], ordered: bool) -> dict[str, str]:
    """Class -> colour; a scale from dark to light where the classes have an order."""
    last = max(1, len(classes) - 1)
    if ordered and len(classes) > 2:
        return {c: _SCALE[round(i * (len(_SCALE) - 1) / last)] for i, c in enumerate(classes)}
    return {c: COLOURS[i % len(COLOURS)] for i, c in enumerate(classes)}


def drawn(atlas: Atlas, projection: str, by: str, ordered: bool) -> str:
    """The map; by: for faces of a data set, the attribute whose classes colour the points."""
    if atlas.crops is None:
        return _means(atlas, projection)
    colours = colours_of(atlas.classes[by], ordered)
    places = atlas.places(projection)
    dots = "".join(
        f'<button type="button" class="ff-dot" data-i="{i}" tabindex="{-1 if i else 0}" aria-pressed="false" '
        f'style="left:{x:.2%};top:{y:.2%};--dot:{colours.get(point.labels[by], "#fff")}" '
        f'aria-label="{escape(point.name)}" title="{escape(point.name)}"></button>'
        for i, (point, (x, y)) in enumerate(zip(atlas.points, places, strict=False))
    )
    legend = _legend(colours)
    more = f", drawn at random from {len(atlas.points):,}" if len(atlas.points) > atlas.shown else ""
    return _map(atlas, dots, f"{atlas.shown:,} faces of the data set {escape(atlas.source)}{more}", legend)


def _means(atlas: Atlas, projection: str) -> str:
    names = list(dict.fromkeys(_of(p) for p in atlas.points))
    colours = colours_of(names, ordered=False)
    widths = np.array([_AROUND + _LETTER * len(p.name) for p in atlas.points], "float32")
    places = apart(atlas.places(projection), widths, _HIGH)
    dots = "".join(
        f'<button type="button" class="ff-dot ff-named" data-i="{i}" tabindex="{-1 if i else 0}" aria-pressed="false" '
        f'style="left:{x:.2%};top:{y:.2%};--dot:{colours[_of(point)]}" aria-label="{escape(mean_name(point))}">'
        f"{escape(point.name)}</button>"
        for i, (point, (x, y)) in enumerate(zip(atlas.points, places, strict=True))
    )
    legend = _legend({n.capitalize(): c for n, c in colours.items()})
    return _map(atlas, dots, "the mean face of every class", legend, max(len(p.name) for p in atlas.points))


def _legend(colours: Mapping[str, str]) -> str:
    return "".join(
        f'<span class="ff-key"><i style="background:{colour}"></i>{escape(label)}</span>'
        for label, colour in colours.items()
    )


def mean_name(point: Point) -> str:
    """The name of a class mean in full, such as "age 20-29"."""
    return f"{_of(point)} {point.name}"


def _of(point: Point) -> str:
    return next(iter(point.labels))


def _map(atlas: Atlas, dots: str, what: str, legend: str, letters: int = 1) -> str:
    """letters: of the longest label, for which there is room at the sides."""
    return (
        f'<div class="ff-map" data-of="{atlas.stamp}"><div class="ff-legend">{legend}</div>'
        f'<div class="ff-map-area" style="--letters:{letters}" role="group" '
        f'aria-label="Map of {what}: arrow keys go from point to point">{dots}</div>'
        f'<p class="ff-quiet">{what[0].upper()}{what[1:]}. Near points are alike to the model. Click one to see its '
        "face, or go from point to point by the arrow keys and press Enter.</p></div>"
    )
