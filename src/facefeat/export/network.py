"""The graph that is exported: crops in; calibrated probabilities, the age with its interval, and the latent out.

What `readout` does with NumPy in float64, in standard operations that every runtime has: sums, products, comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.export.metadata import INTERVAL, LATENT, YEARS, probabilities
from facefeat.networks.postprocess import year_edges

if TYPE_CHECKING:
    import keras

    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.networks.postprocess import Calibration, IntervalLevels
    from facefeat.schema import Attribute


def export_graph(classifier: Classifier, *, latent: bool = False, decoder: FaceDecoder | None = None) -> keras.Model:
    """Crops (N, S, S, 3) uint8 -> {output: array}, all float32.

    `ATTRIBUTE_probabilities` (N, K) for each attribute; `age_years` (N,) where the schema has years; `age_interval`
    (N, 2) where the calibration has one; `latent` (N, D) where asked for, with a decoder's detail code.
    """
    import keras
    from keras import ops

    size, schema, calibration = classifier.image_size, classifier.schema, classifier.calibration
    crops = keras.Input((size, size, 3), dtype="uint8", name="crops")
    pixels = ops.cast(crops, "float32")
    features = classifier.backbone_model(pixels)  # (N, h, w, D)
    logits = classifier.head_model(features)
    outputs: dict[str, Any] = {}
    for name, attribute in schema.attributes.items():
        p = _outputs(attribute, logits[name], calibration)  # (N, outputs)
        classes = ops.matmul(p, attribute.class_matrix()) if attribute.exact else p
        outputs[probabilities(name)] = classes / ops.sum(classes, axis=-1, keepdims=True)  # (N, K)
        if attribute.years:
            cumulative = ops.matmul(p, np.triu(np.ones((attribute.outputs, attribute.outputs), "float32")))
            outputs[YEARS] = _median(attribute, p, cumulative)
            if calibration.interval is not None and attribute is schema.age:
                outputs[INTERVAL] = _interval(attribute, cumulative, calibration.interval)
    if latent:
        z = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(features)  # (N, D)
        if decoder is not None and decoder.detail_encoder is not None:
            z = ops.concatenate([z, ops.cast(decoder.detail_encoder(pixels), "float32")], axis=-1)
        outputs[LATENT] = z
    return keras.Model(crops, outputs, name="facefeat")


def _outputs(attribute: Attribute, logits: Any, calibration: Calibration) -> Any:
    """(N, outputs) logits -> (N, outputs) probabilities: `readout.output_probabilities`."""
    from keras import ops

    z = ops.cast(logits, "float32") / calibration.temperatures.get(attribute.name, 1.0)
    bias = calibration.biases.get(attribute.name)
    if bias is not None:
        z = z + (attribute.class_matrix() @ np.asarray(bias, "float64")).astype("float32")
    return ops.softmax(z, axis=-1)


def _median(attribute: Attribute, p: Any, cumulative: Any) -> Any:
    """(N, outputs) -> (N,) years: `readout.median_of`, as the sum of what each output adds up to the half."""
    from keras import ops

    edges = year_edges(attribute)
    filled = ops.clip((0.5 - (cumulative - p)) / ops.maximum(p, 1e-12), 0.0, 1.0)
    years = ops.matmul(filled, np.diff(edges).astype("float32")[:, None]) + float(edges[0])  # (N, 1)
    return ops.maximum(ops.squeeze(years, axis=-1), 0.0)


def _interval(attribute: Attribute, cumulative: Any, levels: IntervalLevels) -> Any:
    """(N, outputs) -> (N, 2) years: `readout.interval_of`, each end as the sum of the steps up to it."""
    from keras import ops

    years = np.asarray([(y, y) for y in attribute.grid] if attribute.exact else attribute.years, "float32")
    steps = np.diff(years, axis=0)  # (outputs - 1, 2)
    inner = cumulative[:, :-1]
    low = ops.matmul(ops.cast(inner <= levels.low, "float32"), steps[:, :1])  # (N, 1)
    high = ops.matmul(ops.cast(inner < levels.high, "float32"), steps[:, 1:])
    return ops.concatenate([low, high], axis=-1) + years[0]
