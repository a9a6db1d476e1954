"""What the page has from its first byte on: a style, and a first look at its answer; Gradio's script comes later."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from facefeat_demo.header import TITLE
from facefeat_demo.limits import Message, Receive, Send

_STATIC = Path(__file__).resolve().parent / "static"
_OTHERS = re.compile(rb'\s*<meta\s+(?:property="og:|name="twitter:)[^>]*>')
"""What Gradio says about itself where somebody shares a link to the page; its picture lies on another site."""
ABOUT = '<meta name="description" content="Show me a face. I will guess, and show you how sure I am.">'


class Early:
    """ASGI middleware: puts a style at the end of the head of the page, and the first look at the start of its body."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        style, script = ((_STATIC / name).read_text("utf-8") for name in ("early.css", "early.js"))
        self._app, self._style = app, f"{ABOUT}<style>{style}</style></head>".encode()
        self._look = f'<div id="ff-shell"></div><script>{script}</script><gradio-app'.encode()

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
            body = _OTHERS.sub(b"", bytes(held))
            if b"<title>" not in body:  # Gradio's script sets it
                body = body.replace(b"</head>", f"<title>{TITLE}</title></head>".encode(), 1)
            body = body.replace(b"</head>", self._style, 1)
            body = body.replace(b"<gradio-app", self._look, 1)
            others = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            await send({**start, "headers": [*others, (b"content-length", str(len(body)).encode())]})
            await send({**message, "body": body})

        await self._app(scope, receive, add)


def _is_html(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(k.lower() == b"content-type" and v.startswith(b"text/html") for k, v in headers)
