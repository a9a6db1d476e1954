"""Starts the page: port, address, password and link, each with its sentence where it cannot be had."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefeat import InputError

FIRST_PORT, PORTS = 7860, 100


@dataclass(frozen=True)
class Settings:
    """What `facefeat demo` may be told.

    preset: a name or folder; None for the bundled one. allow_presets: a folder whose presets visitors may change to.
    port: None for the first free one from 7860. auth: (user, password). max_upload: megabytes of one photo.
    data: a data set to explore: an imported folder, tar, zip or CSV.
    """

    preset: str | None = None
    allow_presets: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    auth: tuple[str, str] | None = None
    max_upload: int = 30
    data: Path | None = None


def serve(settings: Settings, say: Callable[[str], Any] = print) -> None:
    """Start the page, tell its addresses by `say`, and wait until it is interrupted. Raises as `running`."""
    with running(settings) as page:
        for line in addresses(settings, page.local_url, page.share_url):
            say(line)
        # A container is ended by SIGTERM, and its photos must go then, too.
        before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        try:
            threading.Event().wait()
        finally:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def running(settings: Settings, detector: str = "mtcnn") -> Iterator[Any]:
    """The page, a `gradio.Blocks`, up and warm for the length of a block.

    Raises InputError for a port that is in use or a host that is none of ours, and what `Host` raises.
    """
    port = free_port(settings.host, settings.port)
    with private_folder() as folder, environment(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False"):
        from facefeat_demo.app import build, launch_options
        from facefeat_demo.host import Host

        host = Host(settings.preset, settings.allow_presets, detector, settings.data)
        host.warm_up()
        page = build(host)
        with contextlib.redirect_stdout(io.StringIO()):  # Gradio's own words, of which some fill a screen
            page.launch(
                server_name=settings.host,
                server_port=port,
                share=settings.share,
                auth=settings.auth,
                max_file_size=f"{settings.max_upload}mb",
                allowed_paths=[],
                prevent_thread_lock=True,
                **launch_options(),
            )
        try:
            yield page
        finally:
            page.close(verbose=False)


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for the length of a block: photos must go to a folder of this run alone."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def addresses(settings: Settings, local: str, public: str | None) -> list[str]:
    """What to tell of a page that runs: its addresses, and whom they let in."""
    lines = [f"The demo is at {local}  (Ctrl+C ends it)"]
    if settings.share and public:
        lines.append(f"For everybody who has this link, for up to a week: {public}")
        if settings.auth is None:
            lines.append("Anybody with the link can use it; --auth USER:PASSWORD asks for a password.")
    elif settings.share:
        lines.append(
            "No public link could be had (the tunnel needs a connection to gradio.live); the demo runs locally."
        )
    return lines


def free_port(host: str, port: int | None) -> int:
    """The port, or the first free one from 7860. Raises InputError where it is in use or the host is none of ours."""
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,):
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except socket.gaierror:
            raise InputError(
                f"no such host: {host!r}. Valid: 127.0.0.1, or 0.0.0.0 for everybody on the network."
            ) from None
        except OSError as e:
            if port is not None or not _in_use(e):
                raise _port_error(host, candidate, e) from None
        else:
            return candidate
    raise InputError(f"the ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use. Give a free one by --port.")


def _in_use(error: OSError) -> bool:
    import errno

    return error.errno == errno.EADDRINUSE


def _port_error(host: str, port: int, error: OSError) -> InputError:
    if _in_use(error):
        return InputError(f"port {port} is in use. Give another by --port, or leave --port out for the first free one.")
    return InputError(f"cannot listen on {host}:{port}: {error.strerror or error}.")


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that only this user may read, deleted at the end with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="facefeat-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def start() -> None:
    """For `demo/app.py`: the page on a host that sets address and port by the environment, as Spaces do."""
    port = os.environ.get("GRADIO_SERVER_PORT")
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    serve(Settings(host=host, port=int(port) if port else None), say=lambda line: sys.stdout.write(f"{line}\n"))
