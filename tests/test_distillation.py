"""A teacher's embeddings: the latent learns to tell them, a run goes on with the same numbers, mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat import FaceFeatureModel, RecipeError, TrainingError
from facefeat.data import FaceDataset
from facefeat.schema import get_schema
from facefeat.training.distillation import embedding_loss, embedding_targets, probability_loss, probability_targets
from facefeat.training.recipe import Distillation, Recipe
from made import Copies, dataset, tiny_recipe


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    return dataset(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def embeddings(faces: FaceDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A direction for each race, and noise; the first face is not among them."""
    rng = np.random.default_rng(0)
    ways = np.eye(5, 6)
    vectors = ways[faces.labels()["race"]] + rng.normal(0, 0.1, (len(faces), 6))
    path = tmp_path_factory.mktemp("teacher") / "embeddings.npz"
    names = np.array([str(f) for f in faces.table["file"]])
    np.savez(path, files=names[1:], embeddings=vectors[1:].astype("float32"))
    return path


def recipe(path: Path, weight: float = 1.0, **changes: Any) -> Recipe:
    table = tiny_recipe(**changes).to_dict() | {"distillation": {"file": str(path), "embeddings": weight}}
    table["augment"]["mixup"] = 0.2
    return Recipe.from_dict(table)


@pytest.mark.backend
def test_the_latent_learns_what_the_teacher_tells_and_a_run_goes_on(
    faces: FaceDataset, embeddings: Path, tmp_path: Path
) -> None:
    train, val = faces.split("train"), faces.split("val")
    chosen = recipe(embeddings, epochs=8)
    model, copies = FaceFeatureModel.from_recipe(chosen), Copies(tmp_path / "run", 7)
    log = model.fit(train, val, chosen, folder=copies.folder, reporter=copies)
    assert len(log.data["distillation"]) == 64
    assert log.epochs[-1]["loss"] < log.epochs[0]["loss"]
    resumed = FaceFeatureModel.from_recipe(chosen)
    again = resumed.fit(train, val, chosen, folder=copies.at(7), resume=True)
    assert [e["loss"] for e in again.epochs] == [e["loss"] for e in log.epochs]
    crops = faces.crops(32)[:4]
    np.testing.assert_array_equal(resumed.encode(crops), model.encode(crops))
    assert model.parameters == FaceFeatureModel.from_recipe(tiny_recipe()).parameters, "the layer is thrown away"


def test_embeddings_come_by_name_and_have_length_one(faces: FaceDataset, embeddings: Path) -> None:
    names = [str(f) for f in faces.table["file"]]
    targets = embedding_targets(Distillation(str(embeddings), 1.0), names[::-1])[::-1]
    assert targets.shape == (len(faces), 6)
    np.testing.assert_array_equal(targets[0], 0)
    np.testing.assert_allclose(np.linalg.norm(targets[1:], axis=1), 1, rtol=1e-5)
    same = targets[1:] @ targets[1:].T
    race = faces.labels()["race"][1:]
    assert same[race[:, None] == race].min() > same[race[:, None] != race].max()


@pytest.mark.backend
def test_the_loss_is_of_the_angle() -> None:
    unit = np.float32([[1, 0], [1, 0], [1, 0], [0, 0]])
    said = np.float32([[3, 0], [0, 2], [-1, 0], [5, 5]])
    np.testing.assert_allclose(np.asarray(embedding_loss(unit, said)), [0, 1, 2, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, r"cannot read the embeddings .*No such file"),
        ({"files": np.array(["0.png"])}, r"no .npz with arrays 'files' and 'embeddings'"),
        ({"files": np.array(["0.png"]), "embeddings": np.ones((2, 3))}, r"Received: \(2, 3\) float64 for 1 names"),
        (
            {"files": np.array(["x.png"]), "embeddings": np.ones((1, 3))},
            r"know none of the 48 faces; its first is 'x.png'",
        ),
    ],
)
def test_mistakes_are_named(faces: FaceDataset, tmp_path: Path, arrays: dict[str, Any] | None, message: str) -> None:
    path = tmp_path / "embeddings.npz"
    if arrays is not None:
        np.savez(path, **arrays)
    with pytest.raises(TrainingError, match=message):
        embedding_targets(Distillation(str(path), 1.0), [str(f) for f in faces.table["file"]])


def test_a_weight_needs_a_file() -> None:
    with pytest.raises(RecipeError, match=r"distillation.file: impossible value. Received: ''. Valid: a path"):
        Recipe.from_dict({"name": "x", "distillation": {"embeddings": 1.0}})


@pytest.fixture
def probabilities(faces: FaceDataset, tmp_path: Path) -> Path:
    """Of races, half sure of the next class, whatever the label says; the second face's are not finite."""
    said = np.eye(5, dtype="float32")[(faces.labels()["race"] + 1) % 5] + 0.25
    said[1] = np.nan
    np.savez(tmp_path / "p.npz", files=np.array([str(f) for f in faces.table["file"]]), probabilities_race=said)
    return tmp_path / "p.npz"


@pytest.mark.backend
def test_heads_learn_a_teachers_probabilities(faces: FaceDataset, probabilities: Path) -> None:
    files = [str(f) for f in faces.table["file"]]
    told = probability_targets(Distillation(str(probabilities), probabilities=1.0), files, get_schema("utkface"))
    assert list(told) == ["distillation_race"] and not told["distillation_race"][1].any()
    np.testing.assert_allclose(np.delete(told["distillation_race"], 1, axis=0).sum(axis=1), 1, rtol=1e-6)
    table = recipe(probabilities, weight=0.0, epochs=12).to_dict()
    read = {}
    for labels in (0.0, 50.0):
        table["distillation"]["probabilities"] = labels
        chosen = Recipe.from_dict(table)
        model = FaceFeatureModel.from_recipe(chosen)
        model.fit(faces.split("train"), faces.split("val"), chosen)
        read[labels] = model.predict_faces(faces.split("train").crops(32)[:]).probabilities["race"]
    other = (faces.split("train").labels()["race"] + 1) % 5
    mine = {k: p[np.arange(len(p)), other].mean() for k, p in read.items()}
    assert mine[50.0] > mine[0.0] + 0.03


def test_probability_loss_is_the_cross_entropy() -> None:
    p, logits = np.array([[0.25, 0.75], [0.0, 0.0]], "float32"), np.array([[0.0, 1.0], [3.0, 1.0]], "float32")
    want = -(0.25 * np.log(1 / (1 + np.e)) + 0.75 * np.log(np.e / (1 + np.e)))
    np.testing.assert_allclose(np.asarray(probability_loss(p, logits)), [want, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "has no probabilities. Valid arrays: probabilities_gender, probabilities_race"),
        ({"probabilities_race": np.ones((2, 4))}, r"must be \(N, 5\).*White, Black.*Received: \(2, 4\)"),
        ({"probabilities_race": -np.ones((2, 5))}, "none below 0"),
        ({"probabilities_age": np.ones((2, 9))}, "no output for each class"),
        ({"probabilities_race": np.ones((3, 5))}, "for the N names"),
    ],
)
def test_probabilities_that_will_not_do(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", files=np.array(["a.jpg", "b.jpg"]), **arrays)
    with pytest.raises(TrainingError, match=said):
        probability_targets(Distillation(str(tmp_path / "p.npz"), probabilities=1.0), ["a.jpg"], get_schema("utkface"))
