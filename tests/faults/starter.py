"""One process that has imported what an operation needs, and is forked for each run: a start costs nothing then.

`Starter(modules)` starts it; `start` gives a forked run, whose `wait` says the exit code. Run as a program, this file
is that process: a line of JSON for each run on its standard input, the run's process id and then its exit code on its
standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Started:
    """A forked run. code: its exit code, or minus the signal that ended it, once `ended` is set."""

    process: int
    code: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """Whether it ended by itself in this time."""
        return self.ended.wait(seconds)

    def kill(self) -> None:
        """Kill -9."""
        os.kill(self.process, signal.SIGKILL)
        self.ended.wait()


class Starter:
    """modules: that are imported before the first fork. None may start a thread."""

    def __init__(self, modules: Sequence[str]) -> None:
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self._running: dict[int, Started] = {}
        self._begun: list[Started] = []
        self._ready = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            process, code = json.loads(line)
            if code is None:
                self._running[process] = started = Started(process)
                self._begun.append(started)
                self._ready.release()
            else:
                ended = self._running.pop(process)
                ended.code = code
                ended.ended.set()

    def start(self, command: Sequence[str], folder: Path, limit: int | None, log: str = "log") -> Started:
        """Fork, and run a command of `facefeat`, or `-c` and a program, in a folder. limit: bytes of a file."""
        assert self._process.stdin is not None
        about = {"command": list(command), "folder": str(folder), "limit": limit, "log": log}
        self._process.stdin.write(json.dumps(about) + "\n")
        self._process.stdin.flush()
        if not self._ready.acquire(timeout=600):
            raise TimeoutError("no run was started")
        return self._begun.pop(0)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _serve(modules: Sequence[str]) -> dict[str, Any] | None:
    """Fork for each line; what a child has to do is what comes back in it."""
    for name in modules:
        importlib.import_module(name)
    lines, answers = os.fdopen(os.dup(0), "r", buffering=1), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)

    def answer(process: int, code: int | None) -> None:
        os.write(answers, json.dumps([process, code]).encode() + b"\n")

    def watch(process: int) -> None:
        _, status = os.waitpid(process, 0)
        answer(process, os.waitstatus_to_exitcode(status))

    for line in iter(lines.readline, ""):
        child = os.fork()
        if not child:
            os.close(answers)
            return dict(json.loads(line))
        answer(child, None)
        threading.Thread(target=watch, args=(child,), daemon=True).start()
    return None


def _become(about: dict[str, Any]) -> None:
    os.chdir(about["folder"])
    os.environ["FACEFEAT_CACHE"] = str(Path(about["folder"]) / "cache")
    log = os.open(about["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if about["limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (about["limit"], about["limit"]))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    words = about["command"]
    if words[0] == "-c":
        exec(compile(words[1], "<program>", "exec"), {"__name__": "__main__"})
    else:
        from facefeat.cli import main

        main(words)


if __name__ == "__main__":
    sys.path[:] = [p for p in sys.path if p != str(Path(__file__).parent)]  # as for any installed program
    if (mine := _serve(sys.argv[1:])) is not None:
        _become(mine)
