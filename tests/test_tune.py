"""Tuning: spaces, sharing, going on after a kill, and a best recipe that is a recipe."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facefeat import InputError, RecipeError
from facefeat.training import load_recipe
from facefeat.training.recipe import Recipe, list_recipes, recipe_from_dict
from facefeat.training.space import apply, check_space, default_space, draw
from facefeat.training.tune import best_recipe, open_study, tune, write_recipe
from made import dataset, squares, tiny_recipe

optuna = pytest.importorskip("optuna")


class Dice:
    """Draws like a trial, from hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return self.data.draw(st.floats(low, high), name)

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        return self.data.draw(st.integers(low, high), name)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return self.data.draw(st.sampled_from(choices), name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(sorted(list_recipes())))
def test_every_point_of_every_default_space_is_a_recipe(data: st.DataObject, name: str) -> None:
    recipe = load_recipe(name)
    space = check_space(default_space(recipe), recipe)
    point = draw(space, Dice(data))
    made = apply(recipe, point, name="x")
    assert made.train.learning_rate == point["train.learning_rate"]
    assert (made.schema, made.backbone.name, made.head.name) == (recipe.schema, recipe.backbone.name, recipe.head.name)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "at least one"),
        ([1], "is a table of recipe keys"),
        ({"train.learning_rat": {"low": 1, "high": 2}}, r"train.learning_rat: no such key.*'learning_rate'"),
        ({"tran.learning_rate": {"low": 1, "high": 2}}, r"no such key.*'train'"),
        ({"train.learning_rate": 3}, "must be a table"),
        ({"train.learning_rate": {"low": 2, "high": 1}}, "needs low <= high, or choices"),
        ({"train.learning_rate": {"lo": 2}}, r"unknown key.*'low'"),
        ({"train.learning_rate": {"low": -2.0, "high": 1.0}}, "impossible value"),
        ({"train.trainable": {"choices": ["everything"]}}, "impossible value"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(space: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_space(space, tiny_recipe())


def quick(**changes: Any) -> Recipe:
    """A frozen backbone without augmentation: after the first trial only the head is computed."""
    table = tiny_recipe(trainable="head", **changes).to_dict()
    return recipe_from_dict({**table, "augment": {"flip": False}})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "cache"))


class Count:
    def __init__(self) -> None:
        self.done, self.trials = -1, 0

    def started(self, done: int, trials: int) -> None:
        self.done = done

    def epoch(self, trial: int, record: Mapping[str, Any]) -> None:
        if self.trials == 1:
            raise KeyboardInterrupt

    def finished(self, study: Any, trial: Any) -> None:
        self.trials += 1


SPACE = {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "trunk.layers": {"low": 0, "high": 1}}


def test_a_stopped_search_goes_on_and_ends_in_a_recipe(tmp_path: Path) -> None:
    data, recipe = dataset(tmp_path / "data", 24), quick(epochs=2)
    args = data.split("train"), data.split("val"), tmp_path / "search"
    first = Count()
    with pytest.raises(KeyboardInterrupt):
        tune(recipe, *args, trials=3, space=SPACE, reporter=first)
    second = Count()
    second.trials = -9  # counts, and never interrupts
    study = tune(recipe, *args, trials=3, space=SPACE, reporter=second)
    assert (first.done, second.done, second.trials) == (0, 1, -7)
    best = best_recipe(recipe, study)
    assert best.train.learning_rate == study.best_params["train.learning_rate"]
    write_recipe(best, tmp_path / "best.toml", "a comment\nof two lines")
    assert load_recipe(tmp_path / "best.toml") == best
    assert load_recipe(tmp_path / "best.toml").name == "tiny-tuned"


@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_a_written_recipe_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    write_recipe(recipe, tmp_path / "r.toml", "")
    tomllib.loads((tmp_path / "r.toml").read_text())
    assert load_recipe(tmp_path / "r.toml") == recipe


def test_a_storage_that_cannot_be_opened(tmp_path: Path) -> None:
    for storage in ("nonsense", "sqlite:////no/such/folder/x.db"):
        with pytest.raises(InputError, match=r"cannot open the study in .*Valid for --storage"):
            open_study(tiny_recipe(), tmp_path, storage)


def test_two_processes_share_a_search(tmp_path: Path) -> None:
    table = squares(tmp_path / "data", 24)
    recipe = tmp_path / "tiny.toml"
    write_recipe(quick(epochs=1), recipe, "")
    (tmp_path / "space.toml").write_text('"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }\n')
    search = tmp_path / "search"
    command = [sys.executable, "-m", "facefeat", "tune", "--recipe", recipe, "--data", table, "--output", search]
    command += ["--trials", "4", "--space", tmp_path / "space.toml"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*map(str, command), "--seed", str(i)], **pipes) for i in range(2)]  # type: ignore[call-overload]
    for process in both:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert out.strip() == str(search / "best.toml")
    study = open_study(load_recipe(recipe), search)
    complete = [t for t in study.trials if t.state.name == "COMPLETE"]
    # Both may be in their last trial when the fourth ends.
    assert 4 <= len(complete) <= 5
    page = (search / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 4 and "learning_rate" in page
