"""Which model is it: hashes of what it is made of, the same before it was saved and after it was loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facefeat.utils.precision import stored_weight

if TYPE_CHECKING:
    import keras

    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.networks.models import ComponentRef


def encoder_hash(classifier: Classifier, decoder: FaceDecoder | None = None) -> str:
    """SHA-256 (hex) of what makes a latent: image size, alignment, backbone, and a decoder's detail encoder.

    Two models of one hash give the same latents, whatever their heads and calibrations.
    """
    about = {"image_size": classifier.image_size, "alignment": classifier.alignment.to_dict()}
    parts = [(classifier.backbone, weights_of(classifier, "backbone"))]
    if decoder is not None and decoder.detail_dim:
        parts.append((decoder.ref, weights_of(decoder, "detail_encoder")))
    return _hash(about, parts)


def model_hash(classifier: Classifier) -> str:
    """SHA-256 (hex) of what makes an answer: what `encoder_hash` takes, the head, the schema and the calibration."""
    about = {
        "encoder": encoder_hash(classifier),
        "schema": classifier.schema.to_dict(),
        "calibration": classifier.calibration.to_dict(measured=False),
    }
    return _hash(about, [(classifier.head, weights_of(classifier, "head"))])


def weights_of(part: Classifier | FaceDecoder, network: str) -> str:
    """SHA-256 (hex) of the weights of one network: what its preset says, or else that of its Keras model."""
    return part.hashes.get(network) or weights_hash(part.models[network])


def weights_hash(model: keras.Model) -> str:
    """SHA-256 (hex) of the weights of a Keras model, as a preset stores them, or saving would make another of it."""
    import numpy as np

    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(stored_weight(weight)).tobytes())
    return digest.hexdigest()


def _hash(about: Mapping[str, Any], parts: list[tuple[ComponentRef, str]]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for ref, weights in parts:
        digest.update(json.dumps([ref.distribution, ref.name, dict(ref.config)], sort_keys=True, default=str).encode())
        digest.update(weights.encode())
    return digest.hexdigest()
