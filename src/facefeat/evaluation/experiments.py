"""Finished runs side by side."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError
from facefeat.evaluation.report import SOURCE
from facefeat.schema import BUILTIN_SCHEMAS
from facefeat.utils.files import read_json
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    import pandas as pd

ORIGINAL: Mapping[str, float] = {"age_accuracy": 0.44, "race_accuracy": 0.54, "gender_accuracy": 0.85}
"""What the original student project published: VGG-Face on FairFace (9 ages, 7 races), on its own test split."""

WORDS: Mapping[str, str] = {
    "ece": "calibration error",
    "mae": "mean error",
    "one_off_accuracy": "at most one class off",
}
"""The end of a metric's name -> how a row is called; others are called as they are."""
UNSHOWN = "score"
"""Which chose the epoch, and compares no runs of different attributes."""


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    folder: of the run. name: of its recipe. metrics: as in its report, on so many `faces`, and for each of several data
    sets as "NAME: metric". schema: of its labels.
    parameters: weights in all. epochs: run, and minutes they took.
    """

    folder: Path
    name: str
    schema: str
    metrics: Mapping[str, float]
    parameters: int
    epochs: int
    minutes: float
    seed: int
    faces: int

    @classmethod
    def read(cls, folder: str | Path) -> RunSummary:
        """The summary of a folder that `facefeat train` wrote. Raises InputError that says what is missing."""
        folder = Path(folder)
        report, training, config = (
            _json(folder, name) for name in ("report.json", "training.json", "preset/config.json")
        )
        try:
            recipe = training["recipe"]
            return cls(
                folder=folder,
                name=str(recipe["name"]),
                schema=str((config.get("schema") or {}).get("name") or recipe["schema"]),
                metrics={str(k): float(v) for k, v in report["metrics"].items()} | _by_source(report),
                parameters=int(config["parameters"]),
                epochs=len(training["epochs"]),
                minutes=sum(float(e["seconds"]) for e in training["epochs"]) / 60,
                seed=int(recipe["seed"]),
                faces=int(report.get("faces", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise InputError(f"{str(folder)!r}: its report.json or training.json is not facefeat's: {e!r}.") from None


def _by_source(report: Mapping[str, Any]) -> dict[str, float]:
    """ "NAME: metric" of each data set of a report, as far as it has labels."""
    rows = [row for row in report.get("by_group", ()) if row["attribute"] == SOURCE]
    return {
        f"{row['group']}: {key}": float(value)
        for row in rows
        for key, value in row.items()
        if key not in ("attribute", "group", "faces", UNSHOWN) and value is not None
    }


def _near_runs(folder: Path, name: str) -> str:
    """Which runs are probably meant: those in the folder, or the one that it is in; else nothing."""
    if (folder.parent / name).is_file():
        return f" Next: {shlex.quote(str(folder.parent))}"
    inside = sorted(str(p.parent) for p in folder.glob(f"*/{name}"))[:5]
    return f" Next: facefeat compare {shlex.join(inside)}" if inside else ""


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        if (folder / "checkpoint.npz").is_file():
            raise InputError(f"{str(folder)!r} is not finished: {name} is missing. Next: facefeat train ... --resume")
        near = _near_runs(folder, name)
        raise InputError(
            f"{str(folder)!r} is no run: {name} is missing. Valid: the --output of `facefeat train`.{near}"
        )
    try:
        found: dict[str, Any] = read_json(path)
    except (OSError, ValueError) as e:
        raise InputError(f"cannot read {str(path)!r}: {e}") from None
    return found


def compare(runs: Sequence[RunSummary]) -> pd.DataFrame:
    """One row per metric that a run has, one column per run, headed by its folder; None where unknown.

    Where the runs are of FairFace or UTKFace, the original's published figures are the last column.
    """
    pd = import_pandas()
    keys = [k for k in dict.fromkeys(k for run in runs for k in run.metrics) if k != UNSHOWN]
    columns: dict[str, list[Any]] = {}
    for run in runs:
        about = [run.name, run.schema, f"{run.faces:,}" if run.faces else None, f"{run.parameters:,}"]
        columns[_head(run, runs)] = [
            *(run.metrics.get(key) for key in keys), *about, str(run.epochs), f"{run.minutes:.1f}", str(run.seed)
        ]  # fmt: skip
    if any(run.schema in BUILTIN_SCHEMAS for run in runs):
        columns["original"] = [*(ORIGINAL.get(key) for key in keys), "", "fairface", *[None] * 5]
    index = [*map(_label, keys), "recipe", "schema", "faces measured", "parameters", "epochs", "minutes", "seed"]
    return pd.DataFrame(columns, index=pd.Index(index, name="metric"), dtype=object)


def _label(key: str) -> str:
    for ending, words in WORDS.items():
        if key.endswith(f"_{ending}"):
            return f"{key.removesuffix(f'_{ending}')} {words}".replace("_", " ")
    return key.replace("_", " ")


def _head(run: RunSummary, runs: Sequence[RunSummary]) -> str:
    """The shortest end of its folder's path that no other run has."""
    parts = run.folder.resolve().parts
    others = [r.folder.resolve().parts for r in runs if r is not run]
    for n in range(1, len(parts) + 1):
        if all(o[-n:] != parts[-n:] for o in others):
            return "/".join(parts[-n:])
    return f"{run.folder} #{sum(r.folder == run.folder for r in runs[: [r is run for r in runs].index(True)]) + 1}"
