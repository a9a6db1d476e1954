"""Robustness: any model on corrupted faces; what falls, and for whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat import DataError, InputError
from facefeat.cli import run
from facefeat.data import FaceDataset
from facefeat.evaluation.card import with_robustness
from facefeat.evaluation.robustness import Robustness, measure_robustness
from facefeat.evaluation.robustness_figures import draw
from facefeat.schema import get_schema
from made import dataset

SIZE = 16


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    return dataset(tmp_path_factory.mktemp("faces"), 240)


def model_that_says_the_first_class_in_the_dark(faces: FaceDataset) -> Any:
    """Right as long as there is light; it looks labels up by the order of the crops."""
    targets, schema = faces.targets(), faces.schema
    light = faces.crops(SIZE)[:].mean(axis=(1, 2, 3))

    def predict(crops: np.ndarray) -> dict[str, np.ndarray]:
        out = {}
        for name, attribute in schema.attributes.items():
            k = len(attribute.classes)
            p = np.full((len(crops), k), 0.02 / (k - 1), "float32")
            truth = np.nan_to_num(targets[name][:, 0]).astype(int)
            said = np.where(crops.mean(axis=(1, 2, 3)) < 0.3 * light, 0, truth)
            p[np.arange(len(crops)), said] = 0.98
            out[name] = p
        return out

    return predict


@pytest.fixture(scope="module")
def found(faces: FaceDataset) -> Robustness:
    predict = model_that_says_the_first_class_in_the_dark(faces)
    return measure_robustness(
        predict, faces.schema, faces, SIZE, corruptions=["dark", "grey"], severities=[0.8, 0.5], bootstrap=40
    )


def test_what_falls_is_found_with_its_gap_and_interval(found: Robustness, faces: FaceDataset) -> None:
    assert found.faces == len(faces) and set(found.table["corruption"]) == {"clean", "dark", "grey"}
    for name, poor in (("grey", 1.0), ("dark", 0.9)):
        curve = found.curve("gender", "accuracy", name)
        assert list(curve["severity"]) == [0.0, 0.5, 0.8] and curve["value"].iloc[0] == 1.0
        assert (curve["value"].iloc[-1] < poor) == (name == "dark")
        assert (curve["low"] <= curve["value"] + 1e-9).all() and (curve["value"] <= curve["high"] + 1e-9).all()
    gap = found.curve("gender", "gap", "dark", "gender")
    assert gap["value"].iloc[-1] == pytest.approx(1.0) and gap["groups"].iloc[-1].startswith("Male over")
    assert found.curve("gender", "ece", "dark")["value"].iloc[-1] > 0.2


def test_it_is_saved_as_json_csv_figures_and_the_section_of_a_card(found: Robustness, tmp_path: Path) -> None:
    found.save(tmp_path)
    assert json.loads((tmp_path / "robustness.json").read_text("utf-8"))["faces"] == found.faces
    assert (tmp_path / "robustness.csv").read_text("utf-8").startswith("corruption,severity,attribute,measure")
    assert draw(found, "gender").startswith(b"\x89PNG")
    card = with_robustness("# m\n\n## Limits\n\nmany\n", found)
    assert card.index("## Robustness") < card.index("## Limits") and "| dark |" in card
    assert with_robustness(card, found) == card
    (section, *_) = [s for s in found.sections() if s.key == "robustness-gender"]
    assert section.rows() and "severity 0.5" in section.text[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruptions": ["darkness"]}, "no such corruption"),
        ({"severities": [0.0]}, "a severity is a number above 0"),
        ({"predict": lambda crops: {"gender": np.zeros((len(crops), 3))}}, "must be .240, .* probabilities"),
        ({"schema": get_schema("fairface")}, "has the schema"),
    ],
)
def test_mistakes_are_named(faces: FaceDataset, options: dict[str, Any], message: str) -> None:
    given = {"predict": model_that_says_the_first_class_in_the_dark(faces), "schema": faces.schema} | options
    with pytest.raises((InputError, DataError), match=message):
        measure_robustness(given.pop("predict"), given.pop("schema"), faces, SIZE, bootstrap=0, **given)


def test_evaluate_prints_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from facefeat import FaceFeatureModel
    from made import tiny_recipe

    data = dataset(tmp_path / "data", 30)
    preset = FaceFeatureModel.from_recipe(tiny_recipe()).save(tmp_path / "preset")
    assert data.splits
    args = ["evaluate", "--data", str(tmp_path / "data"), "--preset", str(preset), "--robustness", "--bootstrap", "5"]
    assert run([*args, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["robustness"]["rows"]) > 100
    assert run([*args[:5], "--split", "all", "--bootstrap", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"] == len(data) > len(data.split("val"))
