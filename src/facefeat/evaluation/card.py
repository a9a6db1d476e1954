"""The model card of a preset, after Mitchell et al., "Model cards for model reporting", FAccT 2019."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat.evaluation.report import SMALL_GROUP

if TYPE_CHECKING:
    from facefeat.evaluation.report import Report
    from facefeat.model import FaceFeatureModel
    from facefeat.training.trainer import TrainingLog

_LIMITS = """\
The answers are guesses of *apparent* age, gender and race, in the classes of the data set's annotators, not facts about
a person: identity is not visible in a face. The classes are coarse and two genders are all that the data set knows.
Errors differ by group, as the table shows. Do not use the model to decide about people (hiring, credit, policing,
access, medicine), to identify anybody, or to single out members of a group. It was trained on frontal faces; profiles,
masks, heavy make-up, drawings, very small and very dark faces are read worse."""


def model_card(model: FaceFeatureModel, report: Report, log: TrainingLog, command: str) -> str:
    """Markdown: what the model is, its data and licence, how to repeat it, what it scores per group, its limits."""
    data, versions = log.data, log.versions
    best = log.epochs[log.best_epoch]
    lines = [
        f"# {model.name}",
        "",
        f"{log.recipe['summary'] or model.name}. {model.parameters:,} parameters; crops of {model.image_size} x "
        f"{model.image_size} pixels in the geometry `{model.alignment.name}`; schema `{model.schema.name}`.",
        "",
        "## Data and licence",
        "",
        f"Trained on {data['train']['faces']:,} faces of {data['name']}; the epoch and the calibration were chosen on "
        f"the {data['validation']['faces']:,} faces of its validation split, on which the figures below were measured, "
        "too: they are a little better than on unseen data.",
        "",
        f"**Licence of the weights: {data['licence'] or 'that of the data set'}.** The code of facefeat is "
        "Apache-2.0; that does not extend to these weights.",
        "",
        "## How it was made",
        "",
        f"    {command}",
        "",
        f"Epoch {best['epoch'] + 1} of {len(log.epochs)}; facefeat {versions['facefeat']}, Keras {versions['keras']} "
        f"on {versions['backend']}, Python {versions['python']}; recipe, seed, per-epoch log and the hash of the data "
        "list are in `training.json`.",
        "",
        "## Figures",
        "",
        "Measured with `facefeat evaluate --data DATA --split val`; intervals are 95 %, by bootstrap over the faces.",
        "",
        "| metric | value | interval |",
        "|---|---|---|",
    ]
    for name, value in report.metrics.items():
        low, high = report.intervals.get(name, (value, value))
        lines.append(f"| {name.replace('_', ' ')} | {value:.4f} | {low:.4f} to {high:.4f} |")
    lines += ["", "### Per group", ""]
    columns = [c for c in report.by_group.columns if c.endswith(("_accuracy", "_mae")) and "balanced" not in c]
    lines.append("| attribute | group | faces | " + " | ".join(c.replace("_", " ") for c in columns) + " |")
    lines.append("|---|---|---|" + "---|" * len(columns))
    for row in report.by_group.to_dict(orient="records"):
        cells = " | ".join(f"{row[c]:.3f}" if row[c] == row[c] else "" for c in columns)
        lines.append(f"| {row['attribute']} | {row['group']} | {row['faces']} | {cells} |")
    lines += ["", f"Groups under {SMALL_GROUP} faces say little.", "", "## Limits", "", _LIMITS, ""]
    return "\n".join(lines)
