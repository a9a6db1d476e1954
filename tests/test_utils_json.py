"""JSON that is JSON."""

from __future__ import annotations

import json

import pytest

from facefeat.utils.json_text import json_text


def test_numbers_that_json_does_not_have_are_null() -> None:
    def refuse(name: str) -> None:
        pytest.fail(name)

    text = json_text({"a": [float("nan"), 1.5, (float("inf"),)], "b": {"c": -float("inf"), "d": "NaN"}})
    assert json.loads(text, parse_constant=refuse) == {"a": [None, 1.5, [None]], "b": {"c": None, "d": "NaN"}}
