"""What utils gives to every room: files of strangers, folders, text for terminals, cores, the cache folder."""

from __future__ import annotations

import csv
import glob
import os
import socket
import sys
from pathlib import Path

import pytest

from facefeat.utils.csv_rows import ENDING, LineFeeds, csv_writer
from facefeat.utils.files import is_compressed, matching, open_regular, parse_json, read_json, read_regular, walk
from facefeat.utils.machine import _quota, cache_dir, cores
from facefeat.utils.text import one_line, printable


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(tmp_path)
        made.bind("socket")
    for path in ("pipe", "link", "socket", "/dev/zero", "/dev/null", "/dev/tty"):
        with pytest.raises(OSError, match="no regular file|No such"):
            read_regular(path, 100)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    with pytest.raises(ValueError):
        open_regular("a\0b")


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs POSIX")
    (tmp_path / "a").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    real = os.stat(tmp_path / "a")
    monkeypatch.setattr(os, "stat", lambda path: real)
    with pytest.raises(OSError, match="no regular file"):
        open_regular(tmp_path / "pipe")


def test_more_bytes_than_allowed_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 11)
    assert read_regular(tmp_path / "a", 11) == b"x" * 11
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular(tmp_path / "a", 10)
    if Path("/proc/self/maps").exists():  # its size is said to be 0
        with pytest.raises(OSError, match="larger than 10 bytes"):
            read_regular("/proc/self/maps", 10)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_may_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    inside = tmp_path / "preset"
    inside.mkdir()
    (tmp_path / "secret").write_text("x")
    (inside / "card.md").write_text("card")
    (inside / "near").symlink_to("card.md")
    (inside / "far").symlink_to("../secret")
    (tmp_path / "other").symlink_to(inside)
    assert read_regular(inside / "near", 10, inside=inside) == b"card"
    assert read_regular(tmp_path / "other" / "card.md", 10, inside=tmp_path / "other") == b"card"
    for path in ("far", "../secret"):
        with pytest.raises(OSError, match="leads out of"):
            read_regular(inside / path, 10, inside=inside)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000, "\ufeff{}"])
def test_what_is_no_json_is_a_value_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, "utf-8")
    with pytest.raises(ValueError):
        parse_json(text)
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{\0}\0")
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json")


def test_a_folder_is_walked_in_order_without_the_hidden(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/10.txt", "z.txt", ".hidden", ".git/x", "__MACOSX/y", "a/c/1.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [(os.path.relpath(p, tmp_path).replace(os.sep, "/"), fault) for p, fault in walk(tmp_path)]
    assert found == [(n, None) for n in ("z.txt", "a/c/1.txt", "b/10.txt", "b/2.txt")]
    ((path, fault),) = walk(tmp_path / "none")
    assert path == str(tmp_path / "none") and isinstance(fault, FileNotFoundError)


@pytest.mark.parametrize(
    "pattern", ["**/*.jpg", "a/**/*.jpg", "**/**/*.jpg", "a/**/b/**/*", "*/**/x.jpg", "./**/*", "a**/x.jpg", "**/.h/*"]
)
def test_patterns_match_what_those_of_glob_do(pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/b/c/x.jpg", "a/x.jpg", "x.jpg", "a/.h/x.jpg", "a/b/y.png", "[z]/x.jpg", "q/b/x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert matching(pattern) == sorted(set(glob.glob(pattern, recursive=True)))
    whole = os.path.join(glob.escape(str(tmp_path)), pattern)
    assert matching(whole) == sorted(set(glob.glob(whole, recursive=True)))


def test_links_that_lead_up_do_not_make_a_pattern_endless(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").touch()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "itself").symlink_to(".")
    (tmp_path / "a" / "y.jpg").symlink_to("x.jpg")
    found = matching(f"{tmp_path}/**/*.jpg")  # by glob, 2^40 paths
    assert found == [str(tmp_path / "a" / "x.jpg"), str(tmp_path / "a" / "y.jpg")]


def test_compressed_files_are_told_by_their_first_bytes() -> None:
    assert all(map(is_compressed, (b"\x1f\x8b\x08abc", b"BZh91A", b"\xfd7zXZ\x00")))
    assert not any(map(is_compressed, (b"", b"a.jpg\0", b"PK\x03\x04", b"\xfd7zXZ\x01")))


def test_a_terminal_obeys_no_stranger() -> None:
    assert printable("Ärger  \u2265 50 %\n\tx\u00a0y") == "Ärger  \u2265 50 %\n\tx\u00a0y"
    assert printable("a\x1b[2Jb\r\x07\x9b\u202ec\udc80") == r"a\x1b[2Jb\r\x07\x9b\u202ec\udc80"
    assert one_line("a\n\x1b[2J b", 5) == "a [2…"


def test_cores_are_bound_by_the_quota_of_a_container(tmp_path: Path) -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    assert _quota(tmp_path, own) is None
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("max 100000\n")
    assert _quota(tmp_path, own) == 1.5
    own.write_text("4:cpu,cpuacct:/x\n0::/\n")  # version 1
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert _quota(tmp_path, own) is None
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000")
    assert _quota(tmp_path, own) == 0.5
    assert _quota(tmp_path, tmp_path / "none") is None


def test_the_cache_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEFEAT_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine" and not cache_dir().exists()
    monkeypatch.setenv("FACEFEAT_CACHE", "")
    assert "facefeat" in cache_dir().parts[-2:]


def test_a_cell_of_csv_may_hold_any_ending_of_a_line(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    names = ["a\rb.jpg", "a\nb.jpg", "a\r\nb.jpg", 'a"b,c.jpg', "plain.jpg"]
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as out:
        csv_writer(out).writerows([("file",), *((n,) for n in names)])
    with (tmp_path / "table.csv").open("w", newline="", encoding="utf-8") as out:
        pd.DataFrame({"file": names}).to_csv(LineFeeds(out), index=False, lineterminator=ENDING)
    for name in ("rows.csv", "table.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            assert [row[0] for row in csv.reader(file)] == ["file", *names]
        assert list(pd.read_csv(tmp_path / name)["file"]) == names
        assert (tmp_path / name).read_bytes().endswith(b"plain.jpg\n")
