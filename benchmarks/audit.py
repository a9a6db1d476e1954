"""Audits and censuses measured: `python benchmarks/audit.py [--labelled labelled.csv] [--rows 100000 1000000]`.

Prints figures for docs/benchmarks.md: how long a table of predictions takes (reading, measuring, drawing the page) and
how much memory; how long a census of as many rows takes; and, of a model's labelled faces (as `facefeat evaluate
--predictions` writes them; by default those of the bundled preset), how often the 95 % intervals of a census hold the
share of collections whose shares are known. --write stores labelled faces as the confusion of the bundled preset.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from facefeat.evaluation.census import Collection, census, read_collection
from facefeat.evaluation.predictions import Predictions, read_predictions
from facefeat.presets.confusion import bundled_confusion

CLASSES = {"gender": ("Male", "Female"), "race": ("White", "Black", "Asian", "Indian", "Others")}


def table(n: int, seed: int = 0) -> pd.DataFrame:
    """Predictions as a user's table has them: probabilities of gender and race, ages, 30 countries, file names."""
    rng = np.random.default_rng(seed)
    found: dict[str, object] = {"file": [f"{i}.jpg" for i in range(n)]}
    for name, classes in CLASSES.items():
        true = rng.integers(0, len(classes), n)
        z = rng.normal(size=(n, len(classes))) + 2.5 * np.eye(len(classes))[true]
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        found |= {f"{name}_true": np.array(classes)[true], name: np.array(classes)[p.argmax(axis=1)]}
        found |= {f"{name}:{c}": p[:, k].round(4) for k, c in enumerate(classes)}
    age = rng.integers(1, 90, n)
    found |= {"age_true": age, "age_years": (age + rng.normal(0, 6, n)).clip(0, 110).round(1)}
    found["country"] = np.char.add("c", rng.integers(0, 30, n).astype(str))
    return pd.DataFrame(found)


def one(what: str, path: Path) -> None:
    """A step in a process of its own, so that its memory is its own."""
    start, began = time.perf_counter(), time.process_time()
    if what == "audit":
        from facefeat.evaluation.anyone import measure_predictions

        found = measure_predictions(read_predictions(path))
        measured = time.perf_counter() - start
        found.save(path.with_suffix(""))
        print(f"read and measured in {measured:.1f} s, with the page {time.perf_counter() - start:.1f} s", end="")
    else:
        labelled = read_predictions(bundled_confusion(None))
        census(read_collection(path, {n: s.attribute for n, s in labelled.scored.items()}), labelled)
        print(f"counted in {time.perf_counter() - start:.1f} s", end="")
    # Not ru_maxrss: that of a child begins with its parent's.
    high = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    memory = int(high.split()[1]) / 1e3
    print(f" ({time.process_time() - began:.1f} s of one processor), {memory:,.0f} MB at most")


def coverage(labelled: Predictions, draws: int) -> pd.DataFrame:
    """Collections drawn from one half of the labelled faces by known shares, counted by the confusion of the other.

    No face is drawn twice, and the halves are drawn anew each time, so the faces of both are new to each other.
    """
    lines = []
    rng = np.random.default_rng(1)
    for name in ("gender", "race"):
        s = labelled.scored[name]
        kept = np.flatnonzero(np.bincount(s.truth[s.truth >= 0], minlength=len(s.attribute.classes)) >= 200)
        for i in range(draws):
            half = rng.random(len(s.truth)) < 0.5
            shares = rng.dirichlet(np.full(len(kept), 4.0))
            pools = [rng.permutation(np.flatnonzero(~half & (s.truth == k))) for k in kept]
            size = int(min(len(p) / max(share, 1e-3) for p, share in zip(pools, shares, strict=True)) * 0.8)
            counts = rng.multinomial(min(size, 600), shares)
            counts = np.minimum(counts, [len(p) for p in pools])
            rows = np.concatenate([p[:c] for p, c in zip(pools, counts, strict=True)])
            known = s.take(np.flatnonzero(half & np.isin(s.truth, kept)))
            small = Predictions("", labelled.columns, {name: known}, {}, (), len(known.truth))
            found = census(Collection("", len(rows), {name: s.answer[rows]}, {}), small, bootstrap=200, seed=i).table
            found = found.set_index("group")
            for k, share in zip(kept, shares, strict=True):
                row = found.loc[s.attribute.classes[k]]
                lines.append({"attribute": name, "group": s.attribute.classes[k], "off_raw": abs(row["raw"] - share),
                              "off": abs(row["share"] - share),
                              "held": row["share_low"] <= share <= row["share_high"]})  # fmt: skip
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labelled", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return one(args.one[0], Path(args.one[1]))
    if args.write:
        kept = pd.read_csv(args.labelled, dtype=str)
        predicted = read_predictions(args.labelled).scored
        columns: dict[str, object] = {}
        for name, s in predicted.items():
            names = np.array([*s.attribute.classes, ""])
            columns |= {f"{name}_true": names[s.truth], name: kept[name]}
        path = bundled_confusion(None, missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        # Sorted, without names: no row says which picture it is of.
        pd.DataFrame(columns).sort_values(list(columns)).to_csv(path, index=False)
        return print(f"written: {path}")
    with tempfile.TemporaryDirectory() as folder:
        for n in args.rows:
            path = Path(folder) / f"{n}.csv"
            table(n).to_csv(path, index=False)
            for what in ("audit", "census"):
                print(f"{what}, {n:,} rows: ", end="", flush=True)
                subprocess.run([sys.executable, __file__, "--one", what, str(path)], check=True)
    labelled = read_predictions(args.labelled or bundled_confusion(None))
    found = coverage(labelled, args.draws)
    for (attribute, group), part in found.groupby(["attribute", "group"], sort=False):
        print(f"{attribute} {group}: held in {part['held'].mean():.1%} of {len(part):,} collections; off by "
              f"{part['off'].mean():.3f}, raw counts by {part['off_raw'].mean():.3f}")  # fmt: skip
    print(f"all: held in {found['held'].mean():.1%} of {len(found):,}")


if __name__ == "__main__":
    main()
