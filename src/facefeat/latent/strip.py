"""One face at every age: its path through the years, drawn in a row with what the model reads of each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError
from facefeat.latent.captions import caption_below
from facefeat.latent.paths import AttributePath, attribute_path
from facefeat.latent.portraits import Portraits

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.schema import Schema
    from facefeat.types import FaceBatch, UInt8Array

AGES = tuple(range(10, 81, 10))


@dataclass(frozen=True, eq=False)
class AgeStrip:
    """One face at several ages.

    Attributes:
        asked: (K,) years.
        pictures: (K, T, T, 3) uint8. Beyond the ends of the path, its ends.
        predictions: what the model reads from each.
        path: of the face.
    """

    asked: tuple[float, ...]
    pictures: UInt8Array = field(repr=False)
    predictions: FaceBatch = field(repr=False)
    path: AttributePath = field(repr=False)

    def captions(self) -> list[str]:
        """Below each picture: what was asked, and what the model reads."""
        out = []
        for i, years in enumerate(self.asked):
            out.append(
                "\n".join([f"asked {years:.0f}", *(f"reads {line}" for line in caption_below(self.predictions, i)[:1])])
            )
        return out

    def draw(self) -> UInt8Array:
        """(H, W, 3) uint8: the faces in one row, with their captions."""
        from facefeat.image.video import contact_sheet, with_text_below

        return contact_sheet(with_text_below(self.pictures, self.captions()), columns=len(self.asked))


def years_attribute(schema: Schema) -> str:
    """The name of the attribute that is an age. Raises InputError where the schema has none."""
    for name, attribute in schema.attributes.items():
        if attribute.axis is not None and attribute.axis.unit == "years":
            return name
    raise InputError(f"the schema {schema.name!r} has no attribute in years, which a strip of ages needs.")


def age_strip(
    model: FaceFeatureModel, faces: Portraits, ages: Sequence[float] = AGES, path: AttributePath | None = None
) -> AgeStrip:
    """The first of the faces at `ages`, each as far as the face's path goes.

    path: of that face along its age, where it is known. Raises InputError where the schema has no years.
    """
    name = years_attribute(model.schema)
    face = faces.take([0])
    if path is None:
        (path,) = attribute_path(model, face, name)
    rows = np.zeros(len(ages), int)
    decoded = model.decode(path.at(np.asarray(ages, "float64")))
    predictions = model.predict_faces(face.restore(decoded, rows))
    return AgeStrip(tuple(ages), face.restore(decoded, rows, large=True), predictions, path)
