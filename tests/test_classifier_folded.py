"""A preset is compiled with its weights as constants: the same answers, and never those of weights before."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import facefeat.networks.classifier
from facefeat import FaceFeatureModel
from facefeat.networks.classifier import Classifier, can_fold, folded
from facefeat.presets.store import load_classifier
from made import TINY

CROPS = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype="uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32, detector="whole-image")
    rng = np.random.default_rng(1)
    for weight in model.classifier.backbone_model.variables:  # batch norms that do nothing could not be told apart
        if "batch_norm" in weight.path or "bn" in weight.path:
            weight.assign(keras.ops.convert_to_numpy(weight) + rng.uniform(0.1, 0.5, weight.shape))
    return model.save(tmp_path_factory.mktemp("presets") / "tiny", name="tiny")


def shaken(classifier: Classifier) -> Classifier:
    """The same architecture with other weights."""
    other = classifier.clone()
    other.head_model.set_weights([w + 0.5 for w in other.head_model.get_weights()])
    return other


def test_a_preset_gives_the_answers_of_its_layers(folder: Path) -> None:
    classifier, _ = load_classifier(folder)
    plain = classifier.clone()
    assert classifier.frozen and not plain.frozen
    ours, theirs = classifier.logits(CROPS), plain.logits(CROPS)
    assert list(ours) == list(theirs) == ["age", "gender", "race"]
    for name in ours:
        assert ours[name].dtype == np.float32 and np.ptp(ours[name]) > 0
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(classifier.feature_map(CROPS), plain.feature_map(CROPS), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(classifier.encode(CROPS), plain.encode(CROPS), rtol=1e-3, atol=1e-4)


def test_new_weights_are_seen(folder: Path) -> None:
    classifier, _ = load_classifier(folder)
    before = classifier.logits(CROPS)
    other = shaken(classifier)
    classifier.copy_weights(other)
    after = classifier.logits(CROPS)
    assert not np.allclose(before["race"], after["race"], atol=1e-2)
    np.testing.assert_allclose(after["race"], other.logits(CROPS)["race"], rtol=1e-3, atol=1e-4)

    classifier.head_model.set_weights([w + 0.5 for w in classifier.head_model.get_weights()])
    classifier.clear_compiled()
    assert not np.allclose(after["race"], classifier.logits(CROPS)["race"], atol=1e-2)


def test_the_graph_holds_the_weights(folder: Path) -> None:
    """Without that nothing is folded, whatever the answers."""
    classifier, _ = load_classifier(folder)
    run = folded(classifier.backbone_model)
    before = np.asarray(run(CROPS.astype("float32")))
    classifier.backbone_model.set_weights([w * 0 for w in classifier.backbone_model.get_weights()])
    np.testing.assert_array_equal(before, np.asarray(run(CROPS.astype("float32"))))


def test_what_is_too_large_for_a_graph_is_not_folded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, _ = load_classifier(folder)
    assert can_fold(classifier.backbone_model)
    monkeypatch.setattr(facefeat.networks.classifier, "FOLDED_BYTES", 100)
    assert not can_fold(classifier.backbone_model)
    monkeypatch.setattr(facefeat.networks.classifier, "folded", None)
    assert len(classifier.logits(CROPS)["age"]) == len(CROPS)
