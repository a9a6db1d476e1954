"""`facefeat data merge`: several data sets as one."""

from __future__ import annotations

from pathlib import Path

import click

from facefeat.cli._inputs import check_data
from facefeat.cli.data_import import _bar, _summary


@click.command("merge")
@click.argument("sources", nargs=-1, required=True, metavar="DATA DATA...", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the new data set.")
@click.option("--schema", metavar="NAME|FILE", help="Schema of the new data set. [default: that of the first]")
def merge(sources: tuple[Path, ...], output: Path, schema: str | None) -> None:
    """Copy several data sets into one, for one training.

    DATA: what `facefeat data import` wrote. One may lack an attribute: its faces then count for the others only. Splits
    are kept; pictures that are in several are counted.
    """
    from facefeat.data import check_dataset_output, load_dataset, write_dataset
    from facefeat.data.merging import merge_datasets
    from facefeat.errors import InputError
    from facefeat.schema import get_schema

    if len(sources) < 2:
        raise InputError(f"merge takes two data sets or more. Received: {len(sources)}.")
    for source in sources:
        check_data(source, None)
        if output.resolve() == source.resolve():
            raise InputError(f"{str(output)!r} is one of the data sets. Give another --output, a new folder.")
    check_dataset_output(output)
    chosen = None if schema is None else get_schema(schema)
    datasets = [load_dataset(source) for source in sources]
    with _bar("copying pictures") as step:
        found = merge_datasets(datasets, output, chosen, step)
    _summary(write_dataset(found, output), found.notes, output)
