"""The counterfactual audit: each face its own control, edits confirmed by another model, drops with intervals."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from facefeat import FaceFeatureModel, InputError
from facefeat.cli import cli
from facefeat.evaluation.counterfactual import Change, edits, movements, smaller
from facefeat.schema import get_schema
from facefeat.types import FaceBatch
from made import TINY, batch_of, squares, targets_of

UTK = get_schema("utkface")
N = 200


def crops(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (N, 32, 32, 3)).astype("uint8")


def reads_brightness(faces: np.ndarray) -> FaceBatch:
    """Says Male where a face's first pixel is dark, and an age that is that pixel's value."""
    first = faces[:, 0, 0, 0].astype("float32")
    male = np.where(first < 100, 0.9, 0.1).astype("float32")
    age = np.clip(first, 0, 116)
    place = np.searchsorted([y[0] for y in UTK["age"].years], age, side="right") - 1
    p = {
        "gender": np.stack([male, 1 - male], axis=1),
        "age": np.eye(9, dtype="float32")[place],
        "race": np.tile(np.eye(5, dtype="float32")[0], (len(faces), 1)),
    }
    p = {n: p[n] for n in UTK.attributes}
    return batch_of(p, {n: a.classes for n, a in UTK.attributes.items()}, age)


def labels(faces: np.ndarray) -> dict[str, Any]:
    male = reads_brightness(faces).probabilities["gender"].argmax(axis=1)
    return targets_of(UTK, {"age": np.full(N, -1), "gender": male, "race": np.full(N, -1)})


def test_answers_are_kept_with_the_faces_that_they_are_of() -> None:
    """They are looked up by the array's id, which another array may get once the first is gone."""
    made: list[weakref.ref[np.ndarray]] = []

    def changes() -> Iterator[Change]:
        for k in range(0, 50, 10):
            assert all(r() is not None for r in made)
            before = np.full((N, 32, 32, 3), k, "uint8")
            made.append(weakref.ref(before))
            yield Change(f"from {k}", before, before + np.uint8(1), N, np.arange(N))

    table = movements(reads_brightness, UTK, changes(), labels(crops()), 0).table.query("answer == 'age, years'")
    assert table["before"].tolist() == [0, 10, 20, 30, 40] and (table["move"] == 1).all()


def test_a_change_of_light_moves_what_reads_light_and_nothing_else() -> None:
    before = crops()
    after = np.minimum(before.astype(int) + 20, 255).astype("uint8")
    change = Change("lighter", before, after, N, np.arange(N))
    table = movements(reads_brightness, UTK, iter([change]), labels(before), 200).table.set_index("answer")
    age = table.loc["age, years"]
    assert age["move"] > 5 and age["move_low"] <= age["move"] <= age["move_high"]
    male = table.loc["gender: Male"]
    crossed = ((before[:, 0, 0, 0] < 100) & (after[:, 0, 0, 0] >= 100)).mean()
    assert male["move"] == pytest.approx(-crossed) and male["move_high"] < 0
    assert male["flipped"] == pytest.approx(crossed) and male["drop"] == pytest.approx(crossed)
    white = table.loc["race: White"]
    assert white["move"] == white["move_low"] == white["move_high"] == 0 and np.isnan(white["drop"])


def test_only_edits_that_the_judge_confirms_are_counted() -> None:
    before = crops()

    def edit(faces: np.ndarray, change: dict[str, Any]) -> Any:
        changed = faces.copy()
        changed[::2, 0, 0, 0] = np.minimum(changed[::2, 0, 0, 0].astype(int) + 20, 255)  # every second one
        return SimpleNamespace(crops=changed, reached=np.ones(len(faces), bool))

    change = next(edits(edit, reads_brightness, before, [{"age": 20}]))
    assert change.name == "age +20" and change.asked == N
    assert set(change.rows) <= set(range(0, N, 2)) and len(change.rows) > 40
    section = movements(reads_brightness, UTK, iter([change]), labels(before), 50)
    assert section.table["confirmed"].iloc[0] == len(change.rows) / N
    assert any("Only edits that another model confirms" in line for line in section.text)
    with pytest.raises(InputError, match="the judge does not predict 'mood'"):
        next(edits(edit, reads_brightness, before, [{"mood": "glad"}]))
    female = next(edits(edit, reads_brightness, before, [{"gender": "Female"}]))
    assert (reads_brightness(female.after).labels["gender"] == "Female").all()


def test_smaller_faces_lose_detail() -> None:
    found = list(smaller(crops(), (16, 48)))
    assert [c.name for c in found] == ["16 pixels"]  # 48 is larger than the crops
    assert found[0].after.std() < found[0].before.std()


def test_without_a_confirmed_face_there_is_no_row() -> None:
    none = Change("age +20", crops()[:0], crops()[:0], N, np.arange(0))
    assert len(movements(reads_brightness, UTK, iter([none]), labels(crops())).table) == 0


def test_the_page_of_a_model_has_the_section(tmp_path: Path) -> None:
    preset = FaceFeatureModel(image_size=32, backbone_config=TINY, head_config={"trunk": []}, detector="whole-image")
    preset.save(tmp_path / "preset", name="tiny")
    words = ["evaluate", "--data", str(squares(tmp_path / "data", 40)), "--preset", str(tmp_path / "preset")]
    done = CliRunner().invoke(cli, [*words, "--bootstrap", "10", "--report", str(tmp_path / "r"), "--conditions"])
    assert done.exit_code == 0, done.output
    section = json.loads((tmp_path / "r" / "report.json").read_text())["sections"][0]
    assert section["key"] == "counterfactual"
    assert {"dark 0.5", "motion-blur 0.25", "24 pixels"} <= {r["change"] for r in section["rows"]}
    assert isinstance(CliRunner().invoke(cli, [*words, "--conditions"]).exception, InputError)
