"""The pictures of gallery.md: `python docs/pictures.py [PRESET]`, drawn by the bundled preset into docs/assets.

The photos are the demo's examples, in the public domain; the other faces are nobody's: the decoder composed them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from facefeat import FaceFeatureModel
from facefeat.image.video import contact_sheet, enlarge, with_text_below
from facefeat.latent.morph import nearness
from facefeat.latent.residual import Residual
from facefeat.pipeline import largest_faces

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "docs" / "assets"
PHOTOS = [ROOT / "demo" / "facefeat_demo" / "examples" / f"{name}.jpg" for name in ("astronaut", "admiral")]
SIDE = 168
"""Pixels that a face is drawn with: the preset's 112, enlarged by half; of an edit, those of the photo."""
YEARS = (8, 18, 30, 45, 60, 75)


def main() -> None:
    model = FaceFeatureModel.from_preset(*sys.argv[1:2])
    crops = model.align(PHOTOS)
    made = model.reconstruct(crops)
    faces = np.concatenate([np.stack([c, m]) for c, m in zip(crops, made, strict=True)])
    save("reconstructed", faces, ["photo", "decoded"] * len(crops))

    large = largest_faces(PHOTOS, model.detector, model.alignment, SIDE)
    lost, near = Residual(crops, made), nearness(2, 8, "none", False)
    decoded = model.morph(crops[0], crops[1], steps=8)
    save("morph", lost.blend(decoded, near, large), read(model, lost.blend(decoded, near)), columns=8)

    edits: list[dict[str, object]] = [
        {}, {"age": -15}, {"age": +20}, {"gender": "Male"}, {"race": "Asian"}, {"race": "Black"}, {"race": "Indian"},
    ]  # fmt: skip
    rows = [large if not changes else edited(model, crops, large, changes) for changes in edits]
    texts = ["photo", "age -15", "age +20", "Male", "Asian", "Black", "Indian"]
    faces = np.stack(rows, axis=1).reshape(-1, *large.shape[1:])
    save("edited", faces, texts * len(crops), columns=len(edits))

    composed, texts = [], []
    for gender in model.schema["gender"].classes:
        for years in YEARS:
            composed.append(model.compose(age=years, gender=gender).crops)
            texts.append(f"{gender}, {years}")
    for race in model.schema["race"].classes:
        composed.append(model.compose(age=30, race=race).crops)
        texts.append(f"{race}, 30")
    composed.append(model.compose().crops)
    texts.append("the mean of all")
    save("composed", np.concatenate(composed), texts, columns=len(YEARS))


def edited(model: FaceFeatureModel, crops: np.ndarray, large: np.ndarray, changes: dict[str, object]) -> np.ndarray:
    """The faces changed, as large as `large`."""
    found = model.edit(crops, **changes)
    decoded = model.decode(found.latents)
    return np.concatenate([found.draw(i, decoded[i : i + 1], face) for i, face in enumerate(large)])


def read(model: FaceFeatureModel, crops: np.ndarray) -> list[str]:
    """What the model reads from each, in two lines."""
    batch = model.predict_faces(crops)
    years = batch.age_years if batch.age_years is not None else np.full(len(crops), np.nan)
    return [f"{y:.0f} years\n{g}" for y, g in zip(years, batch.labels["gender"], strict=True)]


def save(name: str, faces: np.ndarray, texts: Sequence[str], columns: int = 0) -> None:
    """Faces (N, S, S, 3) uint8 with a text under each, as docs/assets/NAME.jpg."""
    Image.fromarray(contact_sheet(with_text_below(enlarge(faces, SIDE), texts), columns)).save(
        ASSETS / f"{name}.jpg", quality=88
    )


if __name__ == "__main__":
    main()
