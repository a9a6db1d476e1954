"""An augmentation: a Keras layer that changes crops in training."""

from facefeat import Component, InputError


def build(*, seed, reach=0.5):
    """Crops (B, S, S, 3) float 0..255 -> the same shape, each with a gamma of its own.

    facefeat passes `seed`. reach: how far the gamma may be from 1, on a log scale, over 0. Raises InputError.
    """
    import keras  # here, not above: see __init__.py
    from keras import ops

    if not isinstance(reach, int | float) or not 0 < reach <= 2:
        raise InputError(f"augmentation 'random-gamma': reach must be over 0, and at most 2. Received: {reach!r}.")

    class Gamma(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            # All randomness comes from a SeedGenerator: the training loop sets it, so that a resumed run ends the same.
            self.generator = keras.random.SeedGenerator(seed)

        def call(self, crops, training=False):
            if not training:
                return crops
            drawn = keras.random.uniform((ops.shape(crops)[0], 1, 1, 1), -reach, reach, seed=self.generator)
            changed = ops.power(ops.cast(crops, "float32") / 255, ops.exp(drawn)) * 255
            return ops.cast(changed, crops.dtype)

    return Gamma()


AUGMENTATION = Component("random-gamma", build, "each crop lighter or darker by a gamma of its own")
