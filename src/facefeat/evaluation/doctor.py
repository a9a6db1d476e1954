"""Labels that are likely wrong: three signs of it, each measured apart.

* out-of-fold: a linear classifier on the latents, fitted on the other faces, is sure of another class. Which of its
  doubts count is decided by confident learning (Northcutt, Jiang and Chuang, JAIR 2021), the package cleanlab;
* neighbours: most of the faces with the nearest latents have another label, and agree on it;
* duplicates: the same picture, or nearly so, is in the data set with another label, which is the more probable one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import DataError, MissingExtraError
from facefeat.utils.frames import import_pandas
from facefeat.utils.linear_models import fit_classes
from facefeat.utils.neighbors import nearest
from facefeat.utils.statistics import folds

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.data.crops import CropView
    from facefeat.types import UInt8Array

FOLDS = 5
NEIGHBOURS = 15
AGREE = 0.8
"""Share of the neighbours that must have one other label."""
SAME_BITS = 6
"""Bits of 64 in which the hashes of two copies of a picture may differ."""
SURE = 0.5
"""Probability of the other class under which an out-of-fold doubt is not shown."""
FEWEST = 30


@dataclass(frozen=True)
class Diagnosis:
    """What was found. issues: a row for each doubtful label, the most doubtful first: row (of the data set's table),
    file, attribute, label, suggested, probability (out of fold, of the suggested class), own (of the label), agreeing
    (share of neighbours with the suggested class), twin (file of the duplicate, or ""), signs ("out-of-fold,
    neighbours"), score (0 to 1, higher is more doubtful). copies: pairs of files that are the same picture. accuracy:
    attribute -> share of labels that the out-of-fold classifier agrees with.
    """

    name: str
    faces: int
    issues: pd.DataFrame
    copies: tuple[tuple[str, str], ...]
    accuracy: Mapping[str, float]

    def sentences(self) -> list[str]:
        """What was found, in short."""
        out = []
        for name, agreed in self.accuracy.items():
            n = int((self.issues["attribute"] == name).sum())
            out.append(
                f"{name}: {n:,} of {self.faces:,} labels are doubtful ({n / self.faces:.1%}); a linear classifier on "
                f"the latents, fitted on other faces, agrees with {agreed:.1%}."
            )
        out.append(f"{len(self.copies):,} pairs of pictures are copies of each other, or nearly.")
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        from facefeat.evaluation.sections import records

        return {"format": "facefeat-doctor", "version": 1, "name": self.name, "faces": self.faces,
                "summary": self.sentences(), "accuracy": dict(self.accuracy), "copies": [list(c) for c in self.copies],
                "issues": records(self.issues)}  # fmt: skip


def require_extra() -> None:
    """Raises MissingExtraError, with the line to type, where cleanlab is not installed."""
    if importlib.util.find_spec("cleanlab") is None:
        raise MissingExtraError(
            "the doctor needs the module 'cleanlab', not installed here. Next: pip install \"facefeat[doctor]\""
        )


def diagnose(dataset: FaceDataset, latents: np.ndarray, crops: UInt8Array | CropView, seed: int = 0) -> Diagnosis:
    """Look for wrong labels: (N, D) latents and (N, S, S, 3) uint8 crops of the rows of a data set.

    Raises DataError where no attribute has two classes of enough faces.
    """
    pd = import_pandas()
    require_extra()
    nothing = f"no attribute of {dataset.name!r} has two classes of {FEWEST} faces: there is nothing to check."
    if len(latents) < 2 * FEWEST:
        raise DataError(nothing)
    near, _ = nearest(latents.astype("float32"), min(NEIGHBOURS, len(latents) - 1), "cosine")
    twins = _copies(_hashes(crops), near)
    files = dataset.table["file"].astype(str).to_numpy()
    lines: list[dict[str, Any]] = []
    accuracy = {}
    for name, labels in dataset.labels().items():
        attribute = dataset.schema[name]
        if not attribute.classes or not attribute.exclusive:
            continue
        p = out_of_fold(latents, labels, len(attribute.classes), seed)
        if p is None:
            continue
        known = labels >= 0
        accuracy[name] = float((p[known].argmax(axis=1) == labels[known]).mean())
        off = 2 if attribute.kind == "ordered" else 1
        for sign, row, other in (*_doubts(p, labels), *_disagreements(near, labels, len(attribute.classes)),
                                 *_conflicts(twins, labels, p)):  # fmt: skip
            if abs(other - labels[row]) < off:
                continue  # the next class of an order is no mistake, but a matter of opinion
            around = labels[near[row]]
            lines.append({
                "row": row, "file": files[row], "attribute": name, "label": attribute.classes[labels[row]],
                "suggested": attribute.classes[other], "probability": float(p[row, other]),
                "own": float(p[row, labels[row]]), "agreeing": float((around == other).mean()),
                "twin": files[twins[row][0]] if sign == "duplicate" and row in twins else "", "signs": sign,
            })  # fmt: skip
    if not accuracy:
        raise DataError(nothing)
    issues = _merged(pd.DataFrame(lines, columns=[
        "row", "file", "attribute", "label", "suggested", "probability", "own", "agreeing", "twin", "signs",
    ]))  # fmt: skip
    pairs = sorted({tuple(sorted((files[a], files[b]))) for a, others in twins.items() for b in others})
    return Diagnosis(dataset.name, len(files), issues, tuple((a, b) for a, b in pairs), accuracy)


def out_of_fold(latents: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> np.ndarray | None:
    """(N, K) probabilities of each face by a classifier that was fitted without it; None where two classes have not
    FEWEST faces each. Rows without a label have the mean of all folds' classifiers."""
    known = np.flatnonzero(labels >= 0)
    if (np.bincount(labels[known], minlength=classes) >= FEWEST).sum() < 2:
        return None
    p = np.zeros((len(labels), classes))
    unknown = np.flatnonzero(labels < 0)
    for train, test in folds(known, FOLDS, seed, labels[known]):
        planes = fit_classes(latents[train], labels[train], classes)
        for rows, share in ((test, 1.0), (unknown, 1 / FOLDS)):
            z = np.stack([plane(latents[rows]) for plane in planes], axis=1)
            e = np.exp(z - z.max(axis=1, keepdims=True)) if len(rows) else z
            p[rows] += share * e / e.sum(axis=1, keepdims=True) if len(rows) else 0
    return p


def _doubts(p: np.ndarray, labels: np.ndarray) -> list[tuple[str, int, int]]:
    from cleanlab.filter import find_label_issues

    known = np.flatnonzero(labels >= 0)
    present, y = np.unique(labels[known], return_inverse=True)
    own = p[np.ix_(known, present)]
    own = own / own.sum(axis=1, keepdims=True)
    found = find_label_issues(
        y, own, return_indices_ranked_by="self_confidence", filter_by="prune_by_noise_rate", n_jobs=1
    )
    rows = known[np.asarray(found, int)]
    return [
        ("out-of-fold", int(r), int(p[r].argmax())) for r in rows if p[r].max() >= SURE and p[r].argmax() != labels[r]
    ]


def _disagreements(near: np.ndarray, labels: np.ndarray, classes: int) -> list[tuple[str, int, int]]:
    around = labels[near]  # (N, k)
    votes = np.stack([(around == c).mean(axis=1) for c in range(classes)], axis=1)
    best = votes.argmax(axis=1)
    rows = np.flatnonzero((labels >= 0) & (best != labels) & (votes.max(axis=1) >= AGREE))
    return [("neighbours", int(r), int(best[r])) for r in rows]


def _conflicts(twins: Mapping[int, list[int]], labels: np.ndarray, p: np.ndarray) -> list[tuple[str, int, int]]:
    """Of two copies with different labels the one whose label is less probable against the other's; both, if equal."""
    out = []
    for row, others in twins.items():
        twin = others[0]
        if min(labels[row], labels[twin]) < 0 or labels[row] == labels[twin]:
            continue
        if p[row, labels[row]] - p[row, labels[twin]] <= p[twin, labels[twin]] - p[twin, labels[row]]:
            out.append(("duplicate", row, int(labels[twin])))
    return out


def _merged(found: pd.DataFrame) -> pd.DataFrame:
    """One row for each label, its signs together, the most doubtful first."""
    pd = import_pandas()
    if not len(found):
        return found.assign(score=pd.Series(dtype="float64"))
    # The first sign of a label says what to put in its place.
    one = found.groupby(["row", "attribute"], sort=False).agg(
        {c: "first" for c in found.columns if c not in ("row", "attribute", "signs", "twin")} | {
            "twin": "max", "signs": lambda s: ", ".join(dict.fromkeys(s)),
        }
    ).reset_index()  # fmt: skip
    one["score"] = (one["probability"] - one["own"] + one["agreeing"] + (one["twin"] != "")) / 3
    return one.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)[[*found.columns, "score"]]


def _hashes(crops: UInt8Array | CropView) -> np.ndarray:
    """(N, 64) bool: whether each of 8 x 8 places of the grey picture is brighter than the next ("dHash")."""
    from PIL import Image

    out = np.zeros((len(crops), 64), bool)
    for i in range(len(crops)):
        small = np.asarray(Image.fromarray(np.asarray(crops[i])).convert("L").resize((9, 8)), "int16")
        out[i] = (small[:, 1:] > small[:, :-1]).ravel()
    return out


def _copies(hashes: np.ndarray, near: np.ndarray) -> dict[int, list[int]]:
    """Row -> rows that are the same picture or nearly so, looked for among the nearest latents."""
    out: dict[int, list[int]] = {}
    for k in range(min(5, near.shape[1])):
        other = near[:, k]
        for row in np.flatnonzero((hashes != hashes[other]).sum(axis=1) <= SAME_BITS):
            out.setdefault(int(row), []).append(int(other[row]))
    return out
