"""Guarded plugin loading: every entry point of group `facefeat`, each alone, so that a broken one breaks nothing else.

pluggy's own loader stops at the first plugin that does not import, and one shared manager lets a plugin's hook wrapper
see the results of the others. Here each plugin gets a manager of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from facefeat.errors import PluginError
from facefeat.plugins import hookspecs
from facefeat.plugins.contracts import KINDS, Component, hook_of
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP = "facefeat"
"""Name of the entry-point group that a plugin's distribution declares."""
BUILTIN = "facefeat"
"""The distribution that the built-ins are registered under."""
MAX_COMPONENTS = 1000
"""More components than this from one hook, and it is taken for one that never ends."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SECTION = re.compile(rf"^\s*\[\s*{GROUP}\s*\]", re.MULTILINE)
_REQUIRES = re.compile(
    rf"\s*{GROUP}\s*(\[[^]]*\])?\s*(?P<specifier>\(?\s*[<>=!~][^;]*)(;(?P<marker>.*))?", re.IGNORECASE
)
_NUMBERS = re.compile(r"\d+(\.\d+)*")
_CLAUSE = re.compile(rf"(?P<operator>>=|<)\s*(?P<version>{_NUMBERS.pattern})")
_T = TypeVar("_T")


@dataclass(frozen=True)
class PluginProblem:
    """Why a plugin, or a part of it, was left out.

    distribution, version, entry_point: whose fault it is; "" where not known.
    reason: one line. traceback: the whole story, or "" where there was no exception.
    """

    distribution: str
    version: str
    entry_point: str
    reason: str
    traceback: str = field(default="", repr=False)

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        entry = f" ({self.entry_point})" if self.entry_point else ""
        return f"plugin {self.distribution}{version}{entry}: {self.reason}"


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin: where it came from, and the manager that holds it alone."""

    distribution: str
    version: str
    entry_point: str
    manager: pluggy.PluginManager = field(repr=False)

    def problem(self, reason: str, error: BaseException | None = None) -> PluginProblem:
        """A problem of this plugin."""
        return PluginProblem(self.distribution, self.version, self.entry_point, reason, format_traceback(error))


@dataclass(frozen=True)
class Found:
    """An entry point that can be loaded. requires: the versions of facefeat that its distribution asks for."""

    distribution: str
    version: str
    entry_point: EntryPoint
    requires: str = ""


def normalise(name: str) -> str:
    """A distribution's name as pip compares it: "My_Plugin" -> "my-plugin"."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def describe(error: BaseException) -> str:
    """One line on an exception: its type, its message and, for a SyntaxError, its place."""
    try:
        message = str(error)
    except Exception as inner:  # noqa: BLE001 - a third-party __str__ may raise anything; the type is still known
        message = f"(no message: its __str__ raised {type(inner).__name__})"
    return one_line(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def format_traceback(error: BaseException | None) -> str:
    """The traceback of an exception; "" for None, or a sentence where the exception cannot be printed."""
    if error is None:
        return ""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as inner:  # noqa: BLE001 - see `describe`
        return f"{type(error).__name__}: no traceback, since printing it raised {type(inner).__name__}\n"


def guarded(call: Callable[..., _T], *args: Any) -> tuple[_T | None, BaseException | None]:
    """What `call(*args)` returned, or what it raised. SystemExit counts as raised; Ctrl-C is raised.

    What the call prints goes to standard error, since standard output belongs to results.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return call(*args), None
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # noqa: BLE001 - a plugin may raise anything, sys.exit() included; it is reported
        return None, e


def wanted() -> frozenset[str] | None:
    """The names in FACEFEAT_PLUGINS (of distributions or entry points); None where it is not set: load everything."""
    value = os.environ.get("FACEFEAT_PLUGINS")
    return None if value is None else frozenset(normalise(n) for n in value.split(",") if n.strip())


def strict() -> bool:
    """Whether FACEFEAT_STRICT turns problems into errors."""
    return os.environ.get("FACEFEAT_STRICT", "").strip().lower() not in ("", "0", "false", "no")


def find() -> tuple[list[Found], list[PluginProblem]]:
    """Every installed entry point of the group, sorted by distribution, and those whose metadata cannot be read.

    Each distribution is read alone: one malformed `entry_points.txt` makes importlib.metadata.entry_points() raise for
    all. Where a distribution is on the path twice, the first counts.
    """
    found: list[Found] = []
    problems: list[PluginProblem] = []
    seen: set[str] = set()
    for dist, text in _candidates():
        name, error = guarded(_name_of, dist)
        if not name:
            problems.append(PluginProblem("?", "", "", "its metadata has no name", format_traceback(error)))
            continue
        if normalise(name) in seen or not _comes_first(name, text):
            continue
        seen.add(normalise(name))
        version = guarded(_version_of, dist)[0] or "?"
        points, error = guarded(_points_of, dist)
        if points is None and error is not None:
            reason = f"entry_points.txt cannot be read: {describe(error)}"
            problems.append(PluginProblem(name, version, "", reason, format_traceback(error)))
            continue
        requires = guarded(_requires_of, dist)[0] or ""
        found += [Found(name, version, p, requires) for p in points or ()]
    return sorted(found, key=lambda f: (normalise(f.distribution), f.entry_point.name)), problems


def _candidates() -> Iterator[tuple[Distribution, str]]:
    """Distributions whose `entry_points.txt` has our section; reading that file alone keeps the scan short."""
    from importlib import metadata

    for dist in metadata.distributions():
        text, _ = guarded(dist.read_text, "entry_points.txt")
        if text and _SECTION.search(text):
            yield dist, text


def _comes_first(name: str, text: str) -> bool:
    """Whether the distribution of that name that comes first on the path is the one with this `entry_points.txt`."""
    from importlib import metadata

    first, error = guarded(lambda: metadata.distribution(name).read_text("entry_points.txt"))
    return error is not None or first == text


def _name_of(dist: Distribution) -> str:
    return dist.metadata["Name"] or ""


def _version_of(dist: Distribution) -> str:
    return dist.version or ""


def _requires_of(dist: Distribution) -> str:
    """The versions in "Requires-Dist: facefeat>=1.2", such as ">=1.2"; "" where none are asked for here."""
    for line in dist.requires or ():
        match = _REQUIRES.fullmatch(line)
        if match is None:
            continue
        if match["marker"]:
            from packaging.markers import Marker

            if not Marker(match["marker"]).evaluate({"extra": ""}):
                continue
        return match["specifier"].strip("() ")
    return ""


def _points_of(dist: Distribution) -> tuple[EntryPoint, ...]:
    return tuple(dist.entry_points.select(group=GROUP))


def load() -> tuple[list[Plugin], list[PluginProblem]]:
    """The built-ins, then every plugin that FACEFEAT_PLUGINS lets through; the broken ones are problems."""
    from facefeat._version import __version__

    # By name, as any plugin is found: nothing outside `builtin` imports a built-in.
    plugins = [Plugin(BUILTIN, __version__, "builtin", register(import_module("facefeat.builtin")))]
    found, problems = find()
    names = wanted()
    for item in found:
        own = {normalise(item.distribution), normalise(item.entry_point.name)}
        if names is not None and not names & own:
            continue
        manager, error = guarded(_load, item)
        if manager is not None:
            plugins.append(Plugin(item.distribution, item.version, item.entry_point.name, manager))
        elif error is not None:
            reason = describe(error)
            trace = format_traceback(error)
            problems.append(PluginProblem(item.distribution, item.version, item.entry_point.name, reason, trace))
    return plugins, problems + _absent(names, found)


def _load(item: Found) -> pluggy.PluginManager:
    # Before the import: what was written for another facefeat may fail anywhere, and say nothing of the reason.
    if item.requires:
        _check_version(item)
    return register(item.entry_point.load())


def _plainly_met(specifier: str, version: str) -> bool:
    """Whether ">=1.2,<3" holds for "1.4.0"; False where either says more than numbers.

    Importing `packaging` takes as long as loading twenty plugins, and nearly all of them ask for no more than this.
    """
    if not _NUMBERS.fullmatch(version):
        return False
    ours = tuple(map(int, version.split(".")))
    for clause in specifier.split(","):
        match = _CLAUSE.fullmatch(clause.strip())
        if match is None:
            return False
        theirs = tuple(map(int, match["version"].split(".")))
        width = max(len(ours), len(theirs))
        a, b = (v + (0,) * (width - len(v)) for v in (ours, theirs))
        if not (a >= b if match["operator"] == ">=" else a < b):
            return False
    return True


def _check_version(item: Found) -> None:
    """Raises PluginError where this facefeat is not one of those that the plugin's metadata asks for."""
    from facefeat._version import __version__

    if _plainly_met(item.requires, __version__):
        return
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(item.requires).contains(__version__, prereleases=True):
        raise PluginError(
            f"it needs facefeat {item.requires}, and this is facefeat {__version__}. "
            f"Next: pip install -U facefeat {item.distribution}"
        )


def _absent(names: frozenset[str] | None, found: Sequence[Found]) -> list[PluginProblem]:
    have = {normalise(n) for f in found for n in (f.distribution, f.entry_point.name)}
    missing = sorted((names or frozenset()) - have - {BUILTIN})
    valid = ", ".join(sorted(have)) or "(none)"
    return [
        PluginProblem(n, "", "", f"FACEFEAT_PLUGINS names it, but it is not installed. Valid: {valid}.")
        for n in missing
    ]


def register(plugin: object) -> pluggy.PluginManager:
    """A manager that holds this plugin alone, its hooks checked against the specification.

    Raises pluggy's PluginValidationError for an unknown hook or argument, PluginError for no plugin at all.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    if not any(manager.get_hookcallers(plugin) or ()):
        raise PluginError("it has no hook: decorate its functions with facefeat.hookimpl")
    return manager


def components(plugin: Plugin, kind: str) -> tuple[list[Component], list[PluginProblem]]:
    """What a plugin gives to the hook of a kind; each bad component is a problem of its own, and the rest stay."""
    hook = hook_of(kind)
    caller = getattr(plugin.manager.hook, hook)
    if not caller.get_hookimpls():
        return [], []
    # Listing happens within the guard: the hook may be a generator, which raises only now, or never ends.
    items, error = guarded(_listed, caller, hook)
    if items is None:
        return [], [plugin.problem(f"{hook}: {describe(error) if error else 'failed'}", error)]
    good: list[Component] = []
    problems: list[PluginProblem] = []
    if len(items) > MAX_COMPONENTS:
        items = []
        problems.append(plugin.problem(f"{hook} gave more than {MAX_COMPONENTS} components"))
    for item in items:
        fault, error = guarded(_fault, item)
        if fault is None and error is None:
            good.append(item)
        else:
            problems.append(plugin.problem(f"{hook}: {fault or describe(error or PluginError())}", error))
    return good, problems


def _listed(caller: pluggy.HookCaller, hook: str) -> list[Any]:
    results = caller()
    if not results:
        raise PluginError(f"{hook} returned None; it must return an iterable of Component (is a return missing?)")
    out: list[Any] = []
    for result in results:
        if isinstance(result, Component) or not isinstance(result, Iterable) or isinstance(result, str | bytes):
            raise PluginError(f"it must return an iterable of Component. Received: {one_line(repr(result), 80)}")
        out += islice(result, MAX_COMPONENTS + 1)
    return out


def _fault(item: object) -> str | None:
    """What is wrong with a component, or None."""
    if not isinstance(item, Component):
        return f"it must give Component objects. Received: {one_line(repr(item), 80)}"
    where = f"component {one_line(repr(item.name), 80)}"
    if not isinstance(item.name, str) or not _NAME.fullmatch(item.name) or len(item.name) > 64:
        return f"{where}: a name is lower-case words and digits joined by hyphens, such as 'mlp'"
    if not callable(item.build):
        return f"{where}: build must be callable. Received: {one_line(repr(item.build), 80)}"
    if not isinstance(item.summary, str) or not isinstance(item.extra, str):
        return f"{where}: summary and extra must be strings"
    if not isinstance(item.requires, tuple) or not all(isinstance(r, str) and r for r in item.requires):
        return f"{where}: requires must be a tuple of module names, such as ('umap',). Received: {item.requires!r}"
    return None


def collect(plugins: Sequence[Plugin]) -> tuple[list[tuple[Plugin, str, Component]], list[PluginProblem]]:
    """Every component of every plugin with its kind; a distribution's second one of a name is a problem."""
    out: list[tuple[Plugin, str, Component]] = []
    problems: list[PluginProblem] = []
    taken: set[tuple[str, str, str]] = set()
    for plugin in plugins:
        for kind in KINDS:
            good, bad = components(plugin, kind)
            problems += bad
            for component in good:
                key = (kind, normalise(plugin.distribution), component.name)
                if key in taken:
                    reason = f"{kind} {component.name!r} is registered twice by this distribution; the first counts"
                    problems.append(plugin.problem(reason))
                    continue
                taken.add(key)
                out.append((plugin, kind, component))
    return out, problems
