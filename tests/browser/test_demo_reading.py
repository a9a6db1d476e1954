"""The demo through a real browser, with the bundled model: photos of every sort, model cards, dark."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import PATIENCE, Visit
from PIL import Image

Go = Callable[[str], Any]


# ---------------------------------------------------------------- Classify


def test_an_example_is_read(visit: Go, served: str) -> None:
    v = visit(served)
    v.page.get_by_text("Choose a photo, or try an example").wait_for()
    v.shot("start")
    v.example("Astronaut")
    v.page.get_by_role("heading", name="1 face found").wait_for()
    card = v.page.get_by_role("region", name="Face 1")
    assert re.search(r"about \d+ years", re.sub(r"\s+", " ", card.inner_text()))
    assert re.search(r"probably \d+ to \d+", card.inner_text())
    assert card.get_by_role("row", name=re.compile("Female")).is_visible()
    assert card.get_by_alt_text(re.compile("where the model looked for gender")).is_visible()
    assert v.page.locator(".ff-box").count() == 1
    v.shot("classify")
    v.check()
    v.take_away()


def test_photos_of_every_sort_are_answered_in_the_page(visit: Go, served: str, tmp_path: Path, repo: Path) -> None:
    v = visit(served)
    v.example("Both")
    v.page.get_by_role("heading", name="2 faces found").wait_for()
    assert v.page.locator(".ff-box").count() == 2
    assert v.page.get_by_role("region", name="Face 2").is_visible()
    v.shot("two-faces")
    v.check()

    def again(path: Path, says: str) -> None:
        v.take_away()
        v.upload(path)
        v.page.get_by_text(says).wait_for()

    sideways = Image.Exif()
    sideways[0x0112] = 6
    portrait = Image.open(repo / "docs" / "assets" / "portrait.jpg").convert("RGB")
    portrait.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.jpg", exif=sideways)
    again(tmp_path / "sideways.jpg", "1 face found")
    noise = np.random.default_rng(0).integers(90, 110, (300, 400, 3)).astype("uint8")
    Image.fromarray(noise).save(tmp_path / "grey.png")
    again(tmp_path / "grey.png", "No face was found in this photo")
    Image.new("1", (9000, 8000)).save(tmp_path / "huge.png")
    again(tmp_path / "huge.png", "This photo is too large")
    (tmp_path / "text.jpg").write_text("not a photo at all")
    again(tmp_path / "text.jpg", "This file is not a picture")


def test_real_photos(visit: Go, served: str, shared_data: Path) -> None:
    photos = sorted((shared_data / "photos").glob("*.jpg"))
    if not photos:
        pytest.skip("no photos in the shared data")
    v = visit(served)
    for photo in photos:
        v.upload(photo)
        v.page.get_by_text(re.compile(r"\d+ faces? found")).wait_for()
        v.shot(f"photo-{photo.stem}")
        v.take_away()


def test_the_files_of_a_visitor_go_with_the_visitor(browser: Any, served: str, two_people: Path) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(served)
    page.locator("#classify-photo input[type=file]").first.set_input_files(str(two_people))
    page.get_by_role("heading", name="2 faces found").wait_for()
    mine = list(folder.rglob("two.jpg"))
    context.close()
    until = time.monotonic() + 60
    while any(p.exists() for p in mine) and time.monotonic() < until:
        time.sleep(0.2)
    assert mine and not [p for p in mine if p.exists()]


def test_without_a_decoder_the_tab_says_what_to_do(visit: Go, plain: str) -> None:
    v = visit(plain)
    v.tab("Morph")
    v.page.locator("p:visible", has_text="This model cannot draw faces").wait_for()
    says = v.page.locator("p:visible", has_text="Morphing needs a model with a decoder, and this one has none")
    assert "start this page without --preset" in says.inner_text()
    assert not v.page.get_by_role("button", name="Morph", exact=True).is_visible()
    v.check()


# ---------------------------------------------------------------- Models, About, dark


def test_the_card_and_the_errors_of_the_bundled_model(visit: Go, served: str) -> None:
    v = visit(served)
    v.tab("Models")
    v.page.get_by_role("heading", name="Data and licence").wait_for()
    v.shot("models")
    v.check()
    v.tab("About")
    v.page.get_by_role("heading", name="How often it is wrong").wait_for()
    assert v.page.get_by_role("rowheader", name="0-2", exact=True).is_visible()
    assert v.page.locator("p:visible", has_text="non-commercial research").count() == 1
    v.shot("about")
    v.check()


def test_dark(browser: Any, served: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    v = Visit(context.new_page(), "desktop")
    v.page.goto(served)
    v.example("Admiral")
    v.page.get_by_role("heading", name="1 face found").wait_for()
    v.shot("dark")
    v.check()
    context.close()
