"""One hostile case, and how it is tried: in a forked process, with limits, its output read as a terminal would."""

from __future__ import annotations

import os
import random
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "60"))
"""Wall clock of a case: an honest one takes one or two, on a machine with other work much more."""
MEGABYTES = 1500
"""Of resident memory, everything included."""
ADDRESS_SPACE = 12 * 1024**3
"""Bytes beyond which the system refuses: this machine is to live on."""


@dataclass(frozen=True)
class Case:
    """What is tried.

    make: writes the files into an empty folder. command: of `facefeat`, in that folder; or a function that is called
    there. exit: codes that are right. says: part of the output, whatever its case. never: parts that must not be there.
    terminal: whether the output is a terminal.
    """

    group: str
    name: str
    make: Callable[[Path], Any]
    command: tuple[str, ...] | Callable[[Path], Any]
    exit: tuple[int, ...] = (1, 2)
    says: str = ""
    never: tuple[str, ...] = ()
    terminal: bool = False
    megabytes: int = MEGABYTES
    seconds: float = SECONDS


@dataclass(frozen=True)
class Verdict:
    """How it went. fault: "" where all is well. seconds, megabytes: that it took."""

    case: Case
    fault: str
    seconds: float = 0.0
    megabytes: int = 0


def rng(seed: int, name: str) -> random.Random:
    """Random numbers of a case, the same whatever other cases there are."""
    return random.Random(f"{seed}/{name}")


def attempt(case: Case, folder: Path) -> Verdict:
    """Try a case in an empty folder."""
    began = time.monotonic()
    try:
        case.make(folder)
    except Exception as e:  # noqa: BLE001 - a case that cannot be made is a fault of the corpus
        return Verdict(case, f"cannot be made: {e!r}")
    output, code, peak = _run(case, folder)
    fault = _judge(case, folder, output, code, peak)
    return Verdict(case, fault, time.monotonic() - began, peak)


def _run(case: Case, folder: Path) -> tuple[str, int | str, int]:
    """(output, exit code or how it ended, megabytes at most)."""
    read, write = os.openpty() if case.terminal else os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os.close(read)
        _child(case, folder, write)
    os.close(write)
    parts: list[bytes] = []
    until, ended, usage = time.monotonic() + case.seconds, False, None
    while True:
        ready, _, _ = select.select([read], [], [], 0.05)
        data = b""
        if ready:
            try:
                data = os.read(read, 65536)
            except OSError:  # a terminal whose other side is closed
                data = b""
            parts.append(data)
        if usage is None:
            pid, status, found = os.wait4(child, os.WNOHANG)
            usage = (status, found) if pid else None
        if usage is not None and not data:
            break
        if time.monotonic() > until and usage is None:
            os.kill(child, signal.SIGKILL)
            _, status, found = os.wait4(child, 0)
            usage, ended = (status, found), True
    os.close(read)
    status, found = usage
    code: int | str = "ran out of time" if ended else os.waitstatus_to_exitcode(status)
    return b"".join(parts).decode("utf-8", "backslashreplace"), code, found.ru_maxrss // 1024


def _child(case: Case, folder: Path, write: int) -> None:
    code = 70
    try:
        os.chdir(folder)
        os.environ["FACEFEAT_CACHE"] = str(folder / ".cache")
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, write), (2, write)):
            os.dup2(source, target)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
        if callable(case.command):
            case.command(folder)
            code = 0
        else:
            from facefeat.cli import run

            code = run(case.command)
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 70
    except BaseException:  # noqa: BLE001 - what a user would see
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_STYLE = re.compile("\x1b\\[[0-9;]*m|\x1b\\[\\?25[hl]|\x1b\\[2K|\x1b\\[1A|\x1b\\[\\?7[hl]")
"""Of our own tables and bars."""


def _judge(case: Case, folder: Path, output: str, code: int | str, peak: int) -> str:
    if isinstance(code, str) or code < 0:
        return f"{code if isinstance(code, str) else f'killed by signal {-code}'}: {output[-300:]!r}"
    if "Traceback (most recent" in output or "Exception ignored" in output:
        return f"traceback: {output[-400:]!r}"
    if code not in case.exit:
        return f"exit code {code}, not {case.exit}: {output[-300:]!r}"
    text = _STYLE.sub("", output) if case.terminal else output
    text = text.replace("\r", "\n") if case.terminal else text
    if harmful := _HARMFUL.search(text):
        return f"{harmful[0]!r} reached the {'terminal' if case.terminal else 'pipe'}"
    if case.says.casefold() not in " ".join(output.split()).casefold():
        return f"does not say {case.says!r}: {output[-300:]!r}"
    for part in ("root:x:0", "root:*:", *case.never):
        if part in output:
            return f"says {part!r}: {output[-300:]!r}"
    if code and not callable(case.command) and not re.search(r"^(facefeat: |Error: |plugin )", text, re.MULTILINE):
        return f"fails without a sentence: {output[-300:]!r}"
    if peak > case.megabytes:
        return f"took {peak} MB, more than {case.megabytes}"
    left = [p.name for p in folder.rglob(".*.tmp")]
    return f"left {left}" if left else ""
