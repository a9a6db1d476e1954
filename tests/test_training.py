"""Training: learns, resumes with the same numbers, survives a kill, and refuses what does not fit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from facefeat import FaceFeatureModel, InputError, PresetError, RecipeError, TrainingError
from facefeat.cli import cli
from facefeat.data import Batches, FaceDataset
from facefeat.errors import NotFiniteError
from facefeat.training.batches import FaceBatches, files_of
from facefeat.training.freezing import weighted_layers
from facefeat.training.log import TrainingLog
from facefeat.training.loop import not_finite
from facefeat.training.recipe import Recipe
from made import TINY, Copies, dataset, squares, tiny_recipe

KEPT = ("loss", "gender_accuracy", "race_accuracy", "age_mae")


class Stop(Exception):
    pass


class Recorder:
    """A reporter that stops after some epochs, as a kill would: after the checkpoint was written."""

    def __init__(self, stop_after: int = 99) -> None:
        self.stop_after, self.epochs, self.batches = stop_after, 0, 0

    def started(self, epochs: int, first_epoch: int, batches: int) -> None:
        self.first = first_epoch

    def batch(self, epoch: int, done: int, loss: float) -> None:
        self.batches += 1

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.epochs += 1
        if self.epochs == self.stop_after:
            raise Stop


def weights(model: FaceFeatureModel) -> list[np.ndarray]:
    c = model._classifier
    return [*c.backbone_model.get_weights(), *c.head_model.get_weights()]


@dataclass(frozen=True)
class Run:
    """A run of three epochs, and its folder as it was after each."""

    data: FaceDataset
    recipe: Recipe
    model: FaceFeatureModel
    log: TrainingLog
    copies: Copies

    @property
    def sets(self) -> tuple[FaceDataset, FaceDataset]:
        return self.data.split("train"), self.data.split("val")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("straight")
    data, recipe, copies = dataset(home / "data"), tiny_recipe(epochs=3), Copies(home / "run", 1)
    model = FaceFeatureModel.from_recipe(recipe, detector="whole-image")
    log = model.fit(data.split("train"), data.split("val"), recipe, folder=home / "run", reporter=copies)
    return Run(data, recipe, model, log, copies)


@pytest.mark.backend
def test_a_resumed_run_ends_with_the_same_numbers(straight: Run, tmp_path: Path) -> None:
    log, recipe, folder = straight.log, straight.recipe, tmp_path / "run"
    shutil.copytree(straight.copies.at(1), folder)
    resumed, recorder = FaceFeatureModel.from_recipe(recipe), Recorder()
    again = resumed.fit(*straight.sets, recipe, folder=folder, resume=True, reporter=recorder)

    assert recorder.first == 1 and recorder.epochs == 2 and recorder.batches > 0
    assert log.best_epoch == again.best_epoch
    for a, b in zip(log.epochs, again.epochs, strict=True):
        assert {k: a[k] for k in KEPT} == {k: b[k] for k in KEPT}
    for a, b in zip(weights(straight.model), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert log.epochs[-1]["loss"] < log.epochs[0]["loss"]
    assert sorted(p.name for p in folder.iterdir()) == ["best.npz", "checkpoint.npz"]


def test_a_checkpoint_of_another_recipe_is_refused(straight: Run) -> None:
    other = straight.recipe.replace(seed=5)
    with pytest.raises(TrainingError, match=r"belongs to another recipe or data set: .* there, .* here.*--overwrite"):
        FaceFeatureModel.from_recipe(other).fit(*straight.sets, other, folder=straight.copies.folder, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_its_batch(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data")
    recipe = tiny_recipe(learning_rate=1.0, warmup_epochs=0.0)
    model = FaceFeatureModel.from_recipe(recipe)
    kernel = model._classifier.head_model.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.nan, "float32"))
    train = data.split("train")
    with pytest.raises(NotFiniteError, match=r"nan in epoch 1, batch 1\. Its 12 faces .*learning rate \(now 1"):
        model.fit(train, data.split("val"), recipe, folder=tmp_path / "run")
    with np.load(tmp_path / "run" / "nan_batch.npz") as saved:
        rows = [list(train.table["file"]).index(f) for f in saved["files"]]
        np.testing.assert_array_equal(saved["images"], train.crops(32)[rows])
        assert saved["target_age"].shape == (12, 2)
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


def test_such_a_batch_is_written_whole_or_told_not_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(tmp_path / "data", 16).split("train")
    batches = FaceBatches(Batches(data.crops(32), data.labels(), batch_size=4), files_of(data))

    def half(file: Any, **_: Any) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", half)
        told = str(not_finite(float("nan"), 0, 0.1, [1], batches, tmp_path / "run"))
    assert "nan in epoch 1, batch 2. Its 4 faces begin with" in told
    assert "nan_batch.npz': No space left on device" in told and "Lower the learning rate" in told
    assert list((tmp_path / "run").iterdir()) == []
    assert "Its 4 faces are in" in str(not_finite(float("nan"), 0, 0.1, [1], batches, tmp_path / "run"))
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["nan_batch.npz"]


def test_a_full_disk_is_one_sentence_and_keeps_the_epoch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, recipe = dataset(tmp_path / "data", 16), tiny_recipe(epochs=2)
    args, folder = (data.split("train"), data.split("val")), tmp_path / "run"
    with pytest.raises(Stop):
        FaceFeatureModel.from_recipe(recipe).fit(*args, recipe, folder=folder, reporter=Recorder(stop_after=1))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(TrainingError, match=r"No space left on device.*--resume"):
        patch.setattr(np, "savez", full)
        FaceFeatureModel.from_recipe(recipe).fit(*args, recipe, folder=folder, resume=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


PHASES = [{"epochs": 2, "trainable": "head"}, {"epochs": 2, "trainable": "last 2", "learning_rate": 1e-3}]


def phased(**augment: Any) -> Recipe:
    table = tiny_recipe().to_dict()
    table["train"]["phases"] = [dict(p, warmup_epochs=0.5) for p in PHASES]
    table["augment"] = {"flip": False, **augment}
    return Recipe.from_dict(table)


@pytest.mark.backend
@pytest.mark.parametrize("augment", [{}, {"rotation": 5.0}], ids=["features", "crops"])
def test_phases_freeze_what_they_say_and_resume_with_the_same_numbers(
    tmp_path: Path, augment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "cache"))
    data, recipe = dataset(tmp_path / "data"), phased(**augment)
    args = data.split("train"), data.split("val")
    model, copies = FaceFeatureModel.from_recipe(recipe), Copies(tmp_path / "run", 1, 2)
    layers = weighted_layers(model._classifier.backbone_model)
    start = [[np.asarray(w) for w in layer.get_weights()] for layer in layers]

    def moved() -> list[bool]:
        pairs = zip(start, layers, strict=True)
        return [any((a != b).any() for a, b in zip(s, x.get_weights(), strict=True)) for s, x in pairs]

    heads: list[Any] = []

    class Look(Recorder):
        def epoch(self, record: Mapping[str, Any]) -> None:
            heads.append((record["phase"], moved()))
            copies.epoch(record)

    log = model.fit(*args, recipe, folder=copies.folder, reporter=Look())
    assert [phase for phase, _ in heads] == [0, 0, 1, 1]
    frozen, thawed = heads[1][1], heads[3][1]
    # Batch-norm statistics count as weights: a frozen layer's stay, too.
    assert not any(frozen)
    assert thawed == [False] * (len(layers) - 2) + [True] * 2
    cached = list((tmp_path / "cache").glob("features-*.npy"))
    assert len(cached) == (0 if augment else 2)
    assert not any(not layer.trainable for layer in layers)

    for stop in (1, 2):
        again = FaceFeatureModel.from_recipe(recipe).fit(*args, recipe, folder=copies.at(stop), resume=True)
        assert [[r[k] for k in KEPT] for r in again.epochs] == [[r[k] for k in KEPT] for r in log.epochs]


@pytest.mark.backend
def test_learnt_weights_mixing_and_balance_train(tmp_path: Path) -> None:
    table = tiny_recipe(weighting="uncertainty", epochs=3).to_dict()
    table["augment"] = {"mixup": 0.2, "cutmix": 0.5}
    table["loss"] = {
        "age": {"kind": "ordinal", "balance": "effective"},
        "gender": {"kind": "focal", "balance": "inverse"},
        "race": {"kind": "squared", "weight": 2.0},
    }
    recipe, data = Recipe.from_dict(table), dataset(tmp_path / "data")
    log = FaceFeatureModel.from_recipe(recipe).fit(data.split("train"), data.split("val"), recipe)
    losses = [r["loss"] for r in log.epochs]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_too_many_layers_and_a_start_that_does_not_fit(tmp_path: Path) -> None:
    data, recipe = dataset(tmp_path / "data", 16), tiny_recipe(trainable="last 99")
    args = data.split("train"), data.split("val")
    with pytest.raises(RecipeError, match=r"'last 99': 'compact' has \d+ layers with weights"):
        FaceFeatureModel.from_recipe(recipe).fit(*args, recipe)
    model = FaceFeatureModel(image_size=32, backbone_config=TINY, head_config={"trunk": []})
    preset = model.save(tmp_path / "preset")
    recipe = tiny_recipe(start=str(preset), learning_rate=1e-12, epochs=1, trainable="head")
    started = FaceFeatureModel.from_recipe(recipe)
    started.fit(*args, recipe)
    for a, b in zip(
        started._classifier.backbone_model.get_weights(), model._classifier.backbone_model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=2e-3)
    other = tiny_recipe(start="mobilenet-112-utkface")
    with pytest.raises(
        TrainingError, match=r"start = 'mobilenet-112-utkface': its backbone 'mobilenet' .*other weights"
    ):
        FaceFeatureModel.from_recipe(other).fit(*args, other)


def test_mistakes_that_the_model_shows_come_before_the_pictures_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, table = dataset(tmp_path / "data", 16), tiny_recipe().to_dict()
    args = data.split("train"), data.split("val")
    monkeypatch.setattr(FaceDataset, "crops", lambda *_, **__: pytest.fail("the pictures were decoded"))
    table["train"]["phases"] = [{"epochs": 1, "trainable": "head"}, {"epochs": 1, "trainable": "last 99"}]
    later = Recipe.from_dict(table)
    model = FaceFeatureModel.from_recipe(later)
    with pytest.raises(RecipeError, match=r"'last 99': 'compact' has (\d+) layers .*Valid: .* last 1 to last \1\."):
        model.fit(*args, later)
    with pytest.raises(PresetError, match=r"no such preset. Received: 'nosuch'"):
        model.fit(*args, tiny_recipe(start="nosuch"))


def test_a_mistaken_setting_of_the_backbone_comes_before_the_data_are_read(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE.replace("stem =", "stemm ="), "utf-8")
    words = ["--recipe", tmp_path / "tiny.toml", "--data", tmp_path / "tiny.toml", "--output", tmp_path / "run"]
    done = CliRunner().invoke(cli, ["train", *map(str, words)])
    assert isinstance(done.exception, InputError) and "'stemm'" in str(done.exception)


def test_the_start_may_be_an_option_and_is_looked_for_before_the_data(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE, "utf-8")
    words = ["--recipe", tmp_path / "tiny.toml", "--data", tmp_path / "no data", "--output", tmp_path / "run"]
    done = CliRunner().invoke(cli, ["train", *map(str, words), "--start", "nosuch"])
    assert isinstance(done.exception, PresetError) and "'nosuch'" in str(done.exception)


def test_patience_stops_early(tmp_path: Path) -> None:
    data, recipe = dataset(tmp_path / "data", 16), tiny_recipe(epochs=30, patience=1, learning_rate=1e-9)
    log = FaceFeatureModel.from_recipe(recipe).fit(data.split("train"), data.split("val"), recipe)
    assert len(log.epochs) < 30
    assert log.best_epoch == len(log.epochs) - 2


def test_save_and_load_give_the_same_answers(straight: Run, tmp_path: Path) -> None:
    data, model = straight.data, straight.model
    report = model.evaluate(data.split("val"), bootstrap=10)
    assert set(report.by_group["attribute"]) == {"age", "gender", "race"}
    assert report.by_group.query("attribute == 'gender'")["faces"].sum() == report.faces
    low, high = report.intervals["gender_accuracy"]
    assert low <= report.metrics["gender_accuracy"] <= high
    assert (report.save(tmp_path / "report") / "report.json").is_file()

    model.save(tmp_path / "preset", name="tiny")
    loaded = FaceFeatureModel.from_preset(tmp_path / "preset", detector="whole-image")
    crops = data.crops(32)[:]
    a, b = model.predict_faces(crops), loaded.predict_faces(crops)
    for name in a.probabilities:
        np.testing.assert_allclose(a.probabilities[name], b.probabilities[name], atol=5e-3)
    assert loaded.name == "tiny" and loaded.schema == model.schema
    assert loaded._classifier.calibration == model._classifier.calibration
    np.testing.assert_allclose(model.encode(crops), loaded.encode(crops), atol=5e-2)


def test_the_recipe_must_fit_the_model(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", 16)
    model = FaceFeatureModel(image_size=64, backbone_config=TINY)
    with pytest.raises(InputError, match="the recipe has image_size 32, the model 64"):
        model.fit(data.split("train"), data.split("val"), tiny_recipe())


RECIPE = """
image_size = 32
[backbone]
name = "compact"
config = { widths = [8, 8], blocks = [1, 1], stem = 8 }
[head]
name = "mlp"
config = { trunk = [], dropout = 0.0 }
[train]
epochs = 6
batch_size = 12
"""


def run(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "facefeat", *args], capture_output=True, text=True, timeout=240)
    assert not check or done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_killed_command_line_run_resumes_and_leaves_a_preset(tmp_path: Path) -> None:
    table = squares(tmp_path / "data")
    (tmp_path / "tiny.toml").write_text(RECIPE, "utf-8")
    args = ["train", "--recipe", str(tmp_path / "tiny.toml"), "--data", str(table), "--output", str(tmp_path / "run")]
    args += ["--batch-size", "11", "--seed", "3"]
    process = subprocess.Popen([sys.executable, "-m", "facefeat", *args], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while not (tmp_path / "run" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run" / "checkpoint.npz").exists()
    assert not (tmp_path / "run" / "preset").exists()

    refused = run(*args, check=False)
    assert refused.returncode == 2 and "Next: --resume" in refused.stderr
    done = run(*args, "--resume")
    preset = Path(done.stdout.strip())
    card = (preset / "model_card.md").read_text("utf-8")
    assert f"facefeat train --recipe {args[2]} --data DATA --output RUN --batch-size 11 --seed 3\n" in card
    assert "| gender | Male |" in card and "Licence of the weights" in card
    shown = run("evaluate", "--preset", str(preset), "--data", str(table), "--bootstrap", "0", "--json")
    assert '"gender_accuracy"' in shown.stdout
    assert "port.cc" not in shown.stderr + done.stderr, "the start-up log of TensorFlow"
    picture = table.parent / "0.png"
    predicted = run("predict", str(picture), "--preset", str(preset), "--detector", "whole-image", "--json")
    assert '"race"' in predicted.stdout

    weights_file = preset / "head.weights.h5"
    weights_file.write_bytes(weights_file.read_bytes()[:-1] + b"x")
    broken = run("predict", str(picture), "--preset", str(preset), check=False)
    assert broken.returncode != 0 and "was altered" in broken.stderr
