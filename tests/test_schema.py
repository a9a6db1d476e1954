"""Schemas: labels by name, years by range, and one sentence for a table that does not fit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat.builtin.kinds.ordered import KIND, index_of_years
from facefeat.errors import LabelError, SchemaError
from facefeat.schema import BUILTIN_SCHEMAS, Attribute, Schema, get_schema

FAIRFACE_RACES = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")


def age(**changes: object) -> Attribute:
    given = {"classes": ("young", "old"), "ordered": True, "years": ((0, 39), (40, 99)), "exact": True, **changes}
    return Attribute("age", **given)  # type: ignore[arg-type]


def test_fairface_has_nine_ages_two_genders_seven_races() -> None:
    schema = get_schema("fairface")
    assert [len(a.classes) for a in schema.attributes.values()] == [9, 2, 7]
    assert schema["race"].classes == FAIRFACE_RACES
    assert schema["age"].ordered and not schema["age"].exact and schema["age"].outputs == 9
    assert schema.age is schema["age"]


def test_utkface_has_the_same_age_bins_and_exact_years() -> None:
    utkface, fairface = get_schema("utkface"), get_schema("fairface")
    assert utkface["age"].classes == fairface["age"].classes and utkface["age"].years == fairface["age"].years
    assert utkface["age"].exact and utkface["age"].outputs == 117
    assert utkface["race"].classes == ("White", "Black", "Asian", "Indian", "Others")


@pytest.mark.parametrize("name", BUILTIN_SCHEMAS)
def test_a_built_in_survives_its_dict(name: str) -> None:
    schema = get_schema(name)
    assert Schema.from_dict(schema.to_dict()) == schema
    assert get_schema(schema) is schema and get_schema(schema.to_dict()) == schema
    assert get_schema(name) is schema


@pytest.mark.parametrize("name", BUILTIN_SCHEMAS)
def test_every_class_is_found_by_its_name_whatever_case_and_spaces(name: str) -> None:
    for attribute in get_schema(name).attributes.values():
        for i, label in enumerate(attribute.classes):
            for spelt in (label, label.upper(), f"  {label} ", label.replace(" ", "_"), label.replace("_", " ")):
                assert attribute.index(spelt) == i


def test_aliases_are_other_spellings() -> None:
    schema = get_schema("utkface")
    assert schema["gender"].index("1") == 1 and schema["race"].index(4) == 4
    assert schema["age"].index("70+") == 8


def test_an_unknown_label_names_the_nearest_and_all() -> None:
    with pytest.raises(LabelError, match=r"no such gender. Received: 'Femal'. Did you mean 'Female'\? Valid: Female"):
        get_schema("fairface")["gender"].index("Femal")


@pytest.mark.parametrize("label", ["", "0-3", "9-Mar", "nan", None, "more than"])
def test_no_label_is_guessed(label: object) -> None:
    with pytest.raises(LabelError):
        get_schema("fairface")["age"].index(label)


@given(st.floats(0, 200))
def test_years_fall_into_the_class_that_holds_them(years: float) -> None:
    attribute = get_schema("utkface")["age"]
    first, last = attribute.years[index_of_years(attribute, years)]
    assert first <= years and (years < last + 1 or last == 116)


@pytest.mark.parametrize("years", [-1, -0.5, math.nan, math.inf, -math.inf])
def test_impossible_years_are_refused(years: float) -> None:
    with pytest.raises(LabelError, match="no such age"):
        index_of_years(get_schema("utkface")["age"], years)


def test_an_attribute_without_an_order_has_no_axis() -> None:
    assert get_schema("fairface")["gender"].axis is None


def test_the_outputs_of_exact_years_sum_into_classes() -> None:
    attribute = age()
    matrix = KIND.matrix(attribute)
    assert matrix.shape == (100, 2) and matrix.dtype == np.float32
    assert (matrix.sum(1) == 1).all() and matrix[:, 0].sum() == 40
    assert (KIND.matrix(get_schema("fairface")["age"]) == np.eye(9)).all()


def test_the_axis_of_an_age_has_the_middles_of_its_classes() -> None:
    axis = age(exact=False, years=((0, 9), (10, 19))).axis
    assert axis is not None and axis.positions == (5, 15) and axis.edges == (10,) and axis.unit == "years"
    oldest = get_schema("fairface")["age"].axis
    assert oldest is not None and oldest.positions[-1] == 76


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("one",), "years": ()}, "at least two classes"),
        ({"classes": ("a", "A"), "years": ()}, "different names"),
        ({"years": ((0, 39),)}, "2 classes but 1 ranges"),
        ({"years": ((0, 39), (41, 99))}, "consecutive"),
        ({"years": ((0, 39), (39, 99))}, "consecutive"),
        ({"years": ((40, 99), (0, 39))}, "consecutive"),
        ({"years": ((0, 39), (40, 39))}, "consecutive"),
        ({"years": ((-5, 39), (40, 99))}, "consecutive"),
        ({"years": ()}, "needs the years"),
        ({"years": ((0, 39), (40, 999_999_999))}, "up to 150"),
        ({"classes": ("young", " ")}, "needs a name"),
        ({"aliases": {"x": "nobody"}}, "alias 'x' names no class"),
        ({"aliases": {"Old": "young"}}, "the name of another class"),
        ({"aliases": {"x": "young", "X": "old"}}, "the name of another class"),
        ({"aliases": {" ": "young"}}, "is empty"),
    ],
)
def test_an_attribute_that_does_not_fit_together_says_why(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        age(**changes)


@pytest.mark.parametrize("name", ["Age", "my age", "", "1st", "a-b"])
def test_an_attribute_s_name_is_a_lower_case_word(name: str) -> None:
    with pytest.raises(SchemaError, match="lower-case"):
        Attribute(name, ("a", "b"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "needs a string 'name'"),
        ([], r"must be a table\. Received: \[\]"),
        ({"name": "x"}, "attributes"),
        ({"name": "x", "attributes": {}}, "has no attributes"),
        ({"name": "x", "attribute": {}}, "Did you mean 'attributes'"),
        ({"name": "x", "attributes": {"a": 3}}, "must be a table"),
        ({"name": "x", "attributes": {"a": {}}}, "'classes' is missing"),
        ({"name": "x", "attributes": {"a": {"classes": "ab"}}}, "list of strings"),
        ({"name": "x", "attributes": {"a": {"classes": ["a", 1]}}}, "list of strings"),
        ({"name": "x", "attributes": {"a": {"clases": ["a", "b"]}}}, "Did you mean 'classes'"),
        ({"name": "x", "attributes": {"a": {"classes": ["a", "b"], "years": [[0, True], [2, 3]]}}}, "whole numbers"),
        ({"name": "x", "attributes": {"a": {"classes": ["a", "b"], "ordered": "yes"}}}, "true or false"),
        ({"name": "x", "attributes": {"a": {"classes": ["a", "b"], "aliases": {"c": 1}}}}, "table of strings"),
    ],
)
def test_a_table_that_is_no_schema_says_why(table: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.from_dict(table)


def test_a_schema_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text(
        'name = "office"\n[attributes.gender]\nclasses = ["Male", "Female"]\naliases = { m = "Male" }\n'
        '[attributes.age]\nclasses = ["young", "old"]\nordered = true\nyears = [[0, 39], [40, 116]]\nexact = true\n',
        "utf-8",
    )
    marked = tmp_path / "marked.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    for form in (path, str(path), marked):
        schema = get_schema(form)
        assert schema.name == "office" and schema["gender"].index("M") == 0 and schema["age"].outputs == 117
    with pytest.raises(SchemaError, match="no such attribute in schema 'office'.*Valid: age, gender"):
        schema["race"]


def test_a_schema_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="cannot read the schema"):
        get_schema(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"name = [")
    with pytest.raises(SchemaError, match="not valid TOML"):
        get_schema(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(SchemaError, match="not valid TOML"):
        get_schema(bad)
    bad.write_bytes(b"name = 3\n")
    with pytest.raises(SchemaError, match="needs a string 'name'"):
        get_schema(bad)


def test_a_schema_without_its_ending_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(SchemaError, match=r"Did you mean '.*mine\.toml'\?$"):
        get_schema(str(tmp_path / "mine"))


def test_an_unknown_schema_names_the_nearest() -> None:
    with pytest.raises(SchemaError, match=r"Did you mean 'fairface'.*\.toml file"):
        get_schema("fareface")


@given(st.text(max_size=20))
def test_any_text_is_a_class_or_a_label_error(text: str) -> None:
    attribute = get_schema("utkface")["race"]
    try:
        assert 0 <= attribute.index(text) < 5
    except LabelError as e:
        assert "Valid: " in str(e)
