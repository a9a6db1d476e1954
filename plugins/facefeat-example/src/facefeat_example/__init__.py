"""One component of every kind, and a command: the hooks.

This module is imported by every command of facefeat that needs a component, so it imports nothing heavy, and neither do
the modules that it imports: Keras, NumPy and pandas come in when something is built.
"""

from functools import partial
from pathlib import Path

from facefeat import Component, hookimpl
from facefeat_example.analyzer import ANALYZER
from facefeat_example.augmentation import AUGMENTATION
from facefeat_example.backbone import BACKBONE
from facefeat_example.decoder import DECODER
from facefeat_example.detector import DETECTOR
from facefeat_example.head import HEAD
from facefeat_example.kind import KIND
from facefeat_example.loss import LOSS


def build_preset(folder):
    """The folder of a preset: data only, from which no code is run."""
    return folder


PRESET = Component(
    "example",
    # A partial rather than a lambda: it has a module, so that checks know where it is from.
    partial(build_preset, Path(__file__).parent / "presets" / "example"),
    "the example's backbone and head, untrained",
)


# A hook returns a list. Leave out those that you have no use for.


@hookimpl
def facefeat_detectors():
    return [DETECTOR]


@hookimpl
def facefeat_backbones():
    return [BACKBONE]


@hookimpl
def facefeat_heads():
    return [HEAD]


@hookimpl
def facefeat_augmentations():
    return [AUGMENTATION]


@hookimpl
def facefeat_decoders():
    return [DECODER]


@hookimpl
def facefeat_analyzers():
    return [ANALYZER]


@hookimpl
def facefeat_presets():
    return [PRESET]


@hookimpl
def facefeat_attribute_kinds():
    return [KIND]


@hookimpl
def facefeat_losses():
    return [LOSS]


@hookimpl
def facefeat_commands(cli):
    # `cli` is a group of your own: what you add appears among facefeat's commands, and cannot replace one of them.
    import click

    @cli.command()
    @click.option("--name", default="world", show_default=True)
    def hello(name):
        """Say hello: a command of the example plugin."""
        click.echo(f"hello {name}")
