"""What moves in a model's answers when one thing about the same faces changes: the light, the size, or an attribute.

Each face is its own control: the answers before and after the change are compared face by face, so that even a shift
of two points is seen. A change of an attribute is an edit by a decoder; only edits that an independent model confirms
count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError
from facefeat.evaluation.groups import Groups, group_means
from facefeat.evaluation.report import SMALL_GROUP
from facefeat.evaluation.sections import Section
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import interval

if TYPE_CHECKING:
    from facefeat.schema import Schema
    from facefeat.types import FaceBatch, UInt8Array

    Model = Callable[[UInt8Array], FaceBatch]

AT_ONCE = 64
LIMITS = (
    "A condition is a picture operation, which is cleaner than a bad photo. An edit changes more than what was asked "
    "for: hair and clothes go with gender in the data that the decoder learnt from, so what moves is the answer to a "
    "typical such face. Only edits that another model confirms are counted, and those may be the easy ones.",
)


@dataclass(frozen=True)
class Change:
    """The same faces before and after. name: such as "age +20". before, after: (M, S, S, 3) uint8 crops. asked: how
    many faces were to be changed; M of them were confirmed. rows: (M,) which of the faces of the audit they are."""

    name: str
    before: UInt8Array
    after: UInt8Array
    asked: int
    rows: np.ndarray


def conditions(
    crops: UInt8Array, severities: Sequence[float] = (0.25, 0.5), names: Sequence[str] = (), seed: int = 0
) -> Iterator[Change]:
    """Crops made worse by each corruption of `facefeat.image.corrupt`, or by those named. Raises InputError."""
    from facefeat.image.corrupt import CORRUPTIONS, corrupt_crops

    rows = np.arange(len(crops))
    for name in names or CORRUPTIONS:
        for severity in severities:
            yield Change(f"{name} {severity:g}", crops, corrupt_crops(crops, name, severity, seed), len(crops), rows)


def smaller(crops: UInt8Array, sizes: Sequence[int] = (48, 24)) -> Iterator[Change]:
    """Crops as of faces that are so many pixels wide in the photo, enlarged again."""
    from facefeat.image.align import resize_crops

    for size in sizes:
        if size < crops.shape[1]:
            after = resize_crops(resize_crops(crops, size), crops.shape[1])
            yield Change(f"{size} pixels", crops, after, len(crops), np.arange(len(crops)))


def edits(
    edit: Callable[[UInt8Array, Mapping[str, Any]], Any],
    judge: Model,
    crops: UInt8Array,
    changes: Sequence[Mapping[str, Any]],
) -> Iterator[Change]:
    """Faces with an attribute changed, of which `judge` confirms the change.

    Args:
        edit: (crops, change) -> an edit with `.crops` and `.reached`, as `FaceFeatureModel.edit`.
        judge: crops -> predictions, of a model that had no part in the edit, with the attribute that is changed.
        crops: (N, S, S, 3) uint8.
        changes: such as {"age": +20} and {"gender": "Female"}.

    Raises:
        InputError: for an attribute that the judge does not know.
    """
    before = judge(crops)
    for change in changes:
        unknown = [n for n in change if n not in before.answers]
        if unknown:
            raise InputError(f"the judge does not predict {unknown[0]!r}. Valid: {', '.join(before.answers)}.")
        edited = edit(crops, change)
        after = judge(edited.crops)
        sure, new = np.asarray(edited.reached, bool).copy(), np.ones(len(crops), bool)
        for name, wanted in change.items():
            sure &= _confirmed(before, after, name, wanted)
            if not isinstance(wanted, int | float):
                new &= before.answers[name].labels != str(wanted)  # what is so already does not change
        rows = np.flatnonzero(sure & new)
        title = ", ".join(f"{n} {v:+g}" if isinstance(v, int | float) else f"{n} {v}" for n, v in change.items())
        yield Change(title, crops[rows], edited.crops[rows], int(new.sum()), rows)


def _confirmed(before: FaceBatch, after: FaceBatch, name: str, wanted: Any) -> np.ndarray:
    """(N,) bool: a class is now predicted; a number moved by half of what was asked or more."""
    a, b = before.answers[name], after.answers[name]
    if isinstance(wanted, int | float) and a.values is not None and b.values is not None:
        return np.asarray(np.sign(wanted) * (b.values - a.values) >= abs(wanted) / 2)
    return np.asarray(b.labels == str(wanted))


def movements(
    model: Model,
    schema: Schema,
    changes: Iterator[Change],
    targets: Mapping[str, np.ndarray],
    bootstrap: int = 500,
    seed: int = 0,
) -> Section:
    """What moves in a model's answers: a row for each change and answer.

    Args:
        model: crops -> predictions.
        schema: what it predicts.
        changes: see `conditions`, `smaller` and `edits`.
        targets: attribute -> (N, T) labels of the faces, as `FaceDataset.targets`.

    Returns:
        A table: change, answer, faces, confirmed (share of those asked), before and after (share or number), move with
        its paired 95 % interval, flipped (share of faces whose answer changed), and drop: the accuracy that is lost.
    """
    pd = import_pandas()
    lines: list[dict[str, Any]] = []
    # With the crops themselves: of an array that is gone, another may have the id.
    known: dict[int, tuple[UInt8Array, FaceBatch]] = {}
    for change in changes:
        if not len(change.rows):
            continue
        key = id(change.before)  # conditions share theirs
        if key not in known:
            known[key] = (change.before, _predict(model, change.before))
        first = known[key][1]
        second = _predict(model, change.after)
        for name, a in schema.attributes.items():
            x, y = first.answers[name], second.answers[name]
            faces = {"before": x, "after": y}
            right = {
                k: a.strategy.per_face(a, answers, targets[name][change.rows]).get("accuracy")
                for k, answers in faces.items()
            }
            lost = None if right["before"] is None or right["after"] is None else right["before"] - right["after"]
            flipped = (x.labels != y.labels).astype("float64")
            about = {"change": change.name, "confirmed": len(change.rows) / max(change.asked, 1)}
            if x.values is not None and y.values is not None:
                lines.append(about | _line(f"{name}, {x.unit}", x.values, y.values, flipped, lost, bootstrap, seed))
            # Of two classes one says all; of an order, the number does.
            shown = a.classes[:1] if len(a.classes) == 2 else a.classes if x.values is None else ()
            for k, label in enumerate(shown):
                one, two = ((p.probabilities.argmax(axis=1) == k).astype("float64") for p in (x, y))
                lines.append(about | _line(f"{name}: {label}", one, two, flipped, lost, bootstrap, seed))
    shown_columns = {
        "change": "Change", "answer": "Answer", "faces": "Faces", "confirmed": "Confirmed", "before": "Before",
        "after": "After", "move": "Moves by", "flipped": "Answers changed", "drop": "Accuracy lost",
    }  # fmt: skip
    table = pd.DataFrame(lines, columns=[*_COLUMNS])
    text = (
        "The same faces before and after one change: how often each class is predicted (0 to 1), or the mean. An "
        "interval that leaves out 0 says that the change moves the answer.",
        *LIMITS,
    )
    return Section("counterfactual", "What moves when one thing changes", text, table, shown_columns,
                   ("confirmed", "flipped", "drop"))  # fmt: skip


_COLUMNS = (
    "change", "answer", "faces", "small", "confirmed", "before", "after", "move", "move_low", "move_high",
    "flipped", "flipped_low", "flipped_high", "drop", "drop_low", "drop_high",
)  # fmt: skip


def _line(
    answer: str,
    before: np.ndarray,
    after: np.ndarray,
    flipped: np.ndarray,
    lost: np.ndarray | None,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    n = len(before)
    everyone = Groups(("all",), np.arange(n), np.zeros(n, int))
    out: dict[str, Any] = {"answer": answer, "faces": n, "small": n < SMALL_GROUP,
                           "before": float(np.mean(before)), "after": float(np.mean(after))}  # fmt: skip
    moves = after.astype("float64") - before
    for key, values in (("move", moves), ("flipped", flipped), ("drop", lost)):
        if values is None or not np.isfinite(values).any():
            out |= {key: np.nan, f"{key}_low": np.nan, f"{key}_high": np.nan}
            continue
        low, high = interval(group_means(values, everyone, bootstrap, seed))
        out |= {key: float(np.nanmean(values)), f"{key}_low": float(low[0]), f"{key}_high": float(high[0])}
    return out


def _predict(model: Model, crops: UInt8Array) -> FaceBatch:
    from facefeat.types import FaceBatch

    return FaceBatch.join([model(crops[i : i + AT_ONCE]) for i in range(0, len(crops), AT_ONCE)])
