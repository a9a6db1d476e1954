"""The examples in docstrings of public names are run, as the reference shows them."""

from __future__ import annotations

import doctest
import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest

import facefeat
from facefeat import FaceFeatureModel

HAVE = ("FaceFeatureModel", "audit", "Schema", "Attribute", "Component", "ImageResult", "FaceBatch")
METHODS = ("from_preset", "predict", "align", "predict_faces", "encode", "explain", "morph", "edit", "compose")
DOCUMENTED: dict[str, Any] = {name: getattr(facefeat, name) for name in HAVE}
DOCUMENTED |= {f"FaceFeatureModel.{name}": getattr(FaceFeatureModel, name) for name in METHODS}


@pytest.fixture(scope="module")
def names(repo: Path) -> dict[str, Any]:
    """What the examples start from."""
    model = FaceFeatureModel.from_preset()
    crops = model.align([str(repo / "docs" / "assets" / "portrait.jpg")])
    return {**{n: getattr(facefeat, n) for n in facefeat.__all__}, "model": model, "crops": crops}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_an_example_gives_what_it_says(
    name: str, names: dict[str, Any], repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "audit":
        pytest.importorskip("matplotlib")
        rows = ["gender_true,gender_pred", *["Male,Male", "Female,Female", "Female,Male"] * 20]
        (tmp_path / "predictions.csv").write_text("\n".join(rows) + "\n")
    for file in ("photo.jpg", "a.jpg", "b.jpg"):
        shutil.copy(repo / "docs" / "assets" / "portrait.jpg", tmp_path / file)
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(DOCUMENTED[name]) or ""
    example = doctest.DocTestParser().get_doctest(text, dict(names), name, None, 0)
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    failed = doctest.DocTestRunner(verbose=False).run(example, out=said.append).failed
    assert not failed, "".join(said)
