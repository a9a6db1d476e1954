"""The graph that is exported: crops in; calibrated probabilities, numbers with their intervals, and the latent out.

What `AttributeKind.read` does with NumPy in float64, `AttributeKind.graph` does in standard operations that every
runtime has: sums, products, comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.export.metadata import LATENT, output_name

if TYPE_CHECKING:
    import keras

    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder


def export_graph(classifier: Classifier, *, latent: bool = False, decoder: FaceDecoder | None = None) -> keras.Model:
    """Crops (N, S, S, 3) uint8 -> {output: array}, all float32.

    `ATTRIBUTE_SUFFIX` for each attribute and each output of its kind, such as `gender_probabilities` (N, K),
    `age_years` (N,), `age_interval` (N, 2); `latent` (N, D) where asked for, with a decoder's detail code.
    """
    import keras
    from keras import ops

    size, schema, calibration = classifier.image_size, classifier.schema, classifier.calibration
    crops = keras.Input((size, size, 3), dtype="uint8", name="crops")
    pixels = ops.cast(crops, "float32")
    features = classifier.backbone_model(pixels)  # (N, h, w, D)
    logits = classifier.head_model(features)
    outputs: dict[str, Any] = {}
    for name, a in schema.attributes.items():
        found = a.strategy.graph(a, logits[name], calibration.of(name))
        outputs |= {output_name(name, suffix): value for suffix, value in found.items()}
    if latent:
        z = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(features)  # (N, D)
        if decoder is not None and decoder.detail_encoder is not None:
            z = ops.concatenate([z, ops.cast(decoder.detail_encoder(pixels), "float32")], axis=-1)
        outputs[LATENT] = z
    return keras.Model(crops, outputs, name="facefeat")
