"""The wheel: what is in it and nothing else, how large it is, and that two builds are one file."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
LARGEST = 46e6
"""Bytes: the presets with their graphs are most of it. PyPI takes 100 MB."""
PATTERNS = (
    r"facefeat(_demo)?/.+\.py",
    r"facefeat(_demo)?/py\.typed",
    r"facefeat/assets/(recipes|schemas)/([a-z]+/)?[a-z0-9-]+\.toml",
    r"facefeat/assets/presets/[a-z0-9-]+/(config|training|decoder_training)\.json",
    r"facefeat/assets/presets/[a-z0-9-]+/(model_card\.md|SHA256SUMS|directions\.npz|LICENSE\S*|NOTICE)",
    r"facefeat/assets/presets/[a-z0-9-]+/\w+\.(onnx|weights\.h5)",
    r"facefeat/assets/detectors/([a-z-]+\.onnx|NOTICE|SHA256SUMS)",
    r"facefeat/builtin/backbones/mobilenet_statistics\.npz",
    r"facefeat/cli/templates/[\w.]+\.txt",
    r"facefeat/evaluation/\w+\.html\.jinja",
    r"facefeat/assets/confusion/[0-9a-f]{16}\.csv",
    r"facefeat_demo/(static/)?[\w/.-]+\.(css|js|html|svg|jpg|webp|png|json|md|txt|ico)",
    r"facefeat-[\w.]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)",
)


@pytest.fixture(scope="module")
def wheel(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(repo, tmp_path_factory.mktemp("first"))


def build(repo: Path, folder: Path) -> Path:
    from hatchling.builders.wheel import WheelBuilder

    (made,) = WheelBuilder(str(repo)).build(directory=str(folder), versions=["standard"])
    return Path(made)


def test_it_holds_the_packages_and_their_data_and_no_stray_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    stray = [n for n in names if not any(re.fullmatch(p, n) for p in PATTERNS)]
    assert not stray
    for needed in ("facefeat/assets/recipes/finetune-head.toml", "facefeat/assets/schemas/utkface.toml"):
        assert needed in names
    assert any(n.endswith("backbone.onnx") for n in names) and "facefeat/assets/detectors/NOTICE" in names


def test_it_is_no_larger_than_it_must_be(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST


def test_two_builds_are_the_same_file(wheel: Path, repo: Path, tmp_path: Path) -> None:
    again = build(repo, tmp_path)
    first, second = (hashlib.sha256(p.read_bytes()).hexdigest() for p in (wheel, again))
    assert first == second
