"""Recipes of decoders: a TOML file with everything that `facefeat train-decoder` depends on, beside the preset.

The tables of a recipe are the dataclasses below; their fields are its keys, their defaults its defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facefeat.training.recipe import MAX_SEED, PRECISIONS, Augment, ComponentChoice, Phase, read_toml
from facefeat.training.recipe_reader import Reader

_FOLDER = Path(__file__).parent.parent / "assets" / "recipes" / "decoders"


@dataclass(frozen=True)
class DecoderLoss:
    """What a decoder is trained for: the weight of each term in the sum, 0 to leave it out.

    pixels: mean squared error on 0..1. perceptual: squared error of the frozen backbone's feature maps, each relative
    to its own mean square (Johnson et al., "Perceptual losses", ECCV 2016).
    swap: the face decoded from the features of one and the detail of another is read by the frozen head as the first:
    Kullback-Leibler divergence, mean over attributes. Without a detail encoder, the reconstruction is read.
    features: the same face has the attribute features of the first: squared error relative to their variance.
    independence: share of the variance of the head's probabilities that single numbers of the detail code explain.
    reader: the face that `swap` has the frozen head read is read the same by a second classifier, the recipe's
    `reader`: what two networks read alike is more likely to be in the picture than in the habits of one.
    adversarial: a critic, trained beside, takes patches of the reconstruction for real (`training.critic`).
    """

    pixels: float = 1.0
    perceptual: float = 0.0
    swap: float = 0.0
    features: float = 0.0
    independence: float = 0.0
    reader: float = 0.0
    adversarial: float = 0.0


@dataclass(frozen=True)
class View:
    """How decoded faces are changed at random before they are read (swap, features); the keys are those of Augment.

    What is still read then is to be seen by anyone, where a pattern that this one network answers to would not last
    (Athalye et al., "Synthesizing robust adversarial examples", ICML 2018).
    """

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0

    def augment(self) -> Augment:
        """The same for `augmentation_layers`."""
        return Augment(flip=False, **dataclasses.asdict(self))


@dataclass(frozen=True)
class DecoderTraining:
    """The loop: AdamW, linear warm-up, cosine decay to zero; the keys mean what they mean for a classifier.

    flip: mirror half of the crops, drawn anew for every epoch. classifier_from: the share of the epochs, 0 to 1, that
    pass before the classifier looks at decoded faces (perceptual, swap, features): an epoch without costs about half,
    and nothing is to be read from a face before it is one. adversarial_from: with a critic, the share of the
    epochs that pass before the decoder is trained to please it, 0 to 1; until then the critic learns alone.
    moves: standard deviations that the features are moved at most before they are read again (swap, features): each
    time towards another class of one attribute, drawn at random, as an edit moves them (`training.moves`); what the
    head reads from the moved features is then what it is to read from the face. 0 leaves them as they are.
    start_share: of the weights in the end, the share of those that the run started from: a mean of the two keeps much
    of both (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The best epoch is scored again.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    patience: int = 0
    flip: bool = True
    classifier_from: float = 0.0
    adversarial_from: float = 0.5
    moves: float = 0.0
    start_share: float = 0.0
    mixed_precision: str = "auto"

    def phase(self) -> Phase:
        """The run as the one phase that it is."""
        return Phase(self.epochs, "all", self.learning_rate, self.warmup_epochs)


@dataclass(frozen=True)
class DecoderRecipe:
    """Everything that a decoder's training depends on, beside the preset whose latents it learns to read.

    preset: the preset that it is made for; `facefeat train-decoder --preset` may name another.
    start: name or folder of a preset whose decoder the run starts from, of the same architecture; empty for random
    weights.
    reader: name or folder of a preset with the same schema and alignment, the second classifier of `loss.reader`.
    """

    name: str
    summary: str = ""
    preset: str = ""
    start: str = ""
    reader: str = ""
    seed: int = 1
    decoder: ComponentChoice = field(default_factory=lambda: ComponentChoice("upsampling"))
    train: DecoderTraining = field(default_factory=DecoderTraining)
    loss: DecoderLoss = field(default_factory=DecoderLoss)
    view: View = field(default_factory=View)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `decoder_recipe_from_dict` is the inverse."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> DecoderRecipe:
        """A copy with other values: keys of the recipe, or of its [train] table. Checked like a file.

        With another number of epochs the warm-up shrinks to half of them at most.
        """
        table = self.to_dict()
        for key, value in changes.items():
            (table["train"] if key in table["train"] else table)[key] = value
        if isinstance(changes.get("epochs"), int) and "warmup_epochs" not in changes:
            table["train"]["warmup_epochs"] = min(self.train.warmup_epochs, max(changes["epochs"], 0) / 2)
        return decoder_recipe_from_dict(table)


def list_decoder_recipes() -> dict[str, Path]:
    """The recipes of decoders that ship in the package: name -> file."""
    return {p.stem: p for p in sorted(_FOLDER.glob("*.toml"))}


def load_decoder_recipe(value: str | Path | DecoderRecipe) -> DecoderRecipe:
    """A recipe from its name, a TOML file, or a DecoderRecipe. Raises RecipeError as `load_recipe` does."""
    if isinstance(value, DecoderRecipe):
        return value
    table, where, text = read_toml(value, list_decoder_recipes())
    return decoder_recipe_from_dict(table, where, text)


def decoder_recipe_from_dict(table: Mapping[str, Any], where: str = "recipe", text: str = "") -> DecoderRecipe:
    """A recipe from a table; `text` lets messages name the line. Raises RecipeError."""
    reader = Reader(where, text)
    recipe: DecoderRecipe = reader.read(DecoderRecipe, table, ())
    t, loss = recipe.train, dataclasses.asdict(recipe.loss)
    view = {k: v for k, v in dataclasses.asdict(recipe.view).items() if k != "rotation"}
    reader.check(
        [
            (("seed",), recipe.seed, 0 <= recipe.seed <= MAX_SEED, f"0 to {MAX_SEED}"),
            (("train", "epochs"), t.epochs, t.epochs >= 1, "1 or more"),
            (("train", "batch_size"), t.batch_size, t.batch_size >= 2, "2 or more"),
            (("train", "learning_rate"), t.learning_rate, 0 < t.learning_rate <= 10, "over 0, at most 10"),
            (("train", "warmup_epochs"), t.warmup_epochs, 0 <= t.warmup_epochs < t.epochs, "0 to under epochs"),
            (("train", "weight_decay"), t.weight_decay, 0 <= t.weight_decay < 10, "0 to 10"),
            (("train", "clip_norm"), t.clip_norm, t.clip_norm >= 0, "0 or more"),
            (("train", "patience"), t.patience, t.patience >= 0, "0 or more"),
            (("train", "classifier_from"), t.classifier_from, 0 <= t.classifier_from <= 1, "0 to 1"),
            (("train", "adversarial_from"), t.adversarial_from, 0 <= t.adversarial_from <= 1, "0 to 1"),
            (("train", "start_share"), t.start_share, 0 <= t.start_share < 1, "0 to under 1"),
            (("train", "moves"), t.moves, 0 <= t.moves <= 20, "0 to 20"),
            (("view", "rotation"), recipe.view.rotation, 0 <= recipe.view.rotation <= 180, "0 to 180 degrees"),
            *((("view", k), v, 0 <= v < 1, "0 to under 1") for k, v in view.items()),
            *((("loss", k), v, v >= 0, "0 or more") for k, v in loss.items()),
            (("loss",), loss, any(loss.values()), "at least one weight over 0"),
        ]
    )
    reader.known(("train", "mixed_precision"), t.mixed_precision, PRECISIONS, "precision")
    return recipe
