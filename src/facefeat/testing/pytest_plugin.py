"""The checks as pytest fixtures: installed with facefeat, so a plugin's test of a component is one line.

    def test_tiny(check_backbone):
        check_backbone(COMPONENT, changed={"width": 8})

Under pytest a test may reach no network unless it says so: a check that passes only where there is a connection proves
nothing. Nothing of facefeat is imported before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

CHECKS = (
    "check_detector",
    "check_backbone",
    "check_head",
    "check_decoder",
    "check_analyzer",
    "check_preset",
    "check_plugin",
)


@pytest.fixture
def facefeat_registry() -> Iterator[Any]:
    """The registry, read afresh, and forgotten after the test."""
    from facefeat.plugins.registry import get_registry, reset_registry

    reset_registry()
    yield get_registry()
    reset_registry()


def _fixture(name: str) -> Callable[..., Any]:
    def fixture(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        import facefeat.testing

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


check_detector, check_backbone, check_head, check_decoder, check_analyzer, check_preset, check_plugin = map(
    _fixture, CHECKS
)
