"""A morph in the page: all frames in one picture, a slider that is moved in the browser alone, and curves under it."""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facefeat_demo.photos import data_uri

if TYPE_CHECKING:
    from facefeat import FaceBatch
    from facefeat.types import FloatArray, UInt8Array

_WIDE, _HIGH = 600, 90
# Okabe and Ito's colours, distinguishable with any kind of colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8a8a8a", "#B8A900", "#444444")


class Frames(Protocol):
    """Pictures (T, S, S, 3) and what the model predicts from each, such as a Morph."""

    @property
    def frames(self) -> UInt8Array: ...

    @property
    def predictions(self) -> FaceBatch: ...


def sprite(frames: UInt8Array) -> tuple[UInt8Array, int]:
    """(T, S, S, 3) frames side by side in one (H, W, 3) picture, row by row, and how many are in a row."""
    count, size = len(frames), frames.shape[1]
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    sheet = np.zeros((down * size, across * size, 3), "uint8")
    for i, frame in enumerate(frames):
        y, x = i // across * size, i % across * size
        sheet[y : y + size, x : x + size] = frame
    return sheet, across


def viewer(morph: Frames, note: str = "") -> str:
    """The HTML of a morph; `static/morph.js` brings it to life. note: a sentence under the picture."""
    frames, batch = morph.frames, morph.predictions
    sheet, across = sprite(frames)
    count, size = frames.shape[:2]
    data = {"frames": count, "across": across, "size": size, "predicted": _predicted(batch)}
    data["units"] = {name: batch.answers[name].unit for name in batch.values}
    data["between"] = {name: np.rint(ends).astype(int).tolist() for name, ends in batch.intervals.items()}
    panels = "".join(_panel(name, batch) for name in batch.classes)
    return (
        f"<div class=\"ff-morph\" data-morph='{escape(json.dumps(data), quote=True)}'>"
        f'<div class="ff-stage"><img class="ff-sprite" src="{data_uri(sheet, "webp", 80)}" alt="" hidden>'
        f'<canvas class="ff-canvas" width="{max(size, 320)}" height="{max(size, 320)}" role="img" '
        'aria-label="The face at the slider\'s place"></canvas>'
        '<div class="ff-controls"><button type="button" class="ff-play" aria-pressed="false">▶ Play</button>'
        f'<input type="range" class="ff-slider" min="0" max="{count - 1}" step="1" value="0" '
        f'aria-label="From the first face to the last"></div>{_note(note)}</div>'
        f'<div class="ff-curves">{panels}</div></div>'
    )


def hero(frames: UInt8Array, size: int) -> str:
    """Frames (T, size, size, 3) as a small picture that moves by CSS alone, stops on request, and leads to Morph."""
    count = len(frames)
    sheet = np.concatenate(list(frames), axis=1)
    return (
        f'<div class="ff-hero"><a href="?tab=morph" data-tab="morph" aria-label="One face turns into another: see how">'
        f'<span style="--count:{count};--side:{size}px;background-image:url({data_uri(sheet, "webp", 78)})"></span></a>'
        '<label><input type="checkbox"><span>❚❚ Stop</span><span>▶ Play</span></label></div>'
    )


def _note(text: str) -> str:
    keep = '<button type="button" class="ff-link" data-keep-frame>Save this picture</button>'
    return f'<p class="ff-quiet ff-morph-note">{escape(text)} {keep}</p>'


def _predicted(batch: FaceBatch) -> dict[str, Any]:
    """Attribute -> what to show of it at each frame: a number, or class -> percent."""
    out: dict[str, Any] = {}
    for name, classes in batch.classes.items():
        if name in batch.values:
            out[name] = [round(float(v)) for v in batch.values[name]]
        else:
            p = batch.probabilities[name]
            out[name] = {c: [round(100 * float(v)) for v in p[:, k]] for k, c in enumerate(classes)}
    return out


def _panel(name: str, batch: FaceBatch) -> str:
    title = escape(name.capitalize())
    if name in batch.values:
        values, unit = batch.values[name], batch.answers[name].unit
        low, high = batch.intervals.get(name, np.stack([values, values], axis=1)).T
        top = 10 * math.ceil(max(10.0, float(high.max())) / 10)
        bottom = 10 * math.floor(min(0.0, float(low.min())) / 10)
        says = f"from {values[0]:.0f} to {values[-1]:.0f} {unit}"
        at, ends = _points((values - bottom) / (top - bottom)), [(end - bottom) / (top - bottom) for end in (high, low)]
        drawn = f'<polygon class="ff-band" points="{_points(ends[0])} {_points(ends[1], back=True)}"/>'
        drawn += f'<polyline class="ff-line" points="{at}"/>'
        legend = f'<span class="ff-now" data-now="{escape(name)}"></span>'
        marks = f'<span class="ff-axis ff-axis-top">{top}</span><span class="ff-axis ff-axis-bottom">{bottom}</span>'
    else:
        p = batch.probabilities[name]
        drawn, below = "", np.zeros(len(p))
        legend = ""
        for k, label in enumerate(batch.classes[name]):
            colour = COLOURS[k % len(COLOURS)]
            above = below + p[:, k]
            drawn += f'<polygon fill="{colour}" points="{_points(above)} {_points(below, back=True)}"/>'
            below = above
            legend += (
                f'<span class="ff-key"><i style="background:{colour}"></i>{escape(label)} '
                f'<b data-now="{escape(name)}" data-class="{escape(label)}"></b></span>'
            )
        first, last = (batch.labels[name][i] for i in (0, -1))
        says = f"from {first} to {last}"
        marks = ""
    return (
        f'<figure class="ff-panel"><figcaption><span class="ff-panel-title">{title}</span>'
        f'<span class="ff-legend">{legend}</span></figcaption><div class="ff-plot">{marks}'
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img" '
        f'aria-label="{title} along the morph: {escape(says)}">{drawn}<line class="ff-cursor" x1="0" x2="0" y1="0" '
        f'y2="{_HIGH}" vector-effect="non-scaling-stroke"/></svg></div></figure>'
    )


def _points(values: FloatArray | Any, back: bool = False) -> str:
    """Values 0..1 as points of a curve, left to right or back."""
    xs = np.linspace(0, _WIDE, len(values))
    pairs = [f"{x:.1f},{(1 - min(max(float(v), 0), 1)) * _HIGH:.1f}" for x, v in zip(xs, values, strict=True)]
    return " ".join(reversed(pairs) if back else pairs)
