"""The training loop: a recipe, a classifier and two data sets in; a trained, calibrated classifier out.

Every epoch ends with a checkpoint, written beside and renamed. All randomness of an epoch (order, augmentation,
dropout) comes from the recipe's seed and the epoch's number, so that a resumed run ends with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facefeat.errors import TrainingError

if TYPE_CHECKING:
    from facefeat.classifier import Classifier
    from facefeat.data import FaceDataset
    from facefeat.training.recipe import Optimisation, Recipe


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
) -> TrainingLog:
    """Train `classifier` in place; it ends with the weights of the best epoch, calibrated on the validation set.

    The best epoch is the one with the highest validation score (see `evaluation.metrics.score_batch`).
    folder: where `checkpoint.npz` and `best.npz` are kept; None keeps them in memory only.
    resume: go on from the folder's checkpoint, where there is one.

    Raises TrainingError where the loss is not finite, or the checkpoint belongs to another recipe or data set.
    """
    from facefeat.data import Batches
    from facefeat.evaluation import calibrate, score_logits
    from facefeat.training.losses import encode_targets

    if not len(train_set.table) or not len(validation_set.table):
        raise TrainingError("training needs at least one picture in the train split and one in the validation split.")
    size, options = recipe.image_size, recipe.train
    crops, val_crops = train_set.crops(size), validation_set.crops(size)
    targets = encode_targets(classifier.schema, train_set.labels(), train_set.years())
    batch_size = min(options.batch_size, len(crops))
    batches = Batches(crops, targets, batch_size, shuffle=True, seed=recipe.seed, drop_last=True)
    log = TrainingLog(recipe.to_dict(), _describe(train_set, validation_set), _versions())

    worker = _worker(classifier, options.mixed_precision)
    model = _training_model(worker, recipe, len(batches))
    state = _State(model, Path(folder) if folder else None, _key(log))
    first = state.restore(log) if resume else 0
    callback = _callbacks(reporter, len(batches))
    if reporter:
        reporter.started(options.epochs, first, len(batches))
    for epoch in range(first, options.epochs):
        if _patience_over(log, options.patience):
            break
        started = time.perf_counter()
        _seed_layers(model, recipe.seed, epoch)
        history = model.fit(
            batches.epoch(epoch),
            steps_per_epoch=len(batches),
            shuffle=False,
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,
            callbacks=callback,
        )
        loss = float(history.history["loss"][-1])
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch + 1}. Lower train.learning_rate (now {options.learning_rate}), "
                "then start again."
            )
        if worker is not classifier:
            classifier.copy_weights(worker)
        scores = score_logits(classifier.schema, classifier.logits(val_crops[:]), validation_set)
        record = {
            "epoch": epoch,
            "loss": round(loss, 5),
            "seconds": round(time.perf_counter() - started, 1),
            **{k: round(v, 5) for k, v in scores.items()},
        }
        log.epochs.append(record)
        best = log.best_epoch < 0 or record["score"] > log.epochs[log.best_epoch]["score"]
        if best:
            log.best_epoch = epoch
        state.save(log, best)
        if reporter:
            reporter.epoch(record)
    state.load_best()
    if worker is not classifier:
        classifier.copy_weights(worker)
    classifier.calibration = calibrate(classifier.schema, classifier.logits(val_crops[:]), validation_set)
    return log


def _training_model(classifier: Classifier, recipe: Recipe, steps: int) -> Any:
    """Augmentation, backbone and head as one compiled model; its weights are the classifier's own."""
    import keras

    from facefeat.classifier import use_jit
    from facefeat.training.augment import augmentation_layers
    from facefeat.training.losses import build_losses

    losses = build_losses(classifier.schema, recipe.loss)
    inputs = keras.Input((recipe.image_size, recipe.image_size, 3), name="crops")
    x = inputs
    for layer in augmentation_layers(recipe.augment, recipe.seed):
        x = layer(x)
    model = keras.Model(inputs, classifier.head_model(classifier.backbone_model(x)))
    model.compile(_optimizer(recipe.train, steps), loss=losses, jit_compile=use_jit())
    model.optimizer.build(model.trainable_variables)
    return model


def _optimizer(options: Optimisation, steps: int) -> Any:
    import keras

    warmup = round(options.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        # A float, not 0: Keras computes the warm-up in the type of the initial rate.
        options.learning_rate * 1e-3 if warmup else options.learning_rate,
        max(1, options.epochs * steps - warmup),
        warmup_target=options.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=options.weight_decay, global_clipnorm=options.clip_norm or None
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _worker(classifier: Classifier, policy: str) -> Classifier:
    """The classifier itself, or a twin of it in the recipe's precision, which then shares no weights with it."""
    import keras

    from facefeat.classifier import has_accelerator

    if policy == "auto":
        policy = "mixed_bfloat16" if has_accelerator() else "float32"
    before = keras.config.dtype_policy()
    if policy == before.name:
        return classifier
    keras.config.set_dtype_policy(policy)
    try:
        return classifier.twin()
    finally:
        keras.config.set_dtype_policy(before)


def _seed_layers(model: Any, seed: int, epoch: int) -> None:
    """Give every random layer a state that depends on the seed, the epoch and the layer's place alone."""
    states = [v for v in model.variables if "seed_generator_state" in v.path]
    for place, variable in enumerate(states):
        digest = hashlib.sha256(f"{seed}/{epoch}/{place}".encode()).digest()
        variable.assign(np.asarray([int.from_bytes(digest[:4], "little"), 0], "uint32"))


def _callbacks(reporter: TrainingReporter | None, batches: int) -> list[Any]:
    import keras

    class Progress(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.current = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            # Reading the loss waits for the device, so not at every step.
            if batch % 5 and batch + 1 != batches:
                return
            loss = float((logs or {}).get("loss", math.nan))
            if not math.isfinite(loss):
                self.model.stop_training = True
            if reporter:
                reporter.batch(self.current, batch + 1, loss)

    return [Progress()]


def _patience_over(log: TrainingLog, patience: int) -> bool:
    return bool(patience) and log.best_epoch >= 0 and len(log.epochs) - 1 - log.best_epoch >= patience


class _State:
    """Checkpoint and best weights, in a folder or in memory."""

    def __init__(self, model: Any, folder: Path | None, key: str) -> None:
        self.variables = [v for v in model.variables if "seed_generator_state" not in v.path]
        self.optimizer = model.optimizer.variables
        self.folder, self.key = folder, key
        self.best: list[np.ndarray] = []

    def save(self, log: TrainingLog, best: bool) -> None:
        weights = [np.asarray(v) for v in self.variables]
        if best:
            self.best = weights
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if best:
            self._write("best.npz", {f"w{i:04d}": w for i, w in enumerate(weights)})
        arrays = {f"w{i:04d}": w for i, w in enumerate(weights)}
        arrays |= {f"o{i:04d}": np.asarray(v) for i, v in enumerate(self.optimizer)}
        state = json.dumps({"key": self.key, "best_epoch": log.best_epoch, "epochs": log.epochs})
        self._write("checkpoint.npz", arrays | {"state": np.asarray(state)})

    def _write(self, name: str, arrays: dict[str, Any]) -> None:
        assert self.folder is not None
        made = self.folder / f".{name}.{os.getpid()}"
        try:
            with made.open("wb") as f:
                np.savez(f, **arrays)
            os.replace(made, self.folder / name)
        except OSError as e:
            made.unlink(missing_ok=True)
            raise TrainingError(f"cannot write {str(self.folder / name)!r}: {e.strerror or e}") from None

    def restore(self, log: TrainingLog) -> int:
        """Load the folder's checkpoint, if there is one; returns the epoch to go on with."""
        path = self.folder / "checkpoint.npz" if self.folder else None
        if path is None or not path.is_file():
            return 0
        with np.load(path, allow_pickle=False) as arrays:
            state = json.loads(str(arrays["state"]))
            if state["key"] != self.key:
                raise TrainingError(
                    f"{str(path)!r} belongs to another recipe or data set. Give another --output, or omit --resume."
                )
            for i, v in enumerate(self.variables):
                v.assign(arrays[f"w{i:04d}"])
            for i, v in enumerate(self.optimizer):
                v.assign(arrays[f"o{i:04d}"])
        log.epochs, log.best_epoch = state["epochs"], state["best_epoch"]
        return len(log.epochs)

    def load_best(self) -> None:
        """Put the best epoch's weights into the model."""
        if self.folder is not None and not self.best:
            with np.load(self.folder / "best.npz", allow_pickle=False) as arrays:
                self.best = [arrays[f"w{i:04d}"] for i in range(len(self.variables))]
        for variable, weight in zip(self.variables, self.best, strict=True):
            variable.assign(weight)


def _describe(train_set: FaceDataset, validation_set: FaceDataset) -> dict[str, Any]:
    return {
        "name": train_set.name,
        "licence": train_set.licence,
        "train": {"faces": len(train_set.table), "fingerprint": train_set.fingerprint},
        "validation": {"faces": len(validation_set.table), "fingerprint": validation_set.fingerprint},
    }


def _key(log: TrainingLog) -> str:
    text = json.dumps([log.recipe, log.data], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _versions() -> dict[str, str]:
    import platform

    import keras

    from facefeat import __version__

    return {
        "facefeat": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
