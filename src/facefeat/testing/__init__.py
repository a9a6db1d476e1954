"""For authors of plugins: one check for each kind of component, toy components, and inputs to try them on.

    from facefeat.testing import check_backbone
    from facefeat_tiny import COMPONENT

    def test_tiny():
        check_backbone(COMPONENT, changed={"width": 8})

A check builds the component, runs it as facefeat does, and raises `ContractError` with every fault: what
the contract wants, and what came. Under pytest the same checks are fixtures, so that nothing need be imported:

    def test_tiny(check_backbone):
        check_backbone(COMPONENT, changed={"width": 8})

Importing this imports no Keras and no NumPy: each name is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat.utils.lazy import lazy_names

if TYPE_CHECKING:
    from facefeat.testing.attributes import check_attribute_kind as check_attribute_kind
    from facefeat.testing.attributes import check_loss as check_loss
    from facefeat.testing.augmentations import check_augmentation as check_augmentation
    from facefeat.testing.components import check_analyzer as check_analyzer
    from facefeat.testing.components import check_detector as check_detector
    from facefeat.testing.components import check_preset as check_preset
    from facefeat.testing.contract import CheckOptions as CheckOptions
    from facefeat.testing.contract import ContractError as ContractError
    from facefeat.testing.contract import UncheckedWarning as UncheckedWarning
    from facefeat.testing.decoders import check_decoder as check_decoder
    from facefeat.testing.networks import check_backbone as check_backbone
    from facefeat.testing.networks import check_head as check_head
    from facefeat.testing.plugin import check_plugin as check_plugin
    from facefeat.testing.registration import registered as registered
    from facefeat.testing.toys import TOYS as TOYS
    from facefeat.testing.toys import toy_crops as toy_crops
    from facefeat.testing.toys import toy_image as toy_image
    from facefeat.testing.toys import toy_labels as toy_labels
    from facefeat.testing.toys import toy_latents as toy_latents
    from facefeat.testing.toys import toy_preset as toy_preset
    from facefeat.testing.toys import toy_schema as toy_schema

_MODULES = {
    "components": ("check_detector", "check_analyzer", "check_preset"),
    "networks": ("check_backbone", "check_head"),
    "augmentations": ("check_augmentation",),
    "decoders": ("check_decoder",),
    "attributes": ("check_attribute_kind", "check_loss"),
    "plugin": ("check_plugin",),
    "registration": ("registered",),
    "contract": ("CheckOptions", "ContractError", "UncheckedWarning"),
    "toys": ("TOYS", "toy_crops", "toy_image", "toy_labels", "toy_latents", "toy_preset", "toy_schema"),
}
__all__ = [name for names in _MODULES.values() for name in names]
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
