"""`facefeat data explore`: counts of a small made data set, their tables and figures, and what goes wrong."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facefeat.cli import run
from facefeat.data import FaceDataset, load_dataset
from facefeat.data.explore import explore, imbalance
from facefeat.data.pictures import draw_counts, draw_faces, draw_pairs
from facefeat.errors import DataError
from facefeat.schema import Schema
from made_data import fill, jpeg, table

ROWS = """file,split,age,gender,race
0.jpg,train,5,Male,White
1.jpg,train,34,Male,White
2.jpg,train,34,Female,Black
3.jpg,val,71,Male,
4.jpg,val,34,Male,Indian
"""
"""One race is unknown, and nobody is Asian."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    fill(tmp_path / "faces", {f"{i}.jpg": jpeg(50 * i, 32) for i in range(5)})
    return table(tmp_path / "faces" / "mine.csv", ROWS)


@pytest.fixture
def dataset(source: Path) -> FaceDataset:
    return load_dataset(source, schema="utkface")


def test_a_face_with_several_classes_counts_in_each(tmp_path: Path) -> None:
    fill(tmp_path / "faces", {f"{i}.jpg": jpeg(50 * i, 32) for i in range(4)})
    rows = 'file,split,mood,wears\n0.jpg,train,glad,"glasses, hat"\n1.jpg,train,sad,hat\n'
    rows += "2.jpg,val,sad,none\n3.jpg,val,sad,\n"
    schema = {"mood": {"classes": ["glad", "sad"]}, "wears": {"kind": "multilabel", "classes": ["glasses", "hat"]}}
    own = Schema.from_dict({"name": "own", "attributes": schema})
    found = explore(load_dataset(table(tmp_path / "faces" / "mine.csv", rows), schema=own))
    assert found.total("wears") == {"glasses": 1, "hat": 2, "none": 1, "": 1}
    np.testing.assert_array_equal(found.pairs[0].counts, [[1, 1, 0], [0, 1, 1]])


def test_counts_by_hand(dataset: FaceDataset) -> None:
    found = explore(dataset)
    assert (found.name, found.faces, found.splits) == ("mine", 5, {"train": 3, "val": 2})
    assert found.counts["gender"] == {"train": {"Male": 2, "Female": 1}, "val": {"Male": 2, "Female": 0}}
    assert found.total("race") == {"White": 2, "Black": 1, "Asian": 0, "Indian": 1, "Others": 0, "": 1}
    assert found.years == {5: 1, 34: 3, 71: 1}
    pairs = {(p.first, p.second): p.counts for p in found.pairs}
    assert set(pairs) == {("age", "gender"), ("age", "race"), ("gender", "race")}
    np.testing.assert_array_equal(pairs["gender", "race"], [[2, 0, 0, 1, 0], [0, 1, 0, 0, 0]])
    assert found.imbalance["gender"].ratio == 4 and math.isinf(found.imbalance["race"].ratio)


def test_how_uneven_counts_are() -> None:
    even = imbalance({"a": 7, "b": 7, "c": 7})
    assert even.ratio == 1 and even.effective == pytest.approx(3)
    one = imbalance({"a": 7, "b": 0})
    assert math.isinf(one.ratio) and one.effective == pytest.approx(1) and (one.largest, one.smallest) == ("a", "b")
    assert imbalance({"a": 0, "b": 0}).effective == 0


def test_the_tables_say_what_was_counted(dataset: FaceDataset, tmp_path: Path) -> None:
    found = explore(dataset)
    out = found.save(tmp_path / "new" / "out")
    with (out / "counts.csv").open(newline="") as f:
        rows = {tuple(r.values())[:5]: int(r["faces"]) for r in csv.DictReader(f)}
    assert rows["race", "", "", "", "val"] == 1 and rows["gender", "Male", "race", "White", ""] == 2
    stored = json.loads((out / "counts.json").read_text())
    assert stored["faces"] == 5 and stored["imbalance"]["race"]["ratio"] is None and stored["years"]["34"] == 3
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write"):
        found.save(tmp_path / "file")


def test_the_figures_show_every_attribute_and_pair(dataset: FaceDataset) -> None:
    pytest.importorskip("matplotlib")
    found = explore(dataset)
    counts = draw_counts(found)
    titles = [panel.get_title(loc="left") for panel in counts.axes]
    assert [t.split()[0] for t in titles] == ["age", "gender", "race", "faces"]
    bars = counts.axes[2]
    assert [t.get_text() for t in bars.get_yticklabels()] == [*found.classes["race"], "(unknown)"]
    assert sum(p.get_width() for p in bars.patches) == 5
    assert [t.get_text() for t in counts.legends[0].texts] == ["train 3", "val 2"]
    pairs = draw_pairs(found)
    assert len(pairs.axes) == 3
    shown = [t.get_text() for t in pairs.axes[2].texts]
    assert shown[:10] == ["2", "0", "0", "1", "0", "0", "1", "0", "0", "0"]


def test_faces_are_drawn_beside_their_labels(dataset: FaceDataset) -> None:
    found = explore(dataset)
    picture = draw_faces(dataset, found, columns=4, size=16)
    again = draw_faces(dataset, found, columns=4, size=16)
    assert picture.tobytes() == again.tobytes()
    assert picture.width == 2 * 12 + 150 + 4 * 19
    assert picture.height == 2 * 12 + (9 + 2 + 5) * 19 + 3 * 30


def call(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = run(["data", "explore", *map(str, args)])
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), " ".join(err.split())


def test_the_command_writes_figures_and_tables(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    code, said, _ = call(capsys, source, "-o", out, "--schema", "utkface")
    assert code == 0 and "mine: 5 faces (train 3, val 2)" in said and "gender Male 4 Female 1 4.0" in said
    assert {p.name for p in out.iterdir()} == {"counts.png", "pairs.png", "faces.png", "counts.csv", "counts.json"}
    for figure in out.glob("*.png"):
        with Image.open(figure) as picture:
            picture.load()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["{folder}/none", "-o", "{folder}/out"], 2, "no such file or folder"),
        (["{folder}/empty", "-o", "{folder}/out"], 1, "is empty"),
        (["{folder}/photos", "-o", "{folder}/out"], 1, "not a data set that facefeat knows"),
        (["{folder}/faces", "-o", "{folder}/photos/1.jpg/out"], 1, "cannot write"),
        (["{folder}/faces", "-o", "{folder}/out", "--seed", "-1"], 2, "-1 is not in the range"),
        (["{folder}/faces", "-o", "{folder}/out", "--schema", "fareface"], 2, "Did you mean 'fairface'"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, message: str
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "photos", ["1.jpg"])
    got, out, err = call(capsys, *(a.format(folder=tmp_path) for a in args))
    assert got == code and message in err and "Traceback" not in err and not out
    assert not (tmp_path / "out").exists()
