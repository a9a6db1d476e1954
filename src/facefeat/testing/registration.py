"""Components that are registered for the length of a test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from facefeat.errors import InputError, did_you_mean
from facefeat.plugins import registry as registering
from facefeat.plugins.contracts import KINDS, Component
from facefeat.plugins.registry import Registered, Registry, get_registry


@contextlib.contextmanager
def registered(
    components: Mapping[str, Iterable[Component]], distribution: str = "facefeat-test"
) -> Iterator[Registry]:
    """Within it, these components (kind -> components) are registered in addition to all others, as if installed.

    Raises InputError for an unknown kind.
    """
    for kind in components:
        if kind not in KINDS:
            raise InputError(f"no such kind of component. {did_you_mean(kind, KINDS)}")
    before = get_registry()
    new = [Registered(k, c, distribution, "0.0.0") for k, some in components.items() for c in some]
    during = Registry([*before.all(), *new], before.problems, before.plugins)
    registering.use(during)
    try:
        yield during
    finally:
        registering.use(before)
