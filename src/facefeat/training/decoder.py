"""Training a decoder on a frozen classifier: the rules of `training.trainer` for checkpoints, resuming and seeds."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, TrainingError
from facefeat.training.checkpoint import Checkpoints
from facefeat.training.classifier_graph import seed_layers
from facefeat.training.decoder_graph import decoder_model
from facefeat.training.freezing import freeze
from facefeat.training.trainer import TrainingLog, Watch, describe, not_finite, one_epoch, run_key, versions, worker_of

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.training.decoder_recipe import DecoderRecipe
    from facefeat.training.trainer import TrainingReporter

SCORED = 64
"""Faces that are scored together."""


def check_named(recipe: DecoderRecipe) -> None:
    """Raises TrainingError for a recipe that wants another preset's decoder or classifier and names none."""
    if recipe.loss.reader and not recipe.reader:
        raise TrainingError(
            f"loss.reader = {recipe.loss.reader}: {recipe.name!r} has faces read by a second classifier. Next: "
            "--reader PRESET, or `reader` in the recipe."
        )
    if recipe.train.start_share and not recipe.start:
        raise TrainingError(
            f"start_share = {recipe.train.start_share}: {recipe.name!r} goes on from another run's decoder. Next: "
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
    decoder: FaceDecoder,
    train_set: FaceDataset,
    validation_set: FaceDataset,
    recipe: DecoderRecipe,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
) -> TrainingLog:
    """Train `decoder` in place on the latents of `classifier`, which stays as it is.

    It ends with the weights of the epoch with the highest score on the validation set (see `score`).
    folder: where `checkpoint.npz` and `best.npz` are kept; None keeps them in memory only. resume: go on from there.

    Raises TrainingError where the loss is not finite (the batches that it came from are then in `nan_batch.npz`), or
    the checkpoint belongs to another recipe, classifier or data set.
    """
    from facefeat.data import Batches

    check_named(recipe)
    if len(train_set.table) < 2 or not len(validation_set.table):
        raise TrainingError("training needs two pictures in the train split and one in the validation split.")
    if (decoder.image_size, decoder.feature_dim) != (classifier.image_size, classifier.latent_dim):
        raise InputError("the decoder was built for another image size or width of latents than the classifier's.")
    size = classifier.image_size
    crops, val_crops = train_set.crops(size), validation_set.crops(size)
    data = {**describe(train_set, validation_set), "classifier": _fingerprint(classifier)}
    second = _second(recipe, classifier)
    if second is not None:
        data["reader"] = _fingerprint(second)
    log = TrainingLog(recipe.to_dict(), data, versions())
    saved = Checkpoints(Path(folder) if folder else None, run_key(log))
    state = saved.read() if resume else None
    if state:
        log.epochs, log.best_epoch = state["epochs"], state["best_epoch"]

    first = _weights_of(recipe.start, classifier, decoder, train_set) if recipe.start else None
    if first and not state:
        _give(decoder, first)
    options = recipe.train
    frozen, worker = worker_of(classifier, options.mixed_precision), worker_of(decoder, options.mixed_precision)
    batches = Batches(crops, {}, min(options.batch_size, len(crops)), shuffle=True, seed=recipe.seed, drop_last=True)
    watch = Watch(reporter, len(batches))
    try:
        moves = _moves(classifier, train_set, recipe)
        other = None if second is None else worker_of(second, options.mixed_precision)
        model = decoder_model(frozen, worker, recipe, len(batches), moves, other)
        critic = model.critic.weights if recipe.loss.adversarial else []
        variables = [*worker.weights, *critic]
        if state:
            saved.restore(variables, model.optimizer.variables)
        if reporter:
            reporter.started(options.epochs, len(log.epochs), len(batches))
        for epoch in range(len(log.epochs), options.epochs):
            if _patience_over(log, options.patience):
                break
            started = time.perf_counter()
            seed_layers(model, recipe.seed, epoch)
            model.look(epoch >= options.classifier_from * options.epochs)
            if critic:
                model.fooling.assign(float(epoch >= options.adversarial_from * options.epochs))
            loss = one_epoch(model, _inputs(batches, epoch), len(batches), epoch, watch)
            if not math.isfinite(loss):
                raise not_finite(loss, epoch, options.learning_rate, watch, batches, train_set, saved.folder)
            if worker is not decoder:
                decoder.copy_weights(worker)
            record = {"epoch": epoch, "phase": 0, "loss": round(loss, 6)}
            record |= {"seconds": round(time.perf_counter() - started, 1), **score(classifier, decoder, val_crops)}
            log.epochs.append(record)
            best = log.best_epoch < 0 or record["score"] > log.epochs[log.best_epoch]["score"]
            if best:
                log.best_epoch = epoch
            kept = {"best_epoch": log.best_epoch, "epochs": log.epochs}
            saved.save(variables, model.optimizer.variables, kept, best)
            if reporter:
                reporter.epoch(record)
    finally:
        freeze(classifier, "all")
    saved.restore_best(variables)
    if worker is not decoder:
        decoder.copy_weights(worker)
    if first and options.start_share:
        _give(decoder, first, options.start_share)
        log.epochs[log.best_epoch] |= score(classifier, decoder, val_crops)
    return log


def _weights_of(
    preset: str, classifier: Classifier, decoder: FaceDecoder, train_set: FaceDataset
) -> dict[str, list[np.ndarray]]:
    """Part -> the weights that `decoder` has from a preset's, which is carried over where its classifier was another.

    Raises PresetError, TrainingError where it cannot be.
    """
    from facefeat.presets.store import find_preset, load_classifier, load_decoder
    from facefeat.training import weight_transfer as carry

    folder = find_preset(preset)
    other = load_decoder(folder)
    if other is None:
        raise TrainingError(f"start = {preset!r}: this preset has no decoder.")
    if not carry.can_carry(other, decoder):
        raise carry.refuse(preset, other, decoder)
    theirs, _ = load_classifier(folder)
    some = np.linspace(0, len(train_set) - 1, min(carry.FACES, len(train_set))).astype(int)
    features, new = (_features(c, train_set.crops(c.image_size), some) for c in (theirs, classifier))
    if other.image_size == decoder.image_size and carry.alike(features, new):
        return {k: part.get_weights() for k, part in other.parts.items()}
    return carry.carry(other, features, decoder, new)


def _second(recipe: DecoderRecipe, classifier: Classifier) -> Classifier | None:
    """The second classifier that is to read faces, None where no loss asks for it.

    Raises PresetError, or TrainingError where it answers in other classes or is used to another geometry.
    """
    if not recipe.loss.reader:
        return None
    from facefeat.presets.store import find_preset, load_classifier

    second, _ = load_classifier(find_preset(recipe.reader))
    ours, theirs = ({k: a.classes for k, a in c.schema.attributes.items()} for c in (classifier, second))
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


def _moves(classifier: Classifier, train_set: FaceDataset, recipe: DecoderRecipe) -> Any:
    """The layer that moves features at random as the recipe says, None where it does not."""
    most, loss = recipe.train.moves, recipe.loss
    if not (most and (loss.swap or loss.features or loss.reader)):
        return None
    from facefeat.training.random_traverse import RandomMoves, ways_of

    crops = train_set.crops(classifier.image_size)
    features = _features(classifier, crops, np.arange(len(crops)))
    ways = ways_of(features, train_set.labels(), train_set.years(), classifier.schema)
    return RandomMoves(ways, most, seed=recipe.seed + 2)


def _inputs(batches: Any, epoch: int) -> Iterator[tuple[Any]]:
    """The crops of an epoch: what they are compared with is in the graph, so there are no targets."""
    for images, _ in batches.epoch(epoch):
        yield (images,)


def score(classifier: Classifier, decoder: FaceDecoder, crops: Any) -> dict[str, float]:
    """How well crops (N, S, S, 3) uint8 are reconstructed.

    mse: on 0..1. psnr: in dB. kept_ATTRIBUTE: share of faces that the classifier reads as it read the original.
    swap_kept_ATTRIBUTE: the same, of the faces with the detail of the next one.
    score: psnr, and a decibel for each ten percent of what is kept, on average over attributes: a face that is read as
    another is worth less than a face that is a little blurred.
    """
    from facefeat.networks.decoder import to_pixels

    error, count = 0.0, 0
    kept: dict[str, int] = {}
    for start in range(0, len(crops), SCORED):
        some = np.asarray(crops[start : start + SCORED])
        features = classifier.encode(some)
        z = decoder.latents(features, some)
        made = decoder.decode(z)
        error += float(np.mean((made - some.astype("float32") / 255) ** 2, axis=(1, 2, 3)).sum())
        count += len(some)
        want = classifier.predict(some).labels
        answers = {"kept": classifier.predict(to_pixels(made)).labels}
        if decoder.detail_dim:
            z = np.concatenate([features, np.roll(z[:, decoder.feature_dim :], 1, axis=0)], axis=1)
            answers["swap_kept"] = classifier.predict(to_pixels(decoder.decode(z))).labels
        for what, labels in answers.items():
            for name, value in labels.items():
                key = f"{what}_{name}"
                kept[key] = kept.get(key, 0) + int(np.sum(value == want[name]))
    mse = error / count
    psnr = -10 * math.log10(max(mse, 1e-12))
    shares = {k: v / count for k, v in kept.items()}
    return {
        "mse": round(mse, 6),
        "psnr": round(psnr, 4),
        **{k: round(v, 5) for k, v in shares.items()},
        "score": round(psnr + 10 * float(np.mean(list(shares.values()))), 4),
    }


def _patience_over(log: TrainingLog, patience: int) -> bool:
    """Whether the run went on for `patience` epochs without a better score."""
    return bool(patience and log.epochs) and len(log.epochs) - 1 - log.best_epoch >= patience


def _fingerprint(classifier: Classifier) -> str:
    """A hash of the classifier's weights: another one has other latents."""
    digest = hashlib.sha256()
    for array in (*classifier.backbone_model.get_weights(), *classifier.head_model.get_weights()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
