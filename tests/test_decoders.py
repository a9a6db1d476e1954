"""The built-in decoders keep the contract, at every size, and say what they cannot take."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from facefeat import Component, DetailDecoder, InputError
from facefeat.plugins.registry import get_registry
from facefeat.testing import TOYS, ContractError, check_decoder

SMALL = {
    "upsampling": {"filters": [8, 6]},
    "detail": {"code": 5, "filters": [8, 8, 6], "encoder": [6, 8]},
    "spatial": {
        "code": 5, "planes": 2, "filters": [8, 6], "fine": 4, "first": 3, "encoder": [6, 8], "encoder_side": 24,
        "places": [6, 8],
    },
}  # fmt: skip


@pytest.mark.backend
def test_upsampling_keeps_the_contract() -> None:
    component = get_registry().get("decoder", "upsampling").component
    check_decoder(
        component, config=SMALL["upsampling"], changed={"filters": [8], "activation": "leaky_relu"},
        module="facefeat.builtin.decoders",
    )  # fmt: skip


@pytest.mark.backend
def test_detail_keeps_the_contract_with_its_encoder() -> None:
    component = get_registry().get("decoder", "detail").component
    changed = {"code": 3, "filters": [6, 6], "encoder": [6], "activation": "relu", "side": 16}
    model = check_decoder(
        component, config=SMALL["detail"], changed=changed, module="facefeat.builtin.decoders"
    )  # fmt: skip
    assert model.input_shape == (None, 8 + 5)


@pytest.mark.backend
def test_spatial_keeps_the_contract_with_its_encoder() -> None:
    component = get_registry().get("decoder", "spatial").component
    changed = {
        "code": 3, "planes": 1, "filters": [6, 6, 4], "fine": 3, "first": 2, "encoder": [4, 6, 6], "encoder_side": 16,
        "places": [4, 4, 6], "activation": "relu",
    }  # fmt: skip
    model = check_decoder(
        component, config=SMALL["spatial"], changed=changed, module="facefeat.builtin.decoders"
    )  # fmt: skip
    assert model.input_shape == (None, 8 + 5 + 64 * 2)


@pytest.mark.parametrize(("size", "filters", "side"), [(16, [8, 6], 32), (32, [8, 6], 32), (40, [8, 6], 40)])
def test_spatial_draws_faces_at_its_own_side_or_at_that_of_the_crops(size: int, filters: list[int], side: int) -> None:
    made = get_registry().build(
        "decoder", "spatial", latent_dim=4, image_size=size, **{**SMALL["spatial"], "filters": filters}
    )
    assert made.decoder.output_shape == (None, side, side, 3) and made.detail_encoder.input_shape[1] == size


@pytest.mark.parametrize("name", ["upsampling", "detail"])
@pytest.mark.parametrize("size", [64, 70, 96, 112, 224])
def test_crops_of_every_size(name: str, size: int) -> None:
    made = get_registry().build("decoder", name, latent_dim=4, image_size=size, **SMALL[name])
    model = made.decoder if isinstance(made, DetailDecoder) else made
    assert model.output_shape == (None, size, size, 3)


def test_detail_draws_smaller_faces_and_shows_them_larger() -> None:
    config = {"latent_dim": 4, **SMALL["detail"]}
    small, large = (get_registry().build("decoder", "detail", **config, **c) for c in (
        {"image_size": 32}, {"image_size": 48, "side": 32},
    ))  # fmt: skip
    crops = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype("float32")
    half = keras.ops.convert_to_numpy(keras.ops.image.resize(crops, (32, 32), data_format="channels_last"))
    for ours, theirs, seen in (
        (large.decoder, small.decoder, np.ones((2, 9), "float32")), (large.detail_encoder, small.detail_encoder, crops),
    ):  # fmt: skip
        theirs.set_weights([np.full(w.shape, 0.02, "float32") for w in theirs.get_weights()])
        ours.set_weights(theirs.get_weights())
        made = keras.ops.convert_to_numpy(ours(seen))
        want = keras.ops.convert_to_numpy(theirs(half if seen is crops else seen))
        if seen is not crops:
            want = keras.ops.convert_to_numpy(keras.ops.image.resize(want, (48, 48), data_format="channels_last"))
        np.testing.assert_allclose(made, want, atol=1e-5)
    assert large.decoder.output_shape == (None, 48, 48, 3) and large.detail_encoder.input_shape == (None, 48, 48, 3)


def test_the_original_has_the_filters_of_the_original() -> None:
    model = get_registry().build("decoder", "upsampling", latent_dim=512, image_size=224)
    assert [layer.filters for layer in model.layers if hasattr(layer, "filters")] == [512, 512, 256, 128, 64, 3]


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("upsampling", {"filters": []}, "filters"),
        ("upsampling", {"image_size": 1}, "image_size"),
        ("upsampling", {"latent_dim": 0}, "latent_dim"),
        ("upsampling", {"filter": [8]}, "filter"),
        ("detail", {"code": 0}, "code"),
        ("detail", {"encoder": "deep"}, "encoder"),
        ("detail", {"activation": "sine"}, "activation"),
        ("detail", {"side": 33}, "'side' must be a whole number from 16 to 32"),
        ("spatial", {"planes": 0}, "planes"),
        ("spatial", {"encoder_side": 2}, "'encoder_side' must be a whole number from 16"),
        ("spatial", {"places": []}, "places"),
        ("detail", {"side": 8}, "'side' must be a whole number from 16 to 32"),
        ("detail", {"side": True}, "side"),
    ],
)
def test_what_does_not_fit_is_said(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_registry().build("decoder", name, **{"latent_dim": 4, "image_size": 32, **config})


def test_the_check_sees_an_encoder_that_breaks_the_contract() -> None:
    def build(*, latent_dim: int, image_size: int) -> DetailDecoder:
        import keras

        crops = keras.Input((image_size, image_size, 3))
        code = keras.layers.Dense(2, dtype="float32", name="code")(keras.layers.Flatten()(crops))
        broken = keras.Model(crops, keras.ops.zeros_like(code))
        return DetailDecoder(TOYS["decoder"].build(latent_dim=latent_dim + 2, image_size=image_size), broken)

    with pytest.raises(ContractError, match="different inputs must give different outputs"):
        check_decoder(Component("broken", build, "a code that says nothing"), backends=(), skip=("import",))
