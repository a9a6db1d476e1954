"""Tables as people have them, and labels as spreadsheets leave them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat.builtin.kinds.classes import damaged_forms
from facefeat.data.labels import LabelReader, repair_warning
from facefeat.data.tables import parse_table, read_table
from facefeat.errors import DataError, LabelError
from facefeat.schema import Attribute, get_schema

TEXT = "file,age,gender\na.jpg,34,Male\nb.jpg,0-2,Female\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.replace(",", ";").encode(),
        TEXT.replace(",", "\t").encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        b"\n\n" + TEXT.encode() + b"\n\n",
        TEXT.replace(",", " , ").encode(),
        TEXT.replace("file", '"File"').replace("a.jpg", '"a.jpg"').encode(),
        TEXT.replace("\n", ",\n").encode(),
    ],
)
def test_one_table_in_many_dresses(data: bytes) -> None:
    table = parse_table(data, "x.csv")
    assert table.columns == ("file", "age", "gender")
    assert [dict(r) for _, r in table.rows] == [
        {"file": "a.jpg", "age": "34", "gender": "Male"},
        {"file": "b.jpg", "age": "0-2", "gender": "Female"},
    ]
    assert table.ragged == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16"])
def test_letters_beyond_ascii(encoding: str) -> None:
    table = parse_table("file;age\nJosé Müller.jpg;34\n".encode(encoding), "x.csv")
    assert table.rows[0][1]["file"] == "José Müller.jpg"


def test_ragged_rows_are_named_by_their_line() -> None:
    table = parse_table(b"file,age\na.jpg\nb.jpg,3\nc.jpg,3,4\nd.jpg,3,,\n", "x.csv")
    assert [line for line, _ in table.rows] == [3, 5]
    assert table.ragged == ((2, "line 2 has 1 fields, the header 2"), (4, "line 4 has 3 fields, the header 2"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PK\x03\x04\x00\x00", "binary file. Save it as CSV"),
        (b"file,age,Age\n", "more than one column named 'age'"),
        (b"file,age\n" + b'"' + b"x" * 200_000, "not a CSV table"),
        (b"\xff\xfef\x00i", "cut short"),
    ],
)
def test_what_is_no_table_says_so(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_table(data, "x.csv")


def test_a_table_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read .*none.csv"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot read"):
        read_table(tmp_path)


def test_a_missing_column_is_named_with_those_found() -> None:
    with pytest.raises(DataError, match=r"no column 'file'. Columns found: image, age"):
        parse_table(b"image,age\na,3\n", "x.csv").require(["file", "age"])


def test_a_file_whose_first_line_has_no_names_is_not_shown() -> None:
    with pytest.raises(DataError, match=r"'x.csv' is not a CSV table: its first line has no names of columns\.$"):
        parse_table(b"root:x:0:0:root:/root:/bin/bash\n", "x.csv").require(["file"])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_data_error(data: bytes) -> None:
    try:
        table = parse_table(data, "x.csv")
    except DataError:
        return
    assert all(set(row) == set(table.columns) for _, row in table.rows)


# -- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damaged", "meant"),
    [
        ("9-Mar", "3-9"), ("09-Mar", "3-9"), ("Mar-09", "3-9"), ("03-Sep", "3-9"), ("3-Sep", "3-9"), ("Sep-03", "3-9"),
        ("19-Oct", "10-19"), ("Oct-19", "10-19"), ("oct-19", "10-19"), ("OCT-19", "10-19"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("schema", ["fairface", "utkface"])
def test_a_spreadsheet_s_dates_are_read_as_the_ages_they_were(schema: str, damaged: str, meant: str) -> None:
    attribute = get_schema(schema)["age"]
    reader = LabelReader(attribute)
    index, years = reader.read(damaged)
    assert attribute.classes[index] == meant and math.isnan(years)
    assert repair_warning([reader]).endswith(f"read {damaged} as {meant} (1 rows)")


@pytest.mark.parametrize("text", ["9-Apr", "10-Oct", "19-Nov", "2019-10-01", "Oct", "9/3", "Feb-00", "29-Oct", "mar 9"])
def test_other_dates_are_not_guessed_at(text: str) -> None:
    with pytest.raises(LabelError):
        LabelReader(get_schema("fairface")["age"]).read(text)


def test_a_date_that_two_classes_share_is_nobody_s() -> None:
    assert "5-mar" in damaged_forms(["3-5"]) and "mar-5" in damaged_forms(["3-5"])
    both = damaged_forms(["3-5", "5-3"])
    assert "5-mar" not in both and "3-may" not in both


def test_a_class_that_is_called_like_a_date_is_no_damage() -> None:
    reader = LabelReader(Attribute("term", ("3-9", "9-Mar")))
    assert reader.read("9-Mar") == (1,)
    assert repair_warning([reader]) == ""


def test_exact_ages_are_years_or_a_class() -> None:
    reader = LabelReader(get_schema("utkface")["age"])
    assert reader.read("34") == (4, 34.0)
    assert reader.read("0") == (0, 0.0)
    assert reader.read("2.5") == (0, 2.5)
    assert reader.read("116") == (8, 116.0)
    index, years = reader.read("30-39")
    assert index == 4 and math.isnan(years)


def test_years_are_binned_where_the_schema_has_bins_only() -> None:
    index, years = LabelReader(get_schema("fairface")["age"]).read("34")
    assert index == 4 and math.isnan(years)


@pytest.mark.parametrize("text", ["1985", "151", "-3", "nan", "inf", "1e1", "34,5", "3 4", "thirty"])
def test_what_is_no_age_is_no_age(text: str) -> None:
    with pytest.raises(LabelError):
        LabelReader(get_schema("utkface")["age"]).read(text)


@given(st.sampled_from(get_schema("fairface")["age"].classes), st.sampled_from(["fairface", "utkface"]))
def test_undamaged_labels_are_never_counted_as_repaired(label: str, schema: str) -> None:
    reader = LabelReader(get_schema(schema)["age"])
    assert reader.attribute.classes[reader.read(label)[0]] == label
    assert not reader.repaired


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("fairface_label_train.csv", {"9-Mar": 10408, "19-Oct": 9103}),
        ("fairface_label_val.csv", {"9-Mar": 1356, "19-Oct": 1181}),
        ("other_form_val.csv", {"03-Sep": 628, "Oct-19": 544}),
    ],
)
def test_the_real_damaged_tables_read_as_the_sound_ones(shared_data: Path, table: str, rows: dict[str, int]) -> None:
    damaged = read_table(shared_data / "fairface" / "excel_damaged" / table)
    sound = read_table(shared_data / "fairface" / table.replace("other_form", "fairface_label"))
    truth = {row["file"]: row["age"] for _, row in sound.rows}
    reader = LabelReader(get_schema("fairface")["age"])
    classes = reader.attribute.classes
    assert all(classes[reader.read(row["age"])[0]] == truth[row["file"]] for _, row in damaged.rows)
    assert {k.split(" as ")[0]: n for k, n in reader.repaired.items()} == rows


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("image,gender", "Next: rename the column 'image' to 'file'."),
        ("source,gender", "Next: rename the column 'source' to 'file'."),
        ("files,gender", "Next: rename the column 'files' to 'file'."),
        ("a/b.jpg,Male", "Next: a first line with the names of the columns."),
    ],
)
def test_a_missing_column_says_what_to_rename(header: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\nx.png,Male\n")
    with pytest.raises(DataError, match=re.escape(said)):
        read_table(tmp_path / "t.csv").require(["file"])
