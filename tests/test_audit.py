"""The audit: figures by hand, a page that stands alone, and what cannot be audited."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from facefeat import DataError, FaceFeatureModel, InputError, MissingExtraError
from facefeat.cli import cli
from facefeat.data import FaceDataset, load_dataset
from facefeat.evaluation.audit import answered, face_map_places, measure, reliability, run_audit
from facefeat.evaluation.figures import spread_out
from facefeat.schema import get_schema
from facefeat.types import FaceBatch
from made import TINY, batch_of, dataset, squares, targets_of

for extra in ("jinja2", "matplotlib"):
    pytest.importorskip(extra)
UTK = get_schema("utkface")


def batch(labels: dict[str, np.ndarray], right: dict[str, np.ndarray], years: np.ndarray) -> FaceBatch:
    """A batch that says the label where `right`, else the next class, each with 0.9."""
    p = {}
    for name, attribute in UTK.attributes.items():
        k = len(attribute.classes)
        guess = np.where(right[name], labels[name], (labels[name] + 1) % k)
        p[name] = np.full((len(guess), k), 0.1 / (k - 1), "float32")
        p[name][np.arange(len(guess)), guess] = 0.9
    return batch_of(p, {n: a.classes for n, a in UTK.attributes.items()}, years + 2)


def made(n: int = 400) -> tuple[FaceBatch, dict[str, np.ndarray], np.ndarray]:
    labels = {
        "age": np.arange(n) % 9,
        "gender": (np.arange(n) // 9) % 2,
        "race": np.zeros(n, int),
    }
    right = {k: np.ones(n, bool) for k in labels}
    right["gender"] = labels["gender"] == 0  # every woman is read as a man
    right["gender"][labels["gender"] == 1] = np.arange((labels["gender"] == 1).sum()) % 4 == 0
    years = np.array([UTK["age"].years[a][0] + 1.0 for a in labels["age"]], "float32")
    return batch(labels, right, years), labels, years


def test_figures_are_those_of_hand() -> None:
    said, labels, years = made()
    found = measure(UTK, said, targets_of(UTK, labels, years), "made", bootstrap=50)
    women = int((labels["gender"] == 1).sum())
    np.testing.assert_array_equal(found["confusion"]["gender"][1][1], [women * 3 // 4, women - women * 3 // 4])
    row = found["classes"].query("attribute == 'gender' and `class` == 'Female'").iloc[0]
    assert row["precision"] == 1 and row["recall"] == pytest.approx(0.25, abs=0.01)
    assert row["f1"] == pytest.approx(2 * row["recall"] / (1 + row["recall"]))
    gap = found["disparities"].query("by == 'gender' and measure == 'gender_accuracy'").iloc[0]
    assert (gap["best"], gap["worst"]) == ("Male", "Female")
    assert gap["value"] == pytest.approx(np.log(1 / row["recall"]))
    assert gap["low"] <= gap["value"] <= gap["high"]
    crossed = found["groups"].query("by == 'gender x race x age'")
    assert crossed["faces"].sum() == 400 and crossed["small"].all()
    np.testing.assert_allclose(found["errors"]["age"]["bias"], 2, rtol=1e-6)
    assert found["report"].metrics["race_accuracy"] == 1


def test_reliability_and_coverage_curves() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], "float32")
    labels = np.array([0, 0, 0, 1])
    judged = p.max(axis=1), p.argmax(axis=1) == labels
    bins = reliability(*judged)
    assert bins["faces"].tolist() == [2, 2] and bins["accuracy"].tolist() == [0.5, 1.0]
    curve = answered(*judged).set_index("min_confidence")
    assert curve.loc[0.0].tolist() == [1.0, 0.75] and curve.loc[0.7].tolist() == [0.5, 1.0]
    assert curve.loc[0.95, "answered"] == 0


def test_few_labels_are_no_fault() -> None:
    said, labels, _ = made(60)
    labels["gender"] = np.full(60, -1)
    found = measure(UTK, said, targets_of(UTK, labels), "made", bootstrap=10)
    assert set(found["confusion"]) == {"age", "race"} and found["errors"] == {}
    with pytest.raises(DataError, match="no face of 'made' has a label"):
        measure(UTK, said, targets_of(UTK, {k: np.full(60, -1) for k in labels}), "made")
    assert face_map_places(np.zeros((5, 3)), 0) is None and face_map_places(np.zeros((50, 3)), 0) is None


def test_spread_out_takes_far_points_first() -> None:
    places = np.array([[0, 0], [0.1, 0], [10, 0], [10.1, 0], [0, 10]])
    assert {i // 2 for i in spread_out(places, 3)} == {0, 1, 2}
    assert sorted(spread_out(places, 99)) == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def model() -> FaceFeatureModel:
    return FaceFeatureModel(image_size=32, backbone_config=TINY, head_config={"trunk": []}, detector="whole-image")


def hostile(folder: Path) -> FaceDataset:
    """Squares, one of whose file names is HTML."""
    csv = squares(folder, 48)
    evil = "<img src=x onerror=alert(1)>.png"
    (folder / "3.png").rename(folder / evil)
    csv.write_text(csv.read_text().replace("\n3.png,", f"\n{evil},"))
    return load_dataset(csv, schema="utkface")


def test_the_page_stands_alone_and_is_replaced_as_a_whole(model: FaceFeatureModel, tmp_path: Path) -> None:
    audit = model.audit(hostile(tmp_path / "data"), bootstrap=20, command="facefeat evaluate", split="val")
    out = audit.save(tmp_path / "report")
    assert {p.name for p in out.iterdir()} == {"report.html", "report.json", "by_group.csv", "figures"}
    page = (out / "report.html").read_text()
    assert "<img src=x" not in page
    sources = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert sources and all(s.startswith(("data:image/", "data:text/csv;", "#")) for s in sources)
    assert re.findall(r"<img (?![^>]*alt=\"[^\"]+\")", page) == []
    for figure in (out / "figures").glob("*.png"):
        assert figure.read_bytes()[:4] == b"\x89PNG"
    names = {p.stem for p in (out / "figures").iterdir()}
    assert {"confusion-age", "reliability-race", "answered", "age-error", "map-faces", "map-gender"} <= names
    stored = json.loads((out / "report.json").read_text())
    assert stored["confusion"]["race"]["classes"] == list(UTK["race"].classes)

    (out / "figures" / "stale.png").touch()
    audit.save(out)
    assert not (out / "figures" / "stale.png").exists()
    (out / "mine.txt").touch()
    with pytest.raises(InputError, match="exists and is not a report"):
        audit.save(out)
    with pytest.raises(InputError, match="cannot write the report"):
        audit.save(out / "mine.txt" / "deeper")


def test_another_schema_and_an_empty_split(model: FaceFeatureModel, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", 16)
    with pytest.raises(DataError):
        run_audit(model._classifier, data.split("no such split"))


def test_without_the_extra_the_line_to_type_comes_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else real(name))
    done = CliRunner().invoke(cli, ["evaluate", "--data", str(tmp_path), "--report", str(tmp_path / "r")])
    assert isinstance(done.exception, MissingExtraError)
    assert "'jinja2'" in str(done.exception) and 'pip install "facefeat[audit]"' in str(done.exception)
