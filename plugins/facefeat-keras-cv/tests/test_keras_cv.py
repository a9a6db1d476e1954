import facefeat_keras_cv
import pytest

from facefeat import InputError

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


OTHER = {  # another value for every setting of an augmentation
    "cv-grid-mask": {"fill_value": 20.0},
    "cv-cutout": {"height_factor": 0.5, "width_factor": 0.2},
    "cv-channel-shift": {"factor": 0.5},
    "cv-color-degeneration": {"factor": 0.9},
    "cv-gaussian-blur": {"kernel_size": 5, "factor": 2.0},
    "cv-hue": {"factor": 0.4},
    "cv-jpeg": {"factor": [20, 40]},
    "cv-posterization": {"bits": 2},
    "cv-sharpness": {"factor": 0.9},
    "cv-shear": {"x_factor": 0.4, "y_factor": 0.1},
    "cv-solarization": {"threshold_factor": 0.2},
}


@pytest.mark.parametrize("component", facefeat_keras_cv.LAYERS, ids=lambda c: c.name)
def test_augmentations_keep_their_contract(check_augmentation, component):
    # Three channels have but one way to be shuffled.
    keep = ["groups"] if component.name == "cv-channel-shuffle" else []
    check_augmentation(component, changed=OTHER.get(component.name, {}), keep=keep, backends=["tensorflow"])
