"""Recipes: the shipped ones load; mistakes are named with their line before any work starts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat import RecipeError
from facefeat.presets.store import find_preset, read_config
from facefeat.testing import toys
from facefeat.training.base_recipe import PRECISIONS, ComponentChoice, shared_out
from facefeat.training.origin import origin_of, published
from facefeat.training.recipe import Recipe, list_recipes, load_recipe
from made import recipe_of
from readme_blocks import blocks


@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_shipped_recipes_load_and_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.summary
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(RecipeError, match=r"Received: 'utkface-compac'. Did you mean 'utkface-compact'"):
        load_recipe("utkface-compac")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 0x" + "f" * 5000, r"seed: is too large\. Received: a number of over 4,300 digits"),
        ("[train]\nepoch = 3\n", r"line 2: train.epoch: unknown key.*Did you mean 'epochs'"),
        ("[train]\nepochs = 'three'\n", r"line 2: train.epochs: must be a whole number. Received: 'three'"),
        ("[train]\n\nlearning_rate = -1\n", r"line 3: train.learning_rate: impossible value. Received: -1.0"),
        ("[train]\nepochs = 0\n", r"train.epochs: impossible value. Received: 0. Valid: 1 or more"),
        ("[augment]\nflip = 1\n", r"augment.flip: must be a true or false. Received: 1"),
        ("[backbone]\nconfig = {}\n", r"backbone.name: is missing"),
        ("[loss.age]\nkind = 'distrib'\n", r"line 2: loss.age.kind: no such loss. Received: 'distrib'"),
        ("image_size = 3\n", r"line 1: image_size: impossible value. Received: 3. Valid: 16 to 1024"),
        ("train = 3\n", r"line 1: train: must be a table"),
        ("[train]\nlearning_rate = nan\n", r"must be finite"),
        ("= 3\n", "not valid TOML"),
        ("[train]\ntrainable = 'last'\n", r"line 2: train.trainable: impossible value.*all, head, or last N"),
        ("[train]\nphases = 3\n", r"line 2: train.phases: must be a list of tables"),
        (
            "[[train.phases]]\nepochs = 1\nwarmup_epochs = 0\n[[train.phases]]\nepochs = 0\n",
            r"line 5: train.phases.2.epochs: impossible",
        ),
        ("[[train.phases]]\nepoch = 1\n", r"line 2: train.phases.1.epoch: unknown key.*'epochs'"),
        ("[loss.rase]\nweight = 1.0\n", r"line 1: loss.rase: no such attribute.*'race'"),
        ("alignment = 'utkfase'\n", r"line 1: alignment: no such alignment.*'utkface'"),
        ("schema = 'fairfaces'\n", r"line 1: schema: .*'fairface'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, text)


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


def test_epochs_are_shared_out_among_phases(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nlearning_rate = 0.5\n[[train.phases]]\nepochs = 10\n[[train.phases]]\nepochs = 30\n")
    recipe = load_recipe(file)
    assert [p.learning_rate for p in recipe.train.plan()] == [0.5, 0.5]
    assert [p.epochs for p in recipe.replace(epochs=8).train.plan()] == [2, 6]
    assert [p.epochs for p in recipe.replace(epochs=1).train.plan()] == [1, 1]


@given(st.integers(1, 500), st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_shares_of_epochs_sum_to_what_was_asked(total: int, weights: list[int]) -> None:
    shares = shared_out(total, weights)
    assert min(shares) >= 1 and sum(shares) == max(total, len(weights))
    if total == sum(weights):
        assert shares == weights


def test_the_page_on_training_says_what_the_code_does(repo: Path) -> None:
    page = (repo / "docs" / "training.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| `mixed_precision`")]
    assert all(f"`{name}`" in row for name in PRECISIONS if name != "auto")
    (example,) = [b.text for b in blocks(page) if "[[train.phases]]" in b.text]
    recipe = Recipe.from_dict(tomllib.loads(example) | {"name": "example"})
    assert [p.trainable for p in recipe.train.phases] == ["head", "last 7"]
    halved = recipe.replace(learning_rate=5e-4)
    assert [p.learning_rate for p in halved.train.plan()] == pytest.approx([5e-4, 1.5e-5])
    assert [p.warmup_epochs for p in recipe.replace(epochs=2).train.plan()] == [0.5, 0.5]


# ---------------------------------------------------------------- from a preset, on the data's schema


def test_a_recipe_without_a_backbone_has_that_of_its_start(tmp_path: Path) -> None:
    bundled = read_config(find_preset(None))
    recipe = load_recipe("finetune-head")
    assert recipe.start == bundled["name"] and recipe.image_size == bundled["image_size"]
    assert recipe.backbone.name == bundled["backbone"]["name"] and recipe.data_schema is None
    small = toys.toy_preset(tmp_path / "small")
    other = recipe.replace(start=str(small))
    config = read_config(small)
    assert (other.backbone.name, other.image_size) == (config["backbone"]["name"], config["image_size"])
    own = load_recipe("utkface-compact")
    assert own.replace(start=str(small)).backbone == own.backbone


def test_a_schema_left_to_the_data_is_asked_for_and_its_losses_checked() -> None:
    recipe = Recipe.from_dict({"name": "mine", "schema": "data", "loss": {"mood": {"kind": "focal"}}})
    with pytest.raises(RecipeError, match="takes its schema from the data set"):
        recipe.schema_of()
    with pytest.raises(RecipeError, match=r"loss\.mood: no such attribute"):
        recipe.schema_of("utkface")


def test_a_schema_is_looked_for_next_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    schema = 'name = "mine"\n[attributes.mood]\nclasses = ["glad", "sad"]\n'
    (tmp_path / "deep" / "mine.toml").write_text(schema)
    (tmp_path / "deep" / "recipe.toml").write_text('schema = "mine.toml"\n')
    monkeypatch.chdir(tmp_path)
    assert load_recipe("deep/recipe.toml").schema_of().name == "mine"
    (tmp_path / "here.toml").write_text(schema)
    (tmp_path / "deep" / "recipe.toml").write_text('schema = "here.toml"\n')
    assert load_recipe("deep/recipe.toml").schema_of().name == "mine"


def test_licences_of_data_start_and_weights_are_joined(tmp_path: Path) -> None:
    start = toys.toy_preset(tmp_path / "start")
    found = origin_of(str(start), ["the user's own data: not stated"])
    assert found == {"start": read_config(start)["name"], "licence": "CC0-1.0; the user's own data: not stated"}
    assert origin_of("", ["UTKFace: research", "UTKFace: research"]) == {"licence": "UTKFace: research"}
    gone = origin_of(str(tmp_path / "gone"), ["CC BY 4.0"])
    assert gone["licence"] == f"CC BY 4.0; the preset {str(tmp_path / 'gone')!r}: not stated"
    assert "VGGFace2" in published(ComponentChoice("mobilenet", {"weights": "vggface2"}))
    assert published(ComponentChoice("compact", {})) == ""
