"""The checks as pytest fixtures: installed with facefeat, so a plugin's test of a component is one line.

    def test_tiny(check_backbone):
        check_backbone(COMPONENT, changed={"width": 8})

Under pytest a test may reach no network unless it says so: a check that passes only where there is a connection proves
nothing. Nothing heavy is imported before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import facefeat.testing

CHECKS = tuple(name for name in facefeat.testing.__all__ if name.startswith("check_"))


@pytest.fixture
def facefeat_registry() -> Iterator[Any]:
    """The registry, read afresh, and forgotten after the test."""
    from facefeat.plugins.registry import get_registry, reset_registry

    reset_registry()
    yield get_registry()
    reset_registry()


def _fixture(name: str) -> Callable[..., Any]:
    def fixture(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        check: Callable[..., Any] = getattr(facefeat.testing, name)
        return _offline(check, monkeypatch)

    fixture.__name__ = name
    fixture.__doc__ = f"`facefeat.testing.{name}`, without a network."
    return pytest.fixture(fixture)


def _offline(check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    import functools
    import socket

    def refuse(self: socket.socket, address: Any) -> None:
        raise OSError(f"no network in a check: it tried {address!r}. Give config= that needs no download.")

    @functools.wraps(check)
    def run(*args: Any, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "connect", refuse)
            return check(*args, **options)

    return run


globals().update({name: _fixture(name) for name in CHECKS})
