"""`facefeat data explore` and `preview`: pictures of what a data set holds, and of what training makes of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facefeat.cli._overwrite import check_new, overwrite_option
from facefeat.cli._quiet import start_keras
from facefeat.cli._show import rows, say, warn
from facefeat.errors import DataError, InputError
from facefeat.utils.atomic import atomic_file, check_writable

if TYPE_CHECKING:
    from facefeat.data.explore import Exploration

SPARSE = 8
"""Smallest pairs that are named on the terminal; counts.csv has all."""


@click.command("explore")
@click.argument("source", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for what is written.",
)
@click.option("--schema", metavar="NAME|FILE", help="For data that is not imported yet. Default: the format's own.")
@click.option("--splits", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV with file and split.")
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Seed that chooses the sample faces.",
)
def explore(source: Path, output: Path, schema: str | None, splits: Path | None, seed: int) -> None:
    """Count the labels of a data set, and show some of its faces.

    Prints a summary and writes counts.png, pairs.png, faces.png, counts.csv and counts.json into OUTPUT. DIR: what
    `facefeat data import` wrote, or data as it can import it.
    """
    from facefeat.data import load_dataset
    from facefeat.data.explore import explore as count
    from facefeat.data.pictures import draw_counts, draw_faces, draw_pairs

    check_writable(output, DataError)
    dataset = load_dataset(source, schema, splits)
    found = count(dataset)
    figures = {"counts.png": draw_counts(found)} | ({"pairs.png": draw_pairs(found)} if found.pairs else {})
    found.save(output)
    for name, figure in figures.items():
        with atomic_file(output / name, DataError) as new:
            figure.savefig(new, dpi=120)
    faces = draw_faces(dataset, found, seed=seed)
    with atomic_file(output / "faces.png", DataError) as new:
        faces.save(new)
    _summary(found)
    names = ", ".join([*figures, "faces.png", "counts.csv", "counts.json"])
    say(f"Written to {output}: {names}")


def _summary(found: Exploration) -> None:
    splits = ", ".join(f"{name} {n:,}" for name, n in found.splits.items())
    say(f"{found.name}: {found.faces:,} faces ({splits})")
    say()
    lines = []
    for attribute, uneven in found.imbalance.items():
        total = found.total(attribute)
        ratio = f"{uneven.ratio:.1f}" if math.isfinite(uneven.ratio) else "-"
        lines.append(
            [
                attribute,
                f"{uneven.largest} {total[uneven.largest]:,}",
                f"{uneven.smallest} {total[uneven.smallest]:,}",
                ratio,
                f"{uneven.effective:.1f} of {uneven.classes}",
                f"{total.get('', 0):,}",
            ]
        )
    rows(("Attribute", "Largest", "Smallest", "Ratio", "As even as", "Unknown"), lines)
    say()
    cells = [
        (int(n), f"{p.first} {found.classes[p.first][i]}, {p.second} {found.classes[p.second][j]}")
        for p in found.pairs
        for i, row in enumerate(p.counts)
        for j, n in enumerate(row)
    ]
    if cells:
        rows(("Faces", "Smallest pairs"), [[f"{n:,}", name] for n, name in sorted(cells)[:SPARSE]])
        say()
    say(f"Licence: {found.licence}")


@click.command("preview")
@click.option("--recipe", required=True, metavar="NAME|FILE", help="Whose augmentation to show.")
@click.option(
    "--data",
    "source",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Imported folder, tar, zip or CSV.",
)
@click.option(
    "--output", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The PNG file to write."
)
@click.option(
    "--rows", "count", default=6, show_default=True, type=click.IntRange(1, 64), help="How many faces, one per row."
)
@click.option(
    "--columns", default=8, show_default=True, type=click.IntRange(1, 32), help="How many changed versions of each."
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Seed of the faces and changes.")
@overwrite_option
def preview(recipe: str, source: Path, output: Path, count: int, columns: int, seed: int, overwrite: bool) -> None:
    """Show what a recipe's augmentation does to faces.

    Each row has the original at the left, and changed versions next to it.
    """
    import numpy as np
    from PIL import Image

    from facefeat.data import load_dataset
    from facefeat.data.samples import sample_crops
    from facefeat.training import load_recipe
    from facefeat.training.preview import preview_grid

    if output.suffix.lower() != ".png":
        raise InputError(f"the output must be a .png file. Received: {str(output)!r}.")
    check_writable(output, DataError)
    check_new(output, overwrite)
    chosen = load_recipe(recipe)
    dataset = load_dataset(source)
    if "train" in dataset.splits:
        dataset = dataset.split("train")
    crops = sample_crops(dataset, count, chosen.image_size, seed)
    if len(crops) < count:
        warn(f"only {len(crops)} faces could be drawn")
    start_keras()
    title = f"{chosen.name}, {chosen.image_size} pixels, {dataset.name}"
    grid = preview_grid(np.asarray(crops), chosen.augment, columns, seed, title)
    with atomic_file(output, DataError) as new:
        Image.fromarray(grid).save(new)
    say(f"Written to {output}")
