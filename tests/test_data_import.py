"""The importers: UTKFace, FairFace and any CSV, from folders and archives, on made pictures; the real ones if there."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from facefeat.cli import cli
from facefeat.data import Import, load_dataset, read_raw, write_dataset
from facefeat.data.imported import check_pictures
from facefeat.data.splitting import merged, near_duplicates, picture_hash
from facefeat.errors import DataError, InputError, SchemaError
from facefeat.schema import get_schema
from made_data import BROKEN, UTK, fill, jpeg, table, tar, zipped

# -- UTKFace ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "nested", "tar", "tar.gz"])
def test_utkface_from_a_folder_or_a_tar_is_the_same_data_set(tmp_path: Path, kind: str) -> None:
    files = [*BROKEN, *reversed(UTK)]
    if kind in ("folder", "nested"):
        path = fill(tmp_path / "UTKFace", [n if kind == "folder" else f"deep/er/{n}" for n in files])
    else:
        path = tar(tmp_path / f"UTKFace.{kind}", [f"UTKFace/{n}" for n in files], "w" if kind == "tar" else "w:gz")
    ds = load_dataset(path)
    assert ds.name == "utkface" and ds.schema == get_schema("utkface") and "non-commercial" in ds.licence
    assert list(ds.table.columns) == ["file", "split", "age", "gender", "race", "age_years"]
    assert list(ds.table["file"]) == sorted(UTK)
    assert {s.file for s in ds.skipped} == set(BROKEN)
    first = ds.table.set_index("file").loc[UTK[1]]
    assert (first["age"], first["gender"], first["race"], first["age_years"]) == ("3-9", "Female", "Black", 5.0)
    assert set(ds.table["split"]) == {"train", "val", "test"}
    assert ds.fingerprint == load_dataset(fill(tmp_path / "again", UTK)).fingerprint


def test_utkface_takes_its_splits_from_the_table_beside_it(tmp_path: Path) -> None:
    path = tar(tmp_path / "UTKFace.tar", [f"UTKFace/{n}" for n in UTK])
    rows = "".join(f"{n},{'Validation' if i < 2 else 'train'}\n" for i, n in enumerate(UTK[:-1]))
    table(tmp_path / "splits.csv", f"file,split\n{rows}gone_0_0_1.jpg,val\n")
    ds = load_dataset(path)
    assert ds.splits == {"train": 6, "val": 2}
    assert {s.file: s.reason.split(" in ")[0] for s in ds.skipped} == {
        UTK[-1]: "not listed",
        "gone_0_0_1.jpg": "listed",
    }
    other = table(tmp_path / "other.csv", "file,split\n" + "".join(f"{n},test\n" for n in UTK))
    assert load_dataset(path, splits=other).splits == {"test": 9}


def test_a_splits_table_about_other_pictures_is_left_alone(tmp_path: Path) -> None:
    path = fill(tmp_path / "UTKFace", UTK)
    table(tmp_path / "splits.csv", "file,split\nx.jpg,train\n")
    assert len(load_dataset(path)) == len(UTK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,fold\na,train\n", "no column 'split'"),
        ("file,split\na,\n", "line 2 has no split"),
        ("file,split\na,train\na,val\n", "second split"),
    ],
)
def test_a_splits_table_that_is_none_says_so(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(fill(tmp_path / "u", UTK), splits=table(tmp_path / "s.csv", text))


def test_utkface_into_a_schema_of_one_s_own(tmp_path: Path) -> None:
    own = {"name": "own", "attributes": {"gender": {"classes": ["female", "male"]}}}
    ds = load_dataset(fill(tmp_path / "u", UTK), schema=get_schema(own))
    assert ds.labels()["gender"].tolist() == [1 if n.split("_")[1] == "0" else 0 for n in sorted(UTK)]
    assert np.isnan(ds.years()).all()
    mood = {"name": "mood", "attributes": {"mood": {"classes": ["good", "bad"]}}}
    with pytest.raises(DataError, match=r"UTKFace has no labels for 'mood'.*It has: age, gender, race"):
        load_dataset(tmp_path / "u", schema=get_schema(mood))


def test_splits_of_our_own_have_each_class_in_its_share_and_keep_people_together(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(300)]
    fill(tmp_path, names)
    rows = [f"{n},{('Male', 'Female')[i % 3 == 0]},p{i // 3 if i < 150 else i}" for i, n in enumerate(names)]
    ds = load_dataset(table(tmp_path / "x.csv", "file,gender,person\n" + "\n".join(rows) + "\n"))
    assert ds.splits["train"] == pytest.approx(240, abs=6) and ds.splits["val"] == pytest.approx(30, abs=4)
    women = ds.table.groupby("split")["gender"].apply(lambda g: (g == "Female").mean())
    assert women.between(0.22, 0.45).all() and set(women.index) == {"train", "val", "test"}
    groups = [set(ds.table["split"][3 * k : 3 * k + 3]) for k in range(50)]
    assert all(len(g) == 1 for g in groups)
    # The same on every machine, wherever the pictures lie.
    fill(tmp_path / "other" / "deep", names)
    moved = [f"deep/{row}" for row in rows]
    again = load_dataset(table(tmp_path / "other" / "x.csv", "file,gender,person\n" + "\n".join(moved) + "\n"))
    assert again.table["split"].tolist() == ds.table["split"].tolist()


def test_near_duplicates_share_a_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        picture = Image.fromarray(rng.integers(0, 255, (6, 6, 3), "uint8")).resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"{i}.png")
        picture.resize((80, 80)).save(tmp_path / f"copy-{i}.jpg", quality=90)
        rows += [f"{i}.png,Male", f"copy-{i}.jpg,Male"]
    path = table(tmp_path / "x.csv", "file,gender\n" + "\n".join(rows) + "\n")
    found = check_pictures(read_raw(path))
    split = dict(zip(found.table["file"], found.table["split"], strict=True))
    assert sum(split[f"{i}.png"] == split[f"copy-{i}.jpg"] for i in range(40)) >= 38
    assert "pictures are near-duplicates of another" in " ".join(found.notes) and set(split.values()) == {
        "train",
        "val",
        "test",
    }


def test_flat_pictures_are_no_duplicates_and_one_bit_less_is_one() -> None:
    flat = picture_hash(np.full((50, 50, 3), 200, "uint8"))
    assert near_duplicates([flat, flat]) == [] and near_duplicates([]) == []
    some = bytes(range(40))
    assert near_duplicates([some, bytes([some[0] ^ 1, *some[1:]]), bytes(reversed(range(40)))]) == [[0, 1]]
    assert len(set(merged({"a": "x", "b": "", "c": "x"}, [["b", "a"]]).values())) == 1


def test_the_real_utkface(shared_data: Path) -> None:
    ds = load_dataset(shared_data / "utkface" / "UTKFace.tar")
    assert ds.splits == {"train": 18003, "val": 2000}
    assert sorted(s.file.split("_")[0] for s in ds.skipped) == ["39", "61", "61"]
    with (shared_data / "utkface" / "splits.csv").open(newline="") as f:
        truth = {r["file"]: r for r in csv.DictReader(f)}
    labels, years = ds.labels(), ds.years()
    for i, file in enumerate(ds.table["file"]):
        row = truth[file]
        assert (years[i], labels["gender"][i], labels["race"][i]) == (
            int(row["age"]), int(row["gender"]), int(row["race"]),
        )  # fmt: skip


# -- FairFace --------------------------------------------------------------------------------------------------------

HEADER = "file,age,gender,race,service_test\n"
TRAIN = HEADER + "train/1.jpg,9-Mar,Male,East Asian,TRUE\ntrain/2.jpg,19-Oct,Female,Indian,FALSE\n"
VAL = HEADER + "val/1.jpg,03-Sep,Male,East Asian,FALSE\nval/2.jpg,more than 70,Female,Latino_Hispanic,TRUE\n"
PICTURES = {n: jpeg(i) for i, n in enumerate(("train/1.jpg", "train/2.jpg", "val/1.jpg"))}


def fairface(tmp_path: Path, form: str) -> Path:
    tables = {"fairface_label_train.csv": TRAIN.encode(), "fairface_label_val.csv": VAL.encode()}
    deep = {f"fairface-img-margin025-trainval/{k}": v for k, v in PICTURES.items()}
    match form:
        case "folder":
            return fill(tmp_path / "ff", {**tables, **PICTURES})
        case "deep folder":
            return fill(tmp_path / "ff", {**tables, **deep})
        case "tables below":
            return fill(tmp_path / "ff", {**{f"labels/{k}": v for k, v in tables.items()}, **PICTURES})
        case "zip with tables":
            return zipped(tmp_path / "ff.zip", {**tables, **PICTURES})
        case "tables beside the zip":
            fill(tmp_path, tables)
            return zipped(tmp_path / "ff.zip", deep)
        case "folder with zip":
            zipped(fill(tmp_path / "ff", tables) / "pictures.zip", deep)
            return tmp_path / "ff"
    raise AssertionError(form)


@pytest.mark.parametrize(
    "form",
    ["folder", "deep folder", "tables below", "zip with tables", "tables beside the zip", "folder with zip"],
)
def test_fairface_in_every_form(tmp_path: Path, form: str) -> None:
    path = fairface(tmp_path, form)
    with pytest.warns(UserWarning) as caught:
        ds = load_dataset(path)
    assert len(caught) == 1, "one warning for all damaged ages"
    assert "9-Mar as 3-9 (1 rows)" in str(caught[0].message) and "03-Sep as 3-9" in str(caught[0].message)
    assert list(ds.table.columns) == ["file", "split", "age", "gender", "race"]
    assert ds.table["file"].tolist() == list(PICTURES) and ds.splits == {"train": 2, "val": 1}
    assert ds.table["age"].tolist() == ["3-9", "10-19", "3-9"]
    assert ds.labels()["race"].tolist() == [3, 5, 3]
    assert [(s.file, s.reason) for s in ds.skipped] == [("val/2.jpg", "no such picture")]
    assert "CC BY" in ds.licence
    assert ds.crops(16, cache_dir=tmp_path / "cache").shape == (3, 16, 16, 3)


def test_fairface_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    rows = "train/1.jpg,40-49,Male,Martian,TRUE\ntrain/2.jpg,10-Oct,Female,Indian,FALSE\nval/1.jpg,,Male,Indian,TRUE\n"
    rows += "../secret.jpg,0-2,Male,Indian,TRUE\n/etc/passwd,0-2,Male,Indian,TRUE\nC:\\x.jpg,0-2,Male,Indian,TRUE\n"
    rows += "train/1.jpg,0-2,Male,Indian\n"
    path = fill(
        tmp_path / "ff", {"fairface_label_train.csv": (HEADER + rows).encode(), **PICTURES, "../secret.jpg": b"x"}
    )
    with pytest.raises(DataError, match="none of the 7 rows"):
        load_dataset(path)
    found = {}
    table(path / "fairface_label_val.csv", HEADER + "val/1.jpg,0-2,Male,Indian,TRUE\n")
    for skipped in load_dataset(path).skipped:
        found[skipped.file.rpartition(os.sep)[2] if ":" in skipped.file[2:] else skipped.file] = skipped.reason
    assert found["train/1.jpg"].startswith("no such race. Received: 'Martian'")
    assert found["train/2.jpg"].startswith("no such age. Received: '10-Oct'")
    assert found["val/1.jpg"] == "no age"
    assert {found["../secret.jpg"], found["/etc/passwd"], found["C:/x.jpg"]} == {
        "the name leads outside the folder or archive of pictures"
    }
    assert found["fairface_label_train.csv:8"] == "line 8 has 4 fields, the header 5"


def test_one_label_table_of_fairface(tmp_path: Path) -> None:
    path = fill(tmp_path, {"train.csv": TRAIN.replace("9-Mar", "3-9").replace("19-Oct", "0-2").encode(), **PICTURES})
    ds = load_dataset(path / "train.csv")
    assert ds.name == "fairface" and ds.splits == {"train": 2}


def test_a_schema_that_does_not_know_the_labels_is_refused_by_their_names(tmp_path: Path) -> None:
    path = fairface(tmp_path, "folder")
    with pytest.raises(DataError) as e:
        load_dataset(path, schema="utkface")
    said = str(e.value)
    assert "2 of 3 rows have labels that schema 'utkface' does not know: race 'East Asian' (2 rows)" in said
    assert "valid: White, Black, Asian, Indian, Others" in said and "that of fairface data is 'fairface'" in said
    with pytest.raises(DataError, match="'Martian' .21 rows.*valid: White, "):
        read_many(tmp_path / "all", 21, 0)
    assert "race 'Martian'" in read_many(tmp_path / "none", 3, 37, None).mismatch, "without a schema it is no error"


@pytest.mark.parametrize(("wrong", "right"), [(2, 38), (1, 19)])
def test_few_labels_that_do_not_fit_are_skipped(tmp_path: Path, wrong: int, right: int) -> None:
    found = read_many(tmp_path, wrong, right)
    assert len(found.table) == right and [s.reason[:12] for s in found.skipped] == ["no such race"] * wrong
    with pytest.raises(DataError, match=f"{wrong + 1} of {wrong + 1 + right} rows have labels .* race 'Martian'"):
        read_many(tmp_path / "more", wrong + 1, right)


def read_many(folder: Path, wrong: int, right: int, schema: str | None = "utkface") -> Import:
    """A CSV with so many rows of a race that no schema knows, and so many others."""
    fill(folder, {f"{i}.jpg": b"" for i in range(wrong + right)})
    rows = "".join(f"{i}.jpg,{'Martian' if i < wrong else 'White'}\n" for i in range(wrong + right))
    path = table(folder / "x.csv", f"file,race\n{rows}")
    return read_raw(path, None if schema is None else get_schema(schema))


def test_fairface_without_tables_or_with_two_archives_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no label tables in .*put fairface_label_train.csv"):
        load_dataset(zipped(tmp_path / "ff.zip", PICTURES), format="fairface")
    folder = fill(tmp_path / "two", {"fairface_label_val.csv": VAL.encode()})
    zipped(folder / "a.zip", PICTURES)
    zipped(folder / "b.zip", PICTURES)
    with pytest.raises(DataError, match=r"several archives of pictures: a.zip, b.zip"):
        load_dataset(folder)


def test_the_real_fairface_tables_with_a_few_made_pictures(shared_data: Path, tmp_path: Path) -> None:
    names = [*(f"train/{i}.jpg" for i in range(1, 41)), *(f"val/{i}.jpg" for i in range(1, 11))]
    pictures = {n: jpeg(i) for i, n in enumerate(names)}
    prints = set()
    for form in ("fairface", "fairface/excel_damaged"):
        folder = tmp_path / form.replace("/", "-")
        zipped(fill(folder, {}) / "img.zip", {f"fairface-img-margin025-trainval/{k}": v for k, v in pictures.items()})
        for split in ("train", "val"):
            shutil.copy(shared_data / form / f"fairface_label_{split}.csv", folder)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ds = load_dataset(folder)
        assert len(caught) == (1 if "damaged" in form else 0)
        assert ds.splits == {"train": 40, "val": 10} and len(ds.skipped) == 86744 + 10954 - 50
        prints.add(ds.fingerprint)
    assert len(prints) == 1, "damaged and sound tables are the same data"


# -- any CSV ---------------------------------------------------------------------------------------------------------


def test_a_csv_with_years_a_class_and_nothing(tmp_path: Path) -> None:
    fill(tmp_path, [f"{n}.jpg" for n in "abcd"])
    path = table(
        tmp_path / "mine.csv", "file;age;gender;split\na.jpg;34;male;Train\nb.jpg;0-2;F;val\nc.jpg;;;val\nd.jpg;5;1;\n"
    )
    ds = load_dataset(path)
    assert ds.schema.name == "utkface" and ds.name == "mine" and ds.table["file"].tolist() == ["a.jpg", "c.jpg"]
    assert ds.labels()["age"].tolist() == [4, -1] and ds.labels()["race"].tolist() == [-1, -1]
    assert ds.table["race"].tolist() == ["", ""]
    years = ds.years()
    assert years[0] == 34 and np.isnan(years[1])
    assert {s.file: s.reason[:9] for s in ds.skipped} == {"b.jpg": "no such g", "d.jpg": "no split"}


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("file,gender\na.jpg,Male\n", "fairface"),
        ("file,age\na.jpg,34\n", "utkface"),
        ("file,age\na.jpg,30-39\n", "fairface"),
        ("file,race\na.jpg,Asian\n", "utkface"),
        ("file,race\na.jpg,East Asian\n", "fairface"),
        ("file,gender,race\na.jpg,0,3\n", "utkface"),
    ],
)
def test_the_schema_that_fits_is_taken_and_said(tmp_path: Path, text: str, schema: str) -> None:
    fill(tmp_path, ["a.jpg"])
    found = read_raw(table(tmp_path / "x.csv", text))
    assert found.schema.name == schema and any(schema in n for n in found.notes)


def test_duplicate_rows_count_once_and_contradictions_not_at_all(tmp_path: Path) -> None:
    fill(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    rows = "a.jpg,Male\na.jpg,Male\nb.jpg,Male\nb.jpg,Female\nb.jpg,Male\nc.jpg,Female\n"
    ds = load_dataset(table(tmp_path / "x.csv", f"file,gender\n{rows}"))
    assert ds.table["file"].tolist() == ["a.jpg", "c.jpg"]
    assert [s.file for s in ds.skipped] == ["a.jpg", "b.jpg", "b.jpg", "b.jpg"]


def test_names_with_backslashes_spaces_and_absolute_paths(tmp_path: Path) -> None:
    fill(tmp_path / "in", ["sub/a.jpg", "my face.jpg", "c.jpg"])
    fill(tmp_path / "out", ["d.jpg"])
    rows = (
        f"sub\\a.jpg,Male\n./my face.jpg,Male\n{tmp_path}/in/c.jpg,Male\n{tmp_path}/out/d.jpg,Male\n../out/d.jpg,Male\n"
    )
    ds = load_dataset(table(tmp_path / "in" / "x.csv", f"file,gender\n{rows}"))
    assert ds.table["file"].tolist()[:3] == ["sub/a.jpg", "my face.jpg", "c.jpg"] and len(ds) == 5
    assert len(ds.crops(8, cache_dir=tmp_path / "cache")) == 5


def test_a_root_may_be_a_folder_or_an_archive_that_nothing_leaves(tmp_path: Path) -> None:
    fill(tmp_path / "pictures", ["a.jpg"])
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    path = table(tmp_path / "t" / "x.csv", f"file,gender\na.jpg,Male\n../secret.jpg,Male\n{tmp_path}/secret.jpg,Male\n")
    assert load_dataset(path, root=tmp_path / "pictures").table["file"].tolist()[0] == "a.jpg"
    archive = zipped(tmp_path / "p.zip", {"all/a.jpg": jpeg(), "../secret.jpg": jpeg()})
    ds = load_dataset(path, root=archive)
    assert ds.table["file"].tolist() == ["a.jpg"]
    assert [s.reason for s in ds.skipped] == ["no such picture"] * 2
    assert (
        load_dataset(path, root=tar(tmp_path / "p.tar", ["all/a.jpg", "../secret.jpg"])).fingerprint == ds.fingerprint
    )


def test_a_skipped_name_that_is_no_unicode_is_written_with_escapes(tmp_path: Path) -> None:
    tar(tmp_path / "p.tar", ["30_0_0_1.jpg", os.fsdecode(b"caf\xe9_0_0_1.jpg")])
    write_dataset(read_raw(tmp_path / "p.tar"), tmp_path / "data")
    assert "caf\\udce9_0_0_1.jpg" in (tmp_path / "data" / "skipped.csv").read_text("utf-8")


def test_a_link_in_a_tar_is_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}_0_0_1.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    with pytest.raises(DataError, match="is empty"):
        load_dataset(tmp_path / "p.tar")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,gender\na.jpg,Male\n", r"no column 'file'. Columns found: image, gender"),
        ("file,mood\na.jpg,good\n", r"no column for any attribute.*Expected: age, gender, race. Found: file, mood"),
        ("file,gender\n", "lists no picture"),
        ("file,gender\nnone.jpg,Male\n", "none of the 1 rows .* The first: none.jpg: no such picture"),
        ("file,gender\n,Male\n", "no file name"),
    ],
)
def test_a_csv_that_gives_nothing_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(table(tmp_path / "x.csv", text))


def test_what_is_no_data_set_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        load_dataset(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        load_dataset(tmp_path / "empty")
    with pytest.raises(DataError, match="not a data set that facefeat knows"):
        load_dataset(fill(tmp_path / "photos", ["a.jpg", "b.jpg"]))
    for name, start in (("x.tar", b"not a tar"), ("x.zip", b"PK not a zip"), ("x.bin", b"?"), ("y.tar", b"")):
        (tmp_path / name).write_bytes(start)
        with pytest.raises(DataError, match="archive"):
            load_dataset(tmp_path / name)
    with pytest.raises(DataError, match="no pictures"):
        load_dataset(tmp_path / "empty", format="utkface")
    with pytest.raises(InputError, match="Did you mean 'fairface'"):
        load_dataset(tmp_path / "photos", format="fareface")
    with pytest.raises(SchemaError, match="no such schema"):
        load_dataset(tmp_path / "photos", schema="none")


def test_a_truncated_archive_loses_its_last_pictures_at_most(tmp_path: Path) -> None:
    whole = tar(tmp_path / "UTKFace.tar", UTK).read_bytes()
    short = tmp_path / "short.tar"
    short.write_bytes(whole[: 1024 * 5 + 600])
    try:
        ds = load_dataset(short)
    except DataError as e:
        assert "not a whole tar" in str(e)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert 0 < len(ds.crops(8, cache_dir=tmp_path / "c")) < len(UTK)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_an_output_that_is_a_link_to_itself_gets_a_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("file,age,gender,race\na.png,3,Male,White\n", "utf-8")
    (tmp_path / "o").symlink_to("o")
    done = CliRunner().invoke(cli, ["data", "import", str(tmp_path / "t.csv"), "-o", str(tmp_path / "o")])
    assert done.exit_code != 0 and not isinstance(done.exception, RuntimeError), done.exception
