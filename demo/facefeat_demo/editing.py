"""What the tab Edit asks of a model: a face moved along the directions of its latents. No Gradio here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from facefeat import InputError, PresetError
from facefeat.image.video import contact_sheet, enlarge, with_text_below
from facefeat.latent.goals import Goal, value_of
from facefeat.latent.portraits import Portraits
from facefeat.latent.traverse import LIMIT, goal_shifts
from facefeat.plugins.kinds import captions

if TYPE_CHECKING:
    from facefeat import FaceBatch, FaceFeatureModel
    from facefeat.types import FloatArray, UInt8Array

DIRECTIONS = 6
"""How many of the first principal components have a slider."""
CHANGED = "The model was changed; reload this page and choose the photo again."
_GRID_FACE = 160
_GRID_SIDE = 5
_STAMPS: WeakKeyDictionary[FaceFeatureModel, str] = WeakKeyDictionary()


@dataclass(frozen=True)
class Control:
    """How one attribute is moved. kind: "steps" for an ordered one, "between" two classes, "towards" one of several.

    classes: those that the directions know; none for an ordered one. low, high, step: of its slider: years or classes
    for "steps", else standard deviations; of "between" the first class is below 0, the second above.
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
    predictions: of the face. of: the stamp of the model whose latent it is.
    """

    face: Portraits = field(repr=False)
    predictions: FaceBatch = field(repr=False)
    of: str

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


def stamp(model: FaceFeatureModel) -> str:
    """Identifies a loaded model without keeping it in memory."""
    return _STAMPS.setdefault(model, secrets.token_hex(8))


def check(model: FaceFeatureModel, start: Start) -> None:
    """Raises InputError, with a sentence for the page, where the face was begun with another model."""
    if start.of != stamp(model):
        raise InputError(CHANGED)


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
    face = Portraits.of(model, crop[None], None if large is None else large[None])
    return Start(face, model.predict_faces(face.crops), stamp(model))


def synthetic(model: FaceFeatureModel, seed: int) -> Start:
    """Start from a synthetic face, another one for each seed. Raises PresetError without decoder or directions."""
    made = model.compose(count=2, seed=seed)  # the first is the mean of all
    crops = made.crops[1:]
    face = Portraits(crops, crops, made.latents[1:], crops, residual=False)
    return Start(face, model.predict_faces(crops), stamp(model))


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
    return Changed(edited.pictures[0], edited.predictions, edited.sentence(0))


def moved(model: FaceFeatureModel, start: Start, requests: Sequence[Request]) -> FloatArray:
    """A face's latent -> (N, L) float32, one for each of N requests. Raises InputError for what cannot be moved alone.

    An attribute goes as far as the means of its classes and its linear probe say, and no farther than editing would:
    LIMIT standard deviations.
    """
    directions = model.directions
    out = np.tile(np.asarray(start.face.latents[0], "float64"), (len(requests), 1))
    for z, request in zip(out, requests, strict=True):
        goals = [_goal(model, start, name, *one) for name, one in request.attributes.items()]
        shifts, lengths = goal_shifts(directions, goals, 1, "means")
        for (label, amount), shift, length in zip(request.attributes.values(), shifts[0], lengths[0], strict=True):
            far = amount if label else amount * length
            z[: directions.feature_dim] += np.clip(far, -LIMIT, LIMIT) / length * shift
        along = np.asarray(request.along[: len(directions.components)], "float64")
        z += along @ directions.components[: len(along)]
    return out.astype("float32")


def _goal(model: FaceFeatureModel, start: Start, name: str, label: str, amount: float) -> Goal:
    attribute = model.schema[name]
    if label:
        return Goal(attribute, np.zeros(1), label, origin=np.asarray(start.predictions.labels[name]))
    now = value_of(attribute, start.predictions)
    return Goal(attribute, now + amount, origin=now)


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
    """What a grid asks for along one of its sides."""
    far = 0.75 * LIMIT
    if control.kind == "towards":
        return [(label, far) for label in control.classes]
    ends = 0.6 * control.high if control.kind == "steps" else far
    count = _GRID_SIDE if control.kind == "steps" else 3
    return [requested(control, float(v)) for v in np.linspace(-ends, ends, count)]


def _with(request: Request, changes: Mapping[str, tuple[str, float] | None]) -> Request:
    kept = {k: v for k, v in request.attributes.items() if k not in changes}
    return replace(request, attributes=kept | {k: v for k, v in changes.items() if v is not None})
