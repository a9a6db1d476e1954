"""Data sets merged into one: missing labels stay missing, splits are kept, copies across them are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facefeat.cli import run
from facefeat.data import load_dataset
from facefeat.data.joining import fitted
from made import squares


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A data set of all labels, and one with the gender only, whose first pictures are the other's."""
    full = squares(tmp_path / "full", 12)
    half = squares(tmp_path / "half", 20)
    lines = [line.split(",") for line in half.read_text("utf-8").splitlines()]
    half.write_text("\n".join(f"{c[0]},{'split' if i == 0 else 'train'},{c[3]}" for i, c in enumerate(lines)), "utf-8")
    for source, target in ((full, "a"), (half, "b")):
        args = ["data", "import", str(source), "--schema", "utkface", "--format", "csv", "-o", str(tmp_path / target)]
        assert run(args) == 0
    return tmp_path / "a", tmp_path / "b"


def test_two_data_sets_become_one(two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["data", "merge", *map(str, two), "-o", str(tmp_path / "m")]) == 0
    out = capsys.readouterr().out
    a, b, merged = load_dataset(two[0]), load_dataset(two[1]), load_dataset(tmp_path / "m")
    assert len(merged) == len(a) + len(b) == 32 and merged.splits == {"train": 29, "val": 3}
    for name, targets in merged.targets().items():
        np.testing.assert_array_equal(targets[:12], a.targets()[name])
        if name == "gender":
            np.testing.assert_array_equal(targets[12:], b.targets()[name])
        else:
            assert np.isnan(targets[12:]).all()
    np.testing.assert_array_equal(merged.crops(24)[:12], a.crops(24)[:])
    np.testing.assert_array_equal(merged.crops(24)[12:], b.crops(24)[:])
    assert "12 faces of" in out and "20 faces of" in out and "in more than one of them" in out
    assert "in different splits" in out


def test_what_cannot_be_merged_is_named(
    two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text('name = "other"\n[attributes.gender]\nclasses = ["M", "F", "X"]\n', "utf-8")
    for args, message in (
        ([str(two[0])], "two data sets or more. Received: 1."),
        ([*map(str, two), "--schema", str(other)], "'gender' of the data set"),
        ([*map(str, two), "-o", str(two[0])], "is one of the data sets"),
    ):
        assert run(["data", "merge", *args, *([] if "-o" in args else ["-o", str(tmp_path / "m")])]) in (1, 2)
        assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "m" / "faces.csv").exists()


def test_coarser_and_soft_labels_survive_import_and_merge(tmp_path: Path) -> None:
    ages = squares(tmp_path / "ages", 12)
    said = ["file,split,age,gender:female", "0.png,train,20-39,0.83", "1.png,val,25,0.1", "2.png,train,60+,"]
    ages.write_text("\n".join(said) + "\n", "utf-8")
    fairface = squares(tmp_path / "fair", 12)
    fairface.write_text("file,split,age,gender\n0.png,train,20-29,Male\n1.png,train,30-49,Female\n", "utf-8")
    for table, schema, target in ((ages, "utkface", "a"), (fairface, "fairface", "b")):
        args = ["data", "import", str(table), "--schema", schema, "--format", "csv", "-o", str(tmp_path / target)]
        assert run(args) == 0
    a, b = load_dataset(tmp_path / "a"), load_dataset(tmp_path / "b")
    raw = load_dataset(ages, "utkface", format="csv")
    assert a.fingerprint == raw.fingerprint
    for name, rows in raw.soft_targets().items():
        np.testing.assert_array_equal(a.soft_targets()[name], rows)
    assert run(["data", "merge", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "m")]) == 0
    merged = load_dataset(tmp_path / "m")
    np.testing.assert_array_equal(merged.soft_targets()["age"].sum(axis=1), [20, 0, 57, 0, 20])
    assert list(merged.labels()["age"]) == [-1, 3, -1, 3, -1] and list(merged.labels()["gender"]) == [-1, -1, -1, 0, 1]
    np.testing.assert_allclose(merged.soft_targets()["gender"][:, 1], [0.83, 0.1, 0, 0, 0], rtol=1e-6)
    table, skipped = fitted(b, a.schema, {"gender": {"Male": ["Male", "Female"]}})
    assert list(table["gender:soft"]) == ["Male | Female", ""] and list(table["gender"]) == ["", "Female"]
    assert not skipped
