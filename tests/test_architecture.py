"""docs/architecture.md: its picture shows the rooms as they are, and its table names files and functions that exist."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "docs"))

import architecture_picture as picture  # noqa: E402

PAGE = (REPO / "docs" / "architecture.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", PAGE.partition("## Where do I change")[2], re.MULTILINE)[2:]


def test_picture_is_of_the_rooms_as_they_are() -> None:
    drawn, kept = picture.draw(), picture.TARGET.read_text("utf-8")
    assert drawn == kept, "the rooms have changed. Next: python docs/architecture_picture.py, and look at the picture"


def test_picture_has_every_room_of_the_layers_table() -> None:
    drawn = picture.draw()
    for room in (r for layer in picture.LAYERS for r in layer if r not in picture.HIDDEN):
        assert f">{room}</text>" in drawn
    named = [room for _, _, rooms in picture.BANDS for room in rooms]
    assert sorted(named) == sorted(room for layer in picture.LAYERS for room in layer)


def test_dots_of_the_picture_lie_on_one_side_of_the_diagonal() -> None:
    place = {room: i for i, room in enumerate(picture.rooms())}
    assert all(
        place[a] <= place[b] for a, b in picture.uses() if a in place and b in place and a != b and b != "builtin"
    )


def test_page_says_where_ten_things_are_changed() -> None:
    assert len(ROWS) >= 10


@pytest.mark.parametrize(("what", "where"), ROWS, ids=[what for what, _ in ROWS])
def test_what_the_page_names_is_there(what: str, where: str) -> None:
    paths = re.findall(r"`([\w/-]+(?:\.\w+|/))`", where)
    assert paths, where
    names = set()
    for name in paths:
        found = next((p for p in (REPO / "src" / "facefeat" / name, REPO / name) if p.exists()), None)
        assert found is not None, f"{what}: no {name}"
        for file in [found] if found.suffix == ".py" else found.rglob("*.py"):
            tree = ast.parse(file.read_text("utf-8"))
            names |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for name in re.findall(r"`(\w+)`", where):
        assert name in names, f"{what}: none of {paths} defines {name}"
