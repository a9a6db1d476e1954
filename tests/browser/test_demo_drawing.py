"""The demo through a real browser: morphs by the bundled model, and changing the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Go = Callable[[str], Any]


def test_two_examples_become_a_morph(visit: Go, served: str) -> None:
    v = visit(served)
    v.tab("Morph")
    # An example plays when the tab is opened.
    v.page.wait_for_function("Number(document.querySelector('.ff-canvas')?.dataset.frame) > 3")
    v.page.get_by_role("button", name="Morph", exact=True).click()
    v.page.get_by_text("Choose at least two photos").first.wait_for()
    v.example("Astronaut", 0)
    v.page.locator(".ff-strip img").first.wait_for()
    v.page.get_by_text("to see these faces turn into each other").wait_for()  # the example is not of these
    v.example("Admiral", 1)
    v.page.wait_for_function("document.querySelectorAll('.ff-strip img').length === 2")
    v.page.get_by_role("button", name="Morph", exact=True).click()
    slider = v.page.get_by_role("slider", name="From the first face to the last")
    slider.wait_for()
    canvas = v.page.locator(".ff-canvas")
    v.page.get_by_role("button", name="Pause").click()  # it plays by itself
    slider.focus()
    v.page.keyboard.press("Home")
    v.page.wait_for_function("document.querySelector('.ff-canvas').dataset.frame === '0'")

    # By keyboard alone.
    first = canvas.evaluate("c => c.toDataURL()")
    slider.focus()
    for _ in range(3):
        v.page.keyboard.press("ArrowRight")
    assert canvas.get_attribute("data-frame") == "3"
    assert "years" in (slider.get_attribute("aria-valuetext") or "")
    v.page.keyboard.press("End")
    assert canvas.get_attribute("data-frame") == "59"
    assert canvas.evaluate("c => c.toDataURL()") != first
    assert re.fullmatch(r"\d+ years, probably \d+ to \d+", v.page.locator("[data-now=age]").inner_text())
    assert v.page.locator(".ff-panel").count() == 3

    play = v.page.get_by_role("button", name="Play")
    play.focus()
    v.page.keyboard.press("Enter")
    v.page.wait_for_function("document.querySelector('.ff-canvas').dataset.frame !== '59'")
    v.page.get_by_role("button", name="Pause").click()

    for kind in ("MP4", "GIF"):
        v.page.get_by_role("button", name=f"Make {'an' if kind == 'MP4' else 'a'} {kind}").click()
        button = v.page.get_by_role("button", name=f"Download {kind}")
        button.wait_for()
        with v.page.expect_download() as waited:
            button.click()
        assert waited.value.suggested_filename == f"morph.{kind.lower()}"
        assert Path(waited.value.path()).stat().st_size > 1000
    slider.fill("30")
    assert canvas.get_attribute("data-frame") == "30"
    v.shot("morph")
    v.errors = [e for e in v.errors if "Choose at least two" not in e]
    v.check()


def test_the_face_is_chosen(visit: Go, served: str, two_people: Path) -> None:
    v = visit(served)
    v.tab("Morph")
    v.upload(two_people, "#morph-photo-1")
    v.page.get_by_role("radio", name="Face 2").wait_for()
    assert v.page.locator(".ff-strip img").count() == 2
    v.page.get_by_role("radio", name="Face 2").check()
    v.page.get_by_alt_text("Face 2, chosen").wait_for()
    v.check()


def test_models_and_their_cards(visit: Go, drawing: str) -> None:
    v = visit(drawing)
    v.tab("Models")
    v.page.get_by_role("heading", name="In use: drawing").wait_for()
    v.page.get_by_text("What is installed").click()
    v.page.get_by_role("heading", name=re.compile("Detectors")).wait_for()
    assert v.page.get_by_text("centerface", exact=True).is_visible()
    v.page.get_by_role("button", name="Use this model").click()
    v.page.get_by_text("This page now uses drawing").wait_for()
    v.page.wait_for_timeout(2500)  # the page is made anew
    v.page.get_by_role("heading", name="facefeat", exact=True).wait_for()
    v.check()
