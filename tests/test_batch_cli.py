"""`facefeat batch` on the command line: messages, exit codes, what is refused before anything is read."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import batch_standin
from facefeat.batch import chunks as chunks_room
from facefeat.cli import run
from facefeat.errors import FacefeatError

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stand-in; gives what was read."""
    read: list[str] = []

    def load(_: object) -> batch_standin.StandIn:
        read.append("model")
        return batch_standin.StandIn()

    monkeypatch.setattr(chunks_room, "load_model", load)
    return read


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return batch_standin.album(tmp_path_factory.mktemp("cli") / "album", 9)


def said(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = run(["batch", *map(str, args)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_run_says_what_it_gave_and_where_it_is(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces.parquet"
    code, printed, told = said(capsys, photos, "-o", out)
    assert (code, printed) == (0, f"Written to {out}\n")
    assert told.startswith("facefeat: 11 pictures, 12 faces, 3 without a face, 2 could not be read, ")
    assert told.splitlines()[1:] == [
        "facefeat: 2 of 11 pictures could not be read (empty 1, not a picture 1); the column reason says more. "
        "Next: the same command with --resume --retry-failed reads them again."
    ]
    code, _, told = said(capsys, photos, "-o", out, "--resume")
    assert code == 0 and "11 pictures done before" in told
    code, _, told = said(capsys, photos, "-o", out)
    assert code == 2 and "is there already. Next: --overwrite" in told


def test_failed_pictures_are_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = batch_standin.album(tmp_path / "album", 9), tmp_path / "f.parquet"
    assert said(capsys, photos, "-o", out)[0] == 0  # some are bad in themselves: that is no failure of the run
    for bad in photos.rglob("*.jpg"):
        bad.write_bytes((photos / "b" / "005.png").read_bytes())
    code, _, told = said(capsys, photos, "-o", out, "--retry-failed")
    assert code == 2 and "Add: --resume" in told
    code, _, told = said(capsys, photos, "-o", out, "--resume", "--retry-failed")
    assert code == 0 and "11 pictures, 14 faces, 3 without a face, " in told and len(told.splitlines()) == 1


def test_an_output_at_an_address_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, told = said(capsys, photos, "-o", "s3://bucket/faces.parquet")
    assert (code, printed) == (2, "") and "the output is a local path" in told and "Give -o faces.parquet" in told
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_gives_up_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> bytes:
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr("facefeat.batch.files._read", denied)
    (tmp_path / "list.txt").write_text("\n".join(f"memory://shop/{i}.png" for i in range(60)))
    remote = ("--allow-remote", "s3,memory")
    code, printed, told = said(capsys, tmp_path / "list.txt", "-o", tmp_path / "f.parquet", *remote)
    assert (code, printed, told.count("\n")) == (1, "", 1)
    assert "50 pictures in a row could not be reached; the last: no access to 'memory://shop/49.png': Access" in told
    code, _, told = said(
        capsys, tmp_path / "list.txt", "-o", tmp_path / "f.parquet", "--resume", "--give-up-after", 0, *remote
    )
    assert code == 1 and "60 could not be read" in told


def test_where_nothing_could_be_read_the_exit_code_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text("gone.jpg\ngone-too.jpg\n")
    code, _, told = said(capsys, tmp_path / "list.txt", "-o", tmp_path / "f.parquet")
    assert code == 1 and "2 pictures, 0 faces, 2 could not be read" in told
    assert pq.read_table(tmp_path / "f.parquet").num_rows == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "no input given"),
        (("{photos}", "--gpus", "0.5"), "--gpus is of the engine ray. Add: --engine ray"),
        (("{photos}", "--preset", "nope"), "no such preset"),
        (("{photos}", "--detector", "mtcn"), "Did you mean 'mtcnn'"),
        (("{photos}", "--engine", "dask"), "Received: 'dask'. Valid: local, ray"),
        (("nowhere",), "no such file or folder: 'nowhere'"),
        (("{photos}/../empty",), "no pictures in"),
        (("{photos}/../shards",), "shards'. Its tars or Parquet files are read where a glob names them: '"),
        (("{photos}", "--threads", "0"), "--threads"),
        (("{photos}", "--engine", "ray", "--gpus", "1.5"), "gpus must be from 0 to 1, or a whole number"),
    ],
)
def test_what_cannot_be_done_is_said_before_a_model_is_read(
    args: tuple[str, ...],
    words: str,
    photos: Path,
    tmp_path: Path,
    models: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("facefeat.batch.run.require_extra", _without_ray)
    (photos.parent / "empty").mkdir(exist_ok=True)
    (photos.parent / "shards").mkdir(exist_ok=True)
    (photos.parent / "shards" / "00000.tar").write_bytes(b"")
    code, printed, told = said(capsys, *(a.format(photos=photos) for a in args), "-o", tmp_path / "f.parquet")
    assert (code, printed) == (2, "") and words in told
    assert "Traceback" not in told and models == [] and list(tmp_path.iterdir()) == []


def _without_ray(engine: str = "local") -> None:
    """As the real one, but for Ray, which the quick tests do without."""
    if engine not in ("local", "ray"):
        real(engine)


from facefeat.batch.run import require_extra as real  # noqa: E402


@pytest.mark.parametrize(
    ("engine", "missing", "line"),
    [
        ("local", {"pyarrow"}, 'batch needs pyarrow, not installed here. Next: pip install "facefeat[batch]"'),
        ("ray", {"ray"}, 'batch on a cluster needs ray, not installed here. Next: pip install "facefeat[scale]"'),
    ],
)
def test_a_missing_extra_says_what_to_install(
    engine: str,
    missing: set[str],
    line: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    present: Any = object()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n in missing else present if n == "ray" else find(n)
    )
    code, _, told = said(capsys, photos, "-o", tmp_path / "f.parquet", "--engine", engine)
    assert (code, told) == (1, f"facefeat: {line}\n")


def test_interrupted_it_can_go_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "f.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(batch_standin.StandIn, "predict_faces", interrupt)
        assert said(capsys, photos, "-o", out)[0] == 130
    assert list(tmp_path.iterdir()) == []  # no chunk was done: nothing is left that would be in the way
    assert said(capsys, photos, "-o", out, "--resume")[0] == 0


def test_what_a_cluster_says_is_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*_: object, **__: object) -> Any:
        raise FacefeatError("the cluster gave up: ran out of memory. Finished work is kept. Next: --resume")

    monkeypatch.setattr("facefeat.batch.run.require_extra", _without_ray)
    monkeypatch.setattr("facefeat.batch.run.read_on_cluster", give_up)
    code, _, told = said(capsys, photos, "-o", tmp_path / "f.parquet", "--engine", "ray")
    assert (code, told.count("\n")) == (1, 1) and "Next: --resume" in told


def test_the_help_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from facefeat.cli import cli

    for name in ("pyarrow", "fsspec", "ray"):
        monkeypatch.setitem(sys.modules, name, None)
    shown: Result = CliRunner().invoke(cli, ["batch", "--help"])
    assert shown.exit_code == 0 and "--resume" in shown.stdout
