"""Composing by hand, on a model whose answers can be reckoned by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from facefeat import DataError, InputError, PresetError
from facefeat.cli import cli
from facefeat.latent.compose import compose, draws
from facefeat.latent.goals import check_attributes
from latent_fake import FEATURES, SCHEMA, FakeModel, another


@pytest.fixture(scope="module")
def model() -> FakeModel:
    return FakeModel()


def test_the_head_reads_what_was_asked(model: FakeModel) -> None:
    found = compose(model, {"age": 72, "gender": "Female", "race": ("c", 0.7)}, {}, count=6)
    assert found.reached.all() and np.abs(found.predictions.age_years - 72).max() <= 2
    assert set(found.predictions.labels["gender"]) == {"Female"} and set(found.predictions.labels["race"]) == {"C"}
    assert found.asked == {"age": 72.0, "gender": "Female", "race": "C"}
    assert json.loads(json.dumps(found.to_dict()))["reached"] == [True] * 6


def test_it_starts_from_class_means_and_ends_near_the_faces_of_the_class(model: FakeModel) -> None:
    d, labels = model.directions, model.labels
    # Of the faces that are also read as female.
    rows = [d.row("gender", c) for c in ("Male", "Female")]
    mean = model.latents[(labels["gender"] == 1) & (d.values(model.latents)[:, rows].argmax(axis=1) == 1)].mean(axis=0)
    assert np.allclose(d.group_mean("gender", "Female"), mean, atol=1e-5)
    found = compose(model, {"gender": "Female"}, {}, variety=0)
    # Coordinate 7 goes with gender and is not read: the composed face has it as the faces of the class have.
    assert found.latents[0, 7] > mean[7] / 2
    assert np.allclose(compose(model, {}, {}, variety=0).latents[0], d.mean, atol=1e-6)


def test_the_faces_of_a_count_differ_and_come_again(model: FakeModel) -> None:
    two, three = (compose(model, {"age": 30}, {}, count=n, seed=5) for n in (2, 3))
    assert (two.latents == three.latents[:2]).all() and len(np.unique(three.latents.round(3), axis=0)) == 3
    assert (compose(model, {"age": 30}, {}, count=2, seed=6).latents != two.latents).all(axis=0).any()


def test_the_faces_are_as_far_from_the_typical_one_as_real_faces_are(model: FakeModel) -> None:
    made = draws(model.directions, (), 4000, 0)
    assert np.allclose(made.mean(axis=0), 0, atol=0.06 * model.latents.std())
    assert np.allclose(np.cov(made.T, bias=True), np.cov(model.latents.T, bias=True), atol=0.1)
    half = compose(model, {}, {}, count=3, variety=0.5).latents - model.directions.mean
    assert np.allclose(2 * half, compose(model, {}, {}, count=3, variety=1).latents - model.directions.mean, atol=1e-4)


def test_what_is_drawn_does_not_change_what_is_asked(model: FakeModel) -> None:
    d = model.directions
    made = draws(d, ("age", "race"), 200, 1)
    rows = np.array([i for i, (name, _) in enumerate(d.probes) if name in ("age", "race")])
    others = np.setdiff1d(np.arange(len(d.probes)), rows)
    by_probe = made[:, : d.feature_dim] @ d.weights.T
    assert np.abs(by_probe[:, rows]).max() < 1e-3 and by_probe[:, others].std() > 0.1


def test_a_coordinate_is_held_in_standard_deviations(model: FakeModel) -> None:
    d = model.directions
    found = compose(model, {"age": 60}, {6: 2.5, 9: -1}, count=2)
    held = d.mean[[6, 9]] + np.array([2.5, -1]) * d.spread[[6, 9]]
    assert np.allclose(found.latents[:, [6, 9]], held, atol=1e-4) and found.reached.all()
    assert np.allclose(d.spread, model.latents.std(axis=0), rtol=1e-4)


def test_the_components_are_how_latents_vary(model: FakeModel) -> None:
    c = model.directions.components.astype("float64")
    assert np.allclose(c.T @ c, np.cov(model.latents.T, bias=True), atol=1e-3)


def test_a_class_of_an_ordered_attribute_stands_for_its_middle() -> None:
    asked = check_attributes(SCHEMA, {"age": "grown", "smile": "broad"})
    assert [(a.name, v) for a, v, _ in asked] == [("age", 45.0), ("smile", 2.0)]


@pytest.mark.parametrize(
    ("attributes", "coordinates", "more", "said"),
    [
        ({"hair": "red"}, {}, {}, "no such attribute"),
        ({"race": "D"}, {}, {}, "no such race"),
        ({"age": 200}, {}, {}, "age takes years from 0 to 99"),
        ({"age": float("nan")}, {}, {}, "age takes years from 0 to 99"),
        ({"age": "ancient"}, {}, {}, "no such age"),
        ({"smile": 3}, {}, {}, "smile takes a position from 0 to 2"),
        ({}, {10: 1.0}, {}, "whole numbers from 0 to 9"),
        ({}, {-1: 1.0}, {}, "whole numbers from 0 to 9"),
        ({}, {1: float("inf")}, {}, "standard deviations from its mean"),
        ({}, {1: 21.0}, {}, "at most 20 either way"),
        ({}, {}, {"count": 0}, "count must be"),
        ({}, {}, {"count": True}, "count must be"),
        ({}, {}, {"variety": -0.1}, "variety must be"),
        ({}, {}, {"variety": float("nan")}, "variety must be"),
    ],
)
def test_what_cannot_be_composed_is_said(
    model: FakeModel, attributes: dict[str, Any], coordinates: dict[int, float], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        compose(model, attributes, coordinates, **more)


def test_a_model_without_a_decoder_says_so(model: FakeModel) -> None:
    with pytest.raises(PresetError, match="no decoder"):
        compose(another(model), {}, {})
    assert model.directions.feature_dim == FEATURES


def test_the_command_refuses_data_before_it_composes(
    model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_early(*_: Any, **__: Any) -> None:
        raise AssertionError("it composed first")

    monkeypatch.setattr("facefeat.cli.compose.load_model", lambda _: model)
    monkeypatch.setattr(model, "compose", too_early, raising=False)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    few = tmp_path / "few.csv"
    few.write_text("file,split,age,gender,race,smile\na.png,val,30,Male,A,none\n")
    for args, said in (
        (["--nearest", str(tmp_path / "none")], str(tmp_path / "none")),
        (["--nearest", str(few)], "has 1 faces, fewer than the 5"),
        (["--nearest", str(few), "--split", "train"], "no such split"),
    ):
        failed = CliRunner().invoke(cli, ["compose", "--age", "30", "-o", str(tmp_path / "c.png"), *args])
        assert isinstance(failed.exception, DataError) and said in str(failed.exception), failed.exception
    failed = CliRunner().invoke(cli, ["compose", "-o", str(tmp_path / "c.png"), "--set", "99=1", "--nearest", str(few)])
    assert isinstance(failed.exception, InputError) and "whole numbers from 0 to 9" in str(failed.exception)
