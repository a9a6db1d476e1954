"""The map of the tab Explore: where faces lie among the latents of a model, and which are near. No Gradio here."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat import DataError, FacefeatError, InputError
from facefeat.data.samples import read_rows, sample_rows
from facefeat.plugins.registry import get_registry
from facefeat.utils.neighbors import nearest
from facefeat.utils.text import with_unit
from facefeat_demo.editing import lacks

if TYPE_CHECKING:
    from facefeat import FaceFeatureModel
    from facefeat.data import FaceDataset
    from facefeat.types import FloatArray, UInt8Array

SEARCHED, SHOWN = 2000, 500
"""Faces of a data set, drawn at random: how many are searched for near ones, and how many of them are on the map."""
PROJECTIONS = {
    "pca": "Straight: the two directions in which faces differ most",
    "tsne": "Grouped: near ones stay near",
    "umap": "Grouped by UMAP: near ones stay near, and groups keep their places",
}
"""How a map can be drawn; all but the first by the analyzer of that name, where it is installed."""
_TOO_FEW = 4  # for a t-SNE
_FEW_CLASSES = 2


@dataclass(frozen=True)
class Point:
    """One point of the map. labels: attribute -> class, "" where unknown; of a class mean the one attribute."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Portrait:
    """A face that may be shown, on the map of class means. crop: (S, S, 3) uint8."""

    name: str
    crop: UInt8Array = field(repr=False)


@dataclass(frozen=True)
class Atlas:
    """What there is to look at: faces of a data set with their crops (N, S, S, 3), or the mean latent of each class.

    latents: (N, L) float32. scale: (L,), what a coordinate is divided by before distances are taken.
    classes: attribute -> its classes, of all attributes. pictures: of a map of class means, the points that are faces,
    each with its (S, S, 3) crop. source: the name of the data set. stamp: identifies it.
    """

    points: tuple[Point, ...]
    latents: FloatArray = field(repr=False)
    scale: FloatArray = field(repr=False)
    classes: Mapping[str, tuple[str, ...]]
    crops: UInt8Array | None = field(default=None, repr=False)
    source: str = ""
    pictures: Mapping[int, UInt8Array] = field(default_factory=dict, repr=False)
    stamp: str = field(default_factory=lambda: secrets.token_hex(8), compare=False)
    _places: dict[str, FloatArray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shown(self) -> int:
        """How many points are on the map: the first."""
        return min(len(self.points), SHOWN)

    @property
    def projections(self) -> tuple[str, ...]:
        """How the map can be drawn: names in PROJECTIONS. A t-SNE of a few means would show chance alone."""
        several = self.crops is not None and self.shown >= _TOO_FEW
        return tuple(w for w in PROJECTIONS if w == "pca" or (several and _can(w)))

    def places(self, projection: str) -> FloatArray:
        """(shown, 2) float32 in 0..1, x to the right and y down; reckoned once. Raises FacefeatError."""
        if projection not in self._places:
            z = (self.latents[: self.shown] / self.scale).astype("float64")
            found = self._plane(z) if projection == "pca" else _by_analyzer(projection, z)
            low, high = found.min(axis=0), found.max(axis=0)
            self._places[projection] = ((found - low) / np.maximum(high - low, 1e-9)).astype("float32")
        return self._places[projection]

    def _plane(self, z: np.ndarray) -> np.ndarray:
        """(N, L) scaled latents -> (N, 2): the plane of the class means where there are such, else of all points."""
        own = self.latents[: self.shown] / self.scale
        means = [i for i in range(len(own)) if i not in self.pictures]
        return _pca(own[means].astype("float64"), z)

    def place(self, latent: FloatArray, projection: str) -> tuple[float, float]:
        """Where a face of a visitor, (L,), lies on the map; where it is not straight, next to the nearest point."""
        places = self.places(projection)
        if projection != "pca":
            near = [i for i in self.nearest(latent, len(self.points)) if i < self.shown]
            x, y = places[near[0]]
        else:
            own = self._plane((self.latents[: self.shown] / self.scale).astype("float64"))
            low, high = own.min(axis=0), own.max(axis=0)
            (here,) = self._plane((latent / self.scale).astype("float64")[None])
            x, y = np.clip((here - low) / np.maximum(high - low, 1e-9), 0, 1)
        return float(x), float(y)

    def axes(self) -> tuple[str, str]:
        """What the two directions of a straight map of class means carry: the attribute that varies most along each.

        Such as "age, from 3-9 to more than 70"; empty where the points are faces of a data set.
        """
        if self.crops is not None:
            return "", ""
        places, out = self.places("pca"), []
        for axis in (0, 1):
            best, most = "", -1.0
            for name in self.classes:
                own = [i for i, p in enumerate(self.points) if name in p.labels and i not in self.pictures]
                if len(own) < _FEW_CLASSES:
                    continue
                at = places[own, axis]
                if float(at.max() - at.min()) > most:
                    most = float(at.max() - at.min())
                    ends = (self.points[own[int(f(at))]].name for f in (np.argmin, np.argmax))
                    best = f"{name}, from {' to '.join(ends)}"
            out.append(best)
        return out[0], out[1]

    def nearest(self, latent: FloatArray, k: int = 5) -> list[int]:
        """The k points that are nearest to a latent (L,), nearest first."""
        query = (latent / self.scale)[None]
        near, _ = nearest(self.latents / self.scale, min(k, len(self.points)), queries=query)
        return [int(i) for i in near[0]]


def _pca(z: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(M, L) -> (M, 2): `shown` in the plane in which z (N, L) varies most."""
    middle = z.mean(axis=0)
    axes = np.linalg.svd(z - middle, full_matrices=False)[2][:2]
    # The sign of a component is arbitrary; so its largest entry is made positive.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    out = np.zeros((len(shown), 2))
    out[:, : len(axes)] = (shown - middle) @ axes.T
    return out


def _can(projection: str) -> bool:
    """Whether the analyzer is there, with all that it needs."""
    try:
        needs = get_registry().get("analyzer", projection).component.requires
    except FacefeatError:
        return False
    return all(importlib.util.find_spec(module.partition(".")[0]) is not None for module in needs)


def _by_analyzer(projection: str, z: np.ndarray) -> np.ndarray:
    """(N, 2): x and y of each row in the table that an analyzer makes. Raises FacefeatError."""
    config = {"limit": len(z)} if projection == "tsne" else {}
    try:
        table = get_registry().build("analyzer", projection, **config).analyze(z.astype("float32"), {}).table
        places = np.asarray(table[["x", "y"]], "float64")
    except FacefeatError:
        raise
    except Exception as e:  # a plugin's code
        raise InputError(f"The analyzer {projection!r} failed: {type(e).__name__}: {e}") from e
    if places.shape != (len(z), 2) or not np.isfinite(places).all():
        raise InputError(f"The analyzer {projection!r} gave no place to some of the faces.")
    return places


def atlas_of(
    model: FaceFeatureModel, dataset: FaceDataset | None, say: Callable[[str], Any] = lambda line: None
) -> Atlas | None:
    """The faces of a data set; without one, the class means of the model's directions; None where it has none.

    say: called with a message before slow steps. Raises DataError for a data set of another schema, or without
    readable pictures.
    """
    lack = lacks(model)
    if dataset is not None:
        return _faces(model, dataset, None if lack else model.directions.spread, say)
    if lack:
        return None
    directions = model.directions
    points = tuple(Point(label, {name: label}) for name, label in directions.groups)
    classes = {n: a.groups for n, a in model.schema.attributes.items()}
    return Atlas(points, np.asarray(directions.group_means), _floor(directions.spread), classes)


def with_portraits(atlas: Atlas, model: FaceFeatureModel, portraits: Sequence[Portrait]) -> Atlas:
    """A map of class means with real faces on it, the last of its points."""
    if atlas.crops is not None or not portraits:
        return atlas
    latents = model.encode(np.stack([p.crop for p in portraits]))
    first = len(atlas.points)
    return replace(
        atlas,
        points=(*atlas.points, *(Point(p.name, {}) for p in portraits)),
        latents=np.concatenate([atlas.latents, latents]),
        pictures={first + i: p.crop for i, p in enumerate(portraits)},
        _places={},
    )


def _faces(
    model: FaceFeatureModel, dataset: FaceDataset, spread: FloatArray | None, say: Callable[[str], Any]
) -> Atlas:
    dataset.check_schema(model.schema)
    rows = sample_rows(np.arange(len(dataset)), SEARCHED, 0)
    say(f"Reading {len(rows):,} of the {len(dataset):,} faces of {dataset.name} ...")
    read = read_rows(dataset, rows, model.image_size)  # these alone: a data set may have a million
    if not read:
        raise DataError(f"none of {len(rows):,} pictures drawn from data set {dataset.name!r} can be read")
    few = dataset.take(list(read))
    crops = np.stack(list(read.values()))
    latents = model.encode(crops)
    attributes, positions, numbers = few.schema.attributes, few.labels(), few.numbers()
    points = []
    for i in range(len(few)):
        labels = {n: (*a.groups, "")[positions[n][i]] for n, a in attributes.items()}  # -1, unknown, is the last
        said = [
            with_unit(f"{numbers[n][i]:.0f}", a.axis.unit)
            if a.axis is not None and np.isfinite(numbers[n][i])
            else labels[n]
            for n, a in attributes.items()
            if labels[n]
        ]
        points.append(Point(", ".join(said) or "without a label", labels))
    scale = latents.std(axis=0) if spread is None else spread
    classes = {n: a.groups for n, a in model.schema.attributes.items()}
    return Atlas(tuple(points), latents, _floor(scale), classes, crops, dataset.name)


def _floor(scale: np.ndarray) -> FloatArray:
    # A coordinate that hardly varies would else count for all.
    return np.maximum(np.asarray(scale, "float32"), np.float32(1e-6))


def apart(places: FloatArray, widths: FloatArray, high: float, rounds: int = 400) -> FloatArray:
    """(N, 2) places in 0..1 moved so that labels of (N,) widths, centred on them, overlap as little as may be."""
    # In Python's own numbers: arrays of two take ten times as long, and the map is drawn for every point of a visitor.
    at = np.asarray(places, "float64").tolist()
    wide = np.asarray(widths, "float64").tolist()
    for _ in range(rounds):
        moved = False
        for i, one in enumerate(at):
            for j, other in enumerate(at[:i]):
                size = (wide[i] + wide[j]) / 2, high
                gap = one[0] - other[0], one[1] - other[1]
                over = size[0] - abs(gap[0]), size[1] - abs(gap[1])
                if min(over) <= 1e-9:
                    continue
                axis = int(over[1] / size[1] < over[0] / size[0])  # the one along which less is to do
                push = over[axis] / 2 * (1 if gap[axis] >= 0 else -1)
                one[axis] += push
                other[axis] -= push
                moved = True
        at = [[min(1.0, max(0.0, v)) for v in place] for place in at]
        if not moved:
            break
    return np.asarray(at, "float32").reshape(-1, 2)
