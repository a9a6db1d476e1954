"""`facefeat data import`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from facefeat.cli import run
from facefeat.data import load_dataset


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A CSV of four pictures, one of them broken, one missing, ages damaged by a spreadsheet."""
    for name in ("a", "b", "[red]c"):
        out = io.BytesIO()
        Image.new("RGB", (16, 16), (200, 10, 10)).save(out, "JPEG")
        (tmp_path / f"{name}.jpg").write_bytes(out.getvalue())
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    rows = "a.jpg,9-Mar,Male,train\nb.jpg,19-Oct,Female,val\n[red]c.jpg,0-2,Male,train\n"
    rows += "broken.jpg,0-2,Male,train\nmissing.jpg,0-2,Male,val\n"
    path = tmp_path / "faces.csv"
    path.write_text(f"file,age,gender,split\n{rows}")
    return path


def call(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = run([str(a) for a in ("data", "import", *args)])
    out, err = capsys.readouterr()
    return code, out, err


def test_it_says_what_it_read_and_skipped(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    code, out, err = call(capsys, source, "--output", tmp_path / "data", "--schema", "fairface")
    assert code == 0, "skipped rows are told, and are no failure"
    assert "faces: 3 faces (train 2, val 1), schema fairface" in out
    assert "broken.jpg: " in out and "missing.jpg: no such picture" in out and "Skipped 2:" in out
    lines = {tuple(line.split()) for line in out.splitlines()}
    assert ("age", "3-9", "1", "1", "0") in lines and ("gender", "Female", "1", "0", "1") in lines
    assert err.count("a spreadsheet had turned labels into dates") == 1 and not recwarn.list
    assert load_dataset(tmp_path / "data").table["file"].tolist() == ["a.jpg", "b.jpg", "[red]c.jpg"]


def test_pictures_may_stay_unread(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, source, "-o", tmp_path / "data", "--no-check")
    assert code == 0 and "4 faces" in out and "--schema chooses another" in out


def test_many_skipped_rows_are_summed_up(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(source.read_text() + "".join(f"gone{i}.jpg,0-2,Male,val\n" for i in range(30)))
    _, out, _ = call(capsys, source, "-o", tmp_path / "data")
    assert "Skipped 32:" in out and "no such picture (31)" in out and "skipped.csv" in out
    assert (tmp_path / "data" / "skipped.csv").read_text().count("no such picture") == 31


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["{source}"], 2, "--output"),
        (["{folder}/none", "-o", "{folder}/d"], 2, "no such file or folder"),
        (["{source}", "-o", "{folder}/d", "--schema", "fareface"], 2, "Did you mean 'fairface'"),
        (["{source}", "-o", "{folder}/d", "--format", "coco"], 2, "Received: 'coco'. Valid: auto"),
        (["{folder}/a.jpg", "-o", "{folder}/d"], 1, "neither a folder nor a tar nor a zip"),
        (["{source}", "-o", "{folder}"], 1, "not empty and not an imported data set"),
        (["{source}", "-o", "{folder}/d", "--splits", "{folder}/a.jpg"], 1, "not a CSV table"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    source: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, message: str
) -> None:
    got, out, err = call(capsys, *(a.format(source=source, folder=source.parent) for a in args))
    assert got == code and message in err.replace("\n", " ") and "Traceback" not in err and not out
    assert not (source.parent / "d").exists()


def test_faces_are_cut_out_of_photos_and_named_by_their_source(
    repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(repo / "docs" / "assets" / "portrait.jpg") as portrait:
        # So near that the face fills three fifths of the picture: a portrait is no crop either.
        portrait.crop((130, 30, 330, 230)).save(photos / "portrait.jpg")
    Image.new("RGB", (300, 200), "grey").save(photos / "wall.jpg")
    (photos / "faces.csv").write_text("file,gender,split\nportrait.jpg,Female,train\nwall.jpg,Male,val\n")
    code, out, err = call(capsys, photos / "faces.csv", "-o", tmp_path / "plain", "--schema", "fairface")
    assert code == 0 and "look like whole photos" in err and "--detect" in err
    code, out, err = call(capsys, photos / "faces.csv", "-o", tmp_path / "cut", "--schema", "fairface", "--detect")
    assert code == 0 and "whole photos" not in err and "wall.jpg: no face was found" in out
    listed = (tmp_path / "cut" / "crops" / "crops.csv").read_text().splitlines()
    assert listed[0] == "file,source,left,top,right,bottom,score,faces" and len(listed) == 2
    file, photo, left, top, right, bottom, *_ = listed[1].split(",")
    assert photo == "portrait.jpg" and 20 < float(left) < float(right) < 170 and 10 < float(top) < float(bottom) < 170
    data = load_dataset(tmp_path / "cut")
    assert data.table["file"].tolist() == [file] and len(data.crops(64)) == 1
