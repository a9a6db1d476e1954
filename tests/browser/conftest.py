"""Chromium, and the demo to drive with it: as a person sees it, at a desktop's and at a phone's width.

FACEFEAT_SCREENSHOTS names a folder for pictures of every tab. CHROMIUM names the browser where it has another name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import WIDTHS, Visit, chromium
from PIL import Image

from demo_preset import preset_with_decoder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """What starts browsers: one in a thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Any) -> Iterator[Any]:
    """A headless Chromium, as of `driving.chromium`."""
    with chromium(playwright) as started:
        yield started


# Gradio's upload folder is a variable of the process: the page that was started last has it. So pages of other models
# last for one test, and come after what else the test asked for.
@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of the demo with the bundled preset."""
    from facefeat_demo.server import Settings, running

    with running(Settings()) as page:
        yield page.local_url


@pytest.fixture
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo with a tiny model that has a decoder, whose folder visitors may choose from."""
    from facefeat_demo.server import Settings, running

    folder = tmp_path_factory.mktemp("presets")
    with running(Settings(preset=str(preset_with_decoder(folder / "drawing", 64)), allow_presets=folder)) as page:
        yield page.local_url


@pytest.fixture
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo with a tiny model that has no decoder."""
    from facefeat_demo.server import Settings, running

    folder = tmp_path_factory.mktemp("plain")
    preset = preset_with_decoder(folder / "plain", 64, decoder=False)
    with running(Settings(preset=str(preset)), detector="whole-image") as page:
        yield page.local_url


@pytest.fixture(params=WIDTHS)
def visit(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Visit]]:
    """Opens an address; everything about it is closed afterwards."""
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)

    def go(url: str) -> Visit:
        made = Visit(context.new_page(), request.param)
        made.page.goto(url)
        if url != "about:blank":
            made.page.wait_for_function("document.querySelector('#tabs') && !document.querySelector('#ff-shell')")
            made.page.get_by_role("heading", name="facefeat", exact=True).wait_for()
        return made

    yield go
    context.close()


@pytest.fixture
def two_people(repo: Path, tmp_path: Path) -> Path:
    """A photo with two faces."""
    portrait = Image.open(repo / "docs" / "assets" / "portrait.jpg").convert("RGB")
    both = Image.new("RGB", (2 * portrait.width, portrait.height))
    both.paste(portrait, (0, 0))
    both.paste(portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (portrait.width, 0))
    both.save(tmp_path / "two.jpg", quality=92)
    return tmp_path / "two.jpg"
