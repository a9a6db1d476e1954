"""Figures that pages quote are of today's preset: those that its card has, which the benchmark measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facefeat.presets.store import find_preset


def card_metrics() -> dict[str, float]:
    card = (find_preset(None) / "model_card.md").read_text("utf-8")
    found = re.findall(r"^\| ([a-z ]+) \| (\d+\.\d+) \| [\d.]+ to [\d.]+ \|", card, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_the_first_page_quotes_the_card(repo: Path) -> None:
    text = (repo / "README.md").read_text("utf-8")
    row = re.search(r"^\| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) years", text, re.MULTILINE)
    assert row, "the table of figures begins with gender, race and age"
    gender, race, age = (float(v) for v in row.groups())
    card = card_metrics()
    assert gender == pytest.approx(100 * card["gender accuracy"], abs=0.06)
    assert race == pytest.approx(100 * card["race accuracy"], abs=0.06)
    assert age == pytest.approx(card["age mae"], abs=0.06)


def test_no_page_quotes_an_earlier_preset(repo: Path) -> None:
    """Figures that were not measured again when the preset changed say so, and do not belong on a page."""
    stale = re.compile(r"preset as it was|earlier preset|before it had a (decoder|detail code)")
    pages = [repo / "README.md", *sorted((repo / "docs").glob("*.md"))]
    assert [p.name for p in pages if p.name != "experiments.md" and stale.search(p.read_text("utf-8"))] == []
