"""The demo as a visitor feels it: `python benchmarks/demo.py [--rounds 20] [--preset NAME|FOLDER]`.

Starts `facefeat demo` and asks it over its address: by gradio_client, and in Chromium as a person would. The demo, the
client and the browser share two CPU cores, whatever the machine has. Wants an idle machine, `pip install
'.[demo,browser]'` and a Chromium (on Debian: apt-get install chromium; CHROMIUM has its name where it has another).
Prints the machine and versions, then a row for each figure: what is asked of it, its median, and the slowest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from PIL import Image

PORTRAIT = Path(__file__).resolve().parent.parent / "docs" / "assets" / "portrait.jpg"
CORES, SIDE = 2, 1000
PHOTO_LIMIT, START_LIMIT, SLIDER_LIMIT = 0.5, 3.0, 0.06
"""Seconds that are asked for."""
PATIENCE = 300
"""Seconds until a demo that does not answer is given up."""

# Waits for the next event of a slider, and then until the picture that it moves has been painted anew.
WATCH = """
([slider, moved, name]) => {
  const state = () => { const at = document.querySelector(moved); return at && (at.dataset[name] ?? at[name]); };
  const was = state();
  window.benchMoved = new Promise((done) => {
    document.querySelector(slider).addEventListener('input', () => {
      const start = performance.now();
      const painted = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
      const seen = new MutationObserver(() => {
        if (state() === was) return;
        seen.disconnect();
        // A picture that another takes the place of meanwhile cannot be decoded: then that one is waited for.
        const shown = () => {
          const at = document.querySelector(moved);
          if (at.decode) at.decode().then(painted, () => setTimeout(shown)); else painted();
        };
        shown();
      });
      seen.observe(document.body, { subtree: true, childList: true, attributes: true });
    }, { capture: true, once: true });
  });
}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--preset", help="another model than the bundled one")
    args = parser.parse_args()
    cores = pin()
    print(
        f"{os.cpu_count()} cores, of which {cores} are used, {platform.machine()}, Python {platform.python_version()}"
    )
    packages = ("facefeat", "onnxruntime", "gradio", "gradio_client", "numpy", "pillow")
    print(", ".join(f"{p} {version(p)}" for p in packages), flush=True)
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        photos = megapixels(Path(folder), args.rounds + 2)
        with serving(args.preset) as (url, began):
            print("what | asked | median | slowest")
            if chromium is not None:
                for name, limit, seconds in in_browser(chromium, url, photos, args.rounds, began):
                    row(name, limit, seconds)
            until_started(url)
            row("a photo of 1 megapixel, by gradio_client", PHOTO_LIMIT, by_client(url, photos))
    return 0


def pin() -> int:
    """Keep this process, and all that it starts, to two cores; gives how many there are to use."""
    if not hasattr(os, "sched_setaffinity"):  # not on Linux
        return os.cpu_count() or 1
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    return len(os.sched_getaffinity(0))


def row(name: str, limit: float | None, seconds: list[float]) -> None:
    """One line of the table, with times in the unit of their size."""
    said = [f"{1000 * s:.0f} ms" if s < 1 else f"{s:.2f} s" for s in (statistics.median(seconds), max(seconds))]
    asked = "" if limit is None else f"{limit} s" if limit >= 1 else f"{1000 * limit:.0f} ms"
    print(f"{name} | {asked} | {said[0]} | {said[1]}", flush=True)


@contextlib.contextmanager
def serving(preset: str | None) -> Iterator[tuple[str, float]]:
    """The demo in a process of its own: its address, once it answers, and when it began, in `time.perf_counter`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "facefeat", "demo", "--port", str(port), *(["--preset", preset] if preset else [])]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                    break
                if process.poll() is not None or time.perf_counter() - start > PATIENCE:
                    said.seek(0)
                    raise SystemExit(f"the demo did not start: {said.read()}")
                time.sleep(0.02)
            yield url, start
        finally:
            process.terminate()
            process.wait(60)


def until_started(url: str) -> None:
    """Wait until the demo answers programs, too; before, browsers get its first answer."""
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise SystemExit(f"the demo did not answer within {PATIENCE} s")


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Chromium, opened before the demo starts, so that its own start is not counted; None where there is none."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        print("no Chromium is installed: what a person sees was not measured", file=sys.stderr)
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page()
        page.goto("data:text/html,<p>warm</p>")
        page.close()
        yield chromium
        chromium.close()


def megapixels(folder: Path, count: int) -> list[Path]:
    """One portrait at 1000 x 1000 pixels, as files that differ in a corner: none is known from the one before."""
    whole = Image.open(PORTRAIT).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = []
    for i in range(count):
        out.append(folder / f"photo-{i}.jpg")
        whole.paste((41 * i % 256, 97 * i % 256, 0), (0, 0, 16, 16))
        whole.save(out[-1], quality=90)
    return out


def by_client(url: str, photos: list[Path]) -> list[float]:
    """Seconds from a file to its answer, upload and all; the first photo is not counted."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False)
    taken = []
    for photo in photos:
        start = time.perf_counter()
        _, numbers = client.predict(handle_file(str(photo)), api_name="/classify")
        taken.append(time.perf_counter() - start)
        assert numbers["faces"], numbers
    client.close()
    return taken[1:]


def in_browser(
    chromium: Any, url: str, photos: list[Path], rounds: int, began: float
) -> Iterator[tuple[str, float | None, list[float]]]:
    """What a person waits for: name, limit and seconds each. began: when the demo did."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(url, wait_until="commit")
    page.locator(".ff-card:visible").first.wait_for()  # the first look, or the page itself
    seen = time.perf_counter() - began
    yield "from `facefeat demo` to the first card on the screen", START_LIMIT, [seen]
    page.locator("input[type=file]").first.set_input_files(str(photos[-1]))
    page.get_by_role("heading", name="1 face found").first.wait_for()
    seen = time.perf_counter() - began
    yield "from `facefeat demo` to the card of a photo that is chosen at once", START_LIMIT, [seen]
    page.locator("#classify-result").get_by_role("heading", name="1 face found").wait_for()
    page.locator("#ff-shell").wait_for(state="detached")
    seen = time.perf_counter() - began
    yield "from `facefeat demo` to the whole page, with that photo", None, [seen]
    page.wait_for_timeout(5000)  # what the other tabs open with is being made
    yield "a photo of 1 megapixel, from the choice of its file to its card", PHOTO_LIMIT, classified(page, photos)
    open_tab(page, "Edit")
    page.locator("#edit-ages .ff-film").wait_for(state="attached")
    was = page.locator("#edit-before [data-face]").get_attribute("data-face")
    example(page, "Astronaut")
    page.wait_for_function(
        "was => { const film = document.querySelector('.ff-film'), face = document.querySelector('[data-face]'); "
        "return film && face.dataset.face !== was && JSON.parse(film.dataset.film).face === face.dataset.face; }",
        arg=was,
    )
    page.wait_for_timeout(2000)
    for name, number in (("age", 1), ("gender", 2)):
        slider = f"#edit-attribute-{number} input[type=range]"
        # A tenth of the slider there and back.
        seconds = moves(page, slider, "#edit-after img", "src", ["PageDown", "PageUp"], rounds)
        yield f"the slider of {name} of Edit, from the key to the other face on the screen", SLIDER_LIMIT, seconds
    open_tab(page, "Morph")
    for slot, name in enumerate(("Astronaut", "Admiral")):
        example(page, name, slot)
        page.wait_for_function("n => document.querySelectorAll('.ff-strip img').length === n", arg=slot + 2)
    start = time.perf_counter()
    page.get_by_role("button", name="Morph", exact=True).click()
    page.wait_for_function("document.querySelector('.ff-canvas')?.dataset.frame === '0'")
    yield "a morph of 60 pictures, from the press of Morph to its first", None, [time.perf_counter() - start]
    page.get_by_role("button", name="Make a GIF").wait_for()  # until then the demo is at work
    seconds = moves(page, ".ff-slider", ".ff-canvas", "frame", ["ArrowRight"], rounds)
    yield "the slider of Morph, from the key to the other face on the screen", SLIDER_LIMIT, seconds


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def example(page: Any, name: str, slot: int = 0) -> None:
    page.locator("button:visible", has_text=name).nth(slot).click()


def classified(page: Any, photos: list[Path]) -> list[float]:
    """Seconds from the choice of each file until its card is there; the first is not counted."""
    taken = []
    for photo in photos:
        field = page.locator("#classify-photo input[type=file]").first
        field.wait_for(state="attached")
        was = page.locator("#classify-result .ff-photo img").get_attribute("src")
        start = time.perf_counter()
        field.set_input_files(str(photo))
        page.wait_for_function(
            "was => { const at = document.querySelector('#classify-result .ff-answer'); "
            "return at?.querySelector('.ff-card') && at.querySelector('.ff-photo img').src !== was; }",
            arg=was,
        )
        taken.append(time.perf_counter() - start)
        page.wait_for_function("!document.querySelector('#classify-photo img')")
        page.wait_for_timeout(1000)  # until the field is free for the next one
    return taken[1:]


def moves(page: Any, slider: str, moved: str, name: str, keys: list[str], rounds: int) -> list[float]:
    """Seconds from each of some keys on a slider until the picture that it moves has changed on the screen."""
    page.wait_for_timeout(1000)  # Gradio binds a slider a moment after it shows it
    return [_move(page, slider, moved, name, keys[i % len(keys)]) for i in range(rounds + 1)][1:]


def _move(page: Any, slider: str, moved: str, name: str, key: str) -> float:
    page.evaluate(WATCH, [slider, moved, name])
    page.locator(slider).press(key)
    taken = page.evaluate("window.benchMoved") / 1000
    page.wait_for_timeout(100)  # as a hand does; what the server still sends of this move is not the next one's
    return float(taken)


if __name__ == "__main__":
    sys.exit(main())
