"""The training loop: a recipe, a classifier and two data sets in; a trained, calibrated classifier out.

Every epoch ends with a checkpoint, written beside and renamed. All randomness of an epoch (order, augmentation,
dropout) comes from the recipe's seed and the epoch's number, so that a resumed run ends with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from facefeat.errors import InputError, NotFiniteError, TrainingError
from facefeat.training.checkpoint import CHECKPOINT, Checkpoints
from facefeat.training.classifier_graph import seed_layers, start_from, training_model
from facefeat.training.distillation import NAME, all_targets, fingerprint
from facefeat.training.freezing import changes_nothing, check_phases, freeze, frozen_features
from facefeat.training.processes import ALONE, Processes
from facefeat.utils.atomic import atomic_file

if TYPE_CHECKING:
    from facefeat.data import Batches, FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.training.recipe import Phase, Recipe


class TrainingReporter(Protocol):
    """Hears how a run goes on; the command line draws it."""

    def started(self, epochs: int, first_epoch: int, batches: int) -> None:
        """Before the first epoch of this process."""

    def batch(self, epoch: int, done: int, loss: float) -> None:
        """After a batch; loss is the mean since the epoch began."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """After an epoch; the record is a row of the log."""


@dataclass
class TrainingLog:
    """What a run left behind: a row per epoch, which of them was the best, and what the run depended on."""

    recipe: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "recipe": self.recipe,
            "data": self.data,
            "versions": self.versions,
            "best_epoch": self.best_epoch,
            "epochs": self.epochs,
        }


def train(
    classifier: Classifier,
    train_set: FaceDataset,
    validation_set: FaceDataset,
    recipe: Recipe,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
    processes: Processes | None = None,
) -> TrainingLog:
    """Train `classifier` in place; it ends with the weights of the best epoch, calibrated on the validation set.

    The best epoch is the one with the highest validation score (see `evaluation.metrics.score_batch`).
    folder: where `checkpoint.npz` and `best.npz` are kept; None keeps them in memory only.
    resume: go on from the folder's checkpoint, where there is one. processes: of `join_processes`; each calls this with
    the same data, and ends with the same weights.

    Raises NotFiniteError where the loss is not finite (the batches that it came from are then in `nan_batch.npz`);
    TrainingError where the checkpoint belongs to another recipe or data set, or `start` does not fit; RecipeError where
    a phase trains more layers than there are.
    """
    from facefeat.evaluation import calibrate

    processes = processes or ALONE
    if not len(train_set.table) or not len(validation_set.table):
        raise TrainingError("training needs at least one picture in the train split and one in the validation split.")
    if recipe.image_size != classifier.image_size:
        raise InputError(f"the recipe has image_size {recipe.image_size}, the model {classifier.image_size}.")
    # Before the pictures are decoded, which may take long.
    plan = recipe.train.plan()
    check_phases(classifier, plan)
    goes_on = resume and folder is not None and (Path(folder) / CHECKPOINT).is_file()
    if recipe.start and not goes_on:
        start_from(classifier, recipe.start)
    crops, val_crops = train_set.crops(recipe.image_size), validation_set.crops(recipe.image_size)
    log = TrainingLog(recipe.to_dict(), describe(train_set, validation_set), versions())
    if recipe.teacher.weight or recipe.teacher.labels:
        # Before any work starts.
        all_targets(recipe.teacher, [str(f) for f in train_set.table["file"]], classifier.schema)
        log.data[NAME] = fingerprint(recipe.teacher)
    saved = Checkpoints(Path(folder) if folder else None, run_key(log), processes.leads)
    state = saved.read() if goes_on else None
    if state:
        log.epochs, log.best_epoch = state["epochs"], state["best_epoch"]
    processes.check_start(len(log.epochs))

    # Of several processes, the worker is what they train together; the classifier is each one's own.
    with processes.together():
        worker = worker_of(classifier, recipe.train.mixed_precision, always=processes.count > 1)
    # Weights in the order of the models, whatever a phase trains.
    variables = [*worker.backbone_model.weights, *worker.head_model.weights]
    if state:
        saved.restore(variables, None)
    run = _Run(
        recipe,
        train_set,
        validation_set,
        classifier,
        worker,
        crops,
        val_crops,
        saved,
        log,
        reporter,
        variables,
        processes,
    )
    if reporter:
        reporter.started(sum(p.epochs for p in plan), len(log.epochs), run.steps)
    try:
        for number, phase in enumerate(plan):
            run.phase(number, phase, restored=state is not None)
    finally:
        freeze(worker, "all")
    saved.restore_best(variables)
    if worker is not classifier:
        classifier.copy_weights(worker)
    classifier.calibration = calibrate(classifier.schema, classifier.logits(val_crops[:]), validation_set)
    return log


@dataclass
class _Run:
    """What the phases of a run share."""

    recipe: Recipe
    train_set: FaceDataset
    validation_set: FaceDataset
    classifier: Classifier
    worker: Classifier
    crops: Any
    val_crops: Any
    saved: Checkpoints
    log: TrainingLog
    reporter: TrainingReporter | None
    variables: list[Any]
    processes: Processes = ALONE

    @property
    def batch_size(self) -> int:
        return min(self.recipe.train.batch_size, len(self.crops))

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last, smaller one is left out."""
        return len(self.crops) // self.batch_size

    def phase(self, number: int, phase: Phase, restored: bool) -> None:
        """Train one phase, or what is left of it."""
        from facefeat.data import Batches
        from facefeat.training.losses import encode_targets

        done = sum(r["phase"] == number for r in self.log.epochs)
        later = any(r["phase"] > number for r in self.log.epochs)
        if later or done >= phase.epochs or self._patience_over(number):
            return
        worker = self.worker
        freeze(worker, phase.trainable)
        # A backbone that never changes, seen without augmentation, gives the same features in every epoch.
        on_features = phase.trainable == "head" and changes_nothing(self.recipe.augment)
        reader = worker
        if on_features and self.processes.count > 1:
            reader = self.classifier
            reader.copy_weights(worker)
        images = frozen_features(reader, self.crops) if on_features else self.crops
        val = frozen_features(reader, self.val_crops) if on_features else None
        targets = encode_targets(worker.schema, self.train_set.labels(), self.train_set.years())
        files = [str(f) for f in self.train_set.table["file"]]
        taught = all_targets(self.recipe.teacher, files, worker.schema)
        targets |= taught
        batches = Batches(
            images, targets, self.batch_size, shuffle=True, seed=self.recipe.seed, drop_last=True,
            part=(self.processes.index, self.processes.count),
        )  # fmt: skip
        with self.processes.together():
            model = training_model(
                worker, self.recipe, phase, len(batches), self.train_set.counts,
                on_features=on_features, taught={k: v.shape[1] for k, v in taught.items()},
            )  # fmt: skip
        if done and restored:
            self.saved.restore((), self._passing(model))
        watch = Watch(self.reporter, len(batches))
        first = len(self.log.epochs) - done
        for epoch in range(first + done, first + phase.epochs):
            if self._patience_over(number):
                break
            started = time.perf_counter()
            seed_layers(model, self.recipe.seed, epoch)
            with self.processes.together():
                loss = one_epoch(model, batches.epoch(epoch), len(batches), epoch, watch)
            if not math.isfinite(loss):
                raise not_finite(loss, epoch, phase.learning_rate, watch, batches, self.train_set, self.saved.folder)
            self._after(epoch, number, loss, started, model, val)

    def _after(self, epoch: int, number: int, loss: float, started: float, model: Any, val: Any) -> None:
        """Score, log and save an epoch."""
        from facefeat.evaluation import score_logits

        if self.worker is not self.classifier:
            self.classifier.copy_weights(self.worker)
        c = self.classifier
        logits = c.logits(self.val_crops[:]) if val is None else c.logits_of(val)
        scores = score_logits(c.schema, logits, self.validation_set)
        record = {
            "epoch": epoch,
            "phase": number,
            "loss": round(loss, 5),
            "seconds": round(time.perf_counter() - started, 1),
            **{k: round(v, 5) for k, v in scores.items()},
        }
        log = self.log
        log.epochs.append(record)
        best = log.best_epoch < 0 or record["score"] > log.epochs[log.best_epoch]["score"]
        if best:
            log.best_epoch = epoch
        state = {"best_epoch": log.best_epoch, "epochs": log.epochs}
        self.saved.save(self.variables, self._passing(model), state, best)
        if self.reporter:
            self.reporter.epoch(record)

    def _passing(self, model: Any) -> list[Any]:
        """What ends with a phase: the optimiser's state, and weights that are the loss's, not the classifier's."""
        kept = {id(v) for v in self.variables}
        return [*model.optimizer.variables, *(v for v in model.trainable_variables if id(v) not in kept)]

    def _patience_over(self, number: int) -> bool:
        """Whether this phase went on for `patience` epochs without a better score than the best of it."""
        patience = self.recipe.train.patience
        scores = [r["score"] for r in self.log.epochs if r["phase"] == number]
        return bool(patience and scores) and len(scores) - 1 - scores.index(max(scores)) >= patience


def one_epoch(model: Any, batches: Iterator[Any], steps: int, epoch: int, watch: Watch) -> float:
    """Train for an epoch; the mean loss of its batches."""
    history = model.fit(
        batches,
        steps_per_epoch=steps,
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
        from facefeat.networks.classifier import has_accelerator

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
    loss: float, epoch: int, rate: float, watch: Watch, batches: Batches, faces: FaceDataset, folder: Path | None
) -> NotFiniteError:
    """Save what such a loss came from to `nan_batch.npz` in the folder, if any, and say where."""
    size = batches.batch_size
    rows = np.concatenate([batches.order(epoch)[i * size :][:size] for i in watch.suspects])
    files = [str(f) for f in faces.table["file"].iloc[rows]]
    where = ""
    if folder is not None:
        path = folder / "nan_batch.npz"
        targets = {f"target_{k}": v[rows] for k, v in batches.targets.items()}
        where = f" Its {len(rows)} faces are in {str(path)!r}, and begin with {files[0]}."
        try:
            with atomic_file(path) as new:
                np.savez(new, images=batches.images[rows], files=np.asarray(files), **targets)
        except InputError as e:  # the reason why the run ends is the loss
            where = f" Its {len(rows)} faces begin with {files[0]}; {e}."
    return NotFiniteError(
        f"the loss is {loss} in epoch {epoch + 1}, batch {watch.suspects[-1] + 1}.{where} "
        f"Lower the learning rate (now {rate:g}), then start again."
    )


Twin = TypeVar("Twin", "Classifier", "FaceDecoder")


def worker_of(model: Twin, policy: str, always: bool = False) -> Twin:
    """The model itself, or a twin of it in the recipe's precision, which then shares no weights with it.

    always: a twin in any case.
    """
    import keras

    from facefeat.networks.classifier import has_accelerator

    if policy == "auto":
        policy = "mixed_bfloat16" if has_accelerator() else "float32"
    before = keras.config.dtype_policy()
    if policy == before.name and not always:
        return model
    keras.config.set_dtype_policy(policy)
    try:
        return model.twin()
    finally:
        keras.config.set_dtype_policy(before)


def describe(train_set: FaceDataset, validation_set: FaceDataset) -> dict[str, Any]:
    """What a log says of its data, JSON-able."""
    return {
        "name": train_set.name,
        "licence": train_set.licence,
        "train": {"faces": len(train_set.table), "fingerprint": train_set.fingerprint},
        "validation": {"faces": len(validation_set.table), "fingerprint": validation_set.fingerprint},
    }


def run_key(log: TrainingLog) -> str:
    """A hash of what a run depends on, for its checkpoints."""
    text = json.dumps([log.recipe, log.data], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """What a log says of the software."""
    import platform

    import keras

    from facefeat._version import __version__

    return {
        "facefeat": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
