"""What `facefeat batch` takes: every kind gives the same pictures in the same order; what is broken has a reason."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch_standin import album, picture
from facefeat import ImageError, InputError, MissingExtraError
from facefeat.batch import files
from facefeat.batch.inputs import InputDigest, Item, chunks, list_items, look, needs_order, shards_in
from facefeat.batch.parquet_pages import largest_page
from facefeat.batch.reader import PictureReader

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The readable pictures of an album, in order; the working folder is the one that holds it."""
    monkeypatch.chdir(tmp_path)
    folder = album(Path("album"), 9)
    for bad in folder.rglob("*.jpg"):
        bad.unlink()
    return sorted(folder.rglob("*.png"))


def as_tar(photos: list[Path], name: str = "a.tar", mode: str = "w") -> str:
    with tarfile.open(name, mode) as tar:
        for path in photos:
            tar.add(path, f"./{path.as_posix()}")
        tar.addfile(tarfile.TarInfo("notes.json"))
        tar.addfile(tarfile.TarInfo("._001.png"))
    return name


def as_list(photos: list[Path]) -> str:
    Path("list.txt").write_bytes(b"\r\n".join([*(os.fsencode(p) for p in photos), b"", b"  "]))
    return "list.txt"


def as_parquet(photos: list[Path], hub: bool) -> str:
    data = [p.read_bytes() for p in photos]
    column = pa.array([{"bytes": d, "path": "x"} for d in data]) if hub else pa.array(data)
    table = pa.table({"id": [b"1"] * len(data), "image": column})
    pq.write_table(table, "a.parquet", row_group_size=4)
    return "a.parquet"


def in_memory(photos: list[Path]) -> str:
    fs = fsspec.filesystem("memory")
    for path in photos:
        fs.pipe(f"/shop/{path.as_posix()}", path.read_bytes())
    fs.pipe("/shop/readme.md", b"text")
    fs.pipe("/shop/.hidden/x.png", b"text")
    return "memory://shop"


def as_zip(photos: list[Path]) -> str:
    with zipfile.ZipFile("a.zip", "w") as archive:
        for path in photos:
            archive.write(path)
    return "zip://album::a.zip"


KINDS: dict[str, Callable[[list[Path]], str]] = {
    "folder": lambda p: "album",
    "glob": lambda p: "album/**/*.png",
    "folders by a glob": lambda p: "alb*",
    "list": as_list,
    "tar": as_tar,
    "packed tar": lambda p: as_tar(p, "a.tar.gz", "w:gz"),
    "parquet": lambda p: as_parquet(p, hub=False),
    "parquet of the hub": lambda p: as_parquet(p, hub=True),
    "address": in_memory,
    "address of a tar": lambda p: f"file://{Path(as_tar(p)).resolve()}",
    "address with a glob": lambda p: in_memory(p) + "/**/*.png",
    "zip by an address": as_zip,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_pictures_in_the_same_order(kind: str, photos: list[Path]) -> None:
    given = look([KINDS[kind](photos)])
    reader = PictureReader()
    items = list(list_items(given))
    assert len(items) == 9 and len({i.source for i in items}) == 9
    for item, path in zip(items, photos, strict=True):
        np.testing.assert_array_equal(reader.open(reader.in_order(item)).pixels, np.asarray(Image.open(path)))
    # Listed twice, also without reading, it is the same: a resumed run counts on that.
    first, second = InputDigest(), InputDigest()
    assert len(list(first.watch(items))) == len(list(second.watch(list_items(given, read=False))))
    assert first.digest == second.digest
    assert (needs_order(given) is not None) == (kind == "packed tar")


def test_sources_are_named_so_that_they_can_be_found_again(photos: list[Path]) -> None:
    def sources(given: str) -> list[str]:
        return [i.source for i in list_items(look([given]))][:1]

    assert sources("album") == ["album/a/000.png"]
    assert sources(as_list(photos)) == ["album/a/000.png"]
    assert sources(as_tar(photos)) == ["a.tar#album/a/000.png"]
    assert sources(as_parquet(photos, hub=False)) == ["a.parquet#0"]
    address = in_memory(photos)
    assert sources(address) == ["memory:///shop/album/a/000.png"]
    assert PictureReader().open(Item("", "address", ("memory:///shop/album/a/000.png",))).pixels.shape == (20, 24, 3)
    assert sources(as_zip(photos)) == ["zip://album/a/000.png::a.zip"]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "packed tar"])
def test_relative_inputs_are_opened_by_a_process_in_another_folder(
    kind: str, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = list(list_items(look([KINDS[kind](photos)])))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    reader = PictureReader()
    for item, path in zip(items, photos, strict=True):
        np.testing.assert_array_equal(reader.open(item).pixels, np.asarray(Image.open(tmp_path / path)))
        assert "address" in kind or str(tmp_path) not in item.source  # named as it was given


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("a.jpg", "{here}/a.jpg"),
        ("../a b.jpg", "{here}/../a b.jpg"),
        ("/photos/a.jpg", "/photos/a.jpg"),
        ("s3://bucket/a.jpg", "s3://bucket/a.jpg"),
        ("zip://x.jpg::in/a.zip", "zip://x.jpg::{here}/in/a.zip"),
        ("zip://x.jpg::/in/a.zip", "zip://x.jpg::/in/a.zip"),
        ("zip://x.jpg::simplecache::s3://bucket/a.zip", "zip://x.jpg::simplecache::s3://bucket/a.zip"),
        ("memory::memory", "memory::memory"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
def test_a_path_is_made_absolute_and_an_address_is_left(text: str, opened: str) -> None:
    assert files.absolute(text) == opened.format(here=Path.cwd())


def test_a_presigned_address_is_a_picture_or_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "is_folder", lambda _: False)
    monkeypatch.setattr(files, "exists", lambda _: True)
    monkeypatch.setattr("facefeat.batch.inputs._check_tar", lambda _: None)
    (one,) = look([url := "https://host/p.jpg?sig=a.b/c"])
    assert (one.kind, [i.at for i in list_items([one])]) == ("picture", [(url,)])
    assert look(["https://host/a.tar?X-Amz-Signature=1"])[0].kind == "tar"
    with pytest.raises(InputError, match="not an input"):
        look(["https://host/page?of=p.jpg"])


def test_a_folder_of_archives_is_told_with_the_glob_that_reads_them(photos: list[Path]) -> None:
    Path("shards/deep").mkdir(parents=True)
    assert shards_in(look(["shards"])) is None
    Path(as_parquet(photos, hub=True)).rename("shards/deep/0.parquet")
    assert shards_in(look(["shards"])) == "shards/**/*.parquet"
    for name, mode in (("00000.TGZ", "w:gz"), ("00000.tar", "w")):
        Path(as_tar(photos, "x.tar", mode)).rename(f"shards/{name}")
        assert shards_in(look(["album/a", "shards/"])) == "shards/*" + Path(name).suffix
        assert len(list(list_items(look(["shards/*" + Path(name).suffix])))) == 9
        Path("shards", name).unlink()
    fsspec.filesystem("memory").pipe("/shards/0.tar", b"")
    assert shards_in(look(["memory://shards"])) == "memory://shards/*.tar"
    Path("odd[1]").mkdir()
    Path("odd[1]/0.tar").touch()
    assert files.matching(shards_in(look(["odd[1]"])) or "") == ["odd[1]/0.tar"]


def test_several_inputs_follow_one_another(photos: list[Path]) -> None:
    items = list(list_items(look([as_tar(photos[:2]), "album/b", str(photos[0])])))
    assert [i.kind for i in items] == ["slice"] * 2 + ["path"] * 6
    assert items[-1].source == str(photos[0])


def test_rows_of_a_parquet_can_be_read_in_any_order(photos: list[Path]) -> None:
    reader = PictureReader()
    items = list(list_items(look([as_parquet(photos, hub=True)])))
    for k in (5, 2, 3, 8, 0, 8):
        np.testing.assert_array_equal(reader.open(items[k]).pixels, np.asarray(Image.open(photos[k])))


# ---------------------------------------------------------------- what is broken


def reason(item: Item) -> str:
    reader = PictureReader()
    with pytest.raises(ImageError) as caught:
        reader.open(reader.in_order(item))
    return str(caught.value)


def test_a_tar_that_breaks_off_gives_what_it_has_and_a_reason(photos: list[Path]) -> None:
    whole = Path(as_tar(photos)).read_bytes()
    Path("a.tar").write_bytes(whole[: 512 * 9 + 100])
    items = list(list_items(look(["a.tar"])))
    assert items[-1].kind == "fault" and "'a.tar' breaks off after" in reason(items[-1])
    packed = Path(as_tar(photos, "a.tgz", "w:gz")).read_bytes()
    Path("a.tgz").write_bytes(packed[: len(packed) // 2])
    items = list(list_items(look(["a.tgz"])))
    assert len(items) > 1 and "breaks off after" in reason(items[-1])


def test_each_broken_picture_has_a_reason_that_names_it(photos: list[Path]) -> None:
    data = photos[0].read_bytes()
    table = pa.table({"image": pa.array([data, None, b"", b"text", data[:90]], pa.binary())})
    pq.write_table(table, "b.parquet")
    items = list(list_items(look(["b.parquet"])))
    assert PictureReader().open(items[0]).pixels.shape == (20, 24, 3)
    assert "has no picture (null)" in reason(items[1])
    assert reason(items[2]) == "'b.parquet#2' is empty (0 bytes)."
    assert reason(items[3]).startswith("'b.parquet#3' is not a picture")
    assert reason(items[4]).startswith("'b.parquet#4' is ")
    assert "no such file: 'gone.jpg'" in reason(Item("gone.jpg", "path", ("gone.jpg",)))
    assert "no such file: 'memory://gone.jpg'" in reason(Item("gone.jpg", "address", ("memory://gone.jpg",)))
    assert "cut short" in reason(Item("x", "slice", (str(photos[0]), 10, 10**6)))
    assert "larger than 256 MB" in reason(Item("x", "slice", (str(photos[0]), 0, 10**9)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    (item,) = list_items(look([str(tmp_path)]))
    assert "is no regular file" in reason(item)


def test_a_network_that_stumbles_is_asked_again(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    address, asked = in_memory(photos) + "/album/a/000.png", []
    read = files._read

    def stumbling(*given: object) -> bytes:
        asked.append(given)
        if len(asked) < 3:
            raise OSError("connection reset")
        return read(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_read", stumbling)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    assert files.read_bytes(address) == photos[0].read_bytes() and len(asked) == 3


def test_what_is_kept_away_is_told_from_what_is_broken(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory(photos)
    fs = fsspec.filesystem("memory")
    fs.pipe("/rows/a.parquet", Path(as_parquet(photos, hub=False)).read_bytes())
    row, broken = (
        Item("x", "row", ("memory://rows/a.parquet", "image", 0, 0)),
        Item("x", "row", ("a.pq", "image", 0, 0)),
    )

    def refuse(error: Exception) -> None:
        def refusing(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(type(fs), "open", refusing)

    class StrangeError(Exception):
        pass

    for error in (PermissionError(13, "Access Denied"), ConnectionResetError("reset"), StrangeError("status 403")):
        refuse(error)
        assert reason(row).startswith(f"{files.NO_ACCESS}'memory://rows/a.parquet': ")
    refuse(OSError("not a Parquet file"))
    assert reason(row).startswith("cannot read row 0 of row group 0 in 'memory://rows/a.parquet'")
    Path("a.pq").write_bytes(b"text")
    assert reason(broken).startswith("cannot read row 0 of row group 0 in 'a.pq'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gone", "no such file or folder: 'gone'. Valid: a folder"),
        ("gone/*.jpg", "nothing matches"),
        ("notes.md", "not an input: 'notes.md'"),
        ("text.tar", "is not a tar that can be read"),
        ("text.parquet", "is not a Parquet file that can be read"),
        ("numbers.parquet", "has no column with picture bytes. Its columns: a, b."),
        ("nonsense://x", "cannot open 'nonsense://x'"),
    ],
)
def test_an_input_that_cannot_be_is_said(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("notes.md", "text.tar", "text.parquet"):
        Path(name).write_text("text")
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), "numbers.parquet")
    with pytest.raises(InputError) as caught:
        look([text])
    assert words in str(caught.value)


def test_an_address_of_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match="Next: pip install s3fs$"):
        look(["s3://bucket/photos"])


def test_a_column_can_be_chosen(photos: list[Path]) -> None:
    as_parquet(photos, hub=True)
    assert look(["a.parquet"], "id")[0].column == "id"
    assert look(["a.parquet"])[0].column == "image.bytes"
    with pytest.raises(InputError, match="Did you mean 'image'"):
        look(["a.parquet"], "imag")


def test_listing_a_tar_takes_memory_for_one_header(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(0, 1)).save(buffer, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(50):
            info = tarfile.TarInfo(f"{i}.png")
            info.size = len(buffer.getvalue())
            tar.addfile(info, io.BytesIO(buffer.getvalue()))
    held: list[int] = []
    following = tarfile.TarFile.next

    def counting(self: tarfile.TarFile) -> tarfile.TarInfo | None:
        held.append(len(self.members))
        return following(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tarfile.TarFile, "next", counting)
        assert len(list(list_items(look([str(tmp_path / "a.tar")])))) == 50
    assert max(held) <= 1


@given(st.integers(0, 40), st.integers(1, 9))
def test_chunks_hold_every_item_once_and_in_order(count: int, size: int) -> None:
    items = [Item(str(i), "path", (str(i),)) for i in range(count)]
    made = list(chunks(items, size))
    assert [i for _, part in made for i in part] == items
    assert [n for n, _ in made] == list(range(len(made)))
    assert all(len(part) == size for _, part in made[:-1]) and all(part for _, part in made)


# ---------------------------------------------------------------- strangers


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("webhdfs://127.0.0.1:9/a.png", "none of webhdfs://. To allow them: --allow-remote webhdfs"),
        ("HTTP://127.0.0.1:9/a.png", "none of http://"),
        ("memory://shop/a.png", "none of memory://"),
        ("simplecache::s3://b/a.png", "a chain of addresses"),
        ("zip://a.png::b.zip", "a chain of addresses"),
        ("x" * 40_000, "too long for a path"),
    ],
)
def test_a_list_names_local_files_alone(line: str, why: str, photos: list[Path]) -> None:
    Path("list.txt").write_text(f"{line}\n{photos[0]}\n")
    items = list(list_items(look(["list.txt"]), allow_remote=("s3",)))
    assert items[0].kind == "fault" and why in items[0].at[0] and len(items[0].at[0]) < 600
    assert items[-1].kind == "path"


def test_schemes_that_are_allowed_are_read_from_a_list(photos: list[Path]) -> None:
    Path("list.txt").write_text("memory://shop/a.png\n")
    (item,) = list_items(look(["list.txt"]), allow_remote=("memory",))
    assert item.kind == "address"


def test_a_request_has_a_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        files.within(threading.Event().wait, 0.05)
    assert files.within(lambda: 7) == 7
    with pytest.raises(KeyError):
        files.within(lambda: {}["a"])


def test_pages_of_a_parquet_are_measured_before_they_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for kind in ({}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"compression": "zstd"}):
        pq.write_table(pa.table({"image": [bytes([i]) * 5000 for i in range(40)]}), path, **kind)
        group = pq.ParquetFile(path).metadata.row_group(0)
        assert 5000 * 40 <= largest_page(str(path), group, "image") < 5000 * 41
    monkeypatch.setattr("facefeat.batch.reader._MAX_PAGE", 100_000)
    with pytest.raises(ImageError, match="a page of it unpacks to 200,"):
        PictureReader().open(Item("x", "row", (str(path), "image", 0, 0)))
    monkeypatch.undo()
    monkeypatch.setattr("facefeat.batch.reader.MAX_PICTURE_BYTES", 4000)
    with pytest.raises(ImageError, match="a picture of 5,000 bytes is larger"):
        PictureReader().open(Item("x", "row", (str(path), "image", 0, 0)))
