"""A decoder: a Keras model, latents -> crops."""

from facefeat import Component


def build(*, latent_dim, image_size, width=8):
    """Latents (B, D) float32 -> crops (B, S, S, 3) float32 in 0..1, whatever the latents."""
    import keras  # here, not above: see __init__.py

    latents = keras.Input((latent_dim,), name="latents")
    x = keras.layers.Dense(4 * 4 * width, name="start")(latents)
    x = keras.layers.Reshape((4, 4, width), name="map")(x)  # (B, 4, 4, width)
    x = keras.layers.Resizing(image_size, image_size, name="enlarge")(x)  # (B, S, S, width)
    x = keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid", dtype="float32", name="pixels")(x)
    return keras.Model(latents, x, name="blurred")


DECODER = Component("blurred", build, "sixteen patches, drawn large")
