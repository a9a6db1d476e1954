"""The figures of the analyzer `background`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import face_grid
from facefeat.utils.plotting import COLOURS, GREY, empty_figure, plain

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.types import UInt8Array

SHOWN = 8


def draw_faces(forms: tuple[UInt8Array, UInt8Array, UInt8Array], files: list[str]) -> Any:
    """What was compared: some faces whole, without background, and background alone. forms: each (M, S, S, 3)."""
    some = np.unique(np.linspace(0, len(files) - 1, min(SHOWN, len(files))).astype(int))
    names = ("whole", "face alone", "background\nalone")
    rows = [(name, crops[some]) for name, crops in zip(names, forms, strict=True)]
    return face_grid("What was compared", rows, [])


def draw_coordinates(table: pd.DataFrame, faces: int) -> Any:
    """The background's share in each coordinate with its interval, sorted; next to it the correlations of each part."""
    figure = empty_figure(11.5, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    order = table.sort_values("background_share", ascending=False)
    at = np.arange(1, len(order) + 1)
    carries = order["carries_background"].to_numpy(bool)
    for mine, colour, text in ((carries, COLOURS[1], "more background than face"), (~carries, COLOURS[0], "others")):
        part = order[mine]
        spread = np.abs(part[["low", "high"]].to_numpy().T - part["background_share"].to_numpy())
        left.errorbar(
            at[mine], part["background_share"], spread, fmt="o", markersize=3, linewidth=0.8, color=colour,
            label=f"{text} ({mine.sum()})",
        )  # fmt: skip
        right.scatter(part["r_face"], part["r_background"], s=12, color=colour, alpha=0.8, linewidths=0)
    left.axhline(0.5, color="black", linestyle="--", linewidth=1)
    left.set_ylim(0, 1)
    left.set_xlabel("coordinates, most background first")
    left.set_ylabel("background's share of the change")
    left.set_title(f"What coordinates encode (95 % intervals, {faces} faces)", loc="left")
    left.legend(frameon=False, title="p < 0.05, corrected for all coordinates")
    right.axhline(0, color=GREY, linewidth=0.8)
    right.axline((0, 0), slope=1, color="black", linestyle="--", linewidth=1)
    right.set_xlim(-0.4, 1.02)
    right.set_ylim(-0.4, 1.02)
    right.set_xlabel("r with the face alone")
    right.set_ylabel("r with the background alone")
    right.set_title("What the whole crop's value goes with", loc="left")
    for axes in (left, right):
        plain(axes)
    return figure


def draw_masking(table: pd.DataFrame, masked: int, coordinates: int) -> Any:
    """How accuracy changes when the coordinates are masked, and when as many others are."""
    figure = empty_figure(8, 1.7 + 0.55 * len(table))
    axes = figure.subplots()
    for i, row in enumerate(table.itertuples(index=False)):
        first = i == 0
        axes.plot([100 * row.low, 100 * row.high], [i, i], color=COLOURS[1], linewidth=3, alpha=0.5)
        axes.plot(
            100 * row.difference, i, "o", color=COLOURS[1], label="background coordinates, 95 %" if first else None
        )
        ends = [100 * row.random_low, 100 * row.random_high]
        axes.plot(ends, [i + 0.25] * 2, color=GREY, linewidth=3, alpha=0.5)
        text = "as many at random, lowest to highest" if first else None
        axes.plot(100 * row.random_difference, i + 0.25, "o", color=GREY, label=text)
        axes.annotate(
            f"p = {row.p:.3f}", (100 * row.difference, i), (0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(table)), [f"{r.attribute} ({r.accuracy:.1%} of {r.faces:,})" for r in table.itertuples()])
    axes.set_ylim(len(table) - 0.3, -0.6)
    axes.set_xlabel("change of the share that is right, percentage points")
    axes.set_title(f"What masking {masked} of {coordinates} coordinates does", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.22), ncols=2, fontsize="small")
    plain(axes)
    return figure
