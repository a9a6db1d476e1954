"""Names -> components: the built-ins and every plugin's, asked for by kind and name."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from facefeat.errors import (
    AmbiguousComponentError,
    FacefeatError,
    InputError,
    MissingExtraError,
    PluginError,
    UnknownComponentError,
    did_you_mean,
)
from facefeat.plugins import loading as loading
from facefeat.plugins.contracts import KINDS, Analyzer, AttributeKind, Component, Detector
from facefeat.plugins.loading import BUILTIN, Plugin, PluginProblem, normalise
from facefeat.utils.text import one_line

__all__ = ["Plugin", "PluginProblem", "Registered", "Registry", "get_registry", "reset_registry"]


@dataclass(frozen=True)
class Registered:
    """A component with its kind and where it came from."""

    kind: str
    component: Component
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The component's own name."""
        return self.component.name

    @property
    def qualified(self) -> str:
        """`distribution:name`, which no other component of the kind has."""
        return f"{self.distribution}:{self.component.name}"


class Registry:
    """All components that were found, and the problems of those plugins that were left out."""

    def __init__(
        self, items: Iterable[Registered], problems: Iterable[PluginProblem] = (), plugins: Iterable[Plugin] = ()
    ) -> None:
        self._items = tuple(items)
        self.problems = tuple(problems)
        self.plugins = tuple(plugins)

    def all(self, kind: str | None = None) -> tuple[Registered, ...]:
        """Every component, or those of one kind: by kind, then the built-ins first, then by distribution and name."""
        order = {k: i for i, k in enumerate(KINDS)}
        items = [i for i in self._items if kind is None or i.kind == kind]
        return tuple(sorted(items, key=lambda i: (order[i.kind], i.distribution != BUILTIN, i.qualified)))

    def names(self, kind: str) -> tuple[str, ...]:
        """Every name that `get` takes for a kind; where two plugins share one, both as `distribution:name`.

        Raises UnknownComponentError for an unknown kind.
        """
        items = self._of(kind)
        count = Counter(i.name for i in items)
        own = {i.name for i in items if i.distribution == BUILTIN}
        bare = {id(i) for i in items if count[i.name] == 1 or (i.name in own and i.distribution == BUILTIN)}
        return tuple(sorted(i.name if id(i) in bare else i.qualified for i in items))

    def get(self, kind: str, name: str) -> Registered:
        """The component of a kind by its name, or by `distribution:name`.

        A bare name that a built-in has means the built-in, whatever else is installed: what worked yesterday, and every
        recipe, still means the same.

        Raises UnknownComponentError (the nearest names, then all) or AmbiguousComponentError (both full names).
        """
        items = self._of(kind)
        distribution, _, bare = str(name).rpartition(":")
        hits = [i for i in items if i.name == bare]
        if distribution:
            hits = [i for i in hits if normalise(i.distribution) == normalise(distribution)]
        else:
            hits = [i for i in hits if i.distribution == BUILTIN] or hits
        if not hits:
            valid = [i.qualified for i in items] if distribution else self.names(kind)
            raise UnknownComponentError(f"no such {kind}. {did_you_mean(str(name), valid)}")
        if len(hits) > 1:
            both = " or ".join(repr(i.qualified) for i in sorted(hits, key=lambda i: i.qualified))
            raise AmbiguousComponentError(f"{kind} {bare!r} is registered by {len(hits)} distributions. Write {both}.")
        return hits[0]

    def build(self, kind: str, name: str, /, **config: Any) -> Any:
        """What the component's `build(**config)` gives; what that is for each kind, `facefeat.plugins.contracts` says.

        Raises what `get` raises; MissingExtraError with the line to type where an optional dependency is not installed;
        InputError for settings that the component does not take; PluginError where a plugin's own code fails or gives
        something else than its contract says.
        """
        item = self.get(kind, name)
        _check_requires(item)
        _check_config(item, config)
        try:
            made = item.component.build(**config)
        except FacefeatError:
            raise
        except (Exception, SystemExit) as e:  # sys.exit() in a plugin's code would end the program without a word
            if item.distribution == BUILTIN:
                raise  # a defect of facefeat: the traceback is wanted
            raise PluginError(f"{kind} {item.qualified!r} {item.version} failed: {loading.describe(e)}") from e
        _check_contract(item, made)
        return made

    def settings(self, kind: str, name: str) -> tuple[str, ...]:
        """Names of the settings that a component takes which have a default. Raises what `get` raises."""
        parameters = inspect.signature(self.get(kind, name).component.build).parameters.values()
        return tuple(p.name for p in parameters if p.default is not p.empty)

    def bare_config(self, kind: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration without published weights (`weights`), for who brings the component's weights himself.

        None is fetched, then, to be replaced at once. Raises what `get` raises.
        """
        takes = inspect.signature(self.get(kind, name).component.build).parameters.get("weights")
        if takes is None or takes.default is inspect.Parameter.empty:
            return dict(config)
        return {**config, "weights": None}

    def _of(self, kind: str) -> list[Registered]:
        if kind not in KINDS:
            raise UnknownComponentError(f"no such kind of component. {did_you_mean(str(kind), KINDS)}")
        return [i for i in self._items if i.kind == kind]


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a missing parent package; a module that was put away as None
        return False


def _check_requires(item: Registered) -> None:
    missing = [m for m in item.component.requires if not _installed(m)]
    if missing:
        what = "the module" if len(missing) == 1 else "the modules"
        names = ", ".join(repr(m) for m in missing)
        install = f'"{item.component.extra}"' if item.component.extra else " ".join(m.split(".")[0] for m in missing)
        raise MissingExtraError(
            f"{item.kind} {item.name!r} needs {what} {names}, not installed here. Next: pip install {install}"
        )


def _check_config(item: Registered, config: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(item.component.build)
    except (TypeError, ValueError):  # some callables in C have none; then the call itself shows it
        return
    try:
        signature.bind(**config)
    except TypeError as e:
        named = {
            n: p.default is p.empty
            for n, p in signature.parameters.items()
            if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        }
        takes = ", ".join(f"{n} (needed)" if needed else n for n, needed in named.items()) or "(none)"
        received = ", ".join(sorted(config)) or "(none)"
        raise InputError(
            f"{item.kind} {item.name!r} does not take these settings: {e}. Received: {received}. Valid: {takes}."
        ) from None


def _check_contract(item: Registered, made: object) -> None:
    fits = {
        "detector": isinstance(made, Detector),
        "analyzer": isinstance(made, Analyzer),
        "augmentation": callable(made),
        "preset": isinstance(made, str | os.PathLike),
        "attribute_kind": isinstance(made, AttributeKind),
        "loss": callable(made),
    }.get(item.kind, made is not None)
    if not fits:
        raise PluginError(
            f"{item.kind} {item.qualified!r} {item.version} breaks its contract: build gave {type(made).__name__}; "
            f"see the table in facefeat.plugins.contracts"
        )


_lock = threading.RLock()
_registry: Registry | None = None
_loading = False


def get_registry() -> Registry:
    """The registry of this process: plugins are loaded at the first call, each problem a line on standard error.

    Raises PluginError where FACEFEAT_STRICT is set and there is a problem, or where a plugin asks for the registry
    while it is being loaded.
    """
    global _registry, _loading
    with _lock:
        if _registry is not None:
            return _registry
        if _loading:
            raise PluginError("a plugin asked for the registry while plugins were being loaded; ask inside `build`")
        _loading = True
        try:
            registry = _load()
        finally:
            _loading = False
        if registry.problems and loading.strict():
            lines = "\n".join(f"  {p}" for p in registry.problems)
            raise PluginError(
                f"FACEFEAT_STRICT is set and {len(registry.problems)} plugin problem(s) were found:\n{lines}"
            )
        for problem in registry.problems:
            warn(problem)
        _registry = registry
        return registry


def reset_registry() -> None:
    """Forget what was loaded: the next `get_registry` looks again. For tests, and after installing a plugin."""
    global _registry
    with _lock:
        _registry = None


def use(registry: Registry) -> None:
    """Make this the registry of the process, until `reset_registry`. For tests: see `facefeat.testing.registered`."""
    global _registry
    with _lock:
        _registry = registry


def warn(problem: PluginProblem) -> None:
    """One line on standard error, where there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"facefeat: {one_line(str(problem), 1000).rstrip('.')}. See: facefeat plugins --problems\n")


def _load() -> Registry:
    plugins, problems = loading.load()
    found, more = loading.collect(plugins)
    items = [Registered(kind, component, p.distribution, p.version) for p, kind, component in found]
    return Registry(items, [*problems, *more, *_shadowing(found), *_sharing(found)], plugins)


def _shadowing(found: Iterable[tuple[Plugin, str, Component]]) -> list[PluginProblem]:
    """A plugin that takes a built-in's name: the bare name stays the built-in's, and the user must know."""
    found = list(found)
    own = {(kind, c.name) for p, kind, c in found if p.distribution == BUILTIN}
    return [
        p.problem(f"{kind} {c.name!r} has the name of a built-in, which keeps it; write '{p.distribution}:{c.name}'")
        for p, kind, c in found
        if p.distribution != BUILTIN and (kind, c.name) in own
    ]


def _sharing(found: Iterable[tuple[Plugin, str, Component]]) -> list[PluginProblem]:
    """Two plugins with one name: the bare name stops working, and the user must know why."""
    first: dict[tuple[str, str], Plugin] = {}
    problems = []
    for p, kind, c in found:
        if p.distribution == BUILTIN:
            continue
        other = first.setdefault((kind, c.name), p)
        if normalise(other.distribution) != normalise(p.distribution):
            both = f"'{other.distribution}:{c.name}' or '{p.distribution}:{c.name}'"
            reason = f"{kind} {c.name!r} has the name of one of {other.distribution} {other.version}; write {both}"
            problems.append(p.problem(reason))
    return problems
