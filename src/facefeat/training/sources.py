"""The data sets of a recipe's [[sources]], read as one.

sources = load_sources("world.toml")                     # or a Recipe, and the folder that its paths start from
model.fit(sources.split("train"), sources.split("val"), "world.toml")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from facefeat.errors import DataError, RecipeError, SchemaError
from facefeat.training.recipe import Recipe, load_recipe
from facefeat.training.source_recipe import SPLITS, TRAIN, VALIDATION, DataSource
from facefeat.utils.files import expanded

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.data.dataset import Part
    from facefeat.schema import Schema


def folder_of(recipe: str | Path) -> Path:
    """Where the paths of a recipe's sources start from: its file's folder, the working folder for a shipped one."""
    path = Path(str(recipe))
    return path.parent if path.suffix == ".toml" and path.is_file() else Path()


def check_sources(recipe: Recipe, folder: Path) -> None:
    """Raises DataError where the data of a source are not there."""
    for i, source in enumerate(recipe.sources, 1):
        for key in ("data", "root", "splits"):
            value = getattr(source, key)
            place = folder / expanded(value)
            if value and not os.path.exists(place) and not (key == "splits" and value in SPLITS):
                where = f"sources.{i}.{key}: no such file or folder: {str(place)!r}"
                raise DataError(f"{where}. Valid: a path from the recipe's folder, or from the one that --data names.")


def load_sources(recipe: str | Path | Recipe, folder: str | os.PathLike[str] | None = None) -> FaceDataset:
    """The data sets of a recipe as one, whose `parts` they are.

    folder: where their paths start from; by default the folder of the recipe's file, or the working folder.

    Raises:
        RecipeError: The recipe has no sources.
        DataError: A source is not there, does not fit the recipe's schema, has no label that it reads, or no train
            split though it is to be trained on.
    """
    from facefeat.data.joining import Reading, join

    read = load_recipe(recipe)
    start = expanded(folder) if folder else folder_of("" if isinstance(recipe, Recipe) else recipe)
    if not read.sources:
        raise RecipeError(f"recipe {read.name!r} has no [[sources]]. Next: facefeat.data.load_dataset")
    check_sources(read, start)
    schema = read.schema_of()
    datasets = [_load(source, schema, start, read.seed) for source in read.sources]
    parts = [_part(source, dataset) for source, dataset in zip(read.sources, datasets, strict=True)]
    readings = [Reading(s.labels if _imported(start, s) else {}, s.trust, s.error) for s in read.sources]
    return join(datasets, parts, schema, readings)


def _imported(folder: Path, source: DataSource) -> bool:
    place = folder / expanded(source.data)
    return (place / "dataset.json").is_file() or place.name == "dataset.json"


def _load(source: DataSource, schema: Schema, folder: Path, seed: int) -> FaceDataset:
    """The data set of a source, with the rows and splits that the run uses."""
    import numpy as np

    from facefeat.data import load_dataset
    from facefeat.data.imported import as_dataset

    place = folder / expanded(source.data)
    table_of_splits = folder / source.splits if source.splits and source.splits not in SPLITS else None
    try:
        if _imported(folder, source):
            # By its own schema: `join` fits it to the recipe's.
            found = load_dataset(place, splits=table_of_splits, root=source.root or None)
        else:
            root = folder / source.root if source.root else None
            found = load_dataset(place, schema, table_of_splits, root=root, labels=source.labels)
    except (DataError, SchemaError) as e:
        raise DataError(f"source {source.name!r}: {e}") from None
    table = found.table
    if source.splits in SPLITS:
        table = table.assign(split=source.splits)
    kept = {TRAIN: ["train"], VALIDATION: ["val", "test"]}.get(source.use, list(SPLITS))
    for split in ["train"] if source.use != VALIDATION else ["val"]:
        if not (table["split"] == split).any():
            listed = ", ".join(f"{k} {v:,}" for k, v in found.splits.items())
            raise DataError(
                f"source {source.name!r} has no {split} split. It has: {listed}. Next: use = "
                f"{VALIDATION if split == 'train' else TRAIN!r}, or splits = {split!r} for all of its faces."
            )
    table = table[table["split"].isin(kept)]
    train = np.flatnonzero(table["split"] == "train")
    if source.limit and len(train) > source.limit:
        out = np.random.default_rng(seed).permutation(train)[source.limit :]
        table = table.drop(index=table.index[out])
    return as_dataset(found.with_table(table.reset_index(drop=True), ""))


def _part(source: DataSource, dataset: FaceDataset) -> Part:
    from facefeat.data.dataset import Part

    fingerprints = {split: dataset.split(split).fingerprint for split in dataset.splits}
    weight = 0.0 if source.use == VALIDATION else source.weight
    return Part(source.name, source.licence or dataset.licence, weight, fingerprints)
