"""The demo through a real browser: faces edited by sliders, and the map of the latents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from demo_preset import preset_with_decoder
from made import squares

Go = Callable[[str], Any]


@pytest.fixture
def explored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo with a tiny model that can draw, and a data set."""
    from facefeat_demo.server import Settings, running

    folder = tmp_path_factory.mktemp("explored")
    preset = str(preset_with_decoder(folder / "drawing", 64))
    with running(Settings(preset=preset, data=squares(folder / "data", 80)), detector="whole-image") as page:
        yield page.local_url


def test_sliders_change_the_face(visit: Go, served: str) -> None:
    v = visit(served)
    v.tab("Edit")
    # It opens with a face, and that face at every age.
    edited = v.page.locator("#edit-after img")
    edited.wait_for()
    v.page.locator("#edit-ages figure").nth(7).wait_for()
    v.example("Don")
    v.page.locator("#edit-photo-1 img").first.wait_for()
    v.page.wait_for_function(
        "was => document.querySelector('#edit-after img').src !== was", arg=edited.get_attribute("src")
    )
    v.page.locator("#edit-ages figure").nth(7).wait_for()
    assert v.page.get_by_alt_text("The face in the photo").is_visible()
    assert edited.bounding_box()["width"] >= 230
    assert v.page.get_by_text("A race is changed on synthetic faces only").is_visible()
    assert not v.page.get_by_label("Race: towards").first.is_visible()

    # By keyboard alone, and back.
    v.settle()
    first = edited.get_attribute("src")
    age = v.page.get_by_role("slider", name=re.compile("Age"))
    age.focus()
    age.press("End")
    v.page.wait_for_function("was => document.querySelector('#edit-after img').src !== was", arg=first)
    moved = edited.get_attribute("src")
    divider = v.page.get_by_role("slider", name=re.compile("Divider"))
    divider.fill("60")
    assert (
        v.page.evaluate("getComputedStyle(document.querySelector('#edit-after')).clipPath") == "inset(0px 0px 0px 60%)"
    )
    divider.fill("0")
    age.fill("5")
    v.page.wait_for_function("was => document.querySelector('#edit-after img').src !== was", arg=moved)
    v.page.get_by_role("button", name="Edit until the model agrees").click()
    v.page.get_by_text(re.compile(r"asked \d+\): (not )?reached")).wait_for()
    v.shot("edit")
    v.page.get_by_text("All probabilities of the edited face").click()
    assert v.page.get_by_role("columnheader", name="Edited").is_visible()
    v.check()
    v.page.get_by_role("button", name="Reset", exact=True).click()
    v.page.wait_for_function("was => document.querySelector('#edit-after img').src === was", arg=first)
    assert age.input_value() == "0" and moved != first
    with v.page.expect_download() as waited:
        v.page.get_by_role("button", name="Save the row").click()
    assert waited.value.suggested_filename == "ages.jpg"
    # As a film, without asking the server for its pictures.
    v.page.locator("[data-play-ages]").click()
    v.page.wait_for_function("document.querySelector('#edit-after img').src.startsWith('blob:')")
    v.page.locator("[data-play-ages]", has_text="Stop").click()
    v.page.wait_for_function("document.querySelector('#edit-after img').src.startsWith('data:')")  # the whole picture
    v.page.get_by_role("button", name="Reset", exact=True).click()
    v.page.wait_for_function("was => document.querySelector('#edit-after img').src === was", arg=first)

    v.page.get_by_role("button", name="Directions without a name").click()
    v.settle()  # Gradio makes these sliders only now; a key within the same instant is lost
    v.page.get_by_role("slider", name=re.compile("Direction 1")).press("End")
    v.page.wait_for_function("was => document.querySelector('#edit-after img').src !== was", arg=first)

    v.page.get_by_role("button", name="A grid of faces").click()
    v.page.get_by_role("button", name="Make the grid").click()
    v.page.get_by_alt_text(re.compile("Faces by age, from left to right, and gender")).wait_for()
    download = v.page.get_by_role("button", name="Download PNG")
    download.wait_for()
    with v.page.expect_download() as waited:
        download.click()
    with Image.open(Path(waited.value.path())) as picture:
        assert picture.width > 5 * 160
    v.shot("edit-grid")
    v.check()


def test_a_synthetic_face_is_edited(visit: Go, served: str) -> None:
    v = visit(served)
    v.tab("Edit")
    v.example("Don")
    v.page.locator("#edit-photo-1 img").first.wait_for()
    v.page.get_by_alt_text("The face in the photo").wait_for()
    v.page.get_by_role("button", name="A synthetic face").click()
    v.page.locator("#edit-before").get_by_alt_text("A synthetic face").wait_for()
    # Nothing of the photo stays.
    v.page.wait_for_function("!document.querySelector('#edit-photo-1 img') && !document.querySelector('.ff-strip img')")
    v.page.locator("#edit-ages figure").nth(7).wait_for()
    first = v.page.locator("#edit-after img").get_attribute("src")
    v.page.get_by_role("listbox", name=re.compile("Race: towards")).or_(
        v.page.get_by_label("Race: towards")
    ).first.click()
    v.page.get_by_role("option", name="Asian").click()
    v.page.wait_for_function("was => document.querySelector('#edit-after img').src !== was", arg=first)
    v.check()


def test_the_map_of_class_means(visit: Go, served: str) -> None:
    v = visit(served)
    v.tab("Explore")
    v.page.get_by_role("button", name="gender Female").click()
    v.page.get_by_alt_text("The average face of gender Female").wait_for()
    assert v.page.get_by_role("button", name="gender Female").get_attribute("aria-pressed") == "true"
    v.page.get_by_role("button", name="Make faces").click()
    v.page.get_by_alt_text("Face 3, synthetic").wait_for()
    v.shot("explore-means")
    v.check()


def test_the_map_of_a_data_set_by_keyboard(visit: Go, explored: str) -> None:
    v = visit(explored)
    v.tab("Explore")
    dots = v.page.locator("#explore-map .ff-dot")
    dots.first.wait_for()
    assert dots.count() == 80
    dots.first.focus()
    reached = set()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        v.page.keyboard.press(key)
        reached.add(v.page.evaluate("document.activeElement.dataset.i"))
    assert len(reached) > 1 and v.page.locator("#explore-map .ff-dot[tabindex='0']").count() == 1
    v.page.keyboard.press("Enter")
    v.page.get_by_alt_text(re.compile("The face at this point, labelled")).wait_for()
    assert v.page.locator("#explore-face .ff-near img").count() == 5
    v.page.get_by_role("radio", name=re.compile("Grouped")).check()
    v.page.wait_for_function("document.querySelectorAll('#explore-map [aria-pressed=true]').length === 0")
    v.page.get_by_role("button", name="Make faces").click()
    v.page.locator("#composed-faces .ff-near img").first.wait_for()
    assert v.page.locator("#composed-faces .ff-near img").count() == 3 * 5
    v.shot("explore-data")
    v.check()


def test_without_a_decoder_the_tabs_say_what_to_do(visit: Go, plain: str) -> None:
    v = visit(plain)
    for tab, what in (("Edit", "Editing"), ("Explore", "The map")):
        v.tab(tab)
        says = v.page.locator("p:visible", has_text=f"{what} needs a model with a decoder, and this one has none")
        says.wait_for()
        assert "start this page without --preset" in says.inner_text() and "facefeat train-decoder" in says.inner_text()
    v.check()
