"""Recipes of decoders: a TOML file with everything that `facefeat train-decoder` depends on, except the preset.

The tables of a recipe are the dataclasses below and those of `base_recipe`; their fields are its keys.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from facefeat.training.base_recipe import RECIPES, BaseRecipe, ComponentChoice, Share, Training, Weight
from facefeat.training.reading import Problem, Range, impossible
from facefeat.training.recipe import Augment, Fraction


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
    adversarial: a critic, trained in parallel, takes patches of the reconstruction for real (`training.critic`).
    """

    pixels: Weight = 1.0
    perceptual: Weight = 0.0
    swap: Weight = 0.0
    features: Weight = 0.0
    independence: Weight = 0.0
    reader: Weight = 0.0
    adversarial: Weight = 0.0

    def problems(self) -> Iterator[Problem]:
        """Nothing to train for."""
        weights = dataclasses.asdict(self)
        if not any(weights.values()):
            yield (), impossible(weights, "at least one weight over 0")


@dataclass(frozen=True)
class View:
    """How decoded faces are changed at random before they are read (swap, features); the keys are those of Augment.

    What is still read then is to be seen by anyone, where a pattern that this one network answers to would not last
    (Athalye et al., "Synthesizing robust adversarial examples", ICML 2018).
    """

    rotation: Annotated[float, Range(0, 180, unit="degrees")] = 0.0
    shift: Fraction = 0.0
    zoom: Fraction = 0.0
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    erase: Fraction = 0.0

    def augment(self) -> Augment:
        """The same for `augmentation_layers`."""
        return Augment(flip=False, **dataclasses.asdict(self))


@dataclass(frozen=True)
class DecoderTraining(Training):
    """The table [train] of a decoder.

    flip: mirror half of the crops, drawn anew for every epoch. classifier_from: the share of the epochs, 0 to 1, that
    pass before the classifier reads decoded faces (perceptual, swap, features): an epoch without costs about half,
    and nothing is to be read from a face before it is one. adversarial_from: with a critic, the share of the
    epochs that pass before the decoder is trained to please it, 0 to 1; until then the critic learns alone.
    traverse: standard deviations that the features are moved at most before they are read again (swap, features): each
    time towards another class of one attribute, drawn at random, as an edit moves them (`training.random_traverse`);
    what the head reads from the moved features is then what it is to read from the face. 0 does not move them.
    start_share: of the weights in the end, the share of those that the run started from: a mean of the two keeps much
    of both (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The best epoch is scored again.
    """

    epochs: Annotated[int, Range(1)] = 30
    batch_size: Annotated[int, Range(2)] = 64
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 1e-3
    weight_decay: Annotated[float, Range(0, 10, below=True)] = 0.01
    clip_norm: Annotated[float, Range(0)] = 1.0
    flip: bool = True
    classifier_from: Share = 0.0
    adversarial_from: Share = 0.5
    traverse: Annotated[float, Range(0, 20)] = 0.0
    start_share: Fraction = 0.0


@dataclass(frozen=True)
class DecoderRecipe(BaseRecipe):
    """Everything that a decoder's training depends on, except the preset whose latents it decodes.

    preset: the preset that it is made for; `facefeat train-decoder --preset` may name another.
    start: name or folder of a preset whose decoder the run starts from, of the same architecture; empty for random
    weights.
    reader: name or folder of a preset with the same schema and alignment, the second classifier of `loss.reader`.
    """

    preset: str = ""
    reader: str = ""
    decoder: ComponentChoice = field(default_factory=lambda: ComponentChoice("upsampling"))
    train: DecoderTraining = field(default_factory=DecoderTraining)
    loss: DecoderLoss = field(default_factory=DecoderLoss)
    view: View = field(default_factory=View)

    folder = RECIPES / "decoders"


def list_decoder_recipes() -> dict[str, Path]:
    """The recipes of decoders that ship in the package: name -> file."""
    return DecoderRecipe.shipped()


def load_decoder_recipe(value: str | Path | DecoderRecipe) -> DecoderRecipe:
    """A recipe from its name, a TOML file, or a DecoderRecipe. Raises RecipeError as `load_recipe` does."""
    return DecoderRecipe.load(value)
