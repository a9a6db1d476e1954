"""Deletes what visitors left, as long as the page runs, whatever it meets, and returns free memory. No Gradio.

Gradio has a task of its own for that, which ends for ever with the first file that cannot be deleted.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from facefeat_demo.visits import return_memory

DELETE_EVERY, DELETE_AFTER = 300.0, 3600.0
"""Seconds: how often old files are looked for, and how old they may be. A session's files go when it ends."""


def delete_old(folder: Path, age: float, keep: Collection[str] = ()) -> int:
    """Delete the files under a folder that are older than some seconds, and folders that this leaves empty.

    keep: paths that stay. What cannot be deleted is left for the next time. Returns how many files went.
    """
    now, gone = time.time(), 0
    for at, folders, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(at, name)
            with contextlib.suppress(OSError):  # deleted meanwhile, or not ours
                about = os.lstat(path)
                # A clock that was set back must not keep photos for ever.
                if path not in keep and not 0 <= now - max(about.st_ctime, about.st_mtime) <= age:
                    os.unlink(path)
                    gone += 1
        for name in folders:
            path = os.path.join(at, name)
            with contextlib.suppress(OSError):  # not empty
                if not 0 <= now - os.lstat(path).st_mtime <= age:
                    os.rmdir(path)
    return gone


@contextlib.contextmanager
def cleaned(
    folder: Path,
    keep: Callable[[], Collection[str]],
    say: Callable[[str], Any],
    every: float | None = None,
    age: float | None = None,
) -> Iterator[threading.Thread]:
    """Look for old files every few seconds for the length of a block, in a thread; by default as said above.

    keep: gives the paths that stay. say: called with a message where a turn failed; the next one comes all the same.
    """
    every, age = every or DELETE_EVERY, DELETE_AFTER if age is None else age
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            try:
                delete_old(folder, age, keep())
                return_memory()
            except Exception as e:  # noqa: BLE001 - photos of visitors must go, whatever went wrong this time
                say(f"old files could not be looked for, and will be in {every:g} s: {type(e).__name__}: {e}")

    thread = threading.Thread(target=run, name="facefeat-demo-cleaner", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join(10)
