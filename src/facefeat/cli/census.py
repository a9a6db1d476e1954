"""`facefeat census`: who is in a photo collection."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._numbers import bootstrap_rounds
from facefeat.cli._show import progress, say, warn
from facefeat.cli.audit import show_section
from facefeat.errors import DataError, InputError
from facefeat.utils.frames import import_pandas
from facefeat.utils.json_text import json_text

if TYPE_CHECKING:
    from facefeat.evaluation.census import Census, Collection
    from facefeat.schema import Attribute

AT_ONCE = 32
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("census")
@click.argument("source", metavar="FOLDER|TABLE", type=click.Path(exists=True, path_type=Path))
@click.option("--confusion", type=_FILE, help="What the same model predicted of labelled faces, a table as of "
              "`facefeat evaluate --predictions`. [default: that of the bundled preset]")  # fmt: skip
@click.option("--reference", type=_FILE, help="CSV with attribute, group and share: a population to compare with.")
@click.option(
    "--report", "folder", type=click.Path(path_type=Path), help="Write a page, JSON and tables to this folder."
)
@click.option("--preset", metavar="NAME|FOLDER", help="For a folder: the model. [default: the bundled one]")
@click.option(
    "--bootstrap",
    default=500,
    show_default=True,
    type=bootstrap_rounds(1),
    help="Resamples for intervals.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@runtime_options
def census(
    source: Path,
    confusion: Path | None,
    reference: Path | None,
    folder: Path | None,
    preset: str | None,
    bootstrap: int,
    as_json: bool,
) -> None:
    """Count who is in a collection: a FOLDER of photos, or a TABLE that `facefeat batch` wrote.

    Shares by age, gender, race and each pair of them are corrected by how the model confuses groups, with intervals
    that include how well the confusion is known.
    """
    from facefeat.evaluation.census import census as count
    from facefeat.evaluation.census import read_labelled, read_reference
    from facefeat.presets.confusion import bundled_confusion
    from facefeat.utils.atomic import check_folder

    if folder is not None:
        from facefeat.evaluation.audit import require_extra

        require_extra()
        check_folder(folder, "a census", lambda n: n.startswith("census.") or n.endswith(".csv"))
    if confusion is None:
        confusion = bundled_confusion(preset)
    labelled = read_labelled(confusion)
    attributes = {n: s.attribute for n, s in labelled.scored.items()}
    compared = None if reference is None else read_reference(reference, attributes)
    collection = _photos(source, preset, attributes) if source.is_dir() else _table(source, attributes)
    found = count(collection, labelled, compared, bootstrap=bootstrap)
    if folder is not None:
        found.save(folder, shlex.join(["facefeat", "census", source.name, "--report", folder.name]))
        say(f"Page: {folder / 'census.html'}", err=True)
    if as_json:
        say(json_text(found.to_dict()))
    else:
        _show(found)


def _table(path: Path, attributes: dict[str, Attribute]) -> Collection:
    from facefeat.evaluation.census import read_collection

    return read_collection(path, attributes, path.name)


def _photos(folder: Path, preset: str | None, attributes: dict[str, Attribute]) -> Collection:
    pd = import_pandas()
    from facefeat.cli._inputs import expand
    from facefeat.evaluation.census import read_collection

    found = expand([str(folder)])
    for complaint in found.complaints:
        warn(complaint)
    if not found.files:
        raise InputError(f"the folder {str(folder)!r} has no pictures.")
    model = load_model(preset)
    lines: list[dict[str, Any]] = []
    with progress("reading photos", len(found.files)) as bar:
        for i in range(0, len(found.files), AT_ONCE):
            some = found.files[i : i + AT_ONCE]
            for result in model.predict(list(some)):
                if result.error is not None:
                    warn(result.error)
                lines += [{"face": k, **f.columns()} for k, f in enumerate(result.faces, 1)]
                if not result.faces:
                    lines.append({"face": None, "reason": result.error or "no face"})
            bar.advance(len(some))
    frame = pd.DataFrame(lines)
    if "reason" not in frame:
        frame["reason"] = None
    if not frame["face"].notna().any():
        raise DataError(f"no face was found in {len(found.files):,} pictures of {str(folder)!r}.")
    return read_collection(frame, attributes, folder.name)


def _show(found: Census) -> None:
    for sentence in found.sentences():
        say(f"- {sentence}")
    for section in found.sections():
        show_section(section)
