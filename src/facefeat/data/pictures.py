"""The pictures of an exploration: bars per attribute, heat maps per pair, faces per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.data.samples import read_rows, sample_rows
from facefeat.errors import MissingExtraError

if TYPE_CHECKING:
    from facefeat.data.dataset import FaceDataset
    from facefeat.data.explore import Exploration, Pair

_SHADES = ("#2b6c99", "#9cc4de", "#d98e4a", "#7a9a5b", "#b7a1c8")
_GREY = "#555555"
FEW = 30
"""Faces of a pair of classes, below which a pair's figures are uncertain."""


def draw_counts(found: Exploration) -> Any:
    """A matplotlib Figure: one panel of bars per attribute, its splits side by side in the bar, and exact ages.

    Raises MissingExtraError without matplotlib.
    """
    attributes = list(found.classes)
    heights = [0.27 * len(found.total(a)) for a in attributes] + ([1.9] if found.years else [])
    figure, panels = _stacked([8.0] * len(heights), heights, _longest(found, attributes), below=0.3)
    for panel, attribute in zip(panels, attributes, strict=False):
        _bars(panel, found, attribute)
    if found.years:
        _years(panels[-1], found)
    _title(figure, f"{found.name}: {found.faces:,} faces")
    if len(found.splits) > 1:
        from matplotlib.patches import Patch

        handles = [Patch(color=_shade(i), label=f"{s} {n:,}") for i, (s, n) in enumerate(found.splits.items())]
        figure.legend(handles=handles, loc="upper right", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def _shade(split: int) -> str:
    return _SHADES[split % len(_SHADES)]


def _bars(panel: Any, found: Exploration, attribute: str) -> None:
    total = found.total(attribute)
    labels = [label or "(unknown)" for label in total]
    left = np.zeros(len(total))
    for i, by_class in enumerate(found.counts[attribute].values()):
        counts = np.array([by_class.get(label, 0) for label in total])
        panel.barh(labels, counts, left=left, color=_shade(i), height=0.75)
        left += counts
    for y, n in enumerate(total.values()):
        panel.text(n + max(left) * 0.008, y, f"{n:,}   {n / found.faces:.1%}", va="center", fontsize=8, color=_GREY)
    panel.set_ylim(len(total) - 0.5, -0.5)
    panel.set_xlim(0, max(left) * 1.16)
    uneven = found.imbalance[attribute]
    ratio = f"{uneven.ratio:.1f} : 1" if math.isfinite(uneven.ratio) else f"no {uneven.smallest}"
    even = f"effective number of classes {uneven.effective:.1f} of {uneven.classes}"
    title = f"{attribute}    largest class to smallest {ratio}; {even}"
    panel.set_title(title, loc="left", fontsize=10)
    _plain(panel)
    panel.set_xticks([])


def _years(panel: Any, found: Exploration) -> None:
    years = sorted(found.years)
    panel.bar(years, [found.years[y] for y in years], width=1.0, color=_shade(0))
    panel.set_title("faces by exact age in years", loc="left", fontsize=10)
    panel.set_xlim(years[0] - 1, years[-1] + 1)
    panel.tick_params(labelsize=8)
    _plain(panel)


def _plain(panel: Any) -> None:
    for side in ("top", "right", "bottom", "left"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=0, labelsize=9)


def draw_pairs(found: Exploration) -> Any:
    """A matplotlib Figure: a heat map with numbers for every two attributes. Raises MissingExtraError, as above.

    The colour is that of the share within the row, so that rows of few faces are read as easily as those of many.
    """
    shapes = [p.counts.shape for p in found.pairs]
    sizes = [0.85 * s[1] for s in shapes], [0.3 * s[0] for s in shapes]
    figure, panels = _stacked(*sizes, _longest(found, [p.first for p in found.pairs]), above=0.85, narrowest=5.6)
    for panel, pair in zip(panels, found.pairs, strict=True):
        _heat(panel, found, pair)
    _title(figure, f"{found.name}: faces per pair of attributes")
    note = f"the darker, the larger the share of the row; red: fewer than {FEW}"
    figure.text(0.15 / figure.get_figwidth(), 1 - 0.5 / figure.get_figheight(), note, fontsize=9, color=_GREY)
    return figure


def _heat(panel: Any, found: Exploration, pair: Pair) -> None:
    share = pair.counts / np.maximum(pair.counts.sum(axis=1, keepdims=True), 1)
    most = max(0.01, float(share.max()))
    panel.imshow(share, cmap="Blues", vmin=0, vmax=1.15 * most, aspect="auto")
    for (y, x), n in np.ndenumerate(pair.counts):
        colour = "#c0392b" if n < FEW else "white" if share[y, x] > 0.55 * most else "#222222"
        panel.text(x, y, f"{n:,}", ha="center", va="center", fontsize=8.5, color=colour)
    # Long names of classes, such as Latino_Hispanic, need two lines.
    columns = [c.replace("_", "\n").replace(" ", "\n", 1) for c in found.classes[pair.second]]
    panel.set_xticks(range(pair.counts.shape[1]), columns)
    panel.set_yticks(range(pair.counts.shape[0]), found.classes[pair.first])
    panel.xaxis.tick_top()
    panel.text(-0.5, -1.95, f"{pair.first} (rows) and {pair.second} (columns)", fontsize=10, va="bottom")
    _plain(panel)


def _longest(found: Exploration, attributes: Sequence[str]) -> float:
    """Inches that the names of classes need on the left."""
    names = [c for a in attributes for c in (*found.classes[a], "(unknown)" if "" in found.total(a) else "")]
    return 0.3 + 0.085 * max(len(c) for c in names)


def _stacked(
    widths: Sequence[float],
    heights: Sequence[float],
    left: float,
    above: float = 0.45,
    below: float = 0.1,
    narrowest: float = 0.0,
) -> tuple[Any, list[Any]]:
    """A figure with panels of these sizes (inches) below each other; it changes no setting of matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError('pictures of counts need matplotlib. Next: pip install "facefeat[plots]"') from None
    width = max(narrowest, left + max(widths) + 0.15)
    height = 0.5 + sum(heights) + above * len(heights) + below
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    panels, top = [], height - 0.5
    for w, h in zip(widths, heights, strict=True):
        top -= above + h
        panels.append(figure.add_axes((left / width, (top + below) / height, w / width, h / height)))
    return figure, panels


def _title(figure: Any, text: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(0.15 / width, 1 - 0.28 / height, text, fontsize=12, weight="bold")


def draw_faces(dataset: FaceDataset, found: Exploration, columns: int = 12, size: int = 72, seed: int = 1) -> Any:
    """A Pillow image: for every class of every attribute a row of faces that carry this label, drawn at random.

    columns: faces in a row. size: side of a face in pixels. A class without faces has an empty row.
    """
    from PIL import Image, ImageDraw, ImageFont

    indices = dataset.labels()
    plan: list[tuple[str, str, list[int]]] = []
    for a, (attribute, classes) in enumerate(found.classes.items()):
        for c, label in enumerate(classes):
            labelled = np.flatnonzero(indices[attribute] == c)
            # A few more than are shown stand in for pictures that cannot be read.
            plan.append((attribute, label, sample_rows(labelled, columns + 4, seed + 100 * a + c)))
    crops = read_rows(dataset, sorted({r for _, _, rows in plan for r in rows}), size)

    gap, margin, side = 3, 12, 150
    font, bold = ImageFont.load_default(13), ImageFont.load_default(15)
    height = 2 * margin + len(plan) * (size + gap) + len(found.classes) * 30
    picture = Image.new("RGB", (2 * margin + side + columns * (size + gap), height), "white")
    pen = ImageDraw.Draw(picture)
    y, before = margin, ""
    for attribute, label, rows in plan:
        if attribute != before:
            pen.text((margin, y + 6), attribute, "black", font=bold)
            y, before = y + 30, attribute
        pen.text((margin, y + size // 2 - 16), label, "black", font=font)
        pen.text((margin, y + size // 2), f"{found.total(attribute)[label]:,}", _GREY, font=font)
        for x, row in enumerate([r for r in rows if r in crops][:columns]):
            picture.paste(Image.fromarray(crops[row]), (margin + side + x * (size + gap), y))
        y += size + gap
    return picture
