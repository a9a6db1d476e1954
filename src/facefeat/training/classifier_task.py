"""Training a classifier: a recipe and two data sets in, a trained, calibrated classifier out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.data.dataset import check_dataset
from facefeat.errors import InputError, RecipeError, TrainingError
from facefeat.training.augmentation import augmentation_layers
from facefeat.training.batches import drawn_counts, face_batches, files_of, training_targets
from facefeat.training.checkpoint import CHECKPOINT
from facefeat.training.classifier_graph import training_model
from facefeat.training.distillation import NAME, all_targets, fingerprint
from facefeat.training.freezing import check_phases, freeze, frozen_features
from facefeat.training.log import BY_SOURCE, describe
from facefeat.training.loop import DEFAULTS, RunOptions, Stage, phase_state, run
from facefeat.training.origin import origin_of, published
from facefeat.training.precision import in_precision, policy_of
from facefeat.training.processes import ALONE, Processes
from facefeat.training.recipe import load_recipe
from facefeat.training.weight_transfer import start_from

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.training.base_recipe import Phase
    from facefeat.training.log import TrainingLog
    from facefeat.training.recipe import Recipe


def train(
    classifier: Classifier,
    train_set: FaceDataset,
    validation_set: FaceDataset,
    recipe: str | Path | Recipe,
    options: RunOptions = DEFAULTS,
) -> TrainingLog:
    """Train `classifier` in place; it ends with the weights of the best epoch, calibrated on the validation set.

    The best epoch is the one with the highest validation score (see `evaluation.metrics.score_batch`).

    Of several processes, each calls this with the same data, and ends with the same weights.

    Raises:
        NotFiniteError: The loss is not finite (the batches that it came from are then in `nan_batch.npz`).
        TrainingError: The checkpoint belongs to another recipe or data set, or `start` does not fit.
        RecipeError: A phase trains more layers than there are.
        DataError: A data set of another schema.
    """
    read = load_recipe(recipe)
    for dataset in (train_set, validation_set):
        check_dataset(dataset, classifier.schema)
    goes_on = options.resume and options.folder is not None and (options.folder / CHECKPOINT).is_file()
    task = ClassifierTask(classifier, train_set, validation_set, read, options.processes, fresh=not goes_on)
    return run(task, options)


class ClassifierTask:
    """A `Task` of the loop. fresh: the run begins here, so that the recipe's `start` counts.

    Of several processes, the worker is what they train together; the classifier is each one's own.
    """

    def __init__(
        self,
        classifier: Classifier,
        train_set: FaceDataset,
        validation_set: FaceDataset,
        recipe: Recipe,
        processes: Processes = ALONE,
        fresh: bool = True,
    ) -> None:
        if not len(train_set.table) or not len(validation_set.table):
            raise TrainingError(
                "training needs at least one picture in the train split and one in the validation split."
            )
        if recipe.sources and not train_set.parts:
            raise RecipeError(
                f"recipe {recipe.name!r} names its sources, and the data set is one. Next: "
                "load_sources(recipe, folder).split('train')"
            )
        if recipe.image_size != classifier.image_size:
            raise InputError(f"the recipe has image_size {recipe.image_size}, the model {classifier.image_size}.")
        # Before the pictures are decoded, which may take long.
        classifier.use_keras()
        check_phases(classifier, recipe.train.plan())
        augmentation_layers(recipe.augment, 0)
        if recipe.start and fresh:
            start_from(classifier, recipe.start)
        self.classifier, self.worker = classifier, classifier
        self.train_set, self.validation_set = train_set, validation_set
        self.recipe, self.processes = recipe, processes
        self.crops, self.val_crops = train_set.crops(recipe.image_size), validation_set.crops(recipe.image_size)
        self.distilled = all_targets(recipe.distillation, files_of(train_set), classifier.schema)

    @property
    def data(self) -> dict[str, Any]:
        found = describe(self.train_set, self.validation_set)
        return found | ({NAME: fingerprint(self.recipe.distillation)} if self.distilled else {})

    @property
    def origin(self) -> dict[str, Any]:
        return origin_of(self.recipe.start, [published(self.recipe.backbone), self.train_set.licence])

    @property
    def steps(self) -> int:
        return len(self.crops) // min(self.recipe.train.batch_size, len(self.crops))

    @property
    def variables(self) -> list[Any]:
        return [*self.worker.backbone_model.weights, *self.worker.head_model.weights]

    def build(self) -> None:
        policy = policy_of(self.recipe.train.mixed_precision)
        self.worker = in_precision(self.classifier, policy, always=self.processes.count > 1)

    def stage(self, number: int, phase: Phase) -> Stage:
        freeze(self.worker, phase.trainable)
        # A backbone that never changes, seen without augmentation, gives the same features in every epoch.
        on_features = phase.trainable == "head" and self.recipe.augment.changes_nothing
        images: Any = self.crops
        val = None
        if on_features:
            reader = self.worker
            if self.processes.count > 1:
                reader = self.classifier
                reader.copy_weights(self.worker)
            images, val = (frozen_features(reader, crops) for crops in (self.crops, self.val_crops))
        labels, soft = training_targets(self.train_set)
        targets = labels | self.distilled
        batches = face_batches(images, targets, self.train_set, self.recipe, self.processes)
        with self.processes.together():
            model = training_model(
                self.worker,
                self.recipe,
                phase,
                len(batches),
                drawn_counts(self.train_set, self.recipe.seed),
                on_features=on_features,
                distilled={k: v.shape[1] for k, v in self.distilled.items()},
                soft=soft,
            )
        return Stage(model, batches, phase_state(model, self.variables), lambda: self._score(val))

    def _score(self, features: Any) -> Mapping[str, Any]:
        """features: the frozen backbone's, of the validation set, where they are known."""
        self._copy_weights()
        c, whole = self.classifier, self.validation_set
        logits = c.logits(self.val_crops[:]) if features is None else c.logits_of(features)
        scores = self._scores(logits, whole)
        numbers = whole.part_numbers()
        by_source = {}
        for i, part in enumerate(whole.parts):
            rows = np.flatnonzero(numbers == i)
            if len(rows):
                by_source[part.name] = self._scores({k: v[rows] for k, v in logits.items()}, whole.take(rows))
        return {**scores, **({BY_SOURCE: by_source} if by_source else {})}

    def _scores(self, logits: Mapping[str, Any], dataset: FaceDataset) -> dict[str, float]:
        from facefeat.evaluation import score_logits

        return {k: round(v, 5) for k, v in score_logits(self.classifier.schema, logits, dataset).items()}

    def _copy_weights(self) -> None:
        if self.worker is not self.classifier:
            self.classifier.copy_weights(self.worker)

    def close(self) -> None:
        freeze(self.worker, "all")

    def finish(self, log: TrainingLog) -> None:
        from facefeat.evaluation import calibrate

        self._copy_weights()
        c = self.classifier
        c.calibration = calibrate(c.schema, c.logits(self.val_crops[:]), self.validation_set)
