"""What the memory holds of visits: what is over goes soon, and all of them together have a limit. No Gradio here.

Gradio keeps a copy of the page's settings and the values of its states for the last visits, however long they are over,
and for each request of a program without a session an answer queue that nothing ever deletes.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from facefeat_demo.limits import MEGABYTE, Message, Receive, Send

UNREAD = 60.0
"""Seconds that an answer waits for whoever asked."""
AWAY = 600.0
"""Seconds that the faces of a visitor stay who has closed the page, or whose line broke."""
MOST = 400 * MEGABYTE
"""Bytes of all visitors' faces; those of the visitor who was here least recently go first."""
_EVERY = 1.0
_NAMES_EVERY = 300.0
_HEARTBEAT = re.compile(r"/heartbeat/([^/]+)$")
_M_ARENA_MAX = -8  # of glibc's malloc.h


class Visits:
    """ASGI middleware: knows who is here, by the stream that each open page holds, and forgets who is not.

    page: gives the page once it runs. It works inside the event loop, as all of Gradio's own book-keeping does.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], page: Callable[[], Any]) -> None:
        self._app, self._page = app, page
        self._here: dict[str, int] = {}
        self._last: dict[str, float] = {}  # session -> when it was here, or at work, for the last time
        self._seen: set[str] = set()  # of those, the ones that had a page open
        self._next = self._next_names = 0.0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        found = _HEARTBEAT.search(str(scope.get("path", "")))
        session = found[1] if found else None
        if session is not None:
            self._here[session] = self._here.get(session, 0) + 1
        try:
            await self._app(scope, receive, send)
        finally:
            if session is not None:
                self._leave(session)
            now = time.monotonic()
            if now >= self._next and scope["type"] == "http":
                self._next = now + _EVERY
                self.sweep(now)

    def _leave(self, session: str) -> None:
        self._here[session] -= 1
        if not self._here[session]:
            del self._here[session]
            self._seen.add(session)
            self._last[session] = time.monotonic()

    def sweep(self, now: float) -> None:
        """Drop what is over. now: seconds of the monotonic clock."""
        page = self._page()
        queue = None if page is None else getattr(page, "_queue", None)
        states = getattr(getattr(page, "state_holder", None), "session_data", None)
        if queue is None or states is None:
            return
        unread, ids = queue.pending_messages_per_session, queue.pending_event_ids_session
        at_work = {event.session_hash for event in list(queue.event_ids_to_events.values())}
        at_work |= {event.session_hash for job in queue.active_jobs for event in job or ()}
        known = {*unread, *ids, *states}
        for session in known:
            if session in self._here or session in at_work:
                self._last[session] = now
            age = now - self._last.setdefault(session, now)
            if age >= UNREAD:
                unread.pop(session, None)
                ids.pop(session, None)
            if age >= (AWAY if session in self._seen else UNREAD):
                self._drop(states, session)
        self._bound(states, at_work)
        for session in [s for s in self._last if s not in known]:
            del self._last[session]
            self._seen.discard(session)
        if now >= self._next_names:
            self._next_names = now + _NAMES_EVERY
            forget_names(page)

    def _bound(self, states: Any, at_work: set[str]) -> None:
        """Hold the faces of all visits to MOST bytes."""
        sizes = {session: held(state.state_data) for session, state in states.items()}
        total = sum(sizes.values())
        for session, size in sizes.items():  # the least recent first
            if total <= MOST:
                return
            if size and session not in at_work:
                self._drop(states, session)
                total -= size

    @staticmethod
    def _drop(states: Any, session: str) -> None:
        states.pop(session, None)


def held(value: Any, deep: int = 6) -> int:
    """Bytes of the arrays in a value, down to some depth."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, bytes | str):
        return len(value)
    if deep == 0:
        return 0
    if isinstance(value, Mapping):
        return sum(held(v, deep - 1) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(held(v, deep - 1) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return sum(held(getattr(value, f.name, None), deep - 1) for f in dataclasses.fields(value))
    return 0


def forget_names(page: Any) -> None:
    """Drop the names of deleted files, of which Gradio keeps a list that only grows."""
    for names in (getattr(page, "upload_file_set", None), *_temp_files(page)):
        if isinstance(names, set):
            names.difference_update([name for name in names if not os.path.exists(name)])


def _temp_files(page: Any) -> list[Any]:
    return [getattr(block, "temp_files", None) for block in getattr(page, "blocks", {}).values()]


def few_arenas() -> bool:
    """Have glibc take memory from two places for all threads, not from one for each. Returns whether it was asked.

    Arrays of a photo are large and short-lived, and come from many threads in turn. Each place keeps what it had at
    most, between small objects that live on. No other C library is asked, nor one that was told by its own variables.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    libc = _glibc()
    return libc is not None and libc.mallopt(_M_ARENA_MAX, 2) == 1


def return_memory() -> None:
    """Have glibc give back to the system what is free: some milliseconds, and as many megabytes as a burst took."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    """The C library, where it is glibc; else None."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # another system, or another C library
        if str(os.confstr("CS_GNU_LIBC_VERSION")).startswith("glibc"):
            return ctypes.CDLL(None)
    return None
