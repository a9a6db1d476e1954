"""What visitors may send and leave: a visitor must fill neither the disk, the memory nor the log of the machine.

No Gradio.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from facefeat import InputError

MEGABYTE = 1024 * 1024
FULL = "This page holds as many files as it may. They are deleted within 65 minutes; please try again later."
_BLOCK = 4096  # what the smallest file takes on a disk
_FORM = MEGABYTE  # all that a page sends besides files is far smaller
_ENVELOPE = 64 * 1024  # of an upload, around its file
_ABANDONED = 600  # seconds without a byte
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BY_NAME = re.compile(r"/(run|api|call|call/v2)/[^/]+$")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def taken(folder: str | Path) -> int:
    """Bytes that the files under a folder take."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # deleted meanwhile
                total += max(_BLOCK, os.lstat(os.path.join(at, name)).st_size)
    return total


def check_room(folder: str | Path, most: int) -> None:
    """Raises InputError, with a sentence for the page, where the files under a folder take `most` bytes already."""
    if taken(folder) >= most:
        raise InputError(FULL)


def tidy(folder: str | Path) -> None:
    """Delete what interrupted uploads left: files at the top of the folder that are no longer written to.

    Gradio moves an upload into a folder of its own when it is whole, and forgets those that never are.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False) and time.time() - entry.stat().st_mtime > _ABANDONED:
                    os.unlink(entry.path)


class Gate:
    """ASGI middleware: turns away uploads that are too large or find no room, and other requests of such a size.

    folder: of the uploads. most: bytes of all files in it. largest: bytes of one file. events: the page's, by number
    and by name, each with how many values it takes.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        folder: Path,
        most: int,
        largest: int,
        events: Mapping[int | str, int] | None = None,
    ) -> None:
        self._app, self._folder, self._most, self._largest, self._events = app, folder, most, largest, events
        self._coming = 0  # bytes of the uploads that are under way

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        path = str(scope.get("path", "")).rstrip("/")
        if scope["type"] == "http" and path.endswith("/deep_link"):
            await _answer(send, 404, "Not here.")  # it would write a session into a file, for no use of this page
        elif scope["type"] == "http" and path.endswith("/queue/data"):
            await self._listen(scope, receive, send)
        elif scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
        elif (length := _length(scope["headers"])) is None:
            await _answer(send, 411, "The request needs a Content-Length.")
        elif path.endswith("/upload"):
            await self._upload(length, scope, receive, send)
        elif length > _FORM:
            await _answer(send, 413, "This is more than the page takes.")
        elif _header(scope["headers"], b"content-type").startswith(b"multipart/"):
            await self._app(scope, receive, send)
        else:
            await self._values(path, scope, receive, send)

    async def _values(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        """A request of JSON. Text that is no Unicode would end the answer, and fill the log with a traceback."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = bool(message.get("more_body"))
        if not _is_unicode(bytes(body)):
            await _answer(send, 400, "The request is no text in UTF-8.")
            return
        if self._events is not None and not _is_event(path, bytes(body), self._events):
            await _answer(send, 404, "The page has no such event. Please reload it.")
            return
        first: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, again, send)

    async def _listen(self, scope: Message, receive: Receive, send: Send) -> None:
        """The answers of a visit. Gradio tells a listener in its stream that the visit is over, and raises as well."""
        try:
            await self._app(scope, receive, send)
        except Exception as e:
            if not _is_over(e):
                raise
            await send({"type": "http.response.body", "body": b""})

    async def _upload(self, length: int, scope: Message, receive: Receive, send: Send) -> None:
        if length > self._largest + _ENVELOPE:
            most = self._largest // MEGABYTE
            await _refuse(receive, send, f"This file is too large. Up to {most} MB can be read.", 4 * self._largest)
            return
        self._coming += length  # before the folder is looked at: others may come meanwhile
        broken = False

        async def heard() -> Message:
            nonlocal broken
            message = await receive()
            broken = broken or message["type"] == "http.disconnect"
            return message

        try:
            await asyncio.to_thread(tidy, self._folder)
            if await asyncio.to_thread(taken, self._folder) + self._coming > self._most:
                await _refuse(receive, send, FULL, length)
            else:
                await self._app(scope, heard, send)
        except ClientDisconnect:
            broken = True  # nobody is there to be answered, and a traceback would only fill the log
        finally:
            self._coming -= length
            if broken:
                asyncio.get_running_loop().call_later(_ABANDONED + 1, tidy, self._folder)


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((v.strip().lower() for k, v in headers if k.lower() == name), b"")


def _is_unicode(body: bytes) -> bool:
    """Whether a body of JSON is UTF-8, with no half of a surrogate pair in its texts."""
    try:
        body.decode("utf-8")
        if _SURROGATE.search(body):
            json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        return False
    except (ValueError, RecursionError):
        return True  # what is no JSON is refused by who reads it
    return b"\0" not in body  # UTF-16 and UTF-32, which readers of JSON guess


def _is_event(path: str, body: bytes, events: Mapping[int | str, int]) -> bool:
    """Whether a request that names an event of the page has its values. What it lacks otherwise, Gradio says.

    Gradio gives several visitors' events to one function at once, and too few values of one would fail all of them.
    """
    by_name, name = _BY_NAME.search(path), path.rpartition("/")[2]
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return True
    number = said.get("fn_index") if isinstance(said, dict) else None
    if by_name and number is None and name not in events:
        return False  # Gradio would answer with an error of its own, and a traceback in the log
    if not isinstance(said, dict) or not isinstance(said.get("data"), list):
        return True
    if number is None:
        number = name if name in events else None
    if number is None:
        return True
    known = isinstance(number, int | str) and number in events
    return known and len(said["data"]) >= events[number] and not said.get("batched")


def _is_over(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, HTTPException):
        error = error.__cause__
    return error is not None and error.status_code == 404


def _length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The length of a request's body; None where it is not said."""
    said = {name.lower(): value for name, value in headers}
    if b"transfer-encoding" in said:
        return None
    try:
        return int(said.get(b"content-length", b"0"))
    except ValueError:
        return None


async def _refuse(receive: Receive, send: Send, text: str, most: int) -> None:
    """Read a request to its end, up to `most` bytes, before refusing it: a browser that is cut off shows no message."""
    heard, more = 0, True
    while more and heard < most:
        message = await receive()
        heard += len(message.get("body", b""))
        more = bool(message.get("more_body"))
    await _answer(send, 413, text)


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode("utf-8")})
