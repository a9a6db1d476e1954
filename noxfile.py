"""The checks of this project: `nox` runs the sessions below; `nox -l` lists all."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

REPO = Path(__file__).resolve().parent

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
# As pip does: TensorFlow takes 5 seconds longer in every process that finds no bytecode.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
# The tests come last, so that their closing lines are the last thing to be read.
nox.options.sessions = ["lint", "types", "docs", "readme", "recipes", "browser", "tests"]

PLUGINS = sorted(p.parent.name for p in (REPO / "plugins").glob("*/pyproject.toml"))

# Few enough to take minutes, and together every direct dependency is put to work.
MINIMUMS = [
    f"tests/test_{name}.py"
    for name in (
        *("audit", "cli_frame", "cli_predict", "data_import", "data_tables", "default_preset", "detectors"),
        *("evaluation", "heads", "image_align", "image_io", "plugins_loading", "plugins_registry", "presets_store"),
        *("training", "tune"),
    )
]

INFERENCE = [
    f"tests/test_{name}.py"
    for name in (
        *("cli_predict", "data_import", "data_tables", "default_preset", "image_align", "image_draw", "image_io"),
        *("schema", "plugins_loading", "utils_files"),
    )
]

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
    typed = (
        "numpy>=2.0",
        "pillow>=11",
        "pluggy>=1.5",
        "click>=8.2",
        "rich>=13.7",
        "filelock>=3.16",
        "packaging>=24",
        "platformdirs>=4.2",
    )
    session.install("mypy>=1.18", "pytest>=8.3", *typed)
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, against the package as it is installed."""
    session.install(".[test]")
    # Not `-n auto`: TensorFlow takes about 1 GB and several threads in each process.
    workers = [] if session.posargs else ["-n", "2", "--dist", "loadfile", "--durations=25"]
    session.run("pytest", *workers, *session.posargs, env=QUIET)


@nox.session
def inference(session: nox.Session) -> None:
    """What needs no backend of Keras, in an environment without one, on any Python of onnxruntime's wheels."""
    session.install(".[audit,batch,heic,plots,video]", "pytest>=8.3", "hypothesis>=6.112", "pyyaml>=6")
    session.run("pytest", *(session.posargs or INFERENCE), env=QUIET)


@nox.session
def recipes(session: nox.Session) -> None:
    """Every shipped recipe, trained on a small slice: networks of their true depth take more than a quick suite has."""
    session.install(".[test]")
    session.run("pytest", "-m", "recipes", *session.posargs, env=QUIET)


@nox.session
def browser(session: nox.Session) -> None:
    """The demo in Chromium (on Debian: apt-get install chromium); pictures of it: FACEFEAT_SCREENSHOTS=FOLDER.

    Without a Chromium the tests are skipped; with CHROMIUM set, its name, they fail.
    """
    session.install(".[test,browser]")
    session.run("pytest", "-m", "browser", *(session.posargs or ["tests/browser"]), env=QUIET)


@nox.session
def screenshots(session: nox.Session) -> None:
    """The pictures of the demo in the docs, drawn anew: look at each before it is committed."""
    session.install(".[test,browser]")
    folder = session.create_tmp()
    session.run("pytest", "-m", "browser", "tests/browser", env={**QUIET, "FACEFEAT_SCREENSHOTS": folder})
    session.run("python", "docs/screenshots.py", folder)


@nox.session
def jax(session: nox.Session) -> None:
    """The tests marked `backend`, on JAX."""
    session.install(".[test,jax]")
    session.run("pytest", "-m", "backend", *session.posargs, env={**QUIET, "KERAS_BACKEND": "jax"})


@nox.session
def gpu(session: nox.Session) -> None:
    """The networks on a GPU: ONNX Runtime's CUDA provider against the CPU. Skipped where there is no NVIDIA GPU."""
    if shutil.which("nvidia-smi") is None:
        session.skip("no NVIDIA GPU here: nvidia-smi is not on the path")
    session.install(".[test]")
    session.run("uv", "pip", "uninstall", "onnxruntime", external=True)  # both packages write to one folder
    session.install("onnxruntime-gpu[cuda,cudnn]>=1.20")
    session.run("pytest", "-m", "gpu", "tests/test_runtime.py", *session.posargs, env=QUIET)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, a warning is an error; then every code block of its pages. To look at: docs/_build."""
    session.install(".[test,docs,demo]")  # the notebook shows the demo's photos
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build")
    session.run("pytest", "-m", "docs", *session.posargs, env=QUIET)


@nox.session
def container(session: nox.Session) -> None:
    """The script that builds the container's image, in an empty folder; it installs everything."""
    session.install("pytest>=8.3")
    session.run(
        "pytest", "-m", "container or not container", "--noconftest", "tests/test_container.py", *session.posargs
    )


@nox.session
def scale(session: nox.Session) -> None:
    """Batches on Ray, training on two processes: several nodes on this machine, killed workers, bits compared.

    Wants 4 GB of memory.
    """
    session.install(".[test,scale,jax]")
    session.run("pytest", "-m", "scale", "tests/scale", *session.posargs, env=QUIET)


@nox.session
@nox.parametrize("plugin", PLUGINS, ids=PLUGINS)
def plugins(session: nox.Session, plugin: str) -> None:
    """Each plugin's tests, alone in an environment with the wheels of facefeat and of the plugin: what a user installs.

    One plugin: `nox -s "plugins(facefeat-umap)"`.
    """
    folder = REPO / "plugins" / plugin
    built, own = _wheel(REPO), _wheel(folder)
    # By its wheel, so that a plugin cannot get a facefeat from an index; both, so that no stale build is tested.
    session.install(f"facefeat @ {built.as_uri()}", f"{plugin}[test] @ {own.as_uri()}")
    session.chdir(folder)
    session.run("pytest", *session.posargs, env=QUIET)


# The oldest supported Python: newer ones have no wheels of the oldest allowed TensorFlow.
@nox.session(python="3.11", venv_backend="uv")
def minimums(session: nox.Session) -> None:
    """The tests that touch each dependency, with the lowest allowed version of every direct one."""
    session.install("--resolution", "lowest-direct", "-r", "pyproject.toml", "--extra", "test")
    session.install("--no-deps", str(_wheel(REPO)))
    session.run("uv", "pip", "check", external=True)
    session.run("pytest", *(session.posargs or MINIMUMS), env=QUIET)


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
def dist(session: nox.Session) -> None:
    """The files of a release: built twice, equal byte for byte, and as PyPI wants them. Says their sizes."""
    session.install("build", "twine")
    hashes = []
    for number in (1, 2):
        out = REPO / ".nox" / "dist" / str(number)
        shutil.rmtree(out, ignore_errors=True)
        # The date of the last commit, in place of the clock's: the same for everybody who builds this commit.
        date = session.run("git", "log", "-1", "--format=%ct", external=True, silent=True)
        session.run("python", "-m", "build", "--outdir", str(out), env={"SOURCE_DATE_EPOCH": str(date).strip()})
        files = sorted(out.iterdir())
        hashes.append({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files})
    if hashes[0] != hashes[1]:
        session.error(f"two builds differ: {hashes}")
    session.run("twine", "check", "--strict", *(str(f) for f in files))
    for file in files:
        session.log(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB, SHA-256 {hashes[0][file.name]}")


@nox.session
def licences(session: nox.Session) -> None:
    """What is installed with facefeat: an SBOM (CycloneDX), a table of licences, and known vulnerabilities.

    Writes .nox/licences. Fails on a licence that would bind users of the library; `-- --no-audit` asks no server.
    """
    out = REPO / ".nox" / "licences"
    out.mkdir(parents=True, exist_ok=True)
    session.install(".")
    python = str(
        Path(session.virtualenv.location) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    )
    session.run("uvx", "--from", "cyclonedx-bom", "cyclonedx-py", "environment", python,
                "--output-file", str(out / "sbom.json"), external=True)  # fmt: skip
    fail = ("--fail-on", "GPL v3;AGPL v3;GNU General Public License v3 (GPLv3);GNU Affero General Public License v3")
    session.run("uvx", "pip-licenses", "--python", python, "--format", "markdown", "--with-urls",
                "--output-file", str(out / "licences.md"), *fail, external=True)  # fmt: skip
    if "--no-audit" not in session.posargs:
        path = session.run("python", "-c", "import site; print(site.getsitepackages()[0])", silent=True)
        session.run("uvx", "pip-audit", "--path", str(path).strip(), external=True)
    session.log(f"{out}: sbom.json, licences.md")


@nox.session
def search(session: nox.Session) -> None:
    """The index of faces, whose package is too large for the quick suite."""
    session.install(".[test,search]")
    session.run("pytest", "tests/test_index.py", *session.posargs, env=QUIET)


@nox.session
def hostile(session: nox.Session) -> None:
    """Files, names and requests of strangers: 4,100 cases in nine classes, each with limits.

    Some classes, or a few cases of each: `nox -s hostile -- presets archives --sample 10`. Linux; an hour.
    """
    session.install(".[test,search]")
    session.chdir("tests")
    session.run("python", "-m", "hostile", *session.posargs, env=QUIET)


@nox.session
def faults(session: nox.Session) -> None:
    """kill -9 at random moments, full disks, two writers, a clock that is set back: `nox -s faults -- batch --kills 9`.

    Linux; with 50 kills of each operation some hours.
    """
    session.install(".[test,search]")
    session.chdir("tests")
    session.run("python", "-m", "faults", *(session.posargs or ["--kills", "10"]), env=QUIET)


@nox.session
def bench(session: nox.Session) -> None:
    """Measures and writes docs/benchmarks.md: `nox -s bench -- UTKFace.tar PHOTOS`, on an otherwise idle machine.

    Then prints the tables of docs/scale.md. Some blocks alone: `nox -s bench -- DATA PHOTOS --only speed,peers`.
    """
    # imgaug: the original's augmentation, beside which ours is measured. Its last version wants a NumPy before 2, and
    # the benchmark puts back what it lacks.
    session.install(".[test,search,browser]", "simpy>=4.1", "deepface>=0.0.93", "tf-keras", "flask", "imgaug>=0.4")
    session.run("python", "benchmarks/page.py", *session.posargs, env=QUIET)
    if not any(a.startswith("--only") for a in session.posargs):
        session.run("python", "benchmarks/scale.py", env=QUIET)


@functools.cache
def _wheel(folder: Path) -> Path:
    """The wheel of the project in a folder, built once for all sessions of a run."""
    out = REPO / ".nox" / "wheels" / folder.name
    shutil.rmtree(out, ignore_errors=True)
    if shutil.which("uv"):
        command = ["uv", "build", "--wheel", "--out-dir", str(out), str(folder)]
    else:
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(out), str(folder)]
    subprocess.run(command, check=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def _project_files() -> list[str]:
    """What git tracks, and what it would: no build output, no data."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (REPO / name).is_file()]
