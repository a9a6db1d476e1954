"""Batch runs of the local engine: rows, order, resuming after any end, refusals, bounded memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import batch_standin
from batch_standin import StandIn, album, picture
from facefeat import DataError, InputError, UnknownComponentError
from facefeat.batch import BatchSummary, run_batch
from facefeat.batch import chunks as chunks_room
from facefeat.batch import parts as parts_room
from facefeat.batch import run as run_room
from facefeat.batch.table import NO_FACE, column
from facefeat.utils import ort
from facefeat.utils.ort import threads_of

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """The stand-in, chunks of 4 pictures, parts of 2 chunks; gives the models that were built."""
    made: list[StandIn] = []

    def load(_: object) -> StandIn:
        made.append(StandIn())
        return made[-1]

    monkeypatch.setattr(chunks_room, "load_model", load)
    monkeypatch.setattr(run_room, "CHUNK", 4)
    monkeypatch.setattr(parts_room, "_PART_CHUNKS", 2)
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return album(tmp_path_factory.mktemp("batch") / "album")


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run that nothing disturbs writes."""
    out = tmp_path_factory.mktemp("whole") / "faces.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks_room, "load_model", lambda _: StandIn())
        patch.setattr(run_room, "CHUNK", 4)
        run_batch(photos, out, latent=True)
    return out


class Ended(BaseException):
    """Stands for the end of a process: nothing in facefeat catches it."""


def end_after(pictures: int) -> Any:
    """A progress callback that ends the run once so many are done."""

    def progress(done: int, total: int) -> None:
        if done >= pictures and done < total:
            raise Ended

    return progress


# ---------------------------------------------------------------- rows


def test_every_face_and_every_picture_without_one_has_a_row_in_the_order_of_the_inputs(
    photos: Path, whole: Path
) -> None:
    table = pq.read_table(whole)
    rows = table.to_pylist()
    names = [*(f"a/{i:03d}.png" for i in range(11)), "a/empty.jpg"]
    names += [*(f"b/{i:03d}.png" for i in range(11, 23)), "b/text.jpg"]
    order = list(dict.fromkeys(r["source"] for r in rows))
    assert order == [str(photos / n) for n in names]
    for i in range(23):
        mine = [r for r in rows if r["source"].endswith(f"/{i:03d}.png")]
        assert [r["face"] for r in mine] == ([None] if i % 4 == 0 else list(range(1, i % 4 + 1)))
        assert {r["reason"] for r in mine} == ({NO_FACE} if i % 4 == 0 else {None})
        assert {(r["width"], r["height"]) for r in mine} == {(24, 20)}
    failed = [r for r in rows if r["reason"] not in (None, NO_FACE)]
    assert [Path(r["source"]).name for r in failed] == ["empty.jpg", "text.jpg"]
    assert "empty (0 bytes)" in failed[0]["reason"] and "not a picture" in failed[1]["reason"]
    assert [r["reason_class"] for r in failed] == ["empty", "not a picture"]
    for r in rows:
        of_face = [v for k, v in r.items() if k not in ("source", "face", "reason", "reason_class", "width", "height")]
        assert all((v is None) == (r["face"] is None) for v in of_face)
        if r["face"] is not None:
            moods = {c: r[f"mood:{c}"] for c in StandIn.schema["mood"].classes}
            assert sum(moods.values()) == pytest.approx(1, abs=1e-5)
            assert moods[r["mood"]] == max(moods.values()) == r["mood_probability"]
            assert r["age_low"] <= r["age_years"] + 0.5 and r["age_high"] >= r["age_years"] - 0.5
            assert len(r["latent"]) == 3
    assert table.schema.field("left").type == "float" and table.schema.field("source").nullable is False


@given(
    st.lists(st.none() | st.text(st.characters(codec="utf-8"))),
    st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)),
    st.lists(st.none() | st.floats(width=32, allow_nan=False)),
)
def test_columns_are_what_pyarrow_makes_of_the_values(texts: list[Any], whole: list[Any], parts: list[Any]) -> None:
    import pyarrow as pa

    for values, kind in ((texts, pa.string()), (whole, pa.int32()), (parts, pa.float32())):
        made = column(values, kind)
        made.validate(full=True)
        assert made.equals(pa.array(values, kind))


def test_a_summary_counts_pictures_and_faces(photos: Path, tmp_path: Path) -> None:
    done = run_batch([photos], tmp_path / "deep" / "faces.parquet")
    assert done == BatchSummary(tmp_path / "deep" / "faces.parquet", 25, 33, 6, 2, 0)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["faces.parquet"]
    assert "latent" not in pq.read_schema(done.output).names


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_change_no_bit(threads: int, photos: Path, whole: Path, tmp_path: Path) -> None:
    run_batch(photos, tmp_path / "f.parquet", latent=True, threads=threads)
    assert (tmp_path / "f.parquet").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("ahead", [24_000_000, 100])
def test_pictures_read_side_by_side_give_the_same_rows(
    ahead: int, model: list[StandIn], photos: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_standin.Detector, "concurrent", True, raising=False)
    monkeypatch.setattr(chunks_room, "_AHEAD_PIXELS", ahead)  # the second: each is too large to be read ahead
    run_batch(photos, tmp_path / "f.parquet", latent=True, threads=3)
    assert (tmp_path / "f.parquet").read_bytes() == whole.read_bytes()
    assert set(model[0].detector.groups) == {1} and len(model[0].detector.groups) == 23


def test_a_network_has_one_thread_where_pictures_are_read_side_by_side(
    model: list[StandIn], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    detect = batch_standin.Detector.detect_batch

    def detecting(self: Any, images: Any) -> Any:
        seen.add(threads_of())
        return detect(self, images)

    monkeypatch.setattr(batch_standin.Detector, "concurrent", True, raising=False)
    monkeypatch.setattr(batch_standin.Detector, "detect_batch", detecting)
    monkeypatch.setattr(ort, "_threads", 7)
    run_batch(photos, tmp_path / "f.parquet", threads=3)
    assert seen == {1} and threads_of() == 7


def test_a_detector_that_fails_on_a_picture_costs_that_picture(tmp_path: Path) -> None:
    for i, first in enumerate([(1, 0, 0), (9, 9, 9), (8, 8, 8), (2, 0, 0)]):
        image = picture(i, 0)
        image[0, 0] = first
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    run_batch(tmp_path, tmp_path / "f.parquet")
    rows = pq.read_table(tmp_path / "f.parquet", columns=["face", "reason"]).to_pylist()
    assert [r["face"] for r in rows] == [1, None, None, 1, 2]
    assert rows[1]["reason"] == "the detector failed: a detector that cannot"
    assert rows[2]["reason"].startswith("the detector gave a face that cannot be aligned: all points are one")


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="such names cannot be made here")
def test_a_name_that_is_no_unicode_is_written_with_escapes(tmp_path: Path) -> None:
    Image.fromarray(picture(0, 1)).save(os.fsencode(tmp_path / "caf") + b"\xe9.png")
    (tmp_path / os.fsdecode(b"bad\xe9.png")).write_bytes(b"text")
    run_batch(tmp_path, tmp_path / "f.parquet")
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    assert [Path(r["source"]).name for r in rows] == ["bad\\udce9.png", "caf\\udce9.png"]
    assert rows[1]["face"] == 1
    with pytest.raises(InputError, match=r"the name .* is not UTF-8\. Name another file\."):
        run_batch(tmp_path, os.fsdecode(os.fsencode(tmp_path / "f") + b"\xe9.parquet"))


# ---------------------------------------------------------------- memory


def test_pictures_are_opened_a_few_ahead_and_seen_by_the_detector_in_groups(
    model: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_room, "CHUNK", 64)
    monkeypatch.setattr(chunks_room, "PIXELS_AT_ONCE", 10 * 20 * 24 - 1)
    for i in range(70):
        Image.fromarray(picture(i, 1)).save(tmp_path / f"{i:02d}.png")
    opened: list[str] = []
    ahead: list[int] = []
    seen = 0
    open_image, detect = chunks_room.PictureReader.open, batch_standin.Detector.detect_batch

    def counting(self: Any, item: Any, *more: Any) -> Any:
        opened.append(item.source)
        return open_image(self, item, *more)

    def detecting(self: Any, images: Any) -> Any:
        nonlocal seen
        ahead.append(len(opened) - seen)
        seen += len(images)
        return detect(self, images)

    monkeypatch.setattr(chunks_room.PictureReader, "open", counting)
    monkeypatch.setattr(batch_standin.Detector, "detect_batch", detecting)
    run_batch(tmp_path, tmp_path / "f.parquet", threads=2)
    assert model[0].detector.groups == [10, 10, 10, 10, 10, 10, 4, 6]
    assert max(ahead) <= 10 + 2 * 2


# ---------------------------------------------------------------- resuming


@settings(max_examples=15)
@given(ends=st.lists(st.integers(0, 30), max_size=5), parts=st.integers(1, 4))
def test_a_run_ended_anywhere_goes_on_to_the_same_file(
    ends: list[int], parts: int, photos: Path, whole: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("resumed") / "faces.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_room, "_PART_CHUNKS", parts)
        for pictures in ends:
            try:
                run_batch(photos, out, latent=True, resume=True, progress=end_after(pictures))
            except Ended:
                assert not out.exists()
        run_batch(photos, out, latent=True, resume=True)
    assert out.read_bytes() == whole.read_bytes()
    assert [p.name for p in out.parent.iterdir()] == ["faces.parquet"]


def test_what_was_done_is_not_done_again(model: list[StandIn], photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    with pytest.raises(Ended):
        run_batch(photos, out, progress=end_after(12))
    shown: list[tuple[int, int]] = []
    done = run_batch(photos, out, resume=True, progress=lambda *now: shown.append(now))
    assert done.resumed == 8  # two chunks of four were a part; the third was not written yet
    assert shown == [(8, 25), (12, 25), (16, 25), (20, 25), (24, 25), (25, 25)]
    assert sum(model[1].detector.groups) == 25 - 8 - 2  # two cannot be read


def test_a_finished_run_is_resumed_by_doing_nothing(model: list[StandIn], photos: Path, tmp_path: Path) -> None:
    first = run_batch(photos, tmp_path / "f.parquet")
    again = run_batch(photos, tmp_path / "f.parquet", resume=True)
    assert (again.faces, again.empty, again.failed, again.resumed) == (first.faces, first.empty, first.failed, 25)
    assert len(model) == 1


def test_ended_between_joining_and_cleaning_up(
    photos: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.parquet"

    rmtree = parts_room.shutil.rmtree

    def end(folder: Path, *_: object, **__: object) -> None:
        if Path(folder).name.endswith(".tmp"):
            return rmtree(folder)
        raise Ended

    with monkeypatch.context() as patch:
        patch.setattr(parts_room.shutil, "rmtree", end)
        with pytest.raises(Ended):
            run_batch(photos, out, latent=True)
    with monkeypatch.context() as patch:
        patch.setattr(parts_room, "_join", end)  # it is joined already
        run_batch(photos, out, latent=True, resume=True)
    assert out.read_bytes() == whole.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["faces.parquet"]


def test_a_run_of_other_settings_or_inputs_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    with pytest.raises(Ended):
        run_batch(photos, out, progress=end_after(8))
    with pytest.raises(InputError, match=r"holds an unfinished run\. Next: --resume"):
        run_batch(photos, out)
    with pytest.raises(InputError, match="with latent False, not True"):
        run_batch(photos, out, resume=True, latent=True)
    with pytest.raises(InputError, match="with detector 'centerface', not 'whole-image'"):
        run_batch(photos, out, resume=True, detector="whole-image")
    with pytest.raises(InputError, match="with another input: 25 pictures, now 12 pictures"):
        run_batch(photos / "a", out, resume=True)
    run_batch(photos, out, resume=True)
    with pytest.raises(InputError, match="is there already. Next: --overwrite"):
        run_batch(photos, out)
    with pytest.raises(InputError, match="was written with latent False"):
        run_batch(photos, out, resume=True, latent=True)


def test_another_preset_is_refused(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Ended):
        run_batch(photos, tmp_path / "f.parquet", progress=end_after(8))
    before = run_room._facts
    monkeypatch.setattr(run_room, "_facts", lambda *a: {**before(*a), "preset": "another"})
    with pytest.raises(InputError, match="started with another preset"):
        run_batch(photos, tmp_path / "f.parquet", resume=True)


def test_a_file_that_no_batch_run_wrote_is_kept(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_text("a letter")
    with pytest.raises(InputError, match="no batch run wrote it"):
        run_batch(photos, tmp_path / "f.parquet", resume=True)
    (tmp_path / "g.parquet.parts").mkdir()
    (tmp_path / "g.parquet.parts" / "photo.jpg").write_text("a photo")
    with pytest.raises(InputError, match="is no unfinished run"):
        run_batch(photos, tmp_path / "g.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.parquet", "g.parquet.parts"]


def test_two_runs_cannot_write_one_output(photos: Path, tmp_path: Path) -> None:
    def start_another(done: int, total: int) -> None:
        with pytest.raises(InputError, match="another run is writing"):
            run_batch(photos, tmp_path / "f.parquet", resume=True)

    assert run_batch(photos, tmp_path / "f.parquet", progress=start_another).pictures == 25


def test_an_input_that_changes_meanwhile_is_said(tmp_path: Path) -> None:
    folder = album(tmp_path / "album")

    def add(name: str) -> Any:
        return lambda *_: (folder / "b" / name).write_bytes((folder / "a" / "001.png").read_bytes())

    # After the last one there may always be more: they are for another run.
    assert run_batch(folder, tmp_path / "e.parquet", progress=add("zzz.png")).pictures == 25
    with pytest.raises(DataError, match="the input changed while it was read"):
        run_batch(folder, tmp_path / "f.parquet", progress=add("000.png"))
    assert not (tmp_path / "f.parquet").exists()
    (folder / "b" / "000.png").unlink()
    with pytest.raises(InputError, match="with another input: an unknown one"):
        run_batch(folder, tmp_path / "f.parquet", resume=True)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"engine": "spark"}, InputError, "no such engine.*Valid: local, ray"),
        ({"detector": "mtcn"}, UnknownComponentError, "Did you mean 'mtcnn'"),
        ({"threads": 0}, InputError, "threads must be at least 1"),
    ],
)
def test_what_cannot_be_run_is_said(
    given: dict[str, Any], error: type[Exception], words: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        run_batch(photos, tmp_path / "f.parquet", **given)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- a real process, killed


PROGRAM = """
import sys
import batch_standin
from facefeat.batch import parts, run, run_batch
batch_standin.install()
run.CHUNK, parts._PART_CHUNKS = 4, 2
run_batch(sys.argv[1], sys.argv[2], latent=True, resume=True)
"""


def start(photos: Path, out: Path, seconds: float) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(batch_standin.__file__).parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "STANDIN_SECONDS": str(seconds)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(photos), str(out)], env=env)


def parts_of(out: Path) -> list[str]:
    return sorted(p.name for p in out.with_name(out.name + ".parts").glob("part-*"))


def waited(out: Path, parts: int) -> Iterator[list[str]]:
    for _ in range(1200):
        if len(found := parts_of(out)) >= parts:
            yield found
            return
        time.sleep(0.05)
    pytest.fail("no part was written within a minute")


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_after_kill_9_no_row_is_lost_or_doubled(photos: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.parquet"
    first = start(photos, out, seconds=0.4)
    (found,) = waited(out, 1)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not out.exists() and len(parts_of(out)) >= len(found) >= 1
    assert start(photos, out, seconds=0).wait(timeout=120) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["faces.parquet"]


# ---------------------------------------------------------------- the real model


def test_rows_say_what_predict_says(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facefeat import FaceFeatureModel
    from facefeat.testing import toy_preset

    monkeypatch.undo()  # no stand-in
    preset = toy_preset(tmp_path / "preset")
    run_batch(photos, tmp_path / "f.parquet", preset=preset, detector="whole-image", latent=True)
    rows = [r for r in pq.read_table(tmp_path / "f.parquet").to_pylist() if r["face"] is not None]
    assert len(rows) == 23
    model = FaceFeatureModel.from_preset(preset, detector="whole-image")
    results = model.predict([r["source"] for r in rows])
    latents = model.encode(model.align([r["source"] for r in rows]))
    for row, result, latent in zip(rows, results, latents, strict=True):
        (face,) = result.faces
        assert (row["left"], row["top"], row["right"], row["bottom"]) == face.box
        assert row["age_years"] == pytest.approx(face.age_years, abs=1e-3)
        for name, read in face.attributes.items():
            assert row[f"{name}:{read.label}"] == pytest.approx(read.probability, abs=1e-5)
        np.testing.assert_allclose(row["latent"], latent, atol=1e-5)
