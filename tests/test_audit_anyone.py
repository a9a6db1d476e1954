"""The audit of anyone's predictions: columns guessed, figures by hand, comparisons, rules, every kind of bad table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import facefeat
from facefeat import DataError, InputError
from facefeat.cli import cli
from facefeat.evaluation.anyone import measure_predictions
from facefeat.evaluation.compare import compare
from facefeat.evaluation.groups import Groups, group_means, means
from facefeat.evaluation.page import render
from facefeat.evaluation.predictions import read_predictions
from facefeat.evaluation.rules import check_rules, parse_rule
from facefeat.evaluation.sections import csv_of


def table(n: int = 600, **more: Any) -> pd.DataFrame:
    """Right for all Male; for a quarter of Female in the north, for all in the south. Ages are two years too high."""
    i = np.arange(n)
    gender, place = np.array(["Male", "Female"])[i % 2], np.array(["north", "south"])[(i // 2) % 2]
    wrong = (gender == "Female") & (place == "north") & ((i // 4) % 4 != 0)
    found = {
        "file": [f"{k}.jpg" for k in i],
        "sex_true": gender,
        "dominant_gender": np.where(wrong | (gender == "Male"), "Man", "Woman"),
        "age_true": i % 80,
        "age": i % 80 + 2.0,
        "region": place,
    }
    return pd.DataFrame(found | more)


def test_columns_are_guessed_and_described() -> None:
    f = table()
    man = np.where(f["dominant_gender"] == "Man", 80.0, 20.0)
    read = read_predictions(f.assign(**{"gender.Man": man, "gender.Woman": 100 - man}))
    gender = read.columns.attributes["gender"]
    assert (gender.truth, gender.prediction) == ("sex_true", "dominant_gender")
    assert gender.probabilities == {"Man": "gender.Man", "Woman": "gender.Woman"}
    assert read.columns.attributes["age"].prediction == "age"
    assert read.columns.groups == ("region",) and read.columns.unused == ("file",)
    assert "not used: 'file'" in read.columns.describe()
    np.testing.assert_allclose(read.scored["gender"].confidence, 0.8, atol=1e-6)  # from percent
    assert read.notes == ()


def test_predictions_as_our_own_tables_have_them() -> None:
    """The class of an age beside its years is no group, and its probabilities are found by the names of the classes."""
    f = table().rename(columns={"age": "age_years", "dominant_gender": "gender"}).drop(columns=["sex_true", "gender"])
    classes = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"]
    f = f.assign(age=[classes[min(k // 10 + 1, 8)] for k in range(600)], **{f"age:{c}": 1 / 9 for c in classes})
    f["age_years"] += np.linspace(0, 0.9, 600)  # many different numbers
    read = read_predictions(f)
    age = read.columns.attributes["age"]
    assert (age.prediction, len(age.probabilities)) == ("age_years", 9)
    assert read.columns.groups == ("region",) and "age" in read.columns.unused
    np.testing.assert_array_equal(read.groups["age"].faces, np.bincount(read.scored["age"].truth, minlength=9))
    mapped = read_predictions(f, ["group=age"])  # who asks for it, gets it beside the labels
    assert {"age", "age (column)"} <= set(mapped.groups)


def test_map_comes_before_the_guess() -> None:
    f = table().rename(columns={"sex_true": "a", "dominant_gender": "b"})
    read = read_predictions(f, ["gender.truth=a", "gender.prediction=B", "ignore=region", "group=file"][:3])
    assert set(read.scored) == {"gender", "age"} and read.columns.groups == ()
    for wrong, sentence in (
        ("gender.truth=c", "no such column"),
        ("gender.what=a", "no such role"),
        ("gender.truth", "ROLE=COLUMN"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_predictions(f, [wrong])


def test_figures_are_those_of_hand_with_intervals_and_counts() -> None:
    found = measure_predictions(read_predictions(table()), bootstrap=200)
    women = found.groups.query("by == 'gender' and group == 'Female'").iloc[0]
    assert women["gender_accuracy"] == pytest.approx(0.625, abs=0.01) and women["gender_accuracy_n"] == 300
    assert women["gender_accuracy_low"] < 0.625 < women["gender_accuracy_high"]
    north = found.groups.query("by == 'gender x region' and group == 'Female, north'").iloc[0]
    assert north["gender_accuracy"] == pytest.approx(0.25, abs=0.02)
    assert found.report.metrics["age_mae"] == pytest.approx(2.0)
    np.testing.assert_allclose(found.errors["age"]["bias"], 2, rtol=1e-5)
    assert found.report.metrics["gender_balanced_accuracy"] == pytest.approx((1 + women["gender_accuracy"]) / 2)
    assert found.calibration_errors == {} and found.reliability == {}


def test_the_calibration_error_is_that_of_the_rows() -> None:
    from facefeat.utils.weighted import calibration_error

    rng = np.random.default_rng(0)
    f = table().assign(gender_confidence=rng.uniform(0.5, 1, 600))
    found = measure_predictions(read_predictions(f), bootstrap=20)
    right = (f["sex_true"] == "Male").to_numpy() == (f["dominant_gender"] == "Man").to_numpy()
    by_hand = calibration_error(f["gender_confidence"].to_numpy("float32").astype(float), right, np.ones((1, 600)))[0]
    assert found.report.metrics["gender_ece"] == pytest.approx(by_hand, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 400))
def test_a_bootstrap_of_counts_is_one_of_faces(seed: int, n: int) -> None:
    """The spread of resampled means is that of theory, and they lie around the mean."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(n) < 0.05, np.nan, rng.normal(5, 2, n))
    groups = Groups.of_codes(("a", "b"), rng.integers(-1, 2, n))
    draws, (mean, count) = group_means(values, groups, 400, seed), means(values, groups)
    for k in range(2):
        inside = values[groups.rows[groups.codes == k]]
        inside = inside[np.isfinite(inside)]
        assert count[k] == len(inside)
        if len(inside) >= 10:
            error = inside.std() / np.sqrt(len(inside))
            assert np.nanstd(draws[:, k]) == pytest.approx(error, rel=0.35)
            assert abs(np.nanmean(draws[:, k]) - mean[k]) < error


def test_crossing_groups_keeps_faces_that_are_in_several() -> None:
    several = Groups.of_members(("hat", "glasses"), np.array([[1, 1], [0, 1], [0, 0]], bool))
    crossed = several.cross(Groups.of_codes(("x", "y"), np.array([0, 1, 1])))
    assert dict(zip(crossed.names, crossed.faces.tolist(), strict=True)) == {
        "hat, x": 1, "hat, y": 0, "glasses, x": 1, "glasses, y": 1,
    }  # fmt: skip


BAD = {
    "no columns": (lambda f: f[["file", "region"]], "no column was found for truth and prediction"),
    "no rows": (lambda f: f.iloc[:0], "has no rows"),
    "one class": (lambda f: f.assign(sex_true="Male", dominant_gender="Man").drop(columns=["age", "age_true"]), None),
    "no class in common": (lambda f: f.assign(dominant_gender=np.where(f["region"] == "north", "x", "y")),
                           "no class in common.*--map 'gender.class.x=Female'"),
    "numbers and classes": (lambda f: f.assign(height_true=f["age"], height_pred=f["region"]), "one column has num"),
    "all unknown": (lambda f: f.assign(sex_true=None, age_true=None), "has both a label and a prediction|every row"),
    "too many classes": (lambda f: pd.concat([f] * 3, ignore_index=True).assign(
        mood_true=[f"m{i}" for i in range(1800)], mood_pred="m1"), "more than 1,000 different values"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_one_sentence(name: str) -> None:
    change, sentence = BAD[name]
    if sentence is None:
        found = read_predictions(change(table()))
        assert any("every label" in n and "cannot be compared" in n for n in found.notes)
        measure_predictions(found, 10)
        return
    with pytest.raises((InputError, DataError), match=sentence) as caught:
        read_predictions(change(table()))
    assert "\n" not in str(caught.value)


NOTED = {
    "constant group": (lambda f: f.assign(group_of="all"), "same value in every row"),
    "unknown labels": (lambda f: f.assign(sex_true=f["sex_true"].where(f.index > 9)), "10 of 600 rows have no label"),
    "no answers": (lambda f: f.assign(age=f["age"].where(f.index > 9)), "10 of 600 rows have no prediction"),
    "probabilities": (lambda f: f.assign(**{"gender.Man": 0.9, "gender.Woman": 0.9}), "do not sum to 1"),
    "confidence": (lambda f: f.assign(gender_confidence=-1.0), "is not from 0 to 1"),
    "copies": (lambda f: pd.concat([f, f.iloc[:7]], ignore_index=True), "7 of 607 rows are copies"),
    "threshold": (lambda f: f.assign(**{"gender.Man": 0.4, "gender.Woman": 0.6}), "is not the most probable class"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTED)
def test_what_is_odd_is_noted_and_the_rest_measured(name: str) -> None:
    change, sentence = NOTED[name]
    read = read_predictions(change(table()))
    assert any(sentence in n for n in read.notes), read.notes
    found = measure_predictions(read, 10)
    assert found.report.metrics["gender_accuracy"] > 0.5
    if name == "no answers":
        assert found.report.metrics["age_answered"] == pytest.approx(590 / 600)


def test_two_hundred_groups_and_groups_of_one_face() -> None:
    rng = np.random.default_rng(0)
    f = table(2000).assign(country=[f"c{i}" for i in np.append(rng.integers(0, 199, 1999), 199)])
    found = measure_predictions(read_predictions(f), 20)
    alone = found.groups.query("by == 'country' and group == 'c199'").iloc[0]
    assert alone["faces"] == 1 and alone["small"]
    assert (found.groups["by"] == "country").sum() == 200
    assert "c199" not in str(found.disparities)


@pytest.mark.parametrize(("encoding", "separator"), [("utf-16", "\t"), ("cp1252", ";"), ("utf-8-sig", ",")])
def test_encodings_and_separators(encoding: str, separator: str, tmp_path: Path) -> None:
    f = table().assign(region=np.where(table()["region"] == "north", "Köln", "São Paulo"))
    path = tmp_path / "p.csv"
    path.write_bytes(f.to_csv(index=False, sep=separator).encode(encoding))
    assert read_predictions(path).more["region"].names == ("Köln", "São Paulo")


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    for data, sentence in (
        (b"", "is empty"),
        (b"PK\0\0\1", "binary file"),
        (b"a,b\n1,2\n1,2,3,4\n", "not a CSV table"),
    ):
        (tmp_path / "p.csv").write_bytes(data)
        with pytest.raises((InputError, DataError), match=sentence):
            read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="is not a Parquet table"):
        read_predictions(tmp_path / "p.parquet")


def test_a_formula_and_html_in_a_cell_stay_text() -> None:
    f = table().assign(
        region=np.where(table()["region"] == "north", '=HYPERLINK("http://x")', "<script>alert(1)</script>")
    )
    found = measure_predictions(read_predictions(f), 10)
    page = render(found, [])
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert "'=HYPERLINK" in csv_of(found.groups) and "\n=HYPERLINK" not in csv_of(found.groups)


def test_a_callable_is_audited_on_a_data_set(tmp_path: Path) -> None:
    from made import dataset

    data = dataset(tmp_path, 40)

    def always_male(crops: np.ndarray) -> dict[str, np.ndarray]:
        assert crops.shape[1:] == (32, 32, 3)
        return {"gender": np.tile([0.9, 0.1], (len(crops), 1))}

    found = facefeat.audit(always_male, dataset=data, size=32, bootstrap=10)
    assert found.report.metrics["gender_accuracy"] == 0.5 and "race" in set(found.groups["by"])
    with pytest.raises(InputError, match=r"must return \(40, 2\) probabilities of gender"):
        facefeat.audit(lambda c: {"gender": np.zeros((len(c), 3))}, dataset=data, size=32)
    with pytest.raises(InputError, match="needs a data set"):
        facefeat.audit(always_male)


def test_a_comparison_says_who_is_better_for_whom() -> None:
    a = table()
    b = a.assign(dominant_gender=np.where(a["sex_true"] == "Male", "Man", "Woman")).sample(frac=1, random_state=0)
    found = compare(read_predictions(a, name="a"), read_predictions(b, name="b"), 200)
    women = found.table.query("attribute == 'gender' and by == 'gender' and group == 'Female'").iloc[0]
    assert women["difference"] == pytest.approx(0.375, abs=0.01) and women["clear"]
    assert women["only_a"] == 0 and women["only_b"] == round(300 * women["difference"])
    men = found.table.query("attribute == 'gender' and by == 'gender' and group == 'Male'").iloc[0]
    assert men["p_corrected"] == 1 and not men["clear"]
    assert "b is better for gender Female" in " ".join(found.sentences())
    with pytest.raises(InputError, match="no picture in common"):
        compare(read_predictions(a), read_predictions(a.assign(file=[f"x{i}" for i in range(600)])))
    with pytest.raises(InputError, match="no column that names the picture"):
        compare(read_predictions(a.drop(columns="file")), read_predictions(a.iloc[:500].drop(columns="file")))


def test_mcnemar_and_holm_are_those_of_the_books() -> None:
    """Holm's own order: the smallest p times m, the next times m - 1, never below the one before."""
    from facefeat.evaluation.compare import _holm

    lines = [{"p": p, "small": False, "difference_low": 0, "difference_high": 0} for p in (0.01, 0.04, 0.03)]
    _holm(lines)
    assert [x["p_corrected"] for x in lines] == pytest.approx([0.03, 0.06, 0.06])


RULES = {
    "gender.worst_group.accuracy >= 0.9": False,
    "gender.worst_group@region.accuracy >= 0.5": True,
    "gender.overall.accuracy > 80%": True,
    "gender.overall.accuracy.low > 80%": False,
    "gender.gap@gender.accuracy <= 0.3": False,
    "age.worst_group.mae < 2.5": True,
    "gender.ratio@gender.accuracy >= 0.8": False,
}


def test_rules_hold_or_fail_closed() -> None:
    found = check_rules(measure_predictions(read_predictions(table()), 100), [parse_rule(r) for r in RULES])
    assert {c.rule: c.passed for c in found.rules} == RULES
    small = measure_predictions(read_predictions(table(40)), 10)
    checked = check_rules(small, [parse_rule("gender.worst_group.accuracy >= 0")]).rules[0]
    assert not checked.passed and "no group is large enough" in checked.say()
    for text, sentence in (
        ("gender >= 1", "takes a rule"),
        ("gender.worst.accuracy >= 1", "no such scope"),
        ("mood.overall.accuracy >= 1", "no such attribute"),
        ("gender.overall.luck >= 1", "no such measure"),
        ("gender.worst_group@moon.accuracy >= 1", "no such grouping"),
    ):
        with pytest.raises(InputError, match=sentence):
            check_rules(found, [parse_rule(text)])


def test_the_command_writes_a_page_and_exits_by_the_rules(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "p.csv", index=False)
    words = ["audit", str(tmp_path / "p.csv"), "--bootstrap", "20", "--report", str(tmp_path / "r")]
    done = CliRunner().invoke(cli, [*words, "--fail-under", "gender.worst_group.accuracy >= 0.99"])
    assert done.exit_code == 1 and "failed: gender.worst_group.accuracy >= 0.99" in done.stderr
    assert "column: gender: truth 'sex_true', prediction 'dominant_gender'" in done.stderr
    found = json.loads((tmp_path / "r" / "report.json").read_text())
    assert (found["format"], found["version"]) == ("facefeat-audit", 1)
    assert {"summary", "notes", "rules", "metrics", "intervals", "groups", "disparities", "classes"} <= set(found)
    assert found["rules"][0]["passed"] is False and 3 <= len(found["summary"]) <= 5
    page = (tmp_path / "r" / "report.html").read_text()
    assert "failed: gender.worst_group" in page and 'download="groups.csv"' in page
    done = CliRunner().invoke(cli, ["audit", str(tmp_path / "p.csv"), str(tmp_path / "p.csv"), "--compare",
                                    "--bootstrap", "20", "--report", str(tmp_path / "c"), "--json"])  # fmt: skip
    assert done.exit_code == 0 and json.loads(done.stdout)["format"] == "facefeat-comparison"
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"comparison.html", "comparison.json", "comparison.csv"}
    assert isinstance(CliRunner().invoke(cli, ["audit", str(tmp_path / "p.csv"), "--compare"]).exception, InputError)
