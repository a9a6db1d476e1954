"""Fetching FairFace from where its authors put it: a zip of pictures and two tables of labels, on Google Drive.

The importer reads the resulting folder. There are no published hashes of the files, so the
first download's are pinned next to them (`facefeat.utils.download`), and every file is looked into before it is kept.

`$FACEFEAT_MIRROR` names a folder on the web that has the same files by their names; it is then asked instead.
"""

from __future__ import annotations

import csv
import os
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from facefeat.errors import DownloadError, InputError, did_you_mean
from facefeat.utils.download import fetch
from facefeat.utils.files import expanded

DRIVE = "https://drive.usercontent.google.com/download"
PAGE = "https://github.com/joojs/fairface"
LICENCE = "FairFace: CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), Kärkkäinen and Joo, WACV 2021"
PATIENCE: dict[str, Any] = {"attempts": 4, "timeout": 60.0, "pause": 0.5}
"""How `fetch` meets a bad line."""
ROOM = "Give another --output, or make room there: the same command then resumes."

Progress = Callable[[str, int, int], None]
"""Called as progress(file name, bytes so far, bytes in all; about so many where the server does not say)."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of FairFace. drive_id: its name on Google Drive. about: its size in bytes, to show and to bound it."""

    name: str
    drive_id: str
    about: int


LABELS = (
    RemoteFile("fairface_label_train.csv", "1i1L3Yqwaio7YSOCj7ftgk8ZZchPG7dmH", 3_600_000),
    RemoteFile("fairface_label_val.csv", "1wOdja-ezstMEp81tX1a-EYkFebev4h7D", 450_000),
)
PICTURES = {
    "0.25": RemoteFile("fairface-img-margin025-trainval.zip", "1Z1RqRo0_JiavaZw2yzZG6WETdZQ8qX86", 578_000_000),
    "1.25": RemoteFile("fairface-img-margin125-trainval.zip", "1g7qNOZz9wC7OfOhcPqH1EZ5bk1UFGmlL", 2_670_000_000),
}
"""Margin around the face, as a fraction of its size -> the archive."""


def download_fairface(margin: str, folder: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """Fetch labels and pictures into a folder, unless they are there; returns the archive's path.

    margin: "0.25" or "1.25". An interrupted download resumes.
    Raises DownloadError where a file cannot be had or is not what it should be; InputError for another margin.
    """
    if margin not in PICTURES:
        raise InputError(f"FairFace has no such margin. {did_you_mean(str(margin), PICTURES)}")
    pictures, place = PICTURES[margin], expanded(folder)
    try:
        for file in LABELS:
            _get(file, place, _check_table, progress)
        return _get(pictures, place, _check_zip, progress)
    except DownloadError as e:
        if str(e).endswith(ROOM):  # by hand it would meet the same folder
            raise
        reason = str(e).partition(" Without a connection")[0]
        raise DownloadError(
            f"{reason} By hand: fetch {pictures.name} (margin {margin}) and both tables of labels from {PAGE} into one"
            f" folder, then: facefeat data import FOLDER/{pictures.name} -o DIR"
        ) from None


def _get(file: RemoteFile, folder: Path, check: Callable[[Path], None], progress: Progress | None) -> Path:
    def step(done: int, total: int | None) -> None:
        if progress:
            progress(file.name, done, total or max(done, file.about))

    page = _Page()

    def look(path: Path) -> None:
        page.read(path)
        check(path)

    def get(url: str) -> Path:
        most = 2 * file.about + 10**6
        return fetch(url, None, folder / file.name, step, check=look, max_bytes=most, hint=ROOM, **PATIENCE)

    mirror = os.environ.get("FACEFEAT_MIRROR")
    if mirror:
        return get(f"{mirror.rstrip('/')}/{file.name}")
    try:
        # "confirm" answers the question whether a file too large to be scanned for viruses is wanted all the same.
        return get(f"{DRIVE}?{urllib.parse.urlencode({'id': file.drive_id, 'export': 'download', 'confirm': 't'})}")
    except DownloadError:
        if not page.confirmed:
            raise
    # It asks for a confirmation nevertheless: the form on the page has the answer.
    return get(page.confirmed)


class _Page(HTMLParser):
    """A web page that came in place of a file: its title, and the address that its download form leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.confirmed = ""
        self.title = ""
        self._action = ""
        self._fields: dict[str, str] = {}
        self._in_title = False

    def read(self, path: Path) -> None:
        """Look whether a file is a web page. Raises DownloadError, with its title, where it is one."""
        with path.open("rb") as f:
            start = f.read(200_000)
        if start.lstrip()[:1] != b"<":
            return
        self.feed(start.decode("utf-8", "replace"))
        target = urllib.parse.urlsplit(self._action)
        # Only to where the file was asked for in the first place.
        if self._fields.get("id") and target.netloc == urllib.parse.urlsplit(DRIVE).netloc:
            self.confirmed = f"{self._action.partition('?')[0]}?{urllib.parse.urlencode(self._fields)}"
        said = f" that says {' '.join(self.title.split())[:100]!r}" if self.title.strip() else ""
        raise DownloadError(f"is a web page{said}, not the file")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the form and its hidden fields."""
        values = {k: v or "" for k, v in attrs}
        if tag == "form" and not self._action:
            self._action = values.get("action", "")
        elif tag == "input" and self._action and values.get("type") == "hidden":
            self._fields[values.get("name", "")] = values.get("value", "")
        self._in_title = tag == "title"

    def handle_data(self, data: str) -> None:
        """Remember the title."""
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        """The title ends."""
        self._in_title = False


def _check_table(path: Path) -> None:
    """Raises DownloadError for what is not a table of labels."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as f:
            rows = csv.reader(f)
            header, first = next(rows, []), next(rows, [])
    except (UnicodeDecodeError, csv.Error):
        header, first = [], []
    if not {"file", "age", "gender", "race"} <= set(header) or len(first) != len(header):
        raise DownloadError("is not a table of FairFace's labels (columns file, age, gender, race)")


def _check_zip(path: Path) -> None:
    """Raises DownloadError for what is not a whole zip with pictures of both splits. Reads all of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as e:
        raise DownloadError(f"is not a whole zip ({e})") from None
    if broken:
        raise DownloadError(f"is a damaged zip: {broken!r} in it is not what was packed")
    for split in ("train", "val"):
        if not any(n.endswith(".jpg") and f"/{split}/" in f"/{n}" for n in names):
            raise DownloadError(f"has no pictures of the split {split!r}")
