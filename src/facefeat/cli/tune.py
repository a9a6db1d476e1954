"""`facefeat tune`: search for a better recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from facefeat.cli._quiet import start_keras
from facefeat.cli._run import check_output, check_run_data, read_data
from facefeat.cli._show import say, terminal

if TYPE_CHECKING:
    from facefeat.training.recipe import Recipe


@click.command()
@click.option("--recipe", required=True, metavar="NAME|FILE", help="The recipe to start from: a name of "
              "`facefeat recipes`, or a .toml file.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path),
              help="Imported folder, tar, zip or CSV; for a recipe with sources, the folder of these.")  # fmt: skip
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the search.")
@click.option(
    "--trials",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of trials, pruned ones included.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of each trial, in place of the recipe's.")
@click.option("--space", type=click.Path(path_type=Path), help="TOML file of ranges, instead of the recipe's own.")
@click.option("--storage", help="Database address, to search on several machines; else a journal file in --output.")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option("--train-split", default="train", show_default=True, help="The faces to train on.")
@click.option("--validation-split", default="val", show_default=True, help="The faces that a trial is judged on.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Seed of the random search."
)
def tune(
    recipe: str,
    data: Path | None,
    output: Path,
    trials: int,
    epochs: int | None,
    space: Path | None,
    storage: str | None,
    splits: Path | None,
    train_split: str,
    validation_split: str,
    seed: int,
) -> None:
    """Search for a better recipe: OUTPUT/best.toml, and OUTPUT/index.html with plots.

    The same command resumes a killed search, and joins a running one from another terminal or machine.
    """
    from facefeat.training import load_recipe
    from facefeat.training.tune import best_recipe, check_begin, write_recipe
    from facefeat.training.tune import tune as search
    from facefeat.training.tune_page import write_page

    chosen = load_recipe(recipe)
    if epochs is not None:
        chosen = chosen.replace(epochs=epochs)
    ranges = None if space is None else _space(space, chosen)
    # Their mistakes show before the data are read, and leave no study.
    check_output(output, may_exist=True)
    check_run_data(chosen, recipe, data, splits)
    check_begin(chosen, output, storage, seed, ranges)
    console = terminal(stderr=True)
    with console.status("reading the data"):
        dataset = read_data(chosen, recipe, data, splits, chosen.data_schema)
    start_keras()
    study = search(
        chosen,
        dataset.split(train_split),
        dataset.split(validation_split),
        output,
        trials=trials,
        space=ranges,
        storage=storage,
        seed=seed,
        reporter=_Lines(console),
    )
    best = best_recipe(chosen, study)
    comment = f"Trial {study.best_trial.number} of a search from {chosen.name}: score {study.best_value:.4f}."
    write_recipe(best, output / "best.toml", comment)
    write_page(study, chosen, output)
    for key, value in study.best_params.items():
        console.print(f"  {key} = {value:.4g}" if isinstance(value, float) else f"  {key} = {value}")
    say(str(output / "best.toml"))
    console.print(f"Plots: {output / 'index.html'}. Next: facefeat train --recipe {output / 'best.toml'} ...")


def _space(path: Path, recipe: Recipe) -> Mapping[str, Mapping[str, Any]]:
    from facefeat.training.base_recipe import read_toml
    from facefeat.training.space import check_space

    _, table = read_toml(path, "search space")
    return check_space(table, recipe)


class _Lines:
    """A line per trial, and the epoch under way."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def started(self, done: int, trials: int) -> None:
        self.trials = trials
        self.console.print(f"{done} of {trials} trials done before" if done else f"{trials} trials")

    def epoch(self, trial: int, record: Mapping[str, Any]) -> None:
        self.console.print(
            f"  trial {trial}, epoch {record['epoch'] + 1}: score {record['score']:.4f}", style="dim", highlight=False
        )

    def finished(self, study: Any, trial: Any) -> None:
        how = f"score {trial.value:.4f}" if trial.state.name == "COMPLETE" else trial.state.name.lower()
        error = trial.user_attrs.get("error", "")
        complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
        best = f"  best {study.best_value:.4f}" if complete else ""
        self.console.print(f"trial {trial.number}: {how}{best}  {error}")
