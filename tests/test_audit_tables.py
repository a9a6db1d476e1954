"""Tables of predictions as people have them: mapped by a file, written by a spreadsheet, a cloud service, a script."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from facefeat import DataError, InputError
from facefeat.cli import cli
from facefeat.evaluation.anyone import measure_predictions
from facefeat.evaluation.census import census, read_collection, read_reference
from facefeat.evaluation.compare import compare
from facefeat.evaluation.predictions import read_predictions
from facefeat.evaluation.summary import sentences
from facefeat.evaluation.table import parts

MALE, FEMALE = "Male", "Female"


def table(n: int = 200) -> pd.DataFrame:
    """Four of five genders right, with probabilities; ages half a year too high."""
    i = np.arange(n)
    true = np.where(i % 2, MALE, FEMALE)
    said = np.where(i % 5, true, np.where(i % 2, FEMALE, MALE))
    p = np.where(said == MALE, 0.75, 0.25)
    return pd.DataFrame({"file": [f"{k}.jpg" for k in i], "gender_true": true, "gender_pred": said,
                         "gender_prob_Male": p, "gender_prob_Female": 1 - p, "age_true": i % 60,
                         "age_pred": i % 60 + 0.5, "site": np.where(i % 3, "a", "b")})  # fmt: skip


def foreign() -> pd.DataFrame:
    """The same in other words, under names that tell nothing."""
    f = table()[["file", "gender_true", "gender_pred", "site"]]
    f["gender_pred"] = f["gender_pred"].map({MALE: "hombre", FEMALE: "mujer"})
    return f.rename(columns={"gender_true": "x", "gender_pred": "y", "site": "z"})


TOML = """\
group = ["z"]
ignore = ["file"]
[gender]
truth = "x"
prediction = "y"
class = { hombre = "Male", mujer = "Female" }
"""


def test_a_measurement_of_few_values_is_no_group() -> None:
    quality = np.where(np.arange(len(table())) % 2, 0.873, 0.952)
    read = read_predictions(table().assign(quality=quality, age_years=np.round(quality), wave=quality > 0.9))
    assert set(read.columns.groups) == {"site", "wave"}


def test_labels_of_age_that_are_classes_are_written_beside_the_predictions(tmp_path: Path) -> None:
    from facefeat.data import load_dataset
    from facefeat.evaluation.predictions import prediction_frame
    from facefeat.networks.postprocess import read_logits
    from facefeat.schema import get_schema

    schema = get_schema("utkface")
    logits = {n: np.zeros((2, a.outputs), "float32") for n, a in schema.attributes.items()}
    for ages, written in ((("20-29", "60-69"), ["20-29", "60-69"]), (("25", "60-69"), [25.0, None])):
        for i, _ in enumerate(ages):
            Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
        rows = "".join(f"{i}.png,test,{age},Male\n" for i, age in enumerate(ages))
        (tmp_path / "faces.csv").write_text(f"file,split,age,gender\n{rows}")
        frame = prediction_frame(read_logits(schema, logits), load_dataset(tmp_path / "faces.csv", schema=schema))
        found = [None if a != a else a for a in frame["age_true"]]
        assert found == written, found


def test_a_toml_file_maps_columns_and_classes(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(TOML)
    read = read_predictions(foreign(), [str(tmp_path / "map.toml")])
    assert read.columns.groups == ("z",) and "file" in read.columns.unused
    assert (read.scored["gender"].truth == read.scored["gender"].answer).mean() == 0.8


def test_csv_files_map_columns_and_classes_beside_typed_pairs(tmp_path: Path) -> None:
    (tmp_path / "columns.csv").write_text("role,column\ngender.truth,x\nignore,z\n")
    (tmp_path / "classes.csv").write_text("Attribute;Label;Class\ngender;hombre;Male\ngender;mujer;Female\n")
    mapped = [str(tmp_path / "columns.csv"), "gender.prediction=y", str(tmp_path / "classes.csv")]
    read = read_predictions(foreign(), mapped)
    assert (read.scored["gender"].truth == read.scored["gender"].answer).mean() == 0.8


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("m.toml", "[gender", "cannot read .*Next: gender = { truth"),
        ("m.toml", "[gender]\ntruth = 3", "expected the name of a column or class for 'gender.truth'. Received: 3"),
        ("m.toml", '[gender]\ntruht = "x"', "no such role. Received: 'gender.truht'. Valid: ATTRIBUTE.truth"),
        ("m.toml", '[hair.class]\nx = "y"\n[gender]\ntruth="x"\nprediction="y"', "no such attribute here.*'hair'"),
        ("m.csv", "a,b\n1,2\n", "must have the columns role, column, or attribute, label, class. Received: a, b"),
        ("m.csv", "role,column\ngender.truth,nope\n", "line 2: gender.truth: no such column. Received: 'nope'"),
        ("m.csv", "attribute,label,class\ngender,,Male\n", "line 2: expected the name"),
        ("m.csv", "role,column\ngender.truth\n", "line 2 has 1 fields"),
    ],
)
def test_a_map_that_is_none_says_where_and_what_is_valid(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises((InputError, DataError), match=sentence):
        read_predictions(foreign(), [str(tmp_path / name)])


def test_a_map_file_that_is_not_there_and_a_label_that_no_row_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_predictions(foreign(), [str(tmp_path / "none.toml")])
    (tmp_path / "map.toml").write_text(
        TOML.replace("mujer", "muher", 1).replace("class = {", 'class = { mujer = "Female",')
    )
    notes = read_predictions(foreign(), [str(tmp_path / "map.toml")]).notes
    assert any("no row has the mapped label 'muher'" in n for n in notes)


@pytest.mark.parametrize(
    "how",
    [
        {"sep": ";", "decimal": ",", "encoding": "utf-8-sig"},
        {"sep": "\t", "decimal": ",", "encoding": "utf-16"},
        {"sep": ";", "decimal": ",", "encoding": "cp1252"},
        {"sep": "|"},
    ],
)
def test_a_spreadsheet_of_any_country_is_read_as_the_plain_table(tmp_path: Path, how: Mapping[str, str]) -> None:
    plain = table().assign(site=np.where(np.arange(200) % 2, "Österreich", "Køln"))
    plain.to_csv(tmp_path / "plain.csv", index=False)
    plain.to_csv(tmp_path / "local.csv", index=False, **how)
    a, b = (measure_predictions(read_predictions(tmp_path / f"{n}.csv"), 0) for n in ("plain", "local"))
    assert a.report.metrics == b.report.metrics and "gender_ece" in b.report.metrics
    assert a.groups["group"].tolist() == b.groups["group"].tolist()


def test_excels_line_of_the_separator_and_percent_signs(tmp_path: Path) -> None:
    f = table().drop(columns=["gender_prob_Male", "gender_prob_Female"]).assign(gender_confidence="75 %")
    (tmp_path / "x.csv").write_bytes(b"sep=;\r\n" + f.to_csv(index=False, sep=";", lineterminator="\r\n").encode())
    read = read_predictions(tmp_path / "x.csv")
    np.testing.assert_allclose(read.scored["gender"].confidence, 0.75)


def test_a_comma_in_a_text_stays(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a;b\n1,5;x,y\n2,5;3,4\n")
    (found,) = parts(tmp_path / "x.csv")
    assert found["a"].tolist() == ["1.5", "2.5"] and found["b"].tolist() == ["x,y", "3,4"]


@pytest.mark.parametrize("word", ["nan", "NaN", "null", "N/A", "unknown"])
def test_words_for_nothing_are_no_class(word: str) -> None:
    f = table().astype(object)
    f.loc[f.index % 4 == 0, "gender_true"] = word
    f.loc[f.index % 4 == 1, "age_pred"] = word
    read = read_predictions(f)
    assert (read.scored["gender"].truth < 0).sum() == 50 and len(read.scored["gender"].attribute.classes) == 2
    assert np.isnan(read.scored["age"].value).sum() == 50
    assert sum("50 of 200 rows have no" in n for n in read.notes) == 2
    mapped = read_predictions(f, [f"gender.class.{word}=Other", "ignore=age_true"])
    assert "Other" in mapped.scored["gender"].attribute.classes  # who wants it as a class, says so


def test_names_as_a_cloud_service_writes_them() -> None:
    f = table()
    aws = pd.DataFrame({"ImageId": f["file"], "GroundTruthGender": f["gender_true"], "Gender.Value": f["gender_pred"],
                        "Gender.Confidence": 75.0, "AgeRange.Low": 20, "AgeRange.High": 30})  # fmt: skip
    read = read_predictions(aws)
    a = read.columns.attributes["gender"]
    assert (a.truth, a.prediction, a.confidence) == ("GroundTruthGender", "Gender.Value", "Gender.Confidence")


def test_tables_that_cannot_be_right(tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("file,gender_true,gender_true,gender_pred\na,Male,Male,Male\n")
    with pytest.raises(DataError, match="more than one column named 'gender_true'"):
        read_predictions(tmp_path / "twice.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 99)
    with pytest.raises(DataError, match="not a CSV table but a binary file"):
        read_predictions(tmp_path / "picture.csv")
    (tmp_path / "ragged.csv").write_text("file,gender_true,gender_pred\na,Male,Male\nb,Male,Male,x,y\n")
    with pytest.raises(DataError, match="is not a CSV table: Expected 3 fields in line 3, saw 5"):
        read_predictions(tmp_path / "ragged.csv")
    with pytest.raises(InputError, match=r"from 1940 to 1999, which are no ages.*less that of birth"):
        read_predictions(table().assign(age_true=1940 + np.arange(200) % 60))


def test_an_empty_column_of_probabilities_makes_the_other_no_group() -> None:
    read = read_predictions(table().assign(gender_prob_Male=np.nan))
    assert read.columns.groups == ("site",)


def test_one_answer_of_two_known_classes_is_wrong_and_not_another_spelling() -> None:
    read = read_predictions(pd.DataFrame({"gender_true": [MALE] * 3, "gender_pred": [FEMALE] * 3}))
    found = measure_predictions(read, 0)
    assert found.report.metrics["gender_accuracy"] == 0
    assert not any("Every group has enough" in s for s in sentences(found))


def test_a_comparison_says_where_the_labels_differ() -> None:
    a = table()
    other = a.assign(gender_true=np.where(a.index < 30, MALE, a["gender_true"]))
    found = compare(read_predictions(a, name="a"), read_predictions(other, name="b"), 10)
    assert found.notes == (
        "gender: 15 of 200 faces have another label in b than in a, so that each model is measured by its own table's "
        "labels.",
    )
    assert found.notes[0] in found.to_dict()["summary"]
    assert compare(read_predictions(a), read_predictions(a), 10).notes == ()


def test_a_census_leaves_out_impossible_probabilities_and_counts_copies_and_silence() -> None:
    f = table(400)
    labelled = read_predictions(f[["file", "gender_true", "gender_pred"]])
    faces = pd.DataFrame({"source": f["file"], "face": 1, "gender": f["gender_pred"], "gender:Male": 0.9,
                          "gender:Female": 0.9})  # fmt: skip
    faces.loc[::4, "gender"] = np.nan
    both = pd.concat([faces, faces])
    found = census(read_collection(both, {"gender": labelled.scored["gender"].attribute}), labelled, bootstrap=20)
    said = " ".join(found.notes)
    assert "do not sum to 1" in said and found.table["em"].isna().all()
    assert "200 of 800 faces have no answer" in said and "400 of 800 rows are copies" in said


def test_a_census_of_nobody_and_of_one_class() -> None:
    labelled = read_predictions(table(400)[["file", "gender_true", "gender_pred"]])
    attributes = {"gender": labelled.scored["gender"].attribute}
    nobody = read_collection(pd.DataFrame({"gender": [None, None, None], "face": [1, 2, 3]}), attributes)
    with pytest.raises(DataError, match="no face of 'the collection' has an answer of gender"):
        census(nobody, labelled)
    alike = census(read_collection(pd.DataFrame({"gender": [MALE] * 20}), attributes), labelled, bootstrap=50)
    row = alike.table.set_index("group").loc["Female"]
    assert row["share_high"] > 0.1  # of twenty faces none: that is no proof of none


def test_a_reference_as_a_german_spreadsheet_writes_it(tmp_path: Path) -> None:
    attributes = {"gender": read_predictions(table()).scored["gender"].attribute}
    path = tmp_path / "r.csv"
    path.write_text("attribute;group;share\ngender;Male;0,49\ngender;Female;0,51\n")
    assert read_reference(path, attributes)["gender", "Male"] == pytest.approx(0.49)
    path.write_text("attribute,group,share\ngender,Male,half\n")
    with pytest.raises(DataError, match=r"line 2: a share is a number, such as 0.4 or 40 %. Received: 'half'"):
        read_reference(path, attributes)


def test_the_terminal_shows_the_first_rows_of_a_long_section(tmp_path: Path) -> None:
    n = 4000
    rng = np.random.default_rng(0)
    age = rng.integers(1, 80, n)
    pd.DataFrame({"file": np.arange(n), "age_true": age, "age_pred": (age + rng.normal(0, 5, n)).clip(0),
                  "site": rng.integers(0, 40, n).astype(str)}).to_csv(tmp_path / "t.csv", index=False)  # fmt: skip
    shown = CliRunner().invoke(
        cli, ["audit", str(tmp_path / "t.csv"), "--bootstrap", "0", "--map", "group=site"], catch_exceptions=False
    )
    assert "not for deciding about people" in shown.output and "more rows. Next: --report FOLDER" in shown.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gender," + "x" * 200_000 + "\nMale,1\n", "field larger than field limit"),
        (",".join(f"c{i}" for i in range(10_001)) + "\n", "10,001 columns"),
        ("age,age \n1,2\n", "more than one column named 'age'"),
        ("age,\u2028age\n1,2\n", "more than one column named|empty"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "t.csv").write_text(text, "utf-8")
    with pytest.raises(DataError, match=sentence):
        list(parts(tmp_path / "t.csv"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_named_parquet_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="no regular file"):
        list(parts(tmp_path / "t.parquet"))


def test_a_parquet_table_of_long_cells_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for kind in (pa.string(), pa.large_string()):
        pq.write_table(pa.table({"gender": pa.array(["x" * 3_000_000] * 30, kind)}), tmp_path / "t.parquet")
        with pytest.raises(DataError, match="cells of more than 65,536 bytes"):
            list(parts(tmp_path / "t.parquet"))
        one = pa.DictionaryArray.from_arrays(pa.array([0] * 90_000, "int32"), pa.array(["x" * 100_000], kind))
        pq.write_table(pa.table({"gender": one}), tmp_path / "t.parquet", store_schema=False)  # 9 GB, written out
        with pytest.raises(DataError, match="cells of more than 65,536 bytes"):
            list(parts(tmp_path / "t.parquet"))
        words = pa.array(["a", "b", None] * 5, kind)
        pq.write_table(pa.table({"gender": words, "age": pa.array(range(15))}), tmp_path / "t.parquet")
        (found,) = parts(tmp_path / "t.parquet")
        assert found["gender"].tolist()[:2] == ["a", "b"] and found["age"].sum() == 105


def test_a_parquet_table_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array(["a", "b"])] * 2, names=["gender", "gender"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="more than one column named 'gender'"):
        list(parts(tmp_path / "t.parquet"))
