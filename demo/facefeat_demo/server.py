"""Starts the page: port, address, password and link, each with its sentence where it cannot be had."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat import FacefeatError, InputError
from facefeat_demo.cleaner import cleaned
from facefeat_demo.gradio_import import without_stubs
from facefeat_demo.limits import MEGABYTE
from facefeat_demo.session_dir import session_folder
from facefeat_demo.starting import Starting, answered
from facefeat_demo.visits import few_arenas

if TYPE_CHECKING:
    from facefeat_demo.host import Host

FIRST_PORT, PORTS = 7860, 100
AUTH = "FACEFEAT_DEMO_AUTH"
"""The variable of the environment that may have USER:PASSWORD: a command line can be read by everybody on a machine."""


@dataclass(frozen=True)
class Settings:
    """The settings of `facefeat demo`.

    preset: a name or folder; None for the bundled one. allow_presets: a folder whose presets visitors may change to.
    port: None for the first free one from 7860. auth: (user, password). max_upload: megabytes of one photo.
    data: a data set to explore: an imported folder, tar, zip or CSV. max_total: megabytes of all visitors' files.
    """

    preset: str | None = None
    allow_presets: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    auth: tuple[str, str] | None = None
    max_upload: int = 30
    data: Path | None = None
    max_total: int = 1000


def serve(settings: Settings, say: Callable[[str], Any] = print) -> None:
    """Start the page, print its addresses by `say`, and wait until it is interrupted. Raises as `running`."""
    few_arenas()
    with _cleaned_up(), running(settings, say=say) as page:
        for line in addresses(settings, page.local_url, page.share_url):
            say(line)
        threading.Event().wait()


@contextlib.contextmanager
def _cleaned_up() -> Iterator[None]:
    """Photos go, too, when a container is ended (SIGTERM) or a terminal closed (SIGHUP): both end the block."""

    def end(number: int, frame: Any) -> None:
        for other in before:  # a terminal may send two, and what is deleted must be deleted to the end
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    before: dict[Any, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP; nohup wants it ignored
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


@contextlib.contextmanager
def running(
    settings: Settings, detector: str = "centerface", say: Callable[[str], Any] = lambda line: None
) -> Iterator[Any]:
    """The page, a `gradio.Blocks`, up and warm for the length of a block. say: called with a message before slow steps.

    Raises InputError for a port that is in use, a host that is none of ours or a page that does not start, and what
    `Host` raises.
    """
    with contextlib.ExitStack() as stack:
        port, starting, end = _first_page(settings, stack)
        folder = stack.enter_context(session_folder())
        stack.enter_context(environment(**_variables(folder, settings.host)))
        if starting is not None:
            say(f"The page opens at {_address(settings.host, port)} and shows a first answer while the demo starts")
        host = _host(settings, detector, say)
        if starting is not None:
            from facefeat_demo.cards import answer, opening

            starting.show(opening(host), partial(answer, host), settings.max_upload * MEGABYTE)
        # Importing Gradio takes longer than the answer, which needs none of it.
        with without_stubs():
            from facefeat_demo.app import build, gate, launch_options
            from facefeat_demo.inputs import check_photos

        if starting is not None:
            starting.rest()
        most = settings.max_total * MEGABYTE
        page = build(host, most)
        check_photos(page)
        options = gate(page, folder, most, settings.max_upload * MEGABYTE) | launch_options()
        with cleaned(folder, partial(_own_files, page), say):
            try:
                end()
                _launch(page, settings, port, options, say)
                yield page
            finally:
                page.close(verbose=False)
                host.stop()


def _first_page(settings: Settings, stack: contextlib.ExitStack) -> tuple[int, Starting | None, Callable[[], None]]:
    """The port, what is shown there while the demo starts, and what gives the port back, until the stack ends.

    Nothing is shown where a password is asked for. Raises as `free_port`.
    """
    for _ in range(PORTS):
        port = free_port(settings.host, settings.port)
        if settings.auth is not None:
            return port, None, lambda: None
        # Another program may take it between the choice and now.
        with contextlib.suppress(OSError):
            return port, *stack.enter_context(answered(settings.host, port))
    raise _all_taken()


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host.strip("[]") else f"http://{host}:{port}"


def _all_taken() -> InputError:
    return InputError(f"every port from {FIRST_PORT} on was taken before the page could start. Give one by --port.")


def _host(settings: Settings, detector: str, say: Callable[[str], Any]) -> Host:
    """The model of the page, which has read the first example."""
    from facefeat_demo.host import Host

    host = Host(settings.preset, settings.allow_presets, detector, settings.data, say)
    host.warm_up()
    return host


def _own_files(page: Any) -> set[str]:
    """The files in the upload folder that are the page's own, such as icons of buttons."""
    return {str(path) for block in page.blocks.values() for path in getattr(block, "keep_in_cache", ())}


def _launch(page: Any, settings: Settings, port: int, options: dict[str, Any], say: Callable[[str], Any]) -> None:
    """Start the page on the port, or on the next free one where another program took it since it was chosen.

    Between the choice and the start the model is read: two demos that are started together choose the same port.
    """
    for _ in range(PORTS):
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # Gradio's own words, of which some fill a screen
                page.launch(
                    server_name=settings.host,
                    server_port=port,
                    share=settings.share,
                    auth=settings.auth,
                    prevent_thread_lock=True,
                    **options,
                )
            return
        except FacefeatError:
            raise
        except Exception as e:  # Gradio raises all sorts, bare Exception among them
            other = free_port(settings.host, settings.port)  # raises where the port that was asked for is in use
            if other == port:
                why = (str(e).strip() or type(e).__name__).splitlines()[0]
                raise InputError(f"the page could not be started: {why}") from e
            say(f"port {port} was taken by another program meanwhile: {other} instead")
            port = other
    raise _all_taken()


def _variables(folder: Path, host: str) -> dict[str, str]:
    # Gradio would keep the last 10,000 events of all visitors, and make statistics of them after every single one:
    # nothing is to be kept, and a slider is to move its face at once.
    kept = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9)}
    return {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False", **kept, **past_proxies(host)}


def past_proxies(host: str) -> dict[str, str]:
    """Variables by which this machine is asked directly: Gradio asks its own page, and a proxy cannot reach that."""
    said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [n.strip() for n in said.split(",") if n.strip()]
    names += [n for n in ("127.0.0.1", "localhost", host.strip("[]")) if n not in names]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), "*" if "*" in names else ",".join(names))


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
    """The addresses of a running page, and who may open them."""
    lines = [f"The demo is at {local}  (Ctrl+C ends it)"]
    if settings.share and public:
        lines.append(f"For everybody who has this link, for up to a week: {public}")
    elif settings.share:
        lines.append(
            "No public link could be had (the tunnel needs a connection to gradio.live); the demo runs locally."
        )
    if settings.auth is None and ((settings.share and public) or not is_loopback(settings.host)):
        lines.append("Anybody who can reach it can use it; --auth USER:PASSWORD asks for a password.")
    return lines


def is_loopback(host: str) -> bool:
    """Whether a host name or address is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def auth_of(text: str | None) -> tuple[str, str] | None:
    """(user, password) out of USER:PASSWORD; None for none. Raises InputError for anything else."""
    user, colon, password = (text or "").partition(":")
    if text is not None and not (user and colon and password):
        raise InputError(f"--auth, or {AUTH}, wants a name and a password: USER:PASSWORD.")
    return (user, password) if text is not None else None


def free_port(host: str, port: int | None) -> int:
    """The port, or the first free one from 7860. Raises InputError where it is in use or the host is none of ours."""
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,):
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except (socket.gaierror, UnicodeError):  # of a name that is none: too long, no letters
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


def start() -> None:
    """For `demo/app.py`: the page on a host that sets address and port by the environment, as Spaces do."""
    port = os.environ.get("GRADIO_SERVER_PORT")
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    try:
        auth = auth_of(os.environ.get(AUTH) or None)
        settings = Settings(host=host, port=int(port) if port else None, auth=auth)
        serve(settings, say=lambda line: sys.stdout.write(f"{line}\n"))
    except FacefeatError as e:
        sys.exit(f"facefeat: {e}")
