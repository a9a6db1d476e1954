"""The engine "ray": real nodes and workers on this machine; the same bits as the local engine, whatever is killed.

`nox -s scale` runs these. The stand-in's answers depend on the whole batch: a chunk that is formed otherwise shows.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import batch_standin
from facefeat import FacefeatError, InputError
from facefeat.batch import Cluster, run_batch
from facefeat.batch import chunks as chunks_room
from facefeat.batch import cluster as cluster_room
from facefeat.batch import run as run_room

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.scale

HERE = str(Path(__file__).resolve().parent.parent)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in here, chunks of 4 pictures, tasks of a chunk."""
    monkeypatch.setattr(chunks_room, "load_model", lambda _: batch_standin.StandIn())
    monkeypatch.setattr(cluster_room, "Worker", batch_standin.Worker)
    monkeypatch.setattr(run_room, "CHUNK", 4)
    monkeypatch.setattr(cluster_room, "_PER_TASK", 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return batch_standin.album(tmp_path_factory.mktemp("scale") / "album", 120)


@pytest.fixture
def whole(photos: Path, small: None, tmp_path: Path) -> bytes:
    """What the local engine writes."""
    run_batch(photos, tmp_path / "local.parquet", latent=True)
    return (tmp_path / "local.parquet").read_bytes()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Three nodes of a CPU each, whose workers have the stand-in, and take 0.2 s for a group of pictures."""
    from ray.cluster_utils import Cluster as Nodes

    before = dict(os.environ)
    path = os.pathsep.join([HERE, before.get("PYTHONPATH", "")])
    os.environ.update({"PYTHONPATH": path, "STANDIN_SECONDS": "0.2"})  # workers inherit it
    made = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 1024**2})
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=100 * 1024**2)
    ray.init(address=made.address, log_to_driver=False)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        os.environ.clear()
        os.environ.update(before)


def workers() -> list[dict[str, Any]]:
    """The living actors that hold a model: their process and node."""
    from ray._private.state import actors  # the public list needs Ray's dashboard, which the extra does not bring

    living = [a for a in actors().values() if a["State"] == "ALIVE" and "Worker" in a["ActorClassName"]]
    return [{"pid": a["Pid"], "node": a["Address"]["NodeID"]} for a in living]


def test_several_nodes_write_what_one_process_writes(nodes: Any, photos: Path, whole: bytes, tmp_path: Path) -> None:
    seen: set[str] = set()

    def look(done: int, total: int) -> None:
        seen.update(w["node"] for w in workers())

    out = tmp_path / "ray.parquet"
    done = run_batch(photos, out, latent=True, engine="ray", cluster=Cluster(workers=3), progress=look)
    assert out.read_bytes() == whole
    assert (done.pictures, done.failed) == (122, 2)
    assert len(seen) == 3


def test_a_killed_worker_costs_a_retry_and_no_row(nodes: Any, photos: Path, whole: bytes, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if done > 12 and len(killed) < 2:
            living = [w["pid"] for w in workers() if w["pid"] not in killed]
            if living:
                os.kill(living[0], signal.SIGKILL)
                killed.append(living[0])

    out = tmp_path / "ray.parquet"
    run_batch(photos, out, latent=True, engine="ray", cluster=Cluster(workers=3), progress=kill)
    assert len(killed) == 2
    assert out.read_bytes() == whole


def test_a_lost_node_costs_no_row(nodes: Any, photos: Path, whole: bytes, tmp_path: Path) -> None:
    more = nodes.add_node(num_cpus=1, object_store_memory=100 * 1024**2)
    nodes.wait_for_nodes()
    lost: list[int] = []

    def lose(done: int, total: int) -> None:
        if done > 16 and not lost:
            lost.append(done)
            threading.Thread(target=nodes.remove_node, args=(more,)).start()

    out = tmp_path / "ray.parquet"
    run_batch(photos, out, latent=True, engine="ray", cluster=Cluster(workers=4), progress=lose)
    assert lost and out.read_bytes() == whole


class Ended(BaseException):
    """Stands for the end of the driver."""


def test_what_one_engine_began_the_other_ends(nodes: Any, photos: Path, whole: bytes, tmp_path: Path) -> None:
    def end(done: int, total: int) -> None:
        if done >= 72:
            raise Ended

    out = tmp_path / "ray.parquet"
    with pytest.raises(Ended):
        run_batch(photos, out, latent=True, engine="ray", cluster=Cluster(workers=2), progress=end)
    done = run_batch(photos, out, latent=True, resume=True)
    assert done.resumed >= 64 and out.read_bytes() == whole


def test_every_kind_of_input_reaches_the_workers(
    nodes: Any, photos: Path, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By relative paths, too: the nodes were started in another folder."""
    import tarfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(photos.rglob("*.png"))[:20]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for file in files:
            tar.add(file, file.name)
    table = pa.table({"image": [f.read_bytes() for f in files]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    (tmp_path / "a.txt").write_text("\n".join(f"file://{f}" for f in files))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(files[0].read_bytes())
    (tmp_path / "b.txt").write_text("folder/a.png")
    monkeypatch.chdir(tmp_path)
    given = ["a.tar", "a.parquet", "a.txt", "folder", "b.txt"]
    assert run_batch(given, tmp_path / "local.parquet", allow_remote=["file"]).failed == 0
    run_batch(given, tmp_path / "ray.parquet", allow_remote=["file"], engine="ray", cluster=Cluster(workers=2))
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()


def test_what_a_cluster_cannot_do_is_said(
    nodes: Any, photos: Path, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"no room for a worker of 1 CPU, 0\.5 GPU\. It has: \d CPU, 0 GPU"):
        run_batch(photos, tmp_path / "f.parquet", engine="ray", cluster=Cluster(gpus=0.5))
    monkeypatch.setattr("facefeat._version.__version__", "0.0.0")
    with pytest.raises(FacefeatError, match=r"has facefeat .*, the driver 0\.0\.0"):
        run_batch(photos, tmp_path / "f.parquet", engine="ray", cluster=Cluster(workers=1))


def test_a_picture_that_kills_every_worker_ends_the_run_and_not_the_work(
    nodes: Any, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_room, "_RETRIES", 1)
    folder = batch_standin.album(tmp_path / "album", 40)
    deadly = batch_standin.picture(0, 0)
    deadly[0, 0] = batch_standin.DEADLY
    Image.fromarray(deadly).save(folder / "b" / "zzz.png")
    with pytest.raises(FacefeatError, match=r"the cluster gave up.*Finished work is kept\. Next: --resume"):
        run_batch(folder, tmp_path / "f.parquet", engine="ray", cluster=Cluster(workers=1))
    done = run_batch(folder, tmp_path / "f.parquet", resume=True)  # here it is a picture like others
    assert done.pictures == 43 and done.resumed > 0


def test_workers_share_a_gpu(nodes: Any, photos: Path, whole: bytes, tmp_path: Path) -> None:
    """A GPU that Ray is told of and that is not there: what is tested is who is placed where."""
    more = nodes.add_node(num_cpus=2, num_gpus=1, object_store_memory=100 * 1024**2)
    nodes.wait_for_nodes()
    seen: set[tuple[int, str]] = set()
    earlier = {w["pid"] for w in workers()}  # of the test before, which may take a moment to go

    def look(done: int, total: int) -> None:
        seen.update((w["pid"], w["node"]) for w in workers() if w["pid"] not in earlier)

    try:
        out = tmp_path / "ray.parquet"
        run_batch(photos, out, latent=True, engine="ray", cluster=Cluster(workers=2, gpus=0.5), progress=look)
        assert out.read_bytes() == whole
        assert len(seen) == 2 and len({node for _, node in seen}) == 1, "both on the only node that has one"
        with pytest.raises(InputError, match=r"no room for a worker of 1 CPU, 2 GPU\. It has: \d CPU, 1 GPU"):
            run_batch(photos, tmp_path / "f.parquet", engine="ray", cluster=Cluster(gpus=2))
    finally:
        nodes.remove_node(more)


def by_command(tmp_path: Path, name: str, *args: object) -> bytes:
    """What `facefeat batch` writes in a process of its own."""
    import subprocess
    import sys

    out = tmp_path / f"{name}.parquet"
    command = [sys.executable, "-m", "facefeat", "batch", *map(str, args), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Written to {out}\n"
    return out.read_bytes()


def test_a_cluster_that_runs_already_is_joined_by_its_address(nodes: Any, photos: Path, tmp_path: Path) -> None:
    from facefeat.testing import toy_preset

    given = (photos, "--preset", toy_preset(tmp_path / "preset"), "--detector", "whole-image", "--latent")
    alone = by_command(tmp_path, "local", *given)
    assert by_command(tmp_path, "ray", *given, "--engine", "ray", "--address", nodes.address, "--workers", 1) == alone


def test_the_bundled_model_and_its_detector_give_the_same_bits_in_a_worker_of_one_core(tmp_path: Path) -> None:
    """A worker is given fewer threads than the local engine takes; that must not change the order of a sum."""
    portrait = Image.open(Path(HERE).parent / "docs" / "assets" / "portrait.jpg")
    (tmp_path / "photos").mkdir()
    for i in range(6):
        side = 160 + 90 * i
        portrait.resize((side, side)).save(tmp_path / "photos" / f"{i}.jpg", quality=92)
    alone = by_command(tmp_path, "local", tmp_path / "photos", "--latent")
    one = ("--engine", "ray", "--workers", 1, "--cpus", 1)
    assert by_command(tmp_path, "ray", tmp_path / "photos", "--latent", *one) == alone


def test_the_real_model_gives_the_same_bits_in_its_workers(photos: Path, tmp_path: Path) -> None:
    """In a process of its own: the one above has its nodes, and the stand-in in them."""
    import subprocess
    import sys

    from facefeat.testing import toy_preset

    preset = toy_preset(tmp_path / "preset")
    start = [sys.executable, "-m", "facefeat", "batch", str(photos), "--preset", str(preset)]
    start += ["--detector", "whole-image", "--latent"]
    for engine in ("local", "ray"):
        more = ["--engine", "ray", "--workers", "2", "--cpus", "0.5"] if engine == "ray" else []
        done = subprocess.run(
            [*start, "-o", str(tmp_path / f"{engine}.parquet"), *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"Written to {tmp_path / f'{engine}.parquet'}\n"
        assert done.stderr.startswith("facefeat: 122 pictures, 120 faces, 2 could not be read"), done.stderr
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
