"""Training: recipes, one loop, and what it trains: classifiers and decoders."""

from facefeat.training.classifier_graph import build_classifier
from facefeat.training.classifier_task import train
from facefeat.training.decoder_recipe import DecoderRecipe, list_decoder_recipes, load_decoder_recipe
from facefeat.training.decoder_task import build_decoder, train_decoder
from facefeat.training.log import TrainingLog, TrainingReporter
from facefeat.training.recipe import Recipe, list_recipes, load_recipe
from facefeat.training.sources import load_sources

__all__ = [
    "DecoderRecipe",
    "Recipe",
    "TrainingLog",
    "TrainingReporter",
    "build_classifier",
    "build_decoder",
    "list_decoder_recipes",
    "list_recipes",
    "load_decoder_recipe",
    "load_recipe",
    "load_sources",
    "train",
    "train_decoder",
]
