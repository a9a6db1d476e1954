"""The bundled preset as a user meets it: it loads, is small, reads the portrait, and its accuracy carries to photos."""

from __future__ import annotations

import copy
import io
import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facefeat import FaceFeatureModel, ImageError, InputError, SchemaError
from facefeat.builtin.analyzers.directions import Directions
from facefeat.data import FaceDataset, load_dataset
from facefeat.image.align import resize_crops
from facefeat.presets.store import find_preset
from facefeat.types import FaceSet
from test_detectors import scene


@pytest.fixture(scope="module")
def model() -> FaceFeatureModel:
    return FaceFeatureModel.from_preset()


@pytest.fixture(scope="module")
def validation(shared_data: Path) -> tuple[FaceDataset, np.ndarray]:
    """UTKFace's validation split, and its pictures, (N, 200, 200, 3) uint8."""
    data = load_dataset(shared_data / "utkface" / "UTKFace.tar", schema="utkface").split("val")
    return data, np.stack(_pictures(shared_data, list(data.table["file"])))


def test_size_and_parameters(model: FaceFeatureModel) -> None:
    sizes = {p.name: p.stat().st_size for p in find_preset(None).iterdir()}
    assert sizes["backbone.onnx"] + sizes["head.onnx"] < 10e6
    assert sizes["decoder.onnx"] + sizes["detail_encoder.onnx"] < 20e6
    assert sum(sizes.values()) < 46e6  # the same once more, for Keras
    assert model.parameters < 5e6
    assert (model.name, model.schema.name, model.image_size) == ("mobilenet-112-utkface", "utkface", 112)


def test_the_portrait(model: FaceFeatureModel, repo: Path) -> None:
    (face,) = model.predict(repo / "docs" / "assets" / "portrait.jpg").faces
    assert face.attributes["gender"].label == "Female"
    assert face.attributes["race"].label == "White"
    assert sum(face.attributes["age"].probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert face.face.crop is not None and face.face.crop.shape == (112, 112, 3)


@pytest.mark.xfail(strict=True, reason="read as 28: official portraits are read too young (docs/experiments.md)")
def test_the_portrait_is_read_within_twelve_years_of_her_age(model: FaceFeatureModel, repo: Path) -> None:
    (face,) = model.predict(repo / "docs" / "assets" / "portrait.jpg").faces
    assert face.age_years == pytest.approx(43, abs=12)  # Eileen Collins in 1999


def test_it_draws_faces_when_asked_and_only_then(repo: Path) -> None:
    model = FaceFeatureModel.from_preset()
    crops = model.align(repo / "docs" / "assets" / "portrait.jpg")
    model.predict_faces(crops)
    assert model.has_decoder and model._parts._decoder is None  # predicting does not wait for it
    assert model.latent_dim == 256 + 128 + 8 * 8 * 8 == model.directions.latent_dim
    made = model.reconstruct(crops)
    assert made.shape == (1, 128, 128, 3) and made.dtype == np.uint8
    assert np.mean((resize_crops(made, 112).astype(float) - crops) ** 2) / 255**2 < 0.01
    edited = model.edit(crops, {"gender": "Male"})
    assert edited.reached.all() and edited.before.labels["gender"][0] == "Female"
    assert model.compose({"age": 70, "gender": "Female"}).reached.all()


def test_a_step_along_a_direction_moves_what_it_says_and_no_detail(model: FaceFeatureModel) -> None:
    made = model.compose(count=30, seed=3)
    read = model.predict_faces(made.crops)
    labels = {name: np.asarray(found) for name, found in read.labels.items()}
    faces = FaceSet(tuple(map(str, range(30))), {"age": read.answers["age"].values}, lambda rows: made.crops[rows])
    latents = model.encode(made.crops)
    found = Directions().analyze(latents, labels, model, faces)
    table = found.table.set_index("direction")
    # A step is one standard deviation of the faces: some years, and what the model reads follows.
    assert 1 < table.loc["age", "per_step"] < 40
    assert 0.3 * table.loc["age", "per_step"] < table.loc["age", "seen"] < 3 * table.loc["age", "per_step"]
    assert table.loc["gender", "seen"] > 0.1
    assert not found.directions["age"][model.decoder.feature_dim :].any()


def test_a_batch_is_what_single_images_are_and_a_bad_one_costs_only_itself(model: FaceFeatureModel, repo: Path) -> None:
    path = repo / "docs" / "assets" / "portrait.jpg"
    picture = Image.open(path)
    array = np.asarray(picture)
    results = model.predict([path, "absent.jpg", array, b"no picture", picture, np.zeros((1, 1, 3), "uint8")])
    assert [len(r.faces) for r in results] == [1, 0, 1, 0, 1, 0]
    assert [r.error is None for r in results] == [True, False, True, False, True, True]
    assert results[0].faces[0].to_dict() == results[2].faces[0].to_dict() == results[4].faces[0].to_dict()
    assert results[0].source == str(path) and results[2].source == "image 2"
    assert model.predict([]) == []
    with pytest.raises(ImageError, match="absent"):
        model.predict("absent.jpg")


def test_predictions_do_not_depend_on_the_batch(model: FaceFeatureModel) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (70, 112, 112, 3), dtype="uint8")
    whole = model.predict_faces(crops)
    for rows in (slice(0, 1), slice(3, 9), slice(60, 70)):
        part = model.predict_faces(crops[rows])
        np.testing.assert_allclose(part.probabilities["race"], whole.probabilities["race"][rows], atol=1e-4)
    assert len(model.predict_faces(crops[:0])) == 0
    assert model.encode(crops[:5]).shape == (5, model.latent_dim)
    assert model.encode(crops[:0]).shape == (0, model.latent_dim)


def test_the_card_states_what_the_model_scores(
    model: FaceFeatureModel, validation: tuple[FaceDataset, np.ndarray]
) -> None:
    """A calibration that is fitted again changes the age, and must not leave the card behind.

    The least figures are far below the stated ones: a model with mixed-up labels or geometry would not reach them.
    """
    data, pictures = validation
    batch = model.predict_faces(pictures)
    stated = _card_figures()
    assert batch.age_years is not None
    error = np.abs(batch.age_years - data.years()).mean()
    assert error == pytest.approx(stated["age mae"], abs=0.01) and error < 7.5
    for name, least in (("age", 0.5), ("gender", 0.85), ("race", 0.72)):
        labels = np.asarray(model.schema[name].classes)[data.labels()[name]]
        right = (batch.labels[name] == labels).mean()
        assert right == pytest.approx(stated[f"{name} accuracy"], abs=0.002) and right > least, name


def test_the_pages_quote_the_card(repo: Path) -> None:
    stated = _card_figures()
    readme, page = ((repo / f).read_text("utf-8") for f in ("README.md", "docs/benchmarks.md"))
    assert f"{stated['age mae']:.1f} years mean absolute error" in readme
    assert f"| age: mean absolute error | {stated['age mae']:.2f} years |" in page
    for metric in ("gender accuracy", "race accuracy", "age accuracy", "age one off accuracy", "age coverage"):
        quoted = [float(x) for x in re.findall(r"^\|[^|]+\| (0\.\d+) \|", page, re.MULTILINE)]
        # Another backend or processor rounds otherwise, and a few of 2,000 faces change their class.
        assert stated[metric] in [pytest.approx(q, abs=0.002) for q in quoted], metric


def _card_figures() -> dict[str, float]:
    """The table of metrics in the default preset's model card."""
    text = (find_preset(None) / "model_card.md").read_text("utf-8")
    return {n: float(v) for n, v in re.findall(r"^\| ([a-z ]+) \| (\d+\.\d+) \|", text, re.MULTILINE)}


def test_faces_in_larger_turned_scenes_get_the_answers_of_their_crops(
    model: FaceFeatureModel, validation: tuple[FaceDataset, np.ndarray]
) -> None:
    data, pictures = validation
    rows = np.random.default_rng(1).choice(len(data.table), 60, replace=False)
    crops = pictures[rows]
    dice = np.random.default_rng(2)
    scenes = [
        scene(
            c, np.exp(dice.uniform(-0.7, 0.75)), dice.uniform(-20, 20), dice.uniform(220, 420), dice.uniform(200, 280)
        )
        for c in crops
    ]
    results = model.predict([picture for picture, _ in scenes])
    found = [i for i, r in enumerate(results) if r.faces]
    assert len(found) >= 56
    direct = model.predict_faces(crops)
    seen = [results[i].faces[0] for i in found]
    for name, least in (("gender", 0.9), ("race", 0.8)):
        same = np.mean([f.attributes[name].label == direct.labels[name][i] for f, i in zip(seen, found, strict=True)])
        assert same >= least, (name, same)
    # And, as in the crops themselves, against the truth.
    gender = np.asarray(model.schema["gender"].classes)[data.labels()["gender"][rows]]
    assert np.mean([f.attributes["gender"].label == gender[i] for f, i in zip(seen, found, strict=True)]) > 0.85


def _pictures(shared_data: Path, names: list[str]) -> list[np.ndarray]:
    wanted, out = set(names), {}
    with tarfile.open(shared_data / "utkface" / "UTKFace.tar") as tar:
        for member in tar:
            name = member.name.split("/")[-1]
            if name in wanted:
                file = tar.extractfile(member)
                assert file is not None
                out[name] = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
    return [out[n.split("/")[-1]] for n in names]


@pytest.mark.parametrize("given", [None, "data/faces.csv", 7])
def test_what_is_no_data_set_is_refused_with_how_one_is_read(model: FaceFeatureModel, given: object) -> None:
    calls = (model.evaluate, model.calibrate, model.robustness, model.fit_directions)
    for call in (*calls, lambda d: model.analyze(d, "pca"), lambda d: model.fit(d, d, "finetune-head")):
        with pytest.raises(InputError, match=f"load_dataset.*Received: {type(given).__name__}"):
            call(given)


def test_changes_seeds_and_runtimes_that_are_none(model: FaceFeatureModel) -> None:
    crops = np.zeros((1, 112, 112, 3), "uint8")
    with pytest.raises(InputError, match="changes are a dictionary.*Received: str"):
        model.edit(crops, "age")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=r"Received: 5\. Valid: age"):
        model.edit(crops, {5: 5})  # type: ignore[dict-item]
    for seed in (-1, "x", 1.5):
        with pytest.raises(InputError, match="seed must be a whole number from 0"):
            model.compose({"age": 40}, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="RuntimeOptions"):
        FaceFeatureModel.from_preset(runtime="keras")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="Received: int"):
        FaceFeatureModel(schema=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy])
def test_a_model_says_how_it_is_copied(model: FaceFeatureModel, copied: object) -> None:
    with pytest.raises(TypeError, match=r"model\.save\(FOLDER\)"):
        copied(model)  # type: ignore[operator]
