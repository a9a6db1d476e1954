"""Searching a recipe's space with Optuna (extra `tune`): pruned, shared between processes, resumable.

The study lies in a journal file, or any database that Optuna knows; whoever runs the same command on it joins in, and
a killed search goes on where it was, less the trial under way.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facefeat.errors import InputError, MissingExtraError, TrainingError
from facefeat.training.recipe import Recipe
from facefeat.training.space import Space, apply, check_space, default_space, draw

if TYPE_CHECKING:
    from facefeat.data import FaceDataset


def open_study(recipe: Recipe, folder: Path, storage: str | None = None, seed: int = 0) -> Any:
    """The Optuna study of a recipe: made, or joined where it exists.

    storage: a database address such as "postgresql://..." or "sqlite:///study.db"; the journal file in `folder`
    otherwise. Raises MissingExtraError without Optuna, InputError for a storage that cannot be opened.
    """
    optuna = _optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError  # Optuna's own dependency

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = storage or JournalStorage(JournalFileBackend(str(folder / "study.journal")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.create_study(
                study_name=recipe.name,
                storage=place,
                load_if_exists=True,
                direction="maximize",
                # Seeded by the process, too: two processes with one seed would draw the same points.
                sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
            )
    except (OSError, ImportError, ValueError, SQLAlchemyError) as e:
        raise InputError(
            f"cannot open the study in {storage or str(folder)!r}: {str(e).splitlines()[0]}. Valid for --storage: a "
            "database address such as sqlite:///study.db or postgresql://user@host/name."
        ) from None


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError(
            "tuning needs Optuna, which is not installed. Next: pip install 'facefeat[tune]'"
        ) from None
    return optuna


def tune(
    recipe: Recipe,
    train_set: FaceDataset,
    validation_set: FaceDataset,
    folder: Path,
    *,
    trials: int,
    space: Space | None = None,
    storage: str | None = None,
    seed: int = 0,
    reporter: TuneReporter | None = None,
) -> Any:
    """Search until the study has `trials` finished trials (pruned ones count); returns the Optuna study.

    space: see `training.space`; the recipe's default one otherwise. The score of a trial is its best epoch's (see
    `evaluation.metrics.score_batch`); one that falls behind the median of the others is pruned.
    Raises RecipeError for a space that does not fit, MissingExtraError, InputError.
    """
    optuna = _optuna()
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    from facefeat.training.graph import build_classifier
    from facefeat.training.trainer import train

    chosen = check_space(space if space is not None else default_space(recipe), recipe)
    study = open_study(recipe, folder, storage, seed)
    finished = (TrialState.COMPLETE, TrialState.PRUNED)

    def objective(trial: Any) -> float:
        point = apply(recipe, draw(chosen, trial))
        watch = _Pruner(trial, reporter)
        try:
            log = train(build_classifier(point), train_set, validation_set, point, reporter=watch)
        except TrainingError as e:
            # A learning rate that is too high is an answer, not a failure of the search.
            trial.set_user_attr("error", str(e))
            raise optuna.TrialPruned(str(e)) from None
        best = log.epochs[log.best_epoch]
        trial.set_user_attr("metrics", {k: v for k, v in best.items() if isinstance(v, int | float)})
        return float(best["score"])

    done = len([t for t in study.get_trials(deepcopy=False) if t.state in finished])
    if reporter:
        reporter.started(done, trials)
    if done < trials:
        study.optimize(
            objective,
            callbacks=[MaxTrialsCallback(trials, states=finished), *([reporter.finished] if reporter else [])],
            catch=(),
        )
    if not any(t.state == TrialState.COMPLETE for t in study.get_trials(deepcopy=False)):
        raise TrainingError(
            "no trial came to its end: all were pruned. Give more --trials, or lower the learning rate."
        )
    return study


class TuneReporter(Protocol):
    """Hears how a search goes on; the command line draws it."""

    def started(self, done: int, trials: int) -> None:
        """Before the first trial of this process."""

    def epoch(self, trial: int, record: Mapping[str, Any]) -> None:
        """After an epoch of a trial."""

    def finished(self, study: Any, trial: Any) -> None:
        """After a trial, pruned or not."""


class _Pruner:
    """A TrainingReporter that tells Optuna the score of each epoch, and stops where it says so."""

    def __init__(self, trial: Any, reporter: TuneReporter | None) -> None:
        self.trial, self.reporter = trial, reporter

    def started(self, epochs: int, first_epoch: int, batches: int) -> None:
        pass

    def batch(self, epoch: int, done: int, loss: float) -> None:
        pass

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.trial.report(record["score"], record["epoch"])
        if self.reporter:
            self.reporter.epoch(self.trial.number, record)
        if self.trial.should_prune():
            raise _optuna().TrialPruned()


def best_recipe(recipe: Recipe, study: Any) -> Recipe:
    """The recipe of the study's best trial, named after the one that was searched."""
    return apply(recipe, study.best_params, name=f"{recipe.name}-tuned")


def write_recipe(recipe: Recipe, path: Path, comment: str) -> None:
    """Write a recipe as TOML: what differs from the defaults of a recipe is there, and its comment on top."""
    try:
        import tomli_w
    except ImportError:
        raise MissingExtraError("writing a recipe needs tomli-w. Next: pip install 'facefeat[tune]'") from None

    table, plain = recipe.to_dict(), Recipe(name="").to_dict()
    for key in ("train", "augment"):
        table[key] = {k: v for k, v in table[key].items() if v != plain[key][k]}
    table = {k: v for k, v in table.items() if v not in ("", {}, None)}
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_text("".join(f"# {line}\n" for line in comment.splitlines()) + tomli_w.dumps(_toml(table)), "utf-8")
        os.replace(made, path)
    except OSError as e:
        raise InputError(f"cannot write {str(path)!r}: {e.strerror or e}") from None
    finally:
        made.unlink(missing_ok=True)


def _toml(value: Any) -> Any:
    """The value without None, which TOML does not have."""
    if isinstance(value, Mapping):
        return {k: _toml(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_toml(v) for v in value]
    return value
