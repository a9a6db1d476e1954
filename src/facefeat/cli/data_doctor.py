"""`facefeat data doctor`: likely wrong labels, a sheet to decide on them, and the corrected table."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from facefeat.cli._inputs import check_data, check_model
from facefeat.cli._model import load_model, runtime_options
from facefeat.cli._show import progress, rows, say, warn
from facefeat.errors import DataError

SHOWN = 10
AT_ONCE = 256


@click.command("doctor")
@click.argument("source", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the sheet, or "
              "with --apply for the corrected data set.")  # fmt: skip
@click.option("--apply", "decisions", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Write the "
              "data set with the decisions that the sheet downloaded.")  # fmt: skip
@click.option("--split", help="The faces to check. [default: all]")
@click.option("--schema", metavar="NAME|FILE", help="For data that is not imported yet. Default: the format's own.")
@click.option("--preset", metavar="NAME|FOLDER", help="Whose latents to use. [default: the bundled one]")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Seed of the cross-validation folds.",
)
@runtime_options
def doctor(
    source: Path,
    output: Path,
    decisions: Path | None,
    split: str | None,
    schema: str | None,
    preset: str | None,
    seed: int,
) -> None:
    """Find labels that are likely wrong, and copies of pictures.

    DIR: what `facefeat data import` wrote. OUTPUT/doctor.html is a sheet of the doubtful faces: keep, change or drop
    each by a key, download the decisions, and apply them with --apply.
    """
    import numpy as np

    from facefeat.data import load_dataset
    from facefeat.data.imported import check_dataset_output, write_dataset
    from facefeat.evaluation import decisions as sheet
    from facefeat.evaluation.audit import part_of_training
    from facefeat.evaluation.audit import require_extra as require_page
    from facefeat.evaluation.doctor import diagnose, require_extra
    from facefeat.utils.atomic import check_folder

    check_data(source)
    if decisions is not None:
        check_dataset_output(output)
        if output.resolve() == source.resolve():
            raise DataError("the corrected data set needs a folder of its own: --output is DIR.")
        corrected, count = sheet.apply_decisions(load_dataset(source, schema), decisions)
        made = write_dataset(corrected, output)
        said = ", ".join(f"{n:,} {a}" for a, n in sorted(count.items()))
        say(f"{said}: {len(made):,} faces written to {output}")
        say(f"Next: facefeat data doctor {shlex.quote(str(output))} --output {shlex.quote(str(output))}-again")
        return
    require_page()
    require_extra()
    check_folder(output, "a diagnosis", sheet.OURS.__contains__)
    check_model(preset)
    model = load_model(preset)
    dataset = load_dataset(source, schema)
    if split is not None:
        dataset = dataset.split(split)
    if part_of_training(model.metadata.training, dataset) == "train":
        warn("the model was trained on these very labels, and may have learnt wrong ones by heart, which hides them. "
             "Next: --preset of a model that was not")  # fmt: skip
    crops = dataset.crops(model.image_size)
    with progress("encoding", len(crops)) as bar:
        encoded = []
        for i in range(0, len(crops), AT_ONCE):
            encoded.append(model.classifier.encode(np.asarray(crops[i : i + AT_ONCE])))
            bar.advance(len(encoded[-1]))
    latents = np.concatenate(encoded)
    found = diagnose(dataset, latents, crops, seed)
    words = ["facefeat", "data", "doctor", source.name, "--output", output.name]
    sheet.save_diagnosis(found, crops, output, shlex.join(words))
    for sentence in found.sentences():
        say(f"- {sentence}")
    lines = [
        [i["attribute"], i["label"], i["suggested"], f"{i['probability']:.0%}", i["signs"], i["file"]]
        for i in found.issues.head(SHOWN).to_dict("records")
    ]
    if lines:
        say()
        rows(("Attribute", "Label", "Suggested", "Sure", "Signs", "File"), lines)
    say(f"Sheet: {output / 'doctor.html'}")
