"""What the engine "ray" says and does before Ray has workers; tests/scale runs it on real nodes. No Ray is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from facefeat import InputError
from facefeat.batch import Cluster, cluster


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Ray that notes how it was started."""
    made: Any = ModuleType("ray")
    made.started = []
    made.init = lambda **given: made.started.append(given)
    made.cluster_resources = lambda: {"CPU": 3.0, "GPU": 1.0, "memory": 1e9}
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return made


def test_without_an_address_ray_is_started_here_and_with_one_it_is_joined(ray: Any) -> None:
    for address in (None, "auto", "10.0.0.1:6379"):
        cluster._start(address)
    assert [given["address"] for given in ray.started] == ["local", "auto", "10.0.0.1:6379"]
    assert "include_dashboard" not in ray.started[1], "of a cluster that runs, Ray refuses to be told"


@pytest.mark.parametrize("error", [ConnectionError, RuntimeError, ValueError])
def test_a_cluster_that_does_not_answer_is_said(error: type[Exception], ray: Any) -> None:
    def init(**_: Any) -> None:
        raise error("Traceback of Ray\n\nCould not find any running Ray instance.")

    ray.init = init
    with pytest.raises(
        InputError, match=r"no Ray cluster answers at 'h:1' \(Could not find any running Ray instance\.\)"
    ):
        cluster._start("h:1")


@pytest.mark.parametrize(
    ("asked", "fit"),
    [
        (Cluster(), 3),
        (Cluster(gpus=0.25), 3),  # the CPUs are what there is least of
        (Cluster(gpus=0.5), 2),
        (Cluster(gpus=0.1, cpus=0.3), 10),
        (Cluster(gpus=1), 1),
    ],
)
def test_fractions_of_a_gpu_say_how_many_workers_fit(asked: Cluster, fit: int, ray: Any) -> None:
    assert cluster._fitting(asked) == fit


def test_workers_use_the_backend_of_the_driver_however_it_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("FACEFEAT_PLUGINS", "mine")
    assert cluster._environment()["KERAS_BACKEND"] == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    env = cluster._environment()
    assert (env["KERAS_BACKEND"], env["FACEFEAT_PLUGINS"]) == ("jax", "mine") and "FACEFEAT_STRICT" not in env
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert cluster._environment()["KERAS_BACKEND"] == "torch"
    chosen = SimpleNamespace(config=SimpleNamespace(backend=lambda: "jax"))  # imported, and so decided
    monkeypatch.setitem(sys.modules, "keras", chosen)  # type: ignore[arg-type]
    assert cluster._environment()["KERAS_BACKEND"] == "jax"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"gpus": -1}, "gpus must be"),
        ({"cpus": 0}, "cpus must be above"),
    ],
)
def test_what_no_cluster_has_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Cluster(**given)
