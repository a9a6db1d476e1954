"""What the demo's memory holds of visits, and for how long."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facefeat_demo import visits
from facefeat_demo.visits import AWAY, UNREAD, Visits, few_arenas, forget_names, held, return_memory


class Page:
    """Of a Gradio page what it keeps of sessions."""

    def __init__(self, *sessions: str, size: int = 1000) -> None:
        self._queue = SimpleNamespace(
            pending_messages_per_session=dict.fromkeys(sessions, "a queue"),
            pending_event_ids_session={s: set() for s in sessions},
            event_ids_to_events={},
            active_jobs=[None],
        )
        values = {s: SimpleNamespace(state_data={1: np.zeros(size, "uint8")}) for s in sessions}
        self.state_holder = SimpleNamespace(session_data=values)

    @property
    def states(self) -> list[str]:
        return list(self.state_holder.session_data)

    @property
    def answers(self) -> list[str]:
        return list(self._queue.pending_messages_per_session)


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers nothing."""


def visits_of(page: Page) -> Visits:
    made = Visits(nobody, lambda: page)
    made.sweep(0)
    return made


def ask(made: Visits, path: str) -> None:
    asyncio.run(made({"type": "http", "path": path}, nobody, nobody))  # type: ignore[arg-type]


def test_a_request_without_a_page_is_forgotten_soon() -> None:
    page = Page("one")
    made = visits_of(page)
    made.sweep(UNREAD - 1)
    assert page.states == page.answers == ["one"]
    made.sweep(UNREAD)
    assert page.states == page.answers == list(page._queue.pending_event_ids_session) == []


def test_work_keeps_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page("waits", "runs")
    made = visits_of(page)
    page._queue.event_ids_to_events = {"e": SimpleNamespace(session_hash="waits")}
    page._queue.active_jobs = [None, [SimpleNamespace(session_hash="runs")]]
    made.sweep(10 * AWAY)
    assert page.states == page.answers == ["waits", "runs"]
    page._queue.event_ids_to_events, page._queue.active_jobs = {}, []
    made.sweep(10 * AWAY + UNREAD - 1)
    assert page.answers == ["waits", "runs"]
    made.sweep(10 * AWAY + UNREAD)
    assert page.states == page.answers == []


def test_an_open_page_keeps_its_faces_and_a_closed_one_for_some_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    page, clock = Page("here"), [0.0]
    monkeypatch.setattr(visits.time, "monotonic", lambda: clock[0])
    seen: list[list[str]] = []

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        made.sweep(5 * AWAY)
        seen.append(page.states)
        clock[0] = 5 * AWAY

    made = Visits(stream, lambda: page)
    ask(made, "/gradio_api/heartbeat/here")
    made.sweep(6 * AWAY - 1)
    seen.append(page.states)
    assert seen == [["here"], ["here"]] and page.answers == []
    made.sweep(6 * AWAY)
    assert page.states == []


def test_all_faces_together_have_a_limit_and_the_least_recent_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "MOST", 2500)
    page = Page("a", "b", "c", "d")
    page._queue.event_ids_to_events = {"e": SimpleNamespace(session_hash="a")}
    visits_of(page)
    assert page.states == ["a", "d"]  # a is at work


def test_the_size_of_a_state_is_that_of_its_arrays() -> None:
    @dataclass
    class Face:
        crop: Any
        name: str = "abc"

    value = {"crops": np.zeros((2, 3), "float32"), "faces": [Face(np.zeros(5, "uint8"))], "more": (b"12", None, 7)}
    assert held(value) == 24 + 5 + 3 + 2


def test_names_of_deleted_files_go(tmp_path: Path) -> None:
    there = tmp_path / "there.jpg"
    there.write_bytes(b"1")
    names = {str(there), str(tmp_path / "gone.jpg")}
    page = SimpleNamespace(upload_file_set=set(names), blocks={1: SimpleNamespace(temp_files=set(names)), 2: object()})
    forget_names(page)
    assert page.upload_file_set == page.blocks[1].temp_files == {str(there)}


def test_a_page_that_keeps_nothing_known_is_left_alone() -> None:
    made = Visits(nobody, lambda: None)
    ask(made, "/")
    Visits(nobody, lambda: object()).sweep(0)


def test_glibc_is_asked_for_few_arenas_unless_somebody_has_said_how_many() -> None:
    code = "from facefeat_demo.visits import few_arenas; print(few_arenas())"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=clean | more, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, {"MALLOC_ARENA_MAX": "4"})
    ]
    names = getattr(os, "confstr_names", {})
    glibc = "CS_GNU_LIBC_VERSION" in names and str(os.confstr("CS_GNU_LIBC_VERSION")).startswith("glibc")
    assert said == [f"{glibc}\n", "False\n"]


def test_another_system_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)

    def unknown(name: str) -> str:
        raise ValueError(name)

    monkeypatch.setattr(visits.os, "confstr", unknown, raising=False)
    assert few_arenas() is False
    return_memory()
