"""The benchmark page: every block has its script, whose output becomes the block. Nothing is measured here."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


page = load("page")


def test_every_block_of_the_page_has_a_script_and_every_script_a_block() -> None:
    given = page.Given("UTKFace.tar", ("a.jpg",), "splits.csv", 1000)
    planned = page.plan(given)
    assert sorted(page.blocks(PAGE.read_text("utf-8"))) == sorted(planned)
    commands = [c for c in planned.values() if not isinstance(c, str)]
    assert all((SCRIPTS / c[0]).is_file() for c in commands)
    assert planned["accuracy"] == ["accuracy.py", "UTKFace.tar", "--splits", "splits.csv"]
    shown = PAGE.read_text("utf-8")
    for name in ("accuracy", "speed", "peers", "search", "input_pipeline", "frozen", "plugins"):
        assert f"python benchmarks/{name}.py" in shown


def test_what_there_is_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    planned = page.plan(page.Given())
    assert planned["accuracy"] == planned["input"] == "no data set was given"
    assert planned["peers"] == "deepface and tf_keras not installed" and planned["search"] == "lancedb not installed"
    assert planned["speed"] == ["speed.py"] and planned["plugins"] == ["plugins.py"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert page.plan(page.Given())["peers"] == "no photos were given"


def test_what_a_script_prints_becomes_tables() -> None:
    printed = "2 cores\nkeras 3\nwhat | value | more\na `b` | 1 ms | 2\nc | 3\n\nanother | MB\nx | 7\n"
    assert page.as_markdown(printed) == (
        "2 cores, keras 3:\n\n| what | value | more |\n| --- | --- | --- |\n| a `b` | 1 ms | 2 |\n| c | 3 | |\n\n"
        "| another | MB |\n| --- | --- |\n| x | 7 |"
    )
    assert page.as_markdown("one\ntwo") == "one, two."


def test_a_block_is_replaced_and_nothing_else() -> None:
    text = PAGE.read_text("utf-8")
    for name in page.blocks(text):
        marked = page.put(text, name, "| a | b |\n| --- | --- |\n| \\1 | 2 |")
        assert "| \\1 | 2 |" in marked, "what is put in is no pattern"
        before, after = (re.sub(rf"(<!-- bench:{name} -->).*?(<!-- /bench -->)", r"\1\2", t, flags=re.S)
                         for t in (text, marked))  # fmt: skip
        assert before == after
    with pytest.raises(ValueError, match="0 blocks 'nope'"):
        page.put(text, "nope", "")


def test_the_command_writes_the_page_and_tells_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "benchmarks.md"
    copy.write_text(PAGE.read_text("utf-8"), "utf-8")
    for name, code in (
        ("plugins", "print('1 core\\nwhat | seconds\\nadded | 0.5')"),
        ("frozen", "raise SystemExit(3)"),
    ):
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
    monkeypatch.setattr(page, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["page.py", "--only", "frozen,accuracy,plugins", "--page", str(copy)])
    assert page.main() == 1
    said = capsys.readouterr().out
    assert "accuracy: left as it is, no data set was given" in said and "frozen: failed with 3" in said
    written = copy.read_text("utf-8")
    assert "1 core:\n\n| what | seconds |\n| --- | --- |\n| added | 0.5 |\n\n<!-- /bench -->" in written
    assert written == page.put(
        PAGE.read_text("utf-8"), "plugins", page.as_markdown("1 core\nwhat | seconds\nadded | 0.5")
    )
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_the_rows_of_accuracy_are_those_of_the_page() -> None:
    from facefeat.schema import get_schema

    metrics = dict.fromkeys(
        ["age_mae", "age_accuracy", "age_one_off_accuracy", "age_coverage", "gender_accuracy", "race_accuracy"], 0.5
    )
    report = SimpleNamespace(metrics=metrics, intervals={"age_mae": (4.9, 5.37)})
    rows = list(load("accuracy").figures(report, get_schema("utkface")))
    assert (
        rows[0] == "age: mean absolute error | 0.50 years | 4.90 to 5.37" and rows[4] == "gender accuracy | 0.5000 | "
    )
    written = PAGE.read_text("utf-8")
    assert all(f"| {row.partition(' | ')[0]} |" in written for row in rows)


def test_the_session_runs_it() -> None:
    text = (ROOT / "noxfile.py").read_text("utf-8")
    assert 'session.run("python", "benchmarks/page.py", *session.posargs' in text
    done = subprocess.run([sys.executable, SCRIPTS / "page.py", "--only", "nope"], capture_output=True, text=True)
    assert done.returncode == 2 and "no such block: nope. Valid: accuracy, speed" in done.stderr
