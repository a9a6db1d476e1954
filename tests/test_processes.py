"""What a run of several processes needs of its launcher, and how a batch is divided; tests/scale trains with two."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facefeat import InputError, TrainingError
from facefeat.data.batches import Batches
from facefeat.training import processes
from facefeat.training.processes import ALONE, Processes, _address, gathered, join_processes

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


def test_under_torchrun_the_port_after_its_own_is_taken() -> None:
    for says, port in (("True", 1235), ("False", 1234)):
        found = _address(LAUNCHED | {"TORCHELASTIC_USE_AGENT_STORE": says})
        assert found["coordinator_address"] == f"host:{port}"


def test_processes_that_would_start_apart_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ALONE.check_start(7)  # asks nobody
    others = {"all": [3, 3], "apart": [4, 0]}
    monkeypatch.setattr(processes, "gathered", lambda epoch: others["all"])
    Processes(1, 2).check_start(3)
    monkeypatch.setattr(processes, "gathered", lambda epoch: others["apart"])
    said = r"process 0 at epoch 5, process 1 at epoch 1\. With --resume, --output must be a folder that all"
    for index, epoch in enumerate(others["apart"]):
        with pytest.raises(TrainingError, match=said):
            Processes(index, 2).check_start(epoch)


def test_the_numbers_of_all_processes_come_from_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = ModuleType("jax.experimental.multihost_utils")
    stub.process_allgather = lambda n: np.stack([n, n + np.int32(2)])  # type: ignore[attr-defined]
    for name in ("jax", "jax.experimental"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    assert gathered(5) == [5, 7]


def test_the_example_for_ray_gives_every_node_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with a Ray that calls each function at once and notes where."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "training.md").read_text("utf-8")
    (example,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "import ray" in b)
    placed: list[int] = []

    class Strategy:
        def __init__(self, group: Any, placement_group_bundle_index: int) -> None:
            placed.append(placement_group_bundle_index)

    def remote(function: Any) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=function))

    ray, group = ModuleType("ray"), SimpleNamespace(ready=lambda: None)
    ray.init, ray.get, ray.remote = lambda address: None, lambda value: value, remote  # type: ignore[attr-defined]
    ray.util = SimpleNamespace(get_node_ip_address=lambda: "10.0.0.1")  # type: ignore[attr-defined]
    of_groups, of_strategies = ModuleType("ray.util.placement_group"), ModuleType("ray.util.scheduling_strategies")
    of_groups.placement_group = lambda bundles, strategy: group  # type: ignore[attr-defined]
    of_strategies.PlacementGroupSchedulingStrategy = Strategy  # type: ignore[attr-defined]
    for module in (ray, of_groups, of_strategies):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "ray.util", ModuleType("ray.util"))
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("subprocess.run", lambda command, env, check: started.append((command, env)))
    exec(compile(example, "training.md", "exec"), {"__name__": "reader"})
    assert placed == [0, 0, 1]
    assert [_address(env)["process_id"] for _, env in started] == [0, 1]
    for command, env in started:
        assert _address(env)["coordinator_address"] == "10.0.0.1:29500" and env["KERAS_BACKEND"] == "jax"
        assert command[:3] == ["facefeat", "train", "--distributed"]


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
