"""`facefeat train`: a recipe and a data set in, a preset out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from facefeat.cli._quiet import start_keras

_SHOWN = ("gender_accuracy", "race_accuracy", "age_accuracy", "age_mae", "mse", "psnr")


@click.command("train")
@click.option("--recipe", required=True, help="Name of a shipped recipe (`facefeat recipes`), or a .toml file.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Imported folder, tar, zip or CSV.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in --output.")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option("--train-split", default="train", show_default=True)
@click.option("--validation-split", default="val", show_default=True)
@click.option("--epochs", type=int, help="Instead of the recipe's.")
@click.option("--batch-size", type=int, help="Instead of the recipe's.")
@click.option("--learning-rate", type=float, help="Instead of the recipe's.")
@click.option("--seed", type=int, help="Instead of the recipe's.")
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
    from facefeat.registry import get_registry
    from facefeat.training import load_recipe
    from facefeat.training.processes import ALONE, join_processes

    # The recipe first: its mistakes show before any work starts.
    chosen = load_recipe(recipe).replace(**{k: v for k, v in changes.items() if v is not None})
    for kind, part in (("backbone", chosen.backbone), ("head", chosen.head)):
        get_registry().get(kind, part.name)
    check_output(output, resume)
    console = Console(stderr=True)
    with console.status("reading the data"):
        dataset = load_dataset(data, schema=chosen.schema, splits=splits)
    start_keras()
    processes = join_processes() if distributed else ALONE
    training, validation = dataset.split(train_split), dataset.split(validation_split)
    console.quiet = not processes.leads
    console.print(
        f"{chosen.name}: {len(training.table):,} faces to train on, {len(validation.table):,} to choose on, "
        f"{len(dataset.skipped)} skipped" + f"; {processes.count} processes" * distributed
    )
    make_output(output)
    with bars(console) as progress:
        model = FaceFeatureModel.from_recipe(chosen)
        reporter = RichReporter(progress, console)
        to: dict[str, Any] = {"folder": output, "resume": resume, "reporter": reporter, "processes": processes}
        log = model.fit(training, validation, chosen, **to)
    if not processes.leads:
        return
    report = model.evaluate(validation)
    report.save(output)
    (output / "training.json").write_text(json.dumps(log.to_dict(), indent=1) + "\n", "utf-8")
    command = f"facefeat train --recipe {chosen.name} --data DATA --output RUN"
    card = model_card(model, report, log, command)
    model.save(output / "preset", card=card)
    click.echo(str(output / "preset"))


def check_output(output: Path, resume: bool) -> None:
    """Raises InputError where the folder of a run holds one already, and this is not to go on with it."""
    from facefeat.errors import InputError

    if (output / "checkpoint.npz").exists() and not resume:
        raise InputError(f"{str(output)!r} holds a run already. Add --resume to go on, or give another --output.")


def make_output(output: Path) -> None:
    """Make the folder of a run. Raises InputError where it cannot be made."""
    from facefeat.errors import InputError

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(f"cannot make the folder {str(output)!r}: {e.strerror}") from None


def bars(console: Console) -> Progress:
    """What a RichReporter draws on."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


class RichReporter:
    """A bar for the run and one for the epoch; a line per finished epoch."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self.progress, self.console = progress, console

    def started(self, epochs: int, first_epoch: int, batches: int) -> None:
        self.epochs, self.batches = epochs, batches
        self.whole = self.progress.add_task("run", total=epochs * batches, completed=first_epoch * batches, note="")
        self.part = self.progress.add_task("epoch", total=batches, note="")

    def batch(self, epoch: int, done: int, loss: float) -> None:
        self.progress.update(self.whole, completed=epoch * self.batches + done)
        self.progress.update(
            self.part, completed=done, description=f"epoch {epoch + 1}/{self.epochs}", note=f"loss {loss:.3f}"
        )

    def epoch(self, record: Mapping[str, Any]) -> None:
        shown = "  ".join(f"{k} {record[k]:.4g}" for k in _SHOWN if k in record)
        self.console.print(
            f"epoch {record['epoch'] + 1}/{self.epochs}  loss {record['loss']:.4f}  {shown}  {record['seconds']:.0f} s",
            highlight=False,
        )
