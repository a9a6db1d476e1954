"""The audit: everything that a reader of the page needs, measured once, as tables and arrays."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import MissingExtraError
from facefeat.evaluation.groups import disparity, group_means, group_table, groupings, quantities
from facefeat.evaluation.metrics import ECE_BINS, expected_calibration_error, perfect_calibration_error
from facefeat.evaluation.report import Report, predict_dataset, report_on
from facefeat.utils.statistics import interval, tsne

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.schema import Schema
    from facefeat.types import FaceBatch, UInt8Array

NEEDED = ("fairlearn", "jinja2", "matplotlib")
MISTAKES = 12
"""Mistakes shown for each attribute."""
MAPPED = 1500
"""Faces in the map of latents; so many take seconds."""
YEARS_PER_BIN = 5
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Mistake:
    """A face read wrongly: its file, the class said with its probability, the label, and its (S, S, 3) uint8 crop."""

    file: str
    said: str
    confidence: float
    label: str
    crop: UInt8Array

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the crop is left out."""
        return {"file": self.file, "said": self.said, "confidence": round(self.confidence, 4), "label": self.label}


@dataclass(frozen=True)
class FaceMap:
    """A t-SNE of latents: where M faces lie, (M, 2); their labels, attribute -> (M,) int; (M, S, S, 3) uint8 crops."""

    places: np.ndarray
    labels: Mapping[str, np.ndarray]
    crops: UInt8Array


@dataclass(frozen=True)
class Audit:
    """What a model scores on a data set, in the detail that the page shows; see `docs/audit.md`.

    about: what was measured, with what. classes: precision, recall, F1 per class. confusion: attribute -> (K, K)
    counts, rows are labels. reliability: attribute -> bins of confidence. answered: attribute -> share answered and
    accuracy by confidence asked for. groups: a row per group. disparities: one row per grouping and accuracy.
    age_error: a row per five years. mistakes: attribute -> the most confident ones. map: None where too few faces.
    """

    report: Report
    schema: Schema
    about: dict[str, Any]
    classes: pd.DataFrame
    confusion: dict[str, np.ndarray]
    reliability: dict[str, pd.DataFrame]
    calibration_errors: dict[str, dict[str, float]]
    answered: dict[str, pd.DataFrame]
    groups: pd.DataFrame
    disparities: pd.DataFrame
    age_error: pd.DataFrame | None
    mistakes: dict[str, list[Mistake]]
    map: FaceMap | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; NaN and infinity are None."""
        tables = {"classes": self.classes, "groups": self.groups, "disparities": self.disparities}
        return {
            **self.report.to_dict(),
            "about": self.about,
            **{k: _records(v) for k, v in tables.items()},
            "confusion": {
                k: {"classes": list(self.schema[k].classes), "counts": v.tolist()} for k, v in self.confusion.items()
            },
            "calibration_errors": self.calibration_errors,
            "reliability": {k: _records(v) for k, v in self.reliability.items()},
            "answered": {k: _records(v) for k, v in self.answered.items()},
            "age_error": [] if self.age_error is None else _records(self.age_error),
            "mistakes": {k: [m.to_dict() for m in v] for k, v in self.mistakes.items()},
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
    labels = dataset.labels()
    places = face_map_places(classifier.encode(taken), seed)
    face_map = None if places is None else FaceMap(places, {k: v[rows] for k, v in labels.items()}, taken)
    files = [str(f) for f in dataset.table["file"]]
    found = measure(classifier.schema, batch, labels, dataset.years(), dataset.name, bootstrap, seed)
    mistakes = {
        name: [
            Mistake(
                files[i],
                str(batch.labels[name][i]),
                float(batch.probabilities[name][i].max()),
                classifier.schema[name].classes[int(labels[name][i])],
                crop,
            )
            for i, crop in zip(at, crops.take(at), strict=True)
        ]
        for name, at in confident_mistakes(classifier.schema, batch, labels).items()
    }
    told = {
        "version": __version__,
        "dataset": dataset.name,
        "data_licence": dataset.licence,
        "schema": classifier.schema.name,
        "image_size": classifier.image_size,
        "parameters": classifier.parameters,
        "bootstrap": bootstrap,
        "seed": seed,
        "fingerprint": dataset.fingerprint,
        "calibration": {k: v for k, v in classifier.calibration.to_dict().items() if k in ("interval", "measured")},
        **(about or {}),
    }
    return Audit(about=told, mistakes=mistakes, map=face_map, **found)


def measure(
    schema: Schema,
    batch: FaceBatch,
    labels: Mapping[str, np.ndarray],
    years: np.ndarray,
    name: str,
    bootstrap: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """The fields of an Audit that need no pictures. Raises DataError where no face has any label."""
    import pandas as pd

    from facefeat.errors import DataError

    labelled = [n for n in schema.attributes if (labels[n] >= 0).any()]
    if not labelled:
        raise DataError(f"no face of {name!r} has a label of any attribute, so there is nothing to measure.")
    known = {n: labels[n] >= 0 for n in labelled}
    p = {n: batch.probabilities[n][known[n]] for n in labelled}
    y = {n: labels[n][known[n]] for n in labelled}
    confusion = {n: _confusion(y[n], p[n].argmax(axis=1), len(schema[n].classes)) for n in labelled}
    measured = quantities(schema, batch, labels, years)
    tables, disparities = [], []
    for by in groupings(schema, labels):
        table, draws = group_table(schema, measured, labels, by, bootstrap, seed)
        tables.append(table)
        found = [disparity(table, draws, q.name) for q in measured if q.kind == "accuracy"]
        disparities += [d for d in found if d is not None]
    return {
        "report": report_on(name, schema, batch, labels, years, bootstrap, seed),
        "schema": schema,
        "classes": pd.concat([_classes(n, schema[n].classes, c) for n, c in confusion.items()], ignore_index=True),
        "confusion": confusion,
        "reliability": {n: reliability(p[n], y[n]) for n in labelled},
        "calibration_errors": {
            n: {
                "ece": expected_calibration_error(p[n], y[n]),
                "ece_of_a_perfect_model": perfect_calibration_error(p[n]),
            }
            for n in labelled
        },
        "answered": {n: answered(p[n], y[n]) for n in labelled},
        "groups": pd.concat(tables, ignore_index=True),
        "disparities": pd.DataFrame(disparities),
        "age_error": age_error(batch, years, bootstrap, seed),
    }


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Bins of confidence: low, high, faces, confidence and accuracy (means); empty bins are left out."""
    import pandas as pd

    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
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


def answered(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """What `--min-confidence` gives: at each threshold the share of faces answered, and the accuracy among them.

    One row for each of 100 steps of the share answered, and for the round thresholds; NaN where none is answered.
    """
    import pandas as pd

    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    steps = np.quantile(confidence, np.linspace(0, 1, 101), method="higher")
    rows = []
    for threshold in np.unique(np.round(np.concatenate([[0.0], steps, THRESHOLDS]), 6)):
        kept = confidence >= threshold - 1e-9
        accuracy = float(right[kept].mean()) if kept.any() else math.nan
        rows.append({"min_confidence": float(threshold), "answered": float(kept.mean()), "accuracy": accuracy})
    return pd.DataFrame(rows)


def age_error(batch: FaceBatch, years: np.ndarray, bootstrap: int, seed: int) -> pd.DataFrame | None:
    """By five years of labelled age: from, to, faces, mae, mae_low, mae_high, lean (mean of said - labelled), coverage.

    None without exact ages.
    """
    import pandas as pd

    if batch.age_years is None or not np.isfinite(years).any():
        return None
    error = batch.age_years.astype("float64") - years
    place = np.where(np.isfinite(years), np.floor(np.nan_to_num(years) / YEARS_PER_BIN), -1).astype(int)
    bins = np.unique(place[place >= 0])
    members = place[:, None] == bins[None, :]
    low, high = interval(group_means(np.abs(error), members, bootstrap, seed))
    out = {
        "from": bins * YEARS_PER_BIN,
        "to": (bins + 1) * YEARS_PER_BIN - 1,
        "faces": members.sum(axis=0),
        "mae": [float(np.abs(error[m]).mean()) for m in members.T],
        "mae_low": low,
        "mae_high": high,
        "lean": [float(error[m].mean()) for m in members.T],
    }
    if batch.age_interval is not None:
        first, last = batch.age_interval.T
        inside = (first <= years) & (np.floor(years) <= last)
        out["coverage"] = [float(inside[m].mean()) for m in members.T]
        out["width"] = [float((last - first)[m].mean()) for m in members.T]
    return pd.DataFrame(out)


def confident_mistakes(schema: Schema, batch: FaceBatch, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Attribute -> rows of the most confident mistakes, first the surest; of an ordered one, those over a class off."""
    out = {}
    for name, attribute in schema.attributes.items():
        p, y = batch.probabilities[name], labels[name]
        off = np.abs(p.argmax(axis=1) - y)
        wrong = np.flatnonzero((y >= 0) & (off > (1 if attribute.ordered else 0)))
        if len(wrong):
            out[name] = wrong[np.argsort(-p[wrong].max(axis=1), kind="stable")][:MISTAKES]
    return out


def face_map_places(latents: np.ndarray, seed: int) -> np.ndarray | None:
    """(M, D) latents -> (M, 2) places by t-SNE; None for fewer than ten faces, or where nothing varies."""
    if len(latents) < 10 or not np.isfinite(latents).all() or not latents.std(axis=0).any():
        return None
    return tsne(latents, seed)


def _confusion(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) counts: row is the label, column what was said."""
    return np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)


def _classes(name: str, classes: tuple[str, ...], confusion: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    right, labelled, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)

    def share(part: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.where(of > 0, part / np.where(of > 0, of, 1), np.nan)

    return pd.DataFrame(
        {
            "attribute": name,
            "class": classes,
            "faces": labelled,
            "precision": share(right, said),
            "recall": share(right, labelled),
            # 2 right / (labelled + said) is the harmonic mean of the two, and 0 where nothing is right.
            "f1": np.where(labelled > 0, share(2 * right, labelled + said), np.nan),
        }
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: NaN and infinity are null."""
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=6))
    return records
