"""What the page has from its first byte on. Gradio hands the `head` of a page to its script, which comes later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from facefeat_demo.limits import Message, Receive, Send

STYLE = (
    # Before the page's parts have come, over a slow line, it is not blank.
    "body:not(:has(#tabs))::before{content:'facefeat is loading …';position:fixed;inset:0;z-index:1;"
    "display:grid;place-items:center;font:600 18px system-ui,sans-serif;color:#475569}"
    "@media (prefers-color-scheme:dark){body:not(:has(#tabs))::before{color:#cbd5e1}}"
    ".app>.wrap.default.full{visibility:hidden!important}"
    # Nothing moves when they come: the page has its width, and what comes too early or in pieces is shown when it is in
    # its place (page.js sets data-whole; after four seconds it is shown in any case).
    ".gradio-container{width:100%;max-width:1160px!important;margin:0 auto!important;padding:0 20px 40px!important}"
    ".gradio-container .app{padding:0!important}"
    "@media (max-width:640px){.gradio-container{padding:0 12px 24px!important}}"
    ".gradio-container:not(:has(.ff-header)) #tabs{visibility:hidden}"
    "@keyframes ff-show{to{visibility:visible}}"
    ".tabitem:not([data-whole])>*{visibility:hidden;animation:ff-show 1ms 4s forwards}"
)


class Early:
    """ASGI middleware: puts a style at the end of the head of HTML pages."""

    def __init__(self, app: Callable[..., Awaitable[None]], style: str = STYLE) -> None:
        self._app, self._style = app, f"<style>{style}</style></head>".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or str(scope["path"]).strip("/"):
            await self._app(scope, receive, send)
            return
        start: dict[str, Any] = {}
        held = bytearray()

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_html(message["headers"]):
                start.update(message)
                return
            if not start:
                await send(message)
                return
            held.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            body = bytes(held).replace(b"</head>", self._style, 1)
            others = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            await send({**start, "headers": [*others, (b"content-length", str(len(body)).encode())]})
            await send({**message, "body": body})

        await self._app(scope, receive, add)


def _is_html(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(k.lower() == b"content-type" and v.startswith(b"text/html") for k, v in headers)
