"""What a preset reads from pictures of other origin: `python benchmarks/other_sets.py SHARED [--preset NAME]`.

SHARED: a folder with `utkface/` (UTKFace.tar, splits.csv), `fairface/wild/`, `portraits/` and `ffhq/` (ffhq.tar), each
with its `labels.csv`. UTKFace's validation faces are read as published; of the other pictures the main face is found
and aligned first (`FaceFeatureModel.align`). Of FFHQ, whose labels are a machine's, the 300 pictures are read that no
training has seen. None of the sets was trained on; all but UTKFace's were looked at when the bundled preset was chosen.
"""

from __future__ import annotations

import argparse
import csv
import os
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from facefeat import FaceFeatureModel
    from facefeat.types import FaceBatch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
PHOTO_YEAR = 2019.5
"""When the portraits were taken, about."""
SEED, KEPT = 20261128, 300
"""Of FFHQ's pictures, KEPT of a permutation with this seed."""
RACES = {"White": "White", "Black": "Black", "East Asian": "Asian", "Southeast Asian": "Asian", "Indian": "Indian"}
"""FairFace's classes as UTKFace's; Latino and Middle Eastern have none."""
GROUPS = ((0, 9), (10, 29), (30, 49), (50, 64), (65, 120))
AT_ONCE = 64


@dataclass(frozen=True)
class Read:
    """A set's rows of labels, and what the model read from their pictures."""

    rows: list[dict[str, str]]
    batch: FaceBatch

    def column(self, name: str) -> np.ndarray:
        """(N,) str of a column of labels."""
        return np.array([row[name] for row in self.rows])

    @property
    def is_woman(self) -> np.ndarray:
        """(N,) bool, of the labels."""
        return self.column("gender") == "Female"

    @property
    def woman(self) -> np.ndarray:
        """(N,) the probability of "Female"."""
        return self.batch.probabilities["gender"][:, self.batch.classes["gender"].index("Female")]

    @property
    def years(self) -> np.ndarray:
        """(N,) ages in years."""
        return np.asarray(self.batch.values["age"])


def labels(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def pictures(folder: Path, names: Sequence[str], archive: str = "") -> Iterator[bytes]:
    """The files' bytes, from the folder or from an archive in it."""
    if not archive:
        yield from ((folder / name).read_bytes() for name in names)
        return
    with tarfile.open(folder / archive) as tar:
        found = {os.path.basename(m.name): m for m in tar if m.isfile()}
        for name in names:
            member = tar.extractfile(found[name])
            assert member is not None
            yield member.read()


def align(model: FaceFeatureModel, folder: Path, rows: list[dict[str, str]], archive: str = "") -> np.ndarray:
    """(N, S, S, 3) uint8: the main face of each picture."""
    crops, chunk = [], []
    for data in pictures(folder, [row["file"] for row in rows], archive):
        chunk.append(data)
        if len(chunk) == AT_ONCE:
            crops.append(model.align(chunk))
            chunk = []
    if chunk:
        crops.append(model.align(chunk))
    return np.concatenate(crops)


def area_under_curve(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive has a higher score than a negative."""
    from scipy.stats import rankdata

    ranks, n = rankdata(score), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    from facefeat.evaluation.metrics import expected_calibration_error

    return float(expected_calibration_error(probabilities, truth))


def gender(found: Read) -> str:
    right = (found.woman >= 0.5) == found.is_woman
    men, women = right[~found.is_woman].mean(), right[found.is_woman].mean()
    area = area_under_curve(found.woman, found.is_woman)
    error = calibration_error(found.batch.probabilities["gender"], found.is_woman.astype(int))
    by_gender = f"men {men:.3f}, women {women:.3f}, gap {men - women:+.3f}"
    return f"{right.mean():.3f}; AUC {area:.3f}; {by_gender}; ECE {error:.3f}"


def one_off(found: Read) -> str:
    """The class, or one beside it: the most probable class, and the class that the years lie in."""
    classes = list(found.batch.classes["age"])
    truth = np.array([classes.index(a) for a in found.column("age")])
    lows = np.array([int(c.split("-")[0].split()[-1]) for c in classes])
    by_years = np.searchsorted(lows, np.round(found.years), "right") - 1
    probable = found.batch.probabilities["age"].argmax(axis=1)
    return f"{(abs(probable - truth) <= 1).mean():.3f}; by its years {(abs(by_years - truth) <= 1).mean():.3f}"


def race(found: Read) -> tuple[str, str]:
    """Over the classes that both know: accuracy with calibration error, and recalls."""
    names = list(found.batch.classes["race"])
    said = found.column("race")
    known = np.array([r in RACES for r in said])
    truth = np.array([names.index(RACES[r]) for r in said[known]])
    probabilities = found.batch.probabilities["race"][known]
    right = probabilities.argmax(axis=1) == truth
    recalls = ", ".join(f"{n} {right[truth == i].mean():.2f}" for i, n in enumerate(names) if (truth == i).any())
    return f"{right.mean():.3f}; ECE {calibration_error(probabilities, truth):.3f}", recalls


def ages(found: Read, truth: np.ndarray) -> str:
    off = found.years - truth
    per = ", ".join(
        f"{low}-{min(high, 99)}: {off[k].mean():+.1f}"
        for low, high in GROUPS
        if (k := (truth >= low) & (truth < high + 1)).sum() >= 10
    )
    return f"{abs(off).mean():.2f} years; mean error by age {per}"


def utkface(model: FaceFeatureModel, folder: Path) -> Iterator[tuple[str, str]]:
    from facefeat.data import load_dataset
    from facefeat.image import corrupt as corruption

    data = load_dataset(folder / "UTKFace.tar", schema=model.schema, splits=folder / "splits.csv").split("val")
    crops = np.asarray(data.crops(model.image_size))
    targets = data.labels()
    batch = model.predict_faces(crops)

    def share(of: FaceBatch, name: str) -> float:
        return float((of.probabilities[name].argmax(axis=1) == targets[name]).mean())

    off = abs(np.asarray(batch.values["age"]) - data.years()).mean()
    races = f" / {share(batch, 'race'):.4f}" if "race" in batch.classes else ""
    yield "UTKFace val: gender / race / age", f"{share(batch, 'gender'):.4f}{races} / {off:.2f}"
    errors = [calibration_error(batch.probabilities[n], targets[n]) for n in ("gender", "race") if n in batch.classes]
    yield "UTKFace val: ECE gender / race", " / ".join(f"{e:.3f}" for e in errors)
    worst: list[tuple[float, float, str]] = []
    for name in corruption.CORRUPTIONS:
        hurt = model.predict_faces(corruption.corrupt_crops(crops[::4], name, 0.5))
        p, y = hurt.probabilities["gender"], targets["gender"][::4]
        worst.append((float((p.argmax(axis=1) == y).mean()), calibration_error(p, y), name))
        yield f"UTKFace val, {name}: gender; ECE", f"{worst[-1][0]:.3f}; {worst[-1][1]:.3f}"
    least, most = min(worst), max(worst, key=lambda w: w[1])
    extremes = f"{least[0]:.3f} ({least[2]}); {most[1]:.3f} ({most[2]})"
    yield "UTKFace val, corrupted: least gender; greatest ECE", extremes


def aligned_sets(model: FaceFeatureModel, data: Path) -> dict[str, tuple[list[dict[str, str]], np.ndarray]]:
    """Set -> its rows of labels, and the crops of their pictures."""
    wild, posed, ffhq = (labels(data / f) for f in ("fairface/wild", "portraits", "ffhq"))
    kept = np.sort(np.random.default_rng(SEED).permutation(len(ffhq))[:KEPT])
    ffhq = [ffhq[i] for i in kept]
    return {
        "wild": (wild, align(model, data / "fairface" / "wild", wild)),
        "portraits": (posed, align(model, data / "portraits", posed)),
        "ffhq": (ffhq, align(model, data / "ffhq", ffhq, "ffhq.tar")),
    }


def others(
    model: FaceFeatureModel, sets: dict[str, tuple[list[dict[str, str]], np.ndarray]]
) -> Iterator[tuple[str, str]]:
    has_race = "race" in model.schema.attributes
    wild, posed, ffhq = (Read(rows, model.predict_faces(crops)) for rows, crops in sets.values())
    yield "wild: gender", gender(wild)
    if has_race:
        total, recalls = race(wild)
        yield "wild: race without Latino and Middle Eastern", total
        yield "wild: race, recalls", recalls
    yield "wild: age, one off", one_off(wild)
    born = np.array([int(b[:4]) for b in posed.column("born")])
    yield "portraits: gender", gender(posed)
    if has_race:
        said, ethnicity = posed.batch.labels["race"], posed.column("ethnicity")
        for name, means in (("Black", "african-american"), ("White", "white-american")):
            of = ethnicity == means
            yield f"portraits: race {name}", f"{(said[of] == name).mean():.3f} of {of.sum()}"
    yield "portraits: age", ages(posed, PHOTO_YEAR - born)
    yield "FFHQ, 300: gender", gender(ffhq)
    yield "FFHQ, 300: age", ages(ffhq, ffhq.column("age_years").astype(float))


def speed(model: FaceFeatureModel) -> str:
    crops = np.random.default_rng(0).integers(0, 256, (64, model.image_size, model.image_size, 3), "uint8")
    model.predict_faces(crops)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        model.predict_faces(crops)
        took.append(time.perf_counter() - start)
    return f"{64 / min(took):.0f} crops a second, the fastest of five batches of 64"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--preset", action="append", help="name or folder, again for more; else the bundled one")
    parser.add_argument("--detector", default="centerface")
    parser.add_argument("--quick", action="store_true", help="without UTKFace, its corruptions and the speed")
    args = parser.parse_args()

    from facefeat import FaceFeatureModel

    models = [FaceFeatureModel.from_preset(p, detector=args.detector) for p in args.preset or [None]]
    aligned: dict[Any, Any] = {}
    for name, model in zip(args.preset or [models[0].name], models, strict=True):
        geometry = (model.alignment, model.image_size)
        if geometry not in aligned:  # one pass of the detector for all models of the same crops
            aligned[geometry] = aligned_sets(model, args.shared)
        print(f"\n{name}, detector {args.detector}\n\n| figure | value |\n|---|---|")
        for figure, value in others(model, aligned[geometry]):
            print(f"| {figure} | {value} |", flush=True)
        if not args.quick:
            for figure, value in utkface(model, args.shared / "utkface"):
                print(f"| {figure} | {value} |", flush=True)
            print(f"| speed | {speed(model)} |")


if __name__ == "__main__":
    main()
