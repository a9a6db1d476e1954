"""The built-in augmentations, one file each: crops (B, S, S, 3) of 0..255 -> the same shape, changed in training.

A file here with a `COMPONENT`, or several `COMPONENTS`, is registered; nothing else names it. MixUp and CutMix are not
among them: they change the targets, too, so that the loss must know of them (`facefeat.training.mixing`).
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from facefeat.plugins.contracts import Component

_FILES = [import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__) if m.name != "layer"]
COMPONENTS: list[Component] = [
    component for file in _FILES for component in getattr(file, "COMPONENTS", None) or [file.COMPONENT]
]
