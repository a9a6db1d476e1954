"""The check of an augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from facefeat.plugins.contracts import Component
from facefeat.testing import contract
from facefeat.testing.contract import CheckOptions, Findings
from facefeat.testing.networks import array_of, on_other_backends, outputs_of
from facefeat.testing.toys import toy_crops

if TYPE_CHECKING:
    import keras

TIMES = 6
"""How often a layer may be called until one of its crops has changed."""


def check_augmentation(
    component: Component, *, image_size: int = 32, **options: Unpack[CheckOptions]
) -> keras.layers.Layer:
    """Check an augmentation: a Keras layer, crops (B, S, S, 3) float32 0..255 -> the same shape and range.

    It changes crops when it is called with training=True, and passes them through otherwise. Its randomness follows
    from `seed` and comes from `keras.random.SeedGenerator`s, whose states a training loop sets for each epoch.
    image_size: S. options: see `CheckOptions`.
    Gives the layer of the defaults. Raises ContractError with all faults.
    """
    import keras

    found, configs = contract.begin("augmentation", component, options, ["seed"])
    crops = toy_crops(4, image_size).astype("float32")
    crops[2], crops[3] = 0, 255  # the ends of the range: what is finite in between may not be there

    def check(layer: Any, config: Mapping[str, Any]) -> None:
        _check_layer(found, layer, crops)
        found.stop_at_faults()
        if found.wants("determinism"):
            _check_seeds(found, component, config, crops)
        if found.wants("batches"):
            with found.step("a batch of 1 must work"):
                shape = outputs_of(layer, crops[:1], training=True)["the output"].shape
                found.expect(shape == crops[:1].shape, "a batch of 1 must keep its shape", shape)
        if found.wants("precision"):
            with found.step("build and call must work under mixed_bfloat16"):
                _check_mixed_precision(found, component, config, crops)
        with found.step("it must work in a compiled training step"):
            _check_compiled(component, config, crops)

    seeded = [{"seed": 1, **one} for one in configs]
    layer: keras.layers.Layer = contract.check_each(found, seeded, (keras.layers.Layer, "a Keras layer"), "call", check)
    for backend, outputs in on_other_backends(found, seeded, [crops] * len(seeded), options):
        for out in outputs:
            _check_crops(found, out["the output"], crops, f"on {backend}, in training,")
    found.stop_at_faults()
    return layer


def _check_layer(found: Findings, layer: Any, crops: np.ndarray) -> None:
    passed = outputs_of(layer, crops)["the output"]
    same = passed.shape == crops.shape and np.allclose(passed, crops, atol=1e-3)
    found.expect(same, "outside training crops must pass through unchanged", f"{passed.shape} {passed.dtype}, changed")
    changed = []
    for _ in range(TIMES):
        out = outputs_of(layer, crops, training=True)["the output"]
        if not _check_crops(found, out, crops, "in training"):
            return
        changed.append(not np.allclose(out, crops, atol=0.5))
    found.expect(any(changed), "in training it must change crops", f"none in {TIMES} batches")
    names = [w.path for w in layer.trainable_variables]
    found.expect(not names, "an augmentation must have no weights to train", ", ".join(names[:3]))


def _check_crops(found: Findings, out: np.ndarray, crops: np.ndarray, when: str) -> bool:
    good = out.shape == crops.shape and out.dtype == np.float32
    if found.expect(good, f"{when} crops must keep shape and dtype", f"{out.shape} {out.dtype}"):
        low, high = float(np.min(out)), float(np.max(out))
        inside = np.isfinite(out).all() and low >= -0.01 and high <= 255.01
        return found.expect(inside, f"{when} crops must lie in 0..255", f"{low:.3g} to {high:.3g}")
    return False


def _check_seeds(found: Findings, component: Component, config: Mapping[str, Any], crops: np.ndarray) -> None:
    """A resumed run draws what the run without a break would have drawn."""
    layer, other = component.build(**config), component.build(**config)
    first, again = (outputs_of(x, crops, training=True)["the output"] for x in (layer, other))
    found.expect(np.allclose(first, again, atol=1e-2), "the same seed must give the same changes", "others")
    # As the training loop does it: every state is set, then the layer is called.
    states = [v for v in layer.variables if "seed_generator_state" in v.path]
    drawn = []
    for _ in range(2):
        for state in states:
            state.assign(np.asarray([7, 0], array_of(state).dtype))
        drawn.append(outputs_of(layer, crops, training=True)["the output"])
    wanted = "the same states of its SeedGenerators must give the same changes: a resumed run depends on it"
    found.expect(np.allclose(drawn[0], drawn[1], atol=1e-2), wanted, "others")


def _check_mixed_precision(found: Findings, component: Component, config: Mapping[str, Any], crops: np.ndarray) -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        out = array_of(component.build(**config)(crops, training=True))
    finally:
        keras.config.set_dtype_policy(before)
    found.expect(out.shape == crops.shape, "under mixed_bfloat16 crops must keep their shape", out.shape)
    found.expect(np.isfinite(out).all(), "under mixed_bfloat16 crops must be finite", "NaN or infinity")


def _check_compiled(component: Component, config: Mapping[str, Any], crops: np.ndarray) -> None:
    import keras

    inputs = keras.Input(crops.shape[1:])
    x = keras.layers.GlobalAveragePooling2D()(component.build(**config)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    model.train_on_batch(crops, np.zeros((len(crops), 1), "float32"))
