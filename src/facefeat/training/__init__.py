"""Training: recipes, losses, augmentation and the loops, of classifiers and of decoders."""

from facefeat.training.classifier_graph import build_classifier
from facefeat.training.decoder import build_decoder, train_decoder
from facefeat.training.decoder_recipe import DecoderRecipe, list_decoder_recipes, load_decoder_recipe
from facefeat.training.recipe import Recipe, list_recipes, load_recipe
from facefeat.training.trainer import train

__all__ = [
    "DecoderRecipe",
    "Recipe",
    "build_classifier",
    "build_decoder",
    "list_decoder_recipes",
    "list_recipes",
    "load_decoder_recipe",
    "load_recipe",
    "train",
    "train_decoder",
]
