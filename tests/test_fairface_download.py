"""`facefeat data download fairface` against a local server that is slow, cuts off, sends garbage or asks first."""

from __future__ import annotations

import contextlib
import http.server
import io
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from facefeat.cli import run
from facefeat.data import fairface_download, load_dataset
from facefeat.data.fairface_download import LABELS, PICTURES, download_fairface
from facefeat.errors import DownloadError, InputError
from loopback import serving
from made_data import jpeg

HEADER = b"file,age,gender,race,service_test\n"
ARCHIVE = PICTURES["0.25"]
IDS = {f.drive_id: f.name for f in (*LABELS, *PICTURES.values())}


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for i, name in enumerate(names):
            made.writestr(name, jpeg(i, 48))
    return out.getvalue()


def files() -> dict[str, bytes]:
    """What FairFace's authors give out, small."""
    rows = {"train": b"train/1.jpg,3-9,Male,Indian,TRUE\n", "val": b"val/1.jpg,20-29,Female,White,TRUE\n"}
    pictures = archive("train/1.jpg", "val/1.jpg")
    return {**{f.name: HEADER + rows[f.name[15:-4]] for f in LABELS}, **{p.name: pictures for p in PICTURES.values()}}


@dataclass
class Server:
    """A folder on the web, and Google Drive: what it has, what it does, and the paths that it was asked for.

    cut_after: bytes of one answer before the connection drops. delay: seconds between pieces of 500 bytes.
    asks: whether Drive answers with the page that asks whether the file is wanted all the same.
    """

    files: dict[str, bytes] = field(default_factory=files)
    cut_after: int | None = None
    delay: float = 0.0
    asks: bool = False
    asked: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        self.ranges.append(request.headers.get("Range"))
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        name = IDS.get(query["id"], "") if "id" in query else url.path.strip("/")
        if name not in self.files:
            request.send_error(404)
            return
        body = self.files[name]
        if self.asks and name == ARCHIVE.name and query.get("uuid") != "4711":
            body = self.page(query["id"]).encode()
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("ETag", f'"{len(body)}"')
        request.end_headers()
        piece = body[start:][: self.cut_after]
        for i in range(0, len(piece), 500):
            request.wfile.write(piece[i : i + 500])
            time.sleep(self.delay)

    def page(self, drive_id: str, action: str = "") -> str:
        """Drive's page on a file too large to be scanned for viruses."""
        fields = {"id": drive_id, "export": "download", "confirm": "t", "uuid": "4711"}
        hidden = "".join(f'<input type="hidden" name="{k}" value="{v}">' for k, v in fields.items())
        return (
            "<!DOCTYPE html><html><head><title>Google Drive - Virus scan\n warning</title></head><body>"
            f'<form id="download-form" action="{action or self.url + "/download"}" method="get">'
            f'<input type="submit" value="Download anyway">{hidden}</form></body></html>'
        )


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts a server on loopback that stands for Drive: serve(**what it does)."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("FACEFEAT_MIRROR", raising=False)
    monkeypatch.setattr(fairface_download, "PATIENCE", {"attempts": 2, "timeout": 5.0, "pause": 0.001})
    with contextlib.ExitStack() as servers:

        def start(**kwargs: Any) -> Server:
            made = Server(**kwargs)
            made.url = servers.enter_context(serving(made.answer))
            monkeypatch.setattr(fairface_download, "DRIVE", f"{made.url}/download")
            return made

        yield start


def kept(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if p.suffix not in (".lock", ".sha256")} if folder.exists() else set()


WHOLE = {*(f.name for f in LABELS), ARCHIVE.name}


def test_a_slow_line_that_breaks_off_is_resumed_and_the_folder_can_be_imported(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server, seen = serve(delay=0.001, cut_after=600), []
    path = download_fairface("0.25", tmp_path / "ff", lambda *told: seen.append(told))
    assert path == tmp_path / "ff" / ARCHIVE.name and kept(path.parent) == WHOLE
    assert path.read_bytes() == server.files[ARCHIVE.name]
    assert "bytes=600-" in server.ranges and "bytes=1200-" in server.ranges
    assert {name for name, _, _ in seen} == WHOLE and seen[-1][1:] == (path.stat().st_size,) * 2
    assert load_dataset(path).splits == {"train": 1, "val": 1}
    asked = len(server.asked)
    download_fairface("0.25", tmp_path / "ff")
    assert len(server.asked) == asked, "what is there is not fetched again"


def test_a_line_that_breaks_off_for_good_says_what_to_do_by_hand(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(cut_after=600)
    server.files[ARCHIVE.name] = server.files[ARCHIVE.name] * 3
    del server.files[LABELS[1].name]
    with pytest.raises(DownloadError) as e:
        download_fairface("0.25", tmp_path)
    said = str(e.value)
    assert f"cannot fetch {LABELS[1].name}" in said and "HTTP 404" in said
    assert "By hand: fetch" in said and "facefeat data import" in said and "Without a connection" not in said
    server.files, server.cut_after = files(), 0
    with pytest.raises(DownloadError, match=r"broke off after 0 of .* bytes.*By hand"):
        download_fairface("0.25", tmp_path)
    server.cut_after = None
    assert download_fairface("0.25", tmp_path).is_file()


HALF = {**files(), ARCHIVE.name: files()[ARCHIVE.name][:-30]}
WRONG = bytearray(files()[ARCHIVE.name])
WRONG[200] ^= 255  # within the first picture


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (LABELS[0].name, b"<html><title>Sign in</title></html>", "is a web page that says 'Sign in', not the file"),
        (LABELS[0].name, b"\xff\xfe\x00garbage", "is not a table of FairFace's labels"),
        (LABELS[0].name, b"a,b\n1,2\n", "is not a table of FairFace's labels"),
        (LABELS[0].name, HEADER, "is not a table of FairFace's labels"),
        (ARCHIVE.name, b"garbage", "is not a whole zip"),
        (ARCHIVE.name, HALF[ARCHIVE.name], "is not a whole zip"),
        (ARCHIVE.name, bytes(WRONG), "is a damaged zip: 'train/1.jpg'"),
        (ARCHIVE.name, archive("train/1.jpg"), "has no pictures of the split 'val'"),
        (LABELS[0].name, HEADER * 300_000, "at most"),
    ],
)
def test_garbage_is_refused_and_not_kept(
    serve: Callable[..., Server], tmp_path: Path, name: str, body: bytes, message: str
) -> None:
    server = serve()
    server.files[name] = body
    with pytest.raises(DownloadError, match=message):
        download_fairface("0.25", tmp_path)
    assert name not in kept(tmp_path) and not list(tmp_path.glob("*.part"))
    server.files = files()
    assert download_fairface("0.25", tmp_path).is_file() and kept(tmp_path) == WHOLE


def test_the_page_of_drive_that_asks_first_is_answered(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(asks=True)
    path = download_fairface("0.25", tmp_path)
    assert path.read_bytes() == server.files[ARCHIVE.name]
    last = urllib.parse.urlsplit(server.asked[-1])
    assert dict(urllib.parse.parse_qsl(last.query))["uuid"] == "4711" and last.path == "/download"


def test_a_form_that_leads_elsewhere_is_not_followed(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = serve()
    server = serve()
    server.files[ARCHIVE.name] = server.page(ARCHIVE.drive_id, f"{elsewhere.url}/download").encode()
    with pytest.raises(DownloadError, match="is a web page that says 'Google Drive - Virus scan warning'"):
        download_fairface("0.25", tmp_path)
    assert not elsewhere.asked


def test_the_mirror_is_asked_instead(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, drive = serve(), serve()
    monkeypatch.setenv("FACEFEAT_MIRROR", f"{mirror.url}/")
    assert download_fairface("1.25", tmp_path).name == PICTURES["1.25"].name
    assert mirror.asked == [f"/{f.name}" for f in (*LABELS, PICTURES["1.25"])] and not drive.asked


def test_a_margin_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such margin.*0.25, 1.25"):
        download_fairface("0.5", tmp_path)


def test_a_place_that_cannot_be_written_is_told_without_a_way_by_hand(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    serve()
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError) as e:
        download_fairface("0.25", tmp_path / "file" / "ff")
    said = str(e.value)
    assert "cannot write" in said and "--output" in said and "By hand" not in said and "FACEFEAT_CACHE" not in said


def call(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = run(["data", "download", *map(str, args)])
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), " ".join(err.split())


def test_the_command_fetches_and_imports(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve()
    code, out, err = call(capsys, "fairface", "-o", tmp_path / "ff")
    assert code == 0 and "Licence: FairFace: CC BY 4.0" in err and f"fetching {ARCHIVE.name}" in err
    assert f"Next: facefeat data import {tmp_path / 'ff' / ARCHIVE.name} -o DIR" in out
    code, out, _ = call(capsys, "fairface", "-o", tmp_path / "ff", "--import")
    assert code == 0 and "fairface: 2 faces (train 1, val 1), schema fairface" in out
    assert load_dataset(tmp_path / "ff" / "table").splits == {"train": 1, "val": 1}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["fareface"], 2, "Did you mean 'fairface'"),
        (["utkface"], 2, "available from its authors on request"),
        (["fairface", "--margin", "0.5"], 2, "Received: '0.5'."),
        (["fairface", "-o", "{folder}/ff"], 1, "By hand"),
        (["fairface", "-o", "{folder}/file/ff"], 1, "Give another --output"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    serve: Callable[..., Server],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    code: int,
    message: str,
) -> None:
    server = serve()
    server.files[LABELS[1].name] = b"garbage"
    (tmp_path / "file").touch()
    got, out, err = call(capsys, *(a.format(folder=tmp_path) for a in args))
    assert got == code and message in err and "Traceback" not in err and not out
