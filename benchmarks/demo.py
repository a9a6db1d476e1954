"""How fast the demo answers, as a person in front of it sees it: `python benchmarks/demo.py [--rounds 9]`.

Wants an idle machine, the extras `demo` and `browser`, and Chromium. The demo runs in a process of its own; times are
taken in the page, from the event to the first frame that shows what came of it: a photo of one megapixel, made larger
from an example; the slider of Edit, answered by the server; the slider of Morph, answered in the page.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from PIL import Image

EXAMPLE = Path(__file__).resolve().parent.parent / "demo" / "facefeat_demo" / "examples" / "astronaut.jpg"
SIDE = 1000
PATIENCE = 120_000
# Marks when an event came and when, after it, what the selector finds has changed and been painted.
WATCH = """([event, selector, attribute]) => {
  window.begun = window.ended = null;
  const now = () => {
    const found = document.querySelector(selector);
    return found && (attribute ? found.getAttribute(attribute) : found.innerHTML);
  };
  let was = now();
  document.addEventListener(event, () => { window.begun = performance.now(); was = now(); },
    {capture: true, once: true});
  const observer = new MutationObserver(() => {
    if (window.begun === null || now() === was || !now()) return;
    observer.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => { window.ended = performance.now(); }));
  });
  observer.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
}"""


@contextmanager
def demo() -> Iterator[str]:
    """The address of a demo in a process of its own."""
    with subprocess.Popen([sys.executable, "-m", "facefeat", "demo"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(word for line in process.stdout for word in line.split() if word.startswith("http://127"))
        finally:
            process.terminate()


def timed(page: Any, event: str, selector: str, attribute: str, act: Callable[[], object]) -> float:
    """Milliseconds from the event that `act` causes until what the selector finds has changed and is painted."""
    page.evaluate(WATCH, [event, selector, attribute])
    act()
    page.wait_for_function("window.ended !== null")
    return float(page.evaluate("window.ended - window.begun"))


def photos(folder: Path, count: int) -> list[Path]:
    """Photos of one megapixel that differ in a few pixels, so that nothing can be remembered."""
    whole = Image.open(EXAMPLE).convert("RGB")
    made = []
    for i in range(count):
        picture = whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        picture.paste((i, i, i), (0, 0, 8, 8))
        made.append(folder / f"{i}.jpg")
        picture.save(made[-1], quality=92)
    return made


def measure(page: Any, rounds: int, folder: Path) -> Iterator[tuple[str, list[float]]]:
    """What was done, and the milliseconds of each round; the first of each is not among them."""
    taken = []
    for path in photos(folder, rounds + 1):
        files = page.locator("#classify-photo input[type=file]").first
        choose = partial(files.set_input_files, str(path))
        taken.append(timed(page, "change", "#classify-result .ff-cards", "", choose))
        page.locator("#classify-photo").get_by_role("button", name=re.compile("Clear|Remove")).first.click()
        page.get_by_text("Choose a photo, or try an example").wait_for()
    yield f"a photo of {SIDE * SIDE / 1e6:g} megapixels, chosen and read", taken[1:]

    page.get_by_role("tab", name="Edit", exact=True).click()
    page.locator("button:visible", has_text="Astronaut").first.click()
    page.locator("#edit-after img").wait_for()
    page.wait_for_timeout(1000)
    age = page.locator("#edit-attribute-1 input[type=range]").first
    age.focus()
    taken = []
    for _ in range(rounds + 1):
        taken.append(timed(page, "input", "#edit-after img", "src", lambda: age.press("ArrowRight")))
        page.wait_for_timeout(300)
    yield "the slider of Edit, one step", taken[1:]

    page.get_by_role("tab", name="Morph", exact=True).click()
    for number, name in enumerate(("Astronaut", "Admiral")):
        page.locator("button:visible", has_text=name).nth(number).click()
    page.wait_for_timeout(2000)
    start = "#morph-result .ff-canvas"
    pressed = page.get_by_role("button", name="Morph", exact=True)
    first = timed(page, "click", start, "data-frame", pressed.click)
    slider = page.locator(".ff-slider").first
    slider.focus()
    taken = []
    for _ in range(rounds + 1):
        taken.append(timed(page, "input", start, "data-frame", lambda: slider.press("ArrowRight")))
    yield "the slider of Morph, one step", taken[1:]
    yield "two faces morphed, 60 frames and their curves", [first]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        sys.exit("no Chromium is installed. Next, on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(f"{p} {version(p)}" for p in ("facefeat", "keras", "tensorflow", "gradio")))
    print("what | median | slowest", flush=True)
    with demo() as address, sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.get_by_role("heading", name="facefeat", exact=True).wait_for()
        for what, taken in measure(page, args.rounds, Path(folder)):
            print(f"{what} | {statistics.median(taken):.0f} ms | {max(taken):.0f} ms", flush=True)
        chromium.close()


if __name__ == "__main__":
    main()
