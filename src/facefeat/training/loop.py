"""The training loop: epochs, phases, the best epoch, patience, checkpoints, resuming. What is trained is a `Task`'s.

Every epoch ends with a checkpoint. All randomness of an epoch (order, augmentation, dropout) comes from the recipe's
seed and the epoch's number, so that a resumed run ends with the same numbers.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facefeat.errors import InputError, NotFiniteError
from facefeat.training.base_recipe import BaseRecipe, Phase
from facefeat.training.checkpoint import Checkpoints
from facefeat.training.log import TrainingLog, TrainingReporter, versions
from facefeat.training.precision import policy_of
from facefeat.training.processes import ALONE, Processes
from facefeat.utils.atomic import atomic_file


class EpochBatches(Protocol):
    """The batches of every epoch; their order depends on the seed and the epoch alone."""

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        """What `model.fit` takes: (inputs,) or (inputs, targets)."""
        ...

    def faces(self, epoch: int, numbers: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
        """The names of the faces in these batches of an epoch, and all that was trained on, by name."""
        ...


@dataclass(frozen=True)
class Stage:
    """A phase that is ready to be trained.

    model: a compiled Keras model that reports a "loss". What a step is, is its own business: it may have a `train_step`
    with several losses and optimisers. state: the variables that end with the phase, such as an optimiser's.
    score: how good the weights are on the validation set, the higher "score" the better. begin_epoch: called before
    every epoch with its number.
    """

    model: Any
    batches: EpochBatches
    state: Sequence[Any]
    score: Callable[[], Mapping[str, Any]]
    begin_epoch: Callable[[int], None] = field(default=lambda epoch: None)


class Task(Protocol):
    """What is trained: a classifier, a decoder."""

    @property
    def recipe(self) -> BaseRecipe:
        """What the run depends on."""
        ...

    @property
    def data(self) -> dict[str, Any]:
        """What else it depends on, JSON-able: the data sets, the networks that it builds on."""
        ...

    @property
    def origin(self) -> dict[str, Any]:
        """The preset that it starts from, and the licence that its weights inherit: `training.origin`."""
        ...

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        ...

    @property
    def variables(self) -> Sequence[Any]:
        """The weights that are kept of the best epoch, in an order that no phase changes; known once it is built."""
        ...

    def build(self) -> None:
        """Build what is trained, in the recipe's precision, on all processes together."""

    def stage(self, number: int, phase: Phase) -> Stage:
        """Ready a phase."""
        ...

    def close(self) -> None:
        """After the last epoch, or an error: thaw what was frozen."""

    def finish(self, log: TrainingLog) -> None:
        """With the best weights in place: what comes after training, such as calibration."""


@dataclass(frozen=True)
class RunOptions:
    """Where and how a run goes.

    Attributes:
        folder: where `checkpoint.npz` and `best.npz` are kept; None keeps them in memory only.
        resume: continue from the folder's checkpoint, if there is one.
        reporter: receives the progress.
        processes: of `join_processes`.
    """

    folder: Path | None = None
    resume: bool = False
    reporter: TrainingReporter | None = None
    processes: Processes = ALONE


DEFAULTS = RunOptions()


def run(task: Task, options: RunOptions) -> TrainingLog:
    """Train a task to the end of its recipe; it ends with the weights of its best epoch.

    Raises NotFiniteError where the loss is not finite (the batches that it came from are then in `nan_batch.npz`), and
    TrainingError where the checkpoint belongs to another recipe or data set, or cannot be written.
    """
    precision = policy_of(task.recipe.train.mixed_precision)
    log = TrainingLog(task.recipe.to_dict(), task.data, versions(precision), task.origin)
    about = {**log.recipe, "data": log.data}
    saved = Checkpoints(options.folder, log.key(), options.processes.leads, about)
    state = saved.read() if options.resume else None
    if state:
        log.epochs, log.best_epoch = state["epochs"], state["best_epoch"]
        log.origin = state.get("origin", log.origin)
    options.processes.check_start(len(log.epochs))
    with options.processes.together():
        task.build()
    if state:
        saved.restore(task.variables)
    plan = task.recipe.train.plan()
    if options.reporter:
        options.reporter.started(sum(p.epochs for p in plan), len(log.epochs), task.steps)
    loop = _Loop(task, options, log, saved)
    try:
        for number, phase in enumerate(plan):
            loop.phase(number, phase, resumed=state is not None)
    finally:
        task.close()
    saved.restore_best(task.variables)
    task.finish(log)
    return log


@dataclass(frozen=True)
class _Loop:
    """What the phases of a run share."""

    task: Task
    options: RunOptions
    log: TrainingLog
    saved: Checkpoints

    def phase(self, number: int, phase: Phase, resumed: bool) -> None:
        """Train one phase, or what is left of it."""
        done = len(self.log.scores(number))
        later = any(r["phase"] > number for r in self.log.epochs)
        if later or done >= phase.epochs or self.out_of_patience(number):
            return
        stage = self.task.stage(number, phase)
        if done and resumed:
            self.saved.restore((), stage.state)
        watch = Watch(self.options.reporter, len(stage.batches))
        first = len(self.log.epochs) - done
        for epoch in range(first + done, first + phase.epochs):
            if self.out_of_patience(number):
                break
            started = time.perf_counter()
            seed_layers(stage.model, self.task.recipe.seed, epoch)
            stage.begin_epoch(epoch)
            with self.options.processes.together():
                loss = one_epoch(stage, epoch, watch)
            if not math.isfinite(loss):
                raise not_finite(loss, epoch, phase.learning_rate, watch.suspects, stage.batches, self.saved.folder)
            scores = stage.score()
            seconds = round(time.perf_counter() - started, 1)
            record = {"epoch": epoch, "phase": number, "loss": round(loss, 6), "seconds": seconds, **scores}
            best = self.log.add(record)
            kept = {"best_epoch": self.log.best_epoch, "epochs": self.log.epochs, "origin": self.log.origin}
            self.saved.save(self.task.variables, stage.state, kept, best)
            if self.options.reporter:
                self.options.reporter.epoch(record)

    def out_of_patience(self, number: int) -> bool:
        """Whether this phase went on for `patience` epochs without a better score than the best of it."""
        patience, scores = self.task.recipe.train.patience, self.log.scores(number)
        return bool(patience and scores) and len(scores) - 1 - scores.index(max(scores)) >= patience


def one_epoch(stage: Stage, epoch: int, watch: Watch) -> float:
    """Train for an epoch; the mean loss of its batches."""
    history = stage.model.fit(
        stage.batches.epoch(epoch),
        steps_per_epoch=len(stage.batches),
        shuffle=False,
        initial_epoch=epoch,
        epochs=epoch + 1,
        verbose=0,
        callbacks=[watch.callback()],
    )
    return float(history.history["loss"][-1])


class Watch:
    """Follows the batches of an epoch: tells the reporter, and stops at a loss that is not finite."""

    def __init__(self, reporter: TrainingReporter | None, batches: int) -> None:
        from facefeat.networks.keras_backend import has_accelerator

        self.reporter, self.batches = reporter, batches
        # Reading the loss waits for the device: on a CPU that costs nothing, on a GPU it would keep it idle.
        self.every = 10 if has_accelerator() else 1
        self.suspects: list[int] = []

    def callback(self) -> Any:
        """A Keras callback."""
        import keras

        watch = self

        class Progress(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self.current, watch.suspects = epoch, []

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                watch.suspects.append(batch)
                if (batch + 1) % watch.every and batch + 1 != watch.batches:
                    return
                loss = float((logs or {}).get("loss", math.nan))
                if not math.isfinite(loss):
                    self.model.stop_training = True
                    return
                if watch.reporter:
                    watch.reporter.batch(self.current, batch + 1, loss)
                if batch + 1 != watch.batches:
                    watch.suspects = []

        return Progress()


def not_finite(
    loss: float, epoch: int, rate: float, suspects: Sequence[int], batches: EpochBatches, folder: Path | None
) -> NotFiniteError:
    """Save what such a loss came from to `nan_batch.npz` in the folder, if any, and say where."""
    files, arrays = batches.faces(epoch, suspects)
    where = ""
    if folder is not None:
        path = folder / "nan_batch.npz"
        where = f" Its {len(files)} faces are in {str(path)!r}, and begin with {files[0]}."
        try:
            with atomic_file(path) as new:
                np.savez(new, files=np.asarray(files), **arrays)
        except InputError as e:  # the reason why the run ends is the loss
            where = f" Its {len(files)} faces begin with {files[0]}; {e}."
    return NotFiniteError(
        f"the loss is {loss} in epoch {epoch + 1}, batch {suspects[-1] + 1}.{where} "
        f"Lower the learning rate (now {rate:g}), then start again."
    )


def phase_state(model: Any, kept: Sequence[Any]) -> list[Any]:
    """What ends with a phase: the optimiser's state, and trained weights that are not kept."""
    ours = {id(v) for v in kept}
    return [*model.optimizer.variables, *(v for v in model.trainable_variables if id(v) not in ours)]


def seed_layers(model: Any, seed: int, epoch: int) -> None:
    """Give every random layer a state that depends on the seed, the epoch and the layer's place alone."""
    states = [v for v in model.variables if "seed_generator_state" in v.path]
    for place, variable in enumerate(states):
        digest = hashlib.sha256(f"{seed}/{epoch}/{place}".encode()).digest()
        variable.assign(np.asarray([int.from_bytes(digest[:4], "little"), 0], "uint32"))
