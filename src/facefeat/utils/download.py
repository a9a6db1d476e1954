"""Fetching large files: resumable, checked by hash, with mirrors, and one clear error.

    path = fetch(["https://a.example/x.h5", "https://b.example/x.h5"], sha256="...", target=cache_dir() / "x.h5")

A download grows in `x.h5.part` next to its target and is renamed at the end, so a target that exists is whole. Killed
or cut off, it resumes, if the server can do that and the file there is still the same one.

Where no hash is published (`sha256=None`), the hash of the first download is pinned: written to `x.h5.sha256` in
the form that `sha256sum -c` reads, and every later use must match it. That is no proof that the first download was
right, so `check` should then look inside the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facefeat.errors import DownloadError, FacefeatError, InputError
from facefeat.utils.files import read_json

Progress = Callable[[int, int | None], None]
"""Called as progress(bytes so far, bytes in all or None where the server does not say)."""

CHUNK = 1 << 18
_RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 30.0


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, 64 lower-case hex digits. Raises OSError where it cannot be read."""
    return _digest(Path(path), "sha256")


def fetch(
    urls: str | Sequence[str],
    sha256: str | None,
    target: str | Path,
    progress: Progress | None = None,
    *,
    md5: str | None = None,
    check: Callable[[Path], None] | None = None,
    max_bytes: int | None = None,
    attempts: int = 4,
    timeout: float = 30.0,
    pause: float = 0.5,
    hint: str = "FACEFEAT_CACHE names another folder.",
) -> Path:
    """The file at `target`, fetched from the first of `urls` that gives it, unless it is there already.

    urls: one http(s) address, or mirrors in order of preference.
    sha256: what the file must hash to; None pins the hash of the first download (see above).
    md5: a weaker hash for where the publisher gives only that; the SHA-256 is pinned as well.
    check: called with the path of the whole file before it gets its name; raises DownloadError to refuse it.
    max_bytes: refuse more. attempts: tries of one address without any progress before the next address.
    timeout: seconds that the server may be silent. pause: seconds before the second try, doubling from there.
    hint: what to do where the target cannot be written.

    Several processes may fetch the same target: one downloads, the others wait.
    Raises DownloadError where no address gives the right file, and for a target with the wrong hash (which is left as
    it is), or, ending in the hint, one that cannot be written; InputError for an address that is not http(s).
    """
    job = _Job(_addresses(urls), sha256.lower() if sha256 else None, md5, Path(target), check, max_bytes, hint)
    if job.ready():
        return job.target
    failures = []
    for url in job.urls:
        reason = _from_one_address(job, url, progress, attempts, timeout, pause)
        if reason is None:
            return job.target
        failures.append(f"{url}: {reason}")
    job.clean_up()
    raise DownloadError(
        f"cannot fetch {job.target.name}. {'; '.join(failures)}. "
        f"Without a connection, fetch it on another machine and save it as {str(job.target)!r}."
    )


class _Refused(Exception):
    """This address will not do, and trying again would not help."""


class _Interrupted(Exception):
    """The connection failed or broke; trying again may help. `wait`: what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class _Job:
    """What is to be fetched, what it must be, and the files next to it.

    part: the unfinished download. note: which version of which address that is, JSON {"url", "validator"}.
    pin: the hash of the first download.
    """

    urls: tuple[str, ...]
    sha256: str | None
    md5: str | None
    target: Path
    check: Callable[[Path], None] | None
    max_bytes: int | None
    hint: str
    part: Path = field(init=False)
    note: Path = field(init=False)
    pin: Path = field(init=False)

    def __post_init__(self) -> None:
        for name, suffix in (("part", ".part"), ("note", ".part.json"), ("pin", ".sha256")):
            object.__setattr__(self, name, self.target.with_name(self.target.name + suffix))

    def wanted(self) -> str | None:
        """The SHA-256 that the file must have: the published one, else the pinned one, else None."""
        if self.sha256 or not self.pin.is_file():
            return self.sha256
        words = self.pin.read_text("utf-8", errors="replace").split()
        if not words or len(words[0]) != 64:
            raise DownloadError(f"{str(self.pin)!r} holds no SHA-256. Delete it and {self.target.name}, and try again.")
        return words[0].lower()

    def ready(self) -> bool:
        """Whether the target is there and right; one that somebody put there by hand is checked and pinned."""
        if not self.target.exists():
            return False
        if not self.target.is_file():
            raise DownloadError(f"{str(self.target)!r} exists and is not a file.")
        if problem := self.mismatch(self.target):
            raise DownloadError(f"{str(self.target)!r} {problem}. Delete it, and it is fetched again.")
        if not self.sha256 and not self.pin.is_file():
            if self.check:
                self.check(self.target)
            self.write_pin(self.target)
        return True

    def mismatch(self, path: Path) -> str:
        """Why `path` is not the wanted file, or an empty string."""
        for kind, want in (("sha256", self.wanted()), ("md5", None if self.sha256 else self.md5)):
            if want and (got := _digest(path, kind)) != want:
                return f"has the wrong {kind}: received {got}, expected {want}"
        return ""

    def write_pin(self, path: Path) -> None:
        """Record the hash of `path` as the target's, in the form that `sha256sum -c` reads."""
        with self.writing(self.pin):
            self.pin.write_text(f"{sha256_of(path)}  {self.target.name}\n", "utf-8")

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Raises DownloadError, ending in the hint, where the block meets an OSError."""
        try:
            yield
        except OSError as e:
            raise DownloadError(f"cannot write {str(path)!r}: {e.strerror or e}. {self.hint}") from None

    def clean_up(self) -> None:
        """Remove an unfinished download that holds nothing; one that can be resumed stays."""
        if self.part.exists() and not _size(self.part):
            self.part.unlink(missing_ok=True)
            self.note.unlink(missing_ok=True)


def _from_one_address(
    job: _Job, url: str, progress: Progress | None, attempts: int, timeout: float, pause: float
) -> str | None:
    """Fetch the whole file from one address. None where the target is then there, else the reason."""
    failures, furthest, fresh = 0, _size(job.part), False
    while True:
        try:
            if _attempt(job, url, progress, timeout, fresh):
                return None
            reason, wait, fresh = "the download did not fit what was there before", 0.0, True
        except _Refused as e:
            return str(e)
        except _Interrupted as e:
            reason, wait, fresh = str(e), e.wait, False
        size = _size(job.part)
        # A bad line that still moves on may break as often as it likes; only standing still counts.
        failures = 0 if size > furthest else failures + 1
        furthest = max(furthest, size)
        if failures >= attempts:
            return reason
        time.sleep(min(max(wait, pause * 2 ** max(0, failures - 1)), _LONGEST_PAUSE))


def _attempt(job: _Job, url: str, progress: Progress | None, timeout: float, fresh: bool) -> bool:
    """One request, resumed where possible. True where the target is there at the end; False: start from nothing.

    Raises _Refused, _Interrupted, DownloadError.
    """
    start, validator = (0, None) if fresh else _resume_point(job, url)
    headers = {"User-Agent": "facefeat", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
    # The lock comes after the answer: without a connection nothing is made on disk.
    with _open(url, headers, timeout) as response, _lock(job):
        if job.target.exists():  # another process has finished it meanwhile
            return job.ready()
        if start and _size(job.part) != start:
            raise _Interrupted("another process is downloading the same file")
        if response.status == 416:
            return _give_up_part(job)
        if response.status == 206:
            first, total = _content_range(response.headers.get("Content-Range", ""))
            if first != start:
                raise _Refused(f"asked for the bytes from {start}, received them from {first}")
        else:
            start, total = 0, _number(response.headers.get("Content-Length"))
        if job.max_bytes is not None and (total or 0) > job.max_bytes:
            raise _Refused(f"offers {total} bytes; at most {job.max_bytes} are expected")
        if not start:
            with job.writing(job.part):
                job.part.write_bytes(b"")
                job.note.write_text(json.dumps({"url": url, "validator": _validator(response)}), "utf-8")
        _copy(job, response, start, total, progress)
        return _finish(job, resumed=start > 0)


def _copy(job: _Job, response: Any, start: int, total: int | None, progress: Progress | None) -> None:
    done = start
    if progress:
        progress(done, total)
    # Around all of it: on a full disk, closing the file fails as well.
    with job.writing(job.part), job.part.open("ab") as file:
        while True:
            try:
                block = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as e:
                raise _Interrupted(f"broke off after {done} bytes ({_why(e)})") from None
            if not block:
                break
            done += len(block)
            if job.max_bytes is not None and done > job.max_bytes:
                file.truncate(0)
                raise _Refused(f"sends more than the {job.max_bytes} bytes that are expected")
            file.write(block)
            file.flush()
            if progress:
                progress(done, total)
    if total is not None and done < total:  # http.client ends quietly when the connection does
        raise _Interrupted(f"broke off after {done} of {total} bytes")


def _finish(job: _Job, *, resumed: bool) -> bool:
    """Check the whole part and give it its name. False where a resumed one is wrong: the halves may not belong."""
    problem = job.mismatch(job.part)
    if not problem and job.check:
        try:
            job.check(job.part)
        except DownloadError as e:
            problem = str(e)
    if problem:
        job.part.write_bytes(b"")
        if resumed:
            return False
        raise _Refused(f"what came {problem}")
    if not job.sha256 and not job.pin.is_file():
        job.write_pin(job.part)
    with job.writing(job.target):
        os.replace(job.part, job.target)
        job.note.unlink(missing_ok=True)
    return True


def _resume_point(job: _Job, url: str) -> tuple[int, str | None]:
    """How many bytes of the part to keep, and what If-Range must say so that the rest belongs to them."""
    try:
        note = read_json(job.note)
        validator = note["validator"] if note["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        validator = None
    # With neither a validator nor a hash to check at the end, two halves of different files would go unnoticed.
    return (_size(job.part), validator) if validator or job.wanted() or job.md5 else (0, None)


def _give_up_part(job: _Job) -> bool:
    """The server has no bytes past ours: the part is whole, or it is of another file."""
    if (job.wanted() or job.md5) and not job.mismatch(job.part):
        return _finish(job, resumed=True)
    job.part.write_bytes(b"")
    return False


@contextlib.contextmanager
def _lock(job: _Job) -> Iterator[None]:
    """Alone with the target among all processes. The lock is a file of its own: HDF5 locks what it reads, too."""
    from filelock import FileLock

    path = job.target.with_name(job.target.name + ".lock")
    with job.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        if job.target.exists():  # another process that waits for the lock finds the target; until then it must stay
            path.unlink(missing_ok=True)


def read_bytes(url: str, most: int, timeout: float, error: type[FacefeatError]) -> bytes:
    """The body at an http(s) address, up to one byte more than `most`; for one small file that the user named.

    Raises `error`, in one sentence, where it cannot be had in `timeout` seconds a step, or in three steps' time.
    """
    until, body = time.monotonic() + 3 * timeout, bytearray()
    try:
        (address,) = _addresses(url)
        with _open(address, {"User-Agent": "facefeat"}, timeout) as response:
            while len(body) <= most and (piece := response.read1(min(CHUNK, most + 1 - len(body)))):
                body += piece
                if time.monotonic() > until:
                    raise _Interrupted(f"it had not ended after {3 * timeout:g} seconds")
    except (_Refused, _Interrupted, OSError, ValueError, http.client.HTTPException) as e:
        raise error(f"cannot read {url!r}: {_why(e).rstrip('.')}.") from None
    return bytes(body)


@contextlib.contextmanager
def _open(url: str, headers: dict[str, str], timeout: float) -> Iterator[Any]:
    opener = urllib.request.build_opener(_Redirects)
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as e:
        if e.code != 416 or "Range" not in headers:
            e.close()
            if e.code not in _RETRY_STATUS:
                raise _Refused(f"HTTP {e.code} {e.reason}") from None
            raise _Interrupted(f"HTTP {e.code} {e.reason}", _number(e.headers.get("Retry-After")) or 0) from None
        response = e
    except ValueError as e:  # an address that is none, as of a redirect
        raise _Refused(_why(e)) from None
    except (OSError, http.client.HTTPException) as e:
        raise _Interrupted(f"no connection ({_why(e)})") from None
    with response:
        yield response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to another http(s) address, but never from https to anything else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = _scheme(newurl)
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise _Refused(f"redirects to {newurl!r}, which is less safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _addresses(urls: str | Sequence[str]) -> tuple[str, ...]:
    found = (urls,) if isinstance(urls, str) else tuple(urls)
    if not found:
        raise InputError("fetch: no address was given.")
    for url in found:
        if _scheme(url) not in ("http", "https"):
            raise InputError(f"fetch: an address must begin with http:// or https://, and a host. Received: {url!r}.")
    return found


def _scheme(url: str) -> str:
    """The scheme of an address; "" where it is none, such as "http://["."""
    try:
        return urllib.parse.urlsplit(url).scheme
    except ValueError:
        return ""


def _validator(response: Any) -> str | None:
    """What If-Range may carry for this response: a strong ETag, else the date of last change, else None."""
    etag, date = response.headers.get("ETag"), response.headers.get("Last-Modified")
    return str(etag) if etag and not etag.startswith("W/") else date


def _content_range(value: str) -> tuple[int, int | None]:
    """(first byte, total or None) of "bytes 5-9/10". Raises _Refused for anything else."""
    unit, _, rest = value.partition(" ")
    span, _, total = rest.partition("/")
    first = _number(span.partition("-")[0])
    if unit != "bytes" or first is None:
        raise _Refused(f"answers with an unreadable Content-Range ({value!r})")
    return first, _number(total)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _why(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__
