"""`facefeat recipes` and `facefeat compare`: what can be trained, and what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from facefeat.cli._show import rows, say


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def recipes(name: str | None, as_json: bool) -> None:
    """List the recipes that ship with facefeat; with NAME, print that one's file.

    To change one: facefeat recipes NAME > mine.toml, edit it, then facefeat train --recipe mine.toml ...
    """
    from facefeat.training import list_decoder_recipes, list_recipes, load_decoder_recipe, load_recipe
    from facefeat.training.base_recipe import read_toml

    decoders = list_decoder_recipes()
    shipped = list_recipes() | decoders
    if name is not None:
        recipe = load_decoder_recipe(name) if name in decoders else load_recipe(name)
        if as_json:
            say(json.dumps(recipe.to_dict(), indent=1))
        else:
            say(read_toml(shipped.get(name, Path(name)), "recipe")[0].rstrip())
        return
    found, made = [load_recipe(n) for n in list_recipes()], [load_decoder_recipe(n) for n in decoders]
    if as_json:
        say(json.dumps([*(r.to_dict() for r in found), *(r.to_dict() for r in made)], indent=1))
        return
    lines = [
        (
            r.name,
            r.schema,
            r.backbone.name,
            r.head.name,
            f"{r.image_size} px",
            str(sum(p.epochs for p in r.train.plan())),
            r.summary,
        )
        for r in found
    ]
    rows(("Name", "Schema", "Backbone", "Head", "Crops", "Epochs", "Summary"), lines)
    shown = [(r.name, r.preset, r.decoder.name, str(r.train.epochs), r.summary) for r in made]
    rows(("Name", "Preset", "Decoder", "Epochs", "Summary"), shown)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(["table", "markdown", "csv", "json"]), default="table",
              show_default=True, help="How to print the comparison.")  # fmt: skip
def compare(runs: tuple[Path, ...], format_: str) -> None:
    """Put finished runs side by side, each under its folder's name.

    RUN is the --output of a `facefeat train`. Figures are those of each run's own test split, or, where the data have
    none, of its validation split. For FairFace and UTKFace the last column has the original experiment's figures.
    """
    from facefeat.evaluation.experiments import RunSummary
    from facefeat.evaluation.experiments import compare as table_of

    found = [RunSummary.read(r) for r in runs]
    table = table_of(found)
    cells = [[str(i), *(_cell(v) for v in row)] for i, row in zip(table.index, table.to_numpy(), strict=True)]
    headers = ["metric", *table.columns]
    if format_ == "json":
        say(table.to_json(orient="columns", indent=1))
    elif format_ == "csv":
        say(table.to_csv(lineterminator="\n"), nl=False)
    elif format_ == "markdown":
        lines = [headers, ["---"] * len(headers), *cells]
        say("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        rows(headers, cells)
    if len({r.schema for r in found} | ({"fairface"} if "original" in table.columns else set())) > 1:
        say("Columns of different schemas were measured on different faces and classes.", err=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
