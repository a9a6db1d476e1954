"""KerasCV's augmentations that work on a batch of crops, on TensorFlow: layers to put before a model, or in `tf.data`.

facefeat has no hook for augmentations: a recipe's `[augment]` table names facefeat's own. These are for a training loop
of your own, and for comparison. MixUp, CutMix and FourierMix are left out: they refuse a batch of images alone, and
MixUp and CutMix fail on images with labels, too (KerasCV 0.9.0 with Keras 3.15).
"""

from __future__ import annotations

from facefeat import InputError

# Name -> the layer and its settings, for pixels of 0..255.
AUGMENTATIONS = {
    "aug-mix": ("AugMix", {"value_range": (0, 255)}),
    "rand-augment": ("RandAugment", {"value_range": (0, 255)}),
    "grid-mask": ("GridMask", {}),
    "cutout": ("RandomCutout", {"height_factor": 0.3, "width_factor": 0.3}),
    "channel-shift": ("RandomChannelShift", {"value_range": (0, 255), "factor": 0.3}),
    "channel-shuffle": ("ChannelShuffle", {}),
    "color-degeneration": ("RandomColorDegeneration", {"factor": 0.5}),
    "gaussian-blur": ("RandomGaussianBlur", {"kernel_size": 3, "factor": 1.0}),
    "hue": ("RandomHue", {"value_range": (0, 255), "factor": 0.1}),
    "jpeg": ("RandomJpegQuality", {"factor": (75, 100)}),
    "posterization": ("Posterization", {"value_range": (0, 255), "bits": 4}),
    "sharpness": ("RandomSharpness", {"value_range": (0, 255), "factor": 0.5}),
    "shear": ("RandomShear", {"x_factor": 0.2, "y_factor": 0.2}),
    "solarization": ("Solarization", {"value_range": (0, 255)}),
}


def augmentation(name: str, **settings):
    """A Keras layer, crops (B, S, S, 3) float 0..255 -> the same shape; call it with `training=True`.

    settings: of KerasCV's own layer, in place of those in AUGMENTATIONS. Raises InputError for an unknown name.
    """
    if name not in AUGMENTATIONS:
        raise InputError(f"no such augmentation. Received: {name!r}. Valid: {', '.join(sorted(AUGMENTATIONS))}.")
    import keras_cv

    layer, usual = AUGMENTATIONS[name]
    return getattr(keras_cv.layers, layer)(**{**usual, **settings})
