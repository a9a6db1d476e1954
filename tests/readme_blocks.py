"""Reads the commands out of README.md and runs them, so that what it promises is what happens.

    python tests/readme_blocks.py run            run every block in the working folder, in order; stops at a failure
    python tests/readme_blocks.py test-command   print the command that runs the tests

A fenced block marked `sh` or `python` is run, unless the line before it is `<!-- not run: why -->`. The block after
`<!-- test command -->` is the test command.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
_BLOCK = re.compile(r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the comment before it, if any."""

    language: str
    text: str
    mark: str = ""

    @property
    def runs(self) -> bool:
        """Whether it is a promise to be kept by running it."""
        return self.language in ("sh", "python") and not self.mark.startswith(("not run", "test command"))


def blocks(text: str) -> list[Block]:
    """Every fenced block of a Markdown text, in order."""
    return [Block(m["language"], m["text"], m["mark"] or "") for m in _BLOCK.finditer(text)]


def command_for_tests(text: str) -> str:
    """The block marked as the test command."""
    (found,) = [b.text.strip() for b in blocks(text) if b.mark == "test command"]
    return found


def run(text: str) -> None:
    """Run the blocks one after the other. Raises CalledProcessError at the first failure."""
    for block in blocks(text):
        if not block.runs:
            continue
        print("\n".join(f"$ {line}" for line in block.text.splitlines()), flush=True)
        start = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else ["python", "-c"]
        subprocess.run([*start, block.text], check=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        run(README.read_text("utf-8"))
    elif sys.argv[1:] == ["test-command"]:
        print(command_for_tests(README.read_text("utf-8")))
    else:
        sys.exit(__doc__)
