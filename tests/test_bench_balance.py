"""benchmarks/balance.py: one attribute's last layer is new and calibrated, and nothing else of the preset changes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat import FaceFeatureModel
from facefeat.presets.store import load_classifier
from made import dataset, tiny_recipe


@pytest.fixture(scope="module")
def balance(repo: Path) -> Any:
    spec = importlib.util.spec_from_file_location("bench_balance", repo / "benchmarks" / "balance.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("balance")
    faces = dataset(folder / "squares", 96)
    recipe = tiny_recipe()
    model = FaceFeatureModel.from_recipe(recipe, detector="whole-image")
    model.fit(faces.split("train"), faces.split("val"), recipe, folder=folder / "run")
    model.save(folder / "preset", name="tiny")
    return folder


def test_only_the_last_layer_of_the_attribute_is_new(
    balance: Any, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = trained / "balanced"
    monkeypatch.setattr(
        sys, "argv", ["balance.py", str(trained / "preset"), str(trained / "squares" / "faces.csv"), "-o", str(out)]
    )
    balance.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("strength | gender") and lines[1].startswith("as it is | ") and lines[-1] == str(out)
    before, after = load_classifier(trained / "preset")[0], load_classifier(out)[0]
    crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype="uint8")
    old, new = before.logits(crops), after.logits(crops)
    assert np.abs(old["gender"] - new["gender"]).max() > 0.01
    np.testing.assert_allclose(new["gender"].sum(axis=1), 0, atol=0.01)  # two logits of one number
    for name in ("age", "race"):
        np.testing.assert_allclose(old[name], new[name], atol=1e-3)
        assert after.calibration.of(name) == before.calibration.of(name)
    assert after.calibration.of("gender") != before.calibration.of("gender")
    card = (out / "model_card.md").read_text("utf-8")
    assert "python benchmarks/balance.py RUN/preset DATA --attribute gender --groups race -o PRESET" in card

    # What the table says of the chosen strength is what the preset reads.
    faces = dataset(trained / "squares", 96).split("val")
    labels, read = faces.labels(), after.predict(faces.crops(32)[:]).probabilities["gender"].argmax(axis=1)
    right = read == labels["gender"]
    worst = min(right[labels["race"] == r].mean() for r in range(5))
    rows = [[float(x) for x in line.split(" | ")] for line in lines[2:-1]]
    best = max(rows, key=lambda row: row[2])
    assert [right.mean(), worst] == pytest.approx(best[1:], abs=1e-3)
