"""The downloader against a local server that is slow, cuts off, ignores ranges, changes its file and sends garbage."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from facefeat.errors import DownloadError, InputError
from facefeat.utils.download import fetch, read_bytes, sha256_of
from loopback import serving

BODY = random.Random(0).randbytes(700_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Site:
    """What the server does, and what it was asked."""

    body: bytes = BODY
    etag: str | None = '"v1"'
    ranges: bool = True
    cut_after: int | None = None  # bytes of one answer before the connection drops
    delay: float = 0.0  # seconds between pieces
    statuses: list[int] = field(default_factory=list)  # answered first, one a request
    length: bool = True
    redirect: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(request.headers))
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            request.send_error(status)
            return
        if self.redirect:
            request.send_response(302)
            request.send_header("Location", self.redirect)
            request.end_headers()
            return
        start, fresh = 0, request.headers.get("If-Range") in (None, self.etag)
        if self.ranges and fresh and (wanted := request.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.body):
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        else:
            request.send_response(200)
        if self.length:
            request.send_header("Content-Length", str(len(self.body) - start))
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        piece = self.body[start:][: self.cut_after]
        for i in range(0, len(piece), 100_000):
            request.wfile.write(piece[i : i + 100_000])
            time.sleep(self.delay)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Starts servers on loopback: serve(**what it does) gives the Site with its url."""
    monkeypatch.setenv("no_proxy", "*")
    with contextlib.ExitStack() as servers:

        def start(**kwargs: Any) -> Site:
            site = Site(**kwargs)
            site.url = servers.enter_context(serving(site.answer)) + "/file.bin"
            return site

        yield start


def get(urls: Any, target: Path, sha256: str | None = SHA256, **kwargs: Any) -> Path:
    return fetch(urls, sha256, target, **{"pause": 0.001, "attempts": 2, "timeout": 5.0, **kwargs})


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock") if folder.exists() else []


def test_fetches_checks_reports_and_does_not_ask_twice(serve: Callable[..., Site], tmp_path: Path) -> None:
    site, seen = serve(delay=0.001), []
    target = tmp_path / "new" / "file.bin"
    assert get(site.url, target, progress=lambda n, total: seen.append((n, total))) == target
    assert target.read_bytes() == BODY and names(target.parent) == ["file.bin"]
    assert seen[0] == (0, len(BODY)) and seen[-1] == (len(BODY), len(BODY)) and seen == sorted(seen)
    get(site.url, target)
    assert len(site.asked) == 1


def test_a_line_that_keeps_breaking_is_resumed_to_the_end(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(cut_after=150_000)
    assert get(site.url, tmp_path / "f").read_bytes() == BODY
    assert len(site.asked) == 5  # five pieces, more than `attempts`: moving on is not failing
    assert site.asked[1]["Range"] == "bytes=150000-" and site.asked[1]["If-Range"] == '"v1"'


def test_a_killed_download_goes_on_in_the_next_run(serve: Callable[..., Site], tmp_path: Path) -> None:
    def kill(done: int, _: int | None) -> None:
        if done > 300_000:
            raise KeyboardInterrupt

    site = serve()
    with pytest.raises(KeyboardInterrupt):
        get(site.url, tmp_path / "f", progress=kill)
    kept = (tmp_path / "f.part").stat().st_size
    assert 300_000 < kept < len(BODY) and not (tmp_path / "f").exists()
    assert get(site.url, tmp_path / "f").read_bytes() == BODY
    assert site.asked[-1]["Range"] == f"bytes={kept}-"


@pytest.mark.parametrize("known", [SHA256, None])
def test_a_file_that_changed_in_between_starts_anew(
    serve: Callable[..., Site], tmp_path: Path, known: str | None
) -> None:
    site = serve(cut_after=200_000, body=BODY[::-1], etag='"v0"', statuses=[200, 404])
    with pytest.raises(DownloadError):
        get(site.url, tmp_path / "f", known)
    assert (tmp_path / "f.part").stat().st_size == 200_000
    site.body, site.etag, site.cut_after = BODY, '"v1"', None
    assert get(site.url, tmp_path / "f", known).read_bytes() == BODY


def test_without_validator_or_hash_nothing_is_joined(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(cut_after=200_000, etag=None)
    with pytest.raises(DownloadError, match="broke off after 200000 of 700000 bytes"):
        get(site.url, tmp_path / "f", None)
    assert all("Range" not in headers for headers in site.asked)


def test_with_a_hash_but_no_validator_a_wrong_joint_is_noticed_and_repaired(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    (tmp_path / "f.part").write_bytes(b"x" * 100_000)
    site = serve(etag=None)
    assert get(site.url, tmp_path / "f").read_bytes() == BODY
    assert [h.get("Range") for h in site.asked] == ["bytes=100000-", None]


def test_a_server_that_ignores_ranges(serve: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY[:100_000])
    assert get(serve(ranges=False).url, tmp_path / "f").read_bytes() == BODY


def test_a_whole_part_is_only_renamed(serve: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY)
    assert get(serve().url, tmp_path / "f").read_bytes() == BODY
    assert names(tmp_path) == ["f"]


def test_a_part_longer_than_the_file_starts_anew(serve: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY + b"x")
    assert get(serve().url, tmp_path / "f").read_bytes() == BODY


def test_garbage_is_refused_and_not_kept(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(body=b"<html>please log in</html>")
    with pytest.raises(DownloadError, match="wrong sha256: received .*, expected " + SHA256):
        get(site.url, tmp_path / "f")
    assert names(tmp_path) == [] and len(site.asked) == 1


def test_the_next_mirror_is_used(serve: Callable[..., Site], tmp_path: Path) -> None:
    gone, broken, good = serve(statuses=[404]), serve(body=b"no"), serve()
    assert get([gone.url, broken.url, good.url], tmp_path / "f").read_bytes() == BODY
    assert [len(s.asked) for s in (gone, broken, good)] == [1, 1, 1]


def test_a_busy_server_is_asked_again(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(statuses=[503, 429])
    assert get(site.url, tmp_path / "f", attempts=3).read_bytes() == BODY


def test_no_connection_is_one_clear_error_and_makes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "f"
    with pytest.raises(DownloadError) as e:
        get("http://127.0.0.1:9/f", target)
    assert "http://127.0.0.1:9/f: no connection" in str(e.value) and f"save it as {str(target)!r}" in str(e.value)
    assert not target.parent.exists()


def test_a_silent_server_times_out(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(delay=3.0)
    with pytest.raises(DownloadError, match="timed out"):
        get(site.url, tmp_path / "f", timeout=0.2, attempts=1, sha256=None)


def test_hash_is_pinned_on_first_use(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve()
    target = get(site.url, tmp_path / "f", None)
    assert (tmp_path / "f.sha256").read_text() == f"{SHA256}  f\n" and sha256_of(target) == SHA256
    target.unlink()
    site.body = BODY[:-1] + b"!"
    with pytest.raises(DownloadError, match="wrong sha256"):
        get(site.url, target, None)
    target.write_bytes(b"altered")
    with pytest.raises(DownloadError, match="Delete it, and it is fetched again"):
        get(site.url, target, None)
    assert target.read_bytes() == b"altered"


def test_a_file_given_by_hand_needs_no_connection(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_bytes(BODY)
    assert get("http://127.0.0.1:9/f", target) == target
    assert get("http://127.0.0.1:9/f", target, None) == target
    assert names(tmp_path) == ["f", "f.sha256"]


def test_md5_and_check(serve: Callable[..., Site], tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise DownloadError(f"is not a zip of {path.stat().st_size} bytes")

    site, md5 = serve(), hashlib.md5(BODY).hexdigest()
    with pytest.raises(DownloadError, match="wrong md5"):
        get(site.url, tmp_path / "f", None, md5="0" * 32)
    with pytest.raises(DownloadError, match="is not a zip of 700000 bytes"):
        get(site.url, tmp_path / "f", None, md5=md5, check=refuse)
    assert names(tmp_path) == []
    get(site.url, tmp_path / "f", None, md5=md5)
    assert names(tmp_path) == ["f", "f.sha256"]


@pytest.mark.parametrize("length", [True, False])
def test_more_bytes_than_expected_are_refused(serve: Callable[..., Site], tmp_path: Path, length: bool) -> None:
    with pytest.raises(DownloadError, match=r"at most 1000|more than the 1000"):
        get(serve(length=length).url, tmp_path / "f", max_bytes=1000)
    assert names(tmp_path) == []


def test_redirects_to_files_are_refused(serve: Callable[..., Site], tmp_path: Path) -> None:
    good = serve()
    assert get(serve(redirect=good.url).url, tmp_path / "f").read_bytes() == BODY
    with pytest.raises(DownloadError, match="less safe"):
        get(serve(redirect="ftp://127.0.0.1/f").url, tmp_path / "g")


def test_two_at_once_download_it_once(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(delay=0.02)
    threads = [threading.Thread(target=get, args=(site.url, tmp_path / "f")) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert (tmp_path / "f").read_bytes() == BODY and names(tmp_path) == ["f"]


def test_unusable_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="http"):
        fetch("file:///etc/passwd", None, tmp_path / "f")
    with pytest.raises(InputError, match="and a host"):
        fetch("http://[", None, tmp_path / "f")
    with pytest.raises(InputError, match="no address"):
        fetch([], None, tmp_path / "f")
    (tmp_path / "f").mkdir()
    with pytest.raises(DownloadError, match="exists and is not a file"):
        fetch("http://127.0.0.1:9/f", None, tmp_path / "f")


def test_an_unwritable_folder_is_named(serve: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"cannot write .*FACEFEAT_CACHE"):
        get(serve().url, tmp_path / "file" / "f")
    with pytest.raises(DownloadError, match=r"cannot write .*\. Give another -o\.$"):
        get(serve().url, tmp_path / "file" / "f", hint="Give another -o.")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full disk")
@pytest.mark.parametrize("size", [1000, 700_000])
def test_a_full_disk_is_one_clear_error(serve: Callable[..., Site], tmp_path: Path, size: int) -> None:
    (tmp_path / "f.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"cannot write .*: No space left on device\. Make room\.$"):
        get(serve(body=BODY[:size]).url, tmp_path / "f", hint="Make room.")


def test_a_small_file_is_read_or_refused_in_one_sentence(serve: Callable[..., Site]) -> None:
    good = serve()
    assert read_bytes(good.url, 10**9, 5, DownloadError) == BODY
    assert read_bytes(good.url, 99, 5, DownloadError) == BODY[:100]
    for address in ("http://[", "https://[::1", serve(redirect="http://[").url):
        with pytest.raises(DownloadError, match=r"^cannot read .*[^.]\.$"):
            read_bytes(address, 99, 5, DownloadError)


def test_a_server_that_sends_a_little_now_and_then_is_left(serve: Callable[..., Site]) -> None:
    with pytest.raises(DownloadError, match=r"had not ended after 1\.5 seconds"):
        read_bytes(serve(delay=0.3).url, 10**9, 0.5, DownloadError)
