"""Recipes of classifiers: a TOML file with everything that a training run depends on.

The tables of a recipe are the dataclasses below and those of `base_recipe`; their fields are its keys.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from facefeat.errors import FacefeatError, InputError, RecipeError, SchemaError, did_you_mean
from facefeat.image.align import ALIGNMENTS
from facefeat.plugins.registry import get_registry
from facefeat.training.base_recipe import (
    RECIPES,
    BaseRecipe,
    ComponentChoice,
    Phase,
    Share,
    Training,
    Weight,
)
from facefeat.training.reading import Matches, OneOf, Problem, Range, impossible
from facefeat.training.source_recipe import DataSource, source_problems

if TYPE_CHECKING:
    from facefeat.schema import Attribute, Schema

Loss = Callable[[Any, Any], Any]
"""(targets (B, T), outputs (B, M)) -> (B,) float32."""
BALANCES = ("none", "inverse", "effective")
WEIGHTINGS = ("fixed", "uncertainty")
FROM_DATA = "data"
"""As a recipe's schema: that of the data set which it is run on."""
Fraction = Annotated[float, Range(0, 1, below=True)]
Quality = Annotated[int, Range(1, 100)]


@dataclass(frozen=True)
class AttributeLoss:
    """How one attribute is learnt.

    kind: name of a loss (`facefeat plugins --kind loss`); "" for the default of the attribute's kind.
    weight: factor in the total loss. balance: "none", or weights that make up for rare classes, "inverse" or
    "effective" (`losses.class_weights`). config: the loss's own settings, in a file, keys next to these.
    """

    kind: str = ""
    weight: Weight = 1.0
    balance: Annotated[str, OneOf(BALANCES, "balance")] = "none"
    config: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def collected(cls, table: Mapping[str, Any]) -> dict[str, Any]:
        """A table whose other keys, the loss's own settings, are under `config`."""
        names = [f.name for f in dataclasses.fields(cls)]
        own, given = {k: v for k, v in table.items() if k not in names}, table.get("config", {})
        known = {k: v for k, v in table.items() if k in names}
        return known | {"config": {**given, **own}} if own and isinstance(given, Mapping) else known

    def build(self, attribute: Attribute) -> Loss:
        """The loss of an attribute, without weight and balance.

        Raises InputError where it does not fit the attribute, UnknownComponentError.
        """
        if self.balance != "none" and not attribute.exclusive:
            raise InputError(
                f"a 'balance' is for attributes with one class a face. {attribute.name!r} is {attribute.kind}."
            )
        loss: Loss = get_registry().build("loss", self._name(attribute), attribute=attribute, **self.config)
        return loss

    def problem(self, attribute: Attribute) -> tuple[str, str] | None:
        """The key at which the loss does not fit an attribute, and why; None where it fits."""
        try:
            settings = get_registry().settings("loss", self._name(attribute))
            valid = ("kind", "weight", "balance", *settings)
            for key in self.config:
                if key not in valid:
                    return key, f"unknown key. {did_you_mean(key, valid)}"
            self.build(attribute)
        except FacefeatError as e:
            # The key that the message is about, where it is about one of the settings.
            about = [k for k in (*self.config, "balance") if f"'{k}'" in str(e)]
            return about[0] if about else "kind", str(e)
        return None

    def _name(self, attribute: Attribute) -> str:
        return self.kind or attribute.strategy.losses(attribute)[0]


@dataclass(frozen=True)
class Augment:
    """Random changes of the training crops, drawn anew for every crop and epoch. All are off but the mirror.

    flip: mirror half of the crops. rotation: degrees either way. shift: fraction of the side. zoom: fraction of the
    size either way. shear: how far the top moves against the bottom, and left against right, as a fraction of the side.
    brightness, contrast, saturation: fraction either way. hue: fraction of half the colour circle either way.
    randaugment: how many of nine changes each crop gets, at `magnitude`, 0 to 1 (Cubuk et al., "RandAugment", 2020).
    jpeg: share of crops compressed as a JPEG of a quality between jpeg_low and jpeg_high.
    erase: share of crops that lose a rectangle (Zhong et al., "Random erasing", AAAI 2020).
    coarse_dropout: share of the squares of an 8 x 8 grid that turn black.
    mixup, cutmix: alpha of the Beta distribution that says how much of another crop comes in, blended (Zhang et al.,
    "mixup", ICLR 2018) or as a rectangle (Yun et al., "CutMix", ICCV 2019); with both, each crop draws one of them.
    layers: other registered augmentations by name, in order, after those that the keys before switch on.
    """

    flip: bool = True
    rotation: Annotated[float, Range(0, 180, unit="degrees")] = 0.0
    shift: Fraction = 0.0
    zoom: Fraction = 0.0
    shear: Fraction = 0.0
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    hue: Share = 0.0
    randaugment: Annotated[int, Range(0, 9, unit="changes")] = 0
    magnitude: Share = 0.3
    jpeg: Share = 0.0
    jpeg_low: Quality = 25
    jpeg_high: Quality = 40
    erase: Share = 0.0
    coarse_dropout: Fraction = 0.0
    mixup: Share = 0.0
    cutmix: Share = 0.0
    layers: tuple[ComponentChoice, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """A range of qualities that is none."""
        if self.jpeg_high < self.jpeg_low:
            yield ("jpeg_high",), impossible(self.jpeg_high, "jpeg_low to 100")

    def choices(self) -> tuple[ComponentChoice, ...]:
        """The augmentations that are on, in their order. MixUp and CutMix are not among them: `training.mixing`.

        All that moves pixels is one resampling, and what changes light and colour one pass. JPEG comes after all that a
        camera sees, and what hides pixels comes last.
        """
        moves = {key: getattr(self, key) for key in ("rotation", "zoom", "shear", "shift")}
        colours = {key: getattr(self, key) for key in ("brightness", "contrast", "saturation", "hue")}
        own = (
            (any(moves.values()) or self.flip, "affine", {**moves, "flip": self.flip}),
            (any(colours.values()), "colour", colours),
            (self.randaugment, "randaugment", {"changes": self.randaugment, "magnitude": self.magnitude}),
            (self.jpeg, "jpeg", {"share": self.jpeg, "low": self.jpeg_low, "high": self.jpeg_high}),
            (self.erase, "erasing", {"share": self.erase}),
            (self.coarse_dropout, "coarse-dropout", {"share": self.coarse_dropout}),
        )
        return (*(ComponentChoice(name, config) for on, name, config in own if on), *self.layers)

    @property
    def changes_nothing(self) -> bool:
        """Whether crops are not changed at all."""
        return not (self.choices() or self.mixup or self.cutmix)


@dataclass(frozen=True)
class ClassifierTraining(Training):
    """The table [train] of a classifier.

    trainable: of a run of one phase, as of a Phase. phases: tables [[train.phases]], in place of epochs, learning_rate,
    warmup_epochs and trainable. weighting: of the attributes' losses, "fixed" (the `weight` of each) or by learnt
    "uncertainty" (Kendall et al., "Multi-task learning using uncertainty", CVPR 2018).
    """

    trainable: Annotated[str, Matches(r"all|head|last [1-9]\d*", "all, head, or last N")] = "all"
    phases: tuple[Phase, ...] = ()
    weighting: Annotated[str, OneOf(WEIGHTINGS, "weighting")] = "fixed"

    def plan(self) -> tuple[Phase, ...]:
        """The phases of the run, each with its learning rate: at least one."""
        one = Phase(self.epochs, self.trainable, self.learning_rate, self.warmup_epochs)
        return tuple(
            dataclasses.replace(p, learning_rate=p.learning_rate or self.learning_rate) for p in self.phases or (one,)
        )


@dataclass(frozen=True)
class Distillation:
    """Another network's embeddings or probabilities of the faces, which are learnt too (`training.distillation`).

    file: .npz with `files` (N,), named as in the data set, and `embeddings` (N, K), or `probabilities_ATTRIBUTE` (N,
    classes). embeddings, probabilities: their weights in the loss, 0 to leave them.
    """

    file: str = ""
    embeddings: Weight = 0.0
    probabilities: Weight = 0.0

    def problems(self) -> Iterator[Problem]:
        """Weights of what is not there."""
        if (self.embeddings or self.probabilities) and not self.file:
            yield ("file",), impossible(self.file, "a path")


@dataclass(frozen=True)
class Recipe(BaseRecipe):
    """Everything that the training of a classifier depends on.

    schema: name or .toml file, or "data" for that of the data set. alignment: the geometry of the crops
    (`facefeat.image.align.ALIGNMENTS`). image_size: side of a crop in pixels.
    start: name or folder of a preset whose backbone weights the run starts from, "default" for the bundled one; empty
    for the backbone's own. A file with a start and no [backbone] has the start's, with its alignment and image_size.
    loss: attribute -> AttributeLoss; attributes left out use the default of their kind.
    sources: tables [[sources]], the data sets to learn from, where they are several.
    """

    schema: str = "utkface"
    alignment: Annotated[str, OneOf(ALIGNMENTS, "alignment")] = "utkface"
    image_size: Annotated[int, Range(16, 1024)] = 96
    backbone: ComponentChoice = field(default_factory=lambda: ComponentChoice("compact"))
    head: ComponentChoice = field(default_factory=lambda: ComponentChoice("mlp"))
    train: ClassifierTraining = field(default_factory=ClassifierTraining)
    augment: Augment = field(default_factory=Augment)
    distillation: Distillation = field(default_factory=Distillation)
    loss: Mapping[str, AttributeLoss] = field(default_factory=dict)
    sources: tuple[DataSource, ...] = ()

    folder = RECIPES

    def completed(self, given: Collection[str]) -> Recipe:
        """With the start's backbone and geometry, where a file leaves them out."""
        from facefeat.presets.store import DEFAULT_PRESET

        named = dataclasses.replace(self, start=DEFAULT_PRESET) if self.start == "default" else self
        return named if "backbone" in given or not self.start else named.following()

    def following(self) -> Recipe:
        """With the backbone and the geometry of the preset that it starts from. Raises PresetError, RecipeError."""
        from facefeat.training.origin import Start

        found = Start.read(self.start)
        return dataclasses.replace(
            self, backbone=found.backbone, image_size=found.image_size, alignment=found.alignment
        )

    def replace(self, **changes: Any) -> Recipe:
        """As `BaseRecipe.replace`; a recipe that has its start's backbone has that of another start, too."""
        start = changes.get("start")
        follows = start and self.start and "backbone" not in changes and self.following() == self
        made = super().replace(**changes)
        return made.following() if follows else made

    @property
    def data_schema(self) -> str | None:
        """What `load_dataset` is to read labels by; None for what the data set has."""
        return None if self.schema == FROM_DATA else self.schema

    def schema_of(self, data: str | Path | Schema | None = None) -> Schema:
        """The schema of a run. data: that of the data set, for a recipe that takes it from there.

        Raises RecipeError where that is needed and missing, or a loss does not fit it; SchemaError.
        """
        from facefeat.schema import get_schema

        if self.schema != FROM_DATA:
            return get_schema(self.schema)
        if data is None:
            raise RecipeError(
                f"recipe {self.name!r} takes its schema from the data set. Next: "
                f"FaceFeatureModel.from_recipe(recipe, schema=dataset.schema)"
            )
        schema = get_schema(data)
        for keys, message in self._loss_problems(schema):
            raise RecipeError(f"recipe {self.name!r}: {'.'.join(keys)}: {message}")
        return schema

    def problems(self) -> Iterator[Problem]:
        """Losses and sources that do not fit the schema, where it is known."""
        from facefeat.schema import get_schema

        if self.schema == FROM_DATA:
            if self.sources:
                yield ("schema",), f"a recipe with sources names its schema. Received: {FROM_DATA!r}."
            return
        try:
            schema = get_schema(self.schema)
        except SchemaError as e:
            yield ("schema",), str(e)
            return
        yield from self._loss_problems(schema)
        yield from source_problems(self.sources, schema)

    def _loss_problems(self, schema: Schema) -> Iterator[Problem]:
        attributes = schema.attributes
        for name, loss in self.loss.items():
            if name not in attributes:
                yield ("loss", name), f"no such attribute. {did_you_mean(name, attributes)}"
            elif wrong := loss.problem(attributes[name]):
                yield ("loss", name, wrong[0]), wrong[1]


def list_recipes() -> dict[str, Path]:
    """The recipes that ship in the package: name -> file."""
    return Recipe.shipped()


def load_recipe(value: str | Path | Recipe) -> Recipe:
    """A recipe from its name, a TOML file, or a Recipe.

    Raises:
        RecipeError: An unknown name, invalid TOML, an unknown key (with its line and the nearest valid key), a wrong
            type or an impossible value.
    """
    return Recipe.load(value)
