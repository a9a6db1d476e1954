"""`mobilenet` with the weights that others published for TensorFlow.js: small checks, and files of the true format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat import FaceFeatureModel
from facefeat.builtin.backbones import mobilenet
from facefeat.errors import DownloadError, InputError

Arrays = dict[str, np.ndarray]


def published(seed: int = 0) -> Arrays:
    """Random weights under the names of the published model, with some that the backbone does not use."""
    rng, arrays = np.random.default_rng(seed), {"age_pred/kernel": np.zeros((2, 3), "float32")}
    for layer in mobilenet.build(image_size=32).layers:
        if layer.name not in mobilenet.LAYERS:
            continue
        depthwise = "_dw_" in layer.name
        kernel = layer.kernel.shape
        channels = kernel[2] if depthwise else kernel[3]
        where = "depthwise_kernel" if depthwise else "convolution/merged_input"
        arrays[f"{layer.name}/{where}"] = rng.normal(0, 0.1, kernel).astype("float32")
        if depthwise:
            arrays[f"{layer.name}_bn/batchnorm_1/mul"] = rng.uniform(0.5, 2, channels).astype("float32")
        arrays[f"{layer.name}_bn/batchnorm_1/sub"] = rng.normal(0, 1, channels).astype("float32")
    return arrays


def write(folder: Path, arrays: Arrays) -> tuple[Path, Path]:
    about, numbers = folder / "faceres-deep.json", folder / "faceres-deep.bin"
    listed: list[dict[str, Any]] = [{"name": k, "shape": list(v.shape), "dtype": "float32"} for k, v in arrays.items()]
    listed.insert(1, {"name": "axis", "shape": [2], "dtype": "int32"})
    about.write_text(
        json.dumps({"modelTopology": {}, "weightsManifest": [{"paths": [numbers.name], "weights": listed}]})
    )
    first, *rest = (v.tobytes() for v in arrays.values())
    numbers.write_bytes(first + np.array([1, 2], "<i4").tobytes() + b"".join(rest))
    return about, numbers


@pytest.fixture
def site(serve: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch) -> Callable[[Arrays], list[str]]:
    """Shows these weights at the address that the backbone asks; gives what was asked of it."""
    folder, address, asked = serve

    def show(arrays: Arrays) -> list[str]:
        files = write(folder, arrays)
        sums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
        monkeypatch.setattr(mobilenet, "BASE", address)
        monkeypatch.setattr(mobilenet, "FILES", sums)
        return asked

    return show


def test_published_weights_are_fetched_once_and_keep_their_function(site: Callable[[Arrays], list[str]]) -> None:
    arrays = published()
    asked = site(arrays)
    model = mobilenet.build(image_size=32, channels=6, weights="vggface2")
    assert model.output_shape == (None, 1, 1, 6)
    for name in mobilenet.LAYERS:
        gamma, beta, mean, variance = model.get_layer(f"{name}_bn").get_weights()
        scale = gamma / np.sqrt(variance + model.get_layer(f"{name}_bn").epsilon)
        want = arrays.get(f"{name}_bn/batchnorm_1/mul", np.ones_like(scale))
        np.testing.assert_allclose(scale, want, rtol=1e-4)
        np.testing.assert_allclose(beta - mean * scale, arrays[f"{name}_bn/batchnorm_1/sub"], atol=1e-3)
        assert variance.max() > 0 and np.abs(mean).max() > 0
    (kernel,) = model.get_layer("conv_pw_13").get_weights()
    np.testing.assert_array_equal(kernel, arrays["conv_pw_13/convolution/merged_input"])
    mobilenet.build(image_size=32, weights="vggface2")
    assert asked == ["/faceres-deep.json", "/faceres-deep.bin"]


def test_its_own_weights_are_read_again(tmp_path: Path) -> None:
    model = mobilenet.build(image_size=32, channels=4)
    model.save_weights(tmp_path / "own.weights.h5")
    again = mobilenet.build(image_size=64, channels=4, weights=str(tmp_path / "own.weights.h5"))
    assert again.output_shape == (None, 2, 2, 4)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_preset_brings_its_own_weights_and_fetches_none(
    site: Callable[[Arrays], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(published())
    model = FaceFeatureModel(
        backbone="mobilenet", backbone_config={"channels": 3, "weights": "vggface2"}, head_config={"trunk": []},
        schema="utkface", image_size=32, detector="whole-image",
    )  # fmt: skip
    model.save(tmp_path / "kept", name="kept")
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(mobilenet, "BASE", "http://127.0.0.1:9/")
    again = FaceFeatureModel.from_preset(tmp_path / "kept")
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    np.testing.assert_allclose(again.encode(crops), model.encode(crops), rtol=0.02, atol=0.02)
    again.save(tmp_path / "again", name="again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["backbone"]["config"]["weights"] is None


def without(arrays: Arrays) -> None:
    del arrays["conv_dw_7_bn/batchnorm_1/mul"]


def narrow(arrays: Arrays) -> None:
    arrays["conv1/convolution/merged_input"] = arrays["conv1/convolution/merged_input"][..., :-1]


def endless(arrays: Arrays) -> None:
    arrays["conv_pw_13_bn/batchnorm_1/sub"][3] = np.inf


@pytest.mark.parametrize(
    ("harm", "named"),
    [(without, "conv_dw_7_bn.*nothing"), (narrow, r"conv1/.*\(3, 3, 3, 32\).*31"), (endless, "conv_pw_13_bn")],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    harm: Callable[[Arrays], None], named: str, site: Callable[[Arrays], list[str]]
) -> None:
    arrays = published()
    harm(arrays)
    site(arrays)
    with pytest.raises(InputError, match=f"backbone 'mobilenet': the weights lack.*{named}"):
        mobilenet.build(image_size=32, weights="vggface2")


def test_files_that_are_no_such_model(tmp_path: Path) -> None:
    about, numbers = write(tmp_path, {"a": np.zeros(3, "float32"), "b": np.ones((2, 2), "float32")})
    np.testing.assert_array_equal(mobilenet.read(about, numbers)["b"], np.ones((2, 2)))
    numbers.write_bytes(numbers.read_bytes()[:-1])
    with pytest.raises(InputError, match="does not hold what is listed: 'b'"):
        mobilenet.read(about, numbers)
    for text in ("<html>please log in</html>", "{}", "[]", '{"weightsManifest": [{"weights": [{"name": 1}]}]}'):
        about.write_text(text)
        with pytest.raises(InputError, match="lists no weights"):
            mobilenet.read(about, numbers)


def test_without_a_connection_it_says_where_to_put_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mobilenet, "BASE", "http://127.0.0.1:9/")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(DownloadError, match="127.0.0.1:9/faceres-deep.json: no connection"):
        mobilenet.build(image_size=32, weights="vggface2")


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (2, 2, 1024)),
        ({"blocks": 12}, (2, 2, 1024)),
        ({"output_stride": 16}, (4, 4, 1024)),
        ({"blocks": 11, "output_stride": 16}, (4, 4, 512)),
        ({"blocks": 12, "output_stride": 16, "channels": 5}, (4, 4, 5)),
    ],
)
def test_the_last_map(config: dict[str, Any], shape: tuple[int, ...]) -> None:
    assert mobilenet.build(image_size=64, **config).output_shape == (None, *shape)


def test_whole_it_is_the_network_of_keras() -> None:
    """The last blocks are built here, for the stride: as they were, they answer as the library's do."""
    import keras

    theirs = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3))
    ours = mobilenet.build(image_size=64)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("float32")
    prepared = crops[..., ::-1] - np.array([103.939, 116.779, 123.68], "float32")
    np.testing.assert_allclose(ours(crops), theirs(prepared), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        {"weights": "imagenet"},
        {"weights": 3},
        {"channels": 0},
        {"channels": True},
        {"blocks": 10},
        {"blocks": 14},
        {"output_stride": 8},
        {"blocks": 11},
    ],
)
def test_wrong_values_are_named(config: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="backbone 'mobilenet'"):
        mobilenet.build(image_size=32, **config)


def test_a_view_is_the_middle_of_the_crop() -> None:
    rng = np.random.default_rng(5)
    whole, seen = mobilenet.build(image_size=40, channels=4), mobilenet.build(image_size=51, view=0.78, channels=4)
    assert [w.shape for w in whole.weights] == [w.shape for w in seen.weights]
    seen.set_weights(whole.get_weights())
    crops = rng.uniform(0, 255, (2, 51, 51, 3)).astype("float32")
    want = whole.predict(crops[:, 5:45, 5:45], verbose=0)
    np.testing.assert_allclose(seen.predict(crops, verbose=0), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("view", "said"), [(0.5, "leaves 20"), (0.0, "view"), (1.5, "view"), ("half", "view")])
def test_a_view_too_small_or_impossible(view: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"backbone 'mobilenet'.*{said}"):
        mobilenet.build(image_size=40, view=view)
