"""Recipes: the shipped ones load; mistakes are named with their line before any work starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from facefeat import RecipeError
from facefeat.training.recipe import list_recipes, load_recipe, recipe_from_dict


@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_shipped_recipes_load_and_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.summary
    assert recipe_from_dict(recipe.to_dict()) == recipe


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(RecipeError, match=r"Received: 'utkface-compac'. Did you mean 'utkface-compact'"):
        load_recipe("utkface-compac")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nepoch = 3\n", r"line 2: train.epoch: unknown key.*Did you mean 'epochs'"),
        ("[train]\nepochs = 'three'\n", r"line 2: train.epochs: must be a whole number. Received: 'three'"),
        ("[train]\n\nlearning_rate = -1\n", r"line 3: train.learning_rate: impossible value. Received: -1.0"),
        ("[train]\nepochs = 0\n", r"train.epochs: impossible value. Received: 0. Valid: 1 or more"),
        ("[augment]\nflip = 1\n", r"augment.flip: must be a true or false. Received: 1"),
        ("[backbone]\nconfig = {}\n", r"backbone.name: is missing"),
        ("[loss.age]\nkind = 'distrib'\n", r"line 2: loss.age.kind: impossible value. Received: 'distrib'"),
        ("image_size = 3\n", r"line 1: image_size: impossible value. Received: 3. Valid: 16 to 1024"),
        ("train = 3\n", r"line 1: train: must be a table"),
        ("[train]\nlearning_rate = nan\n", r"must be finite"),
        ("= 3\n", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=message):
        load_recipe(file)


def test_a_file_takes_its_name_and_changes_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 7\n", "utf-8")
    recipe = load_recipe(file)
    assert (recipe.name, recipe.seed) == ("mine", 7)
    assert recipe.replace(epochs=3, seed=8).train.epochs == 3
    with pytest.raises(RecipeError, match="impossible value"):
        recipe.replace(epochs=-3)
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path / "absent.toml")
