"""A sample of the hostile corpus, from each class; `nox -s hostile` tries all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hostile.__main__ import CLASSES, cases
from hostile.case import Case, _judge

HERE = Path(__file__).resolve().parent


def test_corpus_has_its_classes_and_500_cases_or_more() -> None:
    counts = {group: len(cases(group)) for group in CLASSES}
    assert len(counts) == 9 and min(counts.values()) >= 50 and sum(counts.values()) >= 500, counts


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads what Linux says of memory")
def test_sample_of_each_class_holds() -> None:
    # A process of its own: the cases are forks, which threads of this one would harm. The demo has its own tests.
    some = [c for c in CLASSES if c != "visitors"]
    command = [sys.executable, "-m", "hostile", "--sample", "3", *some]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


JUDGED = {
    ("facefeat: no such file: 'a.jpg'.\n", 1): "",
    ("Traceback (most recent call last):\n", 1): "traceback",
    ("facefeat: \x1b[2J\n", 1): "reached the pipe",
    ("facefeat: root:x:0\n", 1): "says 'root:x:0'",
    ("what?\n", 1): "without a sentence",
    ("facefeat: a\n", 0): "exit code 0",
    ("", "ran out of time"): "ran out of time",
}


@pytest.mark.parametrize(("output", "code", "fault"), [(*k, v) for k, v in JUDGED.items()])
def test_judge_finds_what_a_case_must_not_do(output: str, code: int | str, fault: str, tmp_path: Path) -> None:
    case = Case("x", "y", lambda folder: None, ("predict",), exit=(1,))
    found = _judge(case, tmp_path, output, code, 10)
    assert fault in found and bool(found) == bool(fault)


def test_judge_finds_memory_and_what_is_left(tmp_path: Path) -> None:
    case = Case("x", "y", lambda folder: None, ("predict",), exit=(0,))
    assert "took 9999 MB" in _judge(case, tmp_path, "", 0, 9999)
    (tmp_path / ".a-12345678.tmp").mkdir()
    assert "left" in _judge(case, tmp_path, "", 0, 10)
