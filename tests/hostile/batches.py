"""Lists, folders and addresses of strangers, given to `batch`: no request is sent, no device read, nothing hangs."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case, rng
from hostile.pictures import encoded

BATCH = ("batch", "l.txt", "--detector", "whole-image", "-o", "out.parquet")
SCHEMES = tuple(
    "http https ftp sftp ssh webhdfs hdfs smb github gist git reference dask file local memory data s3 gs abfs hf "
    "jupyter libarchive zip tar dir simplecache filecache blockcache dropbox oci root lakefs box asyncwrapper".split()
)
CHAINS = (
    *(
        "simplecache::http://{}/a.png",
        "dir://x::webhdfs://{}/a",
        "filecache::ftp://{}/a.png",
        "zip://a.png::http://{}/a.zip",
    ),
    *("blockcache::simplecache::webhdfs://{}/a.png", "reference://a::http://{}/r.json", "tar://a::ssh://{}/b"),
)


class Listener:
    """A server on loopback that counts who connects. It is started before the case, in its parent."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(8)
        self.at = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.heard: list[str] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            client, _ = self.socket.accept()
            self.heard.append("somebody")
            client.close()


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []
    picture = encoded("png", "RGB", 24)

    def add(name: str, content: bytes | str | Callable[[Path], object], *command: str, **options: Any) -> None:
        def make(folder: Path) -> None:
            (folder / "good.png").write_bytes(picture)
            if callable(content):
                content(folder)
            else:
                (folder / "l.txt").write_bytes(os.fsencode(content) if isinstance(content, str) else content)

        out.append(Case("batches", name, make, command or BATCH, **{"exit": (0, 1, 2), **options}))

    def forged(name: str, line: str) -> None:
        """The list is read where a socket listens at the port: the case fails where anybody connects."""

        def command(folder: Path) -> None:
            listener = Listener()
            (folder / "l.txt").write_text(line.format(listener.at) + "\ngood.png\n")
            from facefeat.cli import run

            code = run(BATCH)
            assert code == 0, f"exit code {code}: the good picture has its row"
            assert not listener.heard, "a request was sent"
            import pyarrow.parquet as pq

            (reason,) = [r for r in pq.read_table("out.parquet").column("reason").to_pylist() if r]
            assert "is not read" in reason, reason

        out.append(Case("batches", name, lambda f: (f / "good.png").write_bytes(picture), command, exit=(0,)))

    for scheme in SCHEMES:
        forged(f"scheme-{scheme}", f"{scheme}://{{}}/a.png")
    forged("scheme-upper", "HTTP://{}/a.png")
    for number, chain in enumerate(CHAINS):
        forged(f"chain-{number}", chain)
    for name, content in {
        "empty": "",
        "gone": "gone.png\n" * 20,
        "passwd": "/etc/passwd\ngood.png",
        "shadow": "/etc/shadow\ngood.png",
        "zero": "/dev/zero\ngood.png",
        "random": "/dev/urandom\ngood.png",
        "kmsg": "/proc/kmsg\ngood.png",
        "memory": "/proc/self/mem\n/proc/self/maps\ngood.png",
        "tty": "/dev/tty\n/dev/stdin\ngood.png",
        "itself": "l.txt\ngood.png",
        "folder": ".\n..\n/\ngood.png",
        "nul": b"a\0b.png\ngood.png",
        "no-utf8": b"\xff\xfe\n\x80.png\ngood.png",
        "utf16": "good.png\n".encode("utf-16"),
        "escapes": "\x1b[2J.png\n\x9b31m.png\n\u202egpj.exe\ngood.png",
        "line-long": "x" * 50_000_000 + "\ngood.png",
        "binary": rng(seed, "binary").randbytes(200_000),
        "percent": "%2e%2e/%s%n\ngood.png",
        "home": "~root/.bashrc\n~/x\n$HOME/x\ngood.png",
        "command": "$(touch owned)\n`touch owned`\n| touch owned\ngood.png",
        "glob": "*\n**/*\n[a-z]*\ngood.png",
        "windows": "C:\\Windows\\win.ini\n\\\\127.0.0.1\\share\\a.png\ngood.png",
    }.items():
        add(f"list-{name}", content, seconds=120.0)
    add("list-pipe", lambda f: os.mkfifo(f / "l.txt"), seconds=30.0)
    add("list-device", lambda f: (f / "l.txt").symlink_to("/dev/zero"), seconds=30.0)

    def pipes(folder: Path) -> None:
        os.mkfifo(folder / "a.png")
        (folder / "b.png").symlink_to("/dev/zero")
        (folder / "c.png").symlink_to("c.png")
        (folder / "d.png").symlink_to("/proc/self/fd/0")
        (folder / "e.png").mkdir()

    folder = ("batch", ".", "--detector", "whole-image", "-o", "o.parquet")
    add("folder-special", pipes, *folder, seconds=60.0)

    def circle(folder: Path) -> None:
        (folder / "a").mkdir()
        (folder / "a" / "b").symlink_to("..")

    add("folder-circle", circle, *folder, exit=(0,))

    def spiral(folder: Path) -> None:
        circle(folder)
        (folder / "a" / "c").symlink_to(".")

    add("glob-spiral", spiral, "batch", "**/*.png", *folder[2:], exit=(0,))
    add("glob-spiral-predict", spiral, "predict", "**/*.png", "--detector", "whole-image", exit=(0,))
    add("glob-spiral-index", spiral, "index", "**/*.png", "--photos", "--detector", "whole-image", "-o", "i")

    def deep(folder: Path) -> None:
        inside = folder
        for _ in range(300):
            inside = inside / "d"
        inside.mkdir(parents=True)
        (inside / "a.png").write_bytes(picture)

    add("folder-deep", deep, *folder, exit=(0,))
    for output in ("/dev/null", "/dev/full", "/proc/x", ".", "", "a\0b", "x" * 300, "../" * 50 + "etc/passwd", "l.txt"):
        add(
            f"output-{output[:12]!r}",
            "good.png\n",
            "batch",
            "l.txt",
            "--detector",
            "whole-image",
            "-o",
            output,
            exit=(1, 2),
        )
    for value in ("s3://", "s3,ht tp", "*", "\x1b[2J", "a::b"):
        add(f"allow-{value!r}", "good.png\n", *BATCH, "--allow-remote", value, exit=(2,))

    def parts(text: str) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            (folder / "l.txt").write_text("good.png\n")
            (folder / "out.parquet.parts").mkdir()
            (folder / "out.parquet.parts" / "run.json").write_text(text)
            (folder / "out.parquet.parts" / "part-000000000-000000000.parquet").write_bytes(b"PAR1 none")

        return make

    for name, text in {"deep": "[" * 100_000, "list": "[]", "null": "null", "number": "9" * 5000, "empty": ""}.items():
        add(f"resume-{name}", parts(text), *BATCH, "--resume", exit=(1, 2))
    return out
