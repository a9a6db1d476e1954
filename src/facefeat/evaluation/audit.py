"""The audit: everything that a reader of the page needs, measured once, as tables and arrays."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import MissingExtraError
from facefeat.evaluation.groups import (
    Groups,
    Quantity,
    disparity,
    group_means,
    group_table,
    groupings,
    means,
    quantities,
    schema_groups,
)
from facefeat.evaluation.minors import measure_minors
from facefeat.evaluation.report import Report, predict_dataset, report_on, require_labels
from facefeat.evaluation.sections import records
from facefeat.plugins.kinds import say
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import interval, tsne
from facefeat.utils.weighted import ECE_BINS, calibration_error, perfect_calibration_error

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.evaluation.minors import Minors
    from facefeat.evaluation.robustness import Robustness
    from facefeat.evaluation.rules import Checked
    from facefeat.evaluation.sections import Section
    from facefeat.networks.classifier import Classifier
    from facefeat.plugins.contracts import Judged
    from facefeat.schema import Attribute, Schema
    from facefeat.types import FaceBatch, UInt8Array

FORMAT_VERSION = 1
"""Of report.json: it grows when a key goes or changes its meaning."""
NEEDED = ("jinja2", "matplotlib")
MISTAKES = 12
"""Mistakes shown for each attribute."""
MAPPED = 1500
"""Faces in the map of latents; so many take seconds."""
PARTS = 24
"""Bins of the error by number at most; of an age they are of five years or more."""
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Mistake:
    """A face read wrongly: its file, the answer in words, the label, and its (S, S, 3) uint8 crop."""

    file: str
    said: str
    label: str
    crop: UInt8Array

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the crop is left out."""
        return {"file": self.file, "said": self.said, "label": self.label}


@dataclass(frozen=True)
class FaceMap:
    """A t-SNE of latents: where M faces lie, (M, 2); their groups, attribute -> (M,) int, -1 where unknown;
    (M, S, S, 3) uint8 crops."""

    places: np.ndarray
    labels: Mapping[str, np.ndarray]
    crops: UInt8Array


@dataclass(frozen=True)
class Audit:
    """What a model scores on a data set, in the detail that the page shows; see `docs/audit.md`.

    about: what was measured, with what. classes: precision, recall, F1 per class. confusion: attribute, or one class of
    a list -> (names, (K, K) counts), rows are labels. reliability: attribute -> bins of confidence. answered: attribute
    -> share answered and accuracy by confidence asked for. groups: a row per group. disparities: one row per grouping
    and accuracy. errors: attribute whose labels are numbers -> its error by number. mistakes: attribute -> the worst
    ones. map: None where too few faces. notes: a sentence for everything in the data that a reader should know. rules:
    what was asked for, and whether it holds. sections: whatever else the page is to show. robustness: the same on
    corrupted faces, where that was measured. minors: how faces under 18 are found, where ages are exact.
    """

    report: Report
    schema: Schema
    about: dict[str, Any]
    classes: pd.DataFrame
    confusion: dict[str, tuple[tuple[str, ...], np.ndarray]]
    reliability: dict[str, pd.DataFrame]
    calibration_errors: dict[str, dict[str, float]]
    answered: dict[str, pd.DataFrame]
    groups: pd.DataFrame
    disparities: pd.DataFrame
    errors: dict[str, pd.DataFrame]
    mistakes: dict[str, list[Mistake]]
    map: FaceMap | None
    notes: tuple[str, ...] = ()
    rules: tuple[Checked, ...] = ()
    sections: tuple[Section, ...] = ()
    robustness: Robustness | None = None
    minors: Minors | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; NaN and infinity are None. `docs/audit.md` says what stays stable."""
        from facefeat.evaluation.summary import sentences

        tables = {"classes": self.classes, "groups": self.groups, "disparities": self.disparities}
        return {
            "format": "facefeat-audit",
            "version": FORMAT_VERSION,
            "summary": sentences(self),
            "notes": list(self.notes),
            "rules": [r.to_dict() for r in self.rules],
            "sections": [s.to_dict() for s in self.sections],
            **self.report.to_dict(),
            "about": self.about,
            **{k: records(v) for k, v in tables.items()},
            "confusion": {k: {"classes": list(c), "counts": v.tolist()} for k, (c, v) in self.confusion.items()},
            "calibration_errors": self.calibration_errors,
            "reliability": {k: records(v) for k, v in self.reliability.items()},
            "answered": {k: records(v) for k, v in self.answered.items()},
            "errors": {k: records(v) for k, v in self.errors.items()},
            "mistakes": {k: [m.to_dict() for m in v] for k, v in self.mistakes.items()},
            "robustness": None if self.robustness is None else self.robustness.to_dict(),
            "minors": None if self.minors is None else self.minors.to_dict(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write `report.html`, `report.json`, `by_group.csv` and `figures/*.png` atomically.

        An earlier report in the folder is replaced. Raises InputError for a folder that holds anything else or cannot
        be written, MissingExtraError where the extra `audit` is not installed.
        """
        from facefeat.evaluation.page import save_audit

        return save_audit(self, Path(folder))


def require_extra() -> None:
    """Raises MissingExtraError, with the line to type, where a package of the extra `audit` is not installed."""
    missing = [m for m in NEEDED if importlib.util.find_spec(m) is None]
    if missing:
        what = "the module" if len(missing) == 1 else "the modules"
        raise MissingExtraError(
            f"the audit needs {what} {', '.join(map(repr, missing))}, not installed here. "
            'Next: pip install "facefeat[audit]"'
        )


def run_audit(
    classifier: Classifier,
    dataset: FaceDataset,
    *,
    about: Mapping[str, Any] | None = None,
    bootstrap: int = 500,
    seed: int = 0,
) -> Audit:
    """Measure everything. about: what else the page is to say, such as name, licence and command.

    Raises DataError for a data set that is empty, has no label, or has other classes than the model;
    MissingExtraError without the extra `audit`.
    """
    from facefeat._version import __version__

    require_extra()
    batch = predict_dataset(classifier, dataset)
    crops = dataset.crops(classifier.image_size)
    rows = np.sort(np.random.default_rng(seed).permutation(len(crops))[:MAPPED])
    taken = crops.take(rows)
    labels, targets = dataset.labels(), dataset.targets()
    places = face_map_places(classifier.encode(taken), seed)
    face_map = None if places is None else FaceMap(places, {k: v[rows] for k, v in labels.items()}, taken)
    files = [str(f) for f in dataset.table["file"]]
    found = measure(classifier.schema, batch, targets, dataset.name, bootstrap, seed)
    mistakes = {}
    for name, a in classifier.schema.attributes.items():
        at = a.strategy.mistakes(a, batch.answers[name], targets[name])[:MISTAKES]
        said = [say(name, batch.answers[name].row(i)).text for i in at]
        # The most exact column says what the label is.
        true = list(a.strategy.columns(a, targets[name][at]).values())[-1]
        shown = zip(at, said, true, crops.take(at), strict=True)
        mistakes[name] = [Mistake(files[i], words, f"{label:g}" if isinstance(label, float) else str(label), crop)
                          for i, words, label, crop in shown]  # fmt: skip
    mistakes = {name: listed for name, listed in mistakes.items() if listed}
    details = {
        "version": __version__,
        "dataset": dataset.name,
        "data_licence": dataset.licence,
        "schema": classifier.schema.name,
        "image_size": classifier.image_size,
        "parameters": classifier.parameters,
        "bootstrap": bootstrap,
        "seed": seed,
        "fingerprint": dataset.fingerprint,
        "calibration": classifier.calibration.to_dict(),
        "part_of_training": "",
        **(about or {}),
    }
    return Audit(about=details, mistakes=mistakes, map=face_map, **found)


def part_of_training(training: Mapping[str, Any] | None, dataset: FaceDataset) -> str:
    """Which faces of its training a model is measured on: "train", "validation" or "" for others, or where unknown.

    training: the log of the model's training (`Metadata.training`); a data set is known by its fingerprint.
    """
    data = (training or {}).get("data") or {}
    if not data:
        return ""
    # A whole data set has the faces of its splits.
    measured = {dataset.fingerprint, *(dataset.split(name).fingerprint for name in dataset.splits)}
    found = [
        part
        for part in ("train", "validation")
        for about in (data, *(data.get("sources") or {}).values())
        if (about.get(part) or {}).get("fingerprint") in measured
    ]
    return found[0] if found else ""


def measure(
    schema: Schema,
    batch: FaceBatch,
    targets: Mapping[str, np.ndarray],
    name: str,
    bootstrap: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """The fields of an Audit that need no pictures. Raises DataError where no face has any label."""

    members = require_labels(name, schema, targets)
    every = {n: a.strategy.judged(a, batch.answers[n], targets[n]) for n, a in schema.attributes.items()}
    judged: dict[str, Judged] = {n: j for n, j in every.items() if j is not None}
    confusion = {title: found for j in judged.values() for title, found in j.confusions.items()}
    measured = quantities(schema, batch, targets)
    groups, disparities = measure_groups(measured, schema_groups(schema, members), bootstrap, seed)
    errors = {n: error_by_number(a, batch, targets[n], bootstrap, seed) for n, a in schema.attributes.items()}
    age = schema.age
    minors = None
    if age is not None:
        answers, true = batch.answers[age.name], age.strategy.numbers(age, targets[age.name])
        minors = measure_minors(
            age, true, answers.values, answers.probabilities if age.classes else None, schema_groups(schema, members)
        )
    return {
        "report": report_on(name, schema, batch, targets, bootstrap, seed),
        "schema": schema,
        "classes": class_tables(confusion, bootstrap, seed),
        "confusion": confusion,
        "reliability": {n: reliability(j.confidence, j.right) for n, j in judged.items()},
        "calibration_errors": {
            n: {
                "ece": float(calibration_error(j.confidence, j.right, np.ones((1, len(j.right))))[0]),
                "ece_of_a_perfect_model": perfect_calibration_error(j.confidence),
            }
            for n, j in judged.items()
        },
        "answered": {n: answered(j.confidence, j.right) for n, j in judged.items()},
        "groups": groups,
        "disparities": disparities,
        "errors": {n: found for n, found in errors.items() if found is not None},
        "minors": minors,
        "sections": () if minors is None else (minors.section(),),
    }


def measure_groups(
    measured: Sequence[Quantity], groups: Mapping[str, Groups], bootstrap: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of groups and of disparities of an Audit."""
    pd = import_pandas()
    tables, disparities = [], []
    for by in groupings(groups):
        table, draws = group_table(measured, groups, by, bootstrap, seed)
        tables.append(table)
        found = [disparity(table, draws, q.name) for q in measured if q.kind == "accuracy"]
        disparities += [d for d in found if d is not None]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), pd.DataFrame(disparities)


def reliability(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Bins of confidence: low, high, faces, confidence and accuracy (means); empty bins are left out."""
    pd = import_pandas()
    place = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    rows = [
        {
            "low": b / ECE_BINS,
            "high": (b + 1) / ECE_BINS,
            "faces": int((place == b).sum()),
            "confidence": float(confidence[place == b].mean()),
            "accuracy": float(right[place == b].mean()),
        }
        for b in np.unique(place)
    ]
    return pd.DataFrame(rows)


def answered(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """What `--min-confidence` gives: at each threshold the share of faces answered, and the accuracy among them.

    One row for each of 100 steps of the share answered, and for the round thresholds; NaN where none is answered.
    """
    pd = import_pandas()
    steps = np.quantile(confidence, np.linspace(0, 1, 101), method="higher")
    rows = []
    for threshold in np.unique(np.round(np.concatenate([[0.0], steps, THRESHOLDS]), 6)):
        kept = confidence >= threshold - 1e-9
        accuracy = float(right[kept].mean()) if kept.any() else math.nan
        rows.append({"min_confidence": float(threshold), "answered": float(kept.mean()), "accuracy": accuracy})
    return pd.DataFrame(rows)


def error_by_number(
    attribute: Attribute, batch: FaceBatch, targets: np.ndarray, bootstrap: int, seed: int
) -> pd.DataFrame | None:
    """The errors of an attribute by its labelled number, as `errors_of`. None without exact labels."""
    answers, true = batch.answers[attribute.name], attribute.strategy.numbers(attribute, targets)
    faces = attribute.strategy.per_face(attribute, answers, targets)
    if attribute.axis is None or answers.values is None or not np.isfinite(true).any() or "mae" not in faces:
        return None
    error = answers.values.astype("float64") - true
    # A difference that goes round, as of angles, has the size of the kind's error.
    error = np.sign(error) * faces["mae"]
    table = errors_of(true, error, attribute.axis.high - attribute.axis.low, bootstrap, seed)
    if "coverage" in faces and answers.intervals is not None:
        place, bins = _number_bins(true, attribute.axis.high - attribute.axis.low)[:2]
        width = answers.intervals[:, 1] - answers.intervals[:, 0]
        table["coverage"] = [float(faces["coverage"][place == b].mean()) for b in bins]
        table["width"] = [float(width[place == b].mean()) for b in bins]
    return table


def errors_of(true: np.ndarray, error: np.ndarray, span: float, bootstrap: int, seed: int) -> pd.DataFrame:
    """By labelled number: from, to, faces, mae, mae_low, mae_high, bias (of predicted - labelled).

    true, error: (N,), NaN where unknown. span: of the scale. In bins of five units, or of more where there would be
    more than PARTS.
    """
    pd = import_pandas()
    place, bins, step = _number_bins(np.where(np.isfinite(error), true, np.nan), span)
    groups = Groups.of_codes([f"{b:g}" for b in bins], np.where(np.isfinite(place), np.searchsorted(bins, place), -1))
    low, high = interval(group_means(np.abs(error), groups, bootstrap, seed))
    return pd.DataFrame(
        {
            "from": bins * step,
            "to": (bins + 1) * step,
            "faces": groups.faces,
            "mae": means(np.abs(error), groups)[0],
            "mae_low": low,
            "mae_high": high,
            "bias": means(error, groups)[0],
        }
    )


def _number_bins(true: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray, float]:
    """(N,) numbers of the bins, NaN where unknown; those with faces; how wide a bin is."""
    step = 5.0 if 5 <= span <= 5 * PARTS else span / PARTS
    place = np.where(np.isfinite(true), np.floor(np.nan_to_num(true) / step), np.nan)
    return place, np.unique(place[np.isfinite(place)]), step


def face_map_places(latents: np.ndarray, seed: int) -> np.ndarray | None:
    """(M, D) latents -> (M, 2) places by t-SNE; None for fewer than ten faces, or where nothing varies."""
    if len(latents) < 10 or not np.isfinite(latents).all() or not latents.std(axis=0).any():
        return None
    return tsne(latents, seed)


def class_tables(
    confusion: Mapping[str, tuple[tuple[str, ...], np.ndarray]], bootstrap: int, seed: int
) -> pd.DataFrame:
    """Precision, recall and F1 of each class of each attribute, each with _low and _high."""
    pd = import_pandas()
    tables = [_class_table(n, *c, bootstrap, seed) for n, c in confusion.items()]
    return pd.concat(tables or [pd.DataFrame()], ignore_index=True)


def _class_table(name: str, classes: tuple[str, ...], confusion: np.ndarray, bootstrap: int, seed: int) -> pd.DataFrame:
    pd = import_pandas()
    k = len(classes)
    out: dict[str, Any] = {"attribute": name, "class": classes, "faces": confusion.sum(axis=1)}
    out["predicted"] = confusion.sum(axis=0)
    value = _class_figures(confusion[None].astype("float64"))
    total = int(confusion.sum())
    drawn = np.random.default_rng(seed).multinomial(total, confusion.ravel() / max(total, 1), size=bootstrap)
    draws = _class_figures(drawn.reshape(-1, k, k).astype("float64"))
    for key, found in value.items():
        out[key] = found[0]
        out[f"{key}_low"], out[f"{key}_high"] = interval(draws[key])
    return pd.DataFrame(out)


def _class_figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """(B, K, K) counts -> (B, K) of each figure; NaN where there is nothing to divide by."""
    right, labelled, said = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)

    def share(part: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.where(of > 0, part / np.where(of > 0, of, 1), np.nan)

    return {
        "precision": share(right, said),
        "recall": share(right, labelled),
        # 2 right / (labelled + said) is the harmonic mean of the two, and 0 where nothing is right.
        "f1": np.where(labelled > 0, share(2 * right, labelled + said), np.nan),
    }
