"""What the README and the pages of docs say can be typed; `nox -s readme` types it."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from facefeat.cli import cli
from readme_blocks import README, blocks, command_for_tests

ROOT = README.parent
PAGES = sorted([README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
TEXT = README.read_text("utf-8")


def test_blocks_are_read_with_their_marks() -> None:
    text = "a\n```sh\nx\ny\n```\n<!-- not run: why -->\n```python\nz\n```\n<!-- test command -->\n```sh\nt\n```\n"
    found = blocks(text)
    assert [(b.language, b.text, b.runs) for b in found] == [
        ("sh", "x\ny\n", True),
        ("python", "z\n", False),
        ("sh", "t\n", False),
    ]
    assert command_for_tests(text) == "t"


def test_the_first_block_installs_and_predicts() -> None:
    first = next(b for b in blocks(TEXT) if b.runs)
    assert first.text.splitlines() == ["pip install .", "facefeat predict docs/assets/portrait.jpg"]


def test_the_test_command_is_short_and_ci_calls_it() -> None:
    assert command_for_tests(TEXT) == "pip install nox && nox"
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "readme_blocks.py test-command" in script


def commands() -> list[str]:
    lines = [line for page in PAGES for b in blocks(page.read_text("utf-8")) if b.language == "sh" for line in
             b.text.splitlines()]  # fmt: skip
    return sorted({line for line in lines if line.startswith("facefeat ")})


@pytest.mark.parametrize("line", commands())
def test_every_facefeat_command_shown_is_understood(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])[1:]
    context: click.Context = click.Context(cli, info_name="facefeat")
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: no command {words[0]!r}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    if words or not isinstance(command, click.Group):
        command.make_parser(context).parse_args(list(words))


def test_python_blocks_are_python() -> None:
    for page in PAGES:
        for block in blocks(page.read_text("utf-8")):
            if block.language == "python":
                ast.parse(block.text)
            if block.language == "toml":
                tomllib.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_what_the_readme_must_say_of_the_weights() -> None:
    assert "non-commercial research" in TEXT and "Apache" in TEXT
