"""Folds, bootstrap intervals, and the precision of stored weights."""

from __future__ import annotations

import numpy as np
import pytest

from facefeat.utils.precision import stored_weight
from facefeat.utils.statistics import folds, interval, resampled_means, resamples


@pytest.mark.parametrize("classes", [None, np.repeat([0, 1, 2], [12, 6, 5])])
def test_folds_hold_every_row_once_and_each_class_evenly(classes: np.ndarray | None) -> None:
    rows = np.arange(100, 123)
    parts = list(folds(rows, 5, 0, classes))
    assert sorted(np.concatenate([test for _, test in parts])) == rows.tolist()
    for train, test in parts:
        assert sorted([*train, *test]) == rows.tolist() and len(test) in (4, 5)
        if classes is not None:
            counts = np.bincount(classes[test - 100], minlength=3)
            assert all(abs(counts - [2.4, 1.2, 1.0]) < 1.5)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(parts, folds(rows, 5, 0, classes), strict=True))
    assert [test.tolist() for _, test in folds(rows[:2], 5, 1)] in ([[100], [101]], [[101], [100]])


def test_resamples_draw_every_row_as_often_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facefeat.utils.statistics._AT_ONCE", 100)
    blocks = list(resamples(20, 23, 0))
    assert len(blocks) > 1 and sum(map(len, blocks)) == 23 and all((b.sum(axis=1) == 20).all() for b in blocks)
    assert list(resamples(20, 0, 0)) == []


def test_a_bootstrap_interval_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(size=(400, 2)) * [1, 2]
    low, high = interval(resampled_means(values, 2000, 0))
    np.testing.assert_allclose((high - low) / 2, 1.96 * values.std(axis=0) / 20, rtol=0.06)
    assert all(np.isnan(interval(np.full((5, 1), np.nan)))) and interval(np.zeros((0, 3)))[0].shape == (3,)


def test_kernels_are_stored_in_half_precision() -> None:
    half = stored_weight(np.ones((2, 2), "float32"))
    assert half.dtype == np.float16
    for kept in (np.ones(2, "float32"), np.full((2, 2), 7e4, "float32"), np.ones((2, 2), "int32"), 3):
        assert stored_weight(kept) is kept
