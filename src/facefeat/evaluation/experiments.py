"""Finished runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError
from facefeat.utils.files import read_json

if TYPE_CHECKING:
    import pandas as pd

ORIGINAL: Mapping[str, float] = {"age_accuracy": 0.44, "race_accuracy": 0.54, "gender_accuracy": 0.85}
"""What the original student project published: VGG-Face on FairFace (9 ages, 7 races), on its own test split."""

ROWS = (
    ("gender_accuracy", "gender accuracy"),
    ("race_accuracy", "race accuracy"),
    ("race_balanced_accuracy", "race balanced accuracy"),
    ("age_accuracy", "age class accuracy"),
    ("age_one_off_accuracy", "age class one off"),
    ("age_mae", "age error, years"),
    ("gender_ece", "gender calibration error"),
    ("race_ece", "race calibration error"),
    ("age_ece", "age calibration error"),
)


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    metrics: as in its report. schema: of its labels. parameters: weights in all. epochs: run, and minutes they took.
    """

    name: str
    schema: str
    metrics: Mapping[str, float]
    parameters: int
    epochs: int
    minutes: float
    seed: int

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
                name=str(recipe["name"]),
                schema=str(recipe["schema"]),
                metrics={str(k): float(v) for k, v in report["metrics"].items()},
                parameters=int(config["parameters"]),
                epochs=len(training["epochs"]),
                minutes=sum(float(e["seconds"]) for e in training["epochs"]) / 60,
                seed=int(recipe["seed"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise InputError(f"{str(folder)!r}: its report.json or training.json is not facefeat's: {e!r}.") from None


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        if (folder / "checkpoint.npz").is_file():
            raise InputError(f"{str(folder)!r} is not finished: {name} is missing. Next: facefeat train ... --resume")
        raise InputError(f"{str(folder)!r} is no run: {name} is missing. Valid: the --output of `facefeat train`.")
    try:
        found: dict[str, Any] = read_json(path)
    except (OSError, ValueError) as e:
        raise InputError(f"cannot read {str(path)!r}: {e}") from None
    return found


def compare(runs: Sequence[RunSummary]) -> pd.DataFrame:
    """One row per metric, one column per run, and the original's published figures as the last; None where unknown.

    Runs of the same name get their seed, then a number, added.
    """
    import pandas as pd

    columns: dict[str, list[Any]] = {}
    for run in runs:
        name = run.name
        if sum(r.name == run.name for r in runs) > 1:
            name = f"{run.name} (seed {run.seed})"
        number = 2
        while name in columns:
            name, number = f"{run.name} (seed {run.seed}) #{number}", number + 1
        about = [run.schema, f"{run.parameters:,}", str(run.epochs), f"{run.minutes:.0f}"]
        columns[name] = [run.metrics.get(key) for key, _ in ROWS] + about
    columns["original"] = [ORIGINAL.get(key) for key, _ in ROWS] + ["fairface", None, None, None]
    index = [label for _, label in ROWS] + ["schema", "parameters", "epochs", "minutes"]
    return pd.DataFrame(columns, index=pd.Index(index, name="metric"), dtype=object)
