"""What a plugin registers: `Component`, and one contract per kind.

| kind | `build(...)` gives |
|---|---|
| detector | an object with `detect(image)` and `detect_batch(images)` |
| backbone | `build(*, image_size, **config)`: Keras model, crops (B, S, S, 3) 0..255 -> feature map (B, h, w, C) |
| head | `build(*, feature_shape, schema, **config)`: Keras model, feature map -> {attribute: logits} |
| decoder | `build(*, latent_dim, image_size, **config)`: Keras model, latents (B, D) -> faces (B, F, F, 3) in 0..1, |
|  | F >= S; or a `DetailDecoder`: such a model for latents (B, D + K), and the encoder that gives the other K numbers |
| augmentation | `build(*, seed, **config)`: Keras layer, crops (B, S, S, 3) 0..255 -> the same shape: changed when |
|  | called with `training=True`, passed through otherwise |
| analyzer | an object with `analyze(latents, labels, model=None) -> Analysis` |
| attribute_kind | an `AttributeKind`: all that differs between sorts of attributes |
| loss | `build(*, attribute, **config)`: `(targets (B, T), outputs (B, attribute.outputs)) -> (B,)` float32 |
| preset | `build()`: the folder of the preset, a path |

`build` takes keyword-only, JSON-able configuration (a head's `schema` aside) and does its heavy imports inside, so that
registering a component is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from facefeat.model import FaceFeatureModel
    from facefeat.schema import Attribute
    from facefeat.types import Analysis, Answers, AttributePrediction, Axis, Face, FloatArray, UInt8Array

KINDS = ("detector", "backbone", "head", "augmentation", "decoder", "analyzer", "preset", "attribute_kind", "loss")
"""The kinds of component; `hook_of` names their hooks."""


def hook_of(kind: str) -> str:
    """The hook that registers components of a kind: "facefeat_heads", "facefeat_losses"."""
    return f"facefeat_{kind}es" if kind.endswith("s") else f"facefeat_{kind}s"


@dataclass(frozen=True)
class Component:
    """A named building block.

    name: lower-case words joined by hyphens, such as "mlp".
    build: builds it; see the table above for what each kind takes and gives.
    summary: one line for `facefeat plugins`.
    requires: importable module names that `build` needs beyond the core, such as ("umap",).
    extra: what to `pip install` where one of them is missing, such as "facefeat[video]".

    Example:
        >>> Component("mine", lambda *, image_size: ..., "a backbone of mine").name
        'mine'
    """

    name: str
    build: Callable[..., Any]
    summary: str
    requires: tuple[str, ...] = ()
    extra: str = ""


@dataclass(frozen=True)
class DetailDecoder:
    """What a decoder's `build(*, latent_dim=D, ...)` gives where the classifier's features alone do not suffice.

    The latent is then [attribute features (D), detail code (K)].
    decoder: Keras model, latents (B, D + K) -> faces (B, F, F, 3) float32 in 0..1; F, their side, is S or more.
    detail_encoder: Keras model, crops (B, S, S, 3) float 0..255 -> codes (B, K) float32; trained with the decoder.
    """

    decoder: Any
    detail_encoder: Any


@runtime_checkable
class Detector(Protocol):
    """Finds faces.

    One that scales large images down itself may have an attribute `seen_side`: the longer side in pixels that it
    scales to. Large JPEGs are then decoded at a half, a quarter or an eighth of their size, never below 1.5 times that.
    One with `concurrent = True` may be called by several threads at once: a batch run then reads pictures side by side,
    and gives it one at a time.
    """

    def detect(self, image: UInt8Array) -> list[Face]:
        """Faces of one (H, W, 3) uint8 RGB image, largest first, in the image's own pixels."""
        ...

    def detect_batch(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """Faces of several images, of any sizes: one list each, in order. Same answers as `detect`, only faster."""
        ...


@runtime_checkable
class Analyzer(Protocol):
    """Studies latents.

    Where `analyze` also takes `faces`, it gets the `FaceSet` that the latents are of, or None: file names, exact ages,
    crops. One that needs model and faces has an attribute `needs_faces = True`.
    """

    def analyze(
        self, latents: FloatArray, labels: Mapping[str, np.ndarray], model: FaceFeatureModel | None = None
    ) -> Analysis:
        """latents (N, D) float32; labels: attribute -> (N,); model: the FaceFeatureModel they came from, if any."""
        ...


@dataclass(frozen=True)
class Parsed:
    """A label that was read. target: T numbers, as of `AttributeKind.parse`.

    repaired: how it was damaged by a spreadsheet and repaired, "9-Mar as 3-9"; "" where unchanged.
    """

    target: tuple[float, ...]
    repaired: str = ""


@dataclass(frozen=True)
class Wording:
    """An answer as text. short: "41 years", for captions. lines: all of it, for the cell of a table.

    text: `lines` as one, for a plain line.
    """

    short: str
    lines: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Judged:
    """Answers against labels, where they have probabilities: what calibration and confusion are measured on.

    confidence, right: (M,) the probability of each answer, and whether it was right; of several classes a face, each is
    one answer. confusions: title -> (class names, (K, K) counts, row is the label, column the answer).
    """

    confidence: np.ndarray
    right: np.ndarray
    confusions: Mapping[str, tuple[tuple[str, ...], np.ndarray]]


@runtime_checkable
class AttributeKind(Protocol):
    """All that differs between attributes of different sorts. It has no state: `attribute` is the schema's.

    Targets are labels as numbers: (N, T) float32, NaN where unknown. Outputs are those of a head: (N, M) with
    M = `outputs(attribute)`. Answers are postprocessed outputs. Weights (B, N) count each face so often.

    keys: those of a schema's table that the kind knows. measures: suffix of a metric, "accuracy" -> (its title, what it
    means). tolerances: output of `graph` -> how far an exported file may be from the model.

    One of exclusive classes may have two methods more, for labels that are no single class, such as probabilities.
    `soft(attribute, text)` gives (M,) float32 over the outputs, or raises LabelError: a distribution, which sums to 1,
    or the likelihood of the label under each output, of which one is right: the largest is 1, the sum above 1.
    `candidates(attribute)` gives (M, T) float32: the targets of a face of which each output is right.
    """

    keys: tuple[str, ...]
    measures: Mapping[str, tuple[str, str]]
    tolerances: Mapping[str, float]

    # -- the schema

    def check(self, attribute: Attribute) -> None:
        """Raises SchemaError where the fields of an attribute do not fit together."""
        ...

    def outputs(self, attribute: Attribute) -> int:
        """M, the width of a head's output."""
        ...

    def groups(self, attribute: Attribute) -> tuple[str, ...]:
        """Names of the groups of faces that tables have a row for; at least one."""
        ...

    def axis(self, attribute: Attribute) -> Axis | None:
        """The scale along which a face can be moved, and errors are measured; None where there is no order."""
        ...

    def exclusive(self, attribute: Attribute) -> bool:
        """Whether each face is in one class, whose position is the first column of the targets."""
        ...

    def losses(self, attribute: Attribute) -> tuple[str, ...]:
        """Names of the built-in losses that fit, the default first."""
        ...

    # -- the data

    def parse(self, attribute: Attribute, text: str) -> Parsed:
        """A label from the text in a table, never a guess. Raises LabelError, naming what is valid."""
        ...

    def stored(self, attribute: Attribute) -> tuple[str, ...]:
        """Names of the columns in a data set's table, the last one the most exact."""
        ...

    def columns(self, attribute: Attribute, targets: np.ndarray) -> dict[str, np.ndarray]:
        """Targets -> the columns `stored`: name -> (N,) str, "" where unknown, or float64, NaN where unknown."""
        ...

    def targets(self, attribute: Attribute, columns: Mapping[str, np.ndarray]) -> FloatArray:
        """The targets (N, T) of such columns."""
        ...

    def members(self, attribute: Attribute, targets: np.ndarray) -> np.ndarray:
        """(N, G) bool: which faces are in which of `groups`; in none where unknown."""
        ...

    def numbers(self, attribute: Attribute, targets: np.ndarray) -> FloatArray:
        """(N,) float32 labels on the axis where they are exact numbers, else NaN."""
        ...

    # -- the answers

    def read(self, attribute: Attribute, outputs: np.ndarray, calibration: Mapping[str, Any]) -> Answers:
        """Outputs of a head -> answers. calibration: what `calibrate` gave; may be empty."""
        ...

    def say(self, name: str, prediction: AttributePrediction) -> Wording:
        """One answer as text. name: the attribute's, for answers that are unclear without it."""
        ...

    def width(self, attribute: Attribute) -> int:
        """Characters of the longest line of `say`, for the column of a table."""
        ...

    # -- learning and measuring

    def calibrate(
        self, attribute: Attribute, outputs: np.ndarray, targets: np.ndarray, coverage: float, seed: int
    ) -> dict[str, Any]:
        """The calibration of the probabilities and intervals of `read`; JSON-able, `measured` for the record only."""
        ...

    def check_calibration(self, attribute: Attribute, value: Mapping[str, Any]) -> dict[str, Any]:
        """What `calibrate` gave, out of a file. Raises KeyError, TypeError or ValueError for anything else."""
        ...

    def score(
        self, attribute: Attribute, answers: Answers, targets: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Suffix -> (B,) metrics under each row of weights, NaN where nothing has a weight; nothing without labels.

        "skill" is the attribute's part in the score by which an epoch is chosen: 1 is best.
        """
        ...

    def per_face(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> dict[str, np.ndarray]:
        """Suffix of a measure -> (N,) float64, NaN where unknown, whose mean over a group is the group's."""
        ...

    def judged(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> Judged | None:
        """For calibration and confusion; None where the answers have no probabilities, or no label is known."""
        ...

    def mistakes(self, attribute: Attribute, answers: Answers, targets: np.ndarray) -> np.ndarray:
        """(M,) rows of the wrong answers, the worst first."""
        ...

    def divergence(self, attribute: Attribute, true: Any, made: Any) -> Any:
        """(B, M) and (B, M) outputs -> (B,): how far the second answer is from the first, in `keras.ops`."""
        ...

    # -- export

    def graph(self, attribute: Attribute, outputs: Any, calibration: Mapping[str, Any]) -> dict[str, Any]:
        """`read` in `keras.ops`: outputs -> the outputs of an exported file, by their suffixes."""
        ...

    def describe(self, attribute: Attribute, calibration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Suffix of each output of `graph` -> its "shape" and what its numbers mean; JSON-able."""
        ...

    def from_graph(
        self, attribute: Attribute, found: Mapping[str, np.ndarray], about: Mapping[str, Mapping[str, Any]]
    ) -> Answers:
        """Answers from what an exported file gave. about: its `describe`."""
        ...
