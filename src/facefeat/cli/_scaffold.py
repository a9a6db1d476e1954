"""What `facefeat plugins new` writes: a project from the templates next to this file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from facefeat._version import __version__
from facefeat.errors import InputError
from facefeat.plugins.registry import get_registry
from facefeat.utils.atomic import atomic_folder

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Another value for the one setting that the component of each template has; of a kind, an attribute of it.
_OPTIONS = {
    "detector": 'changed={"part": 0.25}',
    "backbone": 'changed={"width": 8}',
    "head": 'changed={"width": 8}',
    "augmentation": 'changed={"reach": 0.4}',
    "decoder": 'changed={"width": 8}',
    "analyzer": 'changed={"digits": 2}',
    "attribute_kind": 'table={"range": [1, 1000]}, labels=["2", "500"]',
    "loss": 'changed={"epsilon": 0.5}',
}
_ON_KERAS = ("backbone", "head", "augmentation", "decoder", "attribute_kind", "loss")
"""Kinds whose tests build networks: they need a backend, which facefeat itself does not bring."""
_MORE = {
    "preset": """
There is no preset in it yet. Train one (`facefeat train --help`), and put its folder into `src/$module/presets`: the
folder's name becomes the preset's.
"""
}


@dataclass(frozen=True)
class Names:
    """What a new plugin and its parts are called, such as facefeat-tiny, facefeat_tiny and tiny."""

    kind: str
    distribution: str
    module: str
    component: str


def names_of(name: str, kind: str) -> Names:
    """The names that follow from the one that the user gave, with or without "facefeat-".

    Raises InputError for a name that is none, or that a built-in of the kind has.
    """
    component = name.strip().lower().replace("_", "-").removeprefix("facefeat-")
    if not _NAME.fullmatch(component) or len(component) > 50:
        raise InputError(
            f"a plugin's name is lower-case words and digits joined by hyphens, such as 'tiny-net'. Received: {name!r}."
        )
    taken = [i for i in get_registry().all(kind) if i.name == component]
    if taken:
        raise InputError(
            f"there is a {kind} {component!r} already, of {taken[0].distribution} {taken[0].version}; two of one name "
            f"differ in their distributions only. Choose another. Received: {name!r}."
        )
    distribution = f"facefeat-{component}"
    return Names(kind, distribution, distribution.replace("-", "_"), component)


def write(names: Names, folder: Path) -> Path:
    """Write the project into a new or empty folder, and give it. Raises InputError where that cannot be done."""
    kind = names.kind
    test = "test_preset.py.txt" if kind == "preset" else "test_contract.py.txt"
    files = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        ".gitignore": "gitignore.txt",
        f"src/{names.module}/__init__.py": f"{kind}.py.txt",
        "tests/test_contract.py": test,
    }
    values = {
        "kind": kind,
        "distribution": names.distribution,
        "module": names.module,
        "component": names.component,
        "identifier": names.component.replace("-", "_"),
        "summary": f"the {kind} {names.component}: say here in one line what it does",
        "version": ".".join(__version__.split(".")[:2]),
        "options": _OPTIONS.get(kind, ""),
        "extra": "[tables]" if kind == "analyzer" else "",
        "tests": '"pytest>=8.3"' + (', "facefeat[tensorflow]"' if kind in _ON_KERAS else ""),
    }
    values["more"] = Template(_MORE.get(kind, "")).substitute(values)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} exists and is not empty. Next: facefeat plugins new --folder ELSEWHERE")
    with atomic_folder(folder, "a project", lambda _: False) as new:
        for name, template in files.items():
            text = Template((TEMPLATES / template).read_text("utf-8")).substitute(values)
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text.rstrip() + "\n", "utf-8")
    return folder
