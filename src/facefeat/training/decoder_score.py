"""How good a decoder is: how close its pictures come, and whether its faces are still read as they were."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder

SCORED = 64
"""Faces that are scored together."""


def score(classifier: Classifier, decoder: FaceDecoder, crops: Any) -> dict[str, float]:
    """How well faces (N, F, F, 3) uint8 are reconstructed.

    mse: on 0..1. psnr: in dB. kept_ATTRIBUTE: share of faces that the classifier reads as it read the original.
    swap_kept_ATTRIBUTE: the same, of the faces with the detail of the next one.
    score: psnr, and a decibel for each ten percent of what is kept, on average over attributes: a face that is read as
    another is worth less than a face that is a little blurred.
    """
    from facefeat.image.align import resize_crops
    from facefeat.networks.decoder import to_pixels

    def read(made: Any) -> dict[str, Any]:
        return dict(classifier.predict(resize_crops(to_pixels(made), classifier.image_size)).labels)

    error, count = 0.0, 0
    kept: dict[str, int] = {}
    for start in range(0, len(crops), SCORED):
        some = np.asarray(crops[start : start + SCORED])
        seen = resize_crops(some, classifier.image_size)
        features = classifier.encode(seen)
        z = decoder.latents(features, seen)
        made = decoder.decode(z)
        error += float(np.mean((made - some.astype("float32") / 255) ** 2, axis=(1, 2, 3)).sum())
        count += len(some)
        want = classifier.predict(seen).labels
        answers = {"kept": read(made)}
        if decoder.detail_dim:
            z = np.concatenate([features, np.roll(z[:, decoder.feature_dim :], 1, axis=0)], axis=1)
            answers["swap_kept"] = read(decoder.decode(z))
        for what, labels in answers.items():
            for name, value in labels.items():
                key = f"{what}_{name}"
                kept[key] = kept.get(key, 0) + int(np.sum(value == want[name]))
    mse = error / count
    psnr = -10 * math.log10(max(mse, 1e-12))
    shares = {k: v / count for k, v in kept.items()}
    return {
        "mse": round(mse, 6),
        "psnr": round(psnr, 4),
        **{k: round(v, 5) for k, v in shares.items()},
        "score": round(psnr + 10 * float(np.mean(list(shares.values()))), 4),
    }
