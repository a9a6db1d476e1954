"""Where the model looked: maps that can be reckoned by hand, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from facefeat import FaceFeatureModel, InputError
from facefeat.cli import cli
from facefeat.latent.explain import Explanation, _slope, check_request
from facefeat.schema import get_schema
from facefeat.testing import toy_crops
from made import TINY

pytestmark = pytest.mark.backend


def build(head: str = "mlp", **config: Any) -> FaceFeatureModel:
    from keras.utils import set_random_seed

    set_random_seed(5)
    return FaceFeatureModel(backbone_config=TINY, head=head, head_config=config, image_size=32, detector="whole-image")


@pytest.fixture(scope="module")
def linear() -> FaceFeatureModel:
    return build(trunk=[])


def test_with_a_linear_head_the_places_add_up_to_the_outputs(linear: FaceFeatureModel) -> None:
    crops = toy_crops(3, 32)
    classifier = linear._classifier
    logits = classifier.logits(crops)["race"]
    none = classifier.logits_of(np.zeros_like(classifier.feature_map(crops)))["race"]  # the biases alone
    p = linear.predict_faces(crops).probabilities["race"]
    for label, column in (("White", 0), ("Others", 4)):
        found = linear.explain(crops, "race", label)
        assert found.labels == (label,) * 3 and found.maps.shape[0] == 3
        # d log p_k / d logit_j = [j = k] - p_j, and the map sums over what the features add to the biases.
        expected = ((np.eye(5)[column] - p) * (logits - none)).sum(axis=1)
        assert np.allclose(found.maps.sum(axis=(1, 2)), expected, rtol=2e-2, atol=2e-4)


@pytest.mark.parametrize("attribute", ["age", "gender", "race"])
@pytest.mark.parametrize("head", ["single", "mlp", "attention"])
def test_every_head_and_attribute_has_a_map_of_its_own_answer(head: str, attribute: str) -> None:
    model = build(head)
    crops = toy_crops(2, 32)
    found = model.explain(crops, attribute, method="gradient")
    assert found.labels == tuple(model.predict_faces(crops).labels[attribute])
    assert np.isfinite(found.maps).all() and found.maps.std() > 0
    assert len(model.explain(crops[:0], attribute).maps) == 0


@pytest.mark.parametrize("label", ["Male", "Female"])
def test_an_answer_that_is_certain_has_a_map_too(label: str, linear: FaceFeatureModel) -> None:
    certain = {n: np.zeros((1, a.outputs), "float32") for n, a in linear.schema.attributes.items()}
    certain["gender"][0] = (60, -60)
    slope = _slope(linear._classifier, certain, 0, "gender", label)
    sign = 1 if label == "Male" else -1
    assert sign * slope[0] > 1e-5 and sign * slope[1] < -1e-5


def test_all_attributes_at_once_are_each_as_alone_and_ask_the_backbone_once(
    linear: FaceFeatureModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = toy_crops(2, 32)
    alone = {name: linear.explain(crops, name) for name in linear.schema.attributes}
    asked: list[str] = []
    run = type(linear.classifier.runtime).run

    def seen(self: Any, network: str, rows: Any) -> Any:
        asked.append(network)
        return run(self, network, rows)

    monkeypatch.setattr(type(linear.classifier.runtime), "run", seen)
    found = linear.explain_all(crops)
    assert asked.count("backbone") == 1 and list(found) == list(linear.schema.attributes)
    for name, one in found.items():
        assert one.labels == alone[name].labels and one.method == "gradient"
        np.testing.assert_allclose(one.maps, alone[name].maps, atol=1e-6)


def test_attention_is_shown_where_the_head_has_it(linear: FaceFeatureModel) -> None:
    model = build("attention")
    found = model.explain(toy_crops(2, 32), "race")
    assert found.method == "attention" and np.allclose(found.maps.sum(axis=(1, 2)), 1, atol=1e-5)
    assert model.explain(toy_crops(2, 32), "race", "Asian").method == "gradient"
    with pytest.raises(InputError, match="does not attend"):
        linear.explain(toy_crops(1, 32), "race", method="attention")
    with pytest.raises(InputError, match="the same for every class"):
        model.explain(toy_crops(1, 32), "race", "Asian", method="attention")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("rase",), "Did you mean 'race'"),
        (("race", "Asain"), "Did you mean 'Asian'"),
        (("race", None, "gradients"), "Did you mean 'gradient'"),
    ],
)
def test_mistakes_are_answered_with_the_nearest(args: Any, said: str, linear: FaceFeatureModel) -> None:
    attribute, label, method = (*args, None, "auto")[:3] if len(args) < 3 else args
    with pytest.raises(InputError, match=said):
        linear.explain(toy_crops(1, 32), attribute, label, method=method or "auto")


def test_a_class_of_another_attribute_names_that(linear: FaceFeatureModel) -> None:
    with pytest.raises(InputError, match="'Asian', a class of race. .* Next: --attribute race"):
        check_request(linear.schema, "gender", "Asian", "auto")


def test_a_class_is_known_in_any_case(linear: FaceFeatureModel) -> None:
    schema = get_schema("utkface")
    assert check_request(schema, "gender", "female", "auto") == "Female"
    assert check_request(schema, "gender", None, "auto") is None
    found, same = (linear.explain(toy_crops(2, 32), "race", label) for label in ("asian", "Asian"))
    assert found.labels == ("Asian", "Asian") and (found.maps == same.maps).all()


def test_a_drawing_is_strongest_where_the_map_is() -> None:
    maps = np.zeros((1, 4, 4), "float32")
    maps[0, 0, 0], maps[0, 3, 3] = 2.0, -1.0
    drawn = Explanation("race", "gradient", ("White",), maps, np.full((1, 32, 32, 3), 128, "uint8")).draw(64)[0]
    assert drawn.shape == (64, 128, 3) and (drawn[:, :64] == 128).all()
    red, _, blue = (drawn[:, 64:, i].astype(int) for i in range(3))
    assert red[4, 4] - blue[4, 4] > 80 and blue[60, 60] - red[60, 60] > 40
    assert abs(red[32, 4] - blue[32, 4]) < 12


def test_a_backbone_that_looks_at_the_middle_is_drawn_so() -> None:
    from keras.utils import set_random_seed

    set_random_seed(6)
    model = FaceFeatureModel(
        backbone="mobilenet", backbone_config={"view": 0.6, "output_stride": 16}, head_config={"trunk": []},
        image_size=80, detector="whole-image",
    )  # fmt: skip
    assert model.explain(toy_crops(2, 80), "age").view == 0.6
    found = Explanation("age", "gradient", ("0-2",) * 2, np.ones((2, 3, 3), "float32"), toy_crops(2, 80), 0.6)
    beside = found.draw(100)[:, :, 100:].astype(int)
    coloured = beside.max(axis=-1) - beside.min(axis=-1) > 0
    expected = np.zeros((2, 100, 100), bool)
    expected[:, 20:80, 20:80] = True
    np.testing.assert_array_equal(coloured, expected)


def test_the_command_draws_the_portrait(repo: Path, tmp_path: Path) -> None:
    portrait = str(repo / "docs" / "assets" / "portrait.jpg")
    out = tmp_path / "e.png"
    done = CliRunner().invoke(cli, ["explain", portrait, "-o", str(out), "--attribute", "race", "--size", "128"])
    assert done.exit_code == 0, done.output
    assert "by gradient: written to" in done.stdout
    with Image.open(out) as picture:  # the caption below
        assert picture.width == 2 * 128 + 8 and picture.height > 128 + 30
    for args in (["-o", "e.gif"], ["-o", str(out)], ["--attribute", "rase"], ["--face", "2"]):
        args = args if "-o" in args else [*args, "-o", str(tmp_path / "other.png")]
        failed = CliRunner().invoke(cli, ["explain", portrait, *args])
        assert isinstance(failed.exception, InputError), failed.output
