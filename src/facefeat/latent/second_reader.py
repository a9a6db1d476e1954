"""A second model's word on an edit: whether another network sees the change, or only the one that was edited with.

An edit moves a face until its own model predicts what is asked, which a picture can do without looking like it. A
network that was trained apart from it is not led astray in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from facefeat.latent.edit import Edit
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceBatch, UInt8Array

SECOND = "cc0-age-gender"
"""The preset that `facefeat edit` asks where it is installed: of the plugin facefeat-cc0, trained on other data."""
ENOUGH = 0.5
"""Share of the asked change of a number that a second model must see."""


@dataclass(frozen=True)
class SecondReading:
    """What a second model reads of N edited faces.

    name: the model's. confirmed: attribute that was asked -> (N,) bool; attributes that it does not read are not there.
    before, after: its predictions. unread: those attributes.
    """

    name: str
    confirmed: Mapping[str, np.ndarray]
    before: FaceBatch
    after: FaceBatch
    unread: tuple[str, ...] = ()

    def sentence(self, row: int) -> str:
        """Of one face: "a second model, cc0-age-gender, reads age 33 to 47: confirmed"."""
        if not self.confirmed:
            return (
                f"the second model, {self.name}, does not read {', '.join(self.unread)}: not confirmed by another model"
            )
        parts = []
        for name in self.confirmed:
            was, now = (batch.answers[name] for batch in (self.before, self.after))
            if was.values is not None and now.values is not None:
                parts.append(f"{name} {was.values[row]:.0f} to {now.values[row]:.0f}")
            else:
                parts.append(f"{name} {was.labels[row]} to {now.labels[row]}")
        right = all(bool(found[row]) for found in self.confirmed.values())
        rest = f"; it does not read {', '.join(self.unread)}" if self.unread else ""
        return f"a second model, {self.name}, reads {', '.join(parts)}: {'' if right else 'not '}confirmed{rest}"


def second_reading(edit: Edit, reader: FaceFeatureModel) -> SecondReading:
    """Ask another model of an edit: the given faces and the edited ones, both by the same way through it.

    A class is confirmed where the second model predicts it; a number where it sees half of the change that was asked,
    in that direction.
    """
    before, after = (_read(reader, crops) for crops in (edit.faces.large, edit.pictures))
    confirmed, unread = {}, []
    for name, asked in edit.asked.items():
        theirs = reader.schema.attributes.get(name)
        if theirs is None or (isinstance(asked, str) and asked not in theirs.classes):
            unread.append(name)
        elif isinstance(asked, str):
            confirmed[name] = np.asarray(after.labels[name]) == asked
        else:
            was, now = before.answers[name].values, after.answers[name].values
            if was is None or now is None:
                unread.append(name)
                continue
            wanted = np.asarray(asked) - edit.values[name][0]
            confirmed[name] = (now - was) * np.sign(wanted) >= ENOUGH * np.abs(wanted)
    return SecondReading(reader.name, confirmed, before, after, tuple(unread))


def _read(reader: FaceFeatureModel, crops: UInt8Array) -> FaceBatch:
    """Predictions from faces cut for another model: found in their crops, and cut anew as this one has them."""
    return reader.predict_faces(reader.align(list(crops)))
