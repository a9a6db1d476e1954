"""`facefeat.testing` on files, imports, other backends, presets and whole plugins; the rest is in test_testing.py."""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from facefeat import InputError
from facefeat.plugins.contracts import Component
from facefeat.testing import (
    TOYS,
    ContractError,
    UncheckedWarning,
    check_backbone,
    check_detector,
    check_head,
    check_preset,
    toy_preset,
)
from facefeat.testing.contract import ASPECTS, last_error
from facefeat.testing.toys import ToyDetector, build_backbone
from test_testing import faults


def test_a_file_that_is_written_is_found() -> None:
    def writes(*, image_size: int) -> Any:
        Path("cache.bin").write_bytes(b"x")
        (Path.home() / ".toy").write_text("x", "utf-8")
        return build_backbone(image_size=image_size)

    here = Path.cwd()
    said = faults(check_backbone, writes)
    assert "building and running must write no file. Received: work/cache.bin, home/.toy." in said
    assert Path.cwd() == here and not (here / "cache.bin").exists()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Writes the source of a module that can be imported, here and by other processes, and imports it."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source: str) -> Any:
        name = f"made_{abs(hash((source, str(tmp_path))))}"
        head = "from facefeat import Component\nfrom facefeat.testing.toys import build_detector, build_backbone\n"
        (tmp_path / f"{name}.py").write_text(head + source, "utf-8")
        return import_module(name)

    return make


DETECTOR = "def build(*, part=0.5): return build_detector(part=part)\nC = Component('x', build, 'x')\n"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import PIL\n", "must import nothing heavy: import inside build. Received: "),
        ("open('trace', 'w').close()\n", "must write no file. Received: trace."),
        ("import sys\nif 'pytest' not in sys.modules: raise OSError('alone')\n", "It raised OSError: alone."),
    ],
)
def test_a_module_that_costs_something_at_import(
    source: str, says: str, module: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = module(source + DETECTOR)
    with pytest.raises(ContractError) as seen:
        check_detector(made.C, changed={"part": 0.3})
    assert made.__name__ in str(seen.value) and says in str(seen.value)
    check_detector(made.C, changed={"part": 0.3}, skip=["import"])


def test_a_module_that_costs_nothing_passes_and_a_test_is_not_taken_for_one(module: Callable[[str], Any]) -> None:
    check_detector(module(DETECTOR).C, changed={"part": 0.3})
    with pytest.warns(
        UncheckedWarning, match="the cost of importing not checked: build is from 'test_testing_subprocess'"
    ):
        check_detector(Component("x", lambda: ToyDetector(), "x"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing"),
        ("warning: x\nit took too long\n", "it took too long"),
        ("W0\nTraceback (most recent call last):\n  File 'a'\n    f()\n    ^\nOSError: gone\n", "OSError: gone"),
        (
            "Traceback (most recent call last):\n  File 'a'\nKeyError: 1\n\nDuring handling of it:\n\n"
            "Traceback (most recent call last):\n  File 'b'\nValueError: call of \x1b[1mT\x1b[0m failed\n\n  * x=1\n",
            "ValueError: call of T failed * x=1",
        ),
    ],
)
def test_what_another_process_died_of(text: str, says: str) -> None:
    assert last_error(text) == says


def test_a_backend_that_is_absent_is_said_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facefeat.testing.contract.importlib.util.find_spec", lambda name: None)
    options: dict[str, Any] = {"changed": {"width": 3}, "skip": [a for a in ASPECTS if a != "backends"]}
    with pytest.warns(UncheckedWarning, match="the backend (jax|tensorflow) not checked: .* is not installed here"):
        check_head(TOYS["head"], **options)


def test_a_wrong_preset(tmp_path: Path) -> None:
    assert "build must give the path of an existing folder" in faults(check_preset, lambda: tmp_path / "none")
    folder = toy_preset(tmp_path / "toy")
    (folder / "model.py").write_text("print('code')", "utf-8")
    assert "a preset is data: its files end in" in faults(check_preset, lambda: folder)
    (folder / "model.py").unlink()
    (folder / "head.weights.h5").write_bytes(b"")
    assert "the preset must load and predict. It raised" in faults(check_preset, lambda: folder)


def test_a_plugin_that_is_not_there_and_one_that_is(check_plugin: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="no plugin of that name is installed"):
        check_plugin("facefeat-absent")
    with pytest.raises(InputError, match=r"settings: this plugin registers no such component"):
        check_plugin("facefeat", {"backbone nowhere": {}})


def test_under_pytest_a_check_has_no_network(check_detector: Callable[..., Any]) -> None:
    def build() -> Any:
        socket.create_connection(("192.0.2.1", 80), timeout=1)

    with pytest.raises(ContractError, match="no network in a check: it tried"):
        check_detector(Component("x", build, "x"), skip=["import"])
