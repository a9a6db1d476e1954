"""`facefeat train`: a recipe and a data set in, a preset out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from facefeat.cli._inputs import check_data
from facefeat.cli._quiet import start_keras
from facefeat.cli._run import RichReporter, bars, check_output, make_output, repeated, run_options
from facefeat.cli._show import say


@click.command("train")
@run_options
@click.option("--start", metavar="NAME|FOLDER", help="Start from the backbone of this preset, not the recipe's.")
@click.option(
    "--distributed", is_flag=True, help="This is one of several processes; the launcher's environment says which."
)
def train(
    recipe: str,
    data: Path,
    output: Path,
    resume: bool,
    splits: Path | None,
    train_split: str,
    validation_split: str,
    distributed: bool,
    **changes: Any,
) -> None:
    """Train a model by a recipe and write it to OUTPUT/preset.

    Every epoch leaves a checkpoint in OUTPUT; after a kill, the same command with --resume goes on from there.
    """
    from facefeat.data import load_dataset
    from facefeat.evaluation.card import model_card
    from facefeat.model import FaceFeatureModel
    from facefeat.plugins.registry import get_registry
    from facefeat.presets.store import find_preset
    from facefeat.training import load_recipe
    from facefeat.training.checkpoint import CHECKPOINT
    from facefeat.training.processes import ALONE, join_processes

    # The recipe first: its mistakes show before any work starts.
    chosen = load_recipe(recipe).replace(**{k: v for k, v in changes.items() if v is not None})
    for kind, part in (("backbone", chosen.backbone), ("head", chosen.head)):
        get_registry().get(kind, part.name)
    check_output(output, resume)
    if chosen.start and not (output / CHECKPOINT).is_file():
        find_preset(chosen.start)
    check_data(data, splits)
    start_keras()
    processes = join_processes() if distributed else ALONE
    model = FaceFeatureModel.from_recipe(chosen)  # the mistakes in the settings of backbone and head
    console = Console(stderr=True)
    with console.status("reading the data"):
        dataset = load_dataset(data, schema=chosen.schema, splits=splits)
    training, validation = dataset.split(train_split), dataset.split(validation_split)
    console.quiet = not processes.leads
    console.print(
        f"{chosen.name}: {len(training.table):,} faces to train on, {len(validation.table):,} to choose on, "
        f"{len(dataset.skipped)} skipped" + f"; {processes.count} processes" * distributed
    )
    make_output(output)
    with bars(console) as progress:
        reporter = RichReporter(progress, console)
        to: dict[str, Any] = {"folder": output, "resume": resume, "reporter": reporter, "processes": processes}
        log = model.fit(training, validation, chosen, **to)
    if not processes.leads:
        return
    report = model.evaluate(validation)
    report.save(output)
    (output / "training.json").write_text(json.dumps(log.to_dict(), indent=1) + "\n", "utf-8")
    told = {"splits": splits, "train_split": train_split, "validation_split": validation_split}
    command = repeated("train", recipe, **told, **changes)
    card = model_card(model, report, log, command)
    model.save(output / "preset", card=card)
    say(str(output / "preset"))
