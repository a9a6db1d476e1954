"""The Keras models of a classifier or a decoder, by network: there, or built when one is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ComponentRef:
    """A component as a preset names it: enough to build it again, or to say which plugin is missing."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    distribution: str = "facefeat"
    version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "config": dict(self.config),
        }

    @property
    def qualified(self) -> str:
        """`distribution:name`, as the registry takes it."""
        return f"{self.distribution}:{self.name}"


class LazyModels(Mapping[str, Any]):
    """Network -> Keras model; all are made by one call when the first is asked for."""

    def __init__(self, make: Callable[[], Mapping[str, Any]], names: tuple[str, ...]) -> None:
        self._make, self._names = make, names
        self._made: Mapping[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if self._made is None:
            self._made = self._make()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
