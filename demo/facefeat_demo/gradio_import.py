"""Importing Gradio without the files that it writes meanwhile.

While it is imported, Gradio parses the source of each of its components, to write a stub for editors next to it: nearly
half of the time that its import takes, and nothing that a page needs.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_WRITER, _WRITES = "gradio.component_meta", "create_or_modify_pyi"


class _NoStubs(MetaPathFinder):
    """Finds the one module that writes the stubs, and has it write none."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As of `MetaPathFinder`."""
        spec = PathFinder.find_spec(fullname, path) if fullname == _WRITER else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                if hasattr(module, _WRITES):  # another Gradio may do it in another way: then it takes its time
                    setattr(module, _WRITES, _nothing)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _nothing(*args: Any) -> None:
    """In place of writing a stub."""


@contextlib.contextmanager
def without_stubs() -> Iterator[None]:
    """For the length of a block, an import of Gradio writes no stubs. One that was imported before stays as it is."""
    finder = _NoStubs()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
