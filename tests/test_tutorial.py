"""docs/plugins.md as a newcomer follows it: its files written, its commands run, what it says is printed compared."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from readme_blocks import Block, blocks
from sandbox import Sandbox

PAGE = Path(__file__).resolve().parent.parent / "docs" / "plugins.md"
STEPS = blocks(PAGE.read_text("utf-8"))
MARKS = ("file: ", "added to: ", "printed", "fails", "")


def flat(text: str) -> str:
    """Text with each run of spaces as one: columns are as wide as what else is installed."""
    return " ".join(text.split())


def follow(step: Block, box: Sandbox, folder: Path, printed: str) -> str:
    """Do what one block says; gives what its commands printed, or else what was printed before."""
    mark, _, name = step.mark.partition(": ")
    if mark == "file":
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(step.text, "utf-8")
    elif mark == "added to":
        before = (folder / name).read_text("utf-8")
        (folder / name).write_text(f"{before}\n\n{step.text}", "utf-8")
    elif mark == "printed":
        for line in step.text.splitlines():
            assert flat(line) in flat(printed), printed
    elif step.language == "sh":
        done = [box.run(shlex.split(line), folder) for line in step.text.splitlines()]
        printed = "\n".join(d.stdout for d in done)
        codes = [d.returncode for d in done]
        assert codes == [1 if mark == "fails" else 0] * len(codes), f"{step.text}{codes}\n{printed}"
    return printed


def test_the_page_has_no_block_that_the_test_passes_over() -> None:
    assert all(step.language in ("sh", "python", "toml", "text") for step in STEPS)
    for step in STEPS:
        assert step.mark.startswith(MARKS[:-1]) or (step.language == "sh" and not step.mark), step.text


def test_a_newcomer_gets_what_the_page_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    box = Sandbox(tmp_path)
    folder = tmp_path / "tiny"
    folder.mkdir()
    printed = ""
    for step in STEPS:
        printed = follow(step, box, folder, printed)
    # Twenty lines of Python and two of TOML, so the page says; blank ones and remarks apart.
    source, *_ = [s.text for s in STEPS if s.mark == "file: facefeat_tiny.py"]
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    assert not [p for p in box.home.rglob("*") if p.is_file() and "facefeat" in str(p.relative_to(box.home))]
