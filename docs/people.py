"""The people of gallery.md, into docs/assets/people*.jpg: `python docs/people.py PORTRAITS [PRESET]`.

PORTRAITS: a folder of portraits with `labels.csv` (file, gender, ethnicity, born). Only official portraits of members
of Congress are drawn, works of the United States government. Who is drawn, a rule decides, not an eye: for each
gender one person at random (seed 0) of each of four ethnicities, then the youngest and the oldest woman and man; and
the three people of all whose reconstructions are farthest from their photos. Everything is shown as it came.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from facefeat import FaceFeatureModel
from facefeat.image.video import contact_sheet, enlarge, with_text_below
from facefeat.latent.captions import caption_below
from facefeat.latent.portraits import Portraits
from facefeat.latent.strip import age_strip
from facefeat.pipeline import align_at

ASSETS = Path(__file__).parent / "assets"
ETHNICITIES = ("white-american", "african-american", "hispanic-american", "asian-american")
SIDE = 128
AGES = (15, 30, 45, 60, 75)
WORST = 3
AT_ONCE = 32


def main() -> None:
    folder = Path(sys.argv[1])
    model = FaceFeatureModel.from_preset(*sys.argv[2:3])
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as f:
        people = [r for r in csv.DictReader(f) if r["file"].startswith(("house-", "senate-"))]
    chosen = _chosen(people)
    draw("people", model, [folder / r["file"] for r in chosen])
    files = [folder / r["file"] for r in people]
    errors = np.concatenate([_errors(model, files[i : i + AT_ONCE]) for i in range(0, len(files), AT_ONCE)])
    worst = np.argsort(-errors)[:WORST]
    draw("people-worst", model, [files[i] for i in worst])
    print(f"{len(files)} portraits: the reconstruction's mean error in shades of 255: median {np.median(errors):.1f}, "
          f"worst {', '.join(f'{errors[i]:.1f}' for i in worst)}")  # fmt: skip


def _chosen(people: list[dict[str, str]]) -> list[dict[str, str]]:
    rng, chosen = np.random.default_rng(0), []
    for gender in ("Female", "Male"):
        for ethnicity in ETHNICITIES:
            some = [r for r in people if (r["gender"], r["ethnicity"]) == (gender, ethnicity)]
            chosen.append(some[int(rng.integers(len(some)))])
    for gender in ("Female", "Male"):
        some = sorted((r for r in people if r["gender"] == gender and r not in chosen), key=lambda r: r["born"])
        chosen += [some[-1], some[0]]
    return chosen


def _errors(model: FaceFeatureModel, files: list[Path]) -> np.ndarray:
    """(N,) how far each reconstruction is from its photo: the mean absolute difference, in shades of 255."""
    crops, large = align_at(files, model.detector, model.alignment, (model.image_size, model.decoder.face_size))
    return np.abs(model.reconstruct(crops).astype("float32") - large).mean(axis=(1, 2, 3))


def draw(name: str, model: FaceFeatureModel, files: list[Path]) -> None:
    """A row for each person, as docs/assets/NAME.jpg: the photo, the reconstruction, and the face at AGES."""
    crops, large = align_at(files, model.detector, model.alignment, (model.image_size, SIDE))
    read = model.predict_faces(crops)
    faces: list[np.ndarray] = []
    texts: list[str] = []
    for i in range(len(files)):
        portrait = Portraits.of(model, crops[[i]], large[[i]])
        strip = age_strip(model, portrait, AGES)
        faces += [large[i], enlarge(portrait.reconstructions, SIDE)[0], *strip.pictures]
        texts += ["photo\n" + "\n".join(caption_below(read, i)[:1]), "decoded", *strip.captions()]
    sheet = contact_sheet(with_text_below(np.stack(faces), texts), columns=2 + len(AGES))
    Image.fromarray(sheet).save(ASSETS / f"{name}.jpg", quality=86)


if __name__ == "__main__":
    main()
