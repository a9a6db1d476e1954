"""The optimiser of a phase: its learning rate is that of Keras' schedule."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat.training.base_recipe import Phase, Training
from facefeat.training.optimizer import build_optimizer, warmup_cosine


@pytest.mark.backend
@given(st.floats(1e-6, 1.0), st.integers(0, 30), st.integers(1, 60))
def test_the_rate_is_that_of_keras_cosine_decay(peak: float, warmup: int, decay: int) -> None:
    ours = warmup_cosine(peak, warmup, decay)
    theirs = keras.optimizers.schedules.CosineDecay(
        peak * 1e-3 if warmup else peak, decay, warmup_target=peak if warmup else None, warmup_steps=warmup
    )
    for step in {0, 1, warmup // 2, warmup, warmup + decay // 2, warmup + decay, warmup + decay + 5}:
        np.testing.assert_allclose(float(ours(step)), float(theirs(step)), rtol=1e-5, atol=1e-6 * peak)


def test_it_rises_in_the_warm_up_and_ends_at_nothing() -> None:
    phase = Phase(epochs=3, learning_rate=0.2, warmup_epochs=0.5)
    schedule = build_optimizer(Training(), phase, 10)._learning_rate
    rates = [float(schedule(step)) for step in range(31)]
    assert rates[0] == pytest.approx(2e-4) and max(rates) == pytest.approx(rates[5]) == pytest.approx(0.2)
    assert rates[:6] == sorted(rates[:6]) and rates[5:] == sorted(rates[5:], reverse=True) and rates[30] < 1e-8


def test_what_decays_are_kernels_alone() -> None:
    model = keras.Sequential([keras.layers.Dense(2), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    model.build((None, 3))
    optimizer = build_optimizer(Training(weight_decay=0.1), Phase(epochs=1, learning_rate=1.0, warmup_epochs=0.0), 1)
    optimizer.build(model.trainable_variables)
    before = [np.asarray(w).copy() for w in model.trainable_variables]
    optimizer.apply([keras.ops.zeros(w.shape) for w in model.trainable_variables], model.trainable_variables)
    for w, b in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_allclose(np.asarray(w), b * 0.9 if w.name == "kernel" else b, rtol=1e-6)
