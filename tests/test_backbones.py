"""The built-in backbones: the contract for each, their normalisation, and weights that others published."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat.builtin.backbones import COMPONENTS, applications, compact, vggface
from facefeat.errors import DownloadError, InputError
from facefeat.plugins.contracts import Component
from facefeat.plugins.registry import Registered, get_registry
from facefeat.testing import check_backbone

NAMES = [
    "compact",
    "vggface",
    "mobilenet",
    "vgg16",
    "vgg19",
    "resnet50",
    "mobilenetv3-small",
    "mobilenetv3-large",
    "efficientnetv2-b0",
    "convnext-tiny",
    "squeezenet",
]
SMALLEST = {"compact": 32, "squeezenet": 16}
TINY = {"widths": [8, 12], "blocks": [1, 2], "stem": 4}


def named(name: str) -> Component:
    return next(c for c in COMPONENTS if c.name == name)


def config_of(name: str) -> dict[str, Any]:
    """What makes a backbone build without a connection."""
    return {"weights": None} if name == "vggface" else {}


def test_all_are_there() -> None:
    assert [c.name for c in COMPONENTS] == NAMES


# What the check of each needs: another value for every default, and what would take long here. `weights` would fetch a
# file; it has its own tests below. JAX is the business of `nox -s jax`.
# A view of 32 pixels can be no smaller: that of `mobilenet` is tested in test_mobilenet.py.
LARGE: dict[str, Any] = {"keep": ["weights", "view"], "skip": ["batches", "precision", "gradients"]}
CHECKS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(NAMES, LARGE),
    "compact": {
        "config": {"widths": [6], "blocks": [1], "stem": 4},
        "changed": {**TINY, "activation": "silu", "squeeze_excite": True, "bn_momentum": 0.9},
    },
    "vggface": {"keep": ["weights"], "config": {"weights": None}, "skip": ["batches", "precision"]},
    "mobilenetv3-small": {"keep": ["weights", "view"], "skip": ["batches", "precision"]},
    "mobilenet": {**LARGE, "changed": {"blocks": 12, "output_stride": 16, "channels": 6}},
    "squeezenet": {"changed": {"batch_norm": True}, "skip": ["precision"]},
}


@pytest.fixture(scope="module")
def checked() -> Callable[[str], Any]:
    """A backbone by its name, 32 pixels, for all tests that only look at it: checked, and built once."""

    @functools.cache
    def check(name: str) -> Any:
        settings = dict(CHECKS[name])
        settings["skip"] = [*settings.get("skip", ()), "backends"]
        return check_backbone(get_registry().get("backbone", name).component, image_size=32, **settings)

    return check


@pytest.mark.backend
@pytest.mark.parametrize(
    "item", [i for i in get_registry().all("backbone") if i.distribution == "facefeat"], ids=lambda i: i.name
)
def test_contract(item: Registered, checked: Callable[[str], Any]) -> None:
    model = checked(item.name)
    assert model.name == item.name.replace("-", "_")
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    np.testing.assert_allclose(model(crops.astype("uint8")), model(crops.astype("float32")), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", ["smallest", 0, -32, 32.0, True, "96", None])
def test_impossible_sizes_name_the_smallest(name: str, size: Any) -> None:
    smallest = SMALLEST.get(name, 32)
    with pytest.raises(InputError, match=f"'{name}'.*at least {smallest}"):
        named(name).build(image_size=smallest - 1 if size == "smallest" else size, **config_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_keys(name: str) -> None:
    with pytest.raises(InputError, match=f"backbone '{name}': unknown configuration key.*'image_size'"):
        named(name).build(image_sizes=32, **config_of(name))
    with pytest.raises(InputError, match="'image_size' is missing"):
        named(name).build(**config_of(name))


# compact and squeezenet


def test_compact_shapes_and_size() -> None:
    model = compact.build(image_size=96)
    assert model.output_shape == (None, 6, 6, 192) and model.count_params() < 2_000_000
    assert compact.build(image_size=64, **TINY).output_shape == (None, 8, 8, 12)


def test_every_block_of_compact_begins_as_its_shortcut() -> None:
    model = compact.build(image_size=32, **TINY)
    gammas = {x.name: np.asarray(x.gamma.value) for x in model.layers if x.name.endswith("_2_bn")}
    assert len(gammas) == 3 and not any(g.any() for g in gammas.values())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"widths": [8], "blocks": [1, 1]}, "equally long"),
        ({"widths": []}, "list of whole numbers"),
        ({"widths": 48}, "list of whole numbers"),
        ({"blocks": [2, 0, 2]}, r"'blocks\[1\]'"),
        ({"stem": 1.5}, "'stem'"),
        ({"activation": "rleu"}, "Did you mean 'relu'"),
        ({"squeeze_excite": 1}, "true or false"),
        ({"bn_momentum": 1}, "below 1.0"),
        ({"image_size": 40}, "multiple of 16"),
    ],
)
def test_bad_compact(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compact.build(**{"image_size": 32, **config})


def test_squeezenet_has_the_published_number_of_weights(checked: Callable[[str], Any]) -> None:
    # 1,235,496 in version 1.1 with its classifier of 1,000 classes, which has 513,000.
    assert checked("squeezenet").count_params() == 1_235_496 - 513_000


# normalisation


@pytest.mark.parametrize("name", [n for n in NAMES if n != "compact"])
def test_pixels_are_normalised_as_the_weights_expect(name: str, checked: Callable[[str], Any]) -> None:
    import keras

    model = checked(name)
    crops = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    got = np.asarray(keras.Model(model.inputs[0], model.get_layer("normalise").output)(crops))
    if name == "vggface":
        want = crops[..., ::-1] - np.asarray([93.5940, 104.7624, 129.1863], "float32")
    elif name in ("vgg16", "vgg19", "resnet50", "mobilenet"):
        want = keras.applications.imagenet_utils.preprocess_input(crops.copy(), mode="caffe")
    elif name.startswith("mobilenet"):
        want = keras.applications.imagenet_utils.preprocess_input(crops.copy(), mode="tf")
    else:
        want = keras.applications.imagenet_utils.preprocess_input(crops.copy(), mode="torch")
    np.testing.assert_allclose(got, want, atol=1e-3)


def test_half_precision_keeps_the_normalisation_exact() -> None:
    import keras

    from facefeat.builtin.backbones.layers import Normalise

    crops = np.full((1, 1, 1, 3), 128.6, "float32")
    out = Normalise((129.1863, 0, 0), dtype="mixed_bfloat16")(crops)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    assert float(keras.ops.cast(out, "float32")[0, 0, 0, 0]) == pytest.approx(128.6 - 129.1863, rel=0.01)


# weights that others published


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-Face with few filters: the same thirteen layers, a hundredth of the weights."""
    monkeypatch.setattr(vggface, "BLOCKS", ((4, 2), (5, 2), (6, 3), (7, 3), (8, 3)))


def random_weights() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(2)
    shapes = vggface.kernel_shapes()
    return {
        k: [rng.normal(size=s, scale=0.05).astype("float32"), rng.normal(size=s[-1:]).astype("float32")]
        for k, s in shapes.items()
    }


def write_h5(path: Path, weights: dict[str, list[np.ndarray]], form: str = "keras2") -> Path:
    """A file as Keras 1 and 2 wrote them: layers without weights are listed too."""
    import h5py

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if form == "whole model" else file
        layers = []
        for i, (name, arrays) in enumerate({"input_1": [], **weights, "pool5": [], "fc6": []}.items()):
            layer = f"conv2d_{i}" if form == "numbered" and arrays else name
            group = root.create_group(layer)
            names = (
                [f"{layer}_W_1:0", f"{layer}_b_1:0"] if form == "keras1" else [f"{layer}/kernel:0", f"{layer}/bias:0"]
            )
            group.attrs["weight_names"] = [n.encode() for n in names[: len(arrays)]]
            for n, array in zip(names, arrays, strict=False):
                group[n] = array
            layers.append(layer)
        root.attrs["layer_names"] = [n.encode() for n in layers]
        root.attrs["keras_version"], root.attrs["backend"] = b"2.0.6", b"tensorflow"
    return path


def assert_has(model: Any, weights: dict[str, list[np.ndarray]]) -> None:
    for name, arrays in weights.items():
        for got, want in zip(model.get_layer(name).get_weights(), arrays, strict=True):
            np.testing.assert_array_equal(got, want)


def test_vggface_weights_of_the_true_size_are_fetched_checked_and_pinned(
    serve: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, address, asked = serve
    weights = random_weights()
    file = write_h5(folder / "w.h5", weights)
    monkeypatch.setattr(vggface, "URL", address + "w.h5")
    assert_has(vggface.build(image_size=32), weights)
    cached = tmp_path / "cache" / vggface.FILE
    pin = cached.with_name(cached.name + ".sha256").read_text().split()[0]
    assert cached.stat().st_size > 58e6 and pin == hashlib.sha256(file.read_bytes()).hexdigest()
    vggface.build(image_size=32)
    assert asked == ["/w.h5"]


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("form", ["keras2", "keras1", "numbered", "whole model"])
def test_vggface_reads_every_form_of_the_file(form: str, tmp_path: Path) -> None:
    weights = random_weights()
    model = vggface.build(image_size=32, weights=str(write_h5(tmp_path / "w.h5", weights, form)))
    assert_has(model, weights)


@pytest.mark.usefixtures("thin")
def test_vggface_reads_its_own_weights(tmp_path: Path) -> None:
    model = vggface.build(image_size=32, weights=None)
    model.save_weights(tmp_path / "own.weights.h5")
    again = vggface.build(image_size=64, weights=str(tmp_path / "own.weights.h5"))
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("thin")
def test_a_login_page_is_neither_used_nor_pinned(
    serve: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, address, _ = serve
    (folder / "w.h5").write_text("<html>please log in</html>")
    monkeypatch.setattr(vggface, "URL", address + "w.h5")
    with pytest.raises(DownloadError, match="is not the VGG-Face weights"):
        vggface.build(image_size=32)
    assert not [p for p in (tmp_path / "cache" / "vggface").iterdir() if p.suffix != ".lock"]


def test_without_a_connection_vggface_says_where_to_put_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vggface, "URL", "http://127.0.0.1:9/w.h5")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(DownloadError, match=rf"127.0.0.1:9/w.h5: no connection.*save it as '{tmp_path}/cache/vggface"):
        vggface.build(image_size=32)
    assert not (tmp_path / "cache").exists()


def _narrow(w: dict[str, list[np.ndarray]]) -> None:
    w["conv3_2"][0] = w["conv3_2"][0][..., :-1]


def _whole_numbers(w: dict[str, list[np.ndarray]]) -> None:
    w["conv1_1"][0] = w["conv1_1"][0].astype("int32")


def _nan(w: dict[str, list[np.ndarray]]) -> None:
    w["conv5_3"][1][0] = np.nan


def _missing(w: dict[str, list[np.ndarray]]) -> None:
    del w["conv4_1"]


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_narrow, r"'conv3_2' must be float \(3, 3, 6, 6\). Received: float32 \(3, 3, 6, 5\)"),
        (_whole_numbers, "'conv1_1' must be float.*int32"),
        (_nan, "'conv5_3' holds NaN"),
        (_missing, "'conv4_1' is missing"),
    ],
)
def test_spoilt_weights_are_refused(
    spoil: Callable[[dict[str, list[np.ndarray]]], None], message: str, tmp_path: Path
) -> None:
    weights = random_weights()
    spoil(weights)
    with pytest.raises(InputError, match=message):
        vggface.build(image_size=32, weights=str(write_h5(tmp_path / "w.h5", weights)))


@pytest.mark.usefixtures("thin")
def test_a_weights_file_cannot_reach_into_other_files(tmp_path: Path) -> None:
    import h5py

    weights = random_weights()
    write_h5(tmp_path / "secret.h5", weights)
    write_h5(tmp_path / "w.h5", weights)
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["conv1_1/conv1_1/kernel:0"]
        file["conv1_1/conv1_1/kernel:0"] = h5py.ExternalLink("secret.h5", "/conv1_1/conv1_1/kernel:0")
    with pytest.raises(InputError, match="'conv1_1' is missing"):
        vggface.build(image_size=32, weights=str(tmp_path / "w.h5"))


@pytest.mark.parametrize("name", ["vggface", "vgg16", "convnext-tiny"])
def test_unusable_weights_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such weights file. Received: 'imagnet'"):
        named(name).build(image_size=32, weights="imagnet")
    with pytest.raises(InputError, match="no such weights file"):
        named(name).build(image_size=32, weights=3)
    (tmp_path / "w.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot read the weights|do not fit"):
        named(name).build(image_size=32, weights=str(tmp_path / "w.h5"))


def test_imagenet_weights_in_the_published_form_give_what_keras_gives(
    serve: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    folder, address, asked = serve
    theirs = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(32, 32, 3))
    rng = np.random.default_rng(3)
    theirs.set_weights([w + rng.uniform(0, 0.1, w.shape).astype("float32") for w in theirs.get_weights()])
    application = next(a for a in applications.APPLICATIONS if a.name == "mobilenetv3-small")
    (folder / application.file).parent.mkdir()
    theirs.save(folder / application.file)
    md5 = hashlib.md5((folder / application.file).read_bytes()).hexdigest()
    monkeypatch.setattr(applications, "BASE", address)
    with pytest.raises(DownloadError, match=f"wrong md5: received {md5}, expected {application.md5}"):
        application.build(image_size=32, weights="imagenet")
    application = dataclasses.replace(application, md5=md5)
    crops = rng.integers(0, 256, (2, 32, 32, 3)).astype("float32")
    ours = application.build(image_size=32, weights="imagenet")
    np.testing.assert_allclose(ours(crops), theirs(crops), rtol=1e-4, atol=1e-5)
    assert len(asked) == 2


def test_addresses_and_hashes_are_the_ones_that_keras_publishes() -> None:
    import inspect
    from importlib import import_module

    modules = {"VGG16": "vgg16", "VGG19": "vgg19", "ResNet50": "resnet", "ConvNeXtTiny": "convnext"}
    for application in applications.APPLICATIONS:
        part = modules.get(application.constructor) or application.file.split("/")[0]
        source = inspect.getsource(import_module(f"keras.src.applications.{part}"))
        assert (application.sha256 or application.md5 or "none") in source
        folder = application.file.rpartition("/")[0]
        assert f"keras-applications/{folder}/" in source


def test_weights_come_back_in_another_process(tmp_path: Path) -> None:
    """Names and order must not depend on what a process built before."""
    make = (
        "from facefeat.builtin.backbones import compact, applications\n"
        "build = {c.name: c.build for c in applications.COMPONENTS}['mobilenetv3-small']\n"
        "models = [build(image_size=32), compact.build(image_size=32, widths=[8, 12], blocks=[1, 2], stem=4)]\n"
    )
    code = (
        f"import sys\nimport numpy as np\nimport keras\nkeras.layers.ReLU(); keras.layers.Activation('relu')\n{make}"
        "for i, m in enumerate(models):\n"
        "    m.load_weights(f'{sys.argv[1]}/{i}.weights.h5')\n"
        "    np.save(f'{sys.argv[1]}/{i}.npy', np.asarray(m(np.load(f'{sys.argv[1]}/crops.npy'))))\n"
    )
    scope: dict[str, Any] = {}
    exec(make, scope)
    crops = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    np.save(tmp_path / "crops.npy", crops)
    for i, model in enumerate(scope["models"]):
        model.save_weights(tmp_path / f"{i}.weights.h5")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    for i, model in enumerate(scope["models"]):
        np.testing.assert_allclose(np.load(tmp_path / f"{i}.npy"), model(crops), rtol=1e-5, atol=1e-7)
