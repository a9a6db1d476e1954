"""The checks of this project: `nox` runs lint, types, readme and tests; `nox -l` lists all."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nox

REPO = Path(__file__).resolve().parent

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
# The tests come last, so that their closing lines are the last thing to be read.
nox.options.sessions = ["lint", "types", "readme", "recipes", "tests"]

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": None}


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely mistakes."""
    session.install("ruff>=0.15")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict. Packages without types are not installed: they count as Any either way."""
    typed = ("numpy>=2.0", "pillow>=11", "pluggy>=1.5", "click>=8.1.8", "rich>=13.7", "filelock>=3.16", "packaging>=24")
    session.install("mypy>=1.18", "pytest>=8.3", *typed)
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, against the package as it is installed."""
    session.install(".[test]")
    # Not `-n auto`: TensorFlow takes about 1 GB and several threads in each process.
    workers = [] if session.posargs else ["-n", "2", "--dist", "loadfile"]
    session.run("pytest", *workers, *session.posargs, env=QUIET)


@nox.session
def recipes(session: nox.Session) -> None:
    """Every shipped recipe, trained on a small slice: networks of their true depth take more than a quick suite has."""
    session.install(".[test]")
    session.run("pytest", "-m", "recipes", *session.posargs, env=QUIET)


@nox.session
def jax(session: nox.Session) -> None:
    """The tests marked `backend`, on JAX."""
    session.install(".[test,jax]")
    session.run("pytest", "-m", "backend", *session.posargs, env={**QUIET, "KERAS_BACKEND": "jax"})


@nox.session(venv_backend="venv")
def readme(session: nox.Session) -> None:
    """The README's own commands, in an environment with nothing in it and a folder with only the project's files."""
    folder = Path(session.create_tmp()).resolve() / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    for name in _project_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPO / name, target)
    session.chdir(folder)
    # An empty home for Keras: what the commands need must come with the package.
    env = {"PYTHONPATH": None, "KERAS_HOME": str(folder.parent / "keras"), "FACEFEAT_DATA": None}
    session.run("python", "tests/readme_blocks.py", "run", env=env)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks behind docs/benchmarks.md: `nox -s bench -- UTKFace.tar PHOTOS`, on an otherwise idle machine."""
    data, photos = (*session.posargs, None, None)[:2]
    session.install(".[test]")
    session.run("python", "benchmarks/speed.py", *([photos] if photos else []), env=QUIET)
    if data:
        session.run("python", "benchmarks/input_pipeline.py", data, env=QUIET)


def _project_files() -> list[str]:
    """What git tracks, and what it would: no build output, no data."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (REPO / name).is_file()]
