"""`facefeat export`: a model as a file for other programs: ONNX, LiteRT or SavedModel."""

from __future__ import annotations

from pathlib import Path

import click

from facefeat.cli._inputs import check_model
from facefeat.cli._overwrite import check_new, overwrite_option
from facefeat.cli._quiet import start_keras
from facefeat.cli._show import say
from facefeat.export.metadata import FORMATS


@click.command()
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path),
              help="The file (.onnx, .tflite), or the folder of a SavedModel.")  # fmt: skip
@click.option("--format", type=click.Choice(list(FORMATS)), help="What to write. [default: by the ending of the file]")
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--latent", is_flag=True, help="Write an output with the latent, too.")
@overwrite_option
def export(output: Path, format: str | None, preset: str | None, latent: bool, overwrite: bool) -> None:
    """Write a model for programs without Keras: crops in, calibrated probabilities out.

    The file says what it holds: classes, image size, alignment, licence. It is run once, and compared with the model.
    """
    from facefeat.export.write import check_export

    kind = check_export(output, format)
    check_new(output, overwrite)
    check_model(preset)
    start_keras()
    from facefeat import FaceFeatureModel

    model = FaceFeatureModel.from_preset(preset)
    made = model.export(output, kind, latent=latent)
    size = sum(p.stat().st_size for p in ([output] if output.is_file() else output.rglob("*")) if p.is_file())
    checked = (
        "not checked: onnxruntime is not installed"
        if made.difference is None
        else f"agrees with the model to {max(made.difference, 1e-7):.0e}"
    )
    say(f"Written to {output}: {made.metadata.name} as {kind}, {size / 1e6:.1f} MB, {checked}")
