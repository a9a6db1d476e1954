"""Training: recipes, losses, augmentation and the loop."""

from facefeat.training.graph import build_classifier
from facefeat.training.recipe import Recipe, list_recipes, load_recipe
from facefeat.training.trainer import train

__all__ = ["Recipe", "build_classifier", "list_recipes", "load_recipe", "train"]
