"""What a preset reads from photos with labels: `python measure.py FOLDER [--preset NAME]`.

FOLDER: photos, and a `labels.csv` with `file`, `gender` (Male or Female), and `age` (a class) or `born` (a date; photos
are taken to be of the middle of 2019). The largest face of each photo is read; intervals are 95 %, by bootstrap.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
PHOTO_YEAR = 2019.5


def read(model, folder: Path) -> tuple[list[dict[str, str]], list]:
    """The rows of `labels.csv` whose photo has a face, and what the model reads from its largest."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    results = model.predict([folder / r["file"] for r in rows])
    found = [(r, max(x.faces, key=lambda f: f.face.area)) for r, x in zip(rows, results, strict=True) if x.faces]
    print(f"{len(rows) - len(found)} of {len(rows)} photos without a face", flush=True)
    return [r for r, _ in found], [f for _, f in found]


def figures(model, rows: list[dict[str, str]], faces: list, bootstrap: int = 1000) -> list[tuple[str, str, str]]:
    """(what, value, interval) of each figure that the labels allow."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, len(rows), (bootstrap, len(rows)))
    out = []

    def add(what: str, values: np.ndarray, mask: np.ndarray | None = None, form: str = "{:.3f}") -> None:
        kept = np.ones(len(rows), bool) if mask is None else mask
        means = [values[s][kept[s]].mean() for s in samples]
        low, high = np.percentile(means, [2.5, 97.5])
        out.append((f"{what} ({kept.sum()})", form.format(values[kept].mean()), f"{form} to {form}".format(low, high)))

    def most(name):
        """The most probable class, also where the answer is "unsure"."""
        found = [f.attributes[name].probabilities for f in faces]
        return [max(p, key=p.get) for p in found]

    says = np.array(most("gender"))
    is_ = np.array([r["gender"] for r in rows])
    add("gender", says == is_)
    for g in ("Male", "Female"):
        add(f"gender, {g}", says == is_, is_ == g)
    sure = np.array([f.attributes["gender"].probability for f in faces])
    out.append(("gender, calibration error", f"{_calibration_error(sure, says == is_):.3f}", ""))
    if "age" in rows[0]:
        age = model.schema["age"]
        wanted = np.array([age.index(r["age"]) for r in rows])
        got = np.array([age.index(label) for label in most("age")])
        add("age class", got == wanted)
        add("age class, one off", abs(got - wanted) <= 1)
    if "born" in rows[0]:
        years = np.array([PHOTO_YEAR - int(r["born"][:4]) for r in rows])
        read = np.array([f.age_years for f in faces])
        add("age, mean absolute error, years", abs(read - years), form="{:.1f}")
        add("age, mean error, years", read - years, form="{:+.1f}")
    for column in ("race", "ethnicity"):
        for group in sorted({r[column] for r in rows if column in r}):
            mask = np.array([r[column] == group for r in rows])
            if mask.sum() >= 20:
                add(f"gender, {group}", says == is_, mask)
    return out


def _calibration_error(sure: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of one width (Guo et al. 2017)."""
    place = np.minimum((sure * bins).astype(int), bins - 1)
    return float(sum(abs(sure[place == b].sum() - right[place == b].sum()) for b in range(bins)) / len(sure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="cc0-age-gender")
    parser.add_argument("--detector", default="centerface")
    args = parser.parse_args()

    from facefeat import FaceFeatureModel

    model = FaceFeatureModel.from_preset(args.preset, detector=args.detector)
    print(f"{model.name} on {args.folder.name}")
    for row in figures(model, *read(model, args.folder)):
        print(" | ".join(row))


if __name__ == "__main__":
    main()
