"""The presets that ship in the package: every folder in `facefeat/assets/presets` that has a `config.json`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from facefeat.plugins.contracts import Component
from facefeat.utils.files import read_json

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "presets"
"""Where the bundled presets lie."""


def _folder(path: Path) -> Path:
    return path


def _summary(folder: Path) -> str:
    """The `summary` of a preset's configuration, or a sentence that is always true of it."""
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError):
        config = {}
    text = config.get("summary") if isinstance(config, dict) else None
    return text if isinstance(text, str) and text else "ships in the package"


def _components() -> tuple[Component, ...]:
    folders = sorted(p.parent for p in FOLDER.glob("*/config.json"))
    return tuple(Component(p.name, partial(_folder, p), _summary(p)) for p in folders)


COMPONENTS = _components()
