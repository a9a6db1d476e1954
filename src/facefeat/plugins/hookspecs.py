"""The hooks that a plugin may implement. Every hook is called by keyword; a hook grows by new arguments only.

from facefeat import Component, hookimpl

@hookimpl
def facefeat_backbones():
    return [Component("tiny", build, "a backbone of three layers")]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    import click

PROJECT = "facefeat"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def facefeat_detectors() -> Iterable[Component]:
    """Components whose `build(**config)` gives an object with `detect` and `detect_batch`."""
    return ()


@hookspec
def facefeat_backbones() -> Iterable[Component]:
    """Components whose `build(*, image_size, **config)` gives a Keras model: crops -> feature map."""
    return ()


@hookspec
def facefeat_heads() -> Iterable[Component]:
    """Components whose `build(*, feature_shape, schema, **config)` gives a Keras model: feature map -> logits."""
    return ()


@hookspec
def facefeat_augmentations() -> Iterable[Component]:
    """Components whose `build(*, seed, **config)` gives a Keras layer that changes crops in training."""
    return ()


@hookspec
def facefeat_decoders() -> Iterable[Component]:
    """Components whose `build(*, latent_dim, image_size, **config)` gives a Keras model, latents -> crops in 0..1.

    Or a `DetailDecoder`: that model, and the encoder of the part of the latent that the classifier does not give.
    """
    return ()


@hookspec
def facefeat_analyzers() -> Iterable[Component]:
    """Components whose `build(**config)` gives an object with `analyze(latents, labels, model=None)`."""
    return ()


@hookspec
def facefeat_presets() -> Iterable[Component]:
    """Components whose `build()` gives the path of a preset folder."""
    return ()


@hookspec
def facefeat_attribute_kinds() -> Iterable[Component]:
    """Components whose `build()` gives an `AttributeKind`: how attributes of a sort are learnt, read and measured."""
    return ()


@hookspec
def facefeat_losses() -> Iterable[Component]:
    """Components whose `build(*, attribute, **config)` gives a function: targets, outputs -> a cost for each face."""
    return ()


@hookspec
def facefeat_commands(cli: click.Group) -> None:
    """Add click commands to the `facefeat` command line."""
