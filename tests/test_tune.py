"""Tuning: spaces, sharing, going on after a kill, and a best recipe that is a recipe."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facefeat import InputError, RecipeError, TrainingError
from facefeat.cli import run
from facefeat.errors import NotFiniteError
from facefeat.training import load_recipe
from facefeat.training.recipe import Recipe, list_recipes
from facefeat.training.space import apply, check_space, default_space, draw
from facefeat.training.tune import best_recipe, check_study, open_study, tune, write_recipe
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
        ({"train.trainable": {"choices": ["all", "everything"]}}, "train.trainable: impossible value.*'everything'"),
        ({"train.trainable": {"choices": ["all"], "low": 1}}, "train.trainable: needs low <= high, or choices"),
        ({"train.learning_rate": {"low": 1, "high": 20}}, "train.learning_rate: impossible value. Received: 20"),
        ({"train.learning_rate": {"low": 0, "high": 1, "log": True}}, "train.learning_rate: log = true needs a low"),
        ({"train.learning_rate": {"low": 0.1, "high": 1, "log": "yes"}}, "log must be true or false. Received: 'yes'"),
        ({"train.learning_rate": {"low": 0.1, "high": 1, "step": 0}}, "step must be a number over 0. Received: 0"),
        ({"train.learning_rate": {"low": 0.1, "high": 1, "step": "x"}}, "step must be a number over 0. Received: 'x'"),
        ({"train.learning_rate": {"low": 0.1, "high": 1, "step": 0.1, "log": True}}, "log = true takes no step"),
        ({"train.learning_rate": {"low": 0.1, "high": float("inf")}}, "needs low <= high"),
        ({"train.learning_rate": {"choices": ["x"]}}, "train.learning_rate: must be a number"),
        ({"train.batch_size": {"low": 8, "high": 16, "step": 0.5}}, "batch_size: takes whole numbers.*step = 0.5"),
        (
            {"train.epochs": {"low": 1, "high": 9}, "train.warmup_epochs": {"low": 0, "high": 3}},
            "warmup_epochs: imposs",
        ),
        ({"trunk.unitz": {"low": 8, "high": 16}}, "trunk.unitz: no such key.*'units'"),
        ({"trunk.layers": {"low": -2, "high": 1}}, "trunk.layers: impossible value. Received: -2"),
        ({"trunk.units": {"choices": [8, 0]}}, "trunk.units: impossible value. Received: 0"),
        ({"trunk.units": {"low": 8.5, "high": 16}}, "trunk.units: takes whole numbers"),
        ({"augment.strength": {"choices": ["x"]}}, "augment.strength: impossible value"),
        ({"head.config.dropuot": {"choices": [0.1]}}, "head.config.dropuot: no such setting.*'dropout'"),
        ({"train.phases.1.trainable": {"choices": ["all"]}}, "no such key.*Received: '1'"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(space: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_space(space, tiny_recipe())


def test_whole_numbers_are_drawn_only_where_a_key_takes_them() -> None:
    ranges = {"low": 0, "high": 1}
    keys = ("head.config.dropout", "trunk.dropout", "augment.strength", "train.weight_decay", "train.clip_norm")
    checked = check_space(dict.fromkeys(keys, ranges), tiny_recipe())
    assert all(type(v) is float for values in checked.values() for v in values.values())
    whole = {"train.epochs": {"low": 1.0, "high": 3}, "backbone.config.stem": ranges, "trunk.layers": ranges}
    checked = check_space(whole, tiny_recipe())
    assert all(type(v) is int for values in checked.values() for v in values.values())


@pytest.mark.parametrize("name", ["fairface-convnext", "utkface-last7"])
def test_the_phases_of_a_recipe_are_searched(name: str) -> None:
    recipe = load_recipe(name)
    assert "train.phases.2.trainable" in default_space(recipe)
    head, rest = apply(recipe, {"train.learning_rate": 2e-3, "train.phases.2.trainable": "last 3"}).train.plan()
    assert (head.learning_rate, rest.learning_rate) == (2e-3, pytest.approx(2e-4))
    assert (head.trainable, rest.trainable) == ("head", "last 3")
    values = {"train.learning_rate": 2e-3, "train.phases.2.learning_rate": 5e-5}
    assert [p.learning_rate for p in apply(recipe, values).train.plan()] == [2e-3, 5e-5]
    for key, message in (("train.phases.3.epochs", "Valid: 1, 2"), ("train.trainable", "train.phases.1.trainable")):
        with pytest.raises(RecipeError, match=f"{key}: .*{message}"):
            check_space({key: {"choices": [1]}}, recipe)


def test_a_head_without_a_trunk_has_none_to_search() -> None:
    with pytest.raises(RecipeError, match="trunk.units: the head 'single' has no trunk"):
        check_space({"trunk.units": {"choices": [64]}}, load_recipe("utkface-single"))


def quick(**changes: Any) -> Recipe:
    """A frozen backbone without augmentation: after the first trial only the head is computed."""
    table = tiny_recipe(trainable="head", **changes).to_dict()
    return Recipe.from_dict({**table, "augment": {"flip": False}})


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
        tune(recipe, *args, trials=2, space=SPACE, reporter=first)
    second = Count()
    second.trials = -9  # counts, and never interrupts
    study = tune(recipe, *args, trials=2, space=SPACE, reporter=second)
    assert (first.done, second.done, second.trials) == (0, 1, -8)
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


def a_point(folder: Path, seed: int = 0) -> float:
    return float(open_study(tiny_recipe(), folder, seed=seed).ask().suggest_float("x", 0, 1))


def test_no_point_is_drawn_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = a_point(tmp_path / "a")
    again = a_point(tmp_path / "a")  # the search goes on
    seeded = a_point(tmp_path / "b", seed=1)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    beside = a_point(tmp_path / "c")  # another process, at the same moment
    assert len({first, again, seeded, beside}) == 4


def faces(print_: str) -> Any:
    """As much of a FaceDataset as a study looks at."""
    return SimpleNamespace(fingerprint=print_, schema=None)


DATA = faces("a"), faces("b")


@pytest.mark.parametrize(
    ("recipe", "space", "data", "message"),
    [
        ({"epochs": 3}, {}, DATA, "train.epochs was 2, received 3"),
        ({}, {"trunk.layers": {"low": 0, "high": 2}}, DATA, "space.trunk.layers.high was 1, received 2"),
        ({}, {"train.trainable": {"choices": ["all"]}}, DATA, "space.train.trainable.choices was .none., received"),
        ({}, {}, (faces("c"), faces("b")), "training data was"),
        ({"batch_size": 7}, {}, None, "train.batch_size was 12, received 7"),
    ],
)
def test_a_study_of_another_search_is_refused(
    tmp_path: Path, recipe: dict[str, Any], space: dict[str, Any], data: Any, message: str
) -> None:
    def check(recipe: dict[str, Any], space: dict[str, Any], data: Any) -> None:
        r = tiny_recipe(**recipe)
        check_study(open_study(r, tmp_path), r, check_space({**SPACE, **space}, r), data)

    check({}, {}, None)
    check({}, {}, DATA)
    check({}, {}, DATA)
    with pytest.raises(InputError, match=f"of another search: .*{message}.*Valid: .*Next: .*--output"):
        check(recipe, space, data)
    check({"summary": "another"}, {}, None)


def test_another_recipe_of_the_same_name_is_told_before_the_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = quick(epochs=2)
    write_recipe(recipe, tmp_path / "tiny.toml", "")
    recipe = load_recipe(tmp_path / "tiny.toml")
    check_study(open_study(recipe, tmp_path / "search"), recipe, None, DATA)
    args = ["--recipe", tmp_path / "tiny.toml", "--data", tmp_path / "tiny.toml", "--output", tmp_path / "search"]
    assert run(["tune", *map(str, args), "--epochs", "5"]) == 2
    assert "train.epochs was 2, received 5" in " ".join(capsys.readouterr().err.split())
    assert run(["tune", *map(str, args), "--seed", "-1"]) == 2
    assert "-1 is not in the range" in " ".join(capsys.readouterr().err.split())


def test_a_split_that_is_not_there_leaves_no_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recipe(quick(), tmp_path / "tiny.toml", "")
    args = [
        "--recipe",
        tmp_path / "tiny.toml",
        "--data",
        squares(tmp_path / "data", 8),
        "--output",
        tmp_path / "search",
    ]
    assert run(["tune", *map(str, args), "--validation-split", "elsewhere"]) == 1
    assert "elsewhere" in capsys.readouterr().err
    assert not list(tmp_path.glob("search/*"))


def test_only_a_loss_that_is_not_finite_is_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [
        NotFiniteError("the loss is nan"),
        SimpleNamespace(epochs=[{"score": 0.5}], best_epoch=0),
        TrainingError("the disk is full"),
    ]

    def train(*_: Any, **__: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("facefeat.training.classifier_task.train", train)
    monkeypatch.setattr("facefeat.training.classifier_graph.build_classifier", lambda *_: None)
    with pytest.raises(TrainingError, match="the disk is full"):
        tune(tiny_recipe(), *DATA, tmp_path, trials=9, space=SPACE)
    states = [t.state.name for t in open_study(tiny_recipe(), tmp_path).trials]
    assert states == ["PRUNED", "COMPLETE", "FAIL"]


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
