"""`facefeat analyze`: study the latents of a data set, and write what was found to a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from facefeat.cli._inputs import check_data, check_model, the_split
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._overwrite import check_new, overwrite_option
from facefeat.cli._show import rows, say, terminal
from facefeat.errors import InputError

ROWS = 20
"""How many rows of the table, or of the summary, are shown; the file has all."""


@click.command("analyze")
@click.argument("name")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Imported folder, tar, zip or CSV.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the table, figures "
              "and directions.")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--split", default="val", show_default=True, help="The faces to study; all for every one.")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV with `file` and `split`, for raw UTKFace data.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A setting of the analyzer; repeatable.")
@overwrite_option
@runtime_options
def analyze(
    name: str,
    data: Path,
    output: Path,
    preset: str | None,
    split: str,
    splits: Path | None,
    options: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Study the latents of a split of a data set.

    NAME is pca, tsne, directions, probe, coordinates, neighbours, background, or a plugin's. In the folder will be
    table.csv, a PNG for each figure, and directions.npz where it finds directions.
    """

    from facefeat.plugins.registry import get_registry
    from facefeat.types import is_analysis_file
    from facefeat.utils.atomic import check_folder

    # A wrong name, setting or folder is reported before the work, not after it.
    config = dict(setting(o) for o in options)
    get_registry().build("analyzer", name, **config)
    check_folder(output, "an analysis", is_analysis_file)
    check_new(output, overwrite)
    check_model(preset)
    check_data(data, splits)
    console = terminal(stderr=True)
    with console.status("reading the model"):
        from facefeat.data import load_dataset

        model = load_model(preset)
    with console.status("reading the data"):
        dataset = load_dataset(data, schema=model.schema, splits=splits)
        dataset = the_split(dataset, split)
    with console.status(f"{name}: {len(dataset):,} faces"):
        analysis = model.analyze(dataset, name, **config)
        analysis.save(output)
    parts = [f"table.csv ({len(analysis.table):,} rows)", *(f"{n}.png" for n in analysis.figures)]
    if analysis.directions:
        parts.append(f"directions.npz ({len(analysis.directions)})")
    table = analysis.table if analysis.summary is None else analysis.summary
    shown = table.head(ROWS)
    rows([str(c) for c in shown.columns], [[_cell(v) for v in row] for row in shown.itertuples(index=False)])
    if len(table) > ROWS:
        say(f"... {len(table) - ROWS:,} more rows in table.csv")
    say(f"{output}: {', '.join(parts)}")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)


def setting(text: str) -> tuple[str, Any]:
    """ "key=value" -> (key, value), the value read as JSON where it is such (5, 0.1, true), else as text.

    Raises InputError where there is no "=" or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--option takes KEY=VALUE, such as --option seed=1. Received: {text!r}.")
    try:
        return key.strip(), json.loads(value)
    except json.JSONDecodeError:
        return key.strip(), value
