"""Several data sets at once: [[sources]] of a recipe, labels that are no single class, what an epoch draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat import DataError, FaceFeatureModel, LabelError, RecipeError
from facefeat.builtin.kinds.soft import read_soft
from facefeat.cli import run
from facefeat.data import load_dataset
from facefeat.data.drawing import WeightedDraw
from facefeat.evaluation.audit import part_of_training
from facefeat.schema import get_schema
from facefeat.training import load_recipe, load_sources
from facefeat.training.batches import drawn_counts
from facefeat.training.losses import build_losses
from made import TINY, Copies, recipe_of, squares
from test_training import weights

AGES, YEARS = get_schema("fairface")["age"], get_schema("utkface")["age"]
GENDER = get_schema("utkface")["gender"]


@pytest.mark.parametrize(
    ("name", "text", "row"),
    [
        ("gender", "Female 0.8", [0.2, 0.8]),
        ("gender", "Male: 0.3, Female: .7", [0.3, 0.7]),
        ("race", "East Asian | Southeast Asian", [0, 0, 0, 1, 1, 0, 0]),
        ("age", "20-39", [0, 0, 0, 1, 1, 0, 0, 0, 0]),
        ("age", "25-34", [0, 0, 0, 1, 1, 0, 0, 0, 0]),
        ("age", "20-34", [0, 0, 0, 1, 0.5, 0, 0, 0, 0]),
        ("age", "60+", [0, 0, 0, 0, 0, 0, 0, 1, 1]),
    ],
)
def test_a_soft_label_is_a_row_over_the_outputs(name: str, text: str, row: Sequence[float]) -> None:
    np.testing.assert_allclose(read_soft(get_schema("fairface")[name], text), row, atol=1e-6)


def test_years_with_an_error_are_a_normal_distribution() -> None:
    years = np.arange(117)
    row = read_soft(YEARS, "34 +-5")
    assert row.argmax() == 34 and row.sum() == pytest.approx(1, abs=1e-5)
    assert float(np.sqrt((row * (years - 34) ** 2).sum())) == pytest.approx(5, abs=0.05)
    by_class = read_soft(AGES, "34 +-5")
    assert by_class.argmax() == 4 and by_class[3] == pytest.approx(float(row[20:30].sum()), abs=1e-5)


@pytest.mark.parametrize(
    "text",
    ["", "old", "34-20", "200-210", "Female 1.2", "Female .7, Male .7", "34 +-0", "34 +-90", "Femal 0.8", "|", ","],
)
def test_what_is_no_soft_label_is_refused(text: str) -> None:
    for attribute in (GENDER, YEARS):
        with pytest.raises(LabelError, match=r"no such (gender|age).*Received: .*Valid: a class"):
            read_soft(attribute, text)


@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.integers(0, 2**31), st.integers(0, 6))
def test_an_epoch_draws_each_data_set_by_its_weight_and_every_face_equally_often(
    groups: list[int], seed: int, epoch: int
) -> None:
    numbers, shares = np.asarray(groups), np.asarray([1.0, 2.0, 0.5, 4.0])
    draw = WeightedDraw(numbers, shares, seed)
    order = draw(epoch)
    np.testing.assert_array_equal(order, WeightedDraw(numbers, shares, seed)(epoch))
    here = np.bincount(numbers, minlength=4) > 0
    expected = len(groups) * shares * here / (shares * here).sum()
    counts = np.bincount(numbers[order], minlength=4)
    assert len(order) == len(groups) and np.abs(counts - expected).max() < 1
    drawn = np.bincount(np.concatenate([draw(e) for e in range(epoch + 1)]), minlength=len(groups))
    for g in np.flatnonzero(here):
        assert np.ptp(drawn[numbers == g]) <= 1


@pytest.mark.backend
def test_the_loss_of_a_soft_label_is_the_mean_or_the_sum_of_what_it_may_mean() -> None:
    schema = get_schema("fairface")
    loss = build_losses(schema, {}, soft=("race",))["race"]
    logits = np.random.default_rng(0).normal(size=(3, 7)).astype("float32")
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    soft, one_of = (read_soft(schema["race"], t) for t in ("Black 0.4, White 0.6", "East Asian | Southeast Asian"))
    hard = np.asarray([[np.nan], [np.nan], [2]], "float32")
    target = np.concatenate([hard, np.stack([soft, one_of, np.zeros(7, "float32")])], axis=1)
    found = np.asarray(loss(target, logits))
    p = np.exp(log_p[1]) * one_of
    posterior = p / p.sum()
    expected = [-(soft * log_p[0]).sum(), -(posterior * log_p[1]).sum(), -log_p[2, 2]]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def lines_of(table: Path, header: str, row: Any) -> Path:
    """The table of `squares` with other columns."""
    rows = [line.split(",") for line in table.read_text("utf-8").splitlines()[1:]]
    table.write_text("\n".join([header, *(row(*r) for r in rows)]) + "\n", "utf-8")
    return table


RECIPE = f"""
image_size = 32
seed = 3
backbone = {{ name = "compact", config = {json.dumps(TINY).replace(":", " =")} }}
head = {{ name = "mlp", config = {{ trunk = [] }} }}
train = {{ epochs = 2, batch_size = 12, mixed_precision = "float32", trainable = "head" }}
augment = {{ flip = false }}
"""
SOURCES = """
[[sources]]
data = "full/faces.csv"
name = "full"

[[sources]]
data = "half"
weight = 0.5
licence = "Half: yours"

[[sources]]
data = "machine/faces.csv"
name = "machine"
weight = 0.5
use = "train"
splits = "train"
labels = { gender = { "w" = "Female", "?" = ["Male", "Female"] } }
trust = { gender = 0.9 }
error = { age = 5 }

[[sources]]
data = "wild/faces.csv"
name = "wild"
use = "validation"
splits = "val"
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four data sets: with all labels; of genders only, imported; a machine's; and one of FairFace's coarser ages."""
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "cache"))
    squares(tmp_path / "full", 32)
    lines_of(squares(tmp_path / "lfw", 16), "file,split,gender", lambda f, s, a, g, r: f"{f},{s},{g}")
    args = ["data", "import", str(tmp_path / "lfw" / "faces.csv"), "--schema", "utkface", "-o", str(tmp_path / "half")]
    assert run(args) == 0
    said = {"Male": "Male", "Female": "w"}
    lines_of(
        squares(tmp_path / "machine", 16),
        "file,age_years,gender,race:white",
        lambda f, s, a, g, r: f"{f},{a}.0,{'?' if f == '3.png' else said[g]},{0.83 if r == 'White' else ''}",
    )
    lines_of(squares(tmp_path / "wild", 8), "file,age,gender", lambda f, s, a, g, r: f"{f},20-39,{g}")
    return tmp_path


def test_sources_are_one_data_set_with_the_labels_of_each(world: Path) -> None:
    recipe = recipe_of(world, RECIPE + SOURCES)
    found = load_sources(world / "mine.toml")
    assert [p.name for p in found.parts] == ["full", "half", "machine", "wild"] and not found.skipped
    assert found.splits == {"train": 24 + 12 + 16, "val": 8 + 4 + 8}
    assert "Half: yours" in found.licence
    numbers, targets, soft = found.part_numbers(), found.targets(), found.soft_targets()
    full, machine = load_dataset(world / "full" / "faces.csv", "utkface"), numbers == 2
    for name, t in full.targets().items():
        np.testing.assert_array_equal(targets[name][numbers == 0], t)
        assert not soft[name][numbers == 0].any()
    assert np.isnan(targets["age"][numbers == 1]).all() and np.isfinite(targets["gender"][numbers == 1]).all()
    # What a machine says is learnt softly, and measured as it is.
    years = targets["age"][machine][:, 1]
    np.testing.assert_array_equal(soft["age"][machine].argmax(axis=1), years)
    genders = soft["gender"][machine]
    np.testing.assert_allclose(genders[3], [1, 1])
    np.testing.assert_allclose(np.delete(genders, 3, axis=0).max(axis=1), 0.9, rtol=1e-6)
    assert np.isnan(targets["gender"][machine][3]) and np.isnan(targets["race"][machine]).all()
    np.testing.assert_allclose(soft["race"][machine][0], [0.83, *[0.17 / 4] * 4], rtol=1e-5)
    np.testing.assert_array_equal(soft["age"][numbers == 3].sum(axis=1), 20)
    np.testing.assert_array_equal(found.crops(32)[:32], full.crops(32)[:])
    train = found.split("train")
    drawn = drawn_counts(train, recipe.seed)
    assert 26 * 0.5 <= sum(drawn["age"].values()) - drawn["age"].get("", 0) <= 40


@pytest.mark.backend
def test_a_run_on_sources_resumes_with_the_same_numbers_and_says_figures_of_each(world: Path) -> None:
    # Without the machine's labels: the graph of soft labels takes long to compile, and is trained below.
    three = "[[sources]]".join(s for s in SOURCES.split("[[sources]]") if "error" not in s)
    recipe = recipe_of(world, RECIPE + three)
    found = load_sources(world / "mine.toml")
    sets = found.split("train"), found.split("val")
    straight, resumed = FaceFeatureModel.from_recipe(recipe), FaceFeatureModel.from_recipe(recipe)
    copies = Copies(world / "run", 1)
    log = straight.fit(*sets, recipe, folder=copies.folder, reporter=copies)
    again = resumed.fit(*sets, recipe, folder=copies.at(1), resume=True)
    for a, b in zip(weights(straight), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    timed = [{k: v for k, v in e.items() if k != "seconds"} for e in log.epochs]
    assert timed == [{k: v for k, v in e.items() if k != "seconds"} for e in again.epochs]
    assert np.isfinite([e["loss"] for e in log.epochs]).all()
    assert set(log.epochs[0]["sources"]) == {"full", "half", "wild"}
    assert "age_mae" in log.epochs[0]["sources"]["full"] and "age_mae" not in log.epochs[0]["sources"]["half"]
    own = load_dataset(world / "half").split("val")
    assert part_of_training({"data": log.data}, own) == "validation"
    assert part_of_training({"data": log.data}, load_dataset(world / "half"))  # the whole has the faces of its splits


def test_train_takes_the_sources_from_the_recipe_and_compare_shows_each(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe_of(world, RECIPE.replace("epochs = 2", "epochs = 1") + SOURCES)
    out = world / "run"
    assert run(["train", "--recipe", str(world / "mine.toml"), "-o", str(out)]) == 0
    assert "full, 8: " in " ".join(capsys.readouterr().err.split())
    card = (out / "preset" / "model_card.md").read_text("utf-8")
    assert "| half | 12 | 25% | 4 | Half: yours |" in card and "| wild | 0 | 0% | 8 |" in card
    assert "| source | wild | 8 |" in card
    licence = json.loads((out / "preset" / "config.json").read_text("utf-8"))["licence"]
    assert "Half: yours" in licence
    assert run(["compare", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "half: gender accuracy" in shown and "full: age mean error" in shown


ONE = '[[sources]]\ndata = "full/faces.csv"\nname = "full"\n'


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("wieght = 1", "sources.1.wieght: unknown key. .*'weight'"),
        ("weight = 0", "sources.1.weight: impossible value. Received: 0"),
        ('use = "never"', "sources.1.use: no such use"),
        ("trust = { gendre = 0.5 }", "sources.1.trust.gendre: no such attribute"),
        ("trust = { gender = 1.5 }", "sources.1.trust.gender: impossible value. Received: 1.5. Valid: 0 to 1"),
        ("error = { gender = 5 }", "sources.1.error.gender: is for attributes with years"),
        ("error = { age = 5 }\ntrust = { age = 0.5 }", "has a trust, too"),
        ("labels = { gender = { F = [] } }", "sources.1.labels.gender.F: impossible value"),
        (ONE, "sources.2.name: 'full' is the name of another source"),
        ('use = "validation"', "sources: none is to be trained on"),
    ],
)
def test_mistakes_in_sources_are_named_before_any_data_are_read(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, RECIPE + ONE + more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('[[sources]]\ndata = "nowhere"', r"sources\.2\.data: no such file or folder: '.*nowhere'"),
        ('[[sources]]\ndata = "other"', "'gender' of the data set 'other' is not that of schema 'utkface'"),
        ('[[sources]]\ndata = "half"\ntrust = { gender = 0 }', "'half' has no label that a model of schema 'utkface'"),
        ('[[sources]]\ndata = "half"\nsplits = "val"', "source 'half' has no train split"),
        ('[[sources]]\ndata = "machine/faces.csv"', "source 'faces': none of the|labels that schema"),
    ],
)
def test_data_that_do_not_fit_are_named_with_their_source(world: Path, more: str, message: str) -> None:
    (world / "other").mkdir()
    lines_of(squares(world / "third", 8), "file,split,gender", lambda f, s, a, g, r: f"{f},{s},{g}x")
    schema = world / "other.toml"
    schema.write_text('name = "other"\n[attributes.gender]\nclasses = ["Malex", "Femalex"]\n', "utf-8")
    args = ["data", "import", str(world / "third" / "faces.csv"), "--schema", str(schema), "-o", str(world / "other")]
    assert run(args) == 0
    recipe_of(world, RECIPE + ONE + more)
    with pytest.raises(DataError, match=message):
        load_sources(world / "mine.toml")


def test_a_recipe_with_sources_is_not_run_on_one_data_set_and_one_without_needs_data(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(world, RECIPE + ONE)
    data = load_dataset(world / "full" / "faces.csv", "utkface")
    with pytest.raises(RecipeError, match="names its sources, and the data set is one"):
        FaceFeatureModel.from_recipe(recipe).fit(data.split("train"), data.split("val"), recipe)
    assert run(["train", "--recipe", "utkface-compact", "-o", str(world / "run")]) == 2
    assert "--data is missing" in capsys.readouterr().err


@pytest.mark.recipes
def test_the_recipe_of_the_world_trains_on_its_three_sources(world: Path) -> None:
    folder = world / "world"
    for name, header, row in (
        ("utkface", "file,split,age,gender,race", lambda f, s, a, g, r: f"{f},{s},{a},{g},{r}"),
        ("lfw", "file,split,gender", lambda f, s, a, g, r: f"{f},{s},{g}"),
        ("ffhq", "file,split,age_years,gender", lambda f, s, a, g, r: f"{f},{s},{a}.0,{g}"),
    ):
        table = lines_of(squares(world / f"raw-{name}", 16), header, row)
        assert run(["data", "import", str(table), "--schema", "utkface", "-o", str(folder / name)]) == 0
    table = load_recipe("world").replace(epochs=1, batch_size=16).to_dict()
    table |= {"image_size": 32, "backbone": {"name": "compact", "config": TINY}}
    recipe = type(load_recipe("world")).from_dict(table)
    found = load_sources(recipe, folder)
    log = FaceFeatureModel.from_recipe(recipe).fit(found.split("train"), found.split("val"), recipe)
    assert np.isfinite(log.epochs[0]["loss"]) and "LFW: for research" in log.licence
    assert log.data["sources"]["lfw"]["train"]["faces"] == 12
