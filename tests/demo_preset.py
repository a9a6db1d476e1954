"""A preset that can draw, made without training: for the tests of the demo."""

from __future__ import annotations

from pathlib import Path

from made import TINY


def preset_with_decoder(folder: Path, size: int = 32) -> Path:
    """Write a tiny untrained preset of the utkface schema with a decoder; gives its folder."""
    from keras.utils import set_random_seed

    from facefeat.classifier import Classifier
    from facefeat.decoding import FaceDecoder
    from facefeat.image import ALIGNMENTS
    from facefeat.preset import save_preset
    from facefeat.schema import get_schema

    set_random_seed(3)
    classifier = Classifier.build(
        schema=get_schema("utkface"),
        image_size=size,
        alignment=ALIGNMENTS["utkface"],
        backbone="compact",
        head="three-head",
        backbone_config=TINY,
        head_config={"trunk": []},
    )
    width = classifier.latent_dim
    decoder = FaceDecoder.build("upsampling", feature_dim=width, image_size=size, config={"filters": [12, 8]})
    return save_preset(folder, classifier, name=folder.name, summary="untrained, for tests", decoder=decoder)
