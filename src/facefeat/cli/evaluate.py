"""`facefeat evaluate`: what a preset scores on a data set."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from facefeat.cli._inputs import check_data, check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._show import say

if TYPE_CHECKING:
    from facefeat.evaluation import Report


@click.command("evaluate")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Imported folder, tar, zip or CSV.")
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--split", default="val", show_default=True, help="The faces to measure on.")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option(
    "--report", "folder", type=click.Path(path_type=Path), help="Write a page, JSON and pictures to this folder."
)
@click.option("--predictions", type=click.Path(dir_okay=False, path_type=Path), help="Write labels and predictions of "
              "each face to this CSV file, for `audit` and `census`.")  # fmt: skip
@click.option("--bootstrap", default=500, show_default=True, type=click.IntRange(0), help="Resamples for the "
              "intervals; 0 for none.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@runtime_options
def evaluate(
    data: Path,
    preset: str | None,
    split: str,
    splits: Path | None,
    folder: Path | None,
    predictions: Path | None,
    bootstrap: int,
    as_json: bool,
) -> None:
    """Score a preset on a split of a data set, overall and per group."""
    from facefeat.data import load_dataset
    from facefeat.evaluation.audit import require_extra
    from facefeat.evaluation.page import OURS
    from facefeat.evaluation.predictions import prediction_frame
    from facefeat.evaluation.report import predict_dataset
    from facefeat.utils.atomic import atomic_file, check_folder, check_writable

    if folder is not None:
        # Before the work, not after it.
        require_extra()
        check_folder(folder, "a report", OURS.__contains__)
    if predictions is not None:
        check_writable(predictions)
    check_model(preset)
    check_data(data, splits)
    console = Console(stderr=True)
    model = load_model(preset)
    with console.status("reading the data"):
        dataset = load_dataset(data, schema=model.schema, splits=splits).split(split)
    with console.status(f"scoring {len(dataset.table):,} faces"):
        if folder is None:
            report = model.evaluate(dataset, bootstrap=bootstrap)
        else:
            command = shlex.join(
                ["facefeat", "evaluate", "--data", data.name, "--split", split, "--report", folder.name]
            )
            audit = model.audit(dataset, bootstrap=bootstrap, command=command, split=split)
            report = audit.report
    if predictions is not None:
        with console.status("writing the predictions"), atomic_file(predictions) as new:
            prediction_frame(predict_dataset(model.classifier, dataset), dataset).to_csv(new, index=False)
    if folder is not None:
        with console.status("drawing"):
            audit.save(folder)
        console.print(f"Page: {folder / 'report.html'}", highlight=False)
    if as_json:
        say(json.dumps(report.to_dict(), indent=1))
    else:
        _show(report)


def _show(report: Report) -> None:
    console = Console()
    overall = Table(title=f"{report.dataset}: {report.faces:,} faces")
    overall.add_column("metric")
    overall.add_column("value", justify="right")
    overall.add_column("95 % interval", justify="right")
    for name, value in report.metrics.items():
        low_high = report.intervals.get(name)
        overall.add_row(name, f"{value:.4f}", f"{low_high[0]:.4f} to {low_high[1]:.4f}" if low_high else "")
    console.print(overall)
    groups = Table(title="per group")
    columns = ["attribute", "group", "faces", *[c for c in report.by_group if c.endswith(("_accuracy", "_mae"))]]
    columns = [c for c in columns if "balanced" not in c]
    for c in columns:
        groups.add_column(c.replace("_accuracy", ""), justify="left" if c in ("attribute", "group") else "right")
    for row in report.by_group[columns].itertuples(index=False):
        groups.add_row(*[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row])
    console.print(groups)
