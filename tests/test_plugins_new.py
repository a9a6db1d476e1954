"""`facefeat plugins new`: the project of each kind, installed in an environment of its own, passes its own tests."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from facefeat.cli import run
from facefeat.plugins.contracts import KINDS
from facefeat.testing import toy_preset
from sandbox import Sandbox


def test_each_kind_passes_its_own_tests(tmp_path: Path) -> None:
    box = Sandbox(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    for kind in KINDS:
        done = box.run(["facefeat", "plugins", "new", f"my-{kind}", "--kind", kind], work)
        assert done.returncode == 0, done.stdout
        name = f"facefeat-my-{kind}".replace("_", "-")
        project = work / name
        said = [line.strip() for line in done.stdout.splitlines()[-3:]]
        assert said == [f"cd {name}", 'pip install -e ".[test]"', "pytest"]
        if kind == "preset":
            toy_preset(project / "src" / "facefeat_my_preset" / "presets" / "my-preset", "my-preset")
        box.run(["pip", "install", "-e", ".[test]"], project)
    checked = box.run(["facefeat", "plugins", "check"], work)
    assert checked.returncode == 0 and f"{len(KINDS)} plugin distribution(s)" in checked.stdout, checked.stdout
    # One process for all of them, since TensorFlow starts slowly; their test files have one name, hence importlib.
    tests = box.run(["pytest", "-q", "--import-mode=importlib", "--rootdir=.", "."], work)
    assert tests.returncode == 0 and f"{2 * len(KINDS)} passed" in tests.stdout, tests.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_what_builds_networks_has_a_backend_to_test_it_on(kind: str, tmp_path: Path) -> None:
    assert run(["plugins", "new", "mine", "--kind", kind, "--folder", str(tmp_path / "new")]) == 0
    project = tomllib.loads((tmp_path / "new" / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = kind not in ("detector", "analyzer", "preset")
    assert ("facefeat[tensorflow]" in project["optional-dependencies"]["test"]) == wanted


@pytest.mark.parametrize("name", ["Über", "two words", "-x", "9lives", "a--b", "", "x" * 51, "facefeat-", "../up"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "new", "--kind", "head", "--folder", str(tmp_path / "new"), "--", name]) == 2
    assert "a plugin's name is lower-case words" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["tiny-net", "Tiny_Net", "facefeat-tiny-net", " tiny-net "])
def test_one_name_however_it_is_written(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    assert run(["plugins", "new", name, "--kind", "detector", "--folder", str(folder)]) == 0
    assert (folder / "src" / "facefeat_tiny_net" / "__init__.py").is_file()
    assert 'name = "facefeat-tiny-net"' in (folder / "pyproject.toml").read_text("utf-8")
    assert not any("$" in p.read_text("utf-8") for p in folder.rglob("*") if p.is_file())


def test_a_builtins_name_and_a_full_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "new", "compact", "--kind", "backbone", "--folder", str(tmp_path / "a")]) == 2
    assert "there is a backbone 'compact' already, of facefeat" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    assert run(["plugins", "new", "wide", "--kind", "head", "--folder", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert run(["plugins", "new", "wide", "--kind", "head", "--folder", str(tmp_path / "mine.txt" / "x")]) == 2
