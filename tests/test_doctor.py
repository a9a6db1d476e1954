"""The label doctor: planted errors are found, the sheet decides by keys and downloads, and decisions are applied."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from facefeat import DataError
from facefeat.cli import cli
from facefeat.data import FaceDataset, load_dataset
from facefeat.data.imported import write_dataset
from made import RACES, squares

pytest.importorskip("cleanlab")

from facefeat.evaluation.decisions import apply_decisions, save_diagnosis
from facefeat.evaluation.doctor import Diagnosis, diagnose, out_of_fold

FACES = 300
WRONG = tuple(sorted(np.random.default_rng(5).choice(np.arange(4, FACES), 15, replace=False).tolist()))
"""Rows whose gender is planted wrong: 5 %."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceDataset, np.ndarray]:
    """Squares with wrong genders and a copy of one under another label; latents that know gender and race."""
    folder = tmp_path_factory.mktemp("planted")
    csv = squares(folder, FACES)
    lines = csv.read_text().splitlines()
    true = [line.split(",")[3] for line in lines[1:]]
    for i in WRONG:
        part = lines[i + 1].split(",")
        lines[i + 1] = ",".join([*part[:3], "Male" if part[3] == "Female" else "Female", part[4]])
    (folder / "copy.png").write_bytes((folder / "3.png").read_bytes())
    part = lines[4].split(",")
    lines.append(",".join(["copy.png", part[1], part[2], part[3], RACES[(RACES.index(part[4]) + 1) % 5]]))
    csv.write_text("\n".join(lines) + "\n")
    data = load_dataset(csv, schema="utkface")
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (FACES + 1, 16))
    z[:, 0] += np.where(np.array([*true, true[3]]) == "Female", 6, -6)
    race = np.arange(FACES + 1) % 5
    race[-1] = 3 % 5
    z[:, 1:6] += 8 * np.eye(5)[race]
    z[-1] = z[3]
    return data, z.astype("float32")


@pytest.fixture(scope="module")
def found(planted: tuple[FaceDataset, np.ndarray]) -> Diagnosis:
    data, latents = planted
    return diagnose(data, latents, data.crops(32))


def test_planted_errors_are_found_with_few_others(found: Diagnosis) -> None:
    doubted = set(found.issues.query("attribute == 'gender'")["row"])
    assert len(doubted & set(WRONG)) == len(WRONG)
    assert len(doubted - set(WRONG)) <= 1
    first = found.issues.query("attribute == 'gender'").iloc[0]
    assert first["suggested"] != first["label"] and "out-of-fold" in first["signs"] and first["agreeing"] > 0.5
    assert found.accuracy["gender"] == pytest.approx(0.95, abs=0.01)


def test_a_copy_with_another_label_is_found(found: Diagnosis) -> None:
    assert ("3.png", "copy.png") in found.copies
    race = found.issues.query("attribute == 'race' and file == 'copy.png'").iloc[0]
    assert race["twin"] == "3.png" and "duplicate" in race["signs"]


def test_probabilities_are_of_faces_that_were_left_out() -> None:
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(400, 40)), rng.integers(0, 2, 400)
    p = out_of_fold(z, labels, 2, 0)
    assert p is not None
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) == labels).mean() < 0.6  # noise cannot be learnt by heart
    assert out_of_fold(z, np.zeros(400, int), 2, 0) is None


def test_an_age_one_class_off_is_no_doubt(found: Diagnosis, planted: tuple[FaceDataset, np.ndarray]) -> None:
    classes = planted[0].schema["age"].classes
    for i in found.issues.query("attribute == 'age'").to_dict("records"):
        assert abs(classes.index(i["label"]) - classes.index(i["suggested"])) >= 2


def test_the_sheet_stands_alone_and_escapes(
    found: Diagnosis, planted: tuple[FaceDataset, np.ndarray], tmp_path: Path
) -> None:
    from dataclasses import replace

    evil = found.issues.assign(file="<img src=x onerror=alert(1)>.png")
    out = save_diagnosis(replace(found, issues=evil), planted[0].crops(32), tmp_path / "d")
    assert {p.name for p in out.iterdir()} == {"doctor.html", "doctor.json", "issues.csv"}
    page = (out / "doctor.html").read_text()
    assert "<img src=x" not in page and "http" not in page
    assert json.loads((out / "doctor.json").read_text())["format"] == "facefeat-doctor"


def test_decisions_are_applied_and_the_rest_is_as_it_was(
    planted: tuple[FaceDataset, np.ndarray], tmp_path: Path
) -> None:
    data, _ = planted
    before = data.table.set_index("file")
    path = tmp_path / "decisions.csv"
    path.write_text(
        "file,attribute,action,label\n7.png,gender,change,Male\n27.png,gender,drop,Male\n3.png,race,keep,White\n"
        "0.png,age,change,30-39\n"
    )
    corrected, count = apply_decisions(data, path)
    made = write_dataset(corrected, tmp_path / "corrected")
    after = made.table.set_index("file")
    assert dict(count) == {"change": 2, "drop": 1, "keep": 1}
    assert "27.png" not in after.index and len(after) == len(before) - 1
    assert after.loc["7.png", "gender"] == "Male" and after.loc["0.png", "age"] == "30-39"
    assert np.isnan(after.loc["0.png", "age_years"])
    rest = after.index.difference(["7.png", "0.png"])
    assert after.loc[rest].equals(before.loc[rest])
    assert made.crops(32).shape == (len(after), 32, 32, 3)
    for text, sentence in (
        ("7.png,gender,burn,Male", "no such action"),
        ("no.png,gender,keep,Male", "has no 'no.png'"),
        ("7.png,gender,change,Cat", "no such gender"),
    ):
        path.write_text(f"file,attribute,action,label\n{text}\n")
        with pytest.raises(DataError, match=sentence):
            apply_decisions(data, path)


def test_the_command_checks_and_corrects(tmp_path: Path) -> None:
    from facefeat import FaceFeatureModel
    from made import TINY

    preset = FaceFeatureModel(image_size=32, backbone_config=TINY, head_config={"trunk": []}, detector="whole-image")
    preset.save(tmp_path / "preset", name="tiny")
    csv = squares(tmp_path / "data", 80)
    words = ["data", "doctor", str(csv), "--schema", "utkface"]
    done = CliRunner().invoke(cli, [*words, "--preset", str(tmp_path / "preset"), "-o", str(tmp_path / "sheet")])
    assert done.exit_code == 0, done.output
    assert "labels are doubtful" in done.stdout and (tmp_path / "sheet" / "doctor.html").is_file()
    (tmp_path / "decisions.csv").write_text("file,attribute,action,label\n1.png,gender,drop,Male\n")
    apply = ["--apply", str(tmp_path / "decisions.csv")]
    done = CliRunner().invoke(cli, [*words, *apply, "-o", str(tmp_path / "corrected")])
    assert done.exit_code == 0 and "1 drop: 79 faces written" in done.stdout


def test_of_two_copies_only_the_less_probable_label_is_doubted() -> None:
    from facefeat.evaluation.doctor import _conflicts

    twins, labels = {0: [1], 1: [0]}, np.array([0, 1])
    assert _conflicts(twins, labels, np.array([[0.9, 0.1], [0.8, 0.2]])) == [("duplicate", 1, 0)]
    assert _conflicts(twins, labels, np.array([[0.3, 0.7], [0.4, 0.6]])) == [("duplicate", 0, 1)]
    assert len(_conflicts(twins, labels, np.full((2, 2), 0.5))) == 2  # it cannot be told which
    assert _conflicts(twins, np.array([0, -1]), np.full((2, 2), 0.5)) == []


def test_a_single_face_has_nothing_to_check(planted: tuple[FaceDataset, np.ndarray]) -> None:
    from facefeat import DataError

    data, latents = planted
    with pytest.raises(DataError, match="there is nothing to check"):
        diagnose(data.take([0]), latents[:1], data.take([0]).crops(32))
