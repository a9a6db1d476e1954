"""The whole plugin, held to its contracts: the fixture `check_plugin` comes with facefeat."""

import facefeat_example
import pytest
from click.testing import CliRunner
from facefeat_example import detector

from facefeat import FaceFeatureModel, InputError
from facefeat.cli import cli
from facefeat.testing import toy_crops, toy_image


def test_every_component_keeps_its_contract(check_plugin):
    # For each component that has settings: another value for every one of them.
    checked = check_plugin(
        "facefeat-example",
        {
            "detector middle": {"changed": {"part": 0.25}},
            "backbone two-convolutions": {"changed": {"width": 8}},
            "head linear": {"changed": {"dropout": 0.5}},
            "augmentation random-gamma": {"changed": {"reach": 0.8}},
            "decoder blurred": {"changed": {"width": 4}},
            "analyzer means": {"changed": {"digits": 2}},
            "attribute_kind circular": {
                "table": {"range": [-180, 180], "unit": "degrees"},
                "labels": ["-179", "2.5", "179"],
            },
            "loss poly": {"changed": {"epsilon": -0.5}},
        },
    )
    kinds = ["detector", "backbone", "head", "augmentation", "decoder", "analyzer", "preset", "attribute_kind", "loss"]
    assert [item.kind for item in checked] == kinds


def test_its_parts_work_together():
    model = FaceFeatureModel.from_preset("example", detector="middle")
    (face,) = model.predict(toy_image()).faces
    assert set(face.attributes) == set(model.schema.attributes)
    assert model.encode(toy_crops(2, model.image_size)).shape == (2, 16)


def test_a_wrong_setting_is_answered_in_words():
    with pytest.raises(InputError, match=r"at most 1\. Received: 7"):
        detector.build(part=7)


def test_its_command_runs():
    assert CliRunner().invoke(cli, ["hello", "--name", "you"]).output == "hello you\n"


def test_it_has_a_summary_for_everything():
    assert all(c.summary for c in vars(facefeat_example).values() if hasattr(c, "summary"))
