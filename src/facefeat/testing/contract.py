"""What the checks of all kinds share: faults, settings, a place where a written file shows, other processes."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from facefeat.errors import InputError, did_you_mean
from facefeat.plugins.contracts import Component
from facefeat.plugins.loading import describe
from facefeat.utils.text import one_line

ASPECTS = ("batches", "determinism", "round-trip", "precision", "gradients", "import", "files", "backends")
"""What a check looks at beyond shapes and types; `skip` takes these names."""
BACKENDS = ("tensorflow", "jax")
"""Where a Keras component is expected to run, unless its check sets another."""
HEAVY = ("keras", "tensorflow", "jax", "torch", "pandas", "sklearn", "scipy", "matplotlib", "PIL", "h5py", "mtcnn")
"""What registering a component may not import: every command of facefeat would wait for it."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SECONDS = 300
"""After this long another process is taken for one that hangs."""


class CheckOptions(TypedDict, total=False):
    """What every check takes in addition to its own arguments.

    config: settings that make it small, or spare a download. changed: another value for every default of `build`; keep:
    settings that cannot have one here. skip: names in ASPECTS to leave out. module: whose import registers the
    component (default: build's). backends: where a Keras component runs; the others than this process's are tried in
    processes of their own, where they are installed.
    """

    config: Mapping[str, Any] | None
    changed: Mapping[str, Any] | None
    keep: Collection[str]
    skip: Collection[str]
    module: str | None
    backends: Sequence[str]


class ContractError(AssertionError):
    """A component breaks its contract. faults: one sentence each, with what is wanted and what came."""

    def __init__(self, what: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        places = "1 place" if len(faults) == 1 else f"{len(faults)} places"
        super().__init__("\n".join([f"{what} breaks its contract in {places}:", *(f"  - {f}" for f in faults)]))


class UncheckedWarning(UserWarning):
    """A part of the contract that could not be checked here, and why."""


class Findings:
    """Collects the faults of one component, so that an author sees all of them at once."""

    def __init__(self, kind: str, component: Component, skip: Collection[str]) -> None:
        unknown = sorted(set(skip) - set(ASPECTS))
        if unknown:
            raise InputError(f"skip: no such aspect. {did_you_mean(unknown[0], ASPECTS)}")
        if not isinstance(component, Component):
            raise InputError(f"a check takes a facefeat.Component. Received: {one_line(repr(component), 80)}.")
        self.what = f"{kind} {component.name!r}"
        self.component = component
        self._skip = frozenset(skip)
        self._faults: list[str] = []
        self._first: BaseException | None = None

    def wants(self, aspect: str) -> bool:
        """Whether the author left this aspect in."""
        return aspect not in self._skip

    def expect(self, good: object, wanted: str, received: object = None) -> bool:
        """Note a fault unless `good`; gives whether it was. received: what came, where that says something."""
        if not good:
            came = "" if received is None else f" Received: {one_line(str(received), 200)}."
            self.fault(f"{wanted}.{came}")
        return bool(good)

    def fault(self, sentence: str) -> None:
        """Note a fault, once."""
        if sentence not in self._faults:
            self._faults.append(sentence)

    @contextlib.contextmanager
    def step(self, wanted: str) -> Iterator[None]:
        """What is done inside must not raise: an exception is a fault of the component."""
        try:
            yield
        except ContractError:
            raise  # the faults are known
        except Exception as e:  # noqa: BLE001 - an author's code may raise anything; it is reported with its traceback
            self._first = self._first or e
            self.fault(f"{wanted}. It raised {describe(e)}.")

    def unchecked(self, aspect: str, why: str) -> None:
        """Say that a part was not checked."""
        warnings.warn(f"{self.what}: {aspect} not checked: {why}", UncheckedWarning, stacklevel=4)

    def stop_at_faults(self) -> None:
        """Raise ContractError where there are faults."""
        if self._faults:
            raise ContractError(self.what, self._faults) from self._first


def begin(
    kind: str, component: Component, options: CheckOptions, given: Sequence[str] = ()
) -> tuple[Findings, list[dict[str, Any]]]:
    """What every check begins with: the place for faults, and the configurations to check.

    given: what facefeat itself passes to `build`. Raises TypeError for an option that there is not.
    """
    for name in options:
        if name not in CheckOptions.__annotations__:
            raise TypeError(f"check_{kind}: {did_you_mean(name, CheckOptions.__annotations__)}")
    found = Findings(kind, component, options.get("skip", ()))
    config, changed = options.get("config") or {}, options.get("changed") or {}
    configs = check_settings(found, given, config, changed, options.get("keep", ()))
    check_import(found, options.get("module"))
    return found, configs


def check_each(
    found: Findings,
    configs: Sequence[Mapping[str, Any]],
    contract: tuple[type, str],
    doing: str,
    check: Callable[[Any, Mapping[str, Any]], None],
) -> Any:
    """Build every configuration and check what it gives; the one of the defaults is given back.

    contract: the type that `build` must give, and what that is in words. doing: what the check does, "detect".
    check: takes what was built, and its configuration.
    """
    made: list[Any] = []
    for one in configs:
        with no_files(found, "building and using it"), found.step(f"build and {doing} must work"):
            built = found.component.build(**one)
            if not found.expect(isinstance(built, contract[0]), f"build must give {contract[1]}", type(built).__name__):
                found.stop_at_faults()
            check(built, one)
            made.append(built)
    found.stop_at_faults()
    return made[0]


def settings_of(component: Component) -> dict[str, inspect.Parameter]:
    """The parameters of a component's `build`, by name."""
    return dict(inspect.signature(component.build).parameters)


def check_settings(
    found: Findings, given: Sequence[str], config: Mapping[str, Any], changed: Mapping[str, Any], keep: Collection[str]
) -> list[dict[str, Any]]:
    """The configurations to check: the defaults with `config`, and the one in which every default has another value.

    given: what facefeat itself passes, such as image_size. keep: settings that cannot be changed here. Each
    configuration is whole, and went through JSON: that is how a preset hands it back.
    """
    parameters = settings_of(found.component)
    wrong = [n for n, p in parameters.items() if p.kind not in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    found.expect(
        not wrong, "build must name each of its settings: *args and **config hide a misspelt one", ", ".join(wrong)
    )
    missing = [n for n in given if n not in parameters]
    found.expect(not missing, f"build must take {', '.join(given)}", f"build{inspect.signature(found.component.build)}")
    own = {n: p.default for n, p in parameters.items() if n not in given and n not in wrong}
    for what, names in (("config", config), ("changed", changed), ("keep", keep)):
        for name in names:
            if name not in own:
                found.fault(f"{what}: build has no such setting. {did_you_mean(str(name), own)}")
    without = [n for n, default in own.items() if default is inspect.Parameter.empty]
    needed = [n for n in without if n not in config]
    found.expect(not needed, "each setting must have a default, or be given in config", ", ".join(needed))
    for name, default in own.items():
        if name in without or name in keep:
            continue
        if name not in changed:
            found.fault(
                f"every default must be checked with another value: give changed={{{name!r}: ...}}, or name it in "
                f"keep. Received: no value for {name!r}, whose default is {one_line(repr(default), 60)}."
            )
        elif _plain(changed[name]) == _plain(default):
            found.fault(f"changed: {name!r} must differ from its default. Received: {one_line(repr(default), 60)}.")
    defaults = {n: d for n, d in own.items() if n not in without}
    configs = [{**defaults, **config}]
    if changed:
        configs.append({**defaults, **config, **changed})
    out = []
    for one in configs:
        plain = {k: _plain(v) for k, v in one.items()}
        for name, value in plain.items():
            found.expect(
                value is not _NOT_PLAIN,
                f"setting {name!r} must be JSON-able, since a preset keeps it in config.json",
                repr(one[name]),
            )
        out.append(plain)
    found.stop_at_faults()
    return out


_NOT_PLAIN = object()


def _plain(value: Any) -> Any:
    """A value as JSON hands it back: tuples as lists. A sentinel where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return _NOT_PLAIN


@contextlib.contextmanager
def no_files(found: Findings, doing: str) -> Iterator[None]:
    """Go to an empty working folder with an empty home, and list every file that is in it afterwards.

    Keras, matplotlib and numba keep caches of their own in the home; those go to a temporary folder.
    """
    if not found.wants("files"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="facefeat-check-") as made:
        root = Path(made).resolve()
        work, home, caches = root / "work", root / "home", root / "caches"
        for folder in (work, home, caches):
            folder.mkdir()
        before, where = dict(os.environ), os.getcwd()
        os.environ.update(_homes(home, caches))
        os.chdir(work)
        try:
            yield
        finally:
            os.chdir(where)
            os.environ.clear()
            os.environ.update(before)
            note_files(found, doing, work, home)


def _homes(home: Path, caches: Path) -> dict[str, str]:
    own = {k: str(home) for k in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
    own |= {f"XDG_{k}_HOME": str(home / f".{k.lower()}") for k in ("CACHE", "CONFIG", "DATA", "STATE")}
    return own | {k: str(caches) for k in ("KERAS_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")}


def note_files(found: Findings, doing: str, *folders: Path) -> None:
    """Note each file in what were empty folders."""
    files = [f"{f.name}/{p.relative_to(f)}" for f in folders for p in sorted(f.rglob("*")) if p.is_file()]
    found.expect(not files, f"{doing} must write no file", ", ".join(files[:5]))


def module_of(component: Component) -> str:
    """The module whose import registers the component: the one that its `build` is from."""
    build: Any = component.build
    while isinstance(build, functools.partial):
        build = build.func
    name = getattr(build, "__module__", None) or type(build).__module__
    return str(name)


def check_import(found: Findings, module: str | None) -> None:
    """Importing the component's module, in a process of its own, loads nothing heavy and writes nothing."""
    if not found.wants("import"):
        return
    name = module or module_of(found.component)
    last = name.rpartition(".")[2]
    if module is None and (name == "__main__" or last.startswith("test_") or last.endswith("_test")):
        found.unchecked("the cost of importing", f"build is from {name!r}, a test; give module=")
        return
    sentences, failed = _import_faults(name, found.component.requires)
    if failed:
        found.fault(f"module {name!r} must import in a process of its own. It raised {failed}.")
    for sentence in sentences:
        found.fault(sentence)


@functools.cache
def _import_faults(module: str, requires: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    code = (
        "import importlib, json, sys\nimportlib.import_module(sys.argv[1])\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in list(sys.modules)})))"
    )
    with tempfile.TemporaryDirectory(prefix="facefeat-check-") as made:
        root = Path(made).resolve()
        for part in ("work", "home", "caches"):
            (root / part).mkdir()
        env = {**_isolated_env(), **_homes(root / "home", root / "caches")}
        done = run([sys.executable, "-c", code, module], env, root / "work")
        if done.returncode != 0:
            return (), last_error(done.stderr)
        loaded = set(json.loads(done.stdout.splitlines()[-1]))
        heavy = [m for m in dict.fromkeys((*HEAVY, *(r.split(".")[0] for r in requires))) if m in loaded]
        faults = []
        if heavy:
            faults.append(
                f"importing {module!r} must import nothing heavy: import inside build. Received: {', '.join(heavy)}."
            )
        files = [p.name for part in ("work", "home") for p in (root / part).rglob("*") if p.is_file()]
        if files:
            faults.append(f"importing {module!r} must write no file. Received: {', '.join(files[:5])}.")
    return tuple(faults), ""


def _isolated_env() -> dict[str, str]:
    """The environment of another process that finds the same modules, wherever it runs."""
    path = os.pathsep.join(str(Path(p).resolve()) for p in sys.path if p and Path(p).exists())
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Another process; one that takes longer than SECONDS counts as failed."""
    try:
        return subprocess.run(
            command, env=dict(env), cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"it took longer than {SECONDS} seconds")


def last_error(text: str) -> str:
    """The exception that an error output ends with, from its type on; without a traceback, the last line."""
    plain = _COLOUR.sub("", text)
    _, traceback, after = plain.rpartition("Traceback (most recent call last):\n")
    lines = [line for line in (after if traceback else plain).splitlines() if line.strip()]
    if not lines:
        return "nothing"
    # The frames are indented; the first line of the message is not. Keras has messages of many lines.
    start = next((i for i, line in enumerate(lines) if not line[0].isspace()), 0) if traceback else -1
    return one_line(" ".join(lines[start:]))


def other_backends(found: Findings, backends: Sequence[str]) -> list[str]:
    """The declared backends, without the one at work and those that are not installed."""
    import keras

    if not found.wants("backends"):
        return []
    unknown = sorted(set(backends) - {"tensorflow", "jax", "torch"})
    if unknown:
        raise InputError(f"backends: no such backend. {did_you_mean(unknown[0], ('tensorflow', 'jax', 'torch'))}")
    here = keras.backend.backend()
    if here not in backends:
        found.unchecked(f"the contract on {', '.join(backends)}", f"this process runs Keras on {here}")
    out = []
    for name in backends:
        if name == here:
            continue
        if importlib.util.find_spec(name) is None:
            found.unchecked(f"the backend {name}", f"{name} is not installed here")
        else:
            out.append(name)
    return out


def locate(kind: str, component: Component) -> dict[str, Any] | None:
    """How another process finds this component: in its module, or by its registered name. None where it cannot."""
    module = sys.modules.get(module_of(component))
    if module is not None and module.__name__ != "__main__":
        for attribute, value in vars(module).items():
            if value is component or value is component.build:
                return {"module": module.__name__, "attribute": attribute}
            if isinstance(value, list | tuple) and any(item is component for item in value):
                index = next(i for i, item in enumerate(value) if item is component)
                return {"module": module.__name__, "attribute": attribute, "index": index}
    from facefeat.plugins.registry import get_registry

    for item in get_registry().all(kind):
        if item.component is component:
            return {"kind": kind, "name": item.qualified}
    return None


def on_backend(backend: str, task: Mapping[str, Any], folder: Path) -> str:
    """Run `facefeat.testing.subprocess` on another Keras backend; "" where it went well, else its error."""
    (folder / "task.json").write_text(json.dumps(dict(task)), "utf-8")
    env = {**_isolated_env(), "KERAS_BACKEND": backend}
    done = run([sys.executable, "-m", "facefeat.testing.subprocess", str(folder)], env, folder)
    return "" if done.returncode == 0 else last_error(done.stderr)
