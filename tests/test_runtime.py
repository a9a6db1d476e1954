"""What computes the networks of a preset: ONNX Runtime where it has graphs, else Keras. And hostile graphs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facefeat import FaceFeatureModel, InputError, MissingExtraError, PluginError, PresetError
from facefeat.cli import _model
from facefeat.networks import keras_backend, onnx_graph
from facefeat.networks.linear_head import linear_head
from facefeat.networks.onnx_graph import check_graph, fold_channel_reversal
from facefeat.networks.runtime import (
    KerasRuntime,
    RuntimeOptions,
    default_options,
    in_batches,
    providers,
    set_default_options,
)
from facefeat.presets import store
from facefeat.utils import ort
from facefeat.utils.machine import cores
from made import TINY

CROPS = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype="uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    model = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32, detector="whole-image")
    return model.save(tmp_path_factory.mktemp("presets") / "tiny", name="tiny")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def reseal(preset: Path) -> None:
    """SHA256SUMS anew: whoever makes a hostile preset does so, too."""
    names = sorted(p.name for p in preset.iterdir() if p.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((preset / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (preset / "SHA256SUMS").write_text("".join(sums))


def assert_near(ours: np.ndarray, theirs: np.ndarray) -> None:
    """By a share of the largest number: a graph's kernels are rounded to float16 after, and a file's before, batch
    normalisation is folded into them."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-3 * np.abs(theirs).max())


def load(preset: Path, runtime: str = "auto") -> FaceFeatureModel:
    return FaceFeatureModel.from_preset(preset, detector="whole-image", runtime=RuntimeOptions(runtime))


def test_both_runtimes_give_the_same_answers(folder: Path) -> None:
    onnx_model, keras_model = load(folder), load(folder, "keras")
    assert (onnx_model.classifier.runtime.name, keras_model.classifier.runtime.name) == ("onnx", "keras")
    ours, theirs = onnx_model.classifier.logits(CROPS), keras_model.classifier.logits(CROPS)
    assert list(ours) == list(theirs) == ["age", "gender", "race"]
    for name in ours:
        assert ours[name].dtype == np.float32 and np.ptp(ours[name]) > 0
        assert_near(ours[name], theirs[name])
    assert_near(onnx_model.encode(CROPS), keras_model.encode(CROPS))
    assert onnx_model.encoder_hash == keras_model.encoder_hash
    assert onnx_model.parameters == keras_model.parameters and onnx_model.latent_dim == keras_model.latent_dim


@pytest.mark.parametrize("count", [0, 1, 65])
def test_any_number_of_crops_is_read(folder: Path, count: int) -> None:
    crops = np.resize(CROPS, (count, 32, 32, 3))
    for runtime in ("onnx", "keras"):
        batch = load(folder, runtime).predict_faces(crops)
        assert len(batch) == count and batch.probabilities["race"].shape == (count, 5)


def test_a_preset_with_graphs_is_used_without_keras(folder: Path, tmp_path: Path) -> None:
    code = f"""
import sys
import numpy as np
from facefeat import FaceFeatureModel
model = FaceFeatureModel.from_preset({str(folder)!r}, detector="whole-image")
crops = np.full((2, 32, 32, 3), 90, "uint8")
model.predict(crops[0]), model.predict_faces(crops), model.encode(crops), model.explain(crops, "gender")
model.encoder_hash
model.save({str(tmp_path / "again")!r})
bundled = FaceFeatureModel.from_preset()
crop = np.full((1, 112, 112, 3), 90, "uint8")
bundled.reconstruct(crop)
print(sorted({{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
    again, before = store.read_config(tmp_path / "again"), store.read_config(folder)
    assert again["weights_sha256"] == before["weights_sha256"] and not again["no_graphs"]


def test_a_lost_graph_is_reported_before_a_missing_backend(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise AssertionError("Keras was started")

    monkeypatch.setattr(_model, "start_keras", refuse)
    shutil.copytree(folder, tmp_path / "lost")
    (tmp_path / "lost" / "head.onnx").unlink()
    with pytest.raises(PresetError, match=r"the file 'head.onnx' is missing"):
        _model.load_model(str(tmp_path / "lost"))


def test_new_weights_are_seen(folder: Path) -> None:
    classifier, _ = store.load_classifier(folder)
    before, old = classifier.logits(CROPS), classifier.hashes
    other = load(folder, "keras").classifier
    other.head_model.set_weights([w + 0.5 for w in other.head_model.get_weights()])
    other.use_keras()
    classifier.copy_weights(other)
    after = classifier.logits(CROPS)
    assert old and not classifier.hashes and isinstance(classifier.runtime, KerasRuntime)
    assert not np.allclose(before["race"], after["race"], atol=1e-2)
    assert_near(after["race"], other.logits(CROPS)["race"])


def test_what_was_trained_is_saved_with_new_graphs(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    classifier = model.classifier
    classifier.head_model.set_weights([w + 0.25 for w in classifier.head_model.get_weights()])
    classifier.use_keras()
    again = load(model.save(tmp_path / "again"))
    assert again.classifier.runtime.name == "onnx"
    np.testing.assert_allclose(again.classifier.logits(CROPS)["age"], classifier.logits(CROPS)["age"], atol=1e-2)


def test_a_preset_without_graphs_runs_on_keras(copy: Path) -> None:
    (copy / "backbone.onnx").unlink()
    (copy / "head.onnx").unlink()
    reseal(copy)
    assert load(copy).classifier.runtime.name == "keras"
    with pytest.raises(PresetError, match=r"has no backbone.onnx and head.onnx: .*Next: --runtime keras"):
        load(copy, "onnx")


def test_a_graph_is_written_to_the_same_bytes_each_time(folder: Path) -> None:
    head = load(folder, "keras").classifier.head_model
    assert onnx_graph.to_onnx(head, pixels=False, what="head") == onnx_graph.to_onnx(head, pixels=False, what="head")


def test_a_model_that_cannot_be_exported_is_saved_without_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> bytes:
        raise PluginError("the backbone cannot be exported to ONNX: it calls Python")

    monkeypatch.setattr(store, "to_onnx", refuse)
    model = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32, detector="whole-image")
    with pytest.warns(UserWarning, match="has no ONNX graphs, so it runs on Keras: the backbone cannot be exported"):
        saved = model.save(tmp_path / "plain")
    assert not list(saved.glob("*.onnx"))
    assert load(saved).classifier.runtime.name == "keras"


def test_a_network_that_calls_python_cannot_be_exported() -> None:
    import keras
    import tensorflow as tf

    class Calls(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.ensure_shape(tf.numpy_function(np.negative, [x], tf.float32), x.shape)

    given = keras.Input((4,))
    with pytest.raises(PluginError, match="backbone 'calls' cannot be (exported to ONNX|run by onnxruntime)"):
        onnx_graph.to_onnx(keras.Model(given, Calls()(given)), pixels=False, what="backbone 'calls'")


def test_an_enlargement_is_exported_as_one_plain_operator() -> None:
    import keras

    from facefeat.builtin.decoders.common import double

    given = keras.Input((3, 5, 4))
    graph = onnx_graph.to_onnx(keras.Model(given, double(given)), pixels=False, what="decoder")
    resizes = [n for n in onnx.load_from_string(graph).graph.node if n.op_type == "Resize"]
    found = {a.name: helper.get_attribute_value(a) for n in resizes for a in n.attribute}
    assert len(resizes) == 1 and found["coordinate_transformation_mode"] == b"asymmetric"
    rows = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    import onnxruntime

    (enlarged,) = onnxruntime.InferenceSession(graph).run(None, {"input": rows})
    np.testing.assert_array_equal(enlarged, rows.repeat(2, axis=1).repeat(2, axis=2))


# hostile and broken graphs


def linear(weights: np.ndarray, **changes: Any) -> onnx.ModelProto:
    """A graph (N, 2) -> (N, 3)."""
    node = helper.make_node("MatMul", ["input", "w"], ["output"])
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 2])
    gives = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([node], "g", [given], [gives], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", changes.pop("opset", 15))], **changes)


W = np.arange(6, dtype="float32").reshape(2, 3)


def test_a_plain_graph_passes_the_check() -> None:
    check_graph(linear(W).SerializeToString(), "g")


def test_external_data_is_refused_wherever_it_lies() -> None:
    outside = linear(W)
    tensor = outside.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(PresetError, match="keeps weights in another file"):
        check_graph(outside.SerializeToString(), "g")
    inner = linear(W)
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    inner.graph.node.append(constant)
    with pytest.raises(PresetError, match="keeps weights in another file"):
        check_graph(inner.SerializeToString(), "g")
    branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2, 3])])
    nested = linear(W)
    nested.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    with pytest.raises(PresetError, match="keeps weights in another file"):
        check_graph(nested.SerializeToString(), "g")


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
def test_a_graph_with_a_loop_is_refused(operator: str) -> None:
    body = helper.make_graph([], "b", [], [])
    looped = linear(W)
    looped.graph.node.append(helper.make_node(operator, ["n", "go", "x"], ["y"], body=body))
    with pytest.raises(PresetError, match="has a loop, which may never end"):
        check_graph(looped.SerializeToString(), "g")


def test_other_operators_than_the_standard_are_refused() -> None:
    custom = linear(W)
    custom.opset_import.append(helper.make_opsetid("my.company", 1))
    with pytest.raises(PresetError, match=r"uses operators of 'my.company'. Valid: the standard operators"):
        check_graph(custom.SerializeToString(), "g")
    with pytest.raises(PresetError, match="has opset 999; this facefeat runs up to"):
        check_graph(linear(W, opset=999).SerializeToString(), "g")


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a graph", b"\xff" * 64, b"\x3a\xff\xff\xff\x7f", bytes(1000)])
def test_what_is_no_graph_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(PresetError, match="'x.onnx' is no ONNX model"):
        check_graph(data, "'x.onnx'")


def test_a_damaged_graph_never_raises_anything_else(folder: Path) -> None:
    data, rng = (folder / "head.onnx").read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(data[: rng.integers(1, len(data) + 1)])
        broken[rng.integers(len(broken))] = rng.integers(256)
        try:
            check_graph(bytes(broken), "g")
        except PresetError as e:
            assert str(e).startswith("g ")


def test_graphs_nested_without_end_are_refused() -> None:
    inner = b""
    for _ in range(60):  # graph { node { attribute { g: inner } } }
        for field in (6, 5, 1):
            inner = bytes([field << 3 | 2]) + _length(len(inner)) + inner
    with pytest.raises(PresetError, match="nests graphs more than 20 deep"):
        check_graph(bytes([7 << 3 | 2]) + _length(len(inner)) + inner, "g")


def _length(n: int) -> bytes:
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def test_a_graph_that_was_altered_is_found_by_its_hash(copy: Path) -> None:
    with (copy / "backbone.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(PresetError, match=r"'backbone.onnx' was altered"):
        load(copy)


def test_a_graph_for_another_input_is_refused(copy: Path) -> None:
    (copy / "backbone.onnx").write_bytes(linear(W).SerializeToString())
    reseal(copy)
    with pytest.raises(PresetError, match=r"'backbone.onnx' takes \(N, 2\), but config.json says \(N, 32, 32, 3\)"):
        load(copy)


def test_an_operator_that_nobody_knows_is_refused(copy: Path) -> None:
    model = linear(W)
    model.graph.node[0].op_type = "Unheard"
    (copy / "backbone.onnx").write_bytes(model.SerializeToString())
    reseal(copy)
    with pytest.raises(
        PresetError, match=r"'backbone.onnx' cannot be run by onnxruntime .*Next: pip install -U onnxruntime"
    ):
        load(copy)


def test_a_configuration_that_lies_about_the_shape_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["feature_shape"] = ["a"]
    (copy / "config.json").write_text(json.dumps(config))
    reseal(copy)
    with pytest.raises(PresetError, match="config.json is incomplete or has a wrong type"):
        load(copy)


# options


def test_options_that_are_not_there_are_told_with_what_is() -> None:
    with pytest.raises(InputError, match=r"no such runtime. Received: 'onxx'. Did you mean 'onnx'"):
        RuntimeOptions("onxx")
    with pytest.raises(InputError, match=r"no such device. Received: 'gpu'"):
        RuntimeOptions(device="gpu")
    with pytest.raises(InputError, match="threads must be a whole number from 0"):
        RuntimeOptions(threads=-1)


@pytest.mark.parametrize(
    ("device", "system", "then"),
    [
        ("cuda", "Linux", "Next: pip uninstall -y onnxruntime, then pip install onnxruntime-gpu"),
        ("directml", "Windows", "Next: pip uninstall -y onnxruntime, then pip install onnxruntime-directml"),
        ("directml", "Linux", "It is a device of Windows only."),
        ("coreml", "Darwin", "Next: pip install -U onnxruntime"),
        ("coreml", "Linux", "It is a device of macOS only."),
    ],
)
def test_a_device_that_the_wheel_lacks_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, device: str, system: str, then: str
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr("platform.system", lambda: system)
    with pytest.raises(InputError, match=f"no support for the device '{device}'. Valid here: auto, cpu. {then}$"):
        providers(device)
    assert providers("auto") == ["CPUExecutionProvider"]


@pytest.mark.gpu
def test_a_gpu_gives_the_answers_of_the_processor() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (70, 112, 112, 3), dtype="uint8")
    models = [FaceFeatureModel.from_preset(runtime=RuntimeOptions("onnx", device=d)) for d in ("cpu", "cuda")]
    session = models[1].classifier.runtime.session("backbone")  # type: ignore[attr-defined]
    assert session.get_providers()[0] == "CUDAExecutionProvider"
    ours, theirs = (m.predict_faces(crops) for m in models)
    for name in ours.probabilities:
        np.testing.assert_allclose(ours.probabilities[name], theirs.probabilities[name], atol=0.01)
    latents = models[0].encode(crops)
    np.testing.assert_allclose(latents, models[1].encode(crops), rtol=0.02, atol=0.02)
    difference = np.abs(models[0].decode(latents).astype(int) - models[1].decode(latents))
    assert difference.max() <= 3


def test_onnxruntime_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"ONNX Runtime cannot be loaded.*Next: pip install -U onnxruntime"):
        load(folder)


@pytest.mark.parametrize("version", ["1.15.0", "1.9.1", "0"])
def test_onnxruntime_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> None:
    monkeypatch.setattr("onnxruntime.__version__", version)
    with pytest.raises(MissingExtraError, match=r"is too old: facefeat needs 1.20 or newer. Next: pip install -U"):
        load(folder)


def test_the_oldest_onnxruntime_is_the_one_that_is_required() -> None:
    wanted = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    assert f'"onnxruntime>={".".join(map(str, ort.OLDEST))}"' in wanted


@pytest.mark.parametrize(("own", "process", "expected"), [(3, 2, 3), (0, 2, 2), (0, 0, cores())])
def test_a_session_has_the_threads_that_it_names_or_those_of_the_process(
    monkeypatch: pytest.MonkeyPatch, own: int, process: int, expected: int
) -> None:
    monkeypatch.setattr(ort, "_threads", 0)
    before = default_options()
    try:
        set_default_options(RuntimeOptions(threads=process))
        options = ort.session_options(own)
    finally:
        set_default_options(before)
    assert options.intra_op_num_threads == expected
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_keras_backend_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_backend, "sys", type("NoKeras", (), {"modules": {}}))
    monkeypatch.setattr(keras_backend, "find_spec", lambda name: None)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(
        MissingExtraError, match=r'training needs a Keras backend.*pip install "facefeat\[tensorflow\]"'
    ):
        keras_backend.require_keras("training")


# pieces


@pytest.mark.parametrize("rows", [0, 1, 64, 65, 130])
def test_batches_are_put_together_in_order(rows: int) -> None:
    given = np.arange(rows, dtype="float32")[:, None]
    np.testing.assert_array_equal(in_batches(lambda batch: batch * 2, given), given * 2)
    table = in_batches(lambda batch: {"a": batch + 1}, given)
    np.testing.assert_array_equal(table["a"], given + 1)


def test_a_linear_head_is_found_with_its_weights(folder: Path) -> None:
    weights = linear_head(load(folder).classifier)
    assert weights is not None
    dense = next(w for w in load(folder, "keras").classifier.head_model.weights if w.shape == weights["gender"].shape)
    np.testing.assert_allclose(weights["gender"], np.asarray(dense), atol=2e-3)


def test_the_weights_of_a_graph_are_asked_for_once_and_those_of_keras_each_time(folder: Path) -> None:
    graph, keras = load(folder).classifier, load(folder, "keras").classifier
    assert linear_head(graph) is linear_head(graph)
    before = linear_head(keras)
    assert before is not None
    keras.head_model.set_weights([2 * w for w in keras.head_model.get_weights()])
    after = linear_head(keras)
    assert after is not None
    np.testing.assert_allclose(after["gender"], 2 * before["gender"], atol=2e-3)


def test_a_head_with_a_trunk_is_not_linear() -> None:
    model = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": [{"units": 8}]}, image_size=32)
    assert linear_head(model.classifier) is None


def test_the_channel_reversal_is_folded_into_the_first_convolution() -> None:
    import onnxruntime

    rng = np.random.default_rng(0)
    mean, kernel = rng.normal(size=3).astype("float32"), rng.normal(size=(4, 3, 3, 3)).astype("float32")
    nodes = [
        helper.make_node("Gather", ["input", "bgr"], ["a"], axis=3),
        helper.make_node("Sub", ["a", "mean"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["c", "kernel"], ["output"]),
    ]
    constants = [
        numpy_helper.from_array(v, n) for n, v in (("bgr", np.array([2, 1, 0])), ("mean", mean), ("kernel", kernel))
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 8, 8, 3])
    gives = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph(nodes, "g", [given], [gives], constants),
        opset_imports=[helper.make_opsetid("", 15)],
        ir_version=8,
    )
    pictures = rng.normal(size=(2, 8, 8, 3)).astype("float32")

    def run() -> np.ndarray:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"input": pictures})[0])

    before = run()
    assert fold_channel_reversal(model.graph)
    assert "Gather" not in {n.op_type for n in model.graph.node}
    np.testing.assert_allclose(run(), before, atol=1e-4)
    assert not fold_channel_reversal(model.graph)


def test_saving_a_model_that_has_graphs_warns_of_nothing(folder: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder).save(tmp_path / "again")


def _changed(preset: Path, network: str, change: Any) -> None:
    graph = onnx.load(preset / f"{network}.onnx")
    change(graph.graph)
    (preset / f"{network}.onnx").write_bytes(graph.SerializeToString())
    reseal(preset)


def _renamed(graph: onnx.GraphProto) -> None:
    old = graph.output[0].name
    graph.output[0].name = "zz"
    for node in graph.node:
        node.output[:] = ["zz" if name == old else name for name in node.output]


def _with_input(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _narrower(graph: onnx.GraphProto) -> None:
    """The first output is of one row, and of two numbers."""
    for node in graph.node:
        node.output[:] = ["gone" if name == graph.output[0].name else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(np.zeros((1, 2), "float32"), "two"))
    graph.node.append(helper.make_node("Identity", ["two"], [graph.output[0].name]))


@pytest.mark.parametrize(
    ("network", "change", "says"),
    [
        ("head", _renamed, "the network 'head' has no output"),
        ("backbone", _renamed, "the network 'backbone' has no output 'output'. Received: 'zz'"),
        ("head", _with_input, "has 2 inputs, where one is valid"),
        ("head", _narrower, "in another shape. Valid: (9, "),
        ("backbone", _narrower, "in another shape. Valid: (9, any, any, any)"),
    ],
)
def test_graphs_of_other_inputs_and_outputs_are_refused(network: str, change: Any, says: str, copy: Path) -> None:
    _changed(copy, network, change)
    with pytest.raises(PresetError) as caught:
        FaceFeatureModel.from_preset(copy).predict_faces(CROPS)
    assert says in str(caught.value) and "Next: fetch or train the preset again" in str(caught.value)
