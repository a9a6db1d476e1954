"""The contact sheet of doubtful labels, and the decisions that were made on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facefeat.data.tables import read_table
from facefeat.errors import DataError, InputError, LabelError
from facefeat.evaluation.doctor import Diagnosis
from facefeat.evaluation.page import template
from facefeat.evaluation.sections import csv_of
from facefeat.utils.atomic import atomic_folder
from facefeat.utils.json_text import json_text

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.data.crops import CropView
    from facefeat.data.importers import Import
    from facefeat.types import UInt8Array

OURS = {"doctor.html", "doctor.json", "issues.csv"}
ACTIONS = ("keep", "change", "drop")
MOST_SHOWN = 400
"""Labels on the sheet, the most doubtful ones: a page of so many is a few megabytes, and an hour of work."""


def save_diagnosis(found: Diagnosis, crops: UInt8Array | CropView, folder: Path, command: str = "") -> Path:
    """Write `doctor.html`, the sheet, `issues.csv` with all, and `doctor.json`. crops: (N, S, S, 3) of the data set.

    Raises InputError for a folder that holds anything else or cannot be written.
    """
    shown = found.issues.head(MOST_SHOWN).to_dict("records")
    for issue in shown:
        issue["crop"] = np.asarray(crops[int(issue["row"])])
    page = template("doctor.html.jinja").render(
        found=found, issues=shown, sentences=found.sentences(), more=len(found.issues) - len(shown), command=command
    )
    with atomic_folder(folder, "a diagnosis", OURS.__contains__) as new:
        (new / "doctor.html").write_text(page, "utf-8")
        (new / "doctor.json").write_text(json_text(found.to_dict()) + "\n", "utf-8")
        (new / "issues.csv").write_text(csv_of(found.issues), "utf-8")
    return folder


def apply_decisions(dataset: FaceDataset, decisions: Path) -> tuple[Import, Counter[str]]:
    """The data set with the decisions of a sheet (a CSV with file, attribute, action, label), and how many of each.

    Raises DataError for a file that is none of the data set's, an unknown action or label.
    """
    table = read_table(decisions)
    table.require(("file", "attribute", "action", "label"))
    frame = dataset.table.copy()
    place = {str(f): i for i, f in enumerate(frame["file"])}
    targets = dataset.targets()
    count: Counter[str] = Counter()
    dropped: list[int] = []
    for line, row in table.rows:
        where = f"{str(decisions)!r}, line {line}"
        file, name, action = row["file"].removeprefix("'"), row["attribute"], row["action"]
        if action not in ACTIONS:
            raise DataError(f"{where}: no such action. Received: {action!r}. Valid: {', '.join(ACTIONS)}.")
        if name not in dataset.schema.attributes or file not in place:
            raise DataError(f"{where}: {dataset.name!r} has no {file!r} with the attribute {name!r}.")
        count[action] += 1
        if action == "drop":
            dropped.append(place[file])
        elif action == "change":
            a = dataset.schema[name]
            try:
                targets[name][place[file]] = a.strategy.parse(a, row["label"]).target
            except LabelError as e:
                raise DataError(f"{where}: {e}") from None
    for name, a in dataset.schema.attributes.items():
        for column, values in a.strategy.columns(a, targets[name]).items():
            frame[column] = values
    frame = frame.drop(index=dropped).reset_index(drop=True)
    if not len(frame):
        raise InputError("the decisions drop every face.")
    note = ", ".join(f"{n:,} to {action}" for action, n in count.items())
    return dataset.with_table(frame, f"corrected by {decisions.name}: {note}"), count
