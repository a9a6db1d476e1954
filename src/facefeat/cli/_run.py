"""What the commands that train have in common: their options, the folder of a run, and what is shown of it."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from facefeat.errors import InputError
from facefeat.utils.atomic import write_text

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.evaluation import Report
    from facefeat.training import Recipe, TrainingLog

_SHOWN = ("accuracy", "mae", "mse", "psnr")
"""Measures of any attribute, by the end of a metric's name, that a line of an epoch has."""
_DETAILS = ("balanced_accuracy", "one_off_accuracy", "exact_accuracy")
OF_A_RUN = ("checkpoint.npz", "best.npz", "nan_batch.npz", "training.json", "report.json", "by_group.csv")
"""What a run leaves in its folder next to `preset`, which saving replaces."""
TRAIN_SPLIT, VALIDATION_SPLIT, TEST_SPLIT = "train", "val", "test"
_OPTIONS = (
    click.option("--recipe", required=True, metavar="NAME|FILE", help="A name of `facefeat recipes`, or a .toml file."),
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Imported folder, tar, zip or CSV; for a recipe with sources, the folder that these start from.",
    ),
    click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the run."),
    click.option("--resume", is_flag=True, help="Resume from the last checkpoint in --output."),
    click.option("--overwrite", is_flag=True, help="Begin anew where --output holds a run; its files are replaced."),
    click.option(
        "--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data."
    ),
    click.option("--train-split", default=TRAIN_SPLIT, show_default=True, help="The faces to train on."),
    click.option(
        "--validation-split", default=VALIDATION_SPLIT, show_default=True, help="The faces that choose the epoch."
    ),
    click.option("--epochs", type=int, help="Number of epochs, in place of the recipe's."),
    click.option("--batch-size", type=int, help="Faces per batch, in place of the recipe's."),
    click.option(
        "--learning-rate", type=float, help="In place of the recipe's; the rates of its phases change in proportion."
    ),
    click.option("--seed", type=int, help="Random seed, in place of the recipe's."),
)


@dataclass(frozen=True)
class RunData:
    """The faces of a run: to train on, to choose epoch and calibration on, and to measure on, where there is a test."""

    training: FaceDataset
    validation: FaceDataset
    test: FaceDataset | None


@dataclass(frozen=True)
class RunArguments:
    """What a user gave of the options that commands which train share."""

    recipe: str
    data: Path | None
    output: Path
    resume: bool
    overwrite: bool
    splits: Path | None
    train_split: str
    validation_split: str
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    seed: int | None

    def changes(self, **others: Any) -> dict[str, Any]:
        """What takes the place of the recipe's values: of these options, and of others of the command."""
        own = {k: getattr(self, k) for k in ("epochs", "batch_size", "learning_rate", "seed")}
        return {k: v for k, v in (own | others).items() if v is not None}

    def starts_afresh(self) -> bool:
        """Whether no checkpoint counts, so that the recipe's `start` is needed."""
        return self.overwrite or not (self.output / "checkpoint.npz").is_file()

    def check_output(self) -> None:
        """Call before the data are read.

        Raises InputError where the folder of a run cannot be made, or holds one already, and neither --resume nor
        --overwrite is given.
        """
        if self.resume and self.overwrite:
            raise InputError("--resume continues a run, --overwrite begins it anew. Give one of them.")
        check_output(self.output, self.resume or self.overwrite)

    def make_output(self) -> None:
        """Make the folder of the run, without the checkpoints of one that is overwritten. Raises InputError."""
        make_output(self.output)
        if self.overwrite:
            for name in OF_A_RUN:
                (self.output / name).unlink(missing_ok=True)

    def read(self, console: Console, schema: Any, name: str, more: str = "", recipe: Recipe | None = None) -> RunData:
        """The faces of the run; prints how many. more: text to print after that. recipe: one that may have sources."""
        from facefeat.cli._detect import warn_of_photos

        with console.status("reading the data"):
            dataset = read_data(recipe, self.recipe, self.data, self.splits, schema)
        used = (self.train_split, self.validation_split)
        test = dataset.split(TEST_SPLIT) if TEST_SPLIT in dataset.splits and TEST_SPLIT not in used else None
        found = RunData(dataset.split(self.train_split), dataset.split(self.validation_split), test)
        measured = f"{len(test.table):,} to measure on, " if test is not None else ""
        warn_of_photos(dataset, "Next: facefeat data import --detect")
        console.print(
            f"{name}: {len(found.training.table):,} faces to train on, {len(found.validation.table):,} to choose on, "
            f"{measured}{len(dataset.skipped)} skipped{more}",
            soft_wrap=True,
        )
        return found

    def write_log(self, log: TrainingLog, name: str) -> None:
        """Write what a run left behind to the folder of the run."""
        write_text(self.output / name, json.dumps(log.to_dict(), indent=1) + "\n")

    def repeated(self, command: str, **others: Any) -> str:
        """The line that repeats the run, with the command's other options."""
        data = {"splits": self.splits, "train_split": self.train_split, "validation_split": self.validation_split}
        return repeated(command, self.recipe, **data, **self.changes(**others))


def check_run_data(recipe: Recipe | None, given: str, data: Path | None, splits: Path | None) -> None:
    """Call before `start_keras`. recipe: one that may have sources. given: the recipe as it was typed.

    Raises InputError, DataError where the data of a run are not given or not there.
    """
    from facefeat.cli._inputs import check_data
    from facefeat.training.sources import check_sources, folder_of

    if recipe is not None and recipe.sources:
        if splits is not None:
            raise InputError("--splits is for one data set. Each of a recipe's [[sources]] has a key `splits`.")
        return check_sources(recipe, data or folder_of(given))
    if data is None:
        raise InputError("--data is missing. Valid: an imported folder, tar, zip or CSV.")
    return check_data(data, splits)


def read_data(recipe: Recipe | None, given: str, data: Path | None, splits: Path | None, schema: Any) -> FaceDataset:
    """The data set of a run, or those of its recipe's sources as one. See `check_run_data`."""
    from facefeat.data import load_dataset
    from facefeat.training.sources import folder_of, load_sources

    if recipe is not None and recipe.sources:
        return load_sources(recipe, data or folder_of(given))
    assert data is not None  # check_run_data
    return load_dataset(data, schema=schema, splits=splits)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a run, handed to the command as one `RunArguments`, its first argument."""

    @functools.wraps(command)
    def with_arguments(**given: Any) -> Any:
        own = {f.name: given.pop(f.name) for f in fields(RunArguments)}
        return command(RunArguments(**own), **given)

    for option in reversed(_OPTIONS):
        with_arguments = option(with_arguments)
    return with_arguments


def repeated(command: str, recipe: str, **options: Any) -> str:
    """The line that repeats a run, for its model card; DATA and RUN stand for the folders.

    recipe: as it was given. options: the others that change what is trained, None where they were not given.
    """
    words = ["facefeat", command, "--recipe", recipe, "--data", "DATA", "--output", "RUN"]
    plain = {"train_split": TRAIN_SPLIT, "validation_split": VALIDATION_SPLIT}
    for name, value in options.items():
        if value is not None and value != plain.get(name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def check_output(output: Path, may_exist: bool) -> None:
    """Raises InputError where the folder of a run cannot be made, or holds one already and may not."""
    from facefeat.utils.atomic import check_writable

    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file. Give another --output, a folder.")
    check_writable(output)
    if (output / "checkpoint.npz").exists() and not may_exist:
        raise InputError(
            f"{str(output)!r} holds a run already. Next: --resume to continue it, with the same recipe and data; "
            "--overwrite to begin anew; or another --output."
        )


def make_output(output: Path) -> None:
    """Make the folder of a run. Raises InputError where it cannot be made."""
    from facefeat.utils.atomic import unwritable

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise unwritable(output, e) from None


def is_shown(metric: str) -> bool:
    """Whether a line has room for a metric: the first of each attribute, whatever the attribute is called."""
    return metric.endswith(_SHOWN) and not metric.endswith(_DETAILS)


def say_scores(console: Console, report: Report, data: RunData) -> None:
    """One line: what the run scores, beside what always saying the most frequent class would; one for each source."""
    from facefeat.evaluation.report import SOURCE
    from facefeat.utils.text import printable

    parts = []
    for key, value in report.metrics.items():
        if is_shown(key):
            baseline = f" (most frequent class {report.baselines[key]:.4g})" if key in report.baselines else ""
            parts.append(f"{key.replace('_', ' ')} {value:.4g}{baseline}")
    where = "unseen" if data.test is not None else "validation"
    console.print(f"on {report.faces:,} {where} faces: {', '.join(parts)}", highlight=False, soft_wrap=True)
    for row in report.by_group[report.by_group["attribute"] == SOURCE].to_dict("records"):
        shown = [f"{k.replace('_', ' ')} {v:.4g}" for k, v in row.items() if is_shown(k) and v == v]
        console.print(
            f"  {printable(row['group'])}, {row['faces']:,}: {', '.join(shown)}", highlight=False, soft_wrap=True
        )


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
        shown = "  ".join(f"{k} {v:.4g}" for k, v in record.items() if is_shown(k))
        self.console.print(
            f"epoch {record['epoch'] + 1}/{self.epochs}  loss {record['loss']:.4f}  {shown}  {record['seconds']:.0f} s",
            highlight=False,
            soft_wrap=True,
        )
