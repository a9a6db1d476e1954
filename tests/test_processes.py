"""What a run of several processes needs of its launcher, and how a batch is divided; tests/scale trains with two."""

from __future__ import annotations

import numpy as np
import pytest

from facefeat import InputError
from facefeat.data.batches import Batches
from facefeat.training.processes import ALONE, _address, join_processes

LAUNCHED = {"MASTER_ADDR": "host", "MASTER_PORT": "1234", "WORLD_SIZE": "2", "RANK": "1"}


def test_another_backend_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(InputError, match=r"needs the backend jax. Received: tensorflow.*KERAS_BACKEND=jax"):
        join_processes(LAUNCHED)


def test_the_launcher_says_who_is_who() -> None:
    assert _address(LAUNCHED) == {"coordinator_address": "host:1234", "num_processes": 2, "process_id": 1}
    assert _address({"SLURM_JOB_ID": "7"}) == {}, "JAX reads the rest of SLURM's variables itself"
    assert ALONE.leads and ALONE.count == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict.fromkeys(LAUNCHED, ""), "Received: none of these; missing: MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK"),
        ({"RANK": ""}, "missing: RANK"),
        ({"RANK": "2"}, "RANK must be 0 to WORLD_SIZE - 1. Received: RANK=2, WORLD_SIZE=2"),
        ({"MASTER_PORT": "http"}, "must be whole numbers. Received: MASTER_PORT='http'"),
    ],
)
def test_a_launcher_that_said_too_little_is_told(change: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _address(LAUNCHED | change)


def test_the_parts_of_a_batch_make_the_batch() -> None:
    images = np.arange(14, dtype="uint8").repeat(12).reshape(14, 2, 2, 3)
    targets = {"number": np.arange(14)}

    def epoch(part: tuple[int, int]) -> list[np.ndarray]:
        return [y["number"] for _, y in Batches(images, targets, 6, seed=3, drop_last=True, part=part).epoch(1)]

    whole, parts = epoch((0, 1)), [epoch((i, 3)) for i in range(3)]
    for i, batch in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([p[i] for p in parts]), batch)
    with pytest.raises(InputError, match="a multiple of the 4 processes. Received: 6"):
        Batches(images, targets, 6, part=(0, 4))
