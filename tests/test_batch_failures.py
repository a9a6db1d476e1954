"""Batch runs that fail in part: where the output can be, another working folder, reading again, giving up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batch_standin import StandIn, album, picture
from facefeat import FacefeatError, InputError
from facefeat.batch import chunks as chunks_room
from facefeat.batch import files, run_batch
from facefeat.batch import parts as parts_room
from facefeat.batch import run as run_room

pq = pytest.importorskip("pyarrow.parquet")
fsspec = pytest.importorskip("fsspec")


class Ended(BaseException):
    """Stands for the end of a process: nothing in facefeat catches it."""


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stand-in, chunks of 4 pictures, parts of 2 chunks; gives the sources that were opened."""
    seen: list[str] = []
    opening = chunks_room.PictureReader.open

    def counting(self: Any, item: Any, *more: Any) -> Any:
        seen.append(item.source)
        return opening(self, item, *more)

    monkeypatch.setattr(chunks_room.PictureReader, "open", counting)
    monkeypatch.setattr(chunks_room, "load_model", lambda _: StandIn())
    monkeypatch.setattr(run_room, "CHUNK", 4)
    monkeypatch.setattr(parts_room, "_PART_CHUNKS", 2)
    monkeypatch.setattr(files.time, "sleep", lambda _: None)
    return seen


def end_after(pictures: int) -> Any:
    def progress(done: int, total: int) -> None:
        if done >= pictures and done < total:
            raise Ended

    return progress


# ---------------------------------------------------------------- where things are


@pytest.mark.parametrize("output", ["s3://bucket/faces.parquet", "memory://faces.parquet", "zip://f.parquet::a.zip"])
def test_an_output_at_an_address_is_refused_with_the_way_to_get_it_there(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    album(tmp_path / "album", 2)
    with pytest.raises(InputError, match="the output is a local path, not an address such as") as caught:
        run_batch("album", output)
    assert "fs.put_file(" in str(caught.value) and repr(output) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["album"]


@pytest.mark.parametrize(
    ("output", "name"), [("", "faces.parquet"), ("x.csv", "x.parquet"), ("deep/x.JSON", "x.parquet")]
)
def test_an_output_that_is_no_parquet_file_is_refused(
    output: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    album(tmp_path / "album", 2)
    with pytest.raises(InputError, match=f"one Parquet file. Received: '{output}'.*such as {name}"):
        run_batch("album", output)
    assert [p.name for p in tmp_path.iterdir()] == ["album"]


def test_where_no_lock_can_be_made_it_is_not_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    def acquire(self: Any, *_: Any, **__: Any) -> None:
        raise filelock.Timeout(self.lock_file)

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    album(tmp_path / "album", 2)
    with pytest.raises(InputError, match="cannot write .*no lock can be made"):
        run_batch(tmp_path / "album", tmp_path / "faces.parquet")


def test_the_way_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.parquet").write_bytes(b"a table")
    with pytest.raises(InputError) as caught:
        run_batch("album", "memory://shelf/f.parquet")
    exec(str(caught.value).partition('python -c "')[2].rstrip('"'))
    assert fsspec.filesystem("memory").cat("/shelf/f.parquet") == b"a table"


def test_from_another_working_folder_relative_paths_are_other_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    album(tmp_path / "album")
    (tmp_path / "list.txt").write_text("\n".join(f"album/b/{i:03d}.png" for i in range(11, 23)))
    out = tmp_path / "f.parquet"
    with pytest.raises(Ended):
        run_batch(tmp_path / "list.txt", out, progress=end_after(8))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="another one in another working folder"):
        run_batch(tmp_path / "list.txt", out, resume=True)
    monkeypatch.chdir(tmp_path)
    assert run_batch(tmp_path / "list.txt", out, resume=True).failed == 0
    assert pq.read_table(out).column("source")[0].as_py() == "album/b/011.png"


# ---------------------------------------------------------------- reading again


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """25 pictures, of which the twelfth and the last are broken."""
    return album(tmp_path / "album")


def mend(photos: Path) -> None:
    for i, name in enumerate(("a/empty.jpg", "b/text.jpg")):
        Image.fromarray(picture(50 + i, 2)).save(photos / name, "PNG")


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[bytes]:
    """What is written where no picture is broken, and under the same names."""
    folder = album(tmp_path / "album")
    mend(folder)
    run_batch(folder, tmp_path / "whole.parquet", latent=True)
    data = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "whole.parquet").unlink()
    album(tmp_path / "album")  # broken again
    yield data


def test_failed_pictures_are_read_again_and_their_rows_replaced(
    whole: bytes, photos: Path, tmp_path: Path, opened: list[str]
) -> None:
    out = tmp_path / "f.parquet"
    assert run_batch(photos, out, latent=True).failed == 2
    before = out.read_bytes()
    mend(photos)
    assert run_batch(photos, out, latent=True, resume=True).failed == 2 and out.read_bytes() == before
    opened.clear()
    done = run_batch(photos, out, latent=True, resume=True, retry_failed=True)
    assert (done.failed, done.pictures, done.resumed) == (0, 25, 20)
    assert len(opened) == 5  # the chunk of the twelfth, and the last one, which holds a single picture
    assert out.read_bytes() == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["album", "f.parquet"]
    opened.clear()
    assert run_batch(photos, out, latent=True, resume=True, retry_failed=True).resumed == 25 and not opened


def test_what_fails_again_stays_failed_once(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    run_batch(photos, out, latent=True)
    before = out.read_bytes()
    assert run_batch(photos, out, latent=True, resume=True, retry_failed=True).failed == 2
    assert out.read_bytes() == before


def test_a_run_that_is_not_finished_reads_again_what_failed_in_it(whole: bytes, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    with pytest.raises(Ended):
        run_batch(photos, out, latent=True, progress=end_after(20))
    mend(photos)
    done = run_batch(photos, out, latent=True, resume=True, retry_failed=True)
    assert (done.failed, done.resumed) == (0, 12)  # 16 in parts, without the chunk of the twelfth
    assert out.read_bytes() == whole


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("after", range(7))
def test_reading_again_can_be_ended_anywhere(
    after: int, written: bool, finished: bool, whole: bytes, photos: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Ended before or after the n-th file is written: an output that was there stays, no row is lost or doubled."""
    out = tmp_path / "f.parquet"
    if finished:
        run_batch(photos, out, latent=True)
    else:
        with pytest.raises(Ended):
            run_batch(photos, out, latent=True, progress=end_after(20))
    before = out.read_bytes() if finished else None
    mend(photos)
    count, write = 0, os.replace

    def ending(*given: Any) -> None:
        nonlocal count
        count += 1
        if written:
            write(*given)
        if count > after:
            raise Ended
        if not written:
            write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", ending)
        try:
            run_batch(photos, out, latent=True, resume=True, retry_failed=True)
        except Ended:
            assert not out.exists() or out.read_bytes() in (before, whole)
    run_batch(photos, out, latent=True, resume=True)
    rows = [(r["source"], r["face"] or 1) for r in pq.read_table(out, columns=["source", "face"]).to_pylist()]
    assert len(rows) == len(set(rows)) and len({source for source, _ in rows}) == 25
    assert not finished or out.read_bytes() in (before, whole)
    run_batch(photos, out, latent=True, resume=True, retry_failed=True)
    assert out.read_bytes() == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["album", "f.parquet"]


def test_reading_again_goes_on_with_resume_alone(
    whole: bytes, photos: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "f.parquet"
    run_batch(photos, out, latent=True)
    mend(photos)
    monkeypatch.setattr(parts_room, "_PART_CHUNKS", 1)
    with pytest.raises(Ended):
        run_batch(photos, out, latent=True, resume=True, retry_failed=True, progress=end_after(24))
    opened.clear()
    done = run_batch(photos, out, latent=True, resume=True)
    assert (done.failed, out.read_bytes() == whole, len(opened)) == (0, True, 1)


def test_reading_again_is_for_a_run_that_is_resumed(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Add: --resume"):
        run_batch(photos, tmp_path / "f.parquet", retry_failed=True)
    # Where there is nothing yet, it starts.
    assert run_batch(photos, tmp_path / "f.parquet", resume=True, retry_failed=True).failed == 2


# ---------------------------------------------------------------- giving up


class Store:
    """30 pictures in memory, some of which are kept away."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fs = fsspec.filesystem("memory")
        album(folder, 30)
        self.addresses = []
        for path in sorted(folder.rglob("*.png")):
            fs.pipe(f"/store/{path.name}", path.read_bytes())
            self.addresses.append(f"memory://store/{path.name}")
        self.list = folder.with_suffix(".txt")
        self.list.write_text("\n".join(self.addresses))
        self.away: set[int] = set()
        self.error: Exception = PermissionError(13, "Access Denied")
        read = files._read

        def asked(text: str, *given: Any) -> bytes:
            if text in [self.addresses[i] for i in self.away]:
                raise self.error
            return read(text, *given)

        monkeypatch.setattr(files, "_read", asked)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(tmp_path / "store", monkeypatch)


class StrangeError(Exception):
    """As the packages of file systems raise them."""


@pytest.mark.parametrize("error", [PermissionError(13, "Access Denied"), OSError("unreachable"), StrangeError("403")])
def test_a_store_that_is_kept_away_ends_the_run_and_resume_goes_on(
    error: Exception, store: Store, tmp_path: Path
) -> None:
    run_batch(store.list, tmp_path / "whole.parquet", allow_remote=["memory"])
    store.away, store.error = set(range(10, 30)), error
    out = tmp_path / "f.parquet"
    with pytest.raises(FacefeatError, match=r"9 pictures in a row could not be reached.*Next: --resume") as caught:
        run_batch(store.list, out, give_up_after=9, allow_remote=["memory"])
    assert "no access to 'memory://store/018.png'" in str(caught.value) and not out.exists()
    kept = sorted(p.name for p in tmp_path.glob("f.parquet.parts/part-*"))
    assert kept == ["part-000000000-000000001.parquet"]  # not the chunk in which it began
    store.away = set()
    done = run_batch(store.list, out, resume=True, allow_remote=["memory"])
    assert (done.failed, done.resumed) == (0, 8)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_pictures_that_are_bad_in_themselves_end_no_run(store: Store, tmp_path: Path) -> None:
    store.away = set(range(3, 30))
    for error in (FileNotFoundError("gone"), ValueError("no such name")):
        store.error = error
        out = tmp_path / f"{type(error).__name__}.parquet"
        assert run_batch(store.list, out, give_up_after=5, allow_remote=["memory"]).failed == 27
    (tmp_path / "lines.txt").write_text("\n".join(f"gone-{i}.jpg" for i in range(12)))
    assert run_batch(tmp_path / "lines.txt", tmp_path / "l.parquet", give_up_after=5).failed == 12


def test_a_few_that_are_kept_away_are_rows_and_hold_nothing_up(store: Store, tmp_path: Path) -> None:
    store.away = {i for i in range(30) if i % 4 == 3}  # the last of every chunk
    out = tmp_path / "f.parquet"
    with pytest.raises(Ended):
        run_batch(store.list, out, give_up_after=2, progress=end_after(20), allow_remote=["memory"])
    assert len(list(tmp_path.glob("f.parquet.parts/part-*"))) == 2
    assert run_batch(store.list, out, give_up_after=2, resume=True, allow_remote=["memory"]).failed == 7
    store.away = {0, 1, 2, 3, 28, 29}
    assert run_batch(store.list, tmp_path / "g.parquet", give_up_after=5, allow_remote=["memory"]).failed == 6


def test_giving_up_can_be_turned_off(store: Store, tmp_path: Path) -> None:
    store.away = set(range(30))
    assert run_batch(store.list, tmp_path / "f.parquet", give_up_after=0, allow_remote=["memory"]).failed == 30
    with pytest.raises(InputError, match="give_up_after must be at least 0"):
        run_batch(store.list, tmp_path / "g.parquet", give_up_after=-1, allow_remote=["memory"])


def test_what_was_done_is_kept_when_the_engine_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_room, "_PART_CHUNKS", 100)  # nothing is written until then

    class GivesUp(run_room.ChunkReader):
        def read(self, *given: Any) -> Iterator[Any]:
            for number, found in enumerate(super().read(*given)):
                if number == 3:
                    raise FacefeatError("the cluster gave up")
                yield found

    photos, out = album(tmp_path / "album", 20), tmp_path / "f.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(run_room, "ChunkReader", GivesUp)
        with pytest.raises(FacefeatError, match="gave up"):
            run_batch(photos, out)
    assert run_batch(photos, out, resume=True).resumed == 12
