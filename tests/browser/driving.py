"""A visit of the demo: what a person does there, and what must hold wherever one is."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
PATIENCE = 120_000  # milliseconds, for a machine that has much else to do


class Visit:
    """A page in the browser, with what went wrong in it and where it turned to."""

    def __init__(self, page: Any, size: str) -> None:
        self.page, self.size = page, size
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if _here(r.url) else self.elsewhere.append(r.url))

    def tab(self, name: str) -> None:
        """Open a tab, as a person does."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        self.page.wait_for_function(
            "name => [...document.querySelectorAll('[role=tab]')].some("
            "t => t.textContent.trim() === name && t.getAttribute('aria-selected') === 'true')",
            arg=name,
        )

    def example(self, name: str, slot: int = 0) -> None:
        """Press the button of an example; slot: which of several photos it is for."""
        self.page.locator(".ff-examples:visible button", has_text=name).nth(slot).click()

    def upload(self, path: Path, photo: str = "#classify-photo") -> None:
        """Choose a file."""
        self.page.locator(f"{photo} input[type=file]").first.set_input_files(str(path))

    def shot(self, name: str) -> None:
        """A picture of the whole page, where a folder for them was given."""
        folder = os.environ.get("FACEFEAT_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            # Neither a message that is about to go nor a button under the pointer belongs in a picture.
            self.page.wait_for_function("!document.querySelector('.toast-body')")
            self.page.mouse.move(0, 0)
            self.settle()
            self.page.screenshot(path=str(Path(folder) / f"{name}-{self.size}.png"), full_page=True)

    def settle(self) -> None:
        """Wait as long as a person needs to look: what the page shows of an answer comes in several steps."""
        self.page.wait_for_timeout(500)
        # The small morph at the top of the page never ends.
        ended = "a.playState !== 'running' || a.effect.getTiming().iterations === Infinity"
        self.page.wait_for_function(f"document.getAnimations().every(a => {ended})")

    def check(self) -> None:
        """Nothing scrolls sideways, nothing failed, nothing was asked of other sites, and axe finds nothing."""
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= WIDTHS[self.size][0], f"{wide} pixels wide"
        assert self.errors == [] and self.elsewhere == []
        # Gradio's own message boxes nest a button in a button; they go by themselves.
        self.page.wait_for_function("!document.querySelector('.toast-body')")
        self.settle()  # a word that fades in has too little contrast
        from axe_playwright_python.sync_playwright import Axe

        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
        found = Axe().run(self.page, options=rules).response["violations"]
        faults = [f"{v['id']}: {v['help']}: {[n['html'][:300] for n in v['nodes'][:3]]}" for v in found]
        assert faults == [], "\n".join(faults)


def _here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


@contextlib.contextmanager
def chromium(playwright: Any, *switches: str) -> Iterator[Any]:
    """A headless Chromium with these switches; skips where there is none, unless one was named with CHROMIUM."""
    named = os.environ.get("CHROMIUM")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None and named:
        pytest.fail(f"CHROMIUM names {named!r}, and there is no such program")
    if found is None:
        pytest.skip("no Chromium is installed. Next, on Debian: apt-get install chromium")
    started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu", *switches])
    yield started
    started.close()
