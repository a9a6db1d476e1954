"""Exported files answer as the model does, say what they hold, and ONNX runs without Keras."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from facefeat import FaceFeatureModel, InputError, MissingExtraError, PluginError, PresetError
from facefeat.builtin.kinds.ordered import _graph_interval, _graph_median, interval_of, median_of
from facefeat.cli import cli
from facefeat.export.metadata import ExportMetadata, format_of
from facefeat.image.align import resize_crops
from facefeat.networks.postprocess import Calibration
from facefeat.schema import Attribute, get_schema
from facefeat.testing import toy_crops, toy_schema
from facefeat.types import FaceBatch
from made import TINY

HEAD = {"trunk": [{"units": 8}]}
LEVELS = {"coverage": 0.9, "low": 0.04, "high": 0.97}
CALIBRATION = Calibration(
    {
        "age": {"temperature": 0.8, "interval": LEVELS},
        "race": {"temperature": 1.7, "bias": (0.3, 0.0, -0.2, 0.1, 0.0)},
    }
)


def tiny(schema: Any = "utkface", calibration: Calibration = CALIBRATION) -> FaceFeatureModel:
    from keras.utils import set_random_seed

    set_random_seed(5)
    model = FaceFeatureModel(schema=schema, backbone_config=TINY, head_config=HEAD, image_size=32)
    for part in (model._classifier.backbone_model, model._classifier.head_model):
        part.set_weights([np.random.default_rng(1).normal(w, 0.3).astype("float32") for w in part.get_weights()])
    for layer in model._classifier.backbone_model.layers:  # noise may not make a variance negative
        if hasattr(layer, "moving_variance"):
            layer.moving_variance.assign(np.ones(layer.moving_variance.shape))
    model._classifier.calibration = calibration
    return model


@pytest.fixture(scope="module")
def model() -> FaceFeatureModel:
    return tiny()


@pytest.fixture(scope="module")
def file(model: FaceFeatureModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"writing and running ONNX needs {package}: pip install 'facefeat[export]'")
    made = model.export(tmp_path_factory.mktemp("out") / "model.onnx", latent=True)
    assert made.difference is not None and made.difference < 1e-5
    return made.path


class OnnxModel:
    """What another program would do with an exported file: run it, and read its metadata."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        text = self.session.get_modelmeta().custom_metadata_map["facefeat"]
        self.metadata = ExportMetadata.from_json(text, str(path))

    def outputs(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        names = [o.name for o in self.session.get_outputs()]
        sized = resize_crops(crops, self.metadata.image_size)
        return dict(zip(names, self.session.run(names, {"crops": sized}), strict=True))

    def predict_faces(self, crops: np.ndarray) -> FaceBatch:
        return self.metadata.batch(self.outputs(crops))

    def encode(self, crops: np.ndarray) -> np.ndarray:
        return self.outputs(crops)["latent"]


def same(batch: Any, expected: Any) -> None:
    for name, p in expected.probabilities.items():
        assert batch.probabilities[name].dtype == np.float32
        np.testing.assert_allclose(batch.probabilities[name], p, atol=1e-5)
        assert batch.classes[name] == expected.classes[name]
    assert {n: list(v) for n, v in batch.labels.items()} == {n: list(v) for n, v in expected.labels.items()}
    np.testing.assert_allclose(batch.age_years, expected.age_years, atol=1e-2)
    assert batch.age_coverage == expected.age_coverage
    if expected.age_interval is not None:
        np.testing.assert_array_equal(batch.age_interval, expected.age_interval)


# ---------------------------------------------------------------- the graph


ATTRIBUTES = (
    get_schema("utkface").age,
    get_schema("fairface").age,
    toy_schema().age,
    Attribute("late", ("old", "older"), ordered=True, years=((40, 49), (50, 52)), exact=True),
)


@settings(max_examples=25)
@given(which=st.integers(0, 3), seed=st.integers(0, 2**31), sharp=st.floats(0.05, 20), low=st.floats(0.001, 0.4))
def test_the_age_of_the_graph_is_that_of_the_read_out(which: int, seed: int, sharp: float, low: float) -> None:
    attribute = ATTRIBUTES[which]
    assert attribute is not None
    logits = np.random.default_rng(seed).normal(0, sharp, (7, attribute.outputs))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).astype("float32")
    cumulative = np.cumsum(p, axis=1).astype("float32")
    levels = {"coverage": 0.9, "low": low, "high": 1 - low / 2}
    near = np.minimum(np.abs(cumulative - levels["low"]), np.abs(cumulative - levels["high"])).min(axis=1) < 1e-5
    flat = (np.abs(cumulative - 0.5) < 1e-5).any(axis=1)  # where a rounding moves the answer
    years, between = (
        np.asarray(_graph_median(attribute, p, cumulative)),
        np.asarray(_graph_interval(attribute, cumulative, levels)),
    )
    np.testing.assert_allclose(years[~flat], median_of(attribute, p)[~flat], atol=2e-2)
    np.testing.assert_array_equal(between[~near], interval_of(attribute, p, levels)[~near])


# ---------------------------------------------------------------- ONNX


def test_onnx_answers_as_the_model(model: FaceFeatureModel, file: Path) -> None:
    read = OnnxModel(file)
    for n in (1, 5, 70):  # 70: more than one batch
        crops = toy_crops(n, 32, seed=n)
        same(read.predict_faces(crops), model.predict_faces(crops))
    large = toy_crops(2, 50)
    same(read.predict_faces(large), model.predict_faces(large))
    assert len(read.predict_faces(np.zeros((0, 8, 8, 3), "uint8"))) == 0
    np.testing.assert_allclose(read.encode(large), model.encode(large), atol=1e-4)
    assert read.metadata.latent_dim == model.latent_dim


def test_what_an_onnx_file_says_of_itself(model: FaceFeatureModel, file: Path) -> None:
    import onnx

    raw = onnx.load(file)
    about = json.loads(next(p.value for p in raw.metadata_props if p.key == "facefeat"))
    assert about["schema"] == model.schema.to_dict() and about["alignment"] == model.alignment.to_dict()
    assert about["outputs"]["race_probabilities"]["classes"] == list(model.schema["race"].classes)
    assert about["image_size"] == 32 and len(about["fingerprint"]) == 64
    dims = raw.graph.input[0].type.tensor_type
    assert (raw.graph.input[0].name, dims.elem_type) == ("crops", onnx.TensorProto.UINT8)
    assert [d.dim_param or d.dim_value for d in dims.shape.dim] == ["N", 32, 32, 3]
    assert {o.name for o in raw.graph.output} == set(about["outputs"])
    read = OnnxModel(file)
    about_it = read.metadata
    assert (about_it.schema, about_it.alignment, about_it.image_size) == (model.schema, model.alignment, 32)


def test_classes_of_years_and_no_interval(tmp_path: Path, file: Path) -> None:
    model = tiny("fairface", Calibration())
    read = OnnxModel(model.export(tmp_path / "plain.onnx").path)
    crops = toy_crops(4, 32)
    same(read.predict_faces(crops), model.predict_faces(crops))
    assert read.predict_faces(crops).age_interval is None
    assert not read.metadata.latent_dim and "latent" not in read.outputs(crops)


# ---------------------------------------------------------------- the other formats, and the command


def test_a_saved_model_answers_as_the_model(model: FaceFeatureModel, tmp_path: Path) -> None:
    made = model.export(tmp_path / "saved", "savedmodel")  # it is read again and compared there
    assert made.difference is not None and made.difference < 1e-5
    text = (tmp_path / "saved" / "assets.extra" / "facefeat.json").read_text("utf-8")
    assert ExportMetadata.from_json(text, "it") == made.metadata
    assert sorted(p.name for p in tmp_path.iterdir()) == ["saved"]
    (tmp_path / "saved" / "mine.txt").touch()
    with pytest.raises(InputError, match="is not an exported model"):
        model.export(tmp_path / "saved", "savedmodel")


def test_litert_answers_as_the_model_and_carries_its_metadata(model: FaceFeatureModel, tmp_path: Path) -> None:
    made = model.export(tmp_path / "model.tflite", latent=True)  # it is run and compared there
    assert made.difference is not None and made.difference < 1e-5
    with zipfile.ZipFile(made.path) as archive:  # the zip at the end, where LiteRT's own tools look
        assert archive.namelist() == ["facefeat.json"]
        assert ExportMetadata.from_json(archive.read("facefeat.json").decode(), "it") == made.metadata


def test_a_latent_has_the_detail_code_of_a_decoder(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime: pip install 'facefeat[export]'")
    from facefeat.networks.decoder import FaceDecoder

    model = tiny()
    config = {"code": 3, "filters": [6, 6], "encoder": [6]}
    model._parts.replace_decoder(FaceDecoder.build("detail", feature_dim=8, image_size=32, config=config))
    made = model.export(tmp_path / "model.onnx", latent=True)
    assert made.metadata.latent_dim == model.latent_dim == 11 and made.metadata.encoder == model.encoder_hash
    crops = toy_crops(3, 32)
    np.testing.assert_allclose(OnnxModel(made.path).encode(crops), model.encode(crops), atol=1e-4)


def ask(*args: object) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, args)])


def test_the_command_writes_and_says_so(model: FaceFeatureModel, file: Path, tmp_path: Path) -> None:
    preset = model.save(tmp_path / "preset", name="tiny")
    done = ask("-o", tmp_path / "m.onnx", "--preset", preset)
    assert done.exit_code == 0, done.output
    assert "tiny as onnx" in done.stdout and "agrees with the model" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "preset"]
    again = ask("-o", tmp_path / "m.onnx", "--preset", preset)
    assert isinstance(again.exception, InputError) and "--overwrite to replace it" in str(again.exception)
    # The hashes are those of the model before it was saved.
    assert OnnxModel(tmp_path / "m.onnx").metadata.fingerprint == OnnxModel(file).metadata.fingerprint


def test_names_and_formats_must_fit(tmp_path: Path) -> None:
    assert format_of(Path("a.onnx"), None) == "onnx" and format_of(Path("a.TFLITE"), None) == "litert"
    assert format_of(Path("folder"), "savedmodel") == "savedmodel"
    for name, format in (("a", None), ("a.h5", None), ("a.onnx", "litert"), ("a.onnx", "savedmodel"), ("a", "onnx")):
        with pytest.raises(InputError, match="Received"):
            format_of(Path(name), format)
    (tmp_path / "d.onnx").mkdir()
    said = ask("-o", tmp_path / "d.onnx")
    assert isinstance(said.exception, InputError) and "is a folder" in str(said.exception)
    said = ask("-o", tmp_path / "model")
    assert isinstance(said.exception, InputError) and "which format?" in str(said.exception)


def test_a_missing_converter_is_named(model: FaceFeatureModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "facefeat\[export\]"'):
        model.export(tmp_path / "m.onnx")


def test_what_calls_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    monkeypatch.setattr(model._classifier.backbone_model.layers[-1], "supports_jit", False, raising=False)
    with pytest.raises(PluginError, match="calls Python"):
        model.export(tmp_path / "m", "savedmodel")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_answers_otherwise_is_not_kept(
    model: FaceFeatureModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facefeat.export import write

    def other(new: Path, kind: str, crops: np.ndarray) -> dict[str, np.ndarray]:
        wrong = Calibration({**CALIBRATION.attributes, "race": {"temperature": 0.5}})
        graph = write.export_graph(tiny(calibration=wrong)._classifier)
        return {k: np.asarray(v) for k, v in graph.predict_on_batch(crops).items()}

    monkeypatch.setattr(write, "outputs_of", other)
    monkeypatch.setattr(write, "_write", lambda graph, new, *rest: (new / "saved_model.pb").touch())
    with pytest.raises(PluginError, match="answers otherwise"):
        model.export(tmp_path / "m", "savedmodel")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- 8-bit integers


def test_a_quantized_preset_answers_nearly_as_the_original(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from facefeat.export.quantize import quantize_preset

    folder = tiny().save(tmp_path / "plain", name="plain")
    crops = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype="uint8")
    made = quantize_preset(folder, crops, tmp_path / "small")
    before, after = (FaceFeatureModel.from_preset(f, detector="whole-image") for f in (folder, made.path))
    assert after.name == "plain-int8" and after.classifier.runtime.name == "onnx"
    assert "made from `plain` by `facefeat quantize`" in (made.path / "model_card.md").read_text("utf-8")
    ours, its = before.classifier.logits(crops), after.classifier.logits(crops)
    for name in ours:
        assert 0 < np.abs(ours[name] - its[name]).max() < 0.2 * np.ptp(ours[name])
    assert set(made.agreement) == set(ours) and min(made.agreement.values()) > 0.5
    graph = onnx.load(made.path / "backbone.onnx")
    assert {o.domain for o in graph.opset_import} <= {"", "ai.onnx"}
    assert any(n.op_type == "QuantizeLinear" for n in graph.graph.node)
    quantize_preset(folder, crops, tmp_path / "again")
    assert (tmp_path / "again" / "backbone.onnx").read_bytes() == (made.path / "backbone.onnx").read_bytes()


def test_what_cannot_be_quantized_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facefeat.export import quantize

    folder = FaceFeatureModel.from_preset().save(tmp_path / "preset")
    crops = np.zeros((0, 112, 112, 3), "uint8")
    with pytest.raises(InputError, match="no faces to measure the ranges of activations on"):
        quantize.quantize_preset(folder, crops, tmp_path / "new")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").touch()
    with pytest.raises(InputError, match="exists and is not a preset"):
        quantize.quantize_preset(folder, crops, tmp_path / "mine")
    monkeypatch.setattr(quantize, "has_graphs", lambda folder: False)
    with pytest.raises(PresetError, match="has no ONNX graphs to quantize"):
        quantize.quantize_preset(folder, crops, tmp_path / "new")
    monkeypatch.setattr(quantize, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="quantize"):
        quantize.quantize_preset(folder, crops, tmp_path / "new")
    assert not (tmp_path / "new").exists()
