"""The audit's figures, drawn with matplotlib: each a PNG with the sentence that says how to read it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.evaluation import minors_figures
from facefeat.evaluation.report import SMALL_GROUP
from facefeat.evaluation.robustness_figures import draw
from facefeat.utils.plotting import COLOURS, empty_figure, plain

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.evaluation.audit import Audit
    from facefeat.evaluation.minors import Minors

DPI = 110
THUMBNAILS = 70
WIDE = 700
"""Pixels."""


@dataclass(frozen=True)
class FigureFile:
    """A drawn figure: its file name without suffix, the section it belongs to, title, sentences, and PNG bytes."""

    name: str
    section: str
    title: str
    reading: str
    alt: str
    png: bytes

    @property
    def wide(self) -> bool:
        """Whether it is too wide to be read on a phone at the width of the screen."""
        return int.from_bytes(self.png[16:20]) > WIDE  # the header of a PNG begins with its width


def draw_all(audit: Audit) -> Iterator[FigureFile]:
    """Every figure that the audit has data for, in the order of the page."""
    for name, (classes, counts) in audit.confusion.items():
        yield _confusion(name, list(classes), counts)
    for name, errors in audit.errors.items():
        axis = audit.schema[name].axis
        yield _errors(name, "" if axis is None else axis.unit, errors)
    for name, table in audit.reliability.items():
        yield _reliability(name, table, audit.calibration_errors[name]["ece"])
    if audit.answered:
        yield _answered(audit.answered)
    for by in dict.fromkeys(audit.groups["by"]):
        part = audit.groups[(audit.groups["by"] == by) & ~audit.groups["small"]]
        measures = [c for c in part.columns if c.endswith("_accuracy") and part[c].notna().any()]
        if 1 < len(part) <= 40 and measures:
            yield _groups(by, part, measures)
    if audit.robustness is not None:
        for name in dict.fromkeys(audit.robustness.table["attribute"]):
            yield FigureFile(
                f"robustness-{plain_name(name)}",
                "robustness",
                f"Against severity: {name.replace('_', ' ')}",
                "Each small diagram is one corruption, from clean on the left to severe on the right. Accuracy that "
                "falls while the calibration error stays low is honest; a rising gap says that one group pays for it.",
                f"Accuracy, calibration error and gap of {name} against the severity of each corruption.",
                draw(audit.robustness, name),
            )
    if audit.minors is not None:
        for by in minors_figures.groupings(audit.minors):
            yield _minors(audit.minors, by)
    if audit.map is not None:
        yield _thumbnails(audit.map)
        for name, labels in audit.map.labels.items():
            if (labels >= 0).any():
                yield _map(name, list(audit.schema[name].groups), audit.map.places, labels)


def plain_name(text: str) -> str:
    """Text as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def _confusion(name: str, classes: list[str], counts: np.ndarray) -> FigureFile:
    k = len(classes)
    figure = empty_figure(2.6 + 0.62 * k, 1.7 + 0.52 * k)
    axes = figure.subplots()
    total = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(total, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(k):
        for j in range(k):
            if total[i, 0]:
                colour = "white" if share[i, j] > 0.55 else "black"
                axes.text(j, i, f"{share[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(k), classes, rotation=35, ha="right")
    axes.set_yticks(range(k), [f"{c} ({n:,})" for c, n in zip(classes, total[:, 0], strict=True)])
    axes.set_xlabel("predicted")
    axes.set_ylabel("label (faces)")
    worst = min(range(k), key=lambda i: share[i, i] if total[i, 0] else 2)
    return FigureFile(
        f"confusion-{plain_name(name)}",
        "confusion",
        f"Confusion: {name}",
        "Each row holds the faces of one label and sums to 100 %; the diagonal is what was right. A dark cell off "
        "the diagonal is what the class is taken for.",
        f"Confusion matrix of {name}. Lowest on the diagonal: {classes[worst]}, {share[worst, worst]:.0%} right.",
        _png(figure),
    )


def _errors(name: str, unit: str, table: pd.DataFrame) -> FigureFile:
    known = table[table["faces"] >= 5]
    middle = (known["from"] + known["to"]) / 2
    figure = empty_figure(8.5, 3.8)
    axes = figure.subplots()
    axes.fill_between(middle, known["mae_low"], known["mae_high"], color=COLOURS[0], alpha=0.2, label="95 % interval")
    axes.plot(middle, known["mae"], color=COLOURS[0], marker="o", markersize=4, label="mean error, either way")
    axes.plot(middle, known["bias"], color=COLOURS[1], marker="s", markersize=4, label="bias: too high above 0")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"labelled {name}, {unit}" if unit else f"labelled {name}")
    axes.set_ylabel(unit)
    axes.legend(frameon=False)
    plain(axes)
    step = f"{table['to'].iloc[0] - table['from'].iloc[0]:g}"
    return FigureFile(
        f"{name}-error",
        "errors",
        f"Error of the {name} by {name}",
        f"How many {unit or 'units'} the answer is off, for faces of each {name} (by {step}, of five faces or more). "
        "The second line is the mean of predicted minus labelled: above zero the model's answers are too high, below "
        "zero too low.",
        f"Mean error of the {name} from {known['mae'].min():.1f} to {known['mae'].max():.1f} {unit}.",
        _png(figure),
    )


def _reliability(name: str, table: pd.DataFrame, ece: float) -> FigureFile:
    figure = empty_figure(5.2, 5.0)
    axes, counts = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    middle, width = (table["low"] + table["high"]) / 2, table["high"] - table["low"]
    axes.bar(middle, table["accuracy"], width * 0.94, color=COLOURS[0], alpha=0.85, label="share that was right")
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="perfect calibration")
    axes.set_ylim(0, 1)
    axes.set_ylabel("right")
    axes.legend(frameon=False, loc="upper left")
    counts.bar(middle, table["faces"], width * 0.94, color=COLOURS[7])
    counts.set_xlim(0, 1)
    counts.set_xlabel("probability of the answer")
    counts.set_ylabel("faces")
    for each in (axes, counts):
        plain(each)
    return FigureFile(
        f"reliability-{name}",
        "reliability",
        f"Reliability: {name}",
        "Of the answers given with, say, 80 %, about 80 % should be right: a bar below the dashed line says that the "
        f"model is surer than it should be. The expected calibration error is {ece:.3f}.",
        f"Reliability diagram of {name}; expected calibration error {ece:.3f}.",
        _png(figure),
    )


def _answered(tables: dict[str, pd.DataFrame]) -> FigureFile:
    figure = empty_figure(7.5, 4.2)
    axes = figure.subplots()
    for i, (name, table) in enumerate(tables.items()):
        kept = table[table["answered"] >= 0.05].dropna()
        axes.plot(kept["answered"], kept["accuracy"], color=COLOURS[i % len(COLOURS)], label=name, linewidth=2)
        at = table[np.isclose(table["min_confidence"], 0.8)]
        if len(at) and at["answered"].iloc[0] > 0.05:
            axes.plot(at["answered"], at["accuracy"], "o", color=COLOURS[i % len(COLOURS)])
    axes.set_xlim(1, 0)
    axes.set_ylim(top=1)
    axes.set_xlabel("share of faces answered")
    axes.set_ylabel("accuracy among them")
    axes.legend(frameon=False)
    plain(axes)
    return FigureFile(
        "answered",
        "answered",
        "Answering less, and better",
        "With --min-confidence the model says “unsure” below a probability. From left to right it answers ever fewer "
        "faces; the accuracy among those answered should rise. The dot is --min-confidence 0.8.",
        "Accuracy against the share of faces answered, one line for each attribute.",
        _png(figure),
    )


def _groups(by: str, part: pd.DataFrame, measures: list[str]) -> FigureFile:
    figure = empty_figure(2.2 + 2.9 * len(measures), 1.2 + 0.3 * len(part))
    panes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    rows = np.arange(len(part))
    for pane, measure, colour in zip(panes, measures, COLOURS, strict=False):
        value = part[measure].to_numpy()
        ends = np.stack([value - part[f"{measure}_low"], part[f"{measure}_high"] - value])
        pane.errorbar(value, rows, xerr=np.maximum(ends, 0), fmt="o", color=colour, capsize=2, markersize=4)
        pane.set_xlim(0, 1.02)
        pane.set_title(measure.replace("_", " "), fontsize=10)
        plain(pane)
    labels = [f"{g} ({n:,})" for g, n in zip(part["group"], part["faces"], strict=True)]
    panes[0].set_yticks(rows, labels, fontsize=9)
    panes[0].invert_yaxis()
    return FigureFile(
        f"groups-{by.replace(' ', '')}",
        "groups",
        f"Accuracy by {by}",
        "One row per group with its number of faces; the bar is the 95 % interval. Groups whose bars do not overlap "
        "are read with different accuracy. Small groups are left out here, and are in the table.",
        f"Accuracy per group of {by} with intervals.",
        _png(figure),
    )


def _minors(found: Minors, by: str) -> FigureFile:
    what = "" if by == "everyone" else f" by {by}"
    return FigureFile(
        f"minors-{plain_name(by)}",
        "minors",
        f"Missed, and taken along{what}",
        f"Left: the share of the faces under {found.age:g} that a threshold misses. Right: the share of all older "
        "faces that it takes along. A group whose line lies higher on the left is filtered out less well by the same "
        f"threshold. Groups with fewer than {SMALL_GROUP} faces on either side are left out.",
        f"Faces under {found.age:g} missed and older faces taken along, against the threshold{what}.",
        minors_figures.draw(found, by),
    )


def _map(name: str, classes: list[str], places: np.ndarray, labels: np.ndarray) -> FigureFile:
    figure = empty_figure(7, 6)
    axes = figure.subplots()
    for k, label in enumerate(classes):
        here = labels == k
        if here.any():
            axes.scatter(*places[here].T, s=9, color=COLOURS[k % len(COLOURS)], label=label, alpha=0.75, linewidths=0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(frameon=False, markerscale=2.5, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return FigureFile(
        f"map-{name}",
        "map",
        f"Map of the features by {name}",
        f"Every dot is a face, near those that the model sees alike (t-SNE); its colour is the label of {name}. Clean "
        "islands of one colour are easy for the model, mixed regions are where it errs. Distances between islands mean "
        "nothing.",
        f"t-SNE of the attribute features, coloured by {name}.",
        _png(figure),
    )


def _thumbnails(found: Any) -> FigureFile:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure = empty_figure(8.5, 7.5)
    axes = figure.subplots()
    places = found.places
    axes.scatter(*places.T, s=4, color=COLOURS[7], alpha=0.4, linewidths=0)
    for i in spread_out(places, THUMBNAILS):
        crop = found.crops[i]
        image = OffsetImage(crop, zoom=34 / crop.shape[0])
        axes.add_artist(AnnotationBbox(image, places[i], frameon=False))
    axes.set_xticks([])
    axes.set_yticks([])
    return FigureFile(
        "map-faces",
        "map",
        "Map of the features, with faces",
        "The same map with some of its faces in their places: neighbours should look alike in what the model reads.",
        "t-SNE of the attribute features with thumbnails of faces.",
        _png(figure),
    )


def spread_out(places: np.ndarray, count: int) -> list[int]:
    """Rows of `places` (M, 2) far from each other: each next one is the farthest from those taken."""
    taken = [int(np.argmin(np.square(places - places.mean(axis=0)).sum(axis=1)))]
    nearest = np.full(len(places), np.inf)
    while len(taken) < min(count, len(places)):
        nearest = np.minimum(nearest, np.square(places - places[taken[-1]]).sum(axis=1))
        taken.append(int(nearest.argmax()))
    return taken
