"""A backbone: a Keras model, crops -> feature map."""

from facefeat import Component


def build(*, image_size, width=16):
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, ceil(S / 8), same, width).

    `image_size` is what facefeat passes. Each of your own settings has a default, and is something that JSON can hold:
    a preset keeps it in its config.json, and builds the model again from there.
    """
    import keras  # here, not above: see __init__.py

    crops = keras.Input((image_size, image_size, 3), name="crops")
    # The normalisation is inside, because only the backbone knows which one its weights want.
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(crops)
    # Keras layers and keras.ops only, so that it runs on every backend; no Lambda, which is code in a preset. Every
    # layer has a name, so that weights find their place whatever was built before in this process.
    x = keras.layers.Conv2D(width, 3, strides=4, padding="same", activation="leaky_relu", name="conv1")(x)
    x = keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="leaky_relu", name="conv2")(x)
    return keras.Model(crops, x, name="two_convolutions")


BACKBONE = Component("two-convolutions", build, "two convolutions, to show how")
