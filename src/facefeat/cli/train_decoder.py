"""`facefeat train-decoder`: a preset and a data set in, the preset with a decoder out."""

from __future__ import annotations

from typing import Any

import click

from facefeat.cli._inputs import check_model
from facefeat.cli._quiet import start_keras
from facefeat.cli._run import RichReporter, RunArguments, bars, check_run_data, run_options
from facefeat.cli._show import warned


@click.command("train-decoder")
@run_options
@click.option("--preset", metavar="NAME|FOLDER", help="The model. [default: the recipe's, or else the bundled one]")
@click.option("--start", metavar="NAME|FOLDER", help="Start from the decoder of this preset, not the recipe's.")
@click.option("--reader", metavar="NAME|FOLDER", help="The second classifier of loss.reader, not the recipe's.")
def train_decoder(run: RunArguments, preset: str | None, **changes: Any) -> None:
    """Train a decoder for a preset, and write the preset with it to OUTPUT/preset.

    With it go the directions that `facefeat edit` and `compose` need. The classifier is not changed. Every epoch leaves
    a checkpoint in OUTPUT; after a kill, the same command with --resume continues.
    """
    from facefeat.cli._show import say, terminal, warn
    from facefeat.errors import DataError
    from facefeat.evaluation.card import with_decoder
    from facefeat.model import FaceFeatureModel
    from facefeat.plugins.registry import get_registry
    from facefeat.training import build_decoder, load_decoder_recipe
    from facefeat.training.decoder_task import check_named

    # The recipe first: its mistakes show before any work starts.
    chosen = load_decoder_recipe(run.recipe).replace(**run.changes(**changes))
    get_registry().get("decoder", chosen.decoder.name)
    check_named(chosen)
    run.check_output()
    named = preset or chosen.preset or None
    check_model(named)
    if chosen.start and run.starts_afresh():
        check_model(chosen.start)
    if chosen.loss.reader:
        check_model(chosen.reader)
    check_run_data(None, run.recipe, run.data, run.splits)
    start_keras()
    model = FaceFeatureModel.from_preset(named)
    build_decoder(model.classifier, chosen)  # the mistakes in its settings; `fit_decoder` builds its own
    console = terminal(stderr=True)
    data = run.read(console, model.schema, f"{chosen.name} for {model.name}")
    run.make_output()
    with bars(console) as progress:
        to: dict[str, Any] = {"folder": run.output, "resume": run.resume}
        log = model.fit_decoder(data.training, data.validation, chosen, reporter=RichReporter(progress, console), **to)
    run.write_log(log, "decoder_training.json")
    command = run.repeated("train-decoder", preset=preset, **changes)
    card = with_decoder(model.card, model, log.to_dict(), command)
    with warned():
        model.save(run.output / "preset", card=card)
    try:
        with console.status("directions, for editing and composing"):
            model.fit_directions(data.training)
            with warned():
                model.save(run.output / "preset", card=card)
    except DataError as e:
        warn(f"the decoder is written, but not the directions that editing and composing need: {e}")
    best = log.epochs[log.best_epoch]
    console.print(f"mean squared error {best['mse']:.4f}, PSNR {best['psnr']:.1f} dB on {run.validation_split}")
    say(str(run.output / "preset"))
