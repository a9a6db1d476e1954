"""The decoded crops: right pixels, written atomically, built anew when damaged, shared by splits."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facefeat.data import FaceDataset, load_dataset
from facefeat.data import crops as module
from facefeat.errors import DataError, InputError
from facefeat.utils.machine import cache_dir

N, S = 40, 16


def picture(i: int) -> Image.Image:
    rng = np.random.default_rng(i)
    return Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8))


def png(i: int) -> bytes:
    out = io.BytesIO()
    picture(i).save(out, "PNG")
    return out.getvalue()


def expected(i: int, size: int = S) -> np.ndarray:
    square = picture(i).crop((2, 0, 22, 20))
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A CSV data set of N pictures, one in four in split val."""
    rows = ""
    for i in range(N):
        (tmp_path / f"{i:02d}.png").write_bytes(png(i))
        rows += f"{i:02d}.png,{'Male' if i % 2 else 'Female'},{'val' if i % 4 == 0 else 'train'}\n"
    (tmp_path / "x.csv").write_text(f"file,gender,split\n{rows}")
    return tmp_path


def load(folder: Path) -> FaceDataset:
    return load_dataset(folder / "x.csv", schema="fairface")


def cached(folder: Path) -> Path:
    """The one cache in it."""
    found = list((folder / "cache").iterdir())
    assert len(found) == 1 and not found[0].name.startswith("."), f"one whole cache and nothing else: {found}"
    return found[0]


def test_crops_are_the_pictures_in_the_order_of_the_table(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    view = load(folder).crops(S, folder / "cache", lambda done, total: seen.append((done, total)))
    assert view.shape == (N, S, S, 3) and view.dtype == np.uint8 and len(view) == N and view.nbytes == N * S * S * 3
    for i in range(N):
        assert np.array_equal(view[i], expected(i))
    assert seen[-1] == (N, N)


def test_a_view_is_indexed_like_an_array(folder: Path) -> None:
    view = load(folder).crops(S, folder / "cache")
    whole = np.asarray(view)
    mask = np.arange(N) % 3 == 0
    for key in (3, -1, slice(5, 9), slice(None, None, -7), [7, 7, 2], np.array([9, -2]), mask, np.int64(4)):
        assert np.array_equal(view[key], whole[key])
    assert view[[]].shape == (0, S, S, 3)
    assert view[2, 1, 0, 2] == whole[2, 1, 0, 2] and np.array_equal(view[2:4, :, 0], whole[2:4, :, 0])
    assert np.array_equal(view.take([5, 1]), whole[[5, 1]])
    assert np.array_equal(np.stack(list(view)), whole) and np.asarray(view, "float32").dtype == np.float32
    for key in (N, [N], 1.5, "a"):
        with pytest.raises((IndexError, TypeError, ValueError)):
            view[key]
    view[0][:] = 0
    assert view[0].any(), "what is returned is a copy"


def test_splits_share_one_cache_and_know_their_rows(folder: Path) -> None:
    ds = load(folder)
    val, train = ds.split("val").crops(S, folder / "cache"), ds.split("train").crops(S, folder / "cache")
    assert val.shape[0] == 10 and train.shape[0] == 30
    assert all(np.array_equal(val[k], expected(4 * k)) for k in range(10))
    assert np.array_equal(ds.take([7, 3]).crops(S, folder / "cache")[0], expected(7))
    assert val.path == train.path and cached(folder)


def test_it_is_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(folder).crops(S, folder / "cache")
    monkeypatch.setattr(module, "open_image", lambda _: pytest.fail("decoded again"))
    assert np.array_equal(load(folder).crops(S, folder / "cache")[3], expected(3))


def test_a_changed_picture_size_or_list_is_decoded_anew(folder: Path) -> None:
    load(folder).crops(S, folder / "cache")
    (folder / "03.png").write_bytes(png(99))
    os.utime(folder / "03.png", ns=(1, 1))
    assert np.array_equal(load(folder).crops(S, folder / "cache")[3], expected(99))
    assert load(folder).crops(24, folder / "cache").shape[1:] == (24, 24, 3)
    (folder / "x.csv").write_text("file,gender\n05.png,Male\n01.png,Male\n")
    assert np.array_equal(load(folder).crops(S, folder / "cache")[0], expected(5))


def damage_short(cache: Path) -> None:
    data = (cache / "crops.u8").read_bytes()
    (cache / "crops.u8").write_bytes(data[:-1])


def damage_pixel(cache: Path) -> None:
    data = bytearray((cache / "crops.u8").read_bytes())
    data[len(data) // 2] ^= 255
    (cache / "crops.u8").write_bytes(data)


def damage_about(cache: Path) -> None:
    (cache / "cache.json").write_text('{"version": 1')


def damage_list(cache: Path) -> None:
    about = json.loads((cache / "cache.json").read_text())
    (cache / "cache.json").write_text(json.dumps({**about, "bad": [1]}))


def damage_gone(cache: Path) -> None:
    (cache / "crops.u8").unlink()


@pytest.mark.parametrize("damage", [damage_short, damage_pixel, damage_about, damage_list, damage_gone])
def test_a_damaged_cache_is_noticed_and_built_anew(folder: Path, damage: object) -> None:
    ds = load(folder)
    ds.crops(S, folder / "cache")
    damage(cached(folder))  # type: ignore[operator]
    for again in (load(folder), load(folder)):
        assert np.array_equal(np.asarray(again.crops(S, folder / "cache")), np.stack([expected(i) for i in range(N)]))
    cached(folder)


def test_an_open_data_set_notices_too(folder: Path) -> None:
    ds = load(folder)
    ds.crops(S, folder / "cache")
    damage_pixel(cached(folder))
    assert np.array_equal(ds.crops(S, folder / "cache")[N // 2], expected(N // 2))


def test_an_interruption_leaves_nothing(folder: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(folder).crops(S, folder / "cache", interrupt)
    assert list((folder / "cache").iterdir()) == []
    assert not [t for t in threading.enumerate() if t.name.startswith("facefeat-decode")]


def test_two_processes_at_once_are_both_right(folder: Path) -> None:
    code = (
        "import sys, zlib; from facefeat.data import load_dataset; import numpy as np;"
        "v = load_dataset(sys.argv[1], schema='fairface').crops(16, sys.argv[2]); print(zlib.crc32(np.asarray(v)))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", code, str(folder / "x.csv"), str(folder / "cache")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) for _ in range(2)]
    outputs = {run.communicate(timeout=60)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0] and len(outputs) == 1
    cached(folder)


def test_threads_at_once_are_right(folder: Path) -> None:
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(np.asarray(load(folder).crops(S, folder / "cache"))))
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 4 and all(np.array_equal(r, results[0]) for r in results)
    cached(folder)


def test_undecodable_pictures_are_skipped_and_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "05.png").write_bytes(b"text")
    (folder / "08.png").write_bytes(png(8)[:200])
    (folder / "09.png").unlink()
    ds = load(folder)
    (folder / "10.png").unlink()  # after the list was read
    before, fingerprint = len(ds), ds.fingerprint
    train = ds.split("train")
    with pytest.warns(UserWarning, match=r"3 pictures of 'x' cannot be read and are skipped: 05.png, 08.png, 10.png"):
        view = train.crops(S, folder / "cache")
    assert before == N - 1 and len(ds) == N - 4 == len(ds.table) == len(ds.crops(S, folder / "cache"))
    assert len(view) == len(train) == len(train.labels()["gender"]) == len(train.years()) == 27
    files = train.table["file"].tolist()
    assert all(np.array_equal(view[k], expected(int(f[:2]))) for k, f in enumerate(files))
    assert [s.file for s in ds.skipped] == ["09.png", "05.png", "08.png", "10.png"]
    assert ds.fingerprint == fingerprint
    assert "08.png" in {s.file for s in ds.split("val").skipped}
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match="2 pictures"):
            assert len(load(folder).crops(S, folder / "cache")) == N - 4
        monkeypatch.setattr(module, "open_image", lambda _: pytest.fail("decoded again"))


def test_no_picture_left_is_an_error(folder: Path) -> None:
    ds = load(folder)
    for i in range(0, N, 4):
        (folder / f"{i:02d}.png").write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(DataError, match="no picture of this part"):
        ds.split("val").crops(S, folder / "cache")
    for i in range(N):
        (folder / f"{i:02d}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 40 pictures can be read. The first: 00.png: "):
        load(folder).crops(S, folder / "cache")
    assert len(list((folder / "cache").iterdir())) == 1


@pytest.mark.parametrize("size", [0, -1, 7, 1025, 96.0, True, None, "96"])
def test_an_impossible_size_is_an_input_error(folder: Path, size: object) -> None:
    with pytest.raises(InputError, match="8 to 1024"):
        load(folder).crops(size, folder / "cache")  # type: ignore[arg-type]


def test_where_the_cache_lies(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facefeat.data import read_raw, write_dataset

    monkeypatch.delenv("FACEFEAT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "user"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_dir() == folder / "user" / "facefeat"
    assert load(folder).crops(S).path.parent.parent == folder / "user" / "facefeat"
    imported = write_dataset(read_raw(folder / "x.csv"), folder / "imported")
    assert imported.crops(S).path.is_relative_to(folder / "user"), "what is there already is used"
    assert imported.crops(24).path.parent.parent == folder / "imported" / "cache"
    monkeypatch.setenv("FACEFEAT_CACHE", str(folder / "mine"))
    assert imported.crops(S).path.parent.parent == folder / "mine"
    assert imported.crops(S, folder / "cache").path.parent.parent == folder / "cache"


def test_a_folder_that_cannot_be_written_gives_way_to_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facefeat.data import read_raw, write_dataset

    monkeypatch.delenv("FACEFEAT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "user"))
    imported = write_dataset(read_raw(folder / "x.csv"), folder / "imported")
    (folder / "imported" / "cache").write_bytes(b"in the way")
    assert imported.crops(S).path.is_relative_to(cache_dir())
    with pytest.raises(DataError, match=r"no room for the decoded crops \(0 MB\).*Set FACEFEAT_CACHE"):
        load(folder).crops(S, folder / "x.csv")
    usage = module.shutil.disk_usage(folder)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(DataError, match="0 MB free"):
        load(folder).crops(S, folder / "cache")


def test_reading_gives_its_memory_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RELEASE_BYTES", 1000)
    monkeypatch.setattr(module, "CHECK_ALL_BYTES", 1000)  # as if the file were too large to check whole
    view = load(folder).crops(S, folder / "cache")
    for _ in range(3):
        assert np.array_equal(view[[5, 3, N - 1]], np.stack([expected(5), expected(3), expected(N - 1)]))
