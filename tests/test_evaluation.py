"""Readout, metrics and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat.builtin.kinds.classes import softmax
from facefeat.cli import run
from facefeat.errors import DataError, InputError
from facefeat.evaluation import calibrate, expected_calibration_error
from facefeat.evaluation.card import group_figure
from facefeat.evaluation.metrics import score_batch
from facefeat.evaluation.report import predict_dataset, report_on
from facefeat.networks.postprocess import Calibration, read_logits
from facefeat.schema import Attribute, Schema, get_schema
from facefeat.utils.atomic import atomic_folder, check_folder
from made import targets_of

UTK, FAIR = get_schema("utkface"), get_schema("fairface")


class Labelled:
    """As much of a FaceDataset as metrics need."""

    schema = UTK

    def __init__(self, labels: dict[str, np.ndarray], years: np.ndarray | None = None) -> None:
        self._targets = targets_of(UTK, labels, years)

    def targets(self) -> dict[str, np.ndarray]:
        return self._targets


def class_probabilities(attribute: Attribute, logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    return attribute.strategy.read(attribute, logits, {"temperature": temperature}).probabilities


def median_years(attribute: Attribute, logits: np.ndarray) -> np.ndarray:
    values = attribute.strategy.read(attribute, logits, {}).values
    assert values is not None
    return values


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_probabilities_sum_to_one_and_temperature_keeps_the_order(seed: int, temperature: float) -> None:
    z = np.random.default_rng(seed).normal(0, 3, (4, 5))
    p = class_probabilities(UTK["race"], z, temperature)
    assert p.dtype == np.float32 and p.shape == (4, 5)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(p.argmax(axis=1), z.argmax(axis=1))


@given(st.integers(0, 116))
def test_years_follow_a_peak(year: int) -> None:
    z = np.full((1, 117), -30.0)
    z[0, year] = 0
    assert median_years(UTK["age"], z)[0] == pytest.approx(year, abs=0.01)
    assert UTK["age"].axis is not None
    assert int(class_probabilities(UTK["age"], z).argmax()) == UTK["age"].axis.group_of(year)


def test_years_of_classes_are_inside_their_class() -> None:
    for k, (first, last) in enumerate(FAIR["age"].years):
        z = np.full((1, 9), -30.0)
        z[0, k] = 0
        assert first <= median_years(FAIR["age"], z)[0] <= min(last, first + 12)


def test_read_logits_names_labels_by_the_schema() -> None:
    z = {"age": np.zeros((2, 117)), "gender": np.array([[0.0, 2.0], [2.0, 0.0]]), "race": np.eye(5)[[3, 0]]}
    batch = read_logits(UTK, z, Calibration({"gender": {"temperature": 2.0}}))
    assert list(batch.labels["gender"]) == ["Female", "Male"]
    assert list(batch.labels["race"]) == ["Indian", "White"]
    assert batch.probabilities["gender"][0, 1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert len(batch) == 2 and batch.row(0)["gender"].label == "Female"
    assert {"labels", "probabilities", "classes", "age_years", "age_interval", "age_coverage"} <= set(batch.to_dict())
    assert list(batch.to_frame().columns[:5]) == ["age_years", "age_low", "age_high", "age", "age_probability"]


def test_metrics_by_hand() -> None:
    z = {"age": np.full((4, 117), -30.0), "gender": np.full((4, 2), 0.0), "race": np.full((4, 5), 0.0)}
    z["age"][range(4), [25, 25, 35, 80]] = 0
    z["gender"][:, 0] = 30
    z["race"][range(4), [0, 1, 2, 2]] = 30
    labels = {"age": np.array([3, 4, 3, 3]), "gender": np.array([0, 0, 0, 1]), "race": np.array([0, 1, 2, -1])}
    years = np.array([25, 30, np.nan, 20], "float32")
    m = score_batch(UTK, read_logits(UTK, z), targets_of(UTK, labels, years))
    assert m["age_accuracy"] == 0.25 and m["age_one_off_accuracy"] == 0.75
    assert m["age_mae"] == pytest.approx((0 + 5 + 60) / 3, abs=0.01)
    assert m["gender_accuracy"] == 0.75 and m["gender_balanced_accuracy"] == 0.5
    assert m["race_accuracy"] == 1.0  # the row without a label does not count
    # Everyone's median, 25, is off by 0, 5 and 5 years.
    assert m["score"] == pytest.approx(((1 - 65 / 10) + 0.75 + 1) / 3, abs=0.01)


def test_the_error_of_a_group_has_an_interval() -> None:
    z = {name: np.zeros((4, a.outputs)) for name, a in UTK.attributes.items()}
    z["age"][range(4), [25, 25, 35, 80]] = 30
    labels = {"age": np.array([3, 4, 3, 3]), "gender": np.array([0, 0, 0, 1]), "race": np.full(4, -1)}
    years = np.array([25, 30, np.nan, 20], "float32")
    report = report_on("mine", UTK, read_logits(UTK, z), targets_of(UTK, labels, years), bootstrap=0)
    rows = {row["group"]: row for row in report.by_group.to_dict(orient="records")}
    # Errors of men: 0, 5, and one without a year. The standard error of the mean of two is half of their distance.
    assert rows["Male"]["age_mae"] == pytest.approx(2.5) and rows["Male"]["age_mae_se"] == pytest.approx(2.5)
    assert group_figure(rows["Male"], "age_mae") == "2.500 (0.000 to 7.400)"
    assert group_figure(rows["Female"], "age_mae") == "60.000"  # one face
    assert group_figure(rows["Male"], "gender_accuracy") == "1.000"


def test_calibration_finds_the_temperature_of_overconfident_logits() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, (4000, 5))
    y = np.array([rng.choice(5, p=p) for p in softmax(z)])
    labels = {"age": np.full(4000, -1), "gender": np.full(4000, -1), "race": y}
    logits = {"age": np.zeros((4000, 117)), "gender": np.zeros((4000, 2)), "race": 3 * z}
    found = {
        name: one["temperature"]
        for name, one in calibrate(UTK, logits, Labelled(labels)).attributes.items()  # type: ignore[arg-type]
    }
    assert found["race"] == pytest.approx(3, rel=0.1)
    assert found["gender"] == 1.0
    before = expected_calibration_error(class_probabilities(UTK["race"], 3 * z), y)
    after = expected_calibration_error(class_probabilities(UTK["race"], 3 * z, found["race"]), y)
    assert after < 0.03 < before


def test_data_without_labels_are_refused_and_told_before_the_work() -> None:
    labels = {name: np.full(3, -1) for name in UTK.attributes}
    batch = read_logits(UTK, {n: np.zeros((3, a.outputs)) for n, a in UTK.attributes.items()})
    with pytest.raises(DataError, match="no face of 'mine' has a label of any attribute"):
        report_on("mine", UTK, batch, targets_of(UTK, labels))

    class Unlabelled(Labelled):
        name, schema, table = "mine", UTK, (1, 2, 3)

        def check_schema(self, schema: Any) -> None:
            assert schema is UTK

        def crops(self, size: int) -> Any:
            raise AssertionError("the pictures were read")

    class Model:
        schema, image_size = UTK, 32

    with pytest.raises(DataError, match="no face of 'mine' has a label of any attribute"):
        predict_dataset(Model(), Unlabelled(labels))  # type: ignore[arg-type]
    some = {**labels, "gender": np.array([0, -1, 1])}
    report = report_on("mine", UTK, batch, targets_of(UTK, some), bootstrap=0)
    assert set(report.by_group["attribute"]) == {"gender"}


def test_a_folder_is_checked_as_it_is_written(tmp_path: Path) -> None:
    def check(folder: Path) -> None:
        check_folder(folder, "a report", {"mine.txt"}.__contains__)

    def write(folder: Path) -> None:
        with atomic_folder(folder, "a report", {"mine.txt"}.__contains__) as new:
            (new / "mine.txt").touch()

    place = tmp_path / "not" / "there"
    check(place)
    assert not place.parent.exists()
    write(place)
    check(place)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "other.txt").touch()
    for folder, message in (
        (tmp_path / "other", "exists and is not a report. Give a new or empty folder"),
        (place / "mine.txt", "exists and is not a report"),
        (place / "mine.txt" / "below" / "it", "cannot write the report to .*Not a directory"),
    ):
        for use in (check, write):
            with pytest.raises(InputError, match=message):
                use(folder)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("evaluate --data {none} --report {folder}", "is not a report"),
        ("analyze pca --data {none} --preset {none} --output {folder}", "is not an analysis"),
        ("fit-directions --data {none} --preset mobilenet-112-utkface --output {folder}", "is not a preset"),
    ],
)
def test_a_folder_of_other_things_is_refused_before_the_work(
    tmp_path: Path, command: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facefeat.evaluation.audit.require_extra", lambda: None)
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").touch()
    # There is no data set: whoever looked for it first would say so.
    assert run(command.format(none=tmp_path / "none", folder=folder).split()) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [p.name for p in folder.iterdir()] == ["chapter.txt"]


def test_the_interval_of_faces_that_are_all_right_is_no_point() -> None:
    from facefeat.evaluation.groups import Groups, Quantity, group_table

    right = Quantity("gender", "accuracy", np.ones(58))
    years = Quantity("age", "mae", np.full(58, 1.0) + np.arange(58))
    groups = {"gender": Groups(("Male",), np.arange(58), np.zeros(58, int))}
    table, _ = group_table([right, years], groups, ["gender"], 50, 0)
    assert table["gender_accuracy_low"][0] == pytest.approx(0.938, abs=1e-3) and table["gender_accuracy_high"][0] == 1
    assert table["age_mae_low"][0] < table["age_mae"][0] < table["age_mae_high"][0]
    schema = Schema.from_dict({"name": "s", "attributes": {"mood": {"classes": ["glad", "sad"]}}})
    logits = {"mood": np.tile(np.array([[9.0, -9.0]], "float32"), (58, 1))}
    report = report_on("all right", schema, read_logits(schema, logits), {"mood": np.zeros((58, 1), "float32")}, 20)
    assert report.intervals["mood_accuracy"] == pytest.approx((0.938, 1), abs=1e-3)
