import socket

import facefeat_keras_hub
import keras
import numpy as np
import pytest

from facefeat import DownloadError, FaceFeatureModel, InputError
from facefeat.testing import toy_crops

# Small ones, one of each way to build, are checked in full; the others share their code, and would take minutes.
FULL = ("hub-resnet18", "hub-mobilenetv3-small", "hub-vit-tiny")
SIZES = {  # millions of weights, without the classifier
    "hub-resnet18": 11.2,
    "hub-resnet50": 23.6,
    "hub-resnet18v2": 11.2,
    "hub-resnet50v2": 23.5,
    "hub-efficientnet-b0": 4.0,
    "hub-efficientnetv2-b0": 5.9,
    "hub-efficientnetv2-s": 20.3,
    "hub-mobilenetv3-small": 0.9,
    "hub-mobilenetv3-large": 3.0,
    "hub-csp-darknet-53": 26.7,
    "hub-densenet121": 7.0,
    "hub-vit-tiny": 5.5,
    "hub-vit-base": 85.7,
}
BY_NAME = {c.name: c for c in facefeat_keras_hub.COMPONENTS}


@pytest.mark.parametrize("name", FULL)
def test_contract(check_backbone, name):
    model = check_backbone(BY_NAME[name], keep=["preset", "trainable"])
    assert model.count_params() / 1e6 == pytest.approx(SIZES[name], abs=0.06)


def test_a_frozen_one_has_nothing_to_train(check_backbone):
    component = BY_NAME["hub-mobilenetv3-small"]
    skip = ["batches", "round-trip", "precision", "import", "files", "backends"]
    check_backbone(component, config={"trainable": False}, keep=["preset", "trainable"], frozen=True, skip=skip)


@pytest.mark.parametrize("name", [n for n in SIZES if n not in FULL])
def test_the_large_ones_are_built(name):
    model = BY_NAME[name].build(image_size=64)
    assert model.count_params() / 1e6 == pytest.approx(SIZES[name], abs=0.06)
    out = np.asarray(keras.ops.convert_to_numpy(model(toy_crops(2, 64).astype("float32"), training=False)))
    assert out.ndim == 4 and out.shape[0] == 2 and np.isfinite(out).all()
    assert out.shape == (2, *model.output_shape[1:])


def test_they_are_registered_without_a_problem(facefeat_registry):
    assert [p for p in facefeat_registry.problems if p.distribution == "facefeat-keras-hub"] == []
    assert facefeat_registry.get("backbone", "hub-resnet18v2").distribution == "facefeat-keras-hub"
    assert set(BY_NAME) == set(SIZES)


def test_a_model_of_facefeat_is_built_on_one():
    model = FaceFeatureModel(backbone="hub-mobilenetv3-small", image_size=64, schema="utkface")
    assert model.encode(toy_crops(2, 64)).shape == (2, 576)


@pytest.mark.parametrize("size", [31, 0, True, "96"])
def test_a_size_too_small_is_answered_in_words(size):
    with pytest.raises(InputError, match="at least 32"):
        BY_NAME["hub-resnet18"].build(image_size=size)


def test_a_transformer_wants_whole_patches():
    with pytest.raises(InputError, match=r"a multiple of 16\. Received: 40"):
        BY_NAME["hub-vit-tiny"].build(image_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A preset of KerasHub as its users write one: a MobileNetV3 whose weights are all 0.01, without preprocessing."""
    import keras_hub
    from facefeat_keras_hub.networks import NETWORKS

    network = next(n for n in NETWORKS if n.name == "hub-mobilenetv3-small")
    whole = keras_hub.models.MobileNetBackbone(image_shape=(48, 48, 3), **network.settings)
    whole.set_weights([np.full(w.shape, 0.01, "float32") for w in whole.weights])
    made = tmp_path_factory.mktemp("preset") / "ours"
    whole.save_to_preset(str(made))
    return made


def test_a_preset_brings_its_weights_to_another_size_of_crop(folder):
    model = BY_NAME["hub-mobilenetv3-small"].build(image_size=64, preset=str(folder))
    assert model.input_shape == (None, 64, 64, 3)
    assert all((w == np.float32(0.01)).all() for w in model.get_weights())


def test_a_preset_brings_its_normalisation(folder):
    import keras_hub

    plain = BY_NAME["hub-mobilenetv3-small"].build(image_size=64, preset=str(folder)).get_layer("normalise")
    assert plain(np.full((1, 1, 1, 3), 255.0))[0, 0, 0].numpy() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-3)
    converter = keras_hub.layers.MobileNetImageConverter(scale=[1 / 127.5] * 3, offset=[-1.0] * 3)
    converter.save_to_preset(str(folder))
    theirs = BY_NAME["hub-mobilenetv3-small"].build(image_size=64, preset=str(folder)).get_layer("normalise")
    assert theirs(np.full((1, 1, 1, 3), 255.0))[0, 0, 0].numpy() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize(
    ("name", "words"), [("hub-mobilenetv3-large", "another network or size"), ("hub-resnet18", "is no preset for it")]
)
def test_a_preset_of_another_network_is_answered_in_words(folder, name, words):
    with pytest.raises(InputError, match=words):
        BY_NAME[name].build(image_size=64, preset=str(folder))


def test_an_empty_folder_is_no_preset(tmp_path):
    with pytest.raises(InputError, match="is no preset for it"):
        BY_NAME["hub-resnet18"].build(image_size=64, preset=str(tmp_path))


@pytest.mark.parametrize("preset", ["resnet_18_imagent", 7])
def test_an_unknown_preset_is_answered_with_the_known_ones(preset):
    with pytest.raises(InputError, match=r"Valid names: .*resnet_18_imagenet, "):
        BY_NAME["hub-resnet18"].build(image_size=64, preset=preset)


@pytest.mark.parametrize("preset", ["resnet_18_imagenet", "hf://keras/resnet_18_imagenet"])
def test_without_a_network_a_preset_says_so(monkeypatch, tmp_path, preset):
    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the tries, of which there are several
    # Empty caches: one who has fetched it before would otherwise have it.
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DownloadError, match=rf"'{preset}' cannot be fetched: .*preset = null"):
        BY_NAME["hub-resnet18"].build(image_size=64, preset=preset)
