"""Searching a recipe's space with Optuna (extra `tune`): pruned, shared between processes, resumable.

The study is stored in a journal file, or any database that Optuna supports. The same command joins a running search and
resumes a killed one, except the trial under way. Another recipe, space or data set is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facefeat.errors import InputError, MissingExtraError, NotFiniteError, TrainingError
from facefeat.training.loop import RunOptions
from facefeat.training.recipe import Recipe
from facefeat.training.source_recipe import DataSource
from facefeat.training.space import Space, apply, check_space, default_space, draw
from facefeat.utils.atomic import write_text

if TYPE_CHECKING:
    from facefeat.data import FaceDataset

SEARCH = "facefeat search"
"""The study's attribute that records what it searches."""
JOURNAL = "study.journal"


def open_study(recipe: Recipe, folder: Path, storage: str | None = None, seed: int = 0) -> Any:
    """The Optuna study of a recipe: made, or joined where it exists.

    storage: a database address such as "postgresql://..." or "sqlite:///study.db"; the journal file in `folder`
    otherwise. seed: of the points, with the process and the trials that are there already: two processes, or a search
    and its continuation, would else draw the same ones.
    Raises MissingExtraError without Optuna, InputError for a storage that cannot be opened.
    """
    optuna = _optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError  # Optuna's own dependency

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if not storage:
            folder.mkdir(parents=True, exist_ok=True)
        place = storage or JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                study_name=recipe.name,
                storage=place,
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
            )
            folder.mkdir(parents=True, exist_ok=True)  # a storage that cannot be opened leaves none behind
            text = json.dumps([seed, len(study.get_trials(deepcopy=False)), os.getpid(), platform.node()])
            own = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
            study.sampler = optuna.samplers.TPESampler(seed=own, n_startup_trials=8)
            return study
    except (OSError, ImportError, ValueError, SQLAlchemyError) as e:
        raise InputError(
            f"cannot open the study in {storage or str(folder)!r}: {str(e).splitlines()[0]}. Valid for --storage: a "
            "database address such as sqlite:///study.db or postgresql://user@host/name."
        ) from None


def check_study(
    study: Any, recipe: Recipe, space: Space | None = None, data: tuple[FaceDataset, FaceDataset] | None = None
) -> None:
    """Refuse the study of another recipe or space, or of other training and validation sets where they are given.

    A study that has not begun is of these from then on, once the data are given. Raises InputError.
    """
    search: dict[str, Any] = {"recipe": recipe.to_dict(), "space": dict(space or default_space(recipe))}
    for key in ("name", "summary"):  # the name is the study's, and the summary changes no score
        del search["recipe"][key]
    if data is not None:
        search |= {"training data": data[0].fingerprint[:16], "validation data": data[1].fingerprint[:16]}
    stored = study.user_attrs.get(SEARCH)
    if stored is None:
        if data is not None:
            study.set_user_attr(SEARCH, search)
        return
    now = _flat(json.loads(json.dumps(search)))  # as it is read back: lists for tuples
    before = _flat({part: value for part, value in stored.items() if part in search})
    found = [
        f"{key.removeprefix('recipe.')} was {_short(before, key)}, received {_short(now, key)}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key, ...) != now.get(key, ...)
    ]
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise InputError(
            f"the study {study.study_name!r} there is of another search: {'; '.join(found[:3])}{more}. Valid: the "
            "recipe, epochs, space and data that it began with. Next: for a new search give another --output, and "
            "with --storage another name in the recipe."
        )


def check_begin(
    recipe: Recipe, folder: Path, storage: str | None = None, seed: int = 0, space: Space | None = None
) -> None:
    """Refuse a search that cannot begin or resume, before the data are read; a journal file is not made for that.

    Raises MissingExtraError without Optuna, InputError as `open_study` and `check_study` do.
    """
    _optuna()
    if storage or (folder / JOURNAL).exists():
        check_study(open_study(recipe, folder, storage, seed), recipe, space)


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Nested tables as one: dotted key -> value."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {k: v for n, inner in value.items() for k, v in _flat(inner, f"{key}.{n}".removeprefix(".")).items()}


def _short(values: Mapping[str, Any], key: str) -> str:
    text = json.dumps(values[key]) if key in values else "(none)"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError(
            'tuning needs Optuna, which is not installed. Next: pip install "facefeat[tune]"'
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
    A trial whose loss is not finite counts as pruned; any other error ends the search.
    Raises RecipeError for a space that does not fit, InputError for a study of another search, MissingExtraError,
    TrainingError.
    """
    optuna = _optuna()
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    from facefeat.training.classifier_graph import build_classifier
    from facefeat.training.classifier_task import train

    chosen = check_space(space if space is not None else default_space(recipe), recipe)
    study = open_study(recipe, folder, storage, seed)
    check_study(study, recipe, chosen, (train_set, validation_set))
    finished = (TrialState.COMPLETE, TrialState.PRUNED)

    def objective(trial: Any) -> float:
        point = apply(recipe, draw(chosen, trial))
        watch = _Pruner(trial, reporter)
        try:
            log = train(
                build_classifier(point, train_set.schema), train_set, validation_set, point, RunOptions(reporter=watch)
            )
        except NotFiniteError as e:
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
    """Receives the progress of a search; the command line draws it."""

    def started(self, done: int, trials: int) -> None:
        """Before the first trial of this process."""

    def epoch(self, trial: int, record: Mapping[str, Any]) -> None:
        """After an epoch of a trial."""

    def finished(self, study: Any, trial: Any) -> None:
        """After a trial, pruned or not."""


class _Pruner:
    """A TrainingReporter that reports the score of each epoch to Optuna, and stops when it prunes the trial."""

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
        raise MissingExtraError('writing a recipe needs tomli-w. Next: pip install "facefeat[tune]"') from None

    table, plain = recipe.to_dict(), Recipe(name="").to_dict()
    none = asdict(DataSource("-"))
    table["sources"] = [{k: v for k, v in source.items() if v != none[k]} for source in table["sources"]] or None
    for key in ("train", "augment", "distillation"):
        table[key] = {k: v for k, v in table[key].items() if v != plain[key][k]}
    table = {k: v for k, v in table.items() if v not in ("", {}, None)}
    write_text(path, "".join(f"# {line}\n" for line in comment.splitlines()) + tomli_w.dumps(_toml(table)))


def _toml(value: Any) -> Any:
    """The value without None, which TOML does not have."""
    if isinstance(value, Mapping):
        return {k: _toml(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_toml(v) for v in value]
    return value
