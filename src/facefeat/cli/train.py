"""`facefeat train`: a recipe and a data set in, a preset out."""

from __future__ import annotations

import shlex
from typing import Any

import click

from facefeat.cli._quiet import start_keras
from facefeat.cli._run import (
    TEST_SPLIT,
    RichReporter,
    RunArguments,
    bars,
    check_run_data,
    run_options,
    say_scores,
)
from facefeat.cli._show import say, terminal, warn, warned


@click.command("train")
@run_options
@click.option("--start", metavar="NAME|FOLDER", help="Start from the backbone of this preset, not the recipe's.")
@click.option(
    "--distributed", is_flag=True, help="This is one of several processes; the launcher's environment says which."
)
def train(run: RunArguments, start: str | None, distributed: bool) -> None:
    """Train a model by a recipe and write it to OUTPUT/preset.

    Every epoch leaves a checkpoint in OUTPUT; after a kill, the same command with --resume continues.
    """
    from facefeat.evaluation.card import model_card
    from facefeat.model import FaceFeatureModel
    from facefeat.plugins.registry import get_registry
    from facefeat.presets.store import find_preset
    from facefeat.training import load_recipe
    from facefeat.training.processes import ALONE, join_processes

    # The recipe first: its mistakes show before any work starts.
    chosen = load_recipe(run.recipe).replace(**run.changes(start=start))
    augmentations = [("augmentation", layer) for layer in chosen.augment.layers]
    for kind, part in (("backbone", chosen.backbone), ("head", chosen.head), *augmentations):
        get_registry().get(kind, part.name)
    run.check_output()
    if chosen.start and run.starts_afresh():
        find_preset(chosen.start)
    check_run_data(chosen, run.recipe, run.data, run.splits)
    start_keras()
    processes = join_processes() if distributed else ALONE
    of_data = chosen.data_schema is None
    if not of_data:
        model = FaceFeatureModel.from_recipe(chosen)  # the mistakes in the settings of components
    console = terminal(stderr=True, quiet=not processes.leads)
    suffix = f"; {processes.count} processes" * distributed
    data = run.read(console, chosen.data_schema, chosen.name, suffix, chosen)
    if of_data:
        model = FaceFeatureModel.from_recipe(chosen, schema=data.training.schema)
    run.make_output()
    with bars(console) as progress:
        to: dict[str, Any] = {"folder": run.output, "resume": run.resume, "processes": processes}
        log = model.fit(data.training, data.validation, chosen, reporter=RichReporter(progress, console), **to)
    if not processes.leads:
        return
    planned = sum(phase.epochs for phase in chosen.train.plan())
    if len(log.epochs) < planned:
        console.print(
            f"ended after {len(log.epochs)} of {planned} epochs: none of the last {chosen.train.patience} scored "
            f"higher (patience); epoch {log.best_epoch + 1} is kept",
            soft_wrap=True,
        )
    measured = data.test or data.validation
    report = model.evaluate(measured)
    say_scores(console, report, data)
    report.save(run.output)
    run.write_log(log, "training.json")
    split = TEST_SPLIT if data.test else run.validation_split
    card = model_card(model, report, log, run.repeated("train", start=start), split, unseen=data.test is not None)
    with warned():
        model.save(run.output / "preset", card=card)
    say(str(run.output / "preset"))
    data_of = f" --data {shlex.quote(str(run.data))}" if run.data else " --data DATA"
    preset = shlex.quote(str(run.output / "preset"))
    warn(f"done. Next: facefeat evaluate --preset {preset}{data_of}, or facefeat predict PHOTO --preset {preset}")
