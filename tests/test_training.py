"""Training: learns, resumes with the same numbers, survives a kill, and refuses what does not fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat import FaceFeatureModel, InputError, TrainingError
from made import TINY, dataset, squares, tiny_recipe

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


@pytest.mark.backend
def test_a_resumed_run_ends_with_the_same_numbers(tmp_path: Path) -> None:
    data, recipe = dataset(tmp_path / "data"), tiny_recipe(epochs=3)
    train, val = data.split("train"), data.split("val")

    straight = FaceFeatureModel.from_recipe(recipe)
    log = straight.fit(train, val, recipe)

    recorder = Recorder(stop_after=1)
    with pytest.raises(Stop):
        FaceFeatureModel.from_recipe(recipe).fit(train, val, recipe, folder=tmp_path / "run", reporter=recorder)
    resumed, recorder = FaceFeatureModel.from_recipe(recipe), Recorder()
    again = resumed.fit(train, val, recipe, folder=tmp_path / "run", resume=True, reporter=recorder)

    assert recorder.first == 1 and recorder.epochs == 2 and recorder.batches > 0
    assert log.best_epoch == again.best_epoch
    for a, b in zip(log.epochs, again.epochs, strict=True):
        assert {k: a[k] for k in KEPT} == {k: b[k] for k in KEPT}
    for a, b in zip(weights(straight), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert log.epochs[-1]["loss"] < log.epochs[0]["loss"]
    left = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert left == ["best.npz", "checkpoint.npz"]


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    data, recipe = dataset(tmp_path / "data", 16), tiny_recipe(epochs=1)
    args = data.split("train"), data.split("val")
    FaceFeatureModel.from_recipe(recipe).fit(*args, recipe, folder=tmp_path / "run")
    other = tiny_recipe(epochs=1, seed=5)
    with pytest.raises(TrainingError, match="belongs to another recipe or data set"):
        FaceFeatureModel.from_recipe(other).fit(*args, other, folder=tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", 16)
    recipe = tiny_recipe(learning_rate=10.0, warmup_epochs=0.0)
    model = FaceFeatureModel.from_recipe(recipe)
    kernel = model._classifier.head_model.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.nan, "float32"))
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 1.*learning_rate"):
        model.fit(data.split("train"), data.split("val"), recipe)


def test_patience_stops_early(tmp_path: Path) -> None:
    data, recipe = dataset(tmp_path / "data", 16), tiny_recipe(epochs=30, patience=1, learning_rate=1e-9)
    log = FaceFeatureModel.from_recipe(recipe).fit(data.split("train"), data.split("val"), recipe)
    assert len(log.epochs) < 30
    assert log.best_epoch == len(log.epochs) - 2


def test_save_and_load_give_the_same_answers(tmp_path: Path) -> None:
    data, recipe = dataset(tmp_path / "data", 16), tiny_recipe(epochs=1)
    model = FaceFeatureModel.from_recipe(recipe, detector="whole-image")
    model.fit(data.split("train"), data.split("val"), recipe)
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
    assert loaded._classifier.temperatures == pytest.approx(model._classifier.temperatures, abs=1e-5)
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
name = "three-head"
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
    process = subprocess.Popen([sys.executable, "-m", "facefeat", *args], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while not (tmp_path / "run" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run" / "checkpoint.npz").exists()
    assert not (tmp_path / "run" / "preset").exists()

    refused = run(*args, check=False)
    assert refused.returncode == 2 and "Add --resume" in refused.stderr
    done = run(*args, "--resume")
    preset = Path(done.stdout.strip())
    card = (preset / "model_card.md").read_text("utf-8")
    assert "| gender | Male |" in card and "Licence of the weights" in card
    shown = run("evaluate", "--preset", str(preset), "--data", str(table), "--bootstrap", "0", "--json")
    assert '"gender_accuracy"' in shown.stdout
    picture = table.parent / "0.png"
    predicted = run("predict", str(picture), "--preset", str(preset), "--detector", "whole-image", "--json")
    assert '"race"' in predicted.stdout

    weights_file = preset / "head.weights.h5"
    weights_file.write_bytes(weights_file.read_bytes()[:-1] + b"x")
    broken = run("predict", str(picture), "--preset", str(preset), check=False)
    assert broken.returncode != 0 and "was altered" in broken.stderr
