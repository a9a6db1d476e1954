"""Batches: every image once an epoch, in an order that seed and epoch alone decide; a thread that always ends."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat.data import Batches
from facefeat.errors import InputError


def images(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "facefeat-batches"]


@given(
    n=st.integers(1, 40), size=st.integers(1, 50), shuffle=st.booleans(), drop=st.booleans(),
    seed=st.integers(0, 2**32), epoch=st.integers(0, 100),
)  # fmt: skip
def test_each_image_once_with_its_targets(n: int, size: int, shuffle: bool, drop: bool, seed: int, epoch: int) -> None:
    if drop and n < size:
        with pytest.raises(InputError, match="no batch"):
            Batches(images(n), {}, size, drop_last=True)
        return
    targets = {"a": np.arange(n), "b": np.arange(2 * n).reshape(n, 2)}
    batches = Batches(images(n), targets, size, shuffle=shuffle, seed=seed, drop_last=drop)
    seen = list(batches.epoch(epoch))
    assert len(seen) == len(batches)
    assert all(len(x) == size for x, _ in seen[: None if drop else -1])
    for x, y in seen:
        assert x.dtype == np.uint8 and x.shape[1:] == (2, 2, 3) and set(y) == {"a", "b"}
        assert (x[:, 0, 0, 0] == y["a"]).all() and (y["b"][:, 0] == 2 * y["a"]).all()
    order = np.concatenate([y["a"] for _, y in seen])
    assert len(set(order.tolist())) == len(order) == (len(batches) * size if drop else n)
    if not shuffle:
        assert (order == np.arange(len(order))).all()
    again = np.concatenate([y["a"] for _, y in batches.epoch(epoch)])
    assert (order == again).all()


def test_epochs_and_seeds_differ_and_nothing_else_matters() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [int(i) for x, _ in Batches(images(50), {}, 7, seed=seed).epoch(epoch) for i in x[:, 0, 0, 0]]

    orders = [order(s, k) for s in (0, 1) for k in (0, 1, 2)]
    assert len({tuple(o) for o in orders}) == 6
    np.random.seed(7)
    assert order(1, 2) == orders[-1]
    assert order(0, 0) != sorted(order(0, 0))


def test_leaving_early_ends_the_thread() -> None:
    for take in (0, 1, 3):
        epoch = Batches(images(200), {}, 2).epoch(0)
        for _ in range(take):
            next(epoch)
        epoch.close()  # type: ignore[attr-defined]
        assert readers() == []
    for x, _ in Batches(images(200), {}, 2).epoch(0):
        assert len(x) == 2
        break
    del x
    import gc

    gc.collect()
    assert readers() == []


class Failing:
    """Images of which one cannot be read."""

    shape = (20, 2, 2, 3)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, key: Any) -> np.ndarray:
        if 11 in key:
            raise OSError("the disk went away")
        return images(20)[key]


def test_an_error_in_the_thread_is_raised_where_the_batches_are_used() -> None:
    seen = 0
    with pytest.raises(OSError, match="the disk went away"):
        for _ in Batches(Failing(), {}, 4, shuffle=False).epoch(0):
            seen += 1
    assert seen == 2 and readers() == []


def test_reading_ahead_is_bounded() -> None:
    asked: list[int] = []

    class Counting(Failing):
        def __getitem__(self, key: Any) -> np.ndarray:
            asked.append(len(key))
            return images(20)[key]

    epoch = Batches(Counting(), {}, 1, shuffle=False).epoch(0)
    next(epoch)
    threading.Event().wait(0.2)
    assert len(asked) <= 6
    epoch.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [0, -3, 2.0, True, None, "4"])
def test_an_impossible_batch_size_is_an_input_error(size: Any) -> None:
    with pytest.raises(InputError, match="batch_size must be a whole number from 1. Received"):
        Batches(images(4), {}, size)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"target 'age' has shape \(3,\), but there are 4 images"):
        Batches(images(4), {"age": np.zeros(3)}, 2)
    with pytest.raises(InputError, match="target 'age' has shape"):
        Batches(images(4), {"age": np.float32(3)}, 2)  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"images must be \(N, S, S, 3\)"):
        Batches(np.zeros((4, 2, 2), np.uint8), {}, 2)
    with pytest.raises(InputError, match="no batch"):
        Batches(images(0), {}, 2)
