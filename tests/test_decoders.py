"""The built-in decoders keep the contract, at every size, and say what they cannot take."""

from __future__ import annotations

from typing import Any

import pytest

from facefeat import Component, DetailDecoder, InputError
from facefeat.registry import get_registry
from facefeat.testing import TOYS, ContractError, check_decoder

SMALL = {"upsampling": {"filters": [8, 6]}, "detail": {"code": 5, "filters": [8, 8, 6], "encoder": [6, 8]}}


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
    changed = {"code": 3, "filters": [6, 6], "encoder": [6], "activation": "relu"}
    model = check_decoder(
        component, config=SMALL["detail"], changed=changed, module="facefeat.builtin.decoders"
    )  # fmt: skip
    assert model.input_shape == (None, 8 + 5)


@pytest.mark.parametrize("name", ["upsampling", "detail"])
@pytest.mark.parametrize("size", [64, 70, 96, 112, 224])
def test_crops_of_every_size(name: str, size: int) -> None:
    made = get_registry().build("decoder", name, latent_dim=4, image_size=size, **SMALL[name])
    model = made.decoder if isinstance(made, DetailDecoder) else made
    assert model.output_shape == (None, size, size, 3)


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
