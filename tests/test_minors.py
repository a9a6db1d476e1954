"""Finding faces under 18: the probability, the errors by threshold and group, and where the page says them."""

from __future__ import annotations

import html
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefeat import InputError
from facefeat.evaluation.anyone import measure_predictions
from facefeat.evaluation.minors import NOT_FOR_PEOPLE, measure_minors, probability_under, under_age
from facefeat.evaluation.page import render
from facefeat.evaluation.predictions import read_predictions
from facefeat.schema import get_schema

AGE = get_schema("utkface")["age"]


def spread(years: np.ndarray, width: float = 5.0) -> np.ndarray:
    """(N,) years -> (N, K) classes of a normal distribution over single years around them, and the share under 18."""
    grid = np.arange(117)
    p = np.exp(-((grid - years[:, None]) ** 2) / (2 * width**2))
    p /= p.sum(axis=1, keepdims=True)
    return np.concatenate([p @ AGE.strategy.matrix(AGE), p[:, :18].sum(axis=1, keepdims=True)], axis=1)


def ages(n: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Ages that are known less well in the south, where the model says less surely which."""
    rng = np.random.default_rng(seed)
    region = rng.choice(["north", "south"], n)
    true = rng.integers(1, 80, n)
    off = np.where(region == "north", 3.0, 12.0)
    found = spread(true + rng.normal(0, off))
    classes = {f"age:{c}": found[:, k] for k, c in enumerate(AGE.classes)}
    years = found[:, :-1] @ np.array([(a + min(b, 81)) / 2 for a, b in AGE.years])
    return pd.DataFrame({"file": np.arange(n).astype(str), "age_true": true, "age_years": years, **classes,
                         "region": region})  # fmt: skip


def test_the_probability_is_near_the_sum_over_single_years() -> None:
    found = spread(np.arange(2.0, 60.0, 0.5))
    p = probability_under(AGE, found[:, :-1])
    assert np.abs(p - found[:, -1]).max() < 0.08 and np.abs(p - found[:, -1]).mean() < 0.02
    assert (np.diff(p) < 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 120))
def test_the_probability_is_one_and_grows_with_the_age_asked_for(seed: int, age: float) -> None:
    p = np.random.default_rng(seed).dirichlet(np.full(9, 0.3), 5)
    low, high = probability_under(AGE, p, age), probability_under(AGE, p, age + 3)
    assert ((low >= 0) & (low <= high + 1e-9) & (high <= 1)).all()
    # at the first year of a class it is the sum of those before
    np.testing.assert_allclose(probability_under(AGE, p, 20), p[:, :3].sum(axis=1), atol=1e-9)


def test_no_probability_without_years_or_of_other_classes() -> None:
    with pytest.raises(InputError, match="has no years"):
        probability_under(get_schema("utkface")["gender"], np.ones((1, 2)) / 2)
    with pytest.raises(InputError, match=r"\(N, 9\).*Received: \(2, 3\)"):
        probability_under(AGE, np.ones((2, 3)) / 3)
    assert np.isnan(probability_under(AGE, np.full((1, 9), np.nan))).all()


def test_errors_by_threshold_and_group_counted_by_hand() -> None:
    f = ages()
    found = measure_predictions(read_predictions(f), 0).minors
    assert found is not None and found.by_probability
    p = probability_under(AGE, f[[f"age:{c}" for c in AGE.classes]].to_numpy())
    young, south = (f["age_true"] < 18).to_numpy(), (f["region"] == "south").to_numpy()
    row = found.table.query("group == 'south' and threshold == 0.1").iloc[0]
    assert row["missed_n"] == (young & south).sum() and row["taken_n"] == (~young & south).sum()
    assert row["missed"] == pytest.approx((p[young & south] < 0.1).mean(), abs=1e-3)
    assert row["taken"] == pytest.approx((p[~young & south] >= 0.1).mean(), abs=1e-3)
    assert row["missed_low"] < row["missed"] < row["missed_high"]
    assert row["missed"] > found.table.query("group == 'north' and threshold == 0.1").iloc[0]["missed"]
    whole = found.table.query("by == 'everyone'")
    assert whole["missed"].is_monotonic_increasing and whole["taken"].is_monotonic_decreasing
    assert set(found.curve["by"]) == {"everyone", "region"}  # no groups by age itself


def test_without_probabilities_the_threshold_is_a_predicted_age() -> None:
    f = ages()[["file", "age_true", "age_years", "region"]]
    found = measure_predictions(read_predictions(f), 0).minors
    assert found is not None and not found.by_probability
    whole = found.table.query("by == 'everyone'").set_index("threshold")
    young = f["age_true"] < 18
    assert whole.loc[21, "missed"] == pytest.approx((f["age_years"][young] >= 21).mean())
    assert whole["missed"].is_monotonic_decreasing and whole["probability"].is_monotonic_decreasing


def test_the_probability_of_a_minor_falls_with_the_predicted_age() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(1, 60, 3000)
    value = true + rng.normal(0, 4, 3000)
    p = under_age(value, true.astype(float)).predict([10, 18, 40])
    assert p[0] > 0.9 and p[2] < 0.05 and 0.3 < p[1] < 0.7


@pytest.mark.parametrize("columns", ["probabilities", "years"])
def test_the_page_and_the_json_say_it_and_what_it_is_not_for(columns: str) -> None:
    f = ages() if columns == "probabilities" else ages()[["file", "age_true", "age_years", "region"]]
    found = measure_predictions(read_predictions(f), 0)
    page = html.unescape(render(found, []))
    assert "not for deciding about people" in NOT_FOR_PEOPLE and NOT_FOR_PEOPLE in page
    assert "Most are missed of region “south”" in page
    data = json.loads(json.dumps(found.to_dict()))
    assert data["minors"]["age"] == 18 and data["minors"]["curve"][0]["group"] == "everyone"
    assert [s["key"] for s in data["sections"]] == ["minors"]


def test_too_few_minors_or_no_exact_ages_measure_nothing() -> None:
    f = ages()
    adults = f[f["age_true"] >= 18]
    assert measure_predictions(read_predictions(adults), 0).minors is None
    none = np.full(len(f), np.nan)
    assert measure_minors(AGE, none, f["age_years"].to_numpy(), None, {}) is None
    assert measure_minors(get_schema("utkface")["gender"], none, None, None, {}) is None
