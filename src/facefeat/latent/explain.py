"""Where the model looked: which places of the feature map speak for a class, drawn over the crop.

`gradient` works with every head. It is HiResCAM (Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful
explanations of convolutional neural networks", 2020): the gradient of the class's log probability by the feature map,
times the feature map. With a linear head over the mean of the map, as the default preset has, the values add up to what
the places together give to the class. `attention` shows the attention of a head that has it (`head.attention_maps`).

Both are as coarse as the feature map, and show what the model used, not what is true of a face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, did_you_mean
from facefeat.networks.linear_head import linear_head
from facefeat.networks.postprocess import read_logits

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier
    from facefeat.schema import Schema
    from facefeat.types import FloatArray, UInt8Array

METHODS = ("auto", "attention", "gradient")
_FOR, _AGAINST = (230, 97, 0), (26, 133, 255)  # orange and blue, distinguishable with any kind of colour vision
_STEP = 1e-2
_NEVER, _SURE, _HALVINGS = 1e-20, 0.999, 8
"""Beyond these probabilities float32 has no digits for a slope of the logarithm: outputs are then halved first."""
_LETTERS = 40  # that fit below a crop and its map


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the model looked in N crops, for one attribute.

    Attributes:
        method: "gradient" or "attention".
        labels: the N classes that are explained.
        maps: (N, h, w) float32. Of gradients: above 0 speaks for the class, below against it, in nats of its log
            probability. Of attention: shares that sum to 1.
        crops: the (N, S, S, 3) uint8 that they belong to.
        view: the share of the crop's side, from its middle, that the maps cover; the model sees nothing around it.
    """

    attribute: str
    method: str
    labels: tuple[str, ...]
    maps: FloatArray
    crops: UInt8Array
    view: float = 1.0

    def draw(self, size: int = 256) -> UInt8Array:
        """(N, size, 2 * size, 3) uint8: each crop, and next to it the crop with its map over it.

        Orange speaks for the class and blue against it; the strongest place of a crop is the most opaque.
        """
        from PIL import Image

        out = np.empty((len(self.crops), size, 2 * size, 3), "uint8")
        covered = max(1, round(self.view * size))
        before = (size - covered) // 2
        around = (before, size - covered - before)
        for i, (crop, values) in enumerate(zip(self.crops, self.maps, strict=True)):
            plain = np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.LANCZOS))
            grown = np.asarray(Image.fromarray(values).resize((covered, covered), Image.Resampling.BICUBIC))
            grown = np.pad(grown, around)
            strength = grown / max(float(np.abs(values).max()), 1e-12)
            colour = np.where(strength[..., None] > 0, np.asarray(_FOR), np.asarray(_AGAINST))
            share = 0.7 * np.clip(np.abs(strength), 0, 1)[..., None]
            # A grey picture below, so that a colour is the map's and not the face's.
            grey = plain.mean(axis=-1, keepdims=True)
            out[i, :, :size] = plain
            out[i, :, size:] = np.clip((1 - share) * grey + share * colour, 0, 255)
        return out

    def save(self, output: str | Path, *, size: int = 256) -> Path:
        """Write what `draw` draws, each with what it shows and what the colours mean.

        See `image.video.write_frames`: .png or .jpg for a picture. Raises InputError.
        """
        from facefeat.image.video import with_text_below, write_frames

        captions = [self.caption(i) for i in range(len(self.crops))]
        return write_frames(with_text_below(self.draw(size), captions, letters=_LETTERS), output)

    def caption(self, row: int) -> str:
        """What the map of one crop is of, and its legend, in lines of some 40 letters."""
        import textwrap

        what = textwrap.wrap(f"{self.attribute.replace('_', ' ')}: {self.labels[row]}", _LETTERS)
        legend = "orange: looked here" if self.method == "attention" else "orange: for it, blue: against it"
        return "\n".join([*what, legend])

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; crops are left out."""
        about = {"attribute": self.attribute, "method": self.method, "labels": list(self.labels), "view": self.view}
        return about | {"maps": self.maps.tolist()}


def explain(
    classifier: Classifier, crops: UInt8Array, attribute: str, label: str | None = None, method: str = "auto"
) -> Explanation:
    """Explain one attribute of (N, S, S, 3) uint8 crops.

    Args:
        label: the class to explain; of each crop the predicted one where None.
        method: "gradient", "attention" (which is the same for all classes), or "auto": attention where the head has it
            and no class was asked for.

    Raises:
        InputError: for an unknown attribute, class or method, or attention of a head without it.
    """
    return explain_all(classifier, crops, {attribute: label}, method)[attribute]


def explain_all(
    classifier: Classifier, crops: UInt8Array, asked: Mapping[str, str | None], method: str = "auto"
) -> dict[str, Explanation]:
    """`explain` for several attributes of the same crops, by one run of the network. asked: attribute -> class or None.

    Raises as `explain`.
    """
    labels = {name: check_request(classifier.schema, name, label, method) for name, label in asked.items()}
    linear = linear_head(classifier)
    attends = linear is None and hasattr(classifier.head_model, "attention_maps")
    if method == "attention" and (not attends or any(label is not None for label in labels.values())):
        why = (
            "maps of attention are the same for every class" if attends else f"{classifier.head.name!r} does not attend"
        )
        raise InputError(f"method 'attention': {why}. Use method 'gradient'.")
    features = classifier.feature_map(crops)
    logits = classifier.logits_of(features)
    read = read_logits(classifier.schema, logits, classifier.calibration)
    out = {}
    for name, label in labels.items():
        own = read.answers[name]
        likely = [own.classes[k] for k in own.probabilities.argmax(axis=1)] if own.classes else own.labels
        said = tuple(str(x) for x in likely) if label is None else (label,) * len(crops)
        attention = attends and label is None and method != "gradient"
        if attention:
            maps = classifier.head_model.attention_maps(features)[name]
        else:
            maps = _gradient_maps(classifier, features, logits, name, said, linear)
        kind = "attention" if attention else "gradient"
        out[name] = Explanation(name, kind, said, maps, crops, _view(classifier))
    return out


def _gradient_maps(
    classifier: Classifier,
    features: FloatArray,
    logits: Mapping[str, FloatArray],
    attribute: str,
    labels: Sequence[str],
    linear: Mapping[str, FloatArray] | None,
) -> FloatArray:
    """(N, h, w) float32: what each place of the feature maps (N, h, w, D) speaks for the N classes. linear: as of
    `linear_head`."""
    weights = np.stack(
        [_slope(classifier, logits, i, attribute, x) for i, x in enumerate(labels)] or [logits[attribute]]
    )
    if not len(features):
        found = features
    elif linear is not None:  # the same at each place: this is the class activation map
        h, w, _ = classifier.feature_shape
        found = np.asarray((weights @ linear[attribute].T)[:, None, None] / (h * w), "float32")
    else:
        found = _gradient(classifier.head_model, features, attribute, weights)
    return np.asarray((features * found).sum(axis=-1), "float32")


def _view(classifier: Classifier) -> float:
    """The share of the side that a backbone looks at: less than 1 for one that is set to cut the middle out."""
    size = classifier.image_size
    return round(float(classifier.backbone.config.get("view", 1.0)) * size) / size


def check_request(schema: Schema, attribute: str, label: str | None, method: str) -> str | None:
    """The class by its own name, however it was typed; None where none was asked for.

    Raises InputError for an attribute or class that the schema has not, or an unknown method.
    """
    if attribute not in schema.attributes:
        raise InputError(f"no such attribute. {did_you_mean(str(attribute), schema.attributes)}")
    if method not in METHODS:
        raise InputError(f"no such method. {did_you_mean(str(method), METHODS)}")
    if label is None:
        return None
    found = schema.attributes[attribute]
    others = [n for n, a in schema.attributes.items() if n != attribute and label in a.classes]
    if others and label not in found.classes:
        raise InputError(
            f"no such {attribute}. Received: {label!r}, a class of {others[0]}. Valid: "
            f"{', '.join(sorted(found.classes))}. Next: --attribute {others[0]}"
        )
    return found.classes[found.index(label)]


def _slope(classifier: Classifier, logits: Any, row: int, attribute: str, label: str) -> FloatArray:
    """(outputs,) float32: how the log probability of a class, or a number, changes with each output of the head.

    By central differences, through all that makes probabilities of outputs (years, order, calibration): there is one
    place that knows that, the kind of the attribute, and it knows NumPy only.
    """
    outputs = logits[attribute].shape[1]
    here = {name: values[row : row + 1].copy() for name, values in logits.items()}
    for _ in range(_HALVINGS):
        answer = read_logits(classifier.schema, here, classifier.calibration).answers[attribute]
        if not answer.classes or _NEVER <= answer.probabilities[0, answer.classes.index(label)] <= _SURE:
            break
        here[attribute] = here[attribute] / 2
    rows = {name: np.repeat(values, 2 * outputs, axis=0) for name, values in here.items()}
    steps = _STEP * np.eye(outputs, dtype="float32")
    rows[attribute] = rows[attribute] + np.concatenate([steps, -steps])
    batch = read_logits(classifier.schema, rows, classifier.calibration)
    answers = batch.answers[attribute]
    read = answers.values
    if answers.classes:
        read = np.log(np.maximum(answers.probabilities[:, answers.classes.index(label)], 1e-30))
    up, down = np.split(np.asarray(read), 2)
    return np.asarray((up - down) / (2 * _STEP), "float32")


def _gradient(head: Any, features: FloatArray, attribute: str, weights: FloatArray) -> FloatArray:
    """(N, h, w, C) float32: the gradient by the features of sum(weights * head(features)[attribute])."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(features)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(head(x, training=False)[attribute] * weights)
        return np.asarray(tape.gradient(total, x))
    if backend == "jax":
        import jax

        fixed = [v.value for v in head.trainable_variables], [v.value for v in head.non_trainable_variables]

        def summed(x: Any) -> Any:
            return (head.stateless_call(*fixed, x, training=False)[0][attribute] * weights).sum()

        return np.asarray(jax.grad(summed)(features))
    if backend == "torch":
        import torch

        y = torch.tensor(features, requires_grad=True)
        (head(y, training=False)[attribute] * torch.tensor(weights)).sum().backward()
        return np.asarray(y.grad)
    raise InputError(f"gradient maps need the Keras backend tensorflow, jax or torch. Received: {backend!r}.")
