"""Names -> components, on registries made by hand; loading is in test_plugins_loading.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefeat import Component
from facefeat.errors import (
    AmbiguousComponentError,
    InputError,
    MissingExtraError,
    PluginError,
    PresetError,
    UnknownComponentError,
)
from facefeat.plugins.contracts import KINDS, hook_of
from facefeat.plugins.loading import normalise
from facefeat.plugins.registry import Registered, Registry, get_registry
from facefeat.utils.text import one_line


def made(
    name: str = "net", distribution: str = "dist", kind: str = "backbone", build: Callable[..., Any] = dict, **rest: Any
) -> Registered:
    return Registered(kind, Component(name, build, "a summary", **rest), distribution, "1.0")


# ---------------------------------------------------------------- names


def test_a_component_is_found_by_its_name_and_by_its_full_name() -> None:
    item = made("net", "My_Dist")
    registry = Registry([item])
    assert registry.get("backbone", "net") is item
    assert registry.get("backbone", "My_Dist:net") is item
    assert registry.get("backbone", "my-dist:net") is item


def test_an_unknown_name_is_answered_with_the_nearest_and_then_all() -> None:
    registry = Registry([made("compact"), made("resnet50"), made("compact", kind="head")])
    with pytest.raises(UnknownComponentError, match=r"'compct'. Did you mean 'compact'\? Valid: compact, resnet50\."):
        registry.get("backbone", "compct")
    with pytest.raises(UnknownComponentError, match=r"Valid: \(none\)"):
        registry.get("detector", "mtcnn")
    with pytest.raises(UnknownComponentError, match="Valid: dist:compact, dist:resnet50"):
        registry.get("backbone", "other:compact")


def test_an_unknown_kind_is_answered_with_all_kinds() -> None:
    with pytest.raises(UnknownComponentError, match="Did you mean 'backbone'"):
        Registry([]).get("backbones", "x")
    with pytest.raises(UnknownComponentError, match="no such kind"):
        Registry([]).names("")


def test_a_shared_name_is_an_error_that_names_both() -> None:
    registry = Registry([made(distribution="one"), made(distribution="two")])
    with pytest.raises(AmbiguousComponentError, match="'one:net' or 'two:net'"):
        registry.get("backbone", "net")
    assert registry.get("backbone", "two:net").distribution == "two"


_NAMES = st.sampled_from(["a", "b", "c-d"])


@given(st.lists(st.tuples(st.sampled_from(KINDS), _NAMES, _NAMES), unique=True, max_size=20))
def test_every_name_listed_can_be_asked_for_and_together_they_are_all(items: list[tuple[str, str, str]]) -> None:
    registry = Registry([made(name, distribution, kind) for kind, name, distribution in items])
    reached = {registry.get(kind, name) for kind in KINDS for name in registry.names(kind)}
    assert reached == set(registry.all())
    assert len(registry.all()) == len(items)


@given(st.text())
def test_any_text_as_a_name_is_found_or_refused_in_words(text: str) -> None:
    registry = Registry([made("compact"), made("net", "other")])
    try:
        assert registry.get("backbone", text).name in ("compact", "net")
    except UnknownComponentError as e:
        assert "Valid: compact, net" in str(e) or "Valid: dist:compact, other:net" in str(e)


# ---------------------------------------------------------------- build


def test_build_hands_the_configuration_on() -> None:
    registry = Registry([made(build=lambda *, image_size, kind=0, name=0: (image_size, kind, name))])
    # `kind` and `name` are a component's own settings here, not those of Registry.build.
    assert registry.build("backbone", "net", image_size=8, kind=1, name=2) == (8, 1, 2)


def test_a_component_that_exits_is_a_plugin_error() -> None:
    def build() -> None:
        raise SystemExit(0)

    with pytest.raises(PluginError, match="failed: SystemExit: 0"):
        Registry([made("exits", "other", build=build)]).build("backbone", "exits")


def test_settings_that_a_component_does_not_take_are_named() -> None:
    def build(*, image_size: int, width: int = 3) -> None: ...

    registry = Registry([made(build=build)])
    with pytest.raises(InputError, match=r"'widht'.*Valid: image_size \(needed\), width"):
        registry.build("backbone", "net", image_size=8, widht=2)
    with pytest.raises(InputError, match="missing a required argument: 'image_size'"):
        registry.build("backbone", "net")


@pytest.mark.parametrize(
    ("requires", "extra", "line"),
    [
        (("no_such_module_x",), "facefeat[video]", 'pip install "facefeat[video]"'),
        (("json", "no_such_module_x", "no_such_module_y.z"), "", "pip install no_such_module_x no_such_module_y"),
        (("json.no_such_part",), "", "pip install json"),
    ],
)
def test_a_missing_extra_is_answered_with_the_line_to_type(requires: tuple[str, ...], extra: str, line: str) -> None:
    registry = Registry([made(requires=requires, extra=extra)])
    with pytest.raises(MissingExtraError, match=re.escape(line) + "$"):
        registry.build("backbone", "net")


def test_requirements_that_are_there_are_no_hindrance() -> None:
    assert Registry([made(requires=("json", "os.path"))]).build("backbone", "net", a=1) == {"a": 1}


def test_a_plugins_own_failure_names_the_plugin() -> None:
    def build() -> None:
        raise KeyError("inside")

    with pytest.raises(PluginError, match="backbone 'dist:net' 1.0 failed: KeyError: 'inside'") as caught:
        Registry([made(build=build)]).build("backbone", "net")
    assert isinstance(caught.value.__cause__, KeyError)
    # In a built-in it is a defect of ours, and stays what it is.
    with pytest.raises(KeyError):
        Registry([made(build=build, distribution="facefeat")]).build("backbone", "net")


def test_an_error_on_purpose_comes_through() -> None:
    def build() -> None:
        raise PresetError("it says why")

    with pytest.raises(PresetError, match="^it says why$"):
        Registry([made(build=build)]).build("backbone", "net")


@pytest.mark.parametrize("kind", ["detector", "analyzer", "preset", "backbone"])
def test_something_else_than_the_contract_says_is_refused(kind: str) -> None:
    with pytest.raises(PluginError, match="breaks its contract: build gave NoneType"):
        Registry([made(kind=kind, build=lambda: None)]).build(kind, "net")


# ---------------------------------------------------------------- the real one


def test_the_builtins_are_registered_under_facefeat() -> None:
    from facefeat import __version__

    builtin = [i for i in get_registry().all() if i.distribution == "facefeat"]
    assert {"mtcnn", "whole-image"} <= {i.name for i in builtin if i.kind == "detector"}
    assert "compact" in {i.name for i in builtin if i.kind == "backbone"}
    assert "mlp" in {i.name for i in builtin if i.kind == "head"}
    assert {i.version for i in builtin} == {__version__}
    assert [p for p in get_registry().problems if p.distribution == "facefeat"] == []
    assert get_registry() is get_registry()


def test_every_builtin_has_a_summary_of_one_line() -> None:
    for item in get_registry().all():
        if item.distribution == "facefeat":
            assert 10 < len(item.component.summary) < 140 and "\n" not in item.component.summary, item.qualified


def test_kinds_match_the_hooks() -> None:
    from facefeat.plugins import hookspecs

    hooks = {n for n in vars(hookspecs) if n.startswith("facefeat_")}
    assert hooks == {hook_of(kind) for kind in KINDS} | {"facefeat_commands"}


@given(st.text(max_size=500))
def test_a_strangers_message_becomes_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 300 and (line.isprintable() or line == "")


@given(st.text(alphabet="aB-_.", min_size=1, max_size=12))
def test_normalising_a_name_twice_changes_nothing(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)
