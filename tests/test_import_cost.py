"""`import facefeat` costs next to nothing and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("keras", "tensorflow", "pandas", "numpy", "PIL", "sklearn", "matplotlib", "mtcnn", "click", "rich", "pluggy")
WITNESS = """
import json, os, sys, time, warnings
before = dict(os.environ), list(warnings.filters), sys.getrecursionlimit(), set(sys.path)
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
after = dict(os.environ), list(warnings.filters), sys.getrecursionlimit(), set(sys.path)
print(json.dumps(dict(seconds=seconds, unchanged=before == after, loaded=sorted(sys.modules))))
"""


def witness(statement: str, home: Path) -> dict:
    """Run a statement in a fresh interpreter whose home and working folder is `home`."""
    env = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    root = str(Path(__file__).resolve().parent.parent)
    env["PYTHONPATH"] = os.pathsep.join(
        str(Path(root, p)) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p
    )
    done = subprocess.run(
        [sys.executable, "-c", WITNESS.format(statement=statement)],
        capture_output=True, text=True, check=True, env=env, cwd=home, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_loads_nothing_heavy_and_changes_nothing(tmp_path: Path) -> None:
    seen = witness("import facefeat", tmp_path)
    assert [m for m in HEAVY if m in seen["loaded"]] == []
    assert seen["unchanged"], "the import changed the environment, a warning filter or the path"
    assert list(tmp_path.iterdir()) == [], "the import made a file"


@pytest.mark.parametrize(
    "statement",
    [
        "from facefeat import Component, hookimpl, Schema, Face, ImageResult, FacefeatError",
        "from facefeat import FaceFeatureModel",
        "from facefeat.plugins.registry import get_registry; get_registry().all()",
        "import facefeat.cli",
        "import facefeat.cli.predict, facefeat.cli.plugins, facefeat.cli.presets",
    ],
)
def test_what_comes_next_loads_no_framework_either(statement: str, tmp_path: Path) -> None:
    seen = witness(statement, tmp_path)
    assert [m for m in ("keras", "tensorflow", "pandas", "PIL", "sklearn") if m in seen["loaded"]] == []
    assert seen["unchanged"]
    assert list(tmp_path.iterdir()) == []


def test_rows_of_a_batch_import_no_pandas(tmp_path: Path) -> None:
    statement = (
        "from facefeat.batch.table import Found, arrow_schema, to_rows; from facefeat.schema import get_schema; "
        "to_rows([Found('a.jpg')], None, None, arrow_schema(get_schema('fairface'), 3))"
    )
    loaded = witness(statement, tmp_path)["loaded"]
    assert "pyarrow" in loaded and "pandas" not in loaded


def test_importing_takes_less_than_three_tenths_of_a_second(tmp_path: Path) -> None:
    # The one limit on time in this suite: it is a promise of the library. The best of five, for a busy machine.
    assert min(witness("import facefeat", tmp_path)["seconds"] for _ in range(5)) < 0.3


def test_the_help_of_the_command_line_imports_no_command(tmp_path: Path) -> None:
    seen = witness("from facefeat.cli import run; assert run(['--help']) == 0", tmp_path)
    heavy = ("keras", "tensorflow", "pandas", "numpy", "rich", "facefeat.cli.predict", "facefeat.model")
    assert [m for m in heavy if m in seen["loaded"]] == []
