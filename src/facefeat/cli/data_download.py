"""`facefeat data download`: fetch a public data set from where its authors put it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from facefeat.cli._show import Bar, megabytes, progress, say, warn
from facefeat.cli.data_import import import_into

ELSEWHERE = {
    "utkface": "UTKFace is available from its authors on request: https://susanqq.github.io/UTKFace/. "
    "With its archive here: facefeat data import UTKFace.tar.gz -o DIR"
}
"""What cannot be fetched, and where to get it."""


@click.command("download")
@click.argument("name", metavar="NAME")
@click.option("--margin", type=click.Choice(["0.25", "1.25"]), default="0.25", show_default=True,
              help="Margin around the face, as a fraction of its size. 0.25: 0.6 GB, 1.25: 2.7 GB.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to download to. [default: NAME-MARGIN]")
@click.option("--import", "import_too", is_flag=True, help="Then import it into OUTPUT/table.")
def download(name: str, margin: str, output: Path | None, import_too: bool) -> None:
    """Fetch the data set NAME (fairface) with its labels.

    An interrupted download resumes; files that are complete are checked and not fetched again. FACEFEAT_MIRROR
    names a folder on the web that has the same files, to be asked instead of Google Drive.
    """
    from facefeat.data.fairface_download import LICENCE, download_fairface
    from facefeat.errors import DownloadError, InputError, did_you_mean
    from facefeat.utils.atomic import check_writable

    if name in ELSEWHERE:
        raise InputError(ELSEWHERE[name])
    if name != "fairface":
        raise InputError(f"no such data set to download. {did_you_mean(name, ['fairface'])}")
    folder = output or Path(f"fairface-{margin}")
    if folder.exists() and not folder.is_dir():
        raise DownloadError(f"{str(folder)!r} is a file. Give another --output, a folder.")
    check_writable(folder, DownloadError, ". Give another --output.")
    say(f"Licence: {LICENCE}", err=True)
    with ExitStack() as stack:
        archive = download_fairface(margin, folder, _Show(stack))
    say(f"{archive}: {megabytes(archive.stat().st_size)}")
    say(f"Licence: {LICENCE}")
    if not import_too:
        say(f"Next: facefeat data import {archive} -o DIR")
        return
    say()
    import_into(archive, folder / "table")


class _Show:
    """A bar for each file, in megabytes; where there is no terminal, one line for each."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._name, self._shown = stack, "", 0
        self._bar: Bar | None = None

    def __call__(self, name: str, done: int, total: int) -> None:
        if name != self._name:
            self._stack.close()
            self._name, self._shown = name, 0
            self._bar = self._stack.enter_context(progress(f"{name}, MB", max(1, round(total / 1e6))))
            if not sys.stderr.isatty():
                here = f", of which {megabytes(done)} are here" if done else ""
                warn(f"fetching {name}, {megabytes(total)}{here}")
        megabyte = done // 10**6
        if self._bar is not None and megabyte != self._shown:
            self._bar.advance(megabyte - self._shown, f"{name}, MB")
            self._shown = megabyte
