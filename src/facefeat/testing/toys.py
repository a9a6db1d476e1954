"""Toy components, one of every kind, and made inputs: small enough for a test, whole enough to be real.

Each toy keeps its contract, so it can stand in where facefeat wants a component; `TOYS` has them by kind. They show
nothing about faces. `registered` puts them, or others, into the registry for the length of a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.plugins.contracts import Component
from facefeat.schema import Attribute, Schema
from facefeat.types import Analysis, Face
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    import keras
    import numpy as np

    from facefeat.types import FloatArray, UInt8Array


def toy_schema() -> Schema:
    """Three attributes of every sort: age in exact years (20 outputs), two classes, and four without an order."""
    attributes = (
        Attribute("age", ("young", "old"), ordered=True, years=((0, 9), (10, 19)), exact=True),
        Attribute("glasses", ("no", "yes")),
        Attribute("mood", ("calm", "glad", "sad", "angry")),
    )
    return Schema("toy", {a.name: a for a in attributes})


def toy_image(height: int = 64, width: int = 80, seed: int = 0) -> UInt8Array:
    """(height, width, 3) uint8 RGB: soft colours with two dark eyes and a mouth in the middle, and some noise."""
    import numpy as np

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype("float32")
    y, x = (y + 0.5) / height, (x + 0.5) / width
    image = np.stack([x, y, 1 - x], axis=-1) * rng.uniform(80, 160, 3) + 40  # (H, W, 3)
    face = ((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.4) ** 2 < 1  # (H, W)
    image[face] = (224, 172, 140)
    for cx, cy, rx, ry in ((0.4, 0.42, 0.05, 0.04), (0.6, 0.42, 0.05, 0.04), (0.5, 0.68, 0.1, 0.03)):
        image[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1] = (60, 40, 40)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype("uint8")


def toy_crops(n: int = 4, size: int = 32, seed: int = 0) -> UInt8Array:
    """(n, size, size, 3) uint8: a toy image each, no two alike."""
    import numpy as np

    if n == 0:
        return np.zeros((0, size, size, 3), "uint8")
    return np.stack([toy_image(size, size, seed * 1000 + i) for i in range(n)])


def toy_latents(n: int = 40, dim: int = 8, seed: int = 0) -> FloatArray:
    """(n, dim) float32: a normal cloud, whose first coordinate is larger for every second row."""
    import numpy as np

    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(n, dim)).astype("float32")
    latents[1::2, 0] += 3
    return latents


def toy_labels(n: int = 40) -> dict[str, np.ndarray]:
    """Attribute of `toy_schema` -> (n,) str; "glasses" goes with the first coordinate of `toy_latents`."""
    import numpy as np

    classes = {name: np.array(a.classes) for name, a in toy_schema().attributes.items()}
    return {name: values[np.arange(n) % len(values)] for name, values in classes.items()}


@dataclass(frozen=True)
class ToyDetector:
    """Finds one face in the middle of every image, `part` of its sides large, with landmarks at fixed places."""

    part: float = 0.5

    def detect(self, image: UInt8Array) -> list[Face]:
        """One face of the (H, W, 3) image."""
        import numpy as np

        height, width = image.shape[:2]
        left, top = width * (1 - self.part) / 2, height * (1 - self.part) / 2
        box = (left, top, width - left, height - top)
        places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], "float32")
        size = np.array([box[2] - box[0], box[3] - box[1]], "float32")
        return [Face(box, 1.0, places * size + np.array(box[:2], "float32"))]

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """`detect` of each image."""
        return [self.detect(image) for image in images]


def build_detector(*, part: float = 0.5) -> ToyDetector:
    """A detector that answers at once, always the same."""
    return ToyDetector(part)


def build_backbone(*, image_size: int, width: int = 6) -> keras.Model:
    """Crops (B, S, S, 3) 0..255 -> (B, ceil(S / 8), same, width): one convolution."""
    import keras

    crops = keras.Input((image_size, image_size, 3), name="crops")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(crops)
    x = keras.layers.Conv2D(width, 3, strides=8, padding="same", activation="leaky_relu", name="conv")(x)
    return keras.Model(crops, x, name="toy")


def build_head(*, feature_shape: Sequence[int], schema: Schema, width: int = 5) -> keras.Model:
    """Feature map (B, h, w, C) -> {attribute: logits (B, outputs) float32}: one hidden layer."""
    import keras

    features = keras.Input(tuple(feature_shape), name="features")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    x = keras.layers.Dense(width, activation="tanh", name="hidden")(x)  # (B, width)
    outputs = {n: keras.layers.Dense(a.outputs, dtype="float32", name=n)(x) for n, a in schema.attributes.items()}
    return keras.Model(features, outputs, name="toy")


def build_decoder(*, latent_dim: int, image_size: int, width: int = 4) -> keras.Model:
    """Latents (B, D) -> crops (B, S, S, 3) float32 in 0..1: a dense layer, drawn large."""
    import keras

    latents = keras.Input((latent_dim,), name="latents")
    x = keras.layers.Dense(4 * 4 * width, name="dense")(latents)
    x = keras.layers.Reshape((4, 4, width), name="map")(x)
    x = keras.layers.Resizing(image_size, image_size, name="enlarge")(x)  # (B, S, S, width)
    x = keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid", dtype="float32", name="pixels")(x)
    return keras.Model(latents, x, name="toy")


def build_augmentation(*, seed: int, reach: float = 60.0) -> Any:
    """Crops (B, S, S, 3) 0..255 -> the same shape: each brighter or darker by at most `reach`, in training."""
    import keras

    class ToyAugmentation(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.generator = keras.random.SeedGenerator(seed)

        def call(self, crops: Any, training: bool = False) -> Any:
            if not training:
                return crops
            rows = keras.ops.shape(crops)[0]
            drawn = keras.random.uniform((rows, 1, 1, 1), -reach, reach, seed=self.generator)
            return keras.ops.clip(crops + keras.ops.cast(drawn, crops.dtype), 0, 255)

    return ToyAugmentation()


@dataclass(frozen=True)
class ToyAnalyzer:
    """For each attribute, the direction between the means of its first two classes."""

    digits: int = 6

    def analyze(self, latents: FloatArray, labels: Mapping[str, np.ndarray], model: Any = None) -> Analysis:
        """latents (N, D), labels attribute -> (N,): a row for each class with its count and mean length."""
        import numpy as np

        pd = import_pandas()
        rows, directions = [], {}
        for name, values in labels.items():
            means = []
            for label in np.unique(values):
                mine = latents[values == label]  # (n, D)
                means.append(mine.mean(axis=0))
                length = float(np.linalg.norm(mine, axis=1).mean())
                rows.append({"attribute": name, "class": label, "n": len(mine), "length": round(length, self.digits)})
            if len(means) >= 2:
                step = means[1] - means[0]  # (D,)
                norm = float(np.linalg.norm(step))
                if norm > 0:
                    directions[name] = (step / norm).astype("float32")
        table = pd.DataFrame(rows, columns=["attribute", "class", "n", "length"])
        return Analysis("toy", table, directions=directions)


def build_analyzer(*, digits: int = 6) -> ToyAnalyzer:
    """An analyzer without figures."""
    return ToyAnalyzer(digits)


def toy_preset(folder: str | Path, name: str = "toy") -> Path:
    """Write a preset of the smallest `compact` and a linear head, untrained; gives its folder."""
    from keras.utils import set_random_seed

    from facefeat.image.align import ALIGNMENTS
    from facefeat.networks.classifier import Classifier
    from facefeat.presets.store import save_preset

    set_random_seed(0)
    classifier = Classifier.build(
        schema=toy_schema(),
        image_size=16,
        alignment=ALIGNMENTS["utkface"],
        backbone="facefeat:compact",
        head="facefeat:mlp",
        backbone_config={"widths": [8], "blocks": [1], "stem": 4},
        head_config={"trunk": []},
    )
    summary = "untrained, for tests"
    card = f"# {name}\n\nUntrained: made for a test. It says nothing about a face.\n"
    return save_preset(folder, classifier, name=name, summary=summary, licence="CC0-1.0", card=card)


TOYS: Mapping[str, Component] = {
    "detector": Component("toy", build_detector, "one face in the middle of every image, for tests"),
    "backbone": Component("toy", build_backbone, "one convolution, for tests"),
    "head": Component("toy", build_head, "one hidden layer, for tests"),
    "augmentation": Component("toy", build_augmentation, "brighter or darker, for tests"),
    "decoder": Component("toy", build_decoder, "a dense layer drawn large, for tests"),
    "analyzer": Component("toy", build_analyzer, "directions between the means of classes, for tests"),
}
"""Kind -> a toy component of it. A preset is a folder: `toy_preset` writes one."""
