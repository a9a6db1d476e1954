"""Where a run begins: the preset that it starts from, and the licences that its weights inherit."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from facefeat.errors import FacefeatError, RecipeError
from facefeat.image.align import ALIGNMENTS
from facefeat.plugins.registry import get_registry
from facefeat.training.base_recipe import ComponentChoice

UNSTATED = "not stated"
PUBLISHED: Mapping[str, str] = {
    "vggface2": "HSE-FaceRes (pretrained weights): learnt from VGGFace2, whose list of pictures is CC BY-SA 4.0 and "
    "whose pictures are their owners', and from IMDB-WIKI, for academic research only",
    "imagenet": "ImageNet (pretrained weights): its pictures are for non-commercial research and education",
    "vggface": "VGG-Face (pretrained weights): non-commercial research purposes only",
}
"""`weights` of a backbone, or its name where it always has them -> what their publisher allows."""


@dataclass(frozen=True)
class Start:
    """What a recipe takes over from the preset that it starts from, where it has no [backbone] of its own."""

    backbone: ComponentChoice
    image_size: int
    alignment: str

    @classmethod
    def read(cls, preset: str) -> Start:
        """Of a preset's name or folder.

        Raises PresetError, UnknownComponentError, RecipeError for a geometry that recipes cannot name.
        """
        from facefeat.presets.store import find_preset, read_config

        config = read_config(find_preset(preset))
        alignment = str(config["alignment"].get("name", ""))
        if alignment not in ALIGNMENTS:
            raise RecipeError(
                f"start = {preset!r}: its crops have the geometry {alignment!r}, which a recipe cannot name. "
                f"Valid: {', '.join(ALIGNMENTS)}."
            )
        part = config["backbone"]
        name, given = str(part["name"]), dict(part.get("config", {}))
        takes = inspect.signature(get_registry().get("backbone", name).component.build).parameters
        # TOML has no None: what is None anyway is left out, so that a written recipe is the same recipe.
        left_out = [k for k, v in given.items() if v is None and k in takes and takes[k].default is None]
        chosen = ComponentChoice(name, {k: v for k, v in given.items() if k not in left_out})
        return cls(chosen, int(config["image_size"]), alignment)


def joined(licences: Iterable[str]) -> str:
    """All licences, each once, those that say nothing last; "" without any.

    A network has seen the data of its start, too: what it may be used for is what all of them allow.
    """
    kept: list[str] = []
    for text in licences:
        for part in text.split("; "):
            if part and part not in kept:
                kept.append(part)
    return "; ".join(sorted(kept, key=lambda part: UNSTATED in part))


def published(backbone: ComponentChoice) -> str:
    """The licence of the published weights that a backbone begins with; "" where it has none."""
    weights = str(backbone.config.get("weights") or "")
    return PUBLISHED.get(weights) or PUBLISHED.get(backbone.name, "")


def origin_of(start: str, licences: Iterable[str]) -> dict[str, Any]:
    """What a log says of where a run's weights come from, JSON-able: `start`, its name, and the joined `licence`.

    start: a preset's name or folder, "" for none. licences: of the data, and of published weights. A start that is not
    there any more, as when a run is resumed elsewhere, is named, and its licence is not stated.
    """
    from facefeat.presets.store import find_preset, read_config

    if not start:
        return {"licence": joined(licences)}
    name, licence = start, ""
    try:
        config = read_config(find_preset(start))
        name, licence = str(config.get("name", start)), str(config.get("licence", ""))
    except FacefeatError:
        pass  # named below, with no licence
    return {"start": name, "licence": joined([licence or f"the preset {name!r}: {UNSTATED}", *licences])}
