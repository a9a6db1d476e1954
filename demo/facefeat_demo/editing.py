"""What the tab Edit asks of a model: a face moved along the directions of its latents. No Gradio here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from facefeat import InputError, PresetError
from facefeat.image.video import contact_sheet, enlarge, with_text_below
from facefeat.latent.goals import Goal
from facefeat.latent.paths import AttributePath, attribute_path
from facefeat.latent.portraits import Portraits
from facefeat.latent.strip import AGES, AgeStrip, years_attribute
from facefeat.latent.traverse import LIMIT, goal_shifts
from facefeat.plugins.kinds import captions

if TYPE_CHECKING:
    from facefeat import FaceBatch, FaceFeatureModel
    from facefeat.types import FloatArray, UInt8Array

DIRECTIONS = 6
"""How many of the first principal components have a slider."""
SENSITIVE = ("race",)
"""Attributes that are edited on synthetic faces only."""
CHANGED = "The model was changed; reload this page and choose the photo again."
_GRID_FACE = 160
_GRID_SIDE = 5
_STAMPS: WeakKeyDictionary[FaceFeatureModel, str] = WeakKeyDictionary()

_BEGUN: WeakValueDictionary[str, Start] = WeakValueDictionary()
"""The faces that are being edited, each as long as the session of its visitor holds it."""


@dataclass(frozen=True)
class Control:
    """How one attribute is moved. kind: "steps" for an ordered one, "between" two classes, "towards" one of several.

    classes: those that the directions know; none for an ordered one. low, high, step: of its slider: years or classes
    for "steps", log-odds for "between", where the first class is below 0 and the second above, else standard
    deviations.
    """

    name: str
    kind: str
    classes: tuple[str, ...] = ()
    low: float = -LIMIT
    high: float = LIMIT
    step: float = 0.1
    unit: str = ""


@dataclass(frozen=True)
class Request:
    """What the sliders say. attributes: name -> ("", years or classes) or (class, standard deviations).

    along: standard deviations along each of the first principal components.
    """

    attributes: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    along: tuple[float, ...] = ()

    def only_along(self) -> Request:
        """Without the attributes."""
        return Request({}, self.along)


@dataclass(frozen=True)
class Start:
    """A face to edit.

    face: it alone; its residual is restored where it is from a photo, and not where it is synthetic.
    predictions: of the face. of: the stamp of the model whose latent it is. paths: of the attributes that have an order
    or two classes, by name: where the face can be moved, and how far. key: a secret, by which the page of the visitor
    whose face it is asks for it again.
    """

    face: Portraits = field(repr=False)
    predictions: FaceBatch = field(repr=False)
    of: str
    paths: Mapping[str, AttributePath] = field(default_factory=dict, repr=False)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)

    def __post_init__(self) -> None:
        _BEGUN[self.key] = self

    @property
    def real(self) -> bool:
        """Whether it comes from a photo."""
        return self.face.residual

    def restore(self, decoded: UInt8Array, *, large: bool = False) -> UInt8Array:
        """(N, S, S, 3), decoded from this face, edited -> as the model sees them, or as they are shown."""
        return self.face.restore(decoded, np.zeros(len(decoded), int), large=large)


@dataclass(frozen=True)
class Changed:
    """A face that was changed, (T, T, 3), what the model predicts, and a sentence where there is one to say."""

    picture: UInt8Array = field(repr=False)
    predictions: FaceBatch = field(repr=False)
    sentence: str = ""


@dataclass(frozen=True)
class Film:
    """A face at every point of its path through the years, K of them; what its slider shows without asking again.

    strip: of those, the ones nearest to 10, 20, ... 80. pictures: (K, T, T, 3). predictions: what is read from each.
    """

    strip: AgeStrip
    pictures: UInt8Array = field(repr=False)
    predictions: FaceBatch = field(repr=False)


def stamp(model: FaceFeatureModel) -> str:
    """Identifies a loaded model without keeping it in memory."""
    return _STAMPS.setdefault(model, secrets.token_hex(8))


def check(model: FaceFeatureModel, start: Start) -> None:
    """Raises InputError, with a sentence for the page, where the face was begun with another model."""
    if start.of != stamp(model):
        raise InputError(CHANGED)


def begun(key: Any) -> Start:
    """The face of a key. Raises InputError, with a sentence for the page, where there is none, or no longer."""
    start = _BEGUN.get(key) if isinstance(key, str) else None
    if start is None:
        raise InputError("This face is no longer here. Choose the photo again.")
    return start


def lacks(model: FaceFeatureModel) -> str:
    """What the model needs before it can edit: "decoder", "directions", or nothing."""
    if not model.has_decoder:
        return "decoder"
    try:
        _ = model.directions
    except PresetError:
        return "directions"
    return ""


def controls(model: FaceFeatureModel) -> list[Control]:
    """A control for each attribute that the directions of the model can move."""
    out = []
    for name, attribute in model.schema.attributes.items():
        known = tuple(c for a, c in model.directions.probes if a == name)
        if not known:
            continue
        axis = attribute.axis
        if axis is not None:
            # A long scale, such as an age, goes 50 either way, in whole steps.
            long = axis.near >= 1
            most = min(50.0, axis.high - axis.low) if long else axis.high - axis.low
            out.append(Control(name, "steps", (), -most, most, 1 if long else 0.1, axis.unit))
        elif len(known) == 2:
            out.append(Control(name, "between", known))
        else:
            out.append(Control(name, "towards", known, 0))
    return out


def ranged(model: FaceFeatureModel, start: Start) -> list[Control]:
    """The controls for one face: each slider ends where what is read stops following it.

    None toward a race where the face is a real person's: such pictures are easily used to mock or mislead.
    """
    out = []
    for control in controls(model):
        path = start.paths.get(control.name)
        if path is not None:
            whole = np.trunc if control.step >= 1 else np.asarray
            low, high = (round(float(whole(end - path.origin)), 1) for end in (path.low, path.high))
            control = replace(control, low=low, high=high)
        if not (start.real and control.name in SENSITIVE):
            out.append(control)
    return out


def requested(control: Control, amount: float | None, label: str | None = None) -> tuple[str, float] | None:
    """What a slider (and for "towards" a chosen class) asks for; None for nothing."""
    amount = min(max(float(amount or 0), control.low), control.high)
    if not amount or (control.kind == "towards" and label not in control.classes):
        return None
    if control.kind == "towards":
        return str(label), amount
    if control.kind == "between":
        return control.classes[amount > 0], abs(amount)
    return "", amount


def begin(model: FaceFeatureModel, crop: UInt8Array, large: UInt8Array | None = None) -> Start:
    """Start from a crop of a photo. large: the same, cut for showing. Raises PresetError without a decoder."""
    return with_paths(model, first(model, crop, large))


def first(model: FaceFeatureModel, crop: UInt8Array, large: UInt8Array | None = None) -> Start:
    """As `begin`, without the paths, which take a hundred times as long."""
    return _started(model, Portraits.of(model, crop[None], None if large is None else large[None]))


def _started(model: FaceFeatureModel, face: Portraits) -> Start:
    return Start(face, model.predict_faces(face.crops), stamp(model))


def with_paths(model: FaceFeatureModel, start: Start) -> Start:
    """The same face, by the same key, with where it can be moved. Raises InputError for one of another model."""
    check(model, start)
    return replace(start, paths=_paths(model, start, _with_path(model)))


def has_paths(model: FaceFeatureModel, start: Start, request: Request) -> bool:
    """Whether it is known where the face can be moved, for all attributes of a request that have a path."""
    return all(name in start.paths for name in _with_path(model) if name in request.attributes)


def _paths(model: FaceFeatureModel, start: Start, names: Sequence[str]) -> dict[str, AttributePath]:
    return {n: start.paths.get(n) or attribute_path(model, start.face, n)[0] for n in names}


def _with_path(model: FaceFeatureModel) -> list[str]:
    return [] if lacks(model) else [c.name for c in controls(model) if c.kind != "towards"]


def synthetic(model: FaceFeatureModel, seed: int) -> Start:
    """Start from a synthetic face, another one for each seed; without paths, as `first`.

    Raises PresetError without decoder or directions.
    """
    made = model.compose(seed=seed)
    return _started(model, Portraits(made.crops, made.crops, made.latents, made.crops, residual=False))


def film(model: FaceFeatureModel, start: Start) -> Film | None:
    """The face at every point of its path through the years; None for a model without years."""
    try:
        name = years_attribute(model.schema)
    except InputError:
        return None
    path = start.paths.get(name)
    if path is None:
        return None
    decoded = model.decode(path.latents)
    pictures, predictions = start.restore(decoded, large=True), model.predict_faces(start.restore(decoded))
    at = np.abs(path.values[:, None] - np.asarray(AGES)).argmin(0)
    return Film(AgeStrip(AGES, pictures[at], predictions.take(at), path), pictures, predictions)


def move(model: FaceFeatureModel, start: Start, request: Request) -> Changed:
    """The face as the sliders say: one decoding, one prediction. Raises InputError for what cannot be moved alone."""
    check(model, start)
    decoded = model.decode(moved(model, start, [request]))
    return Changed(start.restore(decoded, large=True)[0], model.predict_faces(start.restore(decoded)))


def edit(model: FaceFeatureModel, start: Start, request: Request) -> Changed:
    """The face edited until the model predicts what the sliders ask. Raises InputError where they ask for nothing."""
    check(model, start)
    changes: dict[str, Any] = {name: label or amount for name, (label, amount) in request.attributes.items()}
    if not changes:
        raise InputError("Move a slider first: then the model can be asked whether it predicts that.")
    crops, large = start.face.crops, start.face.large
    if any(request.along):
        decoded = model.decode(moved(model, start, [request.only_along()]))
        crops, large = start.restore(decoded), start.restore(decoded, large=True)
    edited = model.edit(crops, changes, large, residual=start.real)
    return Changed(edited.pictures[0], edited.predictions, edited.sentence(0, steps=False))


def moved(model: FaceFeatureModel, start: Start, requests: Sequence[Request]) -> FloatArray:
    """A face's latent -> (N, L) float32, one for each of N requests. Raises InputError for what cannot be moved alone.

    An attribute with a path goes along it; another one as far as the means of its classes say, and no farther than
    editing would: LIMIT standard deviations.
    """
    directions = model.directions
    first = np.asarray(start.face.latents[0], "float64")
    out = np.tile(first, (len(requests), 1))
    asked = {name for request in requests for name in request.attributes}
    paths = _paths(model, start, [n for n in _with_path(model) if n in asked])
    for z, request in zip(out, requests, strict=True):
        for name, (label, amount) in request.attributes.items():
            path = paths.get(name)
            if path is not None:
                signed = -amount if label and label == model.schema[name].groups[0] else amount
                z += path.at(path.origin + signed)[0] - first
                continue
            goal = Goal(model.schema[name], np.zeros(1), label, origin=np.asarray(start.predictions.labels[name]))
            shifts, lengths = goal_shifts(directions, [goal], 1, "means")
            z[: directions.feature_dim] += np.clip(amount, -LIMIT, LIMIT) / lengths[0, 0] * shifts[0, 0]
        along = np.asarray(request.along[: len(directions.components)], "float64")
        z += along @ directions.components[: len(along)]
    return out.astype("float32")


def grid(model: FaceFeatureModel, start: Start, request: Request, across: Control, down: Control) -> UInt8Array:
    """(H, W, 3) uint8: faces by two attributes, on top of what the sliders say, with the predictions under each.

    Raises InputError where both are the same.
    """
    check(model, start)
    if across.name == down.name:
        raise InputError("Choose two different attributes for the grid.")
    columns = stops(across)
    cells = [_with(request, {down.name: v, across.name: h}) for v in stops(down) for h in columns]
    decoded = model.decode(moved(model, start, cells))
    predictions = model.predict_faces(start.restore(decoded))
    texts = ["\n".join(captions(predictions.row(i))) for i in range(len(cells))]
    shown = start.restore(decoded, large=True)
    return contact_sheet(with_text_below(enlarge(shown, _GRID_FACE), texts), columns=len(columns))


def stops(control: Control) -> list[tuple[str, float] | None]:
    """What a grid asks for along one of its sides: between the ends of a slider, and nothing among that."""
    if control.kind == "towards":
        return [(label, 0.75 * LIMIT) for label in control.classes]
    half = (_GRID_SIDE if control.kind == "steps" else 3) // 2
    down, up = np.linspace(control.low, 0, half + 1), np.linspace(0, control.high, half + 1)
    return [requested(control, float(v)) for v in [*down, *up[1:]]]


def _with(request: Request, changes: Mapping[str, tuple[str, float] | None]) -> Request:
    kept = {k: v for k, v in request.attributes.items() if k not in changes}
    return replace(request, attributes=kept | {k: v for k, v in changes.items() if v is not None})
