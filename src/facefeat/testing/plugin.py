"""A plugin as a whole: `check_plugin` for all that a distribution registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from facefeat.errors import InputError, did_you_mean
from facefeat.plugins.loading import normalise
from facefeat.plugins.registry import Registered, get_registry
from facefeat.testing import attributes, augmentations, components, decoders, networks
from facefeat.testing.contract import ContractError

CHECKS: Mapping[str, Callable[..., Any]] = {
    "detector": components.check_detector,
    "backbone": networks.check_backbone,
    "head": networks.check_head,
    "augmentation": augmentations.check_augmentation,
    "decoder": decoders.check_decoder,
    "analyzer": components.check_analyzer,
    "preset": components.check_preset,
    "attribute_kind": attributes.check_attribute_kind,
    "loss": attributes.check_loss,
}
"""Kind -> its check."""


def check_plugin(distribution: str, settings: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Registered, ...]:
    """Check an installed plugin: it loads without a problem, and each of its components keeps its contract.

    distribution: its name, as pip knows it. settings: "kind name", such as "backbone tiny" -> what its check takes,
    such as {"changed": {"width": 8}}.
    Gives the components that were checked. Raises ContractError with the faults of all of them.
    """
    registry = get_registry()
    mine = normalise(distribution)
    plugins = {normalise(p.distribution): p for p in registry.plugins}
    problems = [p for p in registry.problems if normalise(p.distribution) == mine]
    if mine not in plugins and not problems:
        raise InputError(
            f"no plugin of that name is installed. {did_you_mean(distribution, plugins)} Next: pip install -e ."
        )
    faults = [f"it must load without a problem. Received: {p}." for p in problems]
    items = [i for i in registry.all() if normalise(i.distribution) == mine]
    given = dict(settings or {})
    known = {f"{i.kind} {i.name}" for i in items}
    for key in given:
        if key not in known:
            raise InputError(f"settings: this plugin registers no such component. {did_you_mean(key, known)}")
    for item in items:
        try:
            CHECKS[item.kind](item.component, **given.get(f"{item.kind} {item.name}", {}))
        except ContractError as e:
            faults += [f"{item.kind} {item.name!r}: {fault}" for fault in e.faults]
    if faults:
        raise ContractError(f"plugin {distribution!r}", faults)
    return tuple(items)
