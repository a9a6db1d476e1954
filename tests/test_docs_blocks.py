"""Every code block of the pages in docs is run, as a reader would: `nox -s docs` does it after building the site.

Commands run in this process, so that Keras starts once for all. Blocks marked `<!-- not run: why -->` are left out;
docs/plugins.md has a test of its own (test_tutorial), the README a session of its own.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from facefeat.cli import cli
from readme_blocks import README, Block, blocks

DOCS = README.parent / "docs"
FOUND = [
    pytest.param(page.stem, block, id=f"{page.stem}-{i}")
    for page in sorted(DOCS.glob("*.md"))
    if page.name != "plugins.md"
    for i, block in enumerate(blocks(page.read_text("utf-8")))
    if block.runs
]

pytestmark = pytest.mark.docs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each page a folder in it, with what a reader in a checkout has beside the prompt."""
    return tmp_path_factory.mktemp("readers")


def beside(folder: Path, page: str) -> Path:
    made = folder / page
    if not made.exists():
        shutil.copytree(DOCS / "assets", made / "docs" / "assets")
        examples = Path("demo", "facefeat_demo", "examples")
        shutil.copytree(DOCS.parent / examples, made / examples)
    return made


@pytest.mark.parametrize(("page", "block"), FOUND)
def test_a_block_runs(page: str, block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(beside(folder, page))
    if block.language == "python":
        exec(compile(block.text, "block", "exec"), {"__name__": "reader"})
        return
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[:2] == ["pip", "install"]:
            continue  # the session has installed it
        assert words[0] == "facefeat", f"{line!r}: only facefeat's commands can be run here; mark the block"
        output = words[words.index(">") + 1] if ">" in words else None
        done = CliRunner().invoke(cli, words[1 : words.index(">") if output else None])
        assert done.exit_code == 0, f"{line}\n{done.output}"
        if output:
            Path(output).write_text(done.stdout, "utf-8")
