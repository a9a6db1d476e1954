"""The container's image: its file names what is there, and its one script builds what it says (nox -s container)."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "container"
DOCKERFILE = (FOLDER / "Dockerfile").read_text("utf-8")


def test_the_image_runs_as_nobody_special_and_its_steps_are_the_script() -> None:
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.M) == ["facefeat"]
    runs = re.findall(r"^RUN (.+)", DOCKERFILE, re.M)
    assert runs[0].startswith("/source/container/install.sh /opt/facefeat /source")
    assert os.access(FOLDER / "install.sh", os.X_OK)


def test_what_the_image_is_built_from_is_there_and_is_what_the_wheel_needs() -> None:
    kept = re.findall(r"^!(\S+)", (FOLDER / "Dockerfile.dockerignore").read_text("utf-8"), re.M)
    assert [name for name in kept if not (ROOT / name).exists()] == []
    assert {"src", "demo", "pyproject.toml", "README.md", "LICENSE", "container"} <= set(kept)


def test_the_script_says_how_it_is_called() -> None:
    done = subprocess.run([FOLDER / "install.sh"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: install.sh TARGET SOURCE" in done.stderr


def test_every_extra_that_a_command_may_ask_for_is_installed() -> None:
    """The image runs any command: no message in it may end with `pip install 'facefeat[...]'`."""
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (listed,) = re.findall(r"^extras=(\S+)$", (FOLDER / "install.sh").read_text("utf-8"), re.M)
    given: set[str] = set()
    left = listed.split(",")
    while left:
        given.add(name := left.pop())
        left += [n for line in optional[name] for n in re.findall(r"^facefeat\[([\w,]+)\]$", line)]
    texts = [p.read_text("utf-8") for folder in ("src", "demo") for p in sorted((ROOT / folder).rglob("*.py"))]
    asked = {name for text in texts for name in re.findall(r"facefeat\[(\w+)\]", text)}
    assert {"demo", "export", "search", "audit", "tune", "video"} <= asked, "the messages have another form now"
    assert {name for name in asked if name in optional} - given == {"jax"}
    assert "batch" in given and "scale" not in given, "Ray's workers are machines of their own"


@contextlib.contextmanager
def demo_page(command: Path, **how: Any) -> Iterator[str]:
    """The demo, started as the image starts it, and its page as text."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [command, "demo", "--host", "0.0.0.0", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how,
    )  # fmt: skip
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    page = answer.read().decode()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert process.poll() is None, process.communicate()[0]
                time.sleep(1)
        else:
            raise AssertionError("the demo did not answer within four minutes")
        yield page
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.container
def test_the_script_makes_an_environment_that_another_user_can_run(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "opt"
    kept = re.findall(r"^!(\S+)", (FOLDER / "Dockerfile.dockerignore").read_text("utf-8"), re.M)
    for name in kept:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    subprocess.run([source / "container" / "install.sh", target, source], check=True)
    shutil.rmtree(source)
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(ROOT / "docs" / "assets" / "portrait.jpg", work / "photo.jpg")
    user = {}
    if os.getuid() == 0:  # as the image's user: one who owns nothing here
        if any(not folder.stat().st_mode & 1 for folder in Path(sys.executable).resolve().parents):
            pytest.skip(f"other users cannot enter the folder of {sys.executable}, so nobody can run it as one")
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
    clean = {"PATH": f"{target}/bin:/usr/bin:/bin", "HOME": "/nonexistent", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        ["facefeat", "predict", "photo.jpg", "--csv"],
        cwd=work, env=clean, capture_output=True, text=True, executable=target / "bin" / "facefeat", **user,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("photo.jpg") == 1
    with demo_page(target / "bin" / "facefeat", cwd=work, env=clean, **user) as page:
        assert "facefeat" in page and "gradio" in page
