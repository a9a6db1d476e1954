"""The pages of audits in a real browser, on a desktop and on a phone: the audit, a census, the sheet of the doctor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from driving import WIDTHS, Visit

from facefeat.evaluation.anyone import measure_predictions
from facefeat.evaluation.census import census, read_collection
from facefeat.evaluation.guarantee import guarantee_sections
from facefeat.evaluation.predictions import Predictions, read_predictions
from facefeat.evaluation.rules import check_rules, parse_rule

Open = Callable[[Path], Visit]


@pytest.fixture(params=WIDTHS)
def opened(browser: Any, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a file; everything about it is closed afterwards."""
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)

    def go(path: Path) -> Visit:
        made = Visit(context.new_page(), request.param)
        made.page.goto(path.as_uri())
        made.elsewhere = [u for u in made.elsewhere if u != path.as_uri()]  # the page itself
        return made

    yield go
    context.close()


@pytest.fixture(scope="module")
def read() -> Predictions:
    rng = np.random.default_rng(3)
    n = 3000
    gender, age = rng.integers(0, 2, n), rng.integers(1, 90, n)
    p = 1 / (1 + np.exp(-3 * rng.normal(gender * 2 - 1, 1)))
    names = np.array(["Male", "Female"])
    return read_predictions(
        pd.DataFrame({
            "file": [f"{i}.jpg" for i in range(n)], "gender_true": names[gender], "gender_pred": names[(p > 0.5) * 1],
            "gender_prob_Male": 1 - p, "gender_prob_Female": p, "age_true": age,
            "age_pred": (age + rng.normal(1, 7, n)).clip(0, 110),
            "a_very_long_name_of_a_column_of_countries": rng.choice(["Brazil", "India", "Norway"], n),
        }), name="some-cloud-service-predictions.csv",
    )  # fmt: skip


def test_the_audit_is_read_downloaded_and_printed(opened: Open, read: Predictions, tmp_path: Path) -> None:
    from dataclasses import replace

    found = check_rules(measure_predictions(read, 50), [parse_rule("gender.worst_group.accuracy >= 0.99")])
    replace(found, sections=(*found.sections, *guarantee_sections(read, 0.9))).save(tmp_path / "report")
    v = opened(tmp_path / "report" / "report.html")
    v.page.get_by_role("heading", name="In short").wait_for()
    assert 3 <= v.page.locator("ol.short > li").count() <= 5
    assert v.page.locator(".chart").count() == 2
    assert v.page.get_by_text("failed: gender.worst_group.accuracy").is_visible()
    with v.page.expect_download() as waited:
        v.page.get_by_role("link", name="Download groups.csv").click()
    assert waited.value.suggested_filename == "groups.csv"
    assert Path(waited.value.path()).read_text().startswith("by,group,faces")
    closed = v.page.locator("details:not([open])").count()
    assert closed
    v.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert v.page.locator("details:not([open])").count() == 0
    v.shot("audit")
    v.check()


def test_the_census_is_read(opened: Open, read: Predictions, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    faces = pd.DataFrame({"gender": rng.choice(["Male", "Female"], 800, p=[0.7, 0.3])})
    counted = census(read_collection(faces, {"gender": read.scored["gender"].attribute}), read, bootstrap=50)
    counted.save(tmp_path / "census")
    v = opened(tmp_path / "census" / "census.html")
    v.page.get_by_role("heading", name="By gender").wait_for()
    v.shot("census")
    v.check()


def test_labels_are_decided_by_keys_and_downloaded(opened: Open, tmp_path: Path) -> None:
    from facefeat.evaluation.decisions import save_diagnosis
    from facefeat.evaluation.doctor import Diagnosis

    issues = pd.DataFrame({
        "row": [0, 1, 2], "file": ["a.jpg", '=b "c".jpg', "d.jpg"], "attribute": "gender", "label": "Male",
        "suggested": "Female", "probability": 0.9, "own": 0.1, "agreeing": 0.8, "twin": "", "signs": "neighbours",
        "score": 0.5,
    })  # fmt: skip
    crops = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3)).astype("uint8")
    save_diagnosis(Diagnosis("faces", 3, issues, (), {"gender": 0.9}), crops, tmp_path / "sheet")
    v = opened(tmp_path / "sheet" / "doctor.html")
    first = v.page.locator("#sheet li").first
    first.focus()
    for key in "cd":
        v.page.keyboard.press(key)
    v.page.keyboard.press("k")
    v.page.keyboard.press("u")  # the last face stays chosen
    assert v.page.get_by_text("2 of 3 decided").is_visible()
    v.page.keyboard.press("ArrowLeft")
    assert v.page.evaluate("document.activeElement.dataset.file") == '=b "c".jpg'
    with v.page.expect_download() as waited:
        v.page.get_by_role("button", name="Download decisions.csv").click()
    lines = Path(waited.value.path()).read_text().splitlines()
    assert lines[:2] == ["file,attribute,action,label", '"a.jpg","gender","change","Female"']
    assert lines[2] == '"\'=b ""c"".jpg","gender","drop","Female"'
    v.shot("doctor")
    v.check()
