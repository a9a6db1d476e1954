"""KerasCV's augmentations that work on a batch of crops, on TensorFlow. Plain data; imports nothing heavy.

Left out of KerasCV 0.9.0 with Keras 3.15: MixUp, CutMix and FourierMix, which refuse a batch of images alone;
RandAugment, which does not run in a compiled step, and AugMix, which does not in mixed precision.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PIXELS = {"value_range": [0, 255]}


@dataclass(frozen=True)
class Augmentation:
    """A layer of keras_cv.layers, and its settings for pixels of 0..255: those of `build`, with their defaults."""

    name: str
    layer: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def __signature__(self) -> inspect.Signature:
        """`build(*, seed, ...)`, for facefeat, which refuses settings that a component does not name."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        own = [inspect.Parameter(name, keyword, default=value) for name, value in self.settings.items()]
        return inspect.Signature([inspect.Parameter("seed", keyword), *own])

    def __call__(self, *, seed: int, **settings: Any) -> Any:
        """A Keras layer, crops (B, S, S, 3) float 0..255 -> the same shape; KerasCV's own, made to keep the contract.

        KerasCV's always changes crops, and draws from generators of TensorFlow that no training loop can set.
        """
        import keras
        import keras_cv
        import tensorflow as tf

        make = getattr(keras_cv.layers, self.layer)
        seeded = {"seed": seed} if "seed" in inspect.signature(make.__init__).parameters else {}
        values = {**self.fixed, **self.settings, **settings}
        inner = make(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}, **seeded)

        generator = keras.random.SeedGenerator(seed)

        class Sampler(keras_cv.core.FactorSampler):
            def __init__(self, lower: float, upper: float) -> None:
                self.lower, self.upper = lower, upper

            def __call__(self, shape: Any = (), dtype: Any = "float32") -> Any:
                drawn = keras.random.uniform(shape, self.lower, self.upper, seed=generator)
                return tf.cast(drawn, dtype)  # RandomJpegQuality wants whole numbers, which Keras does not draw

        class InTraining(keras.layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.inner, self.generator = inner, generator
                self.parts = list(inner._flatten_layers())
                for part in self.parts:
                    for name, value in list(vars(part).items()):
                        if isinstance(value, keras_cv.core.UniformFactorSampler):
                            setattr(part, name, Sampler(value.lower, value.upper))

            def call(self, crops: Any, training: bool = False) -> Any:
                if not training:
                    return crops
                drawn = tf.cast(generator.next(), "int64")  # the seed, and how often it was drawn from
                for i, part in enumerate(self.parts):
                    theirs = getattr(part, "_random_generator", None)
                    if hasattr(theirs, "reset_from_seed"):
                        theirs.reset_from_seed(drawn[0] + 1_000_003 * drawn[1] + i)
                changed = self.inner(tf.cast(crops, "float32"))
                return tf.cast(tf.clip_by_value(changed, 0, 255), crops.dtype)

            def compute_output_shape(self, shape: Any) -> Any:
                return shape

        return InTraining()


AUGMENTATIONS = (
    Augmentation("cv-grid-mask", "GridMask", "a grid of squares hidden (Chen et al. 2020)", {"fill_value": 0.0}),
    Augmentation(
        "cv-cutout",
        "RandomCutout",
        "a rectangle hidden (DeVries and Taylor 2017)",
        {"height_factor": 0.3, "width_factor": 0.3},
    ),
    Augmentation("cv-channel-shift", "RandomChannelShift", "an amount added to each channel", {"factor": 0.3}, PIXELS),
    Augmentation("cv-channel-shuffle", "ChannelShuffle", "the channels in another order", {"groups": 3}),
    Augmentation("cv-color-degeneration", "RandomColorDegeneration", "towards grey", {"factor": 0.5}),
    Augmentation("cv-gaussian-blur", "RandomGaussianBlur", "blurred", {"kernel_size": 3, "factor": 1.0}),
    Augmentation("cv-hue", "RandomHue", "another hue", {"factor": 0.1}, PIXELS),
    Augmentation("cv-jpeg", "RandomJpegQuality", "compressed as JPEG", {"factor": [75, 100]}),
    Augmentation("cv-posterization", "Posterization", "fewer levels of each channel", {"bits": 4}, PIXELS),
    Augmentation("cv-sharpness", "RandomSharpness", "sharper", {"factor": 0.5}, PIXELS),
    Augmentation("cv-shear", "RandomShear", "sheared", {"x_factor": 0.2, "y_factor": 0.2}),
    Augmentation("cv-solarization", "Solarization", "the bright pixels inverted", {"threshold_factor": 0.0}, PIXELS),
)
