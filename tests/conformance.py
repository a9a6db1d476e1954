"""What the contract asks of every backbone and head, as checks that know no single one of them.

Each takes a component and a configuration, and fails with what the contract wants and what came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facefeat.component import Component
from facefeat.schema import Schema

CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def check_backbone(
    component: Component, folder: Path, *, image_size: int, gradients: bool = True, **config: Any
) -> Any:
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, h, w, C): shapes, dtypes, batches, weights, gradients.

    folder: an empty one, for a weights file. Gives the model.
    """
    import keras

    model = component.build(image_size=image_size, **config)
    crops = np.random.default_rng(0).integers(0, 256, (2, image_size, image_size, 3)).astype("float32")
    assert isinstance(model, keras.Model), f"build must give a keras.Model. Received: {type(model)}"
    assert model.input_shape == (None, image_size, image_size, 3), f"crops in. Received: {model.input_shape}"
    shape = model.output_shape
    assert len(shape) == 4 and None not in shape[1:], f"a feature map (B, h, w, C) out. Received: {shape}"
    out = _array(model(crops))
    assert out.shape == (2, *shape[1:]) and out.dtype == np.float32, f"{out.shape} {out.dtype}"
    assert np.isfinite(out).all(), "a feature map of 0..255 pixels must be finite"
    assert not np.array_equal(out[0], out[1]), "different crops must give different features"
    np.testing.assert_allclose(_array(model(crops[:1])), out[:1], **CLOSE, err_msg="a batch of one")
    np.testing.assert_allclose(_array(model(crops.astype("uint8"))), out, **CLOSE, err_msg="uint8 crops")
    json.dumps(model.get_config())
    again = component.build(image_size=image_size, **config)
    _check_weights(model, again, folder)
    np.testing.assert_allclose(_array(again(crops)), out, **CLOSE, err_msg="the same weights must give the same")
    if gradients:
        _check_gradients(model, crops, np.zeros_like(out))
    return model


def check_head(
    component: Component, folder: Path, *, feature_shape: tuple[int, int, int], schema: Schema, **config: Any
) -> Any:
    """Feature map (B, h, w, C) -> {attribute: logits (B, outputs) float32}, with the pooled map in a layer "latent".

    folder: an empty one, for a weights file. Gives the model.
    """
    import keras

    model = component.build(feature_shape=feature_shape, schema=schema, **config)
    features = np.random.default_rng(0).normal(size=(3, *feature_shape)).astype("float32")
    assert isinstance(model, keras.Model), f"build must give a keras.Model. Received: {type(model)}"
    assert model.input_shape == (None, *feature_shape), f"a feature map in. Received: {model.input_shape}"
    out = {k: _array(v) for k, v in model(features).items()}
    want = {name: (3, a.outputs) for name, a in schema.attributes.items()}
    assert {k: v.shape for k, v in out.items()} == want, f"logits for each attribute out. Wanted: {want}"
    for name, logits in out.items():
        assert logits.dtype == np.float32 and np.isfinite(logits).all(), f"{name}: finite float32 logits"
        assert not np.array_equal(logits[0], logits[1]), f"{name}: different features must give different logits"
    for n in (0, 1):
        few = {k: _array(v) for k, v in model(features[:n]).items()}
        for name in out:
            np.testing.assert_allclose(few[name], out[name][:n], **CLOSE, err_msg=f"a batch of {n}")
    latent = keras.Model(model.inputs[0], model.get_layer("latent").output)
    np.testing.assert_allclose(_array(latent(features)), features.mean(axis=(1, 2)), **CLOSE, err_msg="the latent")
    json.dumps(model.get_config())
    clone = keras.Model.from_config(json.loads(json.dumps(model.get_config())))
    again = component.build(feature_shape=feature_shape, schema=schema.to_dict(), **json.loads(json.dumps(config)))
    _check_weights(model, again, folder)
    clone.set_weights(again.get_weights())
    for name in out:
        np.testing.assert_allclose(_array(again(features)[name]), out[name], **CLOSE, err_msg="the same weights")
        np.testing.assert_allclose(_array(clone(features)[name]), out[name], **CLOSE, err_msg="the same configuration")
    _check_mixed_precision(component, features, feature_shape=feature_shape, schema=schema, **config)
    _check_gradients(model, features, {k: np.ones_like(v) for k, v in out.items()})
    return model


def _check_weights(model: Any, again: Any, folder: Path) -> None:
    names, others = [x.name for x in model.layers], [x.name for x in again.layers]
    assert names == others, f"layers must have the same names each time: {set(names) ^ set(others)}"
    model.save_weights(folder / "model.weights.h5")
    again.load_weights(folder / "model.weights.h5")
    for a, b in zip(model.weights, again.weights, strict=True):
        assert np.array_equal(_array(a), _array(b)), f"{a.path} did not come back from the file"


def _check_mixed_precision(component: Component, features: np.ndarray, **config: Any) -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = component.build(**config)
        kinds = {k: keras.backend.standardize_dtype(v.dtype) for k, v in model(features).items()}
        latent = model.get_layer("latent").output.dtype
    finally:
        keras.config.set_dtype_policy(before)
    assert set(kinds.values()) == {"float32"}, f"logits are float32 under mixed precision too. Received: {kinds}"
    assert latent == "float32", f"the latent is float32 under mixed precision too. Received: {latent}"


def _check_gradients(model: Any, inputs: np.ndarray, target: np.ndarray | Mapping[str, np.ndarray]) -> None:
    """Three steps of the optimiser move the first and the last weights, and keep all finite.

    Not one: behind a normalisation that starts at zero, a gate sees its first gradient at the second step.
    """
    loss = dict.fromkeys(target, "mse") if isinstance(target, Mapping) else "mse"
    before = [_array(w) for w in model.trainable_weights]
    model.compile(optimizer="adam", loss=loss, jit_compile=False, run_eagerly=True)
    for _ in range(3):
        model.train_on_batch(inputs, dict(target) if isinstance(target, Mapping) else target)
    after = [_array(w) for w in model.trainable_weights]
    assert all(np.isfinite(w).all() for w in after), "weights must stay finite"
    for i in (0, -1):
        assert not np.array_equal(before[i], after[i]), f"no gradient reaches {model.trainable_weights[i].path}"


def _array(x: Any) -> np.ndarray:
    import keras

    return np.array(keras.ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))
