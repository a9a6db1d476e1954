"""Visitors of the demo: requests that no browser sends. The page answers all the same, and deletes what they left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile.case import MEGABYTES, SECONDS, Case, Verdict, rng
from hostile.pictures import encoded, flipped, png

_SERVER = """
import facefeat_demo.cleaner as cleaner
cleaner.DELETE_EVERY, cleaner.DELETE_AFTER = {every}, {after}
from facefeat_demo.server import Settings, serve
serve(Settings(port={port}, max_upload=5, max_total=60))
"""


@dataclass(frozen=True)
class Page:
    """A running page. url: with a slash at its end. uploads: the folder that it keeps files in. process: its id."""

    url: str
    uploads: Path
    process: int

    def upload(self, data: bytes, name: str = "a.png") -> str:
        """The path of an uploaded file, as the page gives it."""
        import httpx

        answer = httpx.post(f"{self.url}gradio_api/upload", files={"files": (name, data)}, timeout=SECONDS)
        answer.raise_for_status()
        (path,) = answer.json()
        return str(path)

    def call(self, api: str, *values: Any) -> str:
        """The events by which an endpoint answers."""
        import httpx

        body = {"data": list(values)}
        answer = httpx.post(f"{self.url}gradio_api/call/{api}", json=body, timeout=SECONDS)
        if answer.status_code != 200:
            return answer.text
        event = answer.json()["event_id"]
        return httpx.get(f"{self.url}gradio_api/call/{api}/{event}", timeout=SECONDS).text

    def classify(self, value: Any) -> str:
        """What the page says of a photo."""
        return self.call("classify", value)

    @property
    def megabytes(self) -> int:
        """Resident memory now."""
        with open(f"/proc/{self.process}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) // 1024


def tracebacks(page: Page, everybody: bool = False) -> list[str]:
    """Those that the page has printed: of our code, or of everybody's."""
    log = (page.uploads.parents[1] / "log").read_text("utf-8", "replace")
    return log.split("Traceback (most recent call last):")[1:] if everybody else _ours(log)


def photo(path: str, **more: Any) -> dict[str, Any]:
    """A file as a browser sends it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


@contextlib.contextmanager
def running(every: float = 1, after: float = 3) -> Iterator[Page]:
    """A page of its own process. every, after: seconds, how often and after how long it deletes files.

    With the short ones a busy machine may find an upload gone that is only a few seconds old.
    """
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        env = {**os.environ, "TMPDIR": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _SERVER.format(port=port, every=every, after=after)]
        log = Path(folder) / "log"
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as process:
            try:
                url = f"http://127.0.0.1:{port}/"
                until = time.monotonic() + 10 * SECONDS
                while True:
                    with contextlib.suppress(httpx.HTTPError):
                        httpx.get(url, timeout=5).raise_for_status()
                        break
                    assert process.poll() is None and time.monotonic() < until, log.read_text("utf-8", "replace")[
                        -2000:
                    ]
                    time.sleep(0.5)
                uploads = next(Path(folder).glob("facefeat-demo-*")) / "files"
                yield Page(url, uploads, process.pid)
                assert not (found := _ours(log.read_text("utf-8", "replace"))), found[0][-3000:]
            finally:
                process.terminate()


def _ours(log: str) -> list[str]:
    """The tracebacks that come out of our code. Gradio prints some of its own, for events that a page does not have."""
    import facefeat
    import facefeat_demo

    code = [os.path.dirname(str(m.__file__)) + os.sep for m in (facefeat, facefeat_demo)]
    passed = "limits.py"  # every request goes through it
    return [
        text
        for text in log.split("Traceback (most recent call last):")[1:]
        if any(f.startswith(tuple(code)) and not f.endswith(passed) for f in re.findall(r'File "([^"]+)"', text))
    ]


def try_visitors(cases: list[Case]) -> Iterator[Verdict]:
    """All cases against one page, which must be well after each, and have deleted all files in the end."""
    import httpx

    with running() as page:
        for case in cases:
            began, fault = time.monotonic(), ""
            try:
                assert callable(case.command)
                case.command(page)  # type: ignore[arg-type]
                assert httpx.get(page.url, timeout=SECONDS).status_code == 200, "the page is gone"
                assert page.megabytes < MEGABYTES, f"the page takes {page.megabytes} MB"
            except Exception as e:  # noqa: BLE001 - whatever it is, it is what the case found
                fault = f"{type(e).__name__}: {e}"[:500]
            yield Verdict(case, fault, time.monotonic() - began, page.megabytes)
        began, fault = time.monotonic(), ""
        sound = page.classify(photo(page.upload(encoded("png", "RGB"))))
        if "complete" not in sound:
            fault = f"the page does not answer any more: {sound[:300]}"
        until = time.monotonic() + 30
        while (left := [p for p in page.uploads.rglob("*") if p.is_file()]) and time.monotonic() < until:
            time.sleep(0.5)
        fault = fault or (f"files are left: {left[:3]}" if left else "")
        yield Verdict(
            Case("visitors", "afterwards", lambda f: None, ()), fault, time.monotonic() - began, page.megabytes
        )


def cases(seed: int) -> list[Case]:
    """See the module; a command takes the Page."""
    out: list[Case] = []

    def add(name: str, command: Callable[[Page], Any]) -> None:
        out.append(Case("visitors", name, lambda f: None, command))  # type: ignore[arg-type]

    def refused(value: Callable[[Page], Any]) -> Callable[[Page], None]:
        """The value is no photo: the answer is an error or a sentence, and never the content of a file."""

        def command(page: Page) -> None:
            answer = page.classify(value(page))
            assert "root:x:0" not in answer and "faces" not in answer.split('"error"')[0].split("complete")[0], answer[
                :300
            ]

        return command

    def path_of(data: bytes | Callable[[], bytes]) -> Callable[[Page], Any]:
        return lambda page: photo(page.upload(data() if callable(data) else data))

    for name, value in {
        "folder": lambda page: photo(str(page.uploads)),
        "folder-slash": lambda page: photo(f"{page.uploads}/"),
        "folder-dots": lambda page: photo(f"{page.uploads}/../files"),
        "folder-above": lambda page: photo(str(page.uploads.parent)),
        "folder-of-upload": lambda page: photo(str(Path(page.upload(encoded("png", "RGB"))).parent)),
        "lock": lambda page: photo(str(page.uploads.parent / "lock")),
        "passwd": lambda page: photo("/etc/passwd"),
        "passwd-up": lambda page: photo(f"{page.uploads}/../../../../../../etc/passwd"),
        "zero": lambda page: photo("/dev/zero"),
        "stdin": lambda page: photo("/dev/stdin"),
        "gone": lambda page: photo(f"{page.uploads}/gone.png"),
        "nul": lambda page: photo(f"{page.uploads}/a\0b.png"),
        "long": lambda page: photo("x" * 100_000),
        "address": lambda page: photo("http://127.0.0.1:9/a.png", url="http://127.0.0.1:9/a.png"),
        "address-file": lambda page: photo("file:///etc/passwd"),
        "address-upper": lambda page: photo("HTTPS://127.0.0.1:9/a.png"),
        "address-metadata": lambda page: photo("http://169.254.169.254/latest/meta-data"),
        "stream": lambda page: photo("/etc/passwd", is_stream=True),
        "static": lambda page: photo("/etc/passwd", orig_name="x", mime_type="text/html"),
        "no-meta": lambda page: {"path": "/etc/passwd"},
        "url-only": lambda page: {"url": "http://127.0.0.1:9/", "meta": {"_type": "gradio.FileData"}},
        "none": lambda page: None,
        "text": lambda page: "a.png",
        "number": lambda page: 7,
        "list": lambda page: [[]],
        "deep": lambda page: json.loads("[" * 300 + "]" * 300),
        "dict": lambda page: {"path": {"path": {}}},
        "bool": lambda page: photo(True),  # type: ignore[arg-type]
        "data": lambda page: photo("data:image/png;base64,AAAA"),
    }.items():
        add(f"classify-{name}", refused(value))
    for name, data in {
        "empty": b"",
        "text": b"no picture",
        "svg": b"<svg onload=alert(1)>",
        "html": b"<script>alert(1)</script>",
        "large": lambda: png(9000, 9000, 8, 0),
        "larger": lambda: png(60_000, 60_000, 1, 0)[:100_000],
        "long": lambda: png(60_000_000, 1, 8, 0),
        **{f"flipped-{n}": flipped(encoded("jpeg", "RGB"), seed, f"visitor{n}") for n in range(6)},
    }.items():
        path = path_of(data)
        add(f"upload-{name}", lambda page, p=path: page.classify(p(page)))
    for name in ("../../x.png", "/etc/cron.d/x", "a" * 300 + ".png", "\x1b[2J.png", ".", "..", "con.png", "<b>.png"):

        def named(page: Page, name: str = name) -> None:
            with contextlib.suppress(Exception):
                path = Path(page.upload(encoded("png", "RGB"), name))
                assert path.resolve().is_relative_to(page.uploads.resolve()), path

        add(f"name-{name[:12]!r}", named)

    def raw(name: str, method: str, path: str, **options: Any) -> None:
        def command(page: Page) -> None:
            import httpx

            answer = httpx.request(method, page.url + path, timeout=SECONDS, **options)
            assert "root:x:0" not in answer.text and "Traceback" not in answer.text, answer.text[:300]
            assert answer.status_code < 500 or answer.status_code in (500, 501, 503), answer.status_code

        add(name, command)

    paths = (
        *("gradio_api/file=/etc/passwd", "gradio_api/file=../../../../etc/passwd", "gradio_api/file=%2Fetc%2Fpasswd"),
        *("file=/etc/passwd", "static/../../../etc/passwd", "gradio_api/proxy=http://127.0.0.1:9/", "%00", "a" * 5000),
        *("gradio_api/stream/a/b/c", "custom_component/x/y/../../etc/passwd", "assets/..%2f..%2fetc/passwd"),
        *("gradio_api/deep_link", "monitoring", "gradio_api/file=http://127.0.0.1:9/x", "theme.css/..%5c.."),
    )
    for number, path in enumerate(paths):
        raw(f"get-{number}", "GET", path)
    many = {"content-type": "application/json"}
    raw("post-deep", "POST", "gradio_api/call/classify", content=b"[" * 100_000, headers=many)
    raw("post-nan", "POST", "gradio_api/call/classify", content=b'{"data": [NaN]}', headers=many)
    raw("post-none", "POST", "gradio_api/call/classify", content=b"", headers=many)
    raw("post-large", "POST", "gradio_api/call/classify", content=b"x" * 3_000_000, headers=many)
    raw("post-unknown", "POST", "gradio_api/call/nothing", json={"data": []})
    raw(
        "post-number",
        "POST",
        "gradio_api/queue/join",
        json={"fn_index": 10**30, "data": [], "session_hash": "x" * 9999},
    )
    form = {"content-type": "multipart/form-data; boundary=x"}
    raw("post-form", "POST", "gradio_api/upload", content=b"--x\r\n" * 1000, headers=form)
    raw("post-boundary", "POST", "gradio_api/upload", content=b"x", headers={"content-type": "multipart/form-data"})
    raw("post-login", "POST", "login", data={"username": "x" * 10_000, "password": "\0"})

    def everywhere(page: Page) -> None:
        """A folder, as the value of every input of every event: each component would keep it to be deleted."""
        import httpx

        config = httpx.get(f"{page.url}config", timeout=SECONDS).json()
        for event in config["dependencies"]:
            value = photo(str(page.uploads))
            body = {"fn_index": event["id"], "data": [value] * len(event["inputs"]), "session_hash": f"h{event['id']}"}
            httpx.post(f"{page.url}gradio_api/run/predict", json=body, timeout=SECONDS)
            httpx.post(f"{page.url}gradio_api/queue/join", json=body, timeout=SECONDS)

    add("folder-everywhere", everywhere)

    def abandoned(page: Page) -> None:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", int(page.url.rsplit(":", 1)[1].strip("/")))) as client:
                head = (
                    b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                )
                client.sendall(head + b"Content-Length: 900000\r\n\r\n--x\r\n" + rng(seed, "abandoned").randbytes(1000))

    add("upload-abandoned", abandoned)

    def full(page: Page) -> None:
        import httpx

        for i in range(20):  # no two alike: of equal files the page keeps one
            files = {"files": ("a.png", bytes([i]) * 4_900_000)}
            answer = httpx.post(f"{page.url}gradio_api/upload", files=files, timeout=SECONDS)
            if answer.status_code == 413:
                return
        raise AssertionError("98 MB were taken where 60 MB are the limit")

    add("upload-until-full", full)
    return out
