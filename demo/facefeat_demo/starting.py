"""The page while the demo starts: the first answer, on the port that Gradio, which takes seconds to import, gets later.

The page looks as Gradio's first look does (`facefeat_demo.early`), and is loaded again when the demo has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from facefeat_demo.early import ABOUT
from facefeat_demo.header import HEADER, TABS, TITLE, label_of

_STATIC = Path(__file__).resolve().parent / "static"
STATE = "x-facefeat-starting"
"""The header of what is answered meanwhile: "0" before the first answer is there, then "1". Gradio has none. The page
asks for it by the same header."""
_WAIT = 3.0  # seconds for which a page is held until it has its answer: a browser shows that it waits
_PATIENCE = 10.0  # seconds for a request that does not end


class Starting:
    """What is answered until the demo has started. Its methods may be called by any thread."""

    def __init__(self) -> None:
        self._answer = ""
        self._there = threading.Event()
        self._read: Callable[[bytes], str] | None = None
        self._largest = 0
        self._one, self._reading = threading.Lock(), threading.Lock()

    def show(self, answer: str, read: Callable[[bytes], str] | None = None, largest: int = 0) -> None:
        """The HTML of the first answer, from now on part of the page.

        read: the HTML for the bytes of a photo, called by one thread at a time until `rest`. largest: bytes of a photo.
        """
        self._answer, self._read, self._largest = answer, read, largest
        self._there.set()

    def rest(self) -> None:
        """No more photos are read, and none is being read: the model is needed elsewhere."""
        with self._reading:
            self._read = None

    def take(self, size: int, receive: Callable[[int], bytes]) -> tuple[HTTPStatus, str]:
        """The status and the HTML for a photo of so many bytes, which `receive` gives; one photo at a time."""
        if not 0 < size <= self._largest:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ""
        if not self._one.acquire(blocking=False):
            return HTTPStatus.SERVICE_UNAVAILABLE, ""
        try:
            photo = receive(size)
            with self._reading:
                if self._read is None or len(photo) < size:
                    return HTTPStatus.SERVICE_UNAVAILABLE, ""
                return HTTPStatus.OK, self._read(photo)
        finally:
            self._one.release()

    @property
    def state(self) -> str:
        """The value of the header STATE."""
        return "1" if self._there.is_set() else "0"

    def page(self, wait: float = 0) -> tuple[str, bytes]:
        """The state, and the page as it is in that state, in UTF-8. wait: seconds, at most, for the first answer."""
        self._there.wait(wait)
        state = self.state
        return state, _page(self._answer, state).encode()


def _page(answer: str, state: str) -> str:
    style, look, again, css = (
        (_STATIC / name).read_text("utf-8") for name in ("early.css", "early.js", "starting.js", "style.css")
    )
    parts: list[dict[str, Any]] = [{"type": "html", "props": {"elem_classes": ["ff-top"], "value": HEADER}}]
    parts += [{"type": "tabitem", "props": {"id": tab, "label": label_of(tab)}} for tab in TABS]
    parts += [{"type": "html", "props": {"elem_id": "classify-result", "value": answer}}]
    # As Gradio writes it into its page; no text may end the script.
    config = json.dumps({"components": parts, "css": css, "starting": state}).replace("<", "\\u003c")
    icon = '<link rel="icon" href="data:,">'  # else a browser asks for one, too early
    about = f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{TITLE}</title>{ABOUT}{icon}'
    scripts = "".join(f"<script>{s}</script>" for s in (f"window.gradio_config = {config};", look, again))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{about}<style>{style}</style></head>'
        f'<body><div id="ff-shell"></div>{scripts}</body></html>'
    )


@contextlib.contextmanager
def answered(host: str, port: int) -> Iterator[tuple[Starting, Callable[[], None]]]:
    """A page on host and port for the length of a block, and what ends it, so that another program may have the port.

    Raises OSError where the port cannot be had.
    """
    starting = Starting()
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    kind = type("Server", (_Server,), {"address_family": family})
    server: ThreadingHTTPServer = kind(address[:2], partial(_Handler, starting))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="facefeat-demo-starting", daemon=True)
    thread.start()
    ended = threading.Lock()

    def end() -> None:
        if ended.acquire(blocking=False):
            server.shutdown()
            server.server_close()
            thread.join()

    try:
        yield starting, end
    finally:
        end()


class _Server(ThreadingHTTPServer):
    """Ends at once, whoever is still being answered. On Windows that option would share a port with others."""

    daemon_threads, block_on_close = True, False
    allow_reuse_address = os.name == "posix"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who went away is nothing to tell."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers browsers that open the page, and the page's own questions. Nobody else gets an answer, as if nobody
    listened: programs that wait for the demo must not take this for it."""

    timeout = _PATIENCE
    server_version, sys_version = "facefeat", ""

    def __init__(self, starting: Starting, *args: Any) -> None:
        self._starting = starting
        super().__init__(*args)

    def do_GET(self) -> None:
        """As of BaseHTTPRequestHandler."""
        if not self.path.partition("?")[0].strip("/") and "text/html" in self.headers.get("Accept", ""):
            state, page = self._starting.page(_WAIT)
            self._send(HTTPStatus.OK, state, page)

    def do_HEAD(self) -> None:
        """As of BaseHTTPRequestHandler."""
        if STATE in self.headers:
            self._send(HTTPStatus.OK, self._starting.state, b"")

    def do_POST(self) -> None:
        """A photo, from the page: other sites cannot send its header. As of BaseHTTPRequestHandler."""
        length = self.headers.get("Content-Length", "")
        if not self.path.partition("?")[0].strip("/") and STATE in self.headers and length.isdecimal():
            status, answer = self._starting.take(int(length[:12]), self.rfile.read)
            self.close_connection = True  # what was not read of a photo is no request
            self._send(status, self._starting.state, answer.encode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """No answer to what is no such request, either."""
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Who opens the page is nothing to tell."""

    def _send(self, status: HTTPStatus, state: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header(STATE, state)
        self.end_headers()
        self.wfile.write(body)
