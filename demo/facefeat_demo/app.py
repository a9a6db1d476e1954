"""The page: a header, and the tabs."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat_demo.early import Early
from facefeat_demo.header import HEADER, TABS, TITLE, label_of
from facefeat_demo.inputs import fresh, only_files, only_values, own_bounds
from facefeat_demo.limits import MEGABYTE, Gate
from facefeat_demo.photos import Kept
from facefeat_demo.visits import Visits

if TYPE_CHECKING:
    from facefeat_demo.host import Host

STATIC = Path(__file__).resolve().parent / "static"
SESSIONS = 256
"""Visits that are kept in memory, the oldest go first; how long, and how much of it, `facefeat_demo.visits` says."""
_PATIENCE = 20.0  # seconds for which a page waits for its small morph
# On a narrow screen a second row of tabs, not a menu that hides them; an older Gradio has the menu only.
_WRAP: dict[str, Any] = (
    {"overflow_behavior": "wrap"} if "overflow_behavior" in inspect.signature(gr.Tabs).parameters else {}
)


def build(host: Host, most: int = 1000 * MEGABYTE) -> gr.Blocks:
    """The page of a host's model, ready for `launch(**launch_options())`. most: bytes of all visitors' files."""
    kept = Kept(most)
    with gr.Blocks(title=TITLE, analytics_enabled=False) as demo:
        _header(host)
        with gr.Tabs(elem_id="tabs", **_WRAP):
            for tab in TABS:
                with gr.Tab(label_of(tab), id=tab):
                    import_module(f"facefeat_demo.tabs.{tab}").build(host, kept)

        def forget(request: gr.Request) -> None:
            kept.forget(request.session_hash)

        demo.unload(forget)
    only_files(demo)
    only_values(demo)
    own_bounds()
    demo.queue(default_concurrency_limit=4, max_size=64)
    return demo


def _header(host: Host) -> None:
    """The top of the page. Its small morph is made once somebody has opened the page, and comes when it is there."""
    top = fresh(lambda: HEADER + host.moving_picture(), elem_classes="ff-top")

    def moving() -> Any:
        host.opened()
        there = host.moving_picture()
        later = "" if there else host.moving_picture(wait=_PATIENCE)
        return HEADER + later if later else gr.skip()

    gr.on(None, moving, None, top, queue=False, show_progress="hidden", api_visibility="private")


def launch_options() -> dict[str, Any]:
    """How the page looks, and what it must not do: the part of `launch` that is the same wherever it runs."""
    return {
        "allowed_paths": [],
        "state_session_capacity": SESSIONS,
        "theme": theme(),
        "css": (STATIC / "style.css").read_text("utf-8"),
        "head": f"<script>{(STATIC / 'page.js').read_text('utf-8')}</script>",
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "quiet": True,
        "inline": False,
    }


def gate(page: gr.Blocks, folder: Path, most: int, largest: int) -> dict[str, Any]:
    """The part of `launch` that holds visitors to what fits, forgets who is gone, and has its first style in the page.

    folder, most, largest: as of `Gate`.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware

    events: dict[int | str, int] = {}
    for number, fn in page.fns.items():
        # Who asks by a program leaves out what the page itself keeps.
        events[number] = sum(not getattr(block, "stateful", False) for block in fn.inputs)
        if isinstance(fn.api_name, str):
            events[fn.api_name] = events[number]
    held = {"folder": folder, "most": most, "largest": largest, "events": events}
    made = [Middleware(Visits, page=lambda: page), Middleware(Gate, **held)]
    # The page itself is text: a quarter of its size over the line. Pictures and streams of events are left alone.
    made += [Middleware(GZipMiddleware, minimum_size=2000, compresslevel=5), Middleware(Early)]
    return {"max_file_size": largest, "app_kwargs": {"middleware": made}}


def theme() -> gr.themes.Base:
    """Plain, with the system's own fonts: the page fetches nothing from other sites."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
    made = gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=fonts,
        font_mono=mono,
    )
    greys = {"body_background_fill": 50, "body_text_color_subdued": 600, "body_text_color_subdued_dark": 300}
    greys |= {"block_label_text_color": 700, "block_label_text_color_dark": 200, "block_title_text_color": 800}
    return made.set(
        **{name: f"*neutral_{shade}" for name, shade in greys.items()},
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
        color_accent="*primary_600",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )
