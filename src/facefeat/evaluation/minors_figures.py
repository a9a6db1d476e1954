"""Curves of who is missed and who is taken along when faces under 18 are looked for: one figure for each grouping."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from facefeat.utils.plotting import COLOURS, empty_figure, plain

if TYPE_CHECKING:
    from facefeat.evaluation.minors import Minors

MOST_LINES = 8
"""Groups in one figure; where there are more, those of which most and fewest are missed."""


def groupings(found: Minors) -> list[str]:
    """What there is a figure by: everyone alone where no grouping has two groups of enough faces."""
    count = found.curve.groupby("by", sort=False)["group"].nunique()
    return [str(by) for by, n in count.items() if n > 1] or [str(count.index[0])]


def draw(found: Minors, by: str) -> bytes:
    """A PNG: shares missed and taken along against the threshold, a line for each group of `by`, and for everyone."""
    figure = empty_figure(9, 3.9)
    panes = figure.subplots(1, 2, sharex=True, sharey=True)
    curve = found.curve
    whole, part = curve[curve["by"] == "everyone"], curve[curve["by"] == by]
    names = part.groupby("group", sort=False)["missed"].mean()
    if len(names) > MOST_LINES:
        order = names.sort_values(kind="stable").index
        names = names[names.index.isin([*order[: MOST_LINES // 2], *order[-MOST_LINES // 2 :]])]
    titles = (("missed", f"faces under {found.age:g} missed"), ("taken", "older faces taken along"))
    for pane, (column, title) in zip(panes, titles, strict=True):
        pane.plot(whole["threshold"], whole[column], color="black", linewidth=2.2, label="everyone")
        for name, colour in zip(names.index, COLOURS, strict=False):
            if by != "everyone":
                line = part[part["group"] == name]
                pane.plot(line["threshold"], line[column], color=colour, linewidth=1.5, label=str(name))
        pane.set_title(title, fontsize=11)
        pane.set_ylim(0, 1)
        pane.yaxis.set_major_formatter(lambda v, _: f"{v:.0%}")
        if found.by_probability:
            pane.set_xlabel(f"taken where P(under {found.age:g}) is at least")
            pane.xaxis.set_major_formatter(lambda v, _: f"{v:.0%}")
        else:
            pane.set_xlabel("taken where predicted under, years")
        plain(pane)
    handles, labels = panes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False, fontsize=9)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
