"""`facefeat recipes` and `facefeat compare`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from facefeat import FaceFeatureModel, InputError
from facefeat.cli import COMMANDS, cli
from facefeat.cli.data import data as data_group
from facefeat.evaluation.experiments import RunSummary, compare
from facefeat.training import list_decoder_recipes, list_recipes, load_recipe


def ask(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


def test_all_recipes_are_listed_and_one_is_printed_as_its_file(tmp_path: Path) -> None:
    listed = ask("recipes")
    assert listed.exit_code == 0
    assert all(f"{name} " in listed.stdout for name in list_recipes())
    asked_for = {"vgg19", "vggface", "vggface-last7", "vggface-full", "squeezenet", "resnet50", "single", "attention"}
    assert {f"fairface-{n}" for n in (*asked_for, "convnext")} <= set(list_recipes())
    # The printed file is a recipe again.
    mine = tmp_path / "fairface-convnext.toml"
    mine.write_text(ask("recipes", "fairface-convnext").stdout)
    assert load_recipe(mine) == load_recipe("fairface-convnext")
    named = [r["name"] for r in json.loads(ask("recipes", "--json").stdout)]
    assert named == [*list_recipes(), *list_decoder_recipes()]
    assert json.loads(ask("recipes", "utkface-compact", "--json").stdout)["name"] == "utkface-compact"


def test_the_recipe_of_squeezenet_knows_how_large_it_is() -> None:
    recipe = load_recipe("fairface-squeezenet")
    model = FaceFeatureModel(
        backbone=recipe.backbone.name,
        backbone_config=recipe.backbone.config,
        head=recipe.head.name,
        head_config=recipe.head.config,
        schema=recipe.schema,
        image_size=32,  # its convolutions have as many parameters at any size
    )
    assert f" {model.parameters / 1e6:.1f} million parameters" in list_recipes()["fairface-squeezenet"].read_text()


def test_the_documentation_has_every_command_and_the_plugins_analyzer(repo: Path) -> None:
    page = (repo / "docs" / "commands.md").read_text("utf-8")
    table = page[: page.index("`facefeat COMMAND --help`")]
    named = {text.removeprefix("facefeat ") for text in re.findall("`(.*?)`", table)}
    data = [f"data {name}" for name in data_group.commands]
    for command in (*data, *(name for name in COMMANDS if name != "data")):
        assert any(text == command or text.startswith(f"{command} ") for text in named), command
    assert "pip install ./plugins/facefeat-umap" in (repo / "docs" / "analyzers.md").read_text("utf-8")


def run_folder(folder: Path, **recipe: Any) -> Path:
    (folder / "preset").mkdir(parents=True)
    training = {"recipe": {"name": "mine", "schema": "utkface", "seed": 1, **recipe}, "epochs": [{"seconds": 90.0}] * 2}
    (folder / "training.json").write_text(json.dumps(training))
    (folder / "report.json").write_text(json.dumps({"metrics": {"race_accuracy": 0.75, "age_mae": 6.5}}))
    (folder / "preset" / "config.json").write_text(json.dumps({"parameters": 1234}))
    return folder


def test_runs_stand_beside_the_original(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a"), run_folder(tmp_path / "b", seed=2), run_folder(tmp_path / "c", name="other")]
    table = compare([RunSummary.read(r) for r in runs])
    assert list(table.columns) == ["a", "b", "c", "original"]
    assert table.loc["recipe"].tolist() == ["mine", "mine", "other", ""]
    assert table.loc["race accuracy"].tolist() == [0.75, 0.75, 0.75, 0.54]
    assert table.loc["age mean error", "original"] is None
    assert table.loc["minutes", "c"] == "3.0" and table.loc["parameters", "c"] == "1,234"
    for format_ in ("table", "markdown", "csv", "json"):
        done = ask("compare", *map(str, runs), "--format", format_)
        assert done.exit_code == 0 and "0.75" in done.stdout
    assert (
        "| race accuracy | 0.750 | 0.750 | 0.750 | 0.540 |"
        in ask("compare", *map(str, runs), "--format", "markdown").stdout
    )


def test_runs_of_other_attributes_have_their_own_rows_and_no_empty_ones(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "runs" / "hats", schema="data")
    (run / "report.json").write_text(json.dumps({"metrics": {"wears_hat_accuracy": 0.9, "score": 0.9}, "faces": 40}))
    (run / "preset" / "config.json").write_text(json.dumps({"parameters": 9, "schema": {"name": "hats"}}))
    again = run_folder(tmp_path / "other" / "hats", schema="data")
    table = compare([RunSummary.read(run), RunSummary.read(again)])
    assert list(table.columns) == ["runs/hats", "other/hats"]
    assert list(table.index[:3]) == ["wears hat accuracy", "race accuracy", "age mean error"]
    assert table.loc["schema", "runs/hats"] == "hats"
    assert not table.isna().all(axis=1).any()


def test_the_folder_above_or_inside_a_run_names_the_run(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "runs" / "hats")
    for given, meant in ((run.parent, f"facefeat compare {run}"), (run / "preset", str(run))):
        with pytest.raises(InputError, match=f"is no run: .* Next: {re.escape(meant)}$"):
            RunSummary.read(given)


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run: report.json is missing"):
        RunSummary.read(tmp_path)
    (tmp_path / "checkpoint.npz").touch()
    with pytest.raises(InputError, match=r"is not finished.*--resume"):
        RunSummary.read(tmp_path)
    broken = run_folder(tmp_path / "a")
    (broken / "training.json").write_text("[]")
    with pytest.raises(InputError, match="not facefeat's"):
        RunSummary.read(broken)
    (broken / "training.json").write_text("{")
    with pytest.raises(InputError, match="cannot read"):
        RunSummary.read(broken)
