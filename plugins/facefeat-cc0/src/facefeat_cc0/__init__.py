"""Age and gender by networks in the public domain: a backbone, and the preset `cc0-age-gender` with its weights."""

from __future__ import annotations

from facefeat import Component, hookimpl
from facefeat_cc0.backbone import PRESET_FOLDER, build


def build_preset():
    """The folder of the preset: data only."""
    return PRESET_FOLDER


BACKBONE = Component("dlib-age-gender", build, "two small networks of dlib-models, for age and for gender (CC0)")
PRESET = Component("cc0-age-gender", build_preset, "age and gender; the weights are in the public domain (CC0)")


@hookimpl
def facefeat_backbones():
    return [BACKBONE]


@hookimpl
def facefeat_presets():
    return [PRESET]
