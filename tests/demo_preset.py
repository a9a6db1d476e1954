"""A preset that can draw, made without training: for the tests of the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from made import TINY


def preset_with_decoder(folder: Path, size: int = 32, *, decoder: bool = True, directions: bool = True) -> Path:
    """Write a tiny untrained preset of the utkface schema with a decoder, and directions; gives its folder."""
    from keras.utils import set_random_seed

    from facefeat.image.align import ALIGNMENTS
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.presets.store import save_preset
    from facefeat.schema import get_schema

    set_random_seed(3)
    classifier = Classifier.build(
        schema=get_schema("utkface"),
        image_size=size,
        alignment=ALIGNMENTS["utkface"],
        backbone="compact",
        head="mlp",
        backbone_config=TINY,
        head_config={"trunk": []},
    )
    width = classifier.latent_dim
    about: dict[str, Any] = {"name": folder.name, "summary": "untrained, for tests"}
    if decoder:
        about["decoder"] = FaceDecoder.build(
            "upsampling", feature_dim=width, image_size=size, config={"filters": [12, 8]}
        )
    if decoder and directions:
        about["directions"] = made_directions(width)
    return save_preset(folder, classifier, **about)


def made_directions(width: int) -> Any:
    """Directions of latents that are drawn at random: each attribute is read from coordinates of its own."""
    from facefeat.latent.fit_directions import directions_of
    from facefeat.schema import get_schema
    from made import targets_of

    z = np.random.default_rng(0).normal(size=(300, width)) * 2 + 1
    schema = get_schema("utkface")
    years = np.clip(45 + 12 * z[:, 0], 0, 100).astype("float32")
    labels = {
        "age": np.array([schema["age"].axis.group_of(y) for y in years]),
        "gender": (z[:, 1] > 1).astype(int),
        "race": z[:, 2:7].argmax(axis=1),
    }
    return directions_of(z, targets_of(schema, labels, years), schema, width)
