"""Who is in a collection: shares of groups, corrected by how the model confuses them.

A model that takes a tenth of the women for men counts too many men. Where the pictures of a class look as those did
that the model was measured on, and only the shares differ (prior shift), the predicted shares are the true ones
through the confusion matrix, and can be taken back:

* by the confusion matrix: the shares that most likely gave the predicted classes, which is the inverse of the matrix
  (Lipton, Wang and Smola, "Detecting and correcting for label shift with black box predictors", ICML 2018) wherever the
  inverse has no negative share;
* by the probabilities: the EM of Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a
  priori probabilities", Neural Computation 2002.

The intervals are a bootstrap of both: the faces of the collection, and the labelled faces of the confusion matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import DataError, InputError, LabelError, did_you_mean
from facefeat.evaluation.columns import names_of_pictures
from facefeat.evaluation.predictions import Predictions, Scored, impossible, row_hashes
from facefeat.evaluation.sections import Section, sentence_list
from facefeat.evaluation.table import NumberColumn, TextColumn, parts
from facefeat.networks.postprocess import UNSURE
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import interval, proportion_interval

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from facefeat.schema import Attribute

FEWEST = 20
"""Labelled faces of a class, under which its confusion is not known, and it is counted with all others."""
WIDE = 0.15
"""Width of an interval above which a share cannot be told, unless it is less than the share itself."""
SOFT = 100_000
"""Faces whose probabilities are used, at most."""
STEPS = 600
REST = "all others"
UNNAMED = "the collection"


@dataclass(frozen=True)
class Collection:
    """What a model predicted of the faces of a collection. answers: attribute -> (N,) int, -1 where unknown.

    probabilities: attribute -> (N, K), of those that have them. faces: N. pictures without a face, and unreadable ones,
    are counted apart. notes: a sentence for everything in the table that a reader should know.
    """

    name: str
    faces: int
    answers: Mapping[str, np.ndarray]
    probabilities: Mapping[str, np.ndarray]
    without_face: int = 0
    unreadable: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Census:
    """The shares of a collection.

    table: by, group, counted (faces), raw (their share), share, share_low, share_high (corrected, 95 %), em (corrected
    by the probabilities; NaN where there are none), reference (a share to compare with; NaN), labelled (faces of this
    group in the confusion matrix), told: whether the interval says anything. notes: sentences.
    """

    name: str
    faces: int
    table: pd.DataFrame
    notes: tuple[str, ...]

    def sentences(self) -> list[str]:
        """What a reader in a hurry should know."""
        who = "The collection" if self.name == UNNAMED else self.name
        out = [f"{who} has {self.faces:,} face{'s' if self.faces != 1 else ''}."]
        for by, part in self.table.groupby("by", sort=False):
            if " x " in str(by):
                continue
            told = part[part["told"]].sort_values("share", ascending=False)
            parts_ = [f"{r['group']} {r['share']:.0%} ({r['share_low']:.0%} to {r['share_high']:.0%})"
                      for r in told.head(4).to_dict("records")]  # fmt: skip
            out.append(f"{by}: {sentence_list(parts_)}." if parts_ else f"{by}: no share can be told.")
        return [*out, *self.notes]

    def sections(self) -> list[Section]:
        """A table for each grouping."""
        shown = {
            "group": "Group",
            "counted": "Predicted",
            "raw": "Raw share",
            "share": "Corrected share",
            "em": "By probabilities",
            "reference": "Reference",
            "labelled": "Labelled",
            "told": "Can be told",
        }
        out = []
        for by, part in self.table.groupby("by", sort=False):
            columns = {k: v for k, v in shown.items() if part[k].notna().any()}
            text = ("Raw: the share predicted. Corrected: what it most likely is, given how the model confuses groups, "
                    "with its 95 % interval. Labelled: faces that the confusion was measured on.",)  # fmt: skip
            table = part.assign(small=~part["told"])
            key = str(by).replace(" x ", "-by-")
            out.append(Section(key, f"By {by}", text, table, columns, ("raw", "share", "em", "reference")))
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        rows = [r for s in self.sections() for r in s.to_dict()["rows"]]
        return {"format": "facefeat-census", "version": 1, "name": self.name, "faces": self.faces,
                "summary": self.sentences(), "rows": rows}  # fmt: skip

    def save(self, folder: Path, command: str = "") -> Path:
        """Write `census.html`, `census.json` and a CSV for each table. Raises InputError as `save_sections`."""
        from facefeat.evaluation.page import save_sections

        about = {"name": self.name, "faces": self.faces, "command": command}
        return save_sections(folder, f"Who is in {self.name}?", "census", self.sentences(), self.sections(), about)


def read_labelled(path: Path) -> Predictions:
    """The predictions of labelled faces in a table, by classes: those that a collection is counted by, not by years."""
    from facefeat.evaluation.predictions import read_predictions

    columns = set(next(parts(path)).columns)
    years = [str(c).removesuffix("_years") for c in columns if str(c).endswith("_years")]
    mapped = [f"{n}.prediction={n}" for n in years if n in columns and f"{n}_true" in columns]
    try:
        return read_predictions(path, mapped)
    except InputError as e:
        raise InputError(f"the confusion table {str(path)!r}: {e}") from None


def read_collection(source: Any, attributes: Mapping[str, Attribute], name: str = "") -> Collection:
    """The answers in a table as `facefeat batch` and `predict --csv` write it, or a DataFrame of such.

    "unsure" counts as the most probable class, since the confusion was measured with an answer for every face; where
    there are no probabilities, it is unknown.

    Raises DataError where it has no column of any attribute, InputError for a class that is none.
    """
    columns: dict[str, TextColumn] = {}
    numbers: dict[str, dict[str, NumberColumn]] = {}
    faces = without = unreadable = 0
    hashes: list[np.ndarray] = []
    for part in parts(source):
        if not columns:
            columns = {n: TextColumn() for n in attributes if n in part}
            if not columns:
                raise DataError(
                    f"no column of {', '.join(attributes)}. Columns found: {', '.join(map(str, part.columns))}."
                )
            numbers = {
                n: {c: NumberColumn() for c in attributes[n].classes}
                for n in columns if all(f"{n}:{c}" in part for c in attributes[n].classes)
            }  # fmt: skip
        if "reason" in part and "face" in part:
            here = part["face"].notna().to_numpy()
            nothing = (part["reason"].astype(str) == "no face").to_numpy() & ~here
            without, unreadable = without + int(nothing.sum()), unreadable + int((~here & ~nothing).sum())
            part = part[here]
        faces += len(part)
        if names_of_pictures(map(str, part.columns)):  # without, two faces may well have the same row
            hashes.append(row_hashes(part))
        for n, store in columns.items():
            store.add(part[n])
        for n, stores in numbers.items():
            for c, values in stores.items():
                values.add(part[f"{n}:{c}"])
    if not faces:
        raise DataError("the collection has no faces.")
    answers = {n: _positions(attributes[n], store) for n, store in columns.items()}
    soft = {n: np.stack([v.values for v in stores.values()], axis=1) for n, stores in numbers.items()}
    notes = []
    for n, store in columns.items():
        unsure = np.asarray([*(v == UNSURE for v in store.values), False])[store.codes]
        if n in soft:
            unsure &= np.isfinite(soft[n]).all(axis=1)
            answers[n][unsure] = soft[n][unsure].argmax(axis=1)
    for n, p in list(soft.items()):
        if problem := impossible(p[answers[n] >= 0]):
            notes.append(f"{n}: {problem}, so they are not used.")
            del soft[n]
    copies = sum(map(len, hashes)) - len(np.unique(np.concatenate(hashes))) if hashes else 0
    if copies:
        notes.append(
            f"{copies:,} of {faces:,} rows are copies of another row; they are counted, so the intervals are too "
            "narrow."
        )
    return Collection(name or UNNAMED, faces, answers, soft, without, unreadable, tuple(notes))


def _positions(attribute: Attribute, store: TextColumn) -> np.ndarray:
    try:
        found = [-1 if v == UNSURE else attribute.index(v) for v in store.values]
    except LabelError as e:
        raise InputError(f"the collection and the confusion table have other classes: {e}") from None
    return np.asarray([*found, -1])[store.codes]


def census(
    collection: Collection,
    labelled: Predictions,
    reference: Mapping[tuple[str, str], float] | None = None,
    *,
    bootstrap: int = 500,
    seed: int = 0,
) -> Census:
    """Shares by each attribute and by each pair of them.

    Args:
        collection: what the model predicted.
        labelled: what the same model predicted of labelled faces, as of `read_predictions`: its confusion.
        reference: (by, group) -> share, of `read_reference`.
        bootstrap: resamples for the intervals.
        seed: of the resamples.
    """
    pd = import_pandas()
    scored = {n: s for n, s in labelled.scored.items() if n in collection.answers and s.attribute.classes}
    if not scored:
        raise DataError(f"the confusion table has none of {', '.join(collection.answers)}.")
    lines: list[dict[str, Any]] = []
    notes = list(collection.notes)
    for size in (1, 2):
        for by in combinations(scored, size):
            lines += _by(by, scored, collection, bootstrap, seed, notes)
    if not lines:
        raise DataError(f"no face of {collection.name!r} has an answer of {', '.join(scored)}, so nobody is counted.")
    table = pd.DataFrame(lines)
    reference = reference or {}
    known = [reference.get((b, g), np.nan) for b, g in zip(table["by"], table["group"], strict=True)]
    table["reference"] = np.asarray(known, "float64")
    apart = table[
        table["told"] & ((table["reference"] < table["share_low"]) | (table["reference"] > table["share_high"]))
    ]
    if reference:
        named = [f"{r['group']} {r['share']:.0%} against {r['reference']:.0%}" for r in apart.to_dict("records")]
        notes.append(f"Differs from the reference: {sentence_list(named)}.")
    single = table[~table["by"].str.contains(" x ") & ~table["told"]]
    if len(single):
        notes.append(
            "Cannot be told: "
            f"{sentence_list([f'{b} {g}' for b, g in zip(single['by'], single['group'], strict=True)])}. The model "
            "confuses them too much, or too few such faces were labelled."
        )
    for count, what in ((collection.without_face, "have no face"), (collection.unreadable, "could not be read")):
        if count:
            notes.append(f"{count:,} pictures {what}.")
    notes.append(
        "The correction holds where the faces of a group look as those of the labelled ones do; it cannot see "
        "that they are darker, smaller or painted. It counts a collection and says nothing about a single face."
    )
    return Census(collection.name, collection.faces, table, tuple(notes))


def _by(
    by: Sequence[str],
    scored: Mapping[str, Scored],
    collection: Collection,
    bootstrap: int,
    seed: int,
    notes: list[str],
) -> list[dict[str, Any]]:
    classes = [scored[n].attribute.classes for n in by]
    names = [", ".join(c) for c in _product(classes)]
    sizes = [len(c) for c in classes]
    true = _joint([scored[n].truth for n in by], sizes)
    said = _joint([scored[n].answer for n in by], sizes)
    here = _joint([collection.answers[n] for n in by], sizes)
    both = (true >= 0) & (said >= 0)
    counts = np.bincount(true[both] * len(names) + said[both], minlength=len(names) ** 2).reshape(len(names), -1)
    seen = np.bincount(here[here >= 0], minlength=len(names))
    if len(by) == 1 and (here < 0).any():
        notes.append(f"{by[0]}: {int((here < 0).sum()):,} of {len(here):,} faces have no answer, and are left out.")
    if not seen.sum():
        return []
    # Classes of too few labelled faces become one, in labels and answers alike.
    kept = np.flatnonzero(counts.sum(axis=1) >= FEWEST)
    if len(kept) < 2:
        return []
    rest = np.setdiff1d(np.arange(len(names)), kept)
    merged: list[Any] = [*([k] for k in kept), *([rest] if len(rest) else [])]
    groups = [names[k] for k in kept]
    m = np.zeros((len(names), len(merged)))
    for j, places in enumerate(merged):
        m[places, j] = 1
    groups += [REST] if len(rest) else []
    confusion, observed = m.T @ counts @ m, seen @ m
    unknown = len(rest) > 0 and confusion[-1].sum() < FEWEST  # none labelled: nothing to say of them
    if unknown:
        kept_rows = confusion[:-1]
        if confusion[-1].sum() == 0:
            confusion = np.vstack([kept_rows, np.eye(len(groups))[-1]])
    shares = corrected(confusion[None] / confusion.sum(axis=1, keepdims=True), observed[None])[0]
    draws = _resampled(confusion, observed, bootstrap, seed)
    low, high = interval(draws)
    # No resample of a class that nobody or everybody was predicted as has any other count (Wilson's interval does).
    # Nor has a share that the correction takes to 0 or 1, however few were predicted as it.
    everybody = np.full(len(observed), observed.sum())
    estimated = np.round(shares * observed.sum())
    ends = proportion_interval(estimated, everybody)
    alike = (estimated == 0) | (estimated == everybody) | (observed == 0) | (observed == everybody)
    low = np.where(alike, np.minimum(low, ends[0]), low)
    high = np.where(alike, np.maximum(high, ends[1]), high)
    em = np.full(len(groups), np.nan)
    if len(by) == 1 and by[0] in collection.probabilities and not len(rest):
        prior = confusion.sum(axis=1) / confusion.sum()
        em = saerens(collection.probabilities[by[0]], prior, seed)
        off = [g for g, e, a, b in zip(groups, em, low, high, strict=True) if not a - 0.02 <= e <= b + 0.02]
        if off:
            notes.append(
                f"{by[0]}: the probabilities say otherwise for {sentence_list(off)}, so these faces may look different "
                "from the labelled ones"
            )
    total = max(observed.sum(), 1)
    return [
        {
            "by": " x ".join(by), "group": g, "counted": int(observed[k]), "raw": float(observed[k] / total),
            "share": float(shares[k]), "share_low": float(low[k]), "share_high": float(high[k]), "em": float(em[k]),
            "labelled": int(confusion[k].sum()),
            "told": bool((high[k] - low[k]) <= max(WIDE, shares[k]) and not (unknown and g == REST)),
        }
        for k, g in enumerate(groups)
    ]  # fmt: skip


def _product(classes: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    from itertools import product

    return list(product(*classes))


def _joint(codes: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    out = np.zeros(len(codes[0]), int)
    for c, size in zip(codes, sizes, strict=True):
        out = np.where((out >= 0) & (c >= 0), out * size + c, -1)
    return out


def corrected(confusion: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The most likely shares: (B, K, M) P(predicted m | true k), (B, M) counts -> (B, K).

    By EM, whose answer is the inverse of the matrix where that has no negative share.
    """
    b, k, _ = confusion.shape
    p = np.full((b, k), 1 / k)
    total = np.maximum(observed.sum(axis=1, keepdims=True), 1e-12)
    for _ in range(STEPS):
        mix = np.maximum(np.einsum("bk,bkm->bm", p, confusion), 1e-12)
        new = p * np.einsum("bkm,bm->bk", confusion, observed / mix) / total
        done = np.abs(new - p).max() < 1e-6
        p = new
        if done:
            break
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _resampled(confusion: np.ndarray, observed: np.ndarray, rounds: int, seed: int) -> np.ndarray:
    """(rounds, K) shares from faces drawn again: of each labelled class, and of the collection."""
    rng = np.random.default_rng(seed)
    # Half a face more in every cell: what was not seen among so few is rare, and not impossible (Jeffreys).
    rows = [rng.dirichlet(r + 0.5 / len(r), size=rounds) for r in confusion]
    n = int(observed.sum())
    seen = rng.multinomial(n, observed / max(n, 1), size=rounds).astype("float64")
    return corrected(np.stack(rows, axis=1), seen)


def saerens(probabilities: np.ndarray, prior: np.ndarray, seed: int = 0) -> np.ndarray:
    """Shares by the EM of Saerens et al. (2002): (N, K) calibrated probabilities, (K,) shares of the faces that they
    were calibrated on -> (K,)."""
    known = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    some = known if len(known) <= SOFT else np.random.default_rng(seed).choice(known, SOFT, replace=False)
    ratio = probabilities[some].astype("float64") / np.maximum(prior, 1e-9)
    p = prior.astype("float64")
    for _ in range(STEPS):
        posterior = ratio * p
        posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), 1e-12)
        new = posterior.mean(axis=0)
        done = np.abs(new - p).max() < 1e-6
        p = new
        if done:
            break
    return np.asarray(p)


def read_reference(path: Path, attributes: Mapping[str, Attribute]) -> dict[tuple[str, str], float]:
    """(by, group) -> share, from a CSV with the columns `attribute`, `group` and `share` (0 to 1, or in percent).

    Raises DataError for other columns, an unknown attribute or group, or shares that do not sum to 1.
    """
    from facefeat.data.tables import read_table

    table = read_table(path)
    table.require(("attribute", "group", "share"))
    found: dict[str, dict[str, float]] = {}
    for line, row in table.rows:
        name = row["attribute"].casefold()
        if name not in attributes:
            raise DataError(f"{str(path)!r}, line {line}: no such attribute. {did_you_mean(name, attributes)}")
        try:
            group = attributes[name].classes[attributes[name].index(row["group"])]
        except LabelError as e:
            raise DataError(f"{str(path)!r}, line {line}: {e}") from None
        try:
            share = float(row["share"].rstrip("% ").replace(",", "."))
        except ValueError:
            raise DataError(
                f"{str(path)!r}, line {line}: a share is a number, such as 0.4 or 40 %. Received: {row['share']!r}."
            ) from None
        found.setdefault(name, {})[group] = share
    out: dict[tuple[str, str], float] = {}
    for name, shares in found.items():
        total = sum(shares.values())
        unit = 100 if total > 2 else 1
        if not 0.98 <= total / unit <= 1.02 or min(shares.values()) < 0:
            raise DataError(f"{str(path)!r}: the shares of {name} sum to {total:g}, not to 1 or 100.")
        out |= {(name, g): s / total for g, s in shares.items()}
    return out
