"""`facefeat audit`: any model, by a table of its predictions."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._numbers import Finite, bootstrap_rounds
from facefeat.cli._show import rows, say, warn
from facefeat.errors import InputError
from facefeat.utils.json_text import json_text

if TYPE_CHECKING:
    from facefeat.evaluation.audit import Audit
    from facefeat.evaluation.compare import Comparison
    from facefeat.evaluation.sections import Section

FAILED = 1
"""Exit code where a rule of --fail-under does not hold."""
MOST_ROWS = 40
"""Rows of a section that are shown on the terminal."""
_TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("audit")
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...", type=_TABLE)
@click.option("--map", "mapped", multiple=True, metavar="ROLE=COLUMN|FILE", help="What a column is, such as "
              "gender.truth=sex, gender.prediction=guess, group=country or ignore=id, or what a label means, "
              "gender.class.hombre=Male; or a CSV or TOML file of such. Repeatable.")  # fmt: skip
@click.option(
    "--report", "folder", type=click.Path(path_type=Path), help="Write a page, JSON and tables to this folder."
)
@click.option("--compare", "comparing", is_flag=True, help="Compare two tables on the same faces.")
@click.option("--fail-under", "rules", multiple=True, metavar="RULE", help="Exit with 1 unless it holds, such as "
              "\"gender.worst_group.accuracy >= 0.9\"; repeatable.")  # fmt: skip
@click.option(
    "--guarantee",
    type=Finite(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Sets and intervals "
    "that hold the label of this share of faces in each group, such as 0.9, and thresholds of equal accuracy.",
)
@click.option("--bootstrap", default=500, show_default=True, type=bootstrap_rounds(0), help="Resamples for the "
              "intervals; 0 for none.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def audit(
    tables: tuple[Path, ...],
    mapped: tuple[str, ...],
    folder: Path | None,
    comparing: bool,
    rules: tuple[str, ...],
    guarantee: float | None,
    bootstrap: int,
    as_json: bool,
) -> None:
    """Measure any model, per group, by a TABLE of its predictions: CSV or Parquet, a row for each face.

    Its columns are labels, predictions and, where there are, probabilities and groups. What was guessed of them is
    shown; --map corrects it. --compare takes two tables and says which model is better for whom.
    """
    from facefeat.evaluation.audit import require_extra
    from facefeat.evaluation.page import OURS
    from facefeat.evaluation.rules import parse_rule
    from facefeat.utils.atomic import check_folder

    asked = [parse_rule(r) for r in rules]
    if len(tables) != (2 if comparing else 1):
        raise InputError(f"audit takes one table, or two with --compare. Received: {len(tables)}.")
    if comparing and rules:
        raise InputError("--fail-under is for the audit of one table, not for --compare.")
    require_extra()
    if comparing:
        if folder is not None:
            check_folder(folder, "a comparison", lambda n: n.startswith("comparison."))
        return _compare(tables[0], tables[1], mapped, folder, bootstrap, as_json)
    if folder is not None:
        check_folder(folder, "a report", OURS.__contains__)
    from dataclasses import replace

    from facefeat.evaluation.anyone import measure_predictions
    from facefeat.evaluation.guarantee import guarantee_sections
    from facefeat.evaluation.predictions import read_predictions
    from facefeat.evaluation.rules import check_rules

    read = read_predictions(tables[0], mapped)
    found = check_rules(measure_predictions(read, bootstrap), asked)
    if guarantee is not None:
        found = replace(found, sections=(*found.sections, *guarantee_sections(read, guarantee)))
    typed = ["facefeat", "audit", tables[0].name, *(w for m in mapped for w in ("--map", m))]
    typed += ["--guarantee", f"{guarantee:g}"] if guarantee is not None else []
    found = replace(
        found, about={**found.about, "command": shlex.join([*typed, *(["--report", folder.name] if folder else [])])}
    )
    for line in found.about["columns"]:
        say(f"column: {line}", err=True)
    for line in found.notes:
        warn(line)
    if not _saved(found, folder, "report.html", as_json):
        show(found)
        for section in found.sections:
            show_section(section)
    for rule in found.rules:
        say(rule.say(), err=True)
    if not all(r.passed for r in found.rules):
        click.get_current_context().exit(FAILED)


def show(found: Audit) -> None:
    """The sentences and the groups of single attributes, on the terminal."""
    from facefeat.evaluation.summary import sentences

    for sentence in sentences(found):
        say(f"- {sentence}")
    say()
    measures = [c for c in found.groups.columns if f"{c}_n" in found.groups.columns]
    lines = []
    for r in found.groups.to_dict("records"):
        if " x " not in r["by"]:
            figures = [
                f"{r[m]:.3f} ({r[f'{m}_low']:.3f} to {r[f'{m}_high']:.3f})" if r[f"{m}_n"] else "-" for m in measures
            ]
            lines.append([r["by"], r["group"], f"{r['faces']:,}{' (small)' if r['small'] else ''}", *figures])
    rows(("By", "Group", "Faces", *(m.replace("_", " ") for m in measures)), lines)


def show_section(section: Section) -> None:
    """A table with its sentences, on the terminal; of a long one the first rows."""
    say()
    for line in section.text:
        say(line)
    lines = [[f"{text} ({between})" if between else text for text, between, _ in cells] for _, cells in section.rows()]
    rows((section.title, *list(section.shown.values())[1:]), lines[:MOST_ROWS])
    if len(lines) > MOST_ROWS:
        say(f"... and {len(lines) - MOST_ROWS:,} more rows. Next: --report FOLDER, or --json")


def _compare(a: Path, b: Path, mapped: tuple[str, ...], folder: Path | None, bootstrap: int, as_json: bool) -> None:
    from facefeat.evaluation.compare import compare
    from facefeat.evaluation.predictions import read_predictions

    first, second = (read_predictions(p, mapped) for p in (a, b))
    for table in (first, second):
        for line in (*table.columns.describe(), *table.notes):
            say(f"{table.name}: {line}", err=True)
    found = compare(first, second, bootstrap)
    if not _saved(found, folder, "comparison.html", as_json):
        _show_comparison(found)


def _saved(found: Audit | Comparison, folder: Path | None, page: str, as_json: bool) -> bool:
    """Write the page where one was asked for. Returns whether the result was printed, as JSON."""
    if folder is not None:
        found.save(folder)
        say(f"Page: {folder / page}", err=True)
    if as_json:
        say(json_text(found.to_dict()))
    return as_json


def _show_comparison(found: Comparison) -> None:
    for sentence in found.sentences():
        say(f"- {sentence}")
    say()
    lines = [
        [r["attribute"], r["by"], r["group"], f"{r['faces']:,}", f"{r['a']:.3f}", f"{r['b']:.3f}",
         f"{r['difference']:+.3f} ({r['difference_low']:+.3f} to {r['difference_high']:+.3f})",
         "yes" if r["clear"] else "no"]
        for r in found.table.to_dict("records") if " x " not in r["by"]
    ]  # fmt: skip
    rows(("Attribute", "By", "Group", "Faces", "a", "b", "b minus a", "Beyond chance"), lines)
