"""`facefeat predict` with a stand-in for the model: inputs, formats, exit codes. The real model has its own tests."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facefeat import AttributePrediction, Face, FaceResult, ImageResult, PresetError, Schema
from facefeat.cli import run
from facefeat.cli._annotate import COPIES, Annotator
from facefeat.cli._inputs import expand
from facefeat.cli._results import (
    CsvWriter,
    JsonWriter,
    PlainWriter,
    TableWriter,
    finite,
    terminal_writer,
)
from facefeat.errors import InputError
from facefeat.plugins.kinds import say
from facefeat.schema import get_schema
from facefeat.types import Interval
from facefeat.utils.text import percent


def prediction(schema: Schema, name: str, index: int, p: float) -> AttributePrediction:
    classes = schema.attributes[name].classes
    rest = (1 - p) / (len(classes) - 1)
    found = {c: p if i == index else rest for i, c in enumerate(classes)}
    return AttributePrediction(classes[index], p, found, kind=schema.attributes[name].kind)


def aged(prediction: AttributePrediction, years: float | None, between: Interval | None = None) -> AttributePrediction:
    return replace(prediction, value=years, interval=between, unit="" if years is None else "years")


def face(p: float = 0.9, years: float | None = 33.4, score: float = 0.99, schema: str = "utkface") -> FaceResult:
    s = get_schema(schema)
    attributes = {n: prediction(s, n, 1, p) for n in s.attributes}
    attributes["age"] = aged(attributes["age"], years)
    return FaceResult(Face((-3.2, 5.5, 100.4, 120.0), score), attributes)


class Model:
    """Answers by the file's name: a face for each `f`, and an error for names with `bad`."""

    schema = get_schema("utkface")
    chunks: list[int]

    def __init__(self) -> None:
        self.chunks = []

    def predict(self, images: Sequence[str]) -> list[ImageResult]:
        print("a framework that prints")
        self.chunks.append(len(images))
        return [self._one(str(i)) for i in images]

    def _one(self, source: str) -> ImageResult:
        name = os.path.basename(source)
        if not os.path.exists(source) or "bad" in name:
            return ImageResult(source, error=f"{source!r} cannot be read.")
        return ImageResult(source, tuple(face(score=0.5 + 0.4 * (i == 0)) for i in range(name.count("f"))), (200, 300))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    from facefeat.cli import predict

    made = Model()
    monkeypatch.setattr(predict, "load_model", lambda preset, detector: made)
    return made


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """f.jpg has one face, ff.PNG two, none.jpg none; sub/f.jpg one; there are other files and hidden ones."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("f.jpg", "ff.PNG", "none.jpg", "sub/f.jpg", ".hidden/f.jpg", "._f.jpg"):
        Image.new("RGB", (200, 300)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


# ---------------------------------------------------------------- inputs


def test_folders_are_searched_and_sorted_and_nothing_comes_twice(album: Path) -> None:
    assert expand(["."]).files == tuple(
        os.path.join(".", *p) for p in (["f.jpg"], ["ff.PNG"], ["none.jpg"], ["sub", "f.jpg"])
    )
    assert expand(["ff.PNG", "f.jpg", "ff.PNG", "*.jpg"]).files == ("ff.PNG", "f.jpg", "none.jpg")
    assert expand(["**/*.jpg"]).files == ("f.jpg", "none.jpg", os.path.join("sub", "f.jpg"))
    assert expand(["s*"]).files == (os.path.join("sub", "f.jpg"),)


def test_a_file_is_taken_as_it_is_named(album: Path) -> None:
    (album / "odd[1].jpg").touch()
    assert expand(["notes.txt", "missing.jpg", "odd[1].jpg"]).files == ("notes.txt", "missing.jpg", "odd[1].jpg")


def test_what_gives_no_picture_is_a_sentence_each(album: Path) -> None:
    (album / "empty").mkdir()
    found = expand(["empty", "*.bmp", "f.jpg"])
    assert found.files == ("f.jpg",)
    assert len(found.complaints) == 2
    assert "'empty' has no pictures" in found.complaints[0] and "no picture matches '*.bmp'" in found.complaints[1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(album: Path) -> None:
    (album / "sub").chmod(0)
    try:
        assert "cannot read the folder" in expand(["sub"]).complaints[0]
    finally:
        (album / "sub").chmod(0o755)


# ---------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ([], 2, "no photo given"),
        (["empty"], 2, "the folder 'empty' has no pictures"),
        (["*.bmp"], 2, "no picture matches '*.bmp'"),
        (["f.jpg", "--json", "--csv"], 2, "exclude each other"),
        (["f.jpg", "--min-score", "2"], 2, "0<=x<=1"),
        (["f.jpg", "--detector", "mtcn"], 2, "Did you mean 'mtcnn'"),
        (["f.jpg", "--preset", "no-such"], 2, "no such preset. Received: 'no-such'"),
        (["f.jpg", "--annotate", "notes.txt"], 2, "is a file"),
        (["f.jpg", "--annotate", "notes.txt/x"], 2, "cannot write"),
        (["missing.jpg"], 1, "no such file: 'missing.jpg'"),
        (["nune.jpg"], 1, "Did you mean 'none.jpg'?"),
        (["f.jpg", "bad.jpg", "none.jpg"], 1, "'bad.jpg' cannot be read"),
        (["f.jpg", "empty"], 1, "the folder 'empty' has no pictures"),
        (["f.jpg", "none.jpg"], 0, "2 photos, 1 face, 1 without a face"),
        (["f.jpg"], 0, ""),
    ],
)
def test_exit_codes(
    album: Path, model: Model, capsys: pytest.CaptureFixture[str], args: list[str], code: int, says: str
) -> None:
    (album / "empty").mkdir()
    assert run(["predict", *args]) == code
    shown = capsys.readouterr().err
    assert says in shown and "Traceback" not in shown


def test_one_bad_photo_costs_no_other(album: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "f.jpg", "missing.jpg", "ff.PNG"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["f.jpg", "ff.PNG", "ff.PNG"]


def test_a_preset_that_does_not_load_is_a_failure(
    album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from facefeat.cli import predict

    def load(preset: Any, detector: Any) -> None:
        raise PresetError("preset 'x': 'head.weights.h5' was altered.")

    monkeypatch.setattr(predict, "load_model", load)
    assert run(["predict", "f.jpg"]) == 1
    assert capsys.readouterr().err == "facefeat: preset 'x': 'head.weights.h5' was altered.\n"


def test_photos_are_read_in_chunks(album: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(40):
        (album / "sub" / f"{i:02}f.jpg").touch()
    assert run(["predict", "sub"]) == 0
    assert model.chunks == [16, 16, 9]
    assert len(capsys.readouterr().out.splitlines()) == 41


def test_standard_output_has_results_alone(album: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "f.jpg", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "a framework that prints" in err and "framework" not in out
    json.loads(out)


def test_min_score_leaves_out_the_unsure(album: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "ff.PNG", "--min-score", "0.8", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["faces"]) == 1


# ---------------------------------------------------------------- formats


def test_json_is_a_list_of_results_with_the_failed_ones(
    album: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "f.jpg", "bad.jpg", "none.jpg", "--json"]) == 1
    results = json.loads(capsys.readouterr().out)
    assert [r["source"] for r in results] == ["f.jpg", "bad.jpg", "none.jpg"]
    assert results[0]["faces"][0]["attributes"]["race"]["label"] == "Black"
    assert results[0]["faces"][0]["age_years"] == 33.4
    assert "cannot be read" in results[1]["error"] and results[2] == {
        "source": "none.jpg", "size": [200, 300], "faces": [], "error": None,
    }  # fmt: skip


def test_csv_has_a_row_for_each_face_and_every_probability(
    album: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "ff.PNG", "none.jpg", "f.jpg", "--csv"]) == 0
    out, err = capsys.readouterr()
    table = list(csv.DictReader(io.StringIO(out)))
    assert [(r["source"], r["face"]) for r in table] == [("ff.PNG", "1"), ("ff.PNG", "2"), ("f.jpg", "1")]
    assert table[0]["gender"] == "Female" and table[0]["gender_probability"] == "0.9"
    for name, attribute in model.schema.attributes.items():
        assert math.isclose(sum(float(table[0][f"{name}:{c}"]) for c in attribute.classes), 1, abs_tol=1e-3)
    assert "1 without a face" in err


def test_csv_columns_depend_on_the_schema_alone(album: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "none.jpg", "--csv"]) == 0
    without = capsys.readouterr().out.splitlines()
    assert run(["predict", "f.jpg", "--csv"]) == 0
    assert [capsys.readouterr().out.splitlines()[0]] == without
    assert run(["predict", "missing.jpg", "--csv"]) == 1
    assert capsys.readouterr().out.splitlines() == without


NAN = ImageResult("x.jpg", (face(p=float("nan"), years=float("nan")),), (9, 9))


def test_what_is_not_a_number_breaks_no_format() -> None:
    out = io.StringIO()
    writer = JsonWriter(out)
    writer.write([NAN])
    writer.close()
    assert json.loads(out.getvalue())[0]["faces"][0]["age_years"] is None
    out = io.StringIO()
    CsvWriter(out, get_schema("utkface")).write([NAN])
    assert next(csv.DictReader(io.StringIO(out.getvalue())))["age_years"] == ""
    assert "nan" not in out.getvalue()
    for width in (None, 140):
        out = io.StringIO()
        terminal_writer(out, get_schema("utkface"), ["x.jpg"], width).write([NAN])
        assert "nan" not in out.getvalue() and "? (3-9 ?)" in out.getvalue()


def test_an_empty_json_list_is_valid() -> None:
    out = io.StringIO()
    JsonWriter(out).close()
    assert json.loads(out.getvalue()) == []


def _lines(results: Sequence[ImageResult], width: int | None, schema: str = "utkface") -> list[str]:
    out = io.StringIO()
    writer = terminal_writer(out, get_schema(schema), [r.source for r in results], width)
    writer.write(results[:1])
    writer.write(results[1:])
    writer.close()
    return out.getvalue().splitlines()


RESULTS = [
    ImageResult("a.jpg", (face(), face(p=0.4)), (9, 9)),
    ImageResult("[bold]b[/].jpg", (), (9, 9)),
    ImageResult("c.jpg", error="gone"),
]


def test_a_wide_terminal_gets_one_table_though_it_is_written_in_parts() -> None:
    lines = _lines(RESULTS, 120)
    assert lines[0].split() == ["Photo", "Face", "Box", "Age", "Gender", "Race"]
    assert sum("Photo" in line for line in lines) == 1
    assert "33 (3-9 90%)" in lines[2] and "Female 90%" in lines[2] and "Black 90%" in lines[2]
    # No clear answer: the runner-up is told, too.
    assert "Female 40%" in lines[3] and "Male 60%" in lines[4]
    assert "[bold]b[/].jpg" in lines[5] and "no face found" in lines[5]
    assert len(lines) == 6 and max(map(len, lines)) <= 120


def test_a_table_without_any_row_has_no_heading() -> None:
    assert _lines([RESULTS[2]], 120) == []


def test_a_narrow_terminal_or_none_gets_whole_plain_lines() -> None:
    narrow = _lines(RESULTS, 40)
    assert narrow[:3] == [
        "a.jpg  face 1  box -3,6 100,120",
        "    age 33 (3-9 90%)  gender Female 90%",
        "    race Black 90%",
    ]
    lines = _lines(RESULTS, None)
    assert " ".join(" ".join(narrow).split()) == " ".join(" ".join(lines).split())
    assert lines[0] == "a.jpg  face 1  box -3,6 100,120  age 33 (3-9 90%)  gender Female 90%  race Black 90%"
    assert "gender Female 40% or Male 60%" in lines[1]
    assert lines[2] == "[bold]b[/].jpg  no face found"


@pytest.mark.parametrize("schema", ["utkface", "fairface"])
@pytest.mark.parametrize("width", [80, 90, 95, 100, 110, 140])
def test_nothing_is_cut_at_any_width_of_a_terminal(schema: str, width: int) -> None:
    s = get_schema(schema)
    faces = []
    for i, p in enumerate([1.0, 0.42] * 5):
        attributes = {n: prediction(s, n, min(i, len(a.classes) - 1), p) for n, a in s.attributes.items()}
        attributes["age"] = aged(attributes["age"], 104.0, Interval(100, 116, 0.9))
        faces.append(FaceResult(Face((1310, 1005, 4000, 4120), 0.9), attributes))
    lines = _lines([ImageResult("IMG_2041.jpg", tuple(faces), (9, 9))], width, schema)
    shown = "\n".join(lines)
    assert "…" not in shown and max(map(len, lines)) <= width
    assert ("Photo" in lines[0]) == (width >= (90 if schema == "utkface" else 100))
    for i, told in enumerate(faces):
        assert shown.count("1310,1005 4000,4120") == shown.count("100-116 (90%)") == len(faces)
        for n, a in s.attributes.items():
            label = a.classes[min(i, len(a.classes) - 1)]
            assert f"{label} {percent(told.attributes[n].probability)}" in shown


def test_a_schema_of_ones_own_is_shown_with_its_own_attributes() -> None:
    own = Schema.from_dict(
        {"name": "own", "attributes": {"years_old": {"classes": ["a", "b"], "years": [[0, 9], [10, 99]]},
                                       "eye_colour": {"classes": ["blue", "brown"]}}}
    )  # fmt: skip
    attributes = {n: prediction(own, n, 1, 0.9) for n in own.attributes}
    attributes["years_old"] = aged(attributes["years_old"], 41.6)
    result = ImageResult("a.jpg", (FaceResult(Face((0, 0, 9, 9)), attributes),), (9, 9))
    out = io.StringIO()
    PlainWriter(out).write([result])
    assert out.getvalue() == "a.jpg  face 1  box 0,0 9,9  years old 42 (b 90%)  eye colour brown 90%\n"
    out = io.StringIO()
    TableWriter(out, own, ["a.jpg"], 100).write([result])
    assert "42 (b 90%)" in out.getvalue() and "Eye colour" in out.getvalue()


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, ">99%"), (0.9951, ">99%"), (0.99, "99%"), (0.004, "<1%"), (0.0, "<1%"), (math.nan, "?")]
)
def test_a_probability_never_claims_to_be_certain(p: float, text: str) -> None:
    assert percent(p) == text


def test_the_runner_up_is_told_where_there_is_no_clear_answer() -> None:
    sure = AttributePrediction("a", 0.7, {"a": 0.7, "b": 0.3})
    unsure = AttributePrediction("b", 0.4, {"a": 0.25, "b": 0.4, "c": 0.35})
    assert say("x", sure).lines == ("a 70%",)
    assert say("x", unsure).lines == ("b 40%", "c 35%") and say("x", unsure).text == "b 40% or c 35%"


_JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSONISH)
def test_finite_makes_anything_valid_json(value: Any) -> None:
    json.dumps(finite(value), allow_nan=False)


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
def test_any_file_name_stays_on_its_line(name: str) -> None:
    lines = _lines([ImageResult(name, (face(),), (9, 9))], None)
    assert len(lines) == 1 and lines[0].endswith("race Black 90%")


# ---------------------------------------------------------------- annotate


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_list_of_copies_that_is_a_link_or_a_pipe_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for name in ("link", "pipe"):
        (tmp_path / name).mkdir()
    (tmp_path / "link" / COPIES).symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / "pipe" / COPIES)
    for name, why in (("link", "is a link to another file"), ("pipe", "it is no regular file")):
        with pytest.raises(InputError, match=why):
            Annotator(tmp_path / name, [], {}, True)
    assert (tmp_path / "mine").read_text() == "mine"


def test_annotated_copies_lie_in_the_folder_and_touch_no_original(
    album: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in album.rglob("*.*") if p.is_file()}
    assert run(["predict", "f.jpg", "sub", "bad.jpg", "--annotate", "out/deep"]) == 1
    assert sorted(p.name for p in (album / "out" / "deep").glob("*.jpg")) == ["f-faces-2.jpg", "f-faces.jpg"]
    assert np.asarray(Image.open(album / "out" / "deep" / "f-faces.jpg")).shape == (300, 200, 3)
    assert {p: p.read_bytes() for p in before} == before


def test_a_name_of_the_greatest_length_has_a_copy(album: Path, model: Model) -> None:
    (album / "f.jpg").rename(album / f"{'é' * 120}{'x' * 11}.jpg")
    assert run(["predict", f"{'é' * 120}{'x' * 11}.jpg", "--annotate", "out"]) == 0
    (copy,) = (album / "out").glob("*.jpg")
    assert copy.name.endswith("-faces.jpg") and copy.stat().st_size


def test_copies_keep_their_subfolders_name_their_sources_and_are_never_read_again(
    album: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", ".", "--annotate", "drawn"]) == 0
    assert (album / "drawn" / "f-faces.jpg").is_file() and (album / "drawn" / "sub" / "f-faces.jpg").is_file()
    listed = list(csv.reader((album / "drawn" / COPIES).open(newline="")))
    assert listed[0] == ["copy", "source"] and ["sub/f-faces.jpg", os.path.join(".", "sub", "f.jpg")] in listed
    assert sum(model.chunks) == 4
    capsys.readouterr()
    assert run(["predict", "."]) == 0 and sum(model.chunks) == 8
    assert "4 annotated copies of an earlier run are left out" in capsys.readouterr().err
    assert run(["predict", ".", "--annotate", "drawn"]) == 2
    assert "has the copies of an earlier run (4). Next: --overwrite" in capsys.readouterr().err
    assert run(["predict", ".", "--annotate", "drawn", "--overwrite"]) == 0
    assert len(list((album / "drawn").rglob("*.jpg"))) == 4
    assert len((album / "drawn" / COPIES).read_text().splitlines()) == 5


# ---------------------------------------------------------------- other ways in and out


def test_a_table_goes_to_a_file_and_an_earlier_one_stays(
    album: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "f.jpg", "-o", "faces.csv"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "written to 'faces.csv'" in err
    assert (album / "faces.csv").read_text().splitlines()[1].startswith("f.jpg,1,")
    assert run(["predict", "ff.PNG", "-o", "faces.csv"]) == 2
    assert "Next: --overwrite" in capsys.readouterr().err
    assert run(["predict", "ff.PNG", "-o", "faces.csv", "--overwrite"]) == 0
    assert len((album / "faces.csv").read_text().splitlines()) == 3
    assert run(["predict", "f.jpg", "-o", "faces.json"]) == 0
    assert json.loads((album / "faces.json").read_text())[0]["source"] == "f.jpg"
    assert run(["predict", "f.jpg", "-o", "faces.xlsx"]) == 2
    assert "a .csv or .json file" in capsys.readouterr().err


def test_a_photo_comes_on_standard_input_or_from_an_address_that_is_typed(
    album: Path, model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def predict(images: Sequence[Any]) -> list[ImageResult]:
        return [ImageResult("image 1", (face(),), (1, len(i))) for i in images]

    monkeypatch.setattr(model, "predict", predict)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"photo")))
    assert run(["predict", "-", "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert said["source"] == "-" and said["size"] == [1, 5]
    monkeypatch.setattr("facefeat.utils.download.read_bytes", lambda url, *_: url.encode())
    assert run(["predict", "https://x.org/a.jpg?b=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["source"] == "https://x.org/a.jpg?b=1"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    assert run(["predict", "-"]) == 1
    assert "nothing came on standard input" in capsys.readouterr().err


def test_an_input_is_never_written_over(album: Path, model: Model) -> None:
    Image.new("RGB", (200, 300), "red").save(album / "f-faces.jpg")
    before = (album / "f-faces.jpg").read_bytes()
    assert run(["predict", "f.jpg", "f-faces.jpg", "--annotate", "."]) == 0
    assert (album / "f-faces.jpg").read_bytes() == before
    assert (album / "f-faces-2.jpg").exists() and (album / "f-faces-faces.jpg").exists()


def test_a_copy_that_cannot_be_written_is_named(album: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    (album / "out" / "f-faces.jpg").mkdir(parents=True)
    assert run(["predict", "f.jpg", "none.jpg", "--annotate", "out"]) == 1
    out, err = capsys.readouterr()
    assert "cannot write" in err and "Traceback" not in err
    assert "none.jpg" in out
