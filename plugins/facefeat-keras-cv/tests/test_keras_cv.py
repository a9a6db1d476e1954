import facefeat_keras_cv
import numpy as np
import pytest
from facefeat_keras_cv.augmentations import AUGMENTATIONS, augmentation

from facefeat import InputError
from facefeat.testing import toy_crops

# The small ones are checked in full; the others share their code, and would take minutes.
SMALL = ("cv-resnet18v2", "cv-csp-darknet-tiny")
SIZES = {  # millions of weights, without the classifier
    "cv-efficientnetv2-b0": 5.9,
    "cv-efficientnetv2-s": 20.3,
    "cv-resnet18v2": 11.2,
    "cv-resnet50v2": 23.6,
    "cv-csp-darknet-tiny": 2.4,
    "cv-csp-darknet-s": 4.2,
    "cv-mobilenetv3-small": 0.9,
}


@pytest.mark.parametrize("component", facefeat_keras_cv.COMPONENTS, ids=lambda c: c.name)
def test_contract(check_backbone, component):
    skip = () if component.name in SMALL else ("batches", "precision", "gradients")
    model = check_backbone(component, keep=["trainable"], backends=["tensorflow"], skip=skip)
    assert model.count_params() / 1e6 == pytest.approx(SIZES[component.name], abs=0.06)


def test_a_frozen_one_has_nothing_to_train(check_backbone):
    component = next(c for c in facefeat_keras_cv.COMPONENTS if c.name == "cv-csp-darknet-tiny")
    check_backbone(component, config={"trainable": False}, keep=["trainable"], frozen=True, backends=["tensorflow"])


def test_they_are_registered_without_a_problem(facefeat_registry):
    assert [p for p in facefeat_registry.problems if p.distribution == "facefeat-keras-cv"] == []
    assert facefeat_registry.get("backbone", "cv-resnet18v2").distribution == "facefeat-keras-cv"


@pytest.mark.parametrize("size", [31, 0, True, "96"])
def test_a_size_too_small_is_answered_in_words(size):
    with pytest.raises(InputError, match="at least 32"):
        facefeat_keras_cv.COMPONENTS[0].build(image_size=size)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_augmentations_change_crops_and_keep_their_form(name):
    crops = toy_crops(4, 32).astype("float32")
    changed = np.concatenate([np.asarray(augmentation(name)(crops, training=True)) for _ in range(3)])
    assert changed.shape == (12, 32, 32, 3) and np.isfinite(changed).all()
    assert not np.array_equal(changed, np.concatenate([crops] * 3))


def test_an_unknown_augmentation_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"'mixup'\. Valid: aug-mix, "):
        augmentation("mixup")
