"""The map of Explore as HTML: a button for each point, which `static/map.js` brings to life."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from facefeat_demo.exploring import Atlas, Point, apart
from facefeat_demo.morph_view import COLOURS
from facefeat_demo.photos import data_uri, shrink

if TYPE_CHECKING:
    from collections.abc import Sequence

# From dark to light (viridis, without its yellow end): classes with an order.
_SCALE = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#9fda3a", "#c8e020")
# A label's width, for each letter and around them, and its height, as shares of the map on a phone.
_LETTER, _AROUND, _HIGH = 0.031, 0.1, 0.105
_FACE, _SHOWN = 0.12, 64  # width of a face on the map, as a share of it, and the pixels of its picture


def colours_of(classes: Sequence[str], ordered: bool) -> dict[str, str]:
    """Class -> colour; a scale from dark to light where the classes have an order."""
    last = max(1, len(classes) - 1)
    if ordered and len(classes) > 2:
        return {c: _SCALE[round(i * (len(_SCALE) - 1) / last)] for i, c in enumerate(classes)}
    return {c: COLOURS[i % len(COLOURS)] for i, c in enumerate(classes)}


def drawn(atlas: Atlas, projection: str, by: str, ordered: bool, you: tuple[float, float] | None = None) -> str:
    """The map; by: for faces of a data set, the attribute whose classes colour the points. you: the visitor's place."""
    if atlas.crops is None:
        return _means(atlas, projection, you)
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
    what = f"{atlas.shown:,} faces of the data set {escape(atlas.source)}{more}"
    return _map(atlas, dots + _you(you), what, legend)


def _you(place: tuple[float, float] | None) -> str:
    if place is None:
        return ""
    return f'<span class="ff-you" style="left:{place[0]:.2%};top:{place[1]:.2%}">You</span>'


def _means(atlas: Atlas, projection: str, you: tuple[float, float] | None) -> str:
    names = [n for n in atlas.classes if any(n in p.labels for p in atlas.points)]
    colours = colours_of(names, ordered=False)
    widths = np.array(
        [_FACE if i in atlas.pictures else _AROUND + _LETTER * len(p.name) for i, p in enumerate(atlas.points)],
        "float32",
    )
    places = apart(atlas.places(projection), widths, _HIGH)
    dots = ""
    for i, (point, (x, y)) in enumerate(zip(atlas.points, places, strict=True)):
        about = f'data-i="{i}" tabindex="{-1 if i else 0}" aria-pressed="false" style="left:{x:.2%};top:{y:.2%}'
        if i in atlas.pictures:
            face = data_uri(shrink(atlas.pictures[i], _SHOWN), quality=80)
            dots += (
                f'<button type="button" class="ff-dot ff-pictured" {about}" '
                f'aria-label="The face of {escape(point.name)}">'
                f'<img src="{face}" alt=""></button>'
            )
            continue
        dots += (
            f'<button type="button" class="ff-dot ff-named" {about};--dot:{colours[_of(point)]}" '
            f'aria-label="{escape(mean_name(point))}">{escape(point.name)}</button>'
        )
    legend = _legend({n.capitalize(): c for n, c in colours.items()})
    faces = f" and {len(atlas.pictures)} real faces" if atlas.pictures else ""
    across, down = atlas.axes()
    carried = f" From left to right mostly {escape(across)}; from top to bottom {escape(down)}." if across else ""
    letters = max((len(p.name) for i, p in enumerate(atlas.points) if i not in atlas.pictures), default=1)
    return _map(atlas, dots + _you(you), f"the average face of every group{faces}", legend, letters, carried)


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


def _map(atlas: Atlas, dots: str, what: str, legend: str, letters: int = 1, carried: str = "") -> str:
    """letters: of the longest label, for which there is room at the sides. carried: a sentence on the axes."""
    return (
        f'<div class="ff-map" data-of="{atlas.stamp}"><div class="ff-legend">{legend}</div>'
        f'<div class="ff-map-area" style="--letters:{letters}" role="group" '
        f'aria-label="Map of {what}: arrow keys go from point to point">{dots}</div>'
        f'<p class="ff-quiet">{what[0].upper()}{what[1:]}. What lies close together looks alike to the model.{carried} '
        "Click a point to see its face; arrow keys and Enter do it, too.</p></div>"
    )
