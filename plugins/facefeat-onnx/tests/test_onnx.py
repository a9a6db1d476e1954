import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from facefeat_onnx import ONNX
from onnx import TensorProto, helper, numpy_helper

from facefeat import FaceFeatureModel, InputError, PresetError
from facefeat.testing import toy_crops, toy_schema


def write(path, layout="nchw"):
    """A convolution of stride 8 with 6 filters, then tanh (the map), and its mean over places (the vector)."""
    kernel = np.random.default_rng(0).normal(size=(6, 3, 8, 8), scale=0.1).astype("float32")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[8, 8]),
        helper.make_node("Tanh", ["c"], ["map"]),
        helper.make_node("ReduceMean", ["map", "axes"], ["vector"], keepdims=0),
    ]
    first = ["b", 3, "s", "s"]
    if layout == "nhwc":
        nodes[0] = helper.make_node("Conv", ["t", "w"], ["c"], strides=[8, 8])
        nodes[1] = helper.make_node("Tanh", ["c"], ["m"])
        nodes[2] = helper.make_node("ReduceMean", ["m", "axes"], ["vector"], keepdims=0)
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
        nodes.append(helper.make_node("Transpose", ["m"], ["map"], perm=[0, 2, 3, 1]))
        first = ["b", "s", "s", 3]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, first)],
        [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["b", "i", "j", "k"]),
            helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["b", 6]),
        ],
        [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(np.array([2, 3], "int64"), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


@pytest.fixture
def file(tmp_path):
    return str(write(tmp_path / "toy.onnx"))


def test_contract(check_backbone, file, tmp_path):
    last = str(write(tmp_path / "last.onnx", "nhwc"))
    changed = {
        "file": last,
        "sha256": hashlib.sha256(Path(last).read_bytes()).hexdigest(),
        "output": "map",
        "layout": "nhwc",
        "mean": [127.5] * 3,
        "scale": [127.5] * 3,
        "bgr": True,
        "threads": 1,
    }
    model = check_backbone(ONNX, config={"file": file}, changed=changed, frozen=True)
    assert model.output_shape == (None, 4, 4, 6)


def test_layouts_agree_and_a_vector_is_a_map_of_one_place(file, tmp_path):
    last = str(write(tmp_path / "last.onnx", "nhwc"))
    crops = toy_crops(2, 32).astype("float32")
    a = np.asarray(ONNX.build(image_size=32, file=file)(crops))
    b = np.asarray(ONNX.build(image_size=32, file=last, layout="nhwc")(crops))
    vector = np.asarray(ONNX.build(image_size=32, file=file, output="vector")(crops))
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert vector.shape == (2, 1, 1, 6)
    np.testing.assert_allclose(vector[:, 0, 0], a.mean(axis=(1, 2)), atol=1e-6)


def test_a_head_learns_on_it(file):
    import keras

    model = FaceFeatureModel(
        backbone="onnx", backbone_config={"file": file}, head_config={"trunk": []}, schema=toy_schema(), image_size=32
    )
    classifier = model._classifier
    crops = keras.Input((32, 32, 3))
    whole = keras.Model(crops, classifier.head_model(classifier.backbone_model(crops)))
    losses = {n: keras.losses.SparseCategoricalCrossentropy(from_logits=True) for n in toy_schema().attributes}
    whole.compile(keras.optimizers.Adam(0.05), loss=losses, jit_compile=False)
    x = toy_crops(8, 32).astype("float32")
    y = {n: np.arange(8) % a.outputs for n, a in toy_schema().attributes.items()}
    losses = [float(whole.train_on_batch(x, y, return_dict=True)["loss"]) for _ in range(10)]
    assert losses[-1] < losses[0]


def test_a_preset_finds_its_network_again_or_says_what_it_lacks(file, tmp_path, monkeypatch):
    model = FaceFeatureModel(
        backbone="onnx", backbone_config={"file": file}, head_config={"trunk": []}, schema=toy_schema(), image_size=32
    )
    want = model.predict_faces(toy_crops(2, 32)).probabilities["mood"]
    folder = model.save(tmp_path / "preset")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "toy.onnx").rename(elsewhere / "toy.onnx")
    with pytest.raises((InputError, PresetError), match=r"no such file.*FACEFEAT_ONNX"):
        FaceFeatureModel.from_preset(folder)
    monkeypatch.setenv("FACEFEAT_ONNX", str(elsewhere))
    again = FaceFeatureModel.from_preset(folder).predict_faces(toy_crops(2, 32)).probabilities["mood"]
    np.testing.assert_allclose(again, want, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sha256": "0" * 64}, "is another file"),
        ({"layout": "nwhc"}, "Valid: nchw, nhwc"),
        ({"output": "nope"}, "Valid: map, vector"),
        ({"mean": [1]}, "three numbers"),
        ({"scale": [1, 0, 1]}, "three numbers"),
        ({"layout": "nhwc"}, "does not take crops of 32 px"),
        ({"file": "nowhere.onnx"}, "no such file"),
    ],
)
def test_bad_settings_are_answered_in_words(file, settings, message):
    with pytest.raises(InputError, match=message):
        ONNX.build(**{"image_size": 32, "file": file, **settings})


def test_a_file_that_is_no_network(tmp_path):
    (tmp_path / "x.onnx").write_text("hello")
    with pytest.raises(InputError, match="cannot be read"):
        ONNX.build(image_size=32, file=str(tmp_path / "x.onnx"))


def test_it_is_registered_without_a_problem(facefeat_registry):
    assert [p for p in facefeat_registry.problems if p.distribution == "facefeat-onnx"] == []
    assert facefeat_registry.get("backbone", "onnx").component is ONNX
