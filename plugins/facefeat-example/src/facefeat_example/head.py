"""A head: a Keras model, feature map -> {attribute: logits}."""

from facefeat import Component


def build(*, feature_shape, schema, dropout=0.1):
    """Feature map (B, h, w, C) -> {attribute: logits (B, outputs) float32}.

    facefeat passes `feature_shape`, which is (h, w, C), and `schema`, which knows the attributes.
    """
    import keras  # here, not above: see __init__.py

    features = keras.Input(tuple(feature_shape), name="features")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features)  # (B, C)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    # Logits, not probabilities: the loss and the calibration do the rest. `outputs` is the number of classes, or of
    # years where an attribute's labels are exact. float32 under mixed precision, too.
    logits = {
        name: keras.layers.Dense(attribute.outputs, dtype="float32", name=name)(x)
        for name, attribute in schema.attributes.items()
    }
    return keras.Model(features, logits, name="linear")


HEAD = Component("linear", build, "one dense layer for each attribute")
