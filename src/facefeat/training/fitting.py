"""What `fit` and `fit_decoder` of a model do before and around the loops: recipes read, data sets checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.training.decoder import build_decoder, train_decoder
from facefeat.training.decoder_recipe import DecoderRecipe, load_decoder_recipe
from facefeat.training.recipe import Recipe, load_recipe
from facefeat.training.trainer import train

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.training.trainer import TrainingLog


def fit(
    classifier: Classifier,
    train_set: FaceDataset,
    validation_set: FaceDataset,
    recipe: str | Path | Recipe,
    **options: Any,
) -> TrainingLog:
    """Train a classifier in place. options: those of `train`. Raises TrainingError, RecipeError, DataError."""
    read = load_recipe(recipe)
    for dataset in (train_set, validation_set):
        dataset.check_schema(classifier.schema)
    return train(classifier, train_set, validation_set, read, **options)


def fit_decoder(
    classifier: Classifier,
    train_set: FaceDataset,
    validation_set: FaceDataset,
    recipe: str | Path | DecoderRecipe,
    **options: Any,
) -> tuple[FaceDecoder, TrainingLog]:
    """A new decoder, trained on the latents of a classifier. options: of `train_decoder`. Raises as `fit`."""
    read = load_decoder_recipe(recipe)
    for dataset in (train_set, validation_set):
        dataset.check_schema(classifier.schema)
    made = build_decoder(classifier, read)
    return made, train_decoder(classifier, made, train_set, validation_set, read, **options)
