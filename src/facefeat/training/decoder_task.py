"""Training a decoder on a frozen classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.data.dataset import check_dataset
from facefeat.errors import InputError, TrainingError
from facefeat.training import weight_transfer
from facefeat.training.batches import face_batches
from facefeat.training.decoder_graph import decoder_model
from facefeat.training.decoder_recipe import DecoderRecipe, load_decoder_recipe
from facefeat.training.decoder_score import score
from facefeat.training.freezing import freeze
from facefeat.training.log import describe
from facefeat.training.loop import DEFAULTS, RunOptions, Stage, phase_state, run
from facefeat.training.origin import origin_of
from facefeat.training.precision import in_precision, policy_of
from facefeat.training.processes import ALONE

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.training.base_recipe import Phase
    from facefeat.training.log import TrainingLog


def check_named(recipe: DecoderRecipe) -> None:
    """Raises TrainingError for a recipe that wants another preset's decoder or classifier and names none."""
    if recipe.loss.reader and not recipe.reader:
        raise TrainingError(
            f"loss.reader = {recipe.loss.reader}: {recipe.name!r} has faces read by a second classifier. Next: "
            "--reader PRESET, or `reader` in the recipe."
        )
    if recipe.train.start_share and not recipe.start:
        raise TrainingError(
            f"start_share = {recipe.train.start_share}: {recipe.name!r} starts from another run's decoder. Next: "
            "--start PRESET, or `start` in the recipe."
        )


def build_decoder(classifier: Classifier, recipe: DecoderRecipe) -> FaceDecoder:
    """The untrained decoder that a recipe describes, for this classifier; its weights follow from the recipe's seed.

    Raises UnknownComponentError, MissingExtraError, InputError.
    """
    from keras.utils import set_random_seed

    from facefeat.networks.decoder import FaceDecoder

    set_random_seed(recipe.seed)
    return FaceDecoder.build(
        recipe.decoder.name,
        feature_dim=classifier.latent_dim,
        image_size=classifier.image_size,
        config=recipe.decoder.config,
    )


def train_decoder(
    classifier: Classifier,
    train_set: FaceDataset,
    validation_set: FaceDataset,
    recipe: str | Path | DecoderRecipe,
    options: RunOptions = DEFAULTS,
) -> tuple[FaceDecoder, TrainingLog]:
    """A new decoder, trained on the latents of `classifier`, which is not changed.

    It has the weights of the epoch with the highest score on the validation set (see `decoder_score`).

    Raises:
        NotFiniteError: The loss is not finite (the batches that it came from are then in `nan_batch.npz`).
        TrainingError: The checkpoint belongs to another recipe, classifier or data set, or `start` does not fit.
        RecipeError, DataError: As of `train`.
    """
    read = load_decoder_recipe(recipe)
    for dataset in (train_set, validation_set):
        check_dataset(dataset, classifier.schema)
    task = DecoderTask(classifier, build_decoder(classifier, read), train_set, validation_set, read)
    log = run(task, options)
    return task.decoder, log


class DecoderTask:
    """A `Task` of the loop."""

    def __init__(
        self,
        classifier: Classifier,
        decoder: FaceDecoder,
        train_set: FaceDataset,
        validation_set: FaceDataset,
        recipe: DecoderRecipe,
    ) -> None:
        check_named(recipe)
        if len(train_set.table) < 2 or not len(validation_set.table):
            raise TrainingError("training needs two pictures in the train split and one in the validation split.")
        if (decoder.image_size, decoder.feature_dim) != (classifier.image_size, classifier.latent_dim):
            raise InputError("the decoder was built for another image size or width of latents than the classifier's.")
        self.classifier, self.decoder, self.worker = classifier, decoder, decoder
        self.train_set, self.validation_set, self.recipe = train_set, validation_set, recipe
        size = decoder.face_size
        self.crops, self.val_crops = train_set.crops(size), validation_set.crops(size)
        self.second = _second(recipe, classifier)
        self.start = _weights_of(recipe.start, classifier, decoder, train_set) if recipe.start else {}

    @property
    def data(self) -> dict[str, Any]:
        found = {**describe(self.train_set, self.validation_set), "classifier": _fingerprint(self.classifier)}
        return found if self.second is None else {**found, "reader": _fingerprint(self.second)}

    @property
    def origin(self) -> dict[str, Any]:
        return origin_of(self.recipe.start, [self.train_set.licence])

    @property
    def steps(self) -> int:
        return len(self.crops) // min(self.recipe.train.batch_size, len(self.crops))

    @property
    def variables(self) -> list[Any]:
        return self.worker.weights

    def build(self) -> None:
        if self.start:
            _give(self.decoder, self.start)
        policy = policy_of(self.recipe.train.mixed_precision)
        self.frozen, self.worker = in_precision(self.classifier, policy), in_precision(self.decoder, policy)
        self.frozen_second = None if self.second is None else in_precision(self.second, policy)

    def stage(self, number: int, phase: Phase) -> Stage:
        batches = face_batches(self.crops, {}, self.train_set, self.recipe, ALONE)
        traverse = _random_traverse(self.classifier, self.train_set, self.recipe)
        model = decoder_model(self.frozen, self.worker, self.recipe, len(batches), traverse, self.frozen_second)
        options = self.recipe.train

        def begin_epoch(epoch: int) -> None:
            model.read_decoded(epoch >= options.classifier_from * options.epochs)
            if model.fooling is not None:
                model.fooling.assign(float(epoch >= options.adversarial_from * options.epochs))

        return Stage(model, batches, phase_state(model, self.variables), self._score, begin_epoch)

    def _score(self) -> Mapping[str, float]:
        self._copy_weights()
        return score(self.classifier, self.decoder, self.val_crops)

    def _copy_weights(self) -> None:
        if self.worker is not self.decoder:
            self.decoder.copy_weights(self.worker)

    def close(self) -> None:
        freeze(self.classifier, "all")

    def finish(self, log: TrainingLog) -> None:
        self._copy_weights()
        if self.start and self.recipe.train.start_share:
            _give(self.decoder, self.start, self.recipe.train.start_share)
            log.epochs[log.best_epoch] |= score(self.classifier, self.decoder, self.val_crops)


def _weights_of(
    preset: str, classifier: Classifier, decoder: FaceDecoder, train_set: FaceDataset
) -> dict[str, list[np.ndarray]]:
    """Part -> the weights that `decoder` has from a preset's, transferred where its classifier was another.

    Raises PresetError, TrainingError where they do not fit.
    """
    from facefeat.presets.store import find_preset, load_classifier, load_decoder

    folder = find_preset(preset)
    other = load_decoder(folder)
    if other is None:
        raise TrainingError(f"start = {preset!r}: this preset has no decoder.")
    if not weight_transfer.can_transfer(other, decoder):
        raise weight_transfer.refuse(preset, other, decoder)
    theirs, _ = load_classifier(folder)
    some = np.linspace(0, len(train_set) - 1, min(weight_transfer.FACES, len(train_set))).astype(int)
    features, new = (_features(c, train_set.crops(c.image_size), some) for c in (theirs, classifier))
    if other.image_size == decoder.image_size and weight_transfer.alike(features, new):
        return {k: part.get_weights() for k, part in other.parts.items()}
    return weight_transfer.transfer(other, features, decoder, new)


def _second(recipe: DecoderRecipe, classifier: Classifier) -> Classifier | None:
    """The second classifier that is to read faces, None where no loss asks for it.

    Raises PresetError, or TrainingError where it answers in other classes or is used to another geometry.
    """
    if not recipe.loss.reader:
        return None
    from facefeat.presets.store import find_preset, load_classifier

    second, _ = load_classifier(find_preset(recipe.reader))
    ours, theirs = (c.schema.meaning for c in (classifier, second))
    if ours != theirs or classifier.alignment != second.alignment:
        raise TrainingError(
            f"reader = {recipe.reader!r}: schema {second.schema.name!r} and alignment {second.alignment!r} are not "
            f"those of the model, {classifier.schema.name!r} and {classifier.alignment!r}."
        )
    return second


def _features(classifier: Classifier, crops: Any, rows: np.ndarray) -> np.ndarray:
    """(N, D) of these rows of the crops, which may lie on a disk."""
    parts = [classifier.encode(crops[rows[i : i + 512]]) for i in range(0, len(rows), 512)]
    return np.concatenate(parts)


def _give(decoder: FaceDecoder, weights: dict[str, list[np.ndarray]], share: float = 1.0) -> None:
    """Give the decoder these weights, for a share of its own."""
    for kind, part in decoder.parts.items():
        mixed = zip(weights[kind], part.get_weights(), strict=True)
        part.set_weights([share * new + (1 - share) * own for new, own in mixed])


def _random_traverse(classifier: Classifier, train_set: FaceDataset, recipe: DecoderRecipe) -> Any:
    """The layer that moves features at random as the recipe says, None where it does not."""
    most, loss = recipe.train.traverse, recipe.loss
    if not (most and (loss.swap or loss.features or loss.reader)):
        return None
    from facefeat.training.random_traverse import RandomTraverse, class_shifts

    crops = train_set.crops(classifier.image_size)
    features = _features(classifier, crops, np.arange(len(crops)))
    shifts = class_shifts(features, train_set.targets(), classifier.schema)
    return RandomTraverse(shifts, most, seed=recipe.seed + 2)


def _fingerprint(classifier: Classifier) -> str:
    """A hash of the classifier's weights: another one has other latents."""
    digest = hashlib.sha256()
    for array in (*classifier.backbone_model.get_weights(), *classifier.head_model.get_weights()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
