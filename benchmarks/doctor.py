"""The label doctor against planted errors: `python benchmarks/doctor.py DATA [--splits CSV] [--faces 4000]`.

Of a labelled data set (UTKFace.tar, an imported folder) it draws faces, plants wrong labels in 5 % of them, once at
random and once the label of a near face (which is harder: a look-alike), and counts what `facefeat data doctor` finds.
Labels that are wrong already count as false alarms, so precision is a lower bound. Last, the doubtful labels of the
data as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from facefeat import FaceFeatureModel
from facefeat.data import load_dataset
from facefeat.evaluation.doctor import diagnose
from facefeat.utils.neighbors import nearest


class Planted:
    """A data set with other labels."""

    def __init__(self, data: Any, labels: dict[str, np.ndarray]) -> None:
        self._data, self._labels = data, labels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def labels(self) -> dict[str, np.ndarray]:
        return self._labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--splits", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--faces", type=int, default=4000)
    parser.add_argument("--share", type=float, default=0.05)
    args = parser.parse_args()
    model = FaceFeatureModel.from_preset()
    data = load_dataset(args.data, splits=args.splits).split(args.split)
    rng = np.random.default_rng(0)
    data = data.take(np.sort(rng.permutation(len(data))[: args.faces]))
    crops = data.crops(model.image_size)
    z = np.concatenate([
        model.classifier.encode(np.asarray(crops[i : i + 256])) for i in range(0, len(crops), 256)
    ])  # fmt: skip
    near, _ = nearest(z, 15, "cosine")
    for kind in ("random", "neighbour"):
        labels, rows = {n: v.copy() for n, v in data.labels().items()}, {}
        for name in ("gender", "race"):
            classes, true = len(data.schema[name].classes), data.labels()[name]
            chosen = rng.permutation(np.flatnonzero(true >= 0))[: int(args.share * len(true))]
            if kind == "random":
                new = (true[chosen] + rng.integers(1, classes, len(chosen))) % classes
            else:  # the first near face with another label gives it; where all agree, the face stays
                other = true[near[chosen]]
                found = (other != true[chosen][:, None]) & (other >= 0)
                chosen, other, found = (v[found.any(axis=1)] for v in (chosen, other, found))
                new = other[np.arange(len(chosen)), found.argmax(axis=1)]
            labels[name][chosen], rows[name] = new, set(chosen.tolist())
        issues = diagnose(Planted(data, labels), z, crops).issues  # type: ignore[arg-type]
        for name, planted in rows.items():
            doubted = set(issues.query("attribute == @name")["row"])
            hits = len(doubted & planted)
            print(f"{kind}, {name}: {len(planted)} planted; precision {hits / max(len(doubted), 1):.1%}, "
                  f"recall {hits / max(len(planted), 1):.1%} ({len(doubted)} doubted)", flush=True)  # fmt: skip
    print("as it is:")
    for sentence in diagnose(data, z, crops).sentences():
        print(f"  {sentence}", flush=True)


if __name__ == "__main__":
    main()
