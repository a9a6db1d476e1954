"""Every event of the demo, given values that no page of ours sends; and requests that never end."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from hostile.case import SECONDS, Case
from hostile.pictures import encoded
from hostile.visitors import Page, photo, tracebacks

RAW = {
    "null": "null",
    "nan": "NaN",
    "infinity": "-Infinity",
    "huge": "1e308",
    "negative": "-1",
    "integer": "9" * 300,
    "bool": "true",
    "text": '"x"',
    "text-nul": '"a\\u0000b"',
    "text-surrogate": '"\\ud800"',
    "text-long": json.dumps("y" * 200_000),
    "markup": '"<script>alert(1)</script>\\u001b[2J"',
    "utf-16": '"\\udbff\\u0041 \\udc00"',
    "list": "[[], [null, NaN, 1e308]]",
    "object": '{"x": NaN, "y": -1e308, "index": -1, "value": {}, "picture": 7, "kind": [], "path": null, "url": 3}',
    "deep": "[" * 90 + "]" * 90,
}


def send(page: Page, events: Iterable[tuple[int, str]], session: str) -> str:
    """What events answer to lists of values, as JSON: all in one visit."""
    import httpx

    said, head, open_ones = [], {"content-type": "application/json"}, 0
    for event, data in events:
        body = f'{{"fn_index": {event}, "data": {data}, "session_hash": "{session}", "event_data": null}}'
        answer = httpx.post(f"{page.url}gradio_api/queue/join", content=body, headers=head, timeout=SECONDS)
        said.append(answer.text)
        open_ones += answer.status_code == 200
    if open_ones:
        listen, heard = {"session_hash": session}, httpx.Timeout(SECONDS, read=4.0)
        with (
            contextlib.suppress(httpx.ReadTimeout),  # some events answer nothing
            httpx.stream("GET", f"{page.url}gradio_api/queue/data", params=listen, timeout=heard) as lines,
        ):
            for line in lines.iter_lines():
                said.append(line)
                if "close_stream" in line or "unexpected_error" in line:
                    break
    return "\n".join(said)


def known(page: Page) -> list[Any]:
    """The events of the page that its Python answers."""
    import httpx

    found = httpx.get(f"{page.url}config", timeout=SECONDS).json()["dependencies"]
    return [event for event in found if event["backend_fn"]]


def cases() -> list[Case]:
    """See the module; a command takes the Page."""
    out: list[Case] = []

    def add(name: str, command: Callable[[Page], Any]) -> None:
        def checked(page: Page) -> None:
            before = len(tracebacks(page, everybody=True))
            command(page)
            found = tracebacks(page, everybody=True)[before:]
            assert not found, f"{len(found)} tracebacks; the first: {found[0][-900:]}"

        out.append(Case("visitors", name, lambda f: None, checked))  # type: ignore[arg-type]

    def everywhere(name: str, value: str) -> Callable[[Page], None]:
        def command(page: Page) -> None:
            events = ((e["id"], "[" + ", ".join([value] * len(e["inputs"])) + "]") for e in known(page))
            answer = send(page, events, f"e-{name}")
            assert "root:x:0" not in answer and "Traceback" not in answer, answer[-300:]

        return command

    for name, value in RAW.items():
        add(f"every-event-{name}", everywhere(name, value))

    def counts(page: Page) -> None:
        lists = ("[]", "null", "{}", '"x"', "[" + "null," * 300 + "null]", "7")
        send(page, ((event["id"], data) for event in known(page)[:12] for data in lists), "counts")

    add("every-event-counts", counts)

    join = '{"fn_index": 0, "data": ["%s"], "session_hash": "%s"}'
    for name, body in {
        "utf-16": (join % ("\ud800", "b")).encode("utf-16", "surrogatepass"),
        "utf-16-hidden": (join % ("\ud800\x80", "b")).encode("utf-16-le", "surrogatepass"),
        "utf-32": (join % ("x", "b")).encode("utf-32"),
        "raw-surrogate": (join % ("\ud800", "b")).encode("utf-8", "surrogatepass"),
        "session": (join % ("x", "\\udc80")).encode(),
        "session-number": b'{"fn_index": 0, "data": [], "session_hash": 7}',
        "latin": (join % ("\xe9", "b")).encode("latin-1"),
        "numbers": b"[" + b"9" * 900_000 + b"]",
        "deep-surrogate": b"[" * 100_000 + b'"\\ud800"' + b"]" * 100_000,
        "session-data": b'{"event_data": "\\udfff", "fn_index": 0, "data": [], "session_hash": "b"}',
        "trigger": b'{"trigger_id": -1, "batched": true, "fn_index": -1, "data": [], "session_hash": "b"}',
    }.items():

        def posted(page: Page, body: bytes = body) -> None:
            import httpx

            head = {"content-type": "application/json"}
            for path in (
                "queue/join",
                "run/predict",
                "call/classify",
                "reset",
                "cancel",
                "component_server",
                "heartbeat",
            ):
                answer = httpx.post(f"{page.url}gradio_api/{path}", content=body, headers=head, timeout=SECONDS)
                assert answer.status_code < 600 and "Traceback" not in answer.text, answer.text[:300]

        add(f"body-{name}", posted)

    def streams(page: Page) -> None:
        """Sixty listeners that never read, and twenty heads that never end; the page answers all the same."""
        port = int(page.url.rsplit(":", 1)[1].strip("/"))
        with contextlib.ExitStack() as open_ones:
            for number in range(80):
                one = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
                line = f"GET /gradio_api/queue/data?session_hash=s{number} HTTP/1.1\r\nHost: x\r\n"
                one.sendall(line.encode() + (b"\r\n" if number < 60 else b"X-A: "))
            answer = page.classify(photo(page.upload(encoded("png", "RGB"))))
            assert "complete" in answer, answer[:300]

    add("streams-left-open", streams)

    def joins(page: Page) -> None:
        import httpx

        def flood(number: int) -> None:
            with contextlib.suppress(httpx.HTTPError):
                for i in range(20):
                    body = {"fn_index": 0, "data": [], "session_hash": f"j{number}-{i}"}
                    httpx.post(f"{page.url}gradio_api/queue/join", json=body, timeout=SECONDS)

        threads = [threading.Thread(target=flood, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        began = time.monotonic()
        httpx.get(page.url, timeout=SECONDS).raise_for_status()
        assert time.monotonic() - began < 30

    add("joins-200", joins)

    def head(name: str, request: bytes) -> None:
        def command(page: Page) -> None:
            port = int(page.url.rsplit(":", 1)[1].strip("/"))
            client = socket.create_connection(("127.0.0.1", port), timeout=20)
            with client, contextlib.suppress(OSError):
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass

        add(f"request-{name}", command)

    head("none", b"\0" * 5000)
    head("headers", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n")
    head("header-long", b"GET / HTTP/1.1\r\nCookie: " + b"x" * 3_000_000 + b"\r\n\r\n")
    head("length-negative", b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")
    head("length-huge", b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\nx")
    head("length-twice", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")
    head("chunks", b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nx")
    head("socket", b"GET /gradio_api/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    head("host", b"GET / HTTP/1.1\r\nHost: \x1b[2J\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: x\r\n\r\n")
    head("language", b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Language: " + b"de;q=nan," * 5000 + b"\r\n\r\n")
    return out
