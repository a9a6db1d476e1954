"""Faces out of whole photos for `facefeat data import --detect`, and the sign that pictures are photos, not crops."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facefeat.cli._show import warn
from facefeat.data.collect import Skipped
from facefeat.data.sources import open_source
from facefeat.errors import DataError, FacefeatError, ImageError
from facefeat.utils.atomic import replace_folder, temporary_folder, unwritable

if TYPE_CHECKING:
    from facefeat.data import FaceDataset, Import
    from facefeat.plugins.contracts import Detector
    from facefeat.types import Face, UInt8Array

CROPS, LIST = "crops", "crops.csv"
SMALLEST, LARGEST = 64, 512
"""Side of a crop in pixels: that of the face in its photo, within these."""
SAMPLE = 24
"""Pictures that are looked at to see whether they are whole photos."""
SMALL = 0.8
"""A face whose box is smaller than this share of the picture's shorter side is in a photo, not in a crop.

Crops as models read them have 0.9 to 1.1; FFHQ's pictures have 0.64 to 0.76, official portraits 0.5 to 0.65,
FairFace's of margin 1.25 0.4 to 0.55. Of 120 of each the bundled preset told the gender of 90, 94 and 73 % when they
were read whole (`predict_faces`), and of 98, 99 and 95 % when the faces were cut out (`align`)."""


def cut_faces(found: Import, output: Path, detector: str, alignment: str, step: Callable[[int, int], None]) -> Import:
    """The import with the face that `FaceFeatureModel.align` takes of each picture, cut into OUTPUT/crops.

    crops.csv there has for each crop its source, and the box in it, in pixels. A picture without a face joins the
    skipped. The crops replace those of an earlier import at once, when all are cut.

    Raises DataError where no picture has a face, or nothing can be written; UnknownComponentError for the detector.
    """
    from facefeat.image.align import get_alignment
    from facefeat.plugins.registry import get_registry

    finder: Detector = get_registry().build("detector", detector)
    geometry = get_alignment(alignment)
    target = output / CROPS
    try:
        with temporary_folder(target) as temporary:
            new = temporary / CROPS
            new.mkdir()
            rows, skipped, crops = [], [], []
            files = [str(f) for f in found.table["file"]]
            for i, file in enumerate(files):
                step(i, len(files))
                made = _cut(found, file, finder, geometry, new, f"{i:06d}")
                if isinstance(made, str):
                    skipped.append(Skipped(file, made))
                else:
                    rows.append(i)
                    crops.append(made)
            step(len(files), len(files))
            if not rows:
                raise DataError(f"no face was found in any of the {len(files):,} pictures. The first: {skipped[0]}.")
            with (new / LIST).open("w", newline="", encoding="utf-8") as out:
                writer = csv.writer(out)
                writer.writerow(("file", "source", "left", "top", "right", "bottom", "score", "faces"))
                writer.writerows(crops)
            table = found.table.iloc[rows].reset_index(drop=True).assign(file=[c[0] for c in crops])
            names = {c[1]: c[0] for c in crops}
            people = None if found.people is None else {names[f]: p for f, p in found.people.items() if f in names}
            note = (
                f"faces cut by {detector} with alignment {alignment}; {CROPS}/{LIST} has the photo and the box of each"
            )
            replace_folder(new, target)
            return replace(
                found, table=table, source=open_source(target), prefix="", people=people, notes=(*found.notes, note),
                skipped=(*found.skipped, *skipped),
            )  # fmt: skip
    except OSError as e:
        raise unwritable(target, e, DataError) from None


@dataclass(frozen=True)
class _Known:
    """A detector of one picture whose faces are known, so that `main_faces` chooses among them."""

    faces: list[Face]

    def detect(self, image: UInt8Array) -> list[Face]:
        return self.faces

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        return [self.faces for _ in images]


def _cut(
    found: Import, file: str, detector: Detector, geometry: object, folder: Path, number: str
) -> tuple[str, str, float, float, float, float, float, int] | str:
    """A row of crops.csv, the crop being written; or why there is none."""
    from PIL import Image

    from facefeat.image.align import open_image
    from facefeat.pipeline import main_faces

    try:
        image = open_image(found.source.read(found.prefix + file))
        faces = detector.detect(image)
        if not faces:
            return "no face was found"
        (face,) = main_faces(image, _Known(faces), geometry)  # type: ignore[arg-type]
        side = min(max(round(face.side), SMALLEST), LARGEST)
        crop = face.cut(side)
    except (ImageError, FacefeatError) as e:
        return str(e)
    stem = Path(file).stem.encode("ascii", "replace").decode().replace("?", "_")[:60]
    name = f"{number}-{stem}.jpg"
    Image.fromarray(crop).save(folder / name, quality=95)
    left, top, right, bottom = (round(float(v), 1) for v in face.face.box)
    return name, file, left, top, right, bottom, round(float(face.face.score), 4), len(faces)


def warn_of_photos(dataset: FaceDataset, next_step: str) -> None:
    """A line on standard error where most of a sample of the pictures look like whole photos, not like faces cut out.

    next_step: what the line ends in.
    """
    share = share_of_photos(dataset)
    if share > 0.5:
        warn(
            f"{share:.0%} of a sample of {dataset.name!r} look like whole photos: the face fills less than "
            f"{SMALL:.0%} of the picture. The model reads pictures of one face each, cut and aligned. {next_step}"
        )


def share_of_photos(dataset: FaceDataset) -> float:
    """Of some pictures of a data set, the share in which the largest face is small. 0 where no face is found in any.

    Faces that fill a picture are hard for a detector, so that one in which none is found says nothing.
    """
    from facefeat.data.samples import sample_pictures
    from facefeat.plugins.registry import get_registry

    detector: Detector = get_registry().build("detector", "centerface")
    small = []
    for image in sample_pictures(dataset, SAMPLE):
        faces = detector.detect(image)
        if faces:
            left, top, right, bottom = max(faces, key=lambda face: face.area).box
            small.append(max(right - left, bottom - top) < SMALL * min(image.shape[:2]))
    return float(np.mean(small)) if small else 0.0
