"""Losses against their definition, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from facefeat import RecipeError
from facefeat.schema import get_schema
from facefeat.training.losses import build_losses, class_weights
from facefeat.training.recipe import AttributeLoss

UTK, FAIR = get_schema("utkface"), get_schema("fairface")


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def test_plain_cross_entropy_and_unknown_labels() -> None:
    z = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    loss = build_losses(UTK, {})["race"](np.array([[1], [4], [np.nan]], "float32"), z)
    want = -log_softmax(z)[[0, 1], [1, 4]]
    np.testing.assert_allclose(np.asarray(loss), [*want, 0.0], rtol=1e-5)


def test_smoothing_and_weight() -> None:
    z = np.random.default_rng(1).normal(size=(1, 2)).astype("float32")
    choice = AttributeLoss(weight=3.0, config={"label_smoothing": 0.2})
    loss = build_losses(UTK, {"gender": choice})["gender"](np.array([[1]], "float32"), z)
    # The weight is the sum's business, not the loss's.
    np.testing.assert_allclose(np.asarray(loss), -(log_softmax(z) @ [0.1, 0.9]), rtol=1e-5)


def test_age_distribution_is_centred_on_the_year_and_falls_back_to_the_class() -> None:
    choice = AttributeLoss(kind="distribution", config={"sigma": 2.0})
    loss = build_losses(UTK, {"age": choice})["age"]
    target = np.array([[3, 25], [3, np.nan], [np.nan, np.nan], [8, 150]], "float32")

    # Logits that put nearly all mass on one output: the loss is then -log of the target's fit to it.
    def at(year: int) -> np.ndarray:
        z = np.full((4, 117), -20.0, "float32")
        z[:, year] = 0
        return np.asarray(loss(target, z))

    assert at(25)[0] < at(26)[0] < at(28)[0] < at(40)[0]
    np.testing.assert_allclose(at(23)[0], at(27)[0], rtol=1e-5)
    np.testing.assert_allclose(at(24)[1], at(25)[1], rtol=1e-4)  # class 20-29: flat inside
    assert at(25)[1] < at(50)[1]
    assert at(25)[2] == 0
    assert at(116)[3] < at(100)[3]  # past the grid counts as its end


def test_ordered_classes_without_years_use_the_distribution_too() -> None:
    loss = build_losses(FAIR, {"age": AttributeLoss(kind="distribution", config={"sigma": 1.0})})["age"]
    z = np.full((1, 9), -20.0, "float32")
    near, far = z.copy(), z.copy()
    near[0, 4], far[0, 8] = 0, 0
    target = np.array([[3, np.nan]], "float32")
    assert float(loss(target, near)[0]) < float(loss(target, far)[0])


def test_weights_go_to_the_class_that_they_were_counted_for() -> None:
    """The original's defect: weights in order of appearance, applied in alphabetical order."""
    seen = {"Indian": 10, "White": 1000, "Others": 100}  # an order of appearance, two classes absent
    race = UTK["race"]
    weights = class_weights(race, seen, "inverse")
    assert weights["Black"] == weights["Asian"] == 0
    np.testing.assert_allclose([weights[c] * n for c, n in seen.items()], 1110 / 3)
    assert class_weights(race, dict(reversed(seen.items())), "inverse") == weights
    assert class_weights(race, seen, "none") == dict.fromkeys(race.classes, 1.0)
    effective = class_weights(race, seen, "effective")
    assert effective["White"] < effective["Others"] < effective["Indian"]
    np.testing.assert_allclose(sum(effective[c] * n for c, n in seen.items()), 1110)

    loss = build_losses(UTK, {"race": AttributeLoss(balance="inverse")}, {"race": seen})["race"]
    z = np.zeros((5, 5), "float32")
    got = np.asarray(loss(np.array([[k] for k in range(5)], "float32"), z))
    np.testing.assert_allclose(got, [np.log(5) * weights[c] for c in race.classes], rtol=1e-5)


def test_exact_years_cost_what_their_class_costs() -> None:
    counts = {"age": dict.fromkeys(UTK["age"].classes, 10) | {"0-2": 1}}
    choices = {"age": AttributeLoss(kind="distribution", balance="inverse")}
    loss = build_losses(UTK, choices, counts)["age"]
    z = np.zeros((3, 117), "float32")
    by_year, by_class, other = np.asarray(loss(np.array([[0, 1], [0, np.nan], [4, 35]], "float32"), z))
    np.testing.assert_allclose([by_year, by_class], 10 * other, rtol=1e-4)


def test_focal_loss_forgives_what_is_right_already() -> None:
    z = np.array([[0, 3.0], [3.0, 0]], "float32")
    target = np.array([[1], [1]], "float32")
    plain, focal = (
        np.asarray(
            build_losses(UTK, {"gender": AttributeLoss(kind=k, config={"gamma": 2.0} if k == "focal" else {})})[
                "gender"
            ](target, z)
        )
        for k in ("cross-entropy", "focal")
    )
    p = np.exp(log_softmax(z))[:, 1]
    np.testing.assert_allclose(focal, plain * (1 - p) ** 2, rtol=1e-4)


def test_ordinal_loss_is_the_sum_over_thresholds_and_grows_with_the_distance() -> None:
    loss = build_losses(FAIR, {"age": AttributeLoss(kind="ordinal")})["age"]
    z = np.random.default_rng(3).normal(size=(1, 9)).astype("float32")
    below = np.cumsum(np.exp(log_softmax(z)))[:-1]
    want = -sum(np.log(b) if k >= 4 else np.log(1 - b) for k, b in enumerate(below))
    np.testing.assert_allclose(np.asarray(loss(np.array([[4, np.nan]], "float32"), z)), [want], rtol=1e-4)
    sure = np.full((1, 9), -6.0, "float32")
    costs = []
    for k in range(9):
        z = sure.copy()
        z[0, k] = 6
        costs.append(float(loss(np.array([[4, np.nan]], "float32"), z)[0]))
    assert np.argmin(costs) == 4 and all(np.diff(costs[:5]) < 0) and all(np.diff(costs[4:]) > 0)


def test_squared_loss_is_that_of_the_original_vector() -> None:
    choices = {k: AttributeLoss(kind="squared") for k in ("age", "gender", "race")}
    losses = build_losses(FAIR, choices)
    z = np.full((1, 9), -50.0, "float32")
    z[0, 2] = 0  # all mass on the third of nine places: -0.5 on -1..1
    np.testing.assert_allclose(np.asarray(losses["age"](np.array([[8, np.nan]], "float32"), z)), [1.5**2], rtol=1e-4)
    z = np.zeros((1, 2), "float32")
    np.testing.assert_allclose(np.asarray(losses["gender"](np.array([[0]], "float32"), z)), [0.25], rtol=1e-5)


def test_a_balance_needs_counts() -> None:
    with pytest.raises(RecipeError, match=r"loss\.race\.balance: 'inverse' needs the counts"):
        build_losses(UTK, {"race": AttributeLoss(balance="inverse")})


def test_a_choice_that_does_not_fit_the_schema_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"loss\.rase: no such attribute.*Did you mean 'race'"):
        build_losses(UTK, {"rase": AttributeLoss()})
    with pytest.raises(
        RecipeError, match="'distribution' does not fit 'race', which is categorical. Valid: cross-entropy"
    ):
        build_losses(UTK, {"race": AttributeLoss(kind="distribution")})
