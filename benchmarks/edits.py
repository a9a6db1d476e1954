"""Whether edits of age go where they are sent: `python benchmarks/edits.py PHOTOS... [--preset P] [--reader R]`.

PHOTOS: folders of photos that the model was not trained on. Ages are asked from -40 to +40 in tens, as far as they stay
within 5 to 80 years. Prints in how many photos more years are never read as fewer (by more than half a year), how often
an edit arrives within 5 years, how often within the range that `Edit` reports, and how often other attributes keep
their class. With --reader, what another preset sees of each edit: one that had no part in the decoder's training.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

import numpy as np

from facefeat import FaceFeatureModel, ImageError, InputError
from facefeat.latent.paths import attribute_path
from facefeat.latent.portraits import Portraits
from facefeat.pipeline import align_at

STEPS = (-40, -30, -20, -10, 10, 20, 30, 40)
LEAST, MOST, NEAR = 5, 80, 5
AT_ONCE = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--reader", help="another preset that reads ages, such as cc0-age-gender")
    parser.add_argument("--limit", type=int, default=200, help="photos, drawn at random")
    args = parser.parse_args()
    model = FaceFeatureModel.from_preset(args.preset)
    reader = FaceFeatureModel.from_preset(args.reader) if args.reader else None
    found = sorted(p for folder in args.photos for p in folder.rglob("*.jpg"))
    crops = []
    for i in np.random.default_rng(0).permutation(len(found)):
        try:
            crops.append(align_at([found[i]], model.detector, model.alignment, (model.decoder.face_size,))[0][0])
        except (InputError, ImageError):  # no face in it
            continue
        if len(crops) == args.limit:
            break
    print(f"{os.cpu_count()} cores, {platform.machine()}, {len(crops)} photos")
    rows: list[tuple[np.ndarray, ...]] = []
    for i in range(0, len(crops), AT_ONCE):
        rows.append(crops_read(model, np.stack(crops[i : i + AT_ONCE]), reader))
        if len(rows) % 5 == 0 and i + AT_ONCE < len(crops):
            print(f"\nafter {i + AT_ONCE}")
            told(rows)
    print(f"\nall {len(crops)}")
    told(rows)


def told(rows: list[tuple[np.ndarray, ...]]) -> None:
    """Print the figures of what `crops_read` gave."""
    now, reads, low, high, kept, seen = (np.concatenate([r[k] for r in rows], axis=-1) for k in range(6))
    asked = now + np.array(STEPS)[:, None]
    counts = (asked >= LEAST) & (asked <= MOST)
    near = np.abs(reads - asked) <= NEAR
    inside = counts & (asked >= low - NEAR) & (asked <= high + NEAR)
    path = np.insert(np.where(counts, reads, np.nan), STEPS.index(10), now, axis=0)  # (9, N), rising years asked
    falls = [bool((np.diff(p[np.isfinite(p)]) < -0.5).any()) for p in path.T]
    print(f"never read as fewer years | {1 - np.mean(falls):.1%} of photos")
    print(f"arrives within {NEAR} years | {near[counts].mean():.1%} of {int(counts.sum())} edits")
    print(f"the same, of those within the reported range | {near[inside].mean():.1%} of {int(inside.sum())}")
    print(f"other attributes keep their class | {kept[counts].mean():.1%}")
    if np.isfinite(seen).any():
        steps = np.broadcast_to(np.array(STEPS)[:, None], seen.shape)[counts]
        slope, half = np.polyfit(steps, seen[counts], 1)[0], seen[counts] / steps >= 0.5
        print(f"years that the other reader sees for each asked | {slope:.2f}; half or more in {half.mean():.1%}")


def crops_read(
    model: FaceFeatureModel, crops: np.ndarray, reader: FaceFeatureModel | None = None
) -> tuple[np.ndarray, ...]:
    """(N,) years now; (8, N) each: years read after each of STEPS, the ends of the range, the share of classes kept,
    and by how many years another reader sees the face change (NaN without one).

    As `model.edit` does for each step, but with each face's path found once.
    """
    faces = Portraits.of(model, crops)
    before = model.predict_faces(crops)
    others = [n for n in before.labels if n != "age"]
    now = np.asarray(before.age_years, "float64")
    reads, kept = np.zeros((len(STEPS), len(crops))), np.zeros((len(STEPS), len(crops)))
    low, high = np.zeros_like(reads), np.zeros_like(reads)
    seen = np.full_like(reads, np.nan)
    for i, path in enumerate(attribute_path(model, faces, "age")):
        decoded = model.decode(path.at(now[i] + np.array(STEPS)))
        pictures = faces.restore(decoded, np.full(len(STEPS), i))
        after = model.predict_faces(pictures)
        if reader is not None:
            read = reader.predict_faces(np.concatenate([faces.crops[[i]], pictures])).age_years
            seen[:, i] = np.asarray(read[1:]) - read[0]
        reads[:, i], low[:, i], high[:, i] = after.age_years, path.low, path.high
        kept[:, i] = np.mean([after.labels[n] == before.labels[n][i] for n in others], axis=0)
    return now, reads, low, high, kept, seen


if __name__ == "__main__":
    main()
