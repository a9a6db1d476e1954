"""Atomic files and folders: earlier content or all of the new, and nothing left of a writer that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facefeat.errors import DataError, InputError
from facefeat.image.video import write_frames
from facefeat.utils.atomic import (
    atomic_file,
    atomic_folder,
    check_folder,
    check_writable,
    replace_folder,
    sweep,
    temporary_folder,
    write_text,
)

_WRITER = """
import sys, time
from pathlib import Path
from facefeat.utils import atomic

def stop():
    print("ready", flush=True)
    time.sleep(60)

target = Path(sys.argv[2])
if sys.argv[1] == "file":
    with atomic.atomic_file(target) as new:
        new.write_text("half")
        stop()
elif sys.argv[1] == "folder":
    with atomic.atomic_folder(target, "a report", lambda _: True) as new:
        (new / "a.txt").write_text("half")
        stop()
else:  # between the two renames
    real = atomic.os.replace
    def replace(source, goal):
        if Path(goal) == target:
            stop()
        real(source, goal)
    atomic.os.replace = replace
    with atomic.atomic_folder(target, "a report", lambda _: True) as new:
        (new / "a.txt").write_text("new")
"""


def writer(kind: str, target: Path) -> subprocess.Popen[str]:
    """A process that has begun to write, and waits."""
    process = subprocess.Popen([sys.executable, "-c", _WRITER, kind, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("kind", ["file", "folder", "swap"])
def test_what_a_killed_writer_left_is_swept_by_the_next(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "x[1].d"
    if kind == "file":
        target.write_text("before")
    else:
        target.mkdir()
        (target / "a.txt").write_text("before")
    process = writer(kind, target)
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] != [target.name], "its writer lives"
    kill(process)
    assert target.exists() == (kind != "swap")
    write_text(tmp_path / "other.txt", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.txt", target.name]
    assert (target if kind == "file" else target / "a.txt").read_text() == "before"


def test_folders_that_look_like_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".x-abcdefgh.tmp").mkdir()
    (tmp_path / ".x-abcdefgh.tmp" / "mine.txt").touch()
    write_text(tmp_path / "x", "")
    assert (tmp_path / ".x-abcdefgh.tmp" / "mine.txt").exists()


def fail() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("no"), KeyboardInterrupt()])
def test_an_error_leaves_the_earlier_file(error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_text("before")
    with pytest.raises((DataError, type(error))) as caught, atomic_file(target, DataError, ". Make room.") as new:
        assert new.name == target.name, "its ending tells the format"
        new.write_text("half")
        raise error
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {str(target)!r}: No space left on device. Make room."
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"] and target.read_text() == "before"


def test_an_error_leaves_the_earlier_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(then: Callable[[], None]) -> None:
        with atomic_folder(tmp_path / "r", "a report", {"a.txt"}.__contains__) as new:
            (new / "a.txt").write_text(then.__name__)
            then()

    write(lambda: None)
    with pytest.raises(InputError, match="cannot write the report to .*No space left"):
        write(fail)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if source.name == "new":
            fail()
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(InputError, match="cannot write the report to .*No space left"):
        write(print)
    assert [p.name for p in tmp_path.iterdir()] == ["r"] and (tmp_path / "r" / "a.txt").read_text() == "<lambda>"


def test_a_folder_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for name in ("r", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "new", tmp_path / "r")
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["r", "r/new"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_what_is_written_may_be_read_by_others(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "x")
        with atomic_folder(tmp_path / "r", "a report", lambda _: True):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o755


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    name = "é" * 125 + ".txt"
    write_text(tmp_path / name, "x")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_writers_in_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "a") as first, temporary_folder(tmp_path / "a") as second:
        assert first != second and first.is_dir() and second.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write '.*file/x': Not a directory. Next."):
        check_writable(tmp_path / "file" / "x", DataError, ". Next.")
    with pytest.raises(InputError, match="is not a report"):
        check_folder(tmp_path, "a report", {"report.html"}.__contains__)
    check_writable(tmp_path / "a" / "b" / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")  # as /dev/stdout is one
    for name in ("pipe", "link"):
        with pytest.raises(InputError, match="it is no regular file"):
            check_writable(tmp_path / name)
        with pytest.raises(InputError, match="it is no regular file"):
            write_text(tmp_path / name, "a")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="it is no regular file"):
        write_frames(np.zeros((1, 8, 8, 3), "uint8"), tmp_path / "pipe.png")
    (tmp_path / "pipe.png").unlink()
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]
    (tmp_path / "nowhere").symlink_to("gone")
    write_text(tmp_path / "nowhere", "a")
    assert (tmp_path / "nowhere").read_text() == "a"
