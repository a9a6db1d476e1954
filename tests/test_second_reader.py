"""A decoder whose faces are read by a second classifier, too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from facefeat import FaceFeatureModel, TrainingError
from facefeat.data import FaceDataset
from facefeat.latent.second_reader import second_reading
from facefeat.presets.store import load_classifier
from facefeat.schema import get_schema
from facefeat.training import DecoderRecipe
from made import TINY, dataset

DETAIL = {"name": "detail", "config": {"code": 6, "filters": [8, 8], "encoder": [8]}}


def recipe(loss: dict[str, float], reader: str = "", **train: Any) -> DecoderRecipe:
    options = {"epochs": 6, "batch_size": 12, "warmup_epochs": 0.5, "learning_rate": 3e-3, **train}
    options["mixed_precision"] = "float32"
    return DecoderRecipe.from_dict(
        {"name": "tiny", "decoder": DETAIL, "train": options, "loss": loss, "reader": reader}
    )


def model(seed: int = 3, size: int = 32, **options: Any) -> FaceFeatureModel:
    from keras.utils import set_random_seed

    set_random_seed(seed)
    head = {"trunk": []}
    return FaceFeatureModel(backbone_config=TINY, head_config=head, image_size=size, detector="whole-image", **options)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    return dataset(tmp_path_factory.mktemp("faces"))


@pytest.mark.backend
def test_it_reads_what_the_first_is_to_read(faces: FaceDataset, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    model(seed=8, size=24).save(other)
    before = load_classifier(tmp_path / "other")[0].head_model.get_weights()
    chosen = recipe({"pixels": 1e-6, "reader": 1.0}, other, traverse=2.0)
    log = model().fit_decoder(faces.split("train"), faces.split("val"), chosen)
    assert log.epochs[-1]["loss"] < 0.9 * log.epochs[0]["loss"]
    assert len(log.data["reader"]) == 64 and log.data["reader"] != log.data["classifier"]
    for a, b in zip(before, load_classifier(tmp_path / "other")[0].head_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_that_is_not_named_or_answers_otherwise(faces: FaceDataset, tmp_path: Path) -> None:
    data = faces.split("train"), faces.split("val")
    with pytest.raises(TrainingError, match="Next: --reader PRESET"):
        model().fit_decoder(*data, recipe({"pixels": 1.0, "reader": 1.0}))
    other = str(tmp_path / "other")
    model(schema="fairface", size=24).save(other)
    with pytest.raises(TrainingError, match="schema 'fairface' and alignment .* are not those of the model, 'utkface'"):
        model().fit_decoder(*data, recipe({"pixels": 1.0, "reader": 1.0}, other))


def test_an_edit_is_confirmed_by_a_second_model_or_not() -> None:
    asked = {"age": np.float32([60, 60]), "gender": "Female", "race": "Asian"}
    values = {"age": np.float32([[30, 30], [60, 60]])}
    crops = np.zeros((2, 8, 8, 3), "uint8")
    edit = SimpleNamespace(asked=asked, values=values, pictures=crops + 1, faces=SimpleNamespace(large=crops))
    fairface = get_schema("fairface")

    def answers(crops: np.ndarray) -> Any:
        after = bool(crops[0].max())
        years = np.float32([50, 35]) if after else np.float32([30, 30])
        labels = np.asarray(["Female", "Male"] if after else ["Male", "Male"])
        found = {"age": SimpleNamespace(values=years), "gender": SimpleNamespace(values=None, labels=labels)}
        return SimpleNamespace(answers=found, labels={"gender": labels})

    reader = SimpleNamespace(name="other", schema=fairface, align=np.stack, predict_faces=answers)
    found = second_reading(cast("Any", edit), cast("Any", reader))
    assert found.confirmed["age"].tolist() == [True, False] and found.confirmed["gender"].tolist() == [True, False]
    assert found.unread == ("race",)  # FairFace has no class "Asian"
    assert found.sentence(0).endswith("reads age 30 to 50, gender Male to Female: confirmed; it does not read race")
    assert "age 30 to 35, gender Male to Male: not confirmed" in found.sentence(1)
