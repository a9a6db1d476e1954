"""Who may do what to the demo, and what stays of it: signals, leftovers, proxies, passwords, limits. No model."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import pytest

from facefeat import InputError
from facefeat.cli import run
from facefeat_demo import limits, photos, server
from facefeat_demo.early import Early
from facefeat_demo.gradio_import import without_stubs
from facefeat_demo.limits import FULL, MEGABYTE, Gate
from facefeat_demo.redaction import without_paths
from facefeat_demo.session_dir import session_folder, sweep
from witness import witness

DEMO = Path(server.__file__).resolve().parent.parent

# ---------------------------------------------------------------- what stays of a run


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, for this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_the_photos_go_when_the_demo_is_ended_or_its_terminal_closed(
    name: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = getattr(signal, name)

    @contextlib.contextmanager
    def running(settings: server.Settings, **options: Any) -> Iterator[Any]:
        with session_folder() as folder:
            (folder / "photo.jpg").write_bytes(b"x")
            try:
                yield SimpleNamespace(local_url="http://127.0.0.1:7860/", share_url=None)
            finally:
                signal.raise_signal(number)  # a terminal may send another while photos are deleted
                assert (folder / "photo.jpg").exists()

    monkeypatch.setattr(server, "running", running)
    waiting = SimpleNamespace(wait=lambda: signal.raise_signal(number))
    monkeypatch.setattr(server, "threading", SimpleNamespace(Event=lambda: waiting))
    outside = signal.signal(number, signal.SIG_DFL)  # a suite that runs under nohup ignores SIGHUP, and so would this
    try:
        with pytest.raises(SystemExit) as ended:
            server.serve(server.Settings(), say=lambda line: None)
        assert ended.value.code == 128 + number
        assert list(temporary.iterdir()) == [] and signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_nohup_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with server._cleaned_up():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_killed_demo_left_is_deleted_by_the_next(temporary: Path) -> None:
    killed = """
import os
from facefeat_demo.session_dir import session_folder
with session_folder() as folder:
    (folder / "photo.jpg").write_bytes(b"x")
    print(folder, flush=True)
    os._exit(9)
"""
    env = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(DEMO)}
    made = subprocess.run([sys.executable, "-c", killed], env=env, capture_output=True, text=True)
    left = Path(made.stdout.strip())
    assert (left / "photo.jpg").is_file() and left.is_relative_to(temporary)
    with session_folder() as mine:
        assert not left.parent.exists()
        sweep()
        assert mine.is_dir() and mine.parent.stat().st_mode & 0o077 == 0
    assert list(temporary.iterdir()) == []


def test_no_folder_of_anything_else_is_swept(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (temporary / "facefeat-demo-link").symlink_to(elsewhere)
    (temporary / "facefeat-demo-starting").mkdir()  # without its lock yet
    (temporary / "facefeat-demo-file").touch()
    sweep()
    assert len(list(temporary.iterdir())) == 4 and (elsewhere / "lock").exists()


# ---------------------------------------------------------------- the start


def test_the_own_page_is_asked_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "intranet.example")

    with witness() as (url, asked):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
        with server.environment(**server.past_proxies("::1")):
            assert httpx.get(url).status_code == 200 and asked == ["/"]
            assert os.environ["NO_PROXY"] == "intranet.example,127.0.0.1,localhost,::1"
    assert os.environ["no_proxy"] == "intranet.example"
    monkeypatch.setenv("no_proxy", "*")
    assert set(server.past_proxies("127.0.0.1").values()) == {"*"}


def test_a_page_that_does_not_start_is_one_sentence(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facefeat_demo import app, cards, host, inputs

    closed = []

    class Page:
        fns: ClassVar[dict[int, Any]] = {}

        def launch(self, **options: Any) -> None:
            raise Exception("Couldn't start the app because of a proxy\nand more")

        def close(self, verbose: bool) -> None:
            closed.append(True)

    monkeypatch.setattr(host, "Host", lambda *args: SimpleNamespace(warm_up=lambda: None, stop=lambda: None))
    monkeypatch.setattr(cards, "opening", lambda host: "<p>32</p>")
    monkeypatch.setattr(app, "build", lambda host, most: Page())
    monkeypatch.setattr(inputs, "check_photos", lambda page: None)
    says = r"could not be started: Couldn't start the app because of a proxy$"
    with pytest.raises(InputError, match=says), server.running(server.Settings()):
        pytest.fail("it runs")
    assert closed and list(temporary.iterdir()) == []


def test_the_password_comes_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.auth_of(None) is None and server.auth_of("ada:love:lace") == ("ada", "love:lace")
    asked: list[server.Settings] = []
    monkeypatch.setattr(server, "serve", lambda settings, say: asked.append(settings))
    monkeypatch.setattr("facefeat_demo.server.free_port", lambda host, port: 7860)
    monkeypatch.setenv(server.AUTH, "ada:lovelace")
    assert run(["demo"]) == 0
    assert run(["demo", "--auth", "grace:hopper", "--max-upload", "500"]) == 0
    server.start()
    monkeypatch.setenv(server.AUTH, "")
    server.start()
    assert [s.auth for s in asked] == [("ada", "lovelace"), ("grace", "hopper"), ("ada", "lovelace"), None]
    assert [s.max_total for s in asked[:2]] == [1000, 2000]
    monkeypatch.setenv(server.AUTH, "lovelace")
    assert run(["demo"]) == 2 and "FACEFEAT_DEMO_AUTH, wants" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="USER:PASSWORD"):
        server.start()


def test_whoever_may_come_in_is_told() -> None:
    for host, warned in (("0.0.0.0", 1), ("192.168.1.5", 1), ("::", 1), ("mine.example", 1), ("127.0.0.1", 0),
                         ("localhost", 0), ("::1", 0), ("[::1]", 0), ("127.8.0.1", 0)):  # fmt: skip
        lines = server.addresses(server.Settings(host=host), "http://x:7860/", None)
        assert sum("--auth USER:PASSWORD" in line for line in lines) == warned, host
        assert len(server.addresses(server.Settings(host=host, auth=("a", "b")), "http://x:7860/", None)) == 1
    both = server.addresses(server.Settings(host="0.0.0.0", share=True), "http://x:7860/", "https://x.gradio.live")
    assert sum("--auth" in line for line in both) == 1


# ---------------------------------------------------------------- what visitors may send


def sent(gate: Gate, path: str, headers: dict[str, str], body: bytes = b"", method: str = "POST") -> tuple[int, str]:
    """The status and the text of an answer."""
    out: list[Any] = []
    parts = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        out.append(message)

    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    asyncio.run(gate({"type": "http", "method": method, "path": path, "headers": raw}, receive, send))
    return out[0]["status"], out[1]["body"].decode()


async def lets_in(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


def test_uploads_find_room_or_a_sentence(tmp_path: Path) -> None:
    gate = Gate(lets_in, tmp_path, most=100_000, largest=MEGABYTE)
    upload, length = "/gradio_api/upload", {"content-length": "50000"}
    assert sent(gate, upload, length) == (200, "in")
    (tmp_path / "photo").mkdir()
    (tmp_path / "photo" / "a.jpg").write_bytes(b"\0" * 60_000)
    assert sent(gate, upload, length, b"x" * 50_000) == (413, FULL)
    assert sent(gate, upload, {"content-length": "30000"}) == (200, "in")  # nothing of the others is still counted
    status, text = sent(gate, upload, {"content-length": "2000000"})
    assert status == 413 and "Up to 1 MB" in text
    assert sent(gate, upload, {"transfer-encoding": "chunked"})[0] == 411
    assert sent(gate, upload, {"content-length": "many"})[0] == 411


def test_uploads_that_are_under_way_count(tmp_path: Path) -> None:
    statuses = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        statuses.append((await asyncio.to_thread(sent, gate, "/upload", {"content-length": "60000"}))[0])
        await lets_in(scope, receive, send)

    gate = Gate(slow, tmp_path, most=100_000, largest=MEGABYTE)
    assert sent(gate, "/upload", {"content-length": "60000"})[0] == 200 and statuses == [413]


def test_no_other_request_is_large_and_none_writes(tmp_path: Path) -> None:
    gate = Gate(lets_in, tmp_path, most=1, largest=MEGABYTE)
    assert sent(gate, "/gradio_api/queue/join", {"content-length": "5000"}) == (200, "in")
    assert sent(gate, "/gradio_api/queue/join", {"content-length": "50000000"})[0] == 413
    assert sent(gate, "/gradio_api/deep_link", {}, method="GET")[0] == 404
    assert sent(gate, "/config", {}, method="GET") == (200, "in")


BODIES = {
    "no event": (b'{"data": [], "fn_index": 3}', 404),
    "negative": (b'{"data": [1], "fn_index": -1}', 404),
    "text": (b'{"data": [1], "fn_index": "0"}', 404),
    "list": (b'{"data": [1], "fn_index": [0]}', 404),
    "too few values": (b'{"data": [], "fn_index": 0}', 404),
    "a batch": (b'{"data": [[1]], "fn_index": 0, "batched": true}', 404),
    "its values": (b'{"data": [1], "fn_index": 0}', 200),
    "no event named": (b'{"data": []}', 200),
    "no JSON": (b"[" * 5000, 200),
    "half a pair": (b'{"data": ["\\ud83d"], "fn_index": 0}', 400),
    "a pair": (b'{"data": ["\\ud83d\\ude00"], "fn_index": 0}', 200),
    "half a pair as bytes": (b'{"data": ["\xed\xa0\x80"], "fn_index": 0}', 400),
    "UTF-16": ('{"data": [1], "fn_index": 0}'.encode("utf-16-le"), 400),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_events_are_the_pages_and_of_text(body: bytes, status: int, tmp_path: Path) -> None:
    gate = Gate(lets_in, tmp_path, most=1, largest=MEGABYTE, events={0: 1, "classify": 1})
    assert sent(gate, "/gradio_api/queue/join", {"content-length": str(len(body))}, body)[0] == status


def test_events_by_name_have_their_values(tmp_path: Path) -> None:
    gate = Gate(lets_in, tmp_path, most=1, largest=MEGABYTE, events={0: 1, "classify": 1})
    for body, status in ((b'{"data": []}', 404), (b'{"data": [1]}', 200)):
        assert sent(gate, "/gradio_api/call/classify", {"content-length": str(len(body))}, body)[0] == status
    for path in ("call/nothing", "call/v2/nothing/", "run/nothing", "api/nothing"):
        assert sent(gate, f"/gradio_api/{path}", {"content-length": "12"}, b'{"data": []}')[0] == 404
    assert sent(gate, "/gradio_api/run/predict", {"content-length": "28"}, b'{"data": [1], "fn_index": 0}')[0] == 200


def test_a_listener_of_a_visit_that_is_over_leaves_no_traceback(tmp_path: Path) -> None:
    from starlette.exceptions import HTTPException

    async def over(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            raise HTTPException(404)
        except HTTPException as e:
            raise RuntimeError("the answer has started") from e

    async def defect(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a defect")

    assert sent(Gate(over, tmp_path, most=1, largest=1), "/gradio_api/queue/data", {}, method="GET") == (200, "")
    with pytest.raises(RuntimeError, match="a defect"):
        sent(Gate(defect, tmp_path, most=1, largest=1), "/gradio_api/queue/data", {}, method="GET")


def test_what_is_left_of_broken_uploads_goes(tmp_path: Path) -> None:
    old, new, whole = tmp_path / "tmpold", tmp_path / "tmpnew", tmp_path / "photo" / "a.jpg"
    whole.parent.mkdir()
    for path in (old, new, whole):
        path.write_bytes(b"x")
    for path in (old, whole):
        os.utime(path, (time.time() - 5000,) * 2)
    limits.tidy(tmp_path)
    limits.tidy(tmp_path / "none")
    assert not old.exists() and new.exists() and whole.exists()
    assert limits.taken(tmp_path) == 2 * 4096


def test_the_page_writes_no_file_where_there_is_no_room(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0" * 9000)
    photos.Kept(most=9001).check_room(tmp_path)
    with pytest.raises(InputError, match="try again later"):
        photos.Kept(most=9000).check_room(tmp_path)


# ---------------------------------------------------------------- Gradio


def a_page(tmp_path: Path) -> Any:
    import gradio as gr

    from facefeat_demo.inputs import only_files, photo_input

    with gr.Blocks(analytics_enabled=False) as page:
        photo_input("A photo", photos.Kept(), height=100, elem_id="photo")
    only_files(page)
    return page


def test_uploads_to_a_page_are_held_to_the_limits(tmp_path: Path) -> None:
    from facefeat_demo.app import gate, launch_options

    with server.environment(GRADIO_TEMP_DIR=str(tmp_path), **server.past_proxies("127.0.0.1")):
        page = a_page(tmp_path)
        options = gate(page, tmp_path, 3 * MEGABYTE, MEGABYTE) | launch_options()
        page.launch(server_name="127.0.0.1", server_port=server.free_port("127.0.0.1", None), prevent_thread_lock=True,
                    **options)  # fmt: skip
        try:
            answers = []
            for i, size in enumerate((900_000, 900_000, 2_000_000, 900_000, 900_000)):
                files = {"files": (f"{i}.jpg", bytes([i]) * size)}
                answers.append(httpx.post(f"{page.local_url}gradio_api/upload", files=files, timeout=60))
        finally:
            page.close(verbose=False)
    assert [a.status_code for a in answers] == [200, 200, 413, 200, 413]
    assert answers[4].text == FULL and "too large" in answers[2].text
    assert limits.taken(tmp_path) == 2_700_000


def test_a_gradio_that_would_fetch_addresses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr
    from gradio import processing_utils

    from facefeat_demo.inputs import check_photos

    page = a_page(tmp_path)
    check_photos(page)

    async def another_way(data: Any, block: Any, **options: Any) -> Any:
        return data

    with monkeypatch.context() as changed:
        changed.setattr(processing_utils, "async_move_files_to_cache", another_way)
        with pytest.raises(InputError, match=r"this Gradio, .*fetches the addresses"):
            check_photos(page)
    monkeypatch.delattr("gradio.blocks.Block.async_move_resource_to_block_cache")
    assert not hasattr(gr.Image, "async_move_resource_to_block_cache")
    with pytest.raises(InputError, match="pip install"):
        a_page(tmp_path)


# ---------------------------------------------------------------- sentences


def test_no_folder_of_the_machine_is_said(tmp_path: Path) -> None:
    for text, says in (
        ("preset '/srv/my presets/a': 'head.h5' was altered", "preset 'a': 'head.h5' was altered"),
        ("cannot read /srv/presets/a/config.json: no such file", "cannot read config.json: no such file"),
        (r"cannot read C:\Users\ada\a.json", "cannot read a.json"),
        ("Received: '/home/ada/x'. Valid: a, b.", "Received: 'x'. Valid: a, b."),
        ("see https://example.org/a/b and 1/2 or either/or", "see https://example.org/a/b and 1/2 or either/or"),
        ("it took 3 / 4 s; <b>x</b>", "it took 3 / 4 s; <b>x</b>"),
    ):
        assert without_paths(text) == says
    spaced = tmp_path / "with space"
    assert without_paths(f"in {spaced}/a: no", [spaced, None, Path("/")]) == "in a: no"


# ---------------------------------------------------------------- the first bytes, and the start


def test_the_page_has_a_first_look_and_nothing_of_other_sites() -> None:
    whole = (
        '<html><head><meta property="og:title" content="Gradio" /><meta property="og:image" content="https://x.io/a"'
        ' /><meta name="twitter:card" content="x" /><title>t</title></head><body><gradio-app></gradio-app></body>'
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kind = "text/html; charset=utf-8" if scope["path"] == "/" else "text/css"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": whole[:40].encode(), "more_body": True})
        await send({"type": "http.response.body", "body": whole[40:].encode()})

    async def asked() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(Early(app))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/"), await client.get("/theme.css")

    page, other = asyncio.run(asked())
    assert other.text == whole
    assert int(page.headers["content-length"]) == len(page.content)
    assert "https://" not in page.text and "og:" not in page.text and "twitter:" not in page.text
    assert "<title>t</title>" in page.text
    style, look, script = (page.text.index(part) for part in ("#ff-shell {", '<div id="ff-shell">', "gradio_config"))
    assert style < page.text.index("</head>") < look < script < page.text.index("<gradio-app>")


def test_gradio_is_imported_without_writing_stubs() -> None:
    import gradio
    import gradio.component_meta

    # Where Gradio writes them in another way, the demo starts a second later, and nobody would notice.
    assert callable(gradio.component_meta.create_or_modify_pyi)
    name = "gradio.component_meta"
    with without_stubs():
        spec = next(filter(None, (f.find_spec(name, gradio.__path__) for f in sys.meta_path)))
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    # It would look for the source of what is no component, and fail.
    assert again.create_or_modify_pyi(int, "int", []) is None
    assert not any(type(f).__module__ == without_stubs.__module__ for f in sys.meta_path)
