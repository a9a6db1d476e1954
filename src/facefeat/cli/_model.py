"""The model of a command that uses one, and the options that say what runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from facefeat.cli._quiet import start_keras

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --runtime, --device and --threads; they hold for the whole process.

    A command that has --threads of its own keeps it.
    """
    from facefeat.networks.runtime import DEVICES, RUNTIMES

    options = (
        click.option("--runtime", type=click.Choice(RUNTIMES), default="auto", show_default=True, expose_value=False,
                     callback=_set, help="auto: ONNX Runtime where the preset has graphs, else Keras."),
        click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, expose_value=False,
                     callback=_set, help="Where ONNX Runtime computes."),
        click.option("--threads", type=click.IntRange(0, 1024), default=0, expose_value=False, callback=_set,
                     metavar="N", help="CPU threads of ONNX Runtime.  [default: one per core]"),
    )  # fmt: skip
    has = {p.name for p in getattr(command, "__click_params__", ())}
    for option in reversed(options[:2] if "threads" in has else options):
        command = option(command)
    return command


def _set(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    from dataclasses import replace

    from facefeat.networks.runtime import default_options, set_default_options

    set_default_options(replace(default_options(), **{str(parameter.name): value}))
    return value


def load_model(preset: str | None, detector: str | None = None) -> FaceFeatureModel:
    """The model of a preset. Where Keras is to run it, its start-up log is held back. Raises as `from_preset`."""
    from facefeat.networks.runtime import default_options
    from facefeat.presets.store import find_preset, has_graphs, read_config

    folder = find_preset(preset)
    if default_options().runtime == "keras" or not has_graphs(folder):
        read_config(folder)  # a broken preset is reported before a missing backend
        start_keras()
    from facefeat.model import FaceFeatureModel

    if detector is None:
        return FaceFeatureModel.from_preset(preset)
    return FaceFeatureModel.from_preset(preset, detector=detector)
