"""What the analyzers share: latents that were looked at, labels in their natural order, maps, figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.utils.plotting import class_colours, empty_figure
from facefeat.utils.statistics import folds

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceSet

    # What every `analyze` takes in addition to the latents.
    Labels = Mapping[str, Any]
    Model = FaceFeatureModel | None
    Faces = FaceSet | None

FOLDS = 5


@dataclass(frozen=True)
class Labelling:
    """One attribute's labels. classes: K names in their natural order, of those that occur.

    index: (N,) positions in `classes`, -1 where unknown. ordered: whether their order means something.
    values: (N,) float64 for an ordered one: years where there are any, else the position; NaN where unknown.
    unit: what `values` are in: "years", "degrees", or "classes".
    """

    name: str
    classes: tuple[str, ...]
    index: np.ndarray
    ordered: bool
    values: np.ndarray
    unit: str

    @property
    def known(self) -> np.ndarray:
        """(N,) bool: which rows are labelled."""
        known: np.ndarray = self.index >= 0
        return known


def check_latents(what: str, latents: Any, labels: Mapping[str, Any], least: int) -> np.ndarray:
    """The latents (N, D) as float64, where they are finite, `least` or more, and as many as the labels.

    Raises InputError.
    """
    z = np.asarray(latents, "float64")
    if z.ndim != 2:
        raise InputError(f"analyzer {what!r}: latents must be (N, D). Received: an array of shape {z.shape}.")
    if len(z) < least:
        raise InputError(f"analyzer {what!r} needs {least} latents or more. Received: {len(z)}.")
    if not np.isfinite(z).all():
        raise InputError(f"analyzer {what!r}: latents must be finite. Received: NaN or infinity.")
    for name, values in labels.items():
        if len(values) != len(z):
            raise InputError(f"analyzer {what!r}: {len(z)} latents, but {len(values)} labels of {name!r}.")
    return z


def read_labels(
    labels: Mapping[str, Any], model: FaceFeatureModel | None = None, faces: FaceSet | None = None
) -> dict[str, Labelling]:
    """Each attribute's labels: in the order and years of the model's schema where it has the attribute.

    labels: attribute -> (N,) names of classes ("" where unknown), or numbers (-1 where unknown).
    Without a model, classes are in the order of the numbers in their names, and an attribute whose classes all start
    with a number is an ordered one.
    """
    attributes = {} if model is None else model.schema.attributes
    return {name: _read_one(name, np.asarray(v), attributes.get(name), faces) for name, v in labels.items()}


def _read_one(name: str, given: np.ndarray, attribute: Any, faces: FaceSet | None) -> Labelling:
    names = given.astype(str)
    if given.dtype.kind in "iu":
        known = given >= 0
        if attribute is not None and known.any() and given.max() < len(attribute.groups):
            names = np.asarray((*attribute.groups, ""))[np.where(known, given, -1)]
        else:
            names = np.where(known, names, "")
    found = [c for c in np.unique(names) if c]
    if attribute is not None and set(found) <= set(attribute.groups):
        classes, ordered = [c for c in attribute.groups if c in found], attribute.axis is not None
    else:
        classes, attribute = sorted(found, key=_natural), None
        ordered = len(classes) > 2 and all(c[0].isdigit() for c in classes) and given.dtype.kind not in "iu"
    place = {c: i for i, c in enumerate(classes)}
    index = np.array([place.get(str(n), -1) for n in names], int).reshape(len(names))
    values, unit = np.where(index >= 0, index, np.nan).astype("float64"), "classes"
    axis = None if attribute is None else attribute.axis
    if axis is not None and axis.unit != unit and classes:
        middle = np.asarray([axis.positions[attribute.groups.index(c)] for c in classes], "float64")
        values, unit = np.where(index >= 0, middle[index], np.nan), axis.unit
        if faces is not None and name in faces.numbers:
            values = np.where(np.isfinite(faces.numbers[name]), faces.numbers[name], values)
    return Labelling(name, tuple(str(c) for c in classes), index, ordered, values, unit)


def _natural(name: str) -> tuple[float, str]:
    number = re.search(r"\d+", name)
    # "more than 70" comes after "60-69": by its number, and names without one last, by letter.
    return (float(number.group()) if number else float("inf"), name)


def folds_of(label: Labelling, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(train, test) row numbers of each of FOLDS parts, each class spread evenly; rows without a label are left out."""
    rows = np.flatnonzero(label.known)
    return folds(rows, FOLDS, seed, label.index[rows])


def label_columns(labels: Mapping[str, Labelling]) -> dict[str, np.ndarray]:
    """Attribute -> (N,) names of classes, "" where unknown: columns of a table with a row for each latent."""
    return {n: np.asarray((*label.classes, ""), object)[label.index] for n, label in labels.items()}


def target_name(label: Labelling, k: int | None = None) -> str:
    """What is read of an attribute: "age", "gender" (the last of two classes), "race-White"."""
    return label.name if k is None or len(label.classes) == 2 else f"{label.name}-{_plain_name(label.classes[k])}"


def _plain_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def scatter(title: str, places: np.ndarray, label: Labelling, axes_names: tuple[str, str] = ("", "")) -> Any:
    """A figure of N points (N, 2), in a colour for each class; those without a label are left out."""
    figure = empty_figure(7, 5.6)
    axes = figure.subplots()
    colours = class_colours(len(label.classes), label.ordered)
    # All classes in one random order: drawn class by class, the last would hide the first.
    shown = np.flatnonzero(label.known)
    np.random.default_rng(0).shuffle(shown)
    axes.scatter(
        *places[shown].T, s=11, c=[colours[label.index[i]] for i in shown], alpha=0.75, linewidths=0, rasterized=True
    )
    for name, colour, n in zip(label.classes, colours, _counts(label), strict=True):
        axes.scatter([], [], s=28, color=[colour], label=f"{name} ({n:,})")
    axes.set_title(f"{title}, by {label.name}", loc="left")
    axes.set_xlabel(axes_names[0])
    axes.set_ylabel(axes_names[1])
    if not axes_names[0]:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        title=f"{label.name} (faces)", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small"
    )
    return figure


def _counts(label: Labelling) -> list[int]:
    return [int((label.index == k).sum()) for k in range(len(label.classes))]


def face_grid(title: str, rows: list[tuple[str, np.ndarray]], columns: list[str]) -> Any:
    """A figure of rows of crops. rows: (what is written on the left, (M, S, S, 3) uint8). columns: M headings."""
    wide = max(len(crops) for _, crops in rows)
    figure = empty_figure(1.9 + 0.82 * wide, 0.7 + 0.86 * len(rows))
    grid = figure.subplots(len(rows), wide, squeeze=False)
    for line, (text, crops) in zip(grid, rows, strict=True):
        for i, axes in enumerate(line):
            axes.axis("off")
            if i < len(crops):
                axes.imshow(crops[i])
        line[0].text(-0.12, 0.5, text, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    for axes, heading in zip(grid[0], columns, strict=False):
        axes.set_title(heading, fontsize=8)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure
