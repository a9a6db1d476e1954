"""The notebook runs from top to bottom, on a small slice: a tiny data set, tiny recipes, one epoch each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from made import TINY, squares, tiny_recipe

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "facefeat.ipynb"


def test_the_notebook_is_kept_without_what_a_run_left_in_it() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    assert len(code) > 10 and not any(c["outputs"] or c["execution_count"] for c in code)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("git+https://host.example/facefeat.git", "facefeat[plots,video,demo] @ git+https://host.example/facefeat.git"),
        ("dist/facefeat-0.1.0-py3-none-any.whl", "dist/facefeat-0.1.0-py3-none-any.whl[plots,video,demo]"),
        ("..", "..[plots,video,demo]"),
    ],
)
def test_it_is_installed_from_where_the_settings_say(monkeypatch: pytest.MonkeyPatch, source: str, wanted: str) -> None:
    asked = install_with(monkeypatch, source)
    assert asked == [wanted]
    if "@" in wanted:
        assert Requirement(wanted).extras == {"plots", "video", "demo"}


def test_without_a_source_nothing_is_installed_from_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="Set SOURCE"):
        install_with(monkeypatch, "")


def install_with(monkeypatch: pytest.MonkeyPatch, source: str) -> list[str]:
    """What the install cell gives to pip, where facefeat is not there. The settings come first."""
    asked: list[str] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("subprocess.run", lambda command, check: asked.append(command[-1]))
    monkeypatch.setenv("FACEFEAT_NOTEBOOK_SOURCE", source)
    cells = [c for c in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    space: dict[str, Any] = {}
    for cell in cells[:2]:
        exec("".join(cell["source"]), space)
    return asked


def test_it_trains_in_what_every_card_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of the decoder asks for bfloat16, and so does "auto" on any card; a T4 has none."""
    from facefeat.training import load_decoder_recipe, load_recipe

    cells = ["".join(c["source"]) for c in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]]
    (settings,) = [c for c in cells if c.startswith("import os") and "SOURCE" in c]
    (training,) = [c for c in cells if "model.fit(" in c]
    (decoder,) = [c for c in cells if "fit_decoder" in c]
    space: dict[str, Any] = {"load_recipe": load_recipe, "load_decoder_recipe": load_decoder_recipe}
    exec(settings, space)
    for cell, name in ((training, "recipe"), (decoder, "decoder")):
        (line,) = [text for text in cell.splitlines() if text.startswith(f"{name} = ")]
        exec(line, space)
        assert space[name].train.mixed_precision == "float32"


@pytest.mark.docs
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tomli_w

    nbformat = pytest.importorskip("nbformat", reason="the notebook is run by nox -s docs")
    client = pytest.importorskip("nbclient", reason="the notebook is run by nox -s docs")
    from facefeat.data import read_raw, write_dataset
    from facefeat.schema import get_schema

    write_dataset(read_raw(squares(tmp_path / "pictures", 64), schema=get_schema("utkface")), tmp_path / "faces")
    recipe = tiny_recipe().to_dict() | {"backbone": {"name": "compact", "config": TINY}}
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(recipe), "utf-8")
    decoder = {"name": "detail", "config": {"code": 6, "filters": [12, 12, 8], "encoder": [8, 12]}}
    table = {"decoder": decoder, "train": {"epochs": 2, "batch_size": 12}, "loss": {"pixels": 1.0}}
    (tmp_path / "decoder.toml").write_text(tomli_w.dumps(table), "utf-8")
    monkeypatch.setenv("FACEFEAT_NOTEBOOK_DATA", "faces")
    monkeypatch.setenv("FACEFEAT_NOTEBOOK_RECIPE", "tiny.toml")
    monkeypatch.setenv("FACEFEAT_NOTEBOOK_DECODER", "decoder.toml")
    monkeypatch.setenv("FACEFEAT_NOTEBOOK_EPOCHS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    book = nbformat.read(NOTEBOOK, as_version=4)
    client.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [o for c in book.cells if c.cell_type == "code" for o in c.outputs]
    assert sum("image/png" in o.get("data", {}) for o in shown) >= 5
    assert (tmp_path / "morph.gif").is_file() and (tmp_path / "my-model" / "config.json").is_file()
    assert "asked" in "".join(o.get("text", "") for o in shown), "what became of the edited faces"
