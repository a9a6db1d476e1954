"""The model card of a preset, after Mitchell et al., "Model cards for model reporting", FAccT 2019."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facefeat.evaluation.report import SMALL_GROUP
from facefeat.networks.postprocess import cannot_say
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    from facefeat.evaluation.report import Report
    from facefeat.evaluation.robustness import Robustness
    from facefeat.model import FaceFeatureModel
    from facefeat.schema import Schema
    from facefeat.training.log import TrainingLog

BY_SOURCE = "sources"
"""In a log's data: `training.log`."""
_LIMITS = """\
The answers are guesses of *apparent* {attributes}, in the classes of the data set's annotators, not facts about
a person{about}.
Errors differ by group, as the table shows. Do not use the model to decide about people (hiring, credit, policing,
access, medicine), to identify anybody, or to single out members of a group. It was trained on frontal faces; profiles,
masks, heavy make-up, drawings, very small and very dark faces are read worse."""


_METRICS = """\
Balanced: the mean over the classes. One off: the class, or one next to it. Mae: mean absolute error, in years where the
classes have any. Coverage: the share of ages within the stated interval, which is meant to hold 90 %. Ece: expected
calibration error, how far the stated probabilities are from how often they are right; 0 is best. Score: what the epoch
was chosen by."""


def model_card(
    model: FaceFeatureModel, report: Report, log: TrainingLog, command: str, split: str = "val", *, unseen: bool = False
) -> str:
    """Markdown: what the model is, its data and licence, how to repeat it, what it scores per group, its limits.

    split: of the data that the report is on. unseen: whether these faces had no part in the training.
    """
    data, versions = log.data, log.versions
    best = log.epochs[log.best_epoch]
    measured = (
        f"The figures below were measured on {report.faces:,} other faces, those of its split `{split}`."
        if unseen
        else "On these the figures below were measured, too: they are a little better than on unseen data."
    )
    start = log.origin.get("start")
    started = ["", f"The weights of its backbone began as those of the preset `{start}`."] if start else []
    lines = [
        *_header(model, report, data["licence"], split),
        f"# {model.name}",
        "",
        f"{log.recipe['summary'] or model.name}. {model.parameters:,} parameters; crops of {model.image_size} x "
        f"{model.image_size} pixels in the geometry `{model.alignment.name}`; schema `{model.schema.name}`.",
        "",
        "## Data and licence",
        "",
        f"Trained on {data['train']['faces']:,} faces of {data['name']}; the epoch and the calibration were chosen on "
        f"the {data['validation']['faces']:,} faces of its validation split. {measured}",
        *started,
        *_sources(data),
        "",
        f"**Licence of the weights: {log.licence or 'that of the data set'}.** The code of facefeat is "
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
        f"Measured with `facefeat evaluate --data DATA --split {split}`; intervals are 95 %, by bootstrap over the "
        "faces; the last column is what always saying the most frequent class would score.",
        "",
        "| metric | value | interval | most frequent class |",
        "|---|---|---|---|",
    ]
    for name, value in report.metrics.items():
        low, high = report.intervals.get(name, (value, value))
        baseline = f"{report.baselines[name]:.4f}" if name in report.baselines else ""
        lines.append(f"| {name.replace('_', ' ')} | {value:.4f} | {low:.4f} to {high:.4f} | {baseline} |")
    lines += ["", _METRICS, "", "### Per group", ""]
    columns = [c for c in report.by_group.columns if c.endswith(("_accuracy", "_mae")) and "balanced" not in c]
    lines.append("| attribute | group | faces | " + " | ".join(c.replace("_", " ") for c in columns) + " |")
    lines.append("|---|---|---|" + "---|" * len(columns))
    for row in report.by_group.to_dict(orient="records"):
        cells = " | ".join(group_figure(row, c) for c in columns)
        lines.append(f"| {row['attribute']} | {row['group']} | {row['faces']} | {cells} |")
    lines += [
        "",
        f"Groups under {SMALL_GROUP} faces are uncertain. In brackets, the 95 % interval of a mean error.",
        "",
        "## Limits",
        "",
        _limits(model.schema),
        *_cannot_say(model),
        "",
    ]
    return "\n".join(lines)


def group_figure(row: Mapping[str, Any], name: str) -> str:
    """A figure of a row of `Report.by_group`, a mean error with its 95 % interval; empty where there is none."""
    value, se = row[name], row.get(f"{name}_se", math.nan)
    if math.isnan(value):
        return ""
    return f"{value:.3f}" + (
        "" if math.isnan(se) else f" ({max(0.0, value - 1.96 * se):.3f} to {value + 1.96 * se:.3f})"
    )


def _limits(schema: Schema) -> str:
    """The section on limits, for what the model predicts."""
    names = list(map(one_line, schema.attributes))
    listed = ", ".join(names[:-1]) + (" and " if names[:-1] else "") + names[-1]
    gender = schema.attributes.get("gender")
    about = ": identity is not visible in a face. The classes are coarse" if {"gender", "race"} & {*names} else ""
    if about and gender is not None and len(gender.classes) == 2:
        about += " and two genders are all that the data set knows"
    return _LIMITS.format(attributes=listed, about=about)


def _header(model: FaceFeatureModel, report: Report, licence: str, split: str = "val") -> list[str]:
    """YAML front matter with `model-index`, as the Hugging Face hub reads it. JSON strings are YAML strings."""
    lines = ["---", "library_name: facefeat", "license: other", f"license_name: {json.dumps(licence or 'see below')}"]
    lines += ["pipeline_tag: image-classification", "model-index:", f"- name: {json.dumps(model.name)}", "  results:"]
    for attribute in model.schema.attributes:
        mine = {k: v for k, v in report.metrics.items() if k.startswith(f"{attribute}_")}
        if not mine:
            continue
        lines += ["  - task:", "      type: image-classification", f"      name: {json.dumps(attribute)}"]
        lines += [
            "    dataset:",
            f"      name: {json.dumps(report.dataset)}",
            f"      type: {json.dumps(report.dataset)}",
        ]
        lines += [f"      split: {json.dumps(split)}", "    metrics:"]
        for name, value in mine.items():
            measure = name.removeprefix(f"{attribute}_")
            lines += [f"    - type: {json.dumps(measure)}", f"      value: {value:.6g}"]
    return [*lines, "---", ""]


def _sources(data: Mapping[str, Any]) -> list[str]:
    """A table of the data sets, where they are several; the licences are its last column."""
    sources = data.get(BY_SOURCE) or {}
    if not sources:
        return []
    total = sum(about["weight"] for about in sources.values() if about["train"]["faces"]) or 1.0
    lines = ["", "| source | to train on | share of an epoch | to choose on | licence |", "|---|---|---|---|---|"]
    for name, about in sources.items():
        trained, chosen = about["train"]["faces"], about["validation"]["faces"]
        share = about["weight"] / total if trained else 0.0
        lines.append(f"| {_cell(name)} | {trained:,} | {share:.0%} | {chosen:,} | {_cell(about['licence'])} |")
    return lines


def _cell(text: str) -> str:
    return one_line(text, 200).replace("|", "\\|")


def _cannot_say(model: FaceFeatureModel) -> list[str]:
    found = [cannot_say(n, a.classes, a.missing) for n, a in model.schema.attributes.items() if a.missing]
    return ["", *(f"- {s[0].upper()}{s[1:]}" for s in found)] if found else []


def robustness_lines(found: Robustness) -> list[str]:
    """A Markdown table: each attribute under each corruption at the middle severity."""
    lines = []
    for section in found.sections():
        columns = [c for c in section.shown if c != "groups"]
        lines += ["| " + " | ".join(section.shown[c] for c in columns) + " |", "|---" * len(columns) + "|"]
        for row in section.table.to_dict("records"):
            cells = [
                row[c] if isinstance(row[c], str) else f"{row[c]:.3f}" if row[c] == row[c] else "" for c in columns
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines = [*lines[: -len(section.table) - 2], f"**{section.title}**", "", *lines[-len(section.table) - 2 :], ""]
    return lines


def with_robustness(card: str, found: Robustness) -> str:
    """A card with a section on corrupted faces, in place of an earlier one."""
    text = [f"{found.faces:,} faces of {found.dataset}, clean and corrupted at the middle severity "
            "(`benchmarks/robustness.py`). Gap: the accuracy of the best class less that of the worst."]  # fmt: skip
    return _with_section(card, "Robustness", "\n".join([*text, "", *robustness_lines(found)]))


def _with_section(card: str, title: str, text: str) -> str:
    """The card with this section before "Limits" in place of an earlier one of the same title."""
    section = f"## {title}\n\n{text.rstrip()}\n\n"
    card = re.sub(rf"^## {title}\n.*?(?=^## |\Z)", "", card, flags=re.MULTILINE | re.DOTALL)
    start = card.find("## Limits")
    return card[:start] + section + card[start:] if start >= 0 else f"{card.rstrip()}\n\n{section}".rstrip() + "\n"


def with_decoder(card: str, model: FaceFeatureModel, log: Mapping[str, Any], command: str) -> str:
    """A card with a section on the model's decoder, in place of that of an earlier one. log: of its training."""
    decoder, best = model.decoder, log["epochs"][log["best_epoch"]]
    code = f", and {decoder.detail_dim} of a detail code" if decoder.detail_dim else ""
    kept = [f"{k[5:]} {v:.1%}" for k, v in best.items() if k.startswith("kept_")]
    section = f"""\
`{decoder.ref.name}` draws faces of {decoder.face_size} x {decoder.face_size} pixels from {decoder.latent_dim} \
numbers: {decoder.feature_dim} attribute features{code}. Made by

    {command}

on the {log["data"]["train"]["faces"]:,} training faces; epoch {best["epoch"] + 1} of {len(log["epochs"])}. On the \
{log["data"]["validation"]["faces"]:,} validation faces: \
PSNR {best["psnr"]:.1f} dB (mean squared error \
{best["mse"]:.4f} on 0 to 1); the model predicts the same for reconstruction and \
face in {", ".join(kept)}. The log is in `decoder_training.json`.

A decoded face is the model's guess. What it draws for older, or for another gender or race, reflects its training data,
not the person in the picture. Do not present such faces as photographs of people.

"""
    return _with_section(card, "Decoder", section)
