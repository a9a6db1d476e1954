"""Guarantees per group: coverage on fresh faces, against crepes, and equal accuracy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefeat import InputError
from facefeat.evaluation.guarantee import (
    conformal_quantile,
    fit_thresholds,
    guarantee_sections,
    least_confidence,
    prediction_sets,
)
from facefeat.evaluation.predictions import Predictions, read_predictions


def predictions(n: int = 8000, seed: int = 7) -> Predictions:
    """A model that is worse in the south, with calibrated probabilities, and ages that are worse there, too."""
    rng = np.random.default_rng(seed)
    region = rng.choice(["north", "south"], n, p=[0.8, 0.2])
    far = np.where(region == "north", 4.0, 1.0)
    true = rng.integers(0, 2, n)
    score = rng.normal((true - 0.5) * far, 1)
    p = 1 / (1 + np.exp(-far * score))
    age = rng.integers(1, 80, n)
    value = (age + rng.normal(0, np.where(region == "north", 3, 9))).clip(0, 110)
    return read_predictions(
        pd.DataFrame({
            "gender_true": np.array(["Male", "Female"])[true], "gender_pred": np.where(p > 0.5, "Female", "Male"),
            "gender_prob_Male": 1 - p, "gender_prob_Female": p, "age_true": age, "age_pred": value, "region": region,
        })
    )  # fmt: skip


def test_thresholds_are_those_of_crepes() -> None:
    crepes = pytest.importorskip("crepes")
    rng = np.random.default_rng(0)
    scores, codes = rng.random(300), rng.integers(0, 3, 300)
    p = rng.dirichlet([2, 2, 2], 200)
    new = rng.integers(0, 3, 200)
    fitted = crepes.ConformalClassifier().fit(scores, bins=codes)
    theirs = fitted.predict_set(1 - p, bins=new, confidence=0.873, smoothing=False)
    each = fit_thresholds(scores, codes, 3, 0.873)  # ranks are no ties here
    np.testing.assert_array_equal(1 - p <= each[new][:, None], theirs.astype(bool))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.integers(0, 99))
def test_the_quantile_leaves_out_as_few_as_promised(n: int, level: float, seed: int) -> None:
    scores = np.random.default_rng(seed).random(n)
    q = conformal_quantile(scores, level)
    assert (scores <= q).sum() + 1 >= (n + 1) * level - 1e-6 or math.isinf(q)
    assert math.isinf(q) == (math.ceil((n + 1) * level - 1e-9) > n)


def test_a_set_is_never_empty() -> None:
    sets = prediction_sets(np.array([[0.4, 0.35, 0.25], [0.9, 0.05, 0.05]]), 0.0)
    assert sets.sum(axis=1).tolist() == [1, 1]


def test_each_group_is_covered_on_fresh_faces_and_one_threshold_does_not_do_it() -> None:
    sections = {s.key: s for s in guarantee_sections(predictions(), 0.9)}
    assert set(sections) == {"sets-gender", "equal-gender", "intervals-age"}
    for key in ("sets-gender", "intervals-age"):
        rows = sections[key].table.query("by == 'region'").set_index("group")
        assert rows.loc["south", "one"] < 0.86  # the average hides it
        for group in ("north", "south"):
            n = rows.loc[group, "faces"]
            # The spread of the fitted threshold and of the fresh faces: both binomial.
            spread = 3 * math.sqrt(0.9 * 0.1 * (1 / n + 1 / rows.loc[group, "fitted_on"]))
            assert rows.loc[group, "own"] > 0.9 - spread
        assert rows.loc["south", "own_size"] > rows.loc["south", "one_size"]


def test_thresholds_of_equal_accuracy() -> None:
    table = next(s for s in guarantee_sections(predictions(), 0.85) if s.key == "equal-gender").table
    rows = table.query("by == 'region'").set_index("group")
    assert rows.loc["south", "one"] < 0.85 - 0.05
    assert rows.loc["south", "own"] == pytest.approx(0.85, abs=0.06)
    assert rows.loc["south", "own_answered"] < rows.loc["north", "own_answered"]
    confidence, right = np.array([0.9, 0.8, 0.8, 0.6]), np.array([1, 1, 0, 1])
    assert least_confidence(confidence, right, 0.75) == 0.6
    assert least_confidence(confidence, right, 0.8) == 0.9  # the two of 0.8 go together
    assert math.isinf(least_confidence(confidence, 1 - right, 0.5))


def test_a_share_that_is_none() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        guarantee_sections(predictions(200), 90)
