"""The demo through a real browser, with the bundled model: photos of every sort, model cards, dark."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import PATIENCE, WIDTHS, Visit, chromium
from PIL import Image

from facefeat.image.video import write_frames
from facefeat_demo.starting import answered

Go = Callable[[str], Any]


# ---------------------------------------------------------------- Classify


def test_the_page_opens_with_an_answer(visit: Go, served: str) -> None:
    v = visit(served)
    v.page.get_by_role("heading", name="An example: this is my guess").wait_for()
    assert v.page.locator(".ff-answer .ff-photo img").count() == 1
    box = v.page.locator(".ff-box span")
    assert re.fullmatch(r"\d+, (Fem|M)ale", box.inner_text())
    # Without scrolling, on a phone, too; and nothing moves while the rest of the page comes.
    assert v.page.evaluate("document.querySelector('.ff-box').getBoundingClientRect().bottom < innerHeight")
    assert v.page.get_by_role("link", name="Wrong for whom?").is_visible()
    v.shot("start")
    v.check()


def test_the_answer_is_there_before_the_script(visit: Go, served: str) -> None:
    v = visit("about:blank")
    v.page.route("**/assets/index-*.js", lambda route: None)  # a line that is very slow
    v.page.goto(served, wait_until="commit")
    v.page.get_by_role("heading", name="An example: this is my guess").wait_for()
    assert v.page.get_by_role("link", name="Edit").get_attribute("href") == "?tab=edit"
    v.check()


def test_the_page_of_a_demo_that_starts_takes_a_photo(visit: Go, repo: Path) -> None:
    photo = (repo / "docs" / "assets" / "portrait.jpg").read_bytes()
    v = visit("about:blank")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with answered("127.0.0.1", port) as (starting, _):
        starting.show('<p class="ff-answer">An example</p>', lambda sent: f"<h2>{sent == photo}</h2>", len(photo))
        v.page.goto(f"http://127.0.0.1:{port}", wait_until="commit")
        v.page.get_by_text("An example").wait_for()
        v.page.get_by_label("Drop a photo here, or click to choose one").set_input_files(
            {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo}
        )
        v.page.get_by_role("heading", name="True").wait_for()
        assert v.page.get_by_text("An example").count() == 0
        v.check()


def test_whoever_comes_early_sees_the_answer_and_then_the_whole_page(visit: Go, repo: Path) -> None:
    v = visit("about:blank")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "facefeat", "demo", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert (
                demo.stdout is not None
                and f"http://127.0.0.1:{port} and shows a first answer" in demo.stdout.readline()
            )
            # Once only: the page loads itself again, and another visit at that moment would be broken off.
            first = v.page.goto(f"http://127.0.0.1:{port}", wait_until="commit")
            assert first.headers["x-facefeat-starting"] in "01"
            v.page.get_by_role("heading", name="An example: this is my guess").first.wait_for()
            v.page.locator("input[type=file]").first.set_input_files(str(repo / "docs" / "assets" / "portrait.jpg"))
            v.page.locator("#classify-photo").wait_for()  # nobody had to do anything
            v.page.locator("#ff-shell").wait_for(state="detached")
            # The photo has come with the visitor, and nothing of it stays behind.
            v.page.locator("#classify-result").get_by_role("heading", name="1 face found").wait_for()
            assert v.page.evaluate("sessionStorage.length") == 0
            v.errors = [e for e in v.errors if "net::ERR_" not in e]  # of the moment between the two pages
            v.check()
        finally:
            demo.terminate()


def test_an_example_is_read(visit: Go, served: str) -> None:
    v = visit(served)
    v.example("Astronaut")
    v.page.get_by_role("heading", name="1 face found").wait_for()
    card = v.page.get_by_role("region", name="Face 1")
    assert re.search(r"about \d+ years", re.sub(r"\s+", " ", card.inner_text()))
    assert re.search(r"probably \d+ to \d+", card.inner_text())
    assert card.get_by_role("row", name=re.compile("Female")).is_visible()
    assert card.get_by_alt_text(re.compile("where the model looked for gender")).is_visible()
    assert v.page.locator("#classify-result .ff-box").count() == 1
    # It is said aloud, and is there without scrolling.
    v.page.wait_for_function("/1 face found. Face 1: age about/.test(document.querySelector('.ff-unseen').textContent)")
    v.settle()
    assert v.page.evaluate(
        "document.querySelector('#classify-result .ff-box').getBoundingClientRect().bottom < innerHeight"
    )
    with v.page.expect_download() as waited:
        v.page.get_by_role("button", name="Save as a picture").click()
    with Image.open(Path(waited.value.path())) as picture:
        assert picture.size == (1200, 630)
    v.shot("classify")
    v.check()


def test_the_photo_is_made_worse_step_by_step(visit: Go, served: str) -> None:
    v = visit(served)
    v.page.get_by_role("button", name="How dark can it be?").click()
    shown = v.page.locator("#classify-worse")
    shown.locator(".ff-canvas[data-frame]").wait_for()
    shown.get_by_role("button", name="Pause").click()
    slider = shown.get_by_role("slider")
    slider.fill("0")
    first = slider.get_attribute("aria-valuetext")
    slider.fill("24")
    assert slider.get_attribute("aria-valuetext") != first and "years" in str(first)
    # Another face, the same question.
    was = shown.locator("img.ff-sprite").get_attribute("src")
    v.example("Hakeem")
    v.page.wait_for_function("was => document.querySelector('#classify-worse img.ff-sprite')?.src !== was", arg=was)
    v.settle()
    v.check()


def test_every_tab_has_an_address(visit: Go, served: str) -> None:
    v = visit(f"{served}?tab=morph")
    chosen = "document.querySelector('[role=tab][aria-selected=true]').dataset.tabId"
    v.page.wait_for_function(f"{chosen} === 'morph'")
    v.tab("Edit")
    assert v.page.url.endswith("?tab=edit")
    v.page.go_back()
    v.page.wait_for_function(f"{chosen} === 'morph'")
    v.page.reload()
    v.page.wait_for_function(f"document.querySelector('[role=tab]') && {chosen} === 'morph'")
    v.page.get_by_role("link", name="Wrong for whom?").click()
    v.page.get_by_role("heading", name="For whom it is wrong").wait_for()
    assert v.page.url.endswith("?tab=about")


def test_the_camera_is_read_live(playwright: Any, served: str, tmp_path: Path, repo: Path) -> None:
    """With a file as Chromium's camera: two faces that move a little."""
    both = Image.open(repo / "demo" / "facefeat_demo" / "examples" / "both.jpg").convert("RGB").resize((600, 324))
    film = b""
    for i in range(8):
        frame, made = Image.new("RGB", (640, 480), (90, 100, 110)), io.BytesIO()
        frame.paste(both, (10 + 3 * i, 60))
        frame.save(made, "jpeg", quality=90)
        film += made.getvalue()
    (tmp_path / "camera.mjpeg").write_bytes(film)
    with chromium(
        playwright,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={tmp_path / 'camera.mjpeg'}",
    ) as with_camera:
        context = with_camera.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
        v = Visit(context.new_page(), "desktop")
        v.page.goto(served)
        v.page.get_by_role("button", name="Use my camera, live").click()
        settled = "[...document.querySelectorAll('.ff-live .ff-box')].filter(b => b.dataset.frames > 6)"
        v.page.wait_for_function(f"{settled}.length === 2")
        tracks = v.page.evaluate(f"{settled}.map(b => b.dataset.track)")
        assert all(re.match(r"\d+, ", t) for t in v.page.evaluate(f"{settled}.map(b => b.textContent)"))
        v.page.wait_for_timeout(1000)
        assert v.page.evaluate(f"{settled}.map(b => b.dataset.track)") == tracks  # one answer a track
        v.shot("live")
        v.check()
        v.page.get_by_role("button", name="Stop the camera").click()
        v.page.get_by_role("button", name="Use my camera, live").wait_for()
        # A single picture: the answer before stays until it is taken, and then the camera is closed.
        field = v.page.locator("#classify-photo")
        field.locator("[data-testid=source-select] button").nth(1).click()
        assert v.page.locator("#classify-result .ff-card").is_visible()
        v.page.wait_for_timeout(500)
        field.get_by_text("Click to Access Webcam").click()
        view = field.locator("video")
        view.wait_for()
        v.page.wait_for_function("document.querySelector('#classify-photo video').clientHeight > 250")
        field.get_by_role("button", name="capture photo").click()
        v.page.get_by_role("heading", name="2 faces found").wait_for()
        view.wait_for(state="hidden")


def test_a_video_is_read(visit: Go, served: str, tmp_path: Path, repo: Path) -> None:
    """Each of two faces that move has one answer and its box; a file that is no video has a sentence."""
    both = Image.open(repo / "demo" / "facefeat_demo" / "examples" / "both.jpg").convert("RGB").resize((600, 324))
    frames = np.zeros((20, 480, 640, 3), "uint8")
    for i, frame in enumerate(frames):
        frame[60:384, 2 * i : 2 * i + 600] = np.asarray(both)
    write_frames(frames, tmp_path / "two.mp4", fps=10)
    (tmp_path / "none.mp4").write_text("no video at all")
    v = visit(served)
    choose = v.page.locator(".ff-clip-file")
    choose.set_input_files(str(tmp_path / "none.mp4"))
    v.page.get_by_text("This browser cannot play this file").wait_for()
    with v.page.expect_file_chooser() as chooser:
        v.page.get_by_role("button", name="Read a video").click()
    chooser.value.set_files(str(tmp_path / "two.mp4"))
    v.page.locator(".ff-live-says", has_text="2 faces in 10 pictures").wait_for()
    cards = v.page.locator(".ff-live-found .ff-card")
    assert cards.count() == 2 and all("age about" in text for text in cards.all_inner_texts())
    v.page.wait_for_function("document.querySelectorAll('.ff-live .ff-box').length === 2")
    boxes = v.page.locator(".ff-live .ff-box").all_inner_texts()
    assert all(re.match(r"\d+, ", box) for box in boxes)
    assert not list(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("two.mp4"))  # it never left the browser
    v.shot("video")
    v.check()
    v.page.get_by_role("button", name="Close the video").click()
    v.page.get_by_role("button", name="Read a video").wait_for()
    assert v.page.locator("#classify-result .ff-box").is_visible()


def test_nothing_moves_while_a_tab_comes_and_the_page_is_light(visit: Go, served: str) -> None:
    shifts = (
        "window.shifted = 0; new PerformanceObserver((seen) => seen.getEntries().forEach((e) => "
        "{ if (!e.hadRecentInput) window.shifted += e.value; })).observe({ type: 'layout-shift', buffered: true });"
    )
    first = ".ff-answer", ".ff-canvas[data-frame]", "#edit-ages img", ".ff-map", ".ff-facts", ".ff-errors"
    for tab, there in zip(("classify", "morph", "edit", "explore", "models", "about"), first, strict=True):
        v = visit("about:blank")
        v.page.add_init_script(shifts)
        wire = v.page.context.new_cdp_session(v.page)
        wire.send("Network.enable")
        sizes: list[float] = []
        wire.on("Network.loadingFinished", lambda e, sizes=sizes: sizes.append(e["encodedDataLength"]))
        v.page.goto(f"{served}?tab={tab}")
        v.page.locator(f"{there}:visible").first.wait_for()
        v.settle()
        assert v.page.evaluate("window.shifted") < 0.05, tab
        assert sum(sizes) < 700_000, tab
        v.page.close()


def test_a_page_that_nobody_touches_rests(visit: Go, served: str) -> None:
    v = visit("about:blank")
    v.page.add_init_script(
        "const next = window.requestAnimationFrame; window.asked = 0;"
        "window.requestAnimationFrame = (draw) => { window.asked += 1; return next.call(window, draw); };"
    )
    v.page.goto(served)
    v.page.wait_for_function("document.querySelector('#tabs') && !document.querySelector('#ff-shell')")
    v.page.locator(".ff-hero").wait_for()  # what comes last
    asked = (
        "async () => { const before = window.asked; await new Promise((done) => setTimeout(done, 1000));"
        " return window.asked - before; }"
    )
    frames = [v.page.evaluate(asked)]  # whoever draws asks for some 60 a second
    while frames[-1] >= 10 and len(frames) < 20:
        frames.append(v.page.evaluate(asked))
    assert frames[-1] < 10, frames


def test_photos_of_every_sort_are_answered_in_the_page(visit: Go, served: str, tmp_path: Path, repo: Path) -> None:
    v = visit(served)
    v.example("Both")
    v.page.get_by_role("heading", name="2 faces found").wait_for()
    boxes = v.page.locator("#classify-result .ff-box")
    assert boxes.count() == 2 and [t[0] for t in boxes.all_inner_texts()] == ["1", "2"]
    # All at one moment: the page may still scroll to the answer.
    whole, *found = v.page.eval_on_selector_all(
        "#classify-result .ff-photo, #classify-result .ff-box",
        "all => all.map(e => e.getBoundingClientRect()).map(({x, top, bottom}) => ({x, top, bottom}))",
    )
    assert found[0]["x"] < found[1]["x"]
    for box in found:  # on the photo, on a phone, too
        assert whole["top"] <= box["top"] and box["bottom"] <= whole["bottom"]
    assert v.page.get_by_role("region", name="Face 2").is_visible()
    v.shot("two-faces")
    v.check()

    def again(path: Path, says: str) -> None:
        v.upload(path)
        v.page.get_by_text(says).first.wait_for()

    sideways = Image.Exif()
    sideways[0x0112] = 6
    portrait = Image.open(repo / "docs" / "assets" / "portrait.jpg").convert("RGB")
    portrait.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.jpg", exif=sideways)
    again(tmp_path / "sideways.jpg", "1 face found")
    noise = np.random.default_rng(0).integers(90, 110, (300, 400, 3)).astype("uint8")
    Image.fromarray(noise).save(tmp_path / "grey.png")
    again(tmp_path / "grey.png", "No face was found in this photo")
    assert not v.page.locator("#classify-worse").is_visible()  # there is nothing to make worse
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
        v.page.locator("#classify-result .ff-answer").first.wait_for()
        # The answer before is marked, so that it is not taken for the next one.
        v.page.evaluate("document.querySelectorAll('#classify-result .ff-answer').forEach(e => e.dataset.before = '')")
        v.upload(photo)
        v.page.locator("#classify-result .ff-answer:not([data-before])").first.wait_for()
        assert v.page.get_by_role("heading", name=re.compile(r"\d+ faces? found")).is_visible()
        v.shot(f"photo-{photo.stem}")


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
    v.page.get_by_role("heading", name="For whom it is wrong").wait_for()
    assert v.page.get_by_role("rowheader", name=re.compile("^0-2 ")).first.is_visible()
    assert v.page.get_by_role("cell", name=re.compile(r"in 100 \(\d+ to \d+\)")).first.is_visible()
    assert v.page.locator("p:visible", has_text="non-commercial research").count() == 1
    v.shot("about")
    v.check()


@pytest.mark.parametrize("size", WIDTHS)
def test_every_tab_in_the_dark(browser: Any, served: str, size: str) -> None:
    width, height = WIDTHS[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark")
    v = Visit(context.new_page(), size)
    v.page.goto(served)
    v.example("Admiral")
    v.page.get_by_role("heading", name="1 face found").wait_for()
    v.shot("dark")
    v.check()
    for tab, there in (("Morph", ".ff-canvas[data-frame]"), ("Edit", "#edit-ages img"), ("About", ".ff-errors")):
        v.tab(tab)
        v.page.locator(f"{there}:visible").first.wait_for()
        v.shot(f"dark-{tab.lower()}")
        v.check()
    context.close()
