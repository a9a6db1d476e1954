"""The pictures of gallery.md: `python docs/pictures.py [PRESET]`, drawn by the bundled preset into docs/assets.

The photos are the demo's examples, in the public domain; the other faces are synthetic: the decoder composed them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from facefeat import FaceBatch, FaceFeatureModel
from facefeat.image.video import contact_sheet, enlarge, with_text_below
from facefeat.pipeline import align_at

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "docs" / "assets"
PHOTOS = [ROOT / "demo" / "facefeat_demo" / "examples" / f"{name}.jpg" for name in ("astronaut", "admiral")]
SIDE = 168
"""Pixels that a face is drawn with: the preset's 128, enlarged; of an edit, those of the photo."""
YEARS = (8, 18, 30, 45, 60, 75)


def main() -> None:
    model = FaceFeatureModel.from_preset(*sys.argv[1:2])
    crops, large = align_at(PHOTOS, model.detector, model.alignment, (model.image_size, SIDE))
    decoded = model.reconstruct(crops)
    faces = np.concatenate([np.stack([c, d]) for c, d in zip(large, enlarge(decoded, SIDE), strict=True)])
    save("reconstructed", faces, ["photo", "decoded"] * len(crops))

    morph = model.morph_faces(crops, large, steps=8, easing="none")
    save("morph", morph.frames, captions(morph.predictions), columns=8)

    edits: list[dict[str, object]] = [
        {}, {"age": -20}, {"age": -10}, {"age": +15}, {"age": +30}, {"gender": "Male"},
    ]  # fmt: skip
    rows = [model.edit(crops, changes, large).pictures if changes else large for changes in edits]
    texts = ["photo", "age -20", "age -10", "age +15", "age +30", "Male"]  # race: of synthetic faces only
    faces = np.stack(rows, axis=1).reshape(-1, *large.shape[1:])
    save("edited", faces, texts * len(crops), columns=len(edits))

    composed, texts = [], []
    for seed, gender in enumerate(model.schema["gender"].classes):  # one draw for each row, to see the years alone
        for years in YEARS:
            composed.append(model.compose({"age": years, "gender": gender}, seed=seed).crops)
            texts.append(f"{gender}, {years}")
    for seed, race in enumerate(model.schema["race"].classes):
        composed.append(model.compose({"age": 30, "race": race}, seed=seed).crops)
        texts.append(f"{race}, 30")
    composed.append(model.compose(seed=len(texts)).crops)
    texts.append("anybody")
    save("composed", np.concatenate(composed), texts, columns=len(YEARS))


def captions(batch: FaceBatch) -> list[str]:
    """What the model predicts from each, in two lines."""
    years = batch.age_years if batch.age_years is not None else np.full(len(batch), np.nan)
    return [f"{y:.0f} years\n{g}" for y, g in zip(years, batch.labels["gender"], strict=True)]


def save(name: str, faces: np.ndarray, texts: Sequence[str], columns: int = 0) -> None:
    """Faces (N, S, S, 3) uint8 with a text under each, as docs/assets/NAME.jpg."""
    Image.fromarray(contact_sheet(with_text_below(enlarge(faces, SIDE), texts), columns)).save(
        ASSETS / f"{name}.jpg", quality=88
    )


if __name__ == "__main__":
    main()
