"""`facefeat.testing` finds what it says it finds: toys pass; a fault is named with what is wanted and what came."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat import Analysis, Face, InputError
from facefeat.plugins.contracts import Component
from facefeat.plugins.registry import get_registry
from facefeat.testing import (
    TOYS,
    ContractError,
    UncheckedWarning,
    check_analyzer,
    check_backbone,
    check_decoder,
    check_detector,
    check_head,
    check_preset,
    registered,
    toy_crops,
    toy_image,
    toy_labels,
    toy_latents,
    toy_preset,
)
from facefeat.testing.plugin import CHECKS
from facefeat.testing.toys import ToyDetector, build_backbone, build_decoder, build_head

CHANGED = {"detector": {"part": 0.3}, "augmentation": {"reach": 30.0}, "analyzer": {"digits": 2}}
# What takes a process of its own: test_testing_subprocess.py is about that.
HERE = ["import", "backends"]


# ---------------------------------------------------------------- what is right passes


@pytest.mark.backend
@pytest.mark.parametrize("kind", TOYS)
def test_each_toy_keeps_its_contract(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncheckedWarning)  # the other backend may not be installed
        CHECKS[kind](TOYS[kind], changed=CHANGED.get(kind, {"width": 3}))


def test_a_toy_preset_keeps_its_contract(tmp_path: Path) -> None:
    folder = toy_preset(tmp_path / "toy")
    assert check_preset(Component("toy", lambda: folder, "a toy"), skip=["import"]) == folder


def test_made_inputs_are_the_same_each_time_and_no_two_alike() -> None:
    assert toy_image(3, 5).shape == (3, 5, 3) and toy_image().dtype == np.uint8
    crops = toy_crops(3, 16)
    np.testing.assert_array_equal(crops, toy_crops(3, 16))
    assert not np.array_equal(crops[0], crops[1]) and not np.array_equal(crops, toy_crops(3, 16, seed=1))
    assert toy_crops(0, 16).shape == (0, 16, 16, 3)
    assert toy_latents(5, 2).shape == (5, 2) and {len(v) for v in toy_labels(5).values()} == {5}


def test_registered_holds_for_its_length_only() -> None:
    with registered({"head": [TOYS["head"]]}) as during:
        assert get_registry() is during and during.get("head", "facefeat-test:toy").component is TOYS["head"]
    assert "toy" not in get_registry().names("head")
    with pytest.raises(InputError, match="no such kind"), registered({"tail": []}):
        pass


# ---------------------------------------------------------------- settings


def faults(check: Callable[..., Any], build: Callable[..., Any], **options: Any) -> str:
    """What a check says of a component that has this build."""
    if check in (check_detector, check_analyzer):
        options.setdefault("skip", ["import"])
    options.setdefault("skip", HERE)
    with pytest.raises(ContractError) as seen:
        check(Component("bad", build, "bad"), **options)
    assert str(seen.value).startswith(f"{check.__name__.removeprefix('check_')} 'bad' breaks its contract in ")
    return "\n".join(seen.value.faults)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "every default must be checked with another value: give changed={'width': ...}"),
        ({"changed": {"width": 6}}, "changed: 'width' must differ from its default"),
        ({"changed": {"widht": 3}}, "changed: build has no such setting. Received: 'widht'"),
        ({"changed": {"width": {3}}}, "setting 'width' must be JSON-able"),
        ({"changed": {"width": float("nan")}}, "setting 'width' must be JSON-able"),
    ],
)
def test_every_default_must_be_changed(options: dict[str, Any], says: str) -> None:
    assert says in faults(check_backbone, build_backbone, **options)


def test_settings_are_named_and_what_facefeat_gives_is_taken() -> None:
    assert "*args and **config hide a misspelt one" in faults(check_detector, lambda **config: ToyDetector())
    assert "build must take image_size" in faults(check_backbone, lambda: None)
    assert "must have a default, or be given in config" in faults(check_detector, lambda *, part: ToyDetector(part))


def test_what_is_no_component_or_aspect_is_refused() -> None:
    with pytest.raises(InputError, match="takes a facefeat.Component"):
        check_head(build_head)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no such aspect"):
        check_head(TOYS["head"], skip=["gradient"])
    with pytest.raises(InputError, match="no such backend"):
        check_head(TOYS["head"], changed={"width": 3}, skip=["import"], backends=["tensorflow", "theano"])


# ---------------------------------------------------------------- networks


def backbone(change: Callable[[Any, Any], Any], *, name: str | None = "conv") -> Callable[..., Any]:
    """A backbone whose map goes through `change(keras, x)`."""

    def build(*, image_size: int) -> Any:
        import keras

        crops = keras.Input((image_size, image_size, 3))
        x = keras.layers.Rescaling(1 / 255)(crops)
        x = keras.layers.Conv2D(4, 3, strides=8, padding="same", name=name)(x)
        return keras.Model(crops, change(keras, x))

    return build


def unused_kernel(keras: Any, x: Any) -> Any:
    dead = keras.layers.Conv2D(4, 1, name="dead")(x)
    return keras.layers.Add()([x, keras.layers.Rescaling(0.0)(dead)])


def half(keras: Any, x: Any) -> Any:
    return keras.layers.Conv2D(4, 1, name="half", dtype="float16")(x)


def noise(keras: Any, x: Any) -> Any:
    class Noise(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + keras.random.normal(keras.ops.shape(x))

    return Noise()(x)


BACKBONES: dict[str, tuple[Callable[..., Any], str]] = {
    "pooled": (
        backbone(lambda keras, x: keras.layers.GlobalAveragePooling2D()(x)),
        "the output must be a feature map (None, h, w, C) of known size. Received: (None, 4).",
    ),
    "lambda": (backbone(lambda keras, x: keras.layers.Lambda(lambda y: y * 2)(x)), "no Lambda layers"),
    "constant": (
        backbone(lambda keras, x: keras.layers.Rescaling(0.0)(x)),
        "different inputs must give different outputs",
    ),
    "infinite": (backbone(lambda keras, x: keras.layers.Rescaling(float("inf"))(x)), "the output must be finite"),
    "half": (backbone(half), "the output must be float32. Received: float16."),
    "random": (
        backbone(noise),
        "outside training, a second call must give the same",
    ),
    "numbered": (backbone(lambda keras, x: x, name=None), "layers with weights must have the same names each time"),
    "no-gradient": (backbone(unused_kernel), "a gradient must reach every kernel within three steps"),
    "no-model": (lambda *, image_size: "a model", "build must give a keras.Model. Received: str."),
    "raises": (lambda *, image_size: 1 / 0, "It raised ZeroDivisionError"),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_a_wrong_backbone(name: str) -> None:
    build, says = BACKBONES[name]
    assert says in faults(check_backbone, build)


def test_a_backbone_of_another_size_or_batch() -> None:
    assert "inputs must be (None, *(32, 32, 3)). Received: (None, 16, 16, 3)." in faults(
        check_backbone, lambda *, image_size: build_backbone(image_size=16)
    )

    def fixed(*, image_size: int) -> Any:
        import keras

        crops = keras.Input((image_size, image_size, 3))
        x = keras.layers.Conv2D(4, 3, strides=8, padding="same", name="conv")(crops)  # (B, 4, 4, 4)
        mean = keras.ops.mean(x, axis=0, keepdims=True)  # a row depends on its neighbours
        return keras.Model(crops, x - mean)

    assert "a batch of 1 must give what a row of 3 does" in faults(check_backbone, fixed)


def test_frozen_says_that_nothing_is_trained() -> None:
    build = backbone(lambda keras, x: x)
    assert "a frozen backbone must have no trainable weights" in faults(check_backbone, build, frozen=True)

    def frozen(*, image_size: int) -> Any:
        model = build(image_size=image_size)
        model.trainable = False
        return model

    assert "or be checked with frozen=True" in faults(check_backbone, frozen)
    check_backbone(Component("frozen", frozen, "frozen"), frozen=True, skip=HERE)


def test_a_setting_that_fails_when_it_is_changed() -> None:
    def build(*, image_size: int, width: int = 4) -> Any:
        return build_backbone(image_size=image_size, width=width if width == 4 else -1)

    assert "build must give a keras.Model. It raised ValueError" in faults(check_backbone, build, changed={"width": 5})


def test_a_wrong_head() -> None:
    def one_output(*, feature_shape: Any, schema: Any) -> Any:
        whole = build_head(feature_shape=feature_shape, schema=schema)
        import keras

        return keras.Model(whole.inputs[0], {"age": whole.outputs[0]})

    assert "the output must be a table of logits, attribute -> (B, outputs)" in faults(check_head, one_output)

    def halves(*, feature_shape: Any, schema: Any) -> Any:
        import keras

        features = keras.Input(tuple(feature_shape))
        x = keras.layers.Flatten()(features)
        return keras.Model(
            features, {n: keras.layers.Dense(a.outputs, name=n)(x) for n, a in schema.attributes.items()}
        )

    assert "under mixed_bfloat16 age must be float32. Received: bfloat16." in faults(check_head, halves)


def test_a_wrong_decoder() -> None:
    def beyond(*, latent_dim: int, image_size: int) -> Any:
        import keras

        latents = keras.Input((latent_dim,))
        x = keras.layers.Dense(image_size * image_size * 3, name="dense")(latents)
        return keras.Model(latents, keras.layers.Reshape((image_size, image_size, 3))(x))

    assert "crops must lie in 0..1" in faults(check_decoder, beyond)
    small = faults(check_decoder, lambda *, latent_dim, image_size: build_decoder(latent_dim=latent_dim, image_size=8))
    assert "the output must be faces (None, F, F, 3), F a whole number from 32. Received: (None, 8, 8, 3)." in small


# ---------------------------------------------------------------- detectors and analyzers


class Detects(ToyDetector):
    """A toy detector whose faces are changed by a function of the image and the faces."""

    def __init__(self, change: Callable[[Any, list[Face]], Any]) -> None:
        super().__init__()
        self.change = change

    def detect(self, image: Any) -> Any:
        return self.change(image, super().detect(image))


def paint(image: Any, faces: list[Face]) -> list[Face]:
    image[:] = 0
    return faces


def in_turns() -> Callable[[Any, list[Face]], list[Face]]:
    calls: list[int] = []

    def change(image: Any, faces: list[Face]) -> list[Face]:
        calls.append(1)
        return faces if len(calls) % 4 else []

    return change


DETECTORS: dict[str, tuple[Callable[[Any, list[Face]], Any], str]] = {
    "tuple": (lambda image, faces: tuple(faces), "must give a list of facefeat.Face. Received: tuple."),
    "smallest": (
        lambda image, faces: [Face((0, 0, 1, 1), 1.0), *faces],
        "must give the largest face first",
    ),
    "inside-out": (lambda image, faces: [Face((9, 9, 1, 1), 1.0)], "a box is (left, top, right, bottom) in pixels"),
    "sure": (lambda image, faces: [Face(faces[0].box, 99.0)], "a score is a number from 0 to 1. Received: 99.0."),
    "landmarks": (
        lambda image, faces: [Face(faces[0].box, 1.0, np.zeros((4, 2)))],
        "landmarks are (5, 2) float32 of (x, y), or None. Received: (4, 2) float64.",
    ),
    "paints": (paint, "on an array that cannot be written to. It raised ValueError"),
    "moody": (in_turns(), "a second detect must find the same faces"),
    "tiny": (lambda image, faces: faces if image.shape[0] > 1 else 1 / 0, "detect of an image (1, 1, 3) must work"),
}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_wrong_detector(name: str) -> None:
    change, says = DETECTORS[name]
    assert says in faults(check_detector, lambda: Detects(change))


def test_a_batch_must_agree_and_a_photo_must_give_a_face() -> None:
    class Batch(ToyDetector):
        def detect_batch(self, images: Any) -> Any:
            return [self.detect(images[0])] * len(images)

    assert "detect_batch of 0 images must work. It raised IndexError" in faults(check_detector, Batch, keep=["part"])
    assert "detect_batch of 6 images" in faults(check_detector, Batch, keep=["part"])
    blind = faults(check_detector, lambda: Detects(lambda image, faces: []), images=[toy_image()])
    assert "one of images=, must find a face. Received: none." in blind
    assert "build must give detect and detect_batch. Received: str." in faults(check_detector, lambda: "x")


class Analyzes:
    """An analyzer that gives what a function of latents and labels gives."""

    def __init__(self, give: Callable[[Any, Any], Any]) -> None:
        self.give = give

    def analyze(self, latents: Any, labels: Any, model: Any = None) -> Any:
        return self.give(latents, labels)


def table(latents: Any, **more: Any) -> Analysis:
    import pandas as pd

    return Analysis("x", pd.DataFrame({"n": [len(latents)]}), **more)


ANALYZERS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "dict": (lambda z, labels: {"n": len(z)}, "analyze must give a facefeat.Analysis. Received: dict."),
    "long": (
        lambda z, labels: table(z, directions={"d": np.ones(8, "float32")}),
        "of length 1. Received: length 2.828",
    ),
    "double": (lambda z, labels: table(z, directions={"d": np.eye(8)[0]}), "Received: (8,) float64."),
    "path": (lambda z, labels: table(z, figures={"../x": None}), "a figure's name is letters, digits"),
    "random": (lambda z, labels: table(range(np.random.default_rng().integers(10**9))), "must give the same table"),
    "few": (lambda z, labels: table(z) if len(z) > 1 else 1 / 0, "or raise a facefeat error. It raised ZeroDivision"),
    "names": (
        lambda z, labels: table(z) if labels["mood"].dtype.kind == "U" else 1 / 0,
        "labels may be numbers of classes. It raised ZeroDivisionError",
    ),
    "writes-to-latents": (lambda z, labels: z.__imul__(2) is None or table(z), "build and analyze must work"),
}


@pytest.mark.parametrize("name", ANALYZERS)
def test_a_wrong_analyzer(name: str) -> None:
    give, says = ANALYZERS[name]
    assert says in faults(check_analyzer, lambda: Analyzes(give))
