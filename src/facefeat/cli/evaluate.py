"""`facefeat evaluate`: what a preset scores on a data set."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from facefeat.cli._detect import warn_of_photos
from facefeat.cli._inputs import check_data, check_model, the_split
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._numbers import bootstrap_rounds
from facefeat.cli._overwrite import check_no_input
from facefeat.cli._show import progress, say, terminal, warn
from facefeat.errors import InputError
from facefeat.utils.csv_rows import ENDING, LineFeeds
from facefeat.utils.json_text import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facefeat import FaceFeatureModel
    from facefeat.data import FaceDataset
    from facefeat.evaluation import Report, counterfactual
    from facefeat.evaluation.robustness import Robustness
    from facefeat.evaluation.sections import Section


@click.command("evaluate")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Imported folder, tar, zip or CSV.")
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--split", help="The faces to measure on; all for every one.  [default: test, or val "
              "where the data have no test]")  # fmt: skip
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option(
    "--report", "folder", type=click.Path(path_type=Path), help="Write a page, JSON and pictures to this folder."
)
@click.option("--predictions", type=click.Path(dir_okay=False, path_type=Path), help="Write labels and predictions of "
              "each face to this CSV file, for `audit` and `census`.")  # fmt: skip
@click.option("--robustness", is_flag=True, help="Measure on corrupted faces, too: blurred, dark, covered. Takes "
              "54 times as long.")  # fmt: skip
@click.option("--conditions", is_flag=True, help="With --report: how answers move in bad light, blur, small size and "
              "under occlusion.")  # fmt: skip
@click.option("--judge", metavar="NAME|FOLDER", help="With --report: how answers move when age or gender is edited, "
              "for the edits that this other model confirms.")  # fmt: skip
@click.option("--bootstrap", default=500, show_default=True, type=bootstrap_rounds(0), help="Resamples for the "
              "intervals; 0 for none.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@runtime_options
def evaluate(
    data: Path,
    preset: str | None,
    split: str | None,
    splits: Path | None,
    folder: Path | None,
    predictions: Path | None,
    robustness: bool,
    conditions: bool,
    judge: str | None,
    bootstrap: int,
    as_json: bool,
) -> None:
    """Score a preset on a split of a data set, overall and per group."""
    from facefeat.data import load_dataset
    from facefeat.evaluation.audit import part_of_training, require_extra
    from facefeat.evaluation.page import OURS
    from facefeat.evaluation.predictions import prediction_frame
    from facefeat.evaluation.report import predict_dataset
    from facefeat.evaluation.robustness import SEVERITIES
    from facefeat.image.corrupt import CORRUPTIONS
    from facefeat.utils.atomic import atomic_file, check_folder, check_writable

    if folder is not None:
        # Before the work, not after it.
        require_extra()
        check_folder(folder, "a report", OURS.__contains__)
    elif conditions or judge:
        raise InputError("--conditions and --judge are sections of the page. Next: --report FOLDER")
    if predictions is not None:
        tables = data.glob("*.csv") if data.is_dir() else ()
        check_no_input(predictions, [data, *tables, *([splits] if splits else [])], "--predictions")
        check_writable(predictions)
    check_model(preset)
    if judge is not None:
        check_model(judge)
    check_data(data, splits)
    console = terminal(stderr=True)
    model = load_model(preset)
    with console.status("reading the data"):
        whole = load_dataset(data, schema=model.schema, splits=splits)
        split = split or ("test" if "test" in whole.splits else "val")
        dataset = the_split(whole, split)
    with console.status(f"scoring {len(dataset.table):,} faces"):
        if folder is None:
            report = model.evaluate(dataset, bootstrap=bootstrap)
        else:
            command = shlex.join(
                ["facefeat", "evaluate", "--data", data.name, "--split", split, "--report", folder.name]
            )
            audit = model.audit(dataset, bootstrap=bootstrap, command=command, split=split)
            report = audit.report
    poor = None
    if robustness:
        steps = 1 + len(CORRUPTIONS) * len(SEVERITIES)
        with progress("corrupted faces", steps) as bar:
            poor = model.robustness(
                dataset, bootstrap=min(bootstrap, 200), progress=lambda done, _: bar.advance(int(done > 0))
            )
        if folder is not None:
            audit = replace(audit, robustness=poor, sections=(*audit.sections, *poor.sections()))
    if conditions or judge:
        with console.status("asking again about changed faces"):
            audit = replace(audit, sections=(*audit.sections, _moved(model, dataset, conditions, judge, bootstrap)))
    if predictions is not None:
        with console.status("writing the predictions"), atomic_file(predictions) as new:
            frame = prediction_frame(predict_dataset(model.classifier, dataset), dataset)
            with new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
                frame.to_csv(LineFeeds(out), index=False, lineterminator=ENDING)
    warn_of_photos(dataset, "Next: facefeat data import --detect")
    if part := part_of_training(model.metadata.training, dataset):
        what = "was trained on" if part == "train" else "chose its epoch and calibration by"
        warn(f"the model {what} these very faces: on others it is less good. Next: --split of faces it has not seen")
    if folder is not None:
        with console.status("drawing"):
            audit.save(folder)
        console.print(f"Page: {folder / 'report.html'}")
    if as_json:
        found = report.to_dict() | ({} if poor is None else {"robustness": poor.to_dict()})
        say(json_text(found))
        return
    _show(report, split)
    if poor is not None:
        _show_robustness(poor)


def _show_robustness(found: Robustness) -> None:
    console = terminal()
    for section in found.sections():
        table = Table(title=section.title)
        for title in section.shown.values():
            table.add_column(title, justify="left" if title in ("Picture", "Between") else "right")
        for row in section.table.to_dict("records"):
            cells = [row[c] for c in section.shown]
            table.add_row(*(c if isinstance(c, str) else f"{c:.3f}" if c == c else "" for c in cells))
        console.print(table)


CHANGES = ({"age": 20}, {"age": -20}, {"gender": "Female"}, {"gender": "Male"})
CHANGED = 500
"""Faces that are changed, at most."""


def _moved(
    model: FaceFeatureModel, dataset: FaceDataset, conditions: bool, judge: str | None, bootstrap: int
) -> Section:
    """What moves in the answers about some of the faces."""
    import numpy as np

    from facefeat.evaluation import counterfactual

    rows = np.sort(np.random.default_rng(0).permutation(len(dataset))[:CHANGED])
    some = dataset.take(rows)
    crops = np.asarray(some.crops(model.image_size)[:])
    changes: list[Iterator[counterfactual.Change]] = []
    if conditions:
        changes += [counterfactual.conditions(crops), counterfactual.smaller(crops)]
    if judge is not None:
        other = load_model(judge)
        known = [c for c in CHANGES if set(c) <= set(model.schema.attributes) & set(other.schema.attributes)]
        changes.append(counterfactual.edits(model.edit, other.predict_faces, crops, known))
    return counterfactual.movements(
        model.predict_faces, model.schema, itertools.chain.from_iterable(changes), some.targets(), bootstrap
    )


def _show(report: Report, split: str) -> None:
    console = terminal()
    overall = Table(title=f"{report.dataset}, {split}: {report.faces:,} faces")
    overall.add_column("metric")
    overall.add_column("value", justify="right")
    overall.add_column("95 % interval", justify="right")
    overall.add_column("most frequent class", justify="right")
    for name, value in report.metrics.items():
        low_high = report.intervals.get(name)
        baseline = f"{report.baselines[name]:.4f}" if name in report.baselines else ""
        interval = f"{low_high[0]:.4f} to {low_high[1]:.4f}" if low_high else ""
        overall.add_row(name, f"{value:.4f}", interval, baseline)
    console.print(overall)
    groups = Table(title="per group")
    columns = ["attribute", "group", "faces", *[c for c in report.by_group if c.endswith(("_accuracy", "_mae"))]]
    columns = [c for c in columns if "balanced" not in c]
    for c in columns:
        groups.add_column(c.replace("_accuracy", ""), justify="left" if c in ("attribute", "group") else "right")
    for row in report.by_group[columns].itertuples(index=False):
        groups.add_row(*[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row])
    console.print(groups)
