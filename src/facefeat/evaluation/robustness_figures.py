"""Curves of accuracy, calibration error and gap against severity: one figure for each attribute."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from facefeat.utils.plotting import COLOURS, empty_figure, plain

if TYPE_CHECKING:
    from facefeat.evaluation.robustness import Robustness

COLUMNS = 6
LINES = (("accuracy", "accuracy"), ("ece", "calibration error"), ("gap", "gap of its classes"))


def draw(found: Robustness, attribute: str) -> bytes:
    """A PNG with a small diagram for each corruption, severity from left to right."""
    names = [n for n in dict.fromkeys(found.table["corruption"]) if n != "clean"]
    rows = -(-len(names) // COLUMNS)
    figure = empty_figure(11, 1.9 * rows + 0.5)
    panes = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for pane, name in zip(panes.flat, names, strict=False):
        for (measure, label), colour in zip(LINES, COLOURS, strict=False):
            curve = found.curve(attribute, measure, name, attribute if measure == "gap" else "")
            if len(curve):
                pane.fill_between(curve["severity"], curve["low"], curve["high"], color=colour, alpha=0.2)
                pane.plot(curve["severity"], curve["value"], color=colour, marker="o", markersize=3, label=label)
        pane.set_title(name, fontsize=10)
        pane.set_ylim(0, 1)
        plain(pane)
    for pane in panes.flat[len(names) :]:
        pane.set_visible(False)
    handles, labels = panes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
