"""Every built-in goes through the check of its kind: detectors and presets here, the others in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facefeat.image.align import open_image
from facefeat.plugins.registry import Registered, get_registry
from facefeat.testing import check_detector, check_preset

BUILTIN = [i for i in get_registry().all() if i.distribution == "facefeat"]
# Another value for every setting.
CHANGED: dict[str, dict[str, Any]] = {
    "centerface": {
        "side": 256,
        "max_side": 640,
        "score": 0.5,
        "turned": False,
        "refine": False,
        "threads": 1,
    },
    "mtcnn": {"max_side": 320, "min_face": 40, "score": 0.8, "threads": 1},
}
# Kind -> the file whose test goes through the built-ins of that kind; those of the others are here.
ELSEWHERE = {kind: f"test_{kind}s.py" for kind in ("backbone", "head", "decoder", "analyzer")}


def of(kind: str) -> Any:
    items = [i for i in BUILTIN if i.kind == kind]
    return pytest.mark.parametrize("item", items, ids=[i.name for i in items])


@of("detector")
def test_detectors(item: Registered, repo: Path) -> None:
    photo = open_image(repo / "docs" / "assets" / "portrait.jpg")
    check_detector(item.component, images=[photo], changed=CHANGED.get(item.name))


@of("preset")
def test_presets(item: Registered) -> None:
    check_preset(item.component)


@pytest.mark.parametrize("item", [i for i in BUILTIN if i.kind in ELSEWHERE], ids=lambda i: f"{i.kind}-{i.name}")
def test_the_others_are_checked_elsewhere(item: Registered) -> None:
    text = (Path(__file__).parent / ELSEWHERE[item.kind]).read_text("utf-8")
    assert f"check_{item.kind}(" in text and f'"{item.name}"' in text
