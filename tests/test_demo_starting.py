"""What the demo's address answers until the demo has started. No model, no Gradio."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator

import httpx
import pytest

from facefeat import InputError
from facefeat_demo import server, starting
from facefeat_demo.header import TABS, TAGLINE
from facefeat_demo.starting import STATE, Starting, answered

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ASKS = {STATE: "0"}  # as the page's script does


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def page(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Starting, Callable[[], None]]]:
    monkeypatch.setattr(starting, "_WAIT", 0.05)
    with answered("127.0.0.1", port) as (shown, end):
        yield f"http://127.0.0.1:{port}", shown, end


def config(html: str) -> dict[str, object]:
    found = re.search(r"window\.gradio_config = (.*?);</script>", html)
    assert found is not None
    return dict(json.loads(found[1]))


def test_the_page_has_its_header_and_tabs_at_once_and_the_first_answer_when_it_is_there(
    page: tuple[str, Starting, Callable[[], None]],
) -> None:
    url, shown, _ = page
    first = httpx.get(url, headers=BROWSER)
    assert first.status_code == 200 and first.headers[STATE] == "0" and first.headers["cache-control"] == "no-store"
    parts = config(first.text)["components"]
    assert isinstance(parts, list)
    assert TAGLINE in parts[0]["props"]["value"]
    assert [p["props"]["id"] for p in parts[1:-1]] == list(TABS)
    shown.show('<p class="ff-card">32</p></script><script>alert(1)</script>')
    then = httpx.get(f"{url}/?tab=morph", headers=BROWSER)
    assert then.headers[STATE] == "1" and "<script>alert" not in then.text
    parts = config(then.text)["components"]
    assert isinstance(parts, list) and parts[-1]["props"]["value"].startswith('<p class="ff-card">32</p></script>')


def test_a_page_that_is_asked_for_early_waits_for_the_first_answer() -> None:
    shown = Starting()
    threading.Timer(0.05, shown.show, ["<p>32</p>"]).start()
    state, page = shown.page(wait=30)
    assert state == "1" and b"32" in page


def test_the_page_learns_the_state_by_a_header(page: tuple[str, Starting, Callable[[], None]]) -> None:
    url, shown, _ = page
    first = httpx.head(url, headers=ASKS)
    assert first.headers[STATE] == "0" and first.content == b""
    shown.show("<p>32</p>")
    assert httpx.head(f"{url}/?tab=edit", headers=ASKS).headers[STATE] == "1"


def test_programs_get_no_answer_so_that_none_takes_it_for_the_demo(
    page: tuple[str, Starting, Callable[[], None]],
) -> None:
    url, shown, _ = page
    shown.show("<p>32</p>")
    for method, path, headers in (
        ("GET", "", {}),
        ("HEAD", "", {}),
        ("GET", "/config", BROWSER),
        ("POST", "/gradio_api/upload", BROWSER),
    ):
        with pytest.raises(httpx.TransportError):
            httpx.request(method, f"{url}{path}", headers=headers)
    with pytest.raises(OSError):
        urllib.request.urlopen(url)
    assert httpx.get(url, headers=BROWSER).status_code == 200


def test_a_photo_is_read_while_the_demo_starts(page: tuple[str, Starting, Callable[[], None]]) -> None:
    url, shown, _ = page
    assert httpx.post(url, headers=ASKS, content=b"photo").status_code == 413  # there is no model yet
    shown.show("<p>32</p>", lambda photo: f"<p>{photo.decode()}</p>", largest=5)
    found = httpx.post(f"{url}/?tab=classify", headers=ASKS, content=b"photo")
    assert (found.status_code, found.text, found.headers[STATE]) == (200, "<p>photo</p>", "1")
    for size, status in ((0, 413), (6, 413), (5, 200)):
        assert httpx.post(url, headers=ASKS, content=b"x" * size).status_code == status
    shown.rest()
    assert httpx.post(url, headers=ASKS, content=b"photo").status_code == 503


def test_only_the_page_can_send_a_photo(page: tuple[str, Starting, Callable[[], None]]) -> None:
    url, shown, _ = page
    shown.show("<p>32</p>", lambda photo: pytest.fail("it was read"), largest=100)
    others = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": STATE, "Origin": "http://a.b"}
    for method, headers in (("POST", BROWSER), ("OPTIONS", others)):
        with pytest.raises(httpx.TransportError):
            httpx.request(method, url, headers=headers, content=b"photo" if method == "POST" else None)
    for length in ("-1", "1e3", "\u0663", "9" * 5000, ""):
        with contextlib.suppress(httpx.TransportError):
            found = httpx.post(url, headers={**ASKS, "Content-Length": length.encode()}, content=b"photo")
            assert found.status_code == 413


def test_one_photo_is_read_at_a_time_and_the_demo_does_not_wait_for_an_upload(
    page: tuple[str, Starting, Callable[[], None]], port: int
) -> None:
    url, shown, _ = page
    shown.show("<p>32</p>", lambda photo: "read", largest=100)
    head = f"POST / HTTP/1.1\r\nHost: a\r\n{STATE}: 1\r\nContent-Length: 10\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(head + b"half")
        codes = [200]
        while codes[-1] == 200:  # until the other one has its turn
            codes.append(httpx.post(url, headers=ASKS, content=b"photo").status_code)
        assert codes[-1] == 503
        shown.rest()
        slow.sendall(b"of it.")
        assert slow.recv(100).startswith(b"HTTP/1.0 503")


def test_what_is_no_request_does_not_end_it_and_is_not_told(
    page: tuple[str, Starting, Callable[[], None]], port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    url, shown, _ = page
    shown.show("<p>32</p>")
    for sent in (b"\x00\xff\x1b[31m\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70_000):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            line.sendall(sent)
    assert httpx.get(url, headers=BROWSER).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_the_port_is_free_when_it_ends_however_often_that_is_asked(
    page: tuple[str, Starting, Callable[[], None]], port: int
) -> None:
    url, _, end = page
    httpx.get(url, headers=BROWSER)
    end()
    end()
    assert server.free_port("127.0.0.1", port) == port
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_where_a_password_is_asked_for_nothing_is_shown(port: int) -> None:
    with contextlib.ExitStack() as stack:
        found, shown, end = server._first_page(server.Settings(port=port, auth=("ada", "lovelace")), stack)
        assert (found, shown) == (port, None)
        end()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}")


def test_a_port_that_another_program_takes_meanwhile_is_told_or_left(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = server.free_port
    taken = socket.socket()
    with taken, contextlib.ExitStack() as stack:

        def free_port(host: str, asked: int | None) -> int:
            chosen = real(host, asked if asked is not None else None)
            if taken.getsockname()[1] == 0:
                taken.bind((host, chosen))
                taken.listen()
            return chosen

        monkeypatch.setattr(server, "free_port", free_port)
        with pytest.raises(InputError, match=f"port {port} is in use"):
            server._first_page(server.Settings(port=port), stack)
        found, shown, _ = server._first_page(server.Settings(), stack)
        assert shown is not None and httpx.head(f"http://127.0.0.1:{found}", headers=ASKS).headers[STATE] == "0"
