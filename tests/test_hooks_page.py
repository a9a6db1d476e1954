"""docs/hooks.md: a section for each hook, with its signature, an example that keeps its contract, and a real user."""

from __future__ import annotations

import inspect
import re
import warnings
from pathlib import Path
from types import ModuleType

import click
import pluggy
import pytest

from facefeat.plugins import hookspecs
from facefeat.plugins.contracts import KINDS, hook_of
from facefeat.plugins.hookspecs import hookimpl
from facefeat.plugins.loading import Plugin, collect, register
from facefeat.testing import toy_preset
from facefeat.testing.plugin import CHECKS
from readme_blocks import blocks

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "hooks.md").read_text("utf-8")
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("facefeat_"))
_SECTION = re.compile(r"^### `(?P<name>facefeat_\w+)(?P<signature>\([^`]*)`\n(?P<body>.*?)(?=^##|\Z)", re.M | re.S)
SECTIONS = {m["name"]: m for m in _SECTION.finditer(TEXT)}


def example(name: str, folder: Path) -> ModuleType:
    """The example of a hook as a module that lies in a folder."""
    (block,) = [b for b in blocks(SECTIONS[name]["body"]) if b.language == "python"]
    module = ModuleType(f"example_{name}")
    module.__file__ = str(folder / f"{module.__name__}.py")
    exec(compile(block.text, module.__file__, "exec"), vars(module))
    return module


def test_the_page_has_each_hook_and_no_other() -> None:
    assert sorted(SECTIONS) == HOOKS
    assert {hook_of(kind) for kind in KINDS} | {"facefeat_commands"} == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_its_signature_is_that_of_the_code(name: str) -> None:
    # Annotations are strings in the code; the page has them as they are written there.
    signature = str(inspect.signature(getattr(hookspecs, name))).replace("'", "")
    assert SECTIONS[name]["signature"] == signature


@pytest.mark.parametrize("name", HOOKS)
def test_it_names_a_plugin_that_has_it(name: str) -> None:
    used = re.findall(r"\]\(\.\./plugins/([\w-]+)\)", SECTIONS[name]["body"].partition("In use:")[2])
    assert used
    for plugin in used:
        sources = [p.read_text("utf-8") for p in (ROOT / "plugins" / plugin / "src").rglob("*.py")]
        assert any(re.search(rf"^def {name}\(", s, re.M) for s in sources), f"{plugin} has no {name}"


@pytest.mark.parametrize("kind", KINDS)
def test_its_example_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    plugin = Plugin("example", "1.0", "example", register(example(hook_of(kind), tmp_path)))
    if kind == "preset":
        toy_preset(tmp_path / "presets" / "office")
    found, problems = collect([plugin])
    assert [k for _, k, _ in found] == [kind] and problems == []
    component = found[0][2]
    # What takes a process of its own is checked by the tutorial; only what is made of Keras layers has backends.
    options: dict[str, object] = {
        "skip": ["import", "backends"] if kind in ("backbone", "head", "augmentation", "decoder") else ["import"]
    }
    if kind == "augmentation":
        options["changed"] = {"reach": 0.4}
    if "width" in inspect.signature(component.build).parameters:
        options["changed"] = {"width": 4}
    if kind == "attribute_kind":
        options |= {"table": {"range": [0, 100]}, "labels": ["10", "90"]}
    CHECKS[kind](component, **options)


def test_the_example_of_commands_adds_one(tmp_path: Path) -> None:
    cli = click.Group()
    register(example("facefeat_commands", tmp_path)).hook.facefeat_commands(cli=cli)
    assert list(cli.commands) == ["hello"]


def test_a_deprecated_hook_warns_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    class Specs:
        @staticmethod
        @hookspecs.hookspec(warn_on_impl=DeprecationWarning("facefeat_old goes in 2.0: write facefeat_heads"))
        def facefeat_old() -> None: ...

        @staticmethod
        @hookspecs.hookspec(warn_on_impl_args={"size": DeprecationWarning("size goes in 2.0")})
        def facefeat_grown(size: int, colour: str) -> None: ...

    class Old:
        @hookimpl
        def facefeat_old(self) -> str:
            return "old"

        @hookimpl
        def facefeat_grown(self, size: int) -> int:
            return size

    monkeypatch.setattr("facefeat.plugins.loading.hookspecs", Specs)
    Specs.PROJECT = hookspecs.PROJECT  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning) as seen:
        manager: pluggy.PluginManager = register(Old())
    assert {str(w.message).partition(" goes")[0] for w in seen} == {"facefeat_old", "size"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert manager.hook.facefeat_old() == ["old"]
        # An argument that came later is no concern of a plugin that does not name it.
        assert manager.hook.facefeat_grown(size=3, colour="red") == [3]
