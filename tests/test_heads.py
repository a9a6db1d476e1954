"""The built-in heads: the contract for each, and what is particular to one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from facefeat.builtin.heads import COMPONENTS, attention, mlp, single
from facefeat.errors import InputError, SchemaError
from facefeat.plugins.contracts import Component
from facefeat.plugins.registry import Registered, get_registry
from facefeat.schema import Schema, get_schema
from facefeat.testing import check_head

OWN = get_schema(
    {
        "name": "own",
        "attributes": {
            "mood": {"classes": ["calm", "glad", "sad", "angry"]},
            "glasses": {"classes": ["no", "yes"]},
            "size": {"classes": ["small", "middle", "large"], "ordered": True},
        },
    }
)
CHANGED: dict[str, dict[str, Any]] = {
    "single": {"dropout": 0.3, "spread": 0.1},
    "mlp": {"trunk": [{"units": 7, "activation": "tanh", "dropout": 0.1}, {"units": 5}], "dropout": 0.2},
    "attention": {"heads": 2, "head_dim": 3, "dropout": 0.1},
}
SMALL: dict[str, dict[str, Any]] = {"mlp": {"trunk": []}, "attention": {"heads": 1, "head_dim": 4}}


def name_of(thing: Registered | Component | Schema) -> str:
    return thing.name


def build(component: Component, **config: Any) -> Any:
    return component.build(**{"feature_shape": (2, 3, 4), "schema": OWN, **config})


@pytest.mark.backend
@pytest.mark.parametrize("item", [i for i in get_registry().all("head") if i.distribution == "facefeat"], ids=name_of)
@pytest.mark.parametrize("schema", [get_schema("utkface"), get_schema("fairface"), OWN], ids=name_of)
def test_contract(item: Registered, schema: Schema) -> None:
    config, changed = SMALL.get(item.name), CHANGED[item.name]
    # JAX is the business of `nox -s jax`.
    check_head(item.component, schema=schema, config=config, changed=changed, skip=["backends"])


@pytest.mark.parametrize("component", COMPONENTS, ids=name_of)
def test_a_schema_may_be_a_table_and_the_latent_is_the_pooled_map(component: Component) -> None:
    import keras

    head = build(component, schema=OWN.to_dict(), **SMALL.get(component.name, {}))
    features = np.random.normal(size=(3, 2, 3, 4)).astype("float32")
    latent = keras.Model(head.inputs[0], head.get_layer("latent").output)
    np.testing.assert_allclose(latent(features), features.mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)
    clone = keras.Model.from_config(json.loads(json.dumps(head.get_config())))
    clone.set_weights(head.get_weights())
    for name, logits in head(features).items():
        np.testing.assert_allclose(clone(features)[name], logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("component", COMPONENTS, ids=name_of)
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"dropuot": 0.1}, "Did you mean 'dropout'"),
        ({"dropout": 1.0}, "below 1.0"),
        ({"dropout": "much"}, "must be a number"),
        ({"feature_shape": (3, 3)}, r"\(height, width, channels\)"),
        ({"feature_shape": (3, 0, 3)}, "whole number from 1"),
        ({"feature_shape": "3x3"}, "list of whole numbers"),
    ],
)
def test_bad_configurations(component: Component, config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(component, **config)


def test_missing_and_unknown_schema() -> None:
    with pytest.raises(InputError, match="'schema' is missing"):
        mlp.COMPONENT.build(feature_shape=(1, 1, 1))
    with pytest.raises(SchemaError, match="Did you mean 'utkface'"):
        build(mlp.COMPONENT, schema="utkfac")


# mlp


@pytest.mark.parametrize(
    ("trunk", "message"),
    [
        ({"units": 3}, "list of tables"),
        ([3], "with 'units'"),
        ([{"activation": "relu"}], "with 'units'"),
        ([{"units": 3, "activaton": "relu"}], r"trunk\[0\]: unknown key.*Did you mean 'activation'"),
        ([{"units": 3}, {"units": 0}], r"trunk\[1\]: 'units'"),
        ([{"units": 3, "activation": "rleu"}], "Did you mean 'relu'"),
        ([{"units": 3, "dropout": -1}], "from 0.0"),
    ],
)
def test_bad_trunks(trunk: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(mlp.COMPONENT, trunk=trunk)


def test_the_default_trunk_is_the_original_search_s() -> None:
    head = build(mlp.COMPONENT)
    dense = [
        (x.units, x.activation.__name__) for x in head.layers if x.name.startswith("trunk_") and "drop" not in x.name
    ]
    assert dense == [(640, "leaky_relu"), (896, "relu"), (2176, "tanh"), (640, "leaky_relu"), (1664, "leaky_relu")]
    assert [x.rate for x in head.layers if x.name.endswith("_dropout")] == [0.2, 0.3, 0.4, 0.6, 0.2]


def test_an_empty_trunk_is_linear_in_the_latent() -> None:
    head = build(mlp.COMPONENT, trunk=[])
    a, b = np.random.normal(size=(2, 1, 2, 3, 4)).astype("float32")
    mean = {k: (np.asarray(head(a)[k]) + np.asarray(head(b)[k])) / 2 for k in OWN.attributes}
    for name, logits in head((a + b) / 2).items():
        np.testing.assert_allclose(logits, mean[name], atol=1e-5)


# single


def vector_head(schema: Schema, vector: list[float], **config: Any) -> dict[str, np.ndarray]:
    """The logits that the head derives from a given vector."""
    import keras

    head = build(single.COMPONENT, schema=schema, **config)
    tail = keras.Model(head.get_layer("vector").output, head.output)
    return {k: np.asarray(v)[0] for k, v in tail(np.asarray([vector], "float32")).items()}


def test_the_vector_is_nine_wide_on_fairface() -> None:
    assert build(single.COMPONENT, schema="fairface").get_layer("vector").units == 9
    assert build(single.COMPONENT, schema="utkface").get_layer("vector").units == 7
    assert build(single.COMPONENT).get_layer("vector").units == 6  # mood 4, glasses 1, size 1


def test_the_arithmetic_of_the_single_vector() -> None:
    out = vector_head(OWN, [0.1, 0.2, 0.3, 0.4, 1.5, 1.0])
    np.testing.assert_allclose(out["mood"], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(out["glasses"], [0.0, 1.5])
    np.testing.assert_allclose(out["size"], [-8.0, -2.0, 0.0])  # position 2, spread 0.5


def test_age_as_one_number_is_a_gaussian_over_the_years() -> None:
    schema = get_schema("utkface")
    years = np.arange(117, dtype="float32")
    for number in (-0.5, 0.0, 0.5):
        logits = vector_head(schema, [number, *[0.0] * 6], spread=0.04)["age"]
        p = np.exp(logits) / np.exp(logits).sum()
        mean = (p * years).sum()
        assert mean == pytest.approx(58 + 58 * number, abs=0.01)
        assert np.sqrt((p * (years - mean) ** 2).sum()) == pytest.approx(0.04 * 117, abs=0.01)


# attention


def test_attention_maps_are_distributions_over_places() -> None:
    head = build(attention.COMPONENT, feature_shape=(3, 2, 5), heads=2)
    maps = attention.attention_maps(head, np.random.normal(size=(4, 3, 2, 5)).astype("float32"))
    assert set(maps) == set(OWN.attributes)
    for found in maps.values():
        assert found.shape == (4, 3, 2) and found.dtype == np.float32 and (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=(1, 2)), 1.0, rtol=1e-5)


def test_attention_follows_what_a_query_asks_for() -> None:
    head = build(attention.COMPONENT, feature_shape=(3, 3, 4), heads=1, head_dim=4)
    head.get_layer("keys").set_weights([np.eye(4, dtype="float32")])
    head.get_layer("mood_query").set_weights([np.asarray([[9.0, 0, 0, 0]], "float32")])
    features = np.zeros((1, 3, 3, 4), "float32")
    features[0, 2, 1, 0] = 5.0  # the channel that the query asks for, in one place
    maps = attention.attention_maps(head, features)
    assert np.unravel_index(maps["mood"][0].argmax(), (3, 3)) == (2, 1) and maps["mood"][0].max() > 0.9
    assert maps["size"][0].max() < 0.9


def test_positions_let_attention_tell_places_apart() -> None:
    head = build(attention.COMPONENT, feature_shape=(2, 2, 4), heads=1)
    same = np.ones((1, 2, 2, 4), "float32")
    np.testing.assert_allclose(attention.attention_maps(head, same)["mood"], 0.25, rtol=1e-5)
    rows, columns = head.get_layer("positions").get_weights()
    head.get_layer("positions").set_weights([rows + np.arange(2).reshape(2, 1, 1), columns])
    found = attention.attention_maps(head, same)["mood"][0]
    assert abs(found[0, 0] - found[1, 0]) > 1e-3 and found[0, 0] == pytest.approx(found[0, 1])


def test_attention_maps_need_an_attention_head() -> None:
    head = build(mlp.COMPONENT, trunk=[])
    with pytest.raises(InputError, match="need the head 'attention'"):
        attention.attention_maps(head, np.zeros((1, 2, 3, 4), "float32"))


@pytest.mark.parametrize(("key", "value"), [("heads", 0), ("heads", 1.5), ("head_dim", -1)])
def test_bad_attention(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"'{key}' must be a whole number"):
        build(attention.COMPONENT, **{key: value})
