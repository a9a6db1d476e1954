"""Finding, editing and drawing faces needs no pandas; a command that reads tables says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = str(ROOT / "docs" / "assets" / "portrait.jpg")
RUN = """
import json, sys
sys.modules["pandas"] = None  # as where it is not installed
from facefeat.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as e:
        if e.code:
            sys.exit(e.code)
"""


def facefeat(*commands: list[str]) -> subprocess.CompletedProcess[str]:
    """The commands one after the other in a process without pandas, up to the first that fails."""
    return subprocess.run([sys.executable, "-c", RUN, json.dumps(commands)], capture_output=True, text=True)


def test_faces_are_found_edited_and_drawn(tmp_path: Path) -> None:
    commands = [
        ["predict", PORTRAIT, "--csv"],
        ["edit", PORTRAIT, "--age", "+20", "-o", str(tmp_path / "edit.png")],
        ["morph", PORTRAIT, PORTRAIT, "--steps", "2", "-o", str(tmp_path / "morph.gif")],
        ["compose", "--gender", "Female", "-o", str(tmp_path / "compose.png")],
        ["explain", PORTRAIT, "-o", str(tmp_path / "explain.png")],
        ["batch", PORTRAIT, "-o", str(tmp_path / "faces.parquet")],
        ["presets"],
        ["plugins"],
    ]
    done = facefeat(*commands)
    assert done.returncode == 0, done.stderr
    made = {"edit.png", "morph.gif", "compose.png", "explain.png", "faces.parquet"}
    assert {p.name for p in tmp_path.iterdir()} >= made and "gender" in done.stdout


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["data", "import", "{folder}/t.csv", "--schema", "utkface", "-o", "{folder}/made"], "audit"),
        (["audit", "{folder}/t.csv"], "audit"),
        (["census", "{folder}"], "audit"),
        (["analyze", "pca", "--data", "{folder}", "-o", "{folder}/made"], "plots"),
    ],
)
def test_a_command_that_reads_tables_says_what_to_install(words: list[str], extra: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,age,gender,race\na.jpg,30,Male,White\n")
    done = facefeat([w.format(folder=tmp_path) for w in words])
    assert done.returncode == 1 and "pandas" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "Next: pip install" in done.stderr and f"facefeat[{extra}]" in done.stderr
    assert not (tmp_path / "made").exists()


def test_every_extra_that_trains_or_reads_tables_brings_pandas() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert not any(d.startswith("pandas") for d in project["dependencies"])
    extras = project["optional-dependencies"]

    def whole(extra: str) -> set[str]:
        found = set(extras[extra])
        for needed in list(found):
            if needed.startswith("facefeat["):
                found |= {d for name in needed[9:-1].split(",") for d in whole(name)}
        return found

    asking = ("audit", "doctor", "export", "jax", "plots", "scale", "tables", "tensorflow", "test", "torch", "tune")
    assert [e for e in asking if "pandas>=2.2" not in whole(e)] == []
