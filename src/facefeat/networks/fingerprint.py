"""Which model is it: hashes of what it is made of, the same before it was saved and after it was loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facefeat.utils.precision import stored_weight

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier, ComponentRef
    from facefeat.networks.decoder import FaceDecoder


def encoder_hash(classifier: Classifier, decoder: FaceDecoder | None = None) -> str:
    """SHA-256 (hex) of what makes a latent: image size, alignment, backbone, and a decoder's detail encoder.

    Two models of one hash give the same latents, whatever their heads and calibrations.
    """
    about = {"image_size": classifier.image_size, "alignment": classifier.alignment.to_dict()}
    parts = [(classifier.backbone, classifier.backbone_model)]
    if decoder is not None and decoder.detail_encoder is not None:
        parts.append((decoder.ref, decoder.detail_encoder))
    return _hash(about, parts)


def model_hash(classifier: Classifier) -> str:
    """SHA-256 (hex) of what makes an answer: what `encoder_hash` takes, the head, the schema and the calibration."""
    calibration = {k: v for k, v in classifier.calibration.to_dict().items() if k != "measured"}
    about = {
        "encoder": encoder_hash(classifier),
        "schema": classifier.schema.to_dict(),
        "calibration": calibration,
    }
    return _hash(about, [(classifier.head, classifier.head_model)])


def _hash(about: Mapping[str, Any], parts: list[tuple[ComponentRef, Any]]) -> str:
    import numpy as np

    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for ref, model in parts:
        digest.update(json.dumps([ref.distribution, ref.name, dict(ref.config)], sort_keys=True, default=str).encode())
        for weight in model.get_weights():
            # As a preset stores it, or saving would make another model of it.
            digest.update(np.ascontiguousarray(stored_weight(weight)).tobytes())
    return digest.hexdigest()
