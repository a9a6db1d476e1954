"""Two processes on this machine train one model: the loss of every epoch is that of one process with the same batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facefeat import FaceFeatureModel
from made import dataset, squares, tiny_recipe

pytest.importorskip("jax", reason="training on several processes needs the extra jax")
pytestmark = pytest.mark.scale


def start(folder: Path, output: str, **launcher: object) -> subprocess.Popen[str]:
    """`facefeat train` in a process of its own. launcher: the variables that a launcher would set."""
    env = {**os.environ, "KERAS_BACKEND": "jax", **{k: str(v) for k, v in launcher.items()}}
    command = [
        "train",
        "--recipe",
        "tiny.toml",
        "--data",
        "pictures/faces.csv",
        "--output",
        output,
        *["--distributed"] * bool(launcher),
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "facefeat", *command],
        cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tomli_w

    made = tmp_path_factory.mktemp("processes")
    squares(made / "pictures")
    (made / "tiny.toml").write_text(tomli_w.dumps(tiny_recipe().to_dict()), "utf-8")
    return made


def test_two_processes_train_as_one_does(folder: Path) -> None:
    finish(start(folder, "one"))
    port = free_port()
    both = [
        start(folder, name, MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=2, RANK=rank)
        for rank, name in ((1, "quiet"), (0, "two"))
    ]
    (quiet, _), (leader, said) = (finish(p) for p in both)
    # Gloo itself says hello on standard output.
    assert "preset" not in quiet and leader.strip().endswith("preset") and "2 processes" in said
    assert list((folder / "quiet").iterdir()) == [], "checkpoints are written by the first process alone"
    assert {"checkpoint.npz", "best.npz", "preset"} <= {p.name for p in (folder / "two").iterdir()}
    one, two = (json.loads((folder / name / "training.json").read_text())["epochs"] for name in ("one", "two"))
    assert [e["epoch"] for e in two] == [e["epoch"] for e in one]
    np.testing.assert_allclose([e["loss"] for e in two], [e["loss"] for e in one], rtol=2e-3)
    alone, together = (FaceFeatureModel.from_preset(folder / name / "preset") for name in ("one", "two"))
    crops = dataset(folder / "pictures").crops(32)[:4]
    for name, p in alone.predict_faces(crops).probabilities.items():
        np.testing.assert_allclose(together.predict_faces(crops).probabilities[name], p, atol=0.02)
