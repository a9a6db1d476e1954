"""What a data set holds: counts per attribute and per pair of attributes, and how uneven they are."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facefeat.errors import DataError
from facefeat.utils.atomic import atomic_file, write_text

if TYPE_CHECKING:
    from facefeat.data.dataset import FaceDataset


@dataclass(frozen=True)
class Imbalance:
    """How unevenly an attribute's classes are filled.

    ratio: faces of the largest class for one of the smallest; infinite where a class is empty.
    effective: how many equally filled classes would be as uneven (the exponential of the entropy); at best `classes`.
    """

    classes: int
    largest: str
    smallest: str
    ratio: float
    effective: float


@dataclass(frozen=True)
class Pair:
    """Counts of two attributes together. counts: (classes of first, classes of second) int64, in the schema's order."""

    first: str
    second: str
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Exploration:
    """Counts of a data set.

    splits: split -> faces. classes: attribute -> its classes in the schema's order.
    counts: attribute -> split -> class -> faces; the class "" counts the unknown, where there are any. A face with
    several classes ("glasses, hat") counts in each.
    pairs: every two attributes; faces with either unknown are left out. years: year of age -> faces, where known.
    """

    name: str
    licence: str
    faces: int
    splits: Mapping[str, int]
    classes: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    pairs: tuple[Pair, ...]
    imbalance: Mapping[str, Imbalance]
    years: Mapping[int, int]

    def total(self, attribute: str) -> dict[str, int]:
        """Class -> faces in all splits, in the schema's order; "" last, where there are unknown."""
        out: dict[str, int] = dict.fromkeys(self.classes[attribute], 0)
        for by_class in self.counts[attribute].values():
            for label, n in by_class.items():
                out[label] = out.get(label, 0) + n
        return out

    def rows(self) -> list[tuple[str, str, str, str, str, int]]:
        """(attribute, class, second attribute, its class, split, faces), the second "" for counts of one attribute;
        the split "" for counts over all."""
        out = []
        for attribute, by_split in self.counts.items():
            for split, by_class in by_split.items():
                out += [(attribute, label, "", "", split, n) for label, n in by_class.items()]
        for pair in self.pairs:
            for i, a in enumerate(self.classes[pair.first]):
                for j, b in enumerate(self.classes[pair.second]):
                    out.append((pair.first, a, pair.second, b, "", int(pair.counts[i, j])))
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON-able. An infinite ratio is None."""
        uneven = {k: asdict(v) for k, v in self.imbalance.items()}
        for v in uneven.values():
            v["ratio"] = None if math.isinf(v["ratio"]) else round(v["ratio"], 3)
            v["effective"] = round(v["effective"], 3)
        return {
            "name": self.name,
            "licence": self.licence,
            "faces": self.faces,
            "splits": dict(self.splits),
            "classes": {k: list(v) for k, v in self.classes.items()},
            "counts": {a: {s: dict(c) for s, c in by.items()} for a, by in self.counts.items()},
            "imbalance": uneven,
            "pairs": [{"first": p.first, "second": p.second, "counts": p.counts.tolist()} for p in self.pairs],
            "years": {str(k): v for k, v in self.years.items()},
        }

    def save(self, folder: str | Path) -> Path:
        """Write counts.csv and counts.json; returns the folder. Raises DataError where that cannot be done."""
        out = Path(folder)
        with atomic_file(out / "counts.csv", DataError) as new, new.open("w", encoding="utf-8", newline="") as f:
            writer = csv.writer(f)
            writer.writerow(("attribute", "class", "second_attribute", "second_class", "split", "faces"))
            writer.writerows(self.rows())
        write_text(out / "counts.json", json.dumps(self.to_dict(), indent=1) + "\n", DataError)
        return out


def explore(dataset: FaceDataset) -> Exploration:
    """Count a data set. Raises DataError where it is empty."""
    if not len(dataset):
        raise DataError(f"data set {dataset.name!r} has no faces")
    attributes = dataset.schema.attributes
    splits = dataset.table["split"].to_numpy()
    members = dataset.members()
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for name, attribute in attributes.items():
        gaps = not members[name].any(axis=1).all()
        counts[name] = {}
        for split in dataset.splits:
            here = members[name][splits == split]
            by_class = _by_class(here, attribute.groups)
            counts[name][split] = by_class | ({"": int((~here.any(axis=1)).sum())} if gaps else {})
    pairs = tuple(
        Pair(a.name, b.name, _together(members[a.name], members[b.name]))
        for a, b in combinations(attributes.values(), 2)
    )
    years = dataset.years()
    whole = np.rint(years[~np.isnan(years)]).astype(int)
    found, times = np.unique(whole, return_counts=True)
    return Exploration(
        name=dataset.name,
        licence=dataset.licence,
        faces=len(dataset),
        splits=dataset.splits,
        classes={n: a.groups for n, a in attributes.items()},
        counts=counts,
        pairs=pairs,
        imbalance={n: imbalance(_by_class(members[n], a.groups)) for n, a in attributes.items()},
        years={int(k): int(v) for k, v in zip(found, times, strict=True)},
    )


def imbalance(counts: Mapping[str, int]) -> Imbalance:
    """How uneven these counts are; class -> faces, at least one class."""
    largest, smallest = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
    share = np.array([counts[c] for c in counts], "float64")
    share = share[share > 0] / max(share.sum(), 1)
    ratio = float(counts[largest] / counts[smallest]) if counts[smallest] else math.inf
    effective = float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0
    return Imbalance(len(counts), largest, smallest, ratio, effective)


def _by_class(members: NDArray[np.bool_], classes: tuple[str, ...]) -> dict[str, int]:
    """Class -> faces, from (N, classes)."""
    return {c: int(n) for c, n in zip(classes, members.sum(axis=0), strict=True)}


def _together(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each two groups occur together: (N, A) and (N, B) -> (A, B)."""
    return a.astype("int64").T @ b.astype("int64")
