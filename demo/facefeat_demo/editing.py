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
from facefeat.latent.residual import Residual
from facefeat.latent.traverse import LIMIT, Goal, value_of, ways_of

if TYPE_CHECKING:
    from facefeat import FaceBatch, FaceFeatureModel
    from facefeat.types import FloatArray, UInt8Array

DIRECTIONS = 6
"""How many of the first principal components have a slider."""
YEARS = 50
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


@dataclass(frozen=True)
class Wishes:
    """What the sliders say. attributes: name -> ("", years or classes) or (class, standard deviations).

    along: standard deviations along each of the first principal components.
    """

    attributes: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    along: tuple[float, ...] = ()

    def only_along(self) -> Wishes:
        """Without the attributes."""
        return Wishes({}, self.along)


@dataclass(frozen=True)
class Start:
    """A face to edit. crop: (S, S, 3) uint8; kept: (S, S, 3), its reconstruction. latent: (L,). read: of the crop.

    of: the stamp of the model whose latent it is. large: (T, T, 3), the crop as it is shown; None for a face of nobody.
    """

    crop: UInt8Array = field(repr=False)
    kept: UInt8Array = field(repr=False)
    latent: FloatArray = field(repr=False)
    read: FaceBatch = field(repr=False)
    of: str
    large: UInt8Array | None = field(default=None, repr=False)

    @property
    def real(self) -> bool:
        """Whether it comes from a photo."""
        return self.large is not None

    def draw(self, decoded: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
        """(N, S, S, 3) decoded of this face changed -> what is to be read, and what is to be shown, (N, T, T, 3) uint8.

        What decoding lost of a photo is put back, as `FaceFeatureModel.edit` does.
        """
        if self.large is None:
            return decoded, decoded
        many = Residual(self.crop[None], self.kept[None]).of(np.zeros(len(decoded), int))
        return many.put_back(decoded), many.put_back(decoded, np.stack([self.large] * len(decoded)))


@dataclass(frozen=True)
class Edited:
    """A face that was moved, (T, T, 3), what the model reads of it, and a sentence on it where there is one to say."""

    crop: UInt8Array = field(repr=False)
    read: FaceBatch = field(repr=False)
    says: str = ""


def stamp(model: FaceFeatureModel) -> str:
    """What tells a loaded model from every other, and does not keep it in memory."""
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
        known = tuple(c for a, c in model.directions.readouts if a == name)
        if not known:
            continue
        if attribute.years:
            out.append(Control(name, "steps", (), -YEARS, YEARS, 1))
        elif attribute.ordered:
            most = len(attribute.classes) - 1
            out.append(Control(name, "steps", (), -most, most, 0.1))
        elif len(known) == 2:
            out.append(Control(name, "between", known))
        else:
            out.append(Control(name, "towards", known, 0))
    return out


def wish(control: Control, amount: float | None, label: str | None = None) -> tuple[str, float] | None:
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
    latents = model.encode(crop[None])
    large = crop if large is None else large
    return Start(crop, model.decode(latents)[0], latents[0], model.predict_faces(crop[None]), stamp(model), large)


def nobody(model: FaceFeatureModel, seed: int) -> Start:
    """Start from a face of nobody, another one for each seed. Raises PresetError without decoder or directions."""
    made = model.compose(count=2, seed=seed)  # the first is the mean of all
    crop = made.crops[1]
    return Start(crop, crop, made.latents[1], model.predict_faces(crop[None]), stamp(model))


def move(model: FaceFeatureModel, start: Start, wishes: Wishes) -> Edited:
    """The face as the sliders say: one decoding, one reading. Raises InputError for what cannot be moved alone."""
    check(model, start)
    read, shown = start.draw(model.decode(moved(model, start, [wishes])))
    return Edited(shown[0], model.predict_faces(read))


def walk(model: FaceFeatureModel, start: Start, wishes: Wishes) -> Edited:
    """The face moved on until the model reads what the sliders ask. Raises InputError where they ask for nothing."""
    check(model, start)
    changes: dict[str, Any] = {name: label or amount for name, (label, amount) in wishes.attributes.items()}
    if not changes:
        raise InputError("Move a slider first: then the model can be asked whether it reads that.")
    crops, shown = start.crop[None], None if start.large is None else start.large[None]
    if any(wishes.along):
        crops, shown = start.draw(model.decode(moved(model, start, [wishes.only_along()])))
    edited = model.edit(crops, residual=start.real, **changes)
    drawn = edited.draw(0, model.decode(edited.latents), None if shown is None else shown[0])
    return Edited(drawn[0], edited.read["after"], edited.sentence(0))


def moved(model: FaceFeatureModel, start: Start, all_wishes: Sequence[Wishes]) -> FloatArray:
    """A face's latent -> (N, L) float32, one for each of N wishes. Raises InputError for what cannot be moved alone.

    An attribute goes as far as the means of its classes and its linear readout say, and no farther than editing would:
    LIMIT standard deviations.
    """
    directions = model.directions
    out = np.tile(np.asarray(start.latent, "float64"), (len(all_wishes), 1))
    for z, wishes in zip(out, all_wishes, strict=True):
        goals = [_goal(model, start, name, *wish) for name, wish in wishes.attributes.items()]
        shifts, lengths = ways_of(directions, goals, 1, "means")
        for (label, amount), shift, length in zip(wishes.attributes.values(), shifts[0], lengths[0], strict=True):
            far = amount if label else amount * length
            z[: directions.feature_dim] += np.clip(far, -LIMIT, LIMIT) / length * shift
        along = np.asarray(wishes.along[: len(directions.components)], "float64")
        z += along @ directions.components[: len(along)]
    return out.astype("float32")


def _goal(model: FaceFeatureModel, start: Start, name: str, label: str, amount: float) -> Goal:
    attribute = model.schema[name]
    if label:
        return Goal(attribute, np.zeros(1), label, origin=np.asarray(start.read.labels[name]))
    now = value_of(attribute, start.read)
    return Goal(attribute, now + amount, origin=now)


def grid(model: FaceFeatureModel, start: Start, wishes: Wishes, across: Control, down: Control) -> UInt8Array:
    """(H, W, 3) uint8: faces by two attributes, on top of what the sliders say, with what the model reads under each.

    Raises InputError where both are the same.
    """
    check(model, start)
    if across.name == down.name:
        raise InputError("Choose two different attributes for the grid.")
    columns = stops(across)
    cells = [_with(wishes, {down.name: v, across.name: h}) for v in stops(down) for h in columns]
    crops, shown = start.draw(model.decode(moved(model, start, cells)))
    read = model.predict_faces(crops)
    texts = ["\n".join(short(read, i)) for i in range(len(crops))]
    return contact_sheet(with_text_below(enlarge(shown, _GRID_FACE), texts), columns=len(columns))


def stops(control: Control) -> list[tuple[str, float] | None]:
    """What a grid asks for along one of its sides."""
    far = 0.75 * LIMIT
    if control.kind == "towards":
        return [(label, far) for label in control.classes]
    ends = 0.6 * control.high if control.kind == "steps" else far
    count = _GRID_SIDE if control.kind == "steps" else 3
    return [wish(control, float(v)) for v in np.linspace(-ends, ends, count)]


def _with(wishes: Wishes, changes: Mapping[str, tuple[str, float] | None]) -> Wishes:
    kept = {k: v for k, v in wishes.attributes.items() if k not in changes}
    return replace(wishes, attributes=kept | {k: v for k, v in changes.items() if v is not None})


def short(batch: FaceBatch, row: int) -> list[str]:
    """What is read of one face, a short line for each attribute: "41 years", "Female 97 %"."""
    years = [] if batch.age_years is None else [f"{batch.age_years[row]:.0f} years"]
    named = [(n, r) for n, r in batch.row(row).items() if not (n == "age" and years)]
    return years + [f"{r.label} {r.probability:.0%}".replace("%", " %") for _, r in named]
