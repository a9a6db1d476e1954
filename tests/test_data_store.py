"""The data set: labels by name, fingerprints, splits; and what an import writes and reads back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facefeat.data import check_pictures, load_dataset, read_raw, write_dataset
from facefeat.errors import DataError
from made_data import BROKEN, UTK, fill, jpeg, table, tar

# -- the data set ----------------------------------------------------------------------------------------------------


def test_labels_are_by_name_and_never_by_order_of_appearance(tmp_path: Path) -> None:
    fill(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    one = load_dataset(table(tmp_path / "x.csv", "file,gender\na.jpg,Female\nb.jpg,Male\nc.jpg,female\n"))
    two = load_dataset(table(tmp_path / "y.csv", "gender,file\nMale,b.jpg\nFemale,c.jpg\nFEMALE,a.jpg\n"))
    assert one.labels()["gender"].tolist() == [1, 0, 1] and two.labels()["gender"].tolist() == [0, 1, 1]
    assert one.labels()["gender"].dtype == np.int32 and one.years().dtype == np.float32
    assert one.fingerprint == two.fingerprint, "the order of rows is no part of the data"


def test_the_fingerprint_sees_files_splits_and_labels(tmp_path: Path) -> None:
    fill(tmp_path, ["a.jpg", "b.jpg"])
    texts = [
        "file,gender,split\na.jpg,Male,train\nb.jpg,Male,train\n",
        "file,gender,split\na.jpg,Male,train\nb.jpg,Male,val\n",
        "file,gender,split\na.jpg,Male,train\nb.jpg,Female,train\n",
        "file,gender,split\na.jpg,Male,train\n",
        "file,gender,split,age\na.jpg,Male,train,30-39\nb.jpg,Male,train,\n",
    ]
    prints = [load_dataset(table(tmp_path / "x.csv", t), schema="fairface").fingerprint for t in texts]
    assert len(set(prints)) == len(texts)


def test_splits_and_rows_of_a_data_set(tmp_path: Path) -> None:
    fill(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    ds = load_dataset(
        table(tmp_path / "x.csv", "file,gender,split\na.jpg,Male,train\nb.jpg,,val\nc.jpg,Female,train\n")
    )
    assert ds.splits == {"train": 2, "val": 1} and len(ds.split("train")) == 2
    assert ds.split("validation").table["file"].tolist() == ["b.jpg"]
    assert ds.take([2, 0]).table["file"].tolist() == ["c.jpg", "a.jpg"]
    assert ds.counts["gender"] == {"Male": 1, "Female": 1, "": 1}
    assert "train 2, val 1" in repr(ds)
    with pytest.raises(DataError, match=r"no such split. Received: 'tran'. Did you mean 'train'\? Valid: train, val"):
        ds.split("tran")
    with pytest.raises(DataError, match="no row"):
        ds.take([])


# -- on disk ---------------------------------------------------------------------------------------------------------


def test_an_import_survives_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEFEAT_CACHE", raising=False)
    raw = tar(tmp_path / "UTKFace.tar", [f"UTKFace/{n}" for n in [*UTK, *BROKEN]])
    found = read_raw(raw)
    written = write_dataset(found, tmp_path / "data")
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["dataset.json", "faces.csv", "skipped.csv"]
    for ds in (written, load_dataset(tmp_path / "data"), load_dataset(tmp_path / "data" / "dataset.json")):
        assert ds.fingerprint == load_dataset(raw).fingerprint
        assert ds.table.equals(load_dataset(raw).table) and ds.skipped == found.skipped
        assert ds.schema == found.schema and ds.licence == found.licence
    assert len(load_dataset(tmp_path / "data", schema="utkface").crops(8)) == len(UTK)
    with pytest.raises(DataError, match="has the labels of schema 'utkface'"):
        load_dataset(tmp_path / "data", schema="fairface")
    assert write_dataset(found, tmp_path / "data").fingerprint == written.fingerprint, "importing again replaces it"
    assert (tmp_path / "data" / "cache").is_dir()


def test_folders_moved_together_still_find_their_pictures(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "UTKFace", UTK)
    ds = write_dataset(read_raw(tmp_path / "a" / "UTKFace"), tmp_path / "a" / "data")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = load_dataset(tmp_path / "b" / "data")
    assert moved.fingerprint == ds.fingerprint and len(moved.crops(8)) == len(UTK)
    (tmp_path / "b" / "UTKFace").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"have moved: there is no .*facefeat data import NEW_PLACE --output"):
        load_dataset(tmp_path / "b" / "data").crops(8)


def test_broken_pictures_are_found_when_checked(tmp_path: Path) -> None:
    fill(tmp_path, {"a.jpg": jpeg(size=64), "b.jpg": b"text", "c.jpg": b"", "d.jpg": jpeg(size=64)[:300]})
    path = table(tmp_path / "x.csv", "file,gender\na.jpg,Male\nb.jpg,Male\nc.jpg,Male\nd.jpg,Male\n")
    seen: list[tuple[int, int]] = []
    found = check_pictures(read_raw(path), lambda done, total: seen.append((done, total)))
    assert found.table["file"].tolist() == ["a.jpg"] and [s.file for s in found.skipped] == ["b.jpg", "c.jpg", "d.jpg"]
    assert seen[-1] == (4, 4)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 4 pictures can be read. The first: a.jpg: "):
        check_pictures(read_raw(path))


def test_a_folder_with_other_things_is_not_written_to(tmp_path: Path) -> None:
    found = read_raw(fill(tmp_path / "u", UTK))
    with pytest.raises(DataError, match="not empty and not an imported data set"):
        write_dataset(found, fill(tmp_path / "other", {"thesis.txt": b"!"}))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError):
        write_dataset(found, tmp_path / "file")
    with pytest.raises(DataError, match="cannot write"):
        write_dataset(found, tmp_path / "file" / "below")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "other", "u"], "nothing is left behind"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dataset.json", "{", "cannot read .*dataset.json"),
        ("dataset.json", "[]", "format version None"),
        ("dataset.json", '{"format_version": 99}', "format version 99; this facefeat reads 1"),
        ("dataset.json", '{"format_version": 1}', "not what `facefeat data import` writes"),
        ("faces.csv", "", "is empty"),
        ("faces.csv", "file,split,age,gender\n", "no column 'race'"),
        ("faces.csv", "file,split,age,gender,race\n", "lists no picture"),
        (
            "faces.csv",
            "file,split,age,gender,race\na,train,0-2,Male,Martian\n",
            "cannot be used. The first: a: ",
        ),
    ],
)
def test_an_altered_import_says_what_is_wrong(tmp_path: Path, name: str, text: str, message: str) -> None:
    write_dataset(read_raw(fill(tmp_path / "u", UTK)), tmp_path / "data")
    (tmp_path / "data" / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "data")


def test_a_shortened_table_is_noticed(tmp_path: Path) -> None:
    write_dataset(read_raw(fill(tmp_path / "u", UTK)), tmp_path / "data")
    path = tmp_path / "data" / "faces.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    with pytest.warns(UserWarning, match=r"changed after the import \(9 rows then, 7 now\)"):
        assert len(load_dataset(tmp_path / "data")) == 7
