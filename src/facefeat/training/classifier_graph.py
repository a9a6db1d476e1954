"""The model that a classifier is trained with: augmentation, backbone, head and losses in one graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from facefeat.networks.classifier import Classifier
    from facefeat.schema import Schema
    from facefeat.training.base_recipe import Phase
    from facefeat.training.recipe import Loss, Recipe


def build_classifier(recipe: Recipe, schema: str | Path | Schema | None = None) -> Classifier:
    """The untrained classifier that a recipe describes; its initial weights follow from the recipe's seed.

    schema: for a recipe that leaves it to the data.
    Raises RecipeError, UnknownComponentError, MissingExtraError, SchemaError, InputError.
    """
    from facefeat.networks.keras_backend import require_keras

    require_keras("training")
    from keras.utils import set_random_seed

    from facefeat.image.align import ALIGNMENTS
    from facefeat.networks.classifier import Classifier
    from facefeat.training.augmentation import augmentation_layers

    augmentation_layers(recipe.augment, 0)  # the mistakes in their settings
    set_random_seed(recipe.seed)
    return Classifier.build(
        schema=recipe.schema_of(schema),
        image_size=recipe.image_size,
        alignment=ALIGNMENTS[recipe.alignment],
        backbone=recipe.backbone.name,
        head=recipe.head.name,
        backbone_config=recipe.backbone.config,
        head_config=recipe.head.config,
    )


def training_model(
    classifier: Classifier,
    recipe: Recipe,
    phase: Phase,
    steps: int,
    counts: Mapping[str, Mapping[str, int]],
    *,
    on_features: bool,
    distilled: Mapping[str, int] | None = None,
    soft: Collection[str] = (),
) -> Any:
    """Crops (or the feature maps of a frozen backbone) -> logits, compiled; its weights are the classifier's own.

    counts: attribute -> class -> faces in the training data. on_features: leave the backbone out. distilled: the
    width of each of the distillation's targets, by the names of `distillation.all_targets`. soft: attributes with soft
    labels behind their targets.
    """
    import keras
    from keras import layers

    from facefeat.networks.keras_backend import use_jit
    from facefeat.training.augmentation import augmentation_layers
    from facefeat.training.distillation import NAME, embedding_loss, probability_loss
    from facefeat.training.losses import build_losses
    from facefeat.training.mixing import append_mix, mixed_loss, mixing_layer
    from facefeat.training.optimizer import build_optimizer

    losses = build_losses(classifier.schema, recipe.loss, counts, soft)
    mixing = None
    if on_features:
        inputs = features = keras.Input(classifier.backbone_model.output_shape[1:], name="features")
    else:
        inputs = keras.Input((recipe.image_size, recipe.image_size, 3), name="crops")
        x = inputs
        # Layers count on from their seed, and a backend may hold it in 32 bits. `seed_layers` gives them others anyway.
        seed = recipe.seed % 2**31
        for layer in augmentation_layers(recipe.augment, seed):
            x = layer(x)
        mixing = mixing_layer(recipe.augment, seed)
        if mixing is not None:
            x, partner, own = mixing(x)
        features = classifier.backbone_model(x)
    logits = classifier.head_model(features)
    weights = {name: recipe.loss[name].weight if name in recipe.loss else 1.0 for name in losses}
    for name in [n for n in distilled or () if n != NAME]:
        logits = {**logits, name: layers.Identity(name=name)(logits[name.removeprefix(f"{NAME}_")])}
        losses, weights = {**losses, name: probability_loss}, {**weights, name: recipe.distillation.probabilities}
    if distilled and NAME in distilled:
        latent = layers.GlobalAveragePooling2D(dtype="float32", name="latent")(features)
        logits = {**logits, NAME: layers.Dense(distilled[NAME], dtype="float32", name=NAME)(latent)}
        losses, weights = {**losses, NAME: embedding_loss}, {**weights, NAME: recipe.distillation.embeddings}
    if mixing is not None:
        logits = append_mix(logits, partner, own)
        losses = {name: mixed_loss(loss) for name, loss in losses.items()}
    model = _with_losses(inputs, logits, losses, weights, learnt=recipe.train.weighting == "uncertainty")
    model.compile(build_optimizer(recipe.train, phase, steps), jit_compile=use_jit())
    model.optimizer.build(model.trainable_variables)
    return model


def _with_losses(
    inputs: Any, logits: Mapping[str, Any], losses: Mapping[str, Loss], weights: Mapping[str, float], learnt: bool
) -> Any:
    """A functional model whose loss is the weighted sum of the attributes' losses."""
    import keras
    from keras import ops

    class LogVariances(keras.layers.Layer):
        """Holds log(sigma^2) of each attribute, and passes its input on."""

        def build(self, input_shape: Any) -> None:
            self.values = self.add_weight(shape=(len(losses),), initializer="zeros", name="log_variances")

        def call(self, x: Any) -> Any:
            return x

    class TrainingModel(keras.Model):
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any) -> Any:
            total = 0.0
            for i, (name, loss) in enumerate(losses.items()):
                value = ops.mean(loss(y[name], y_pred[name]))
                if learnt:
                    # Kendall et al. 2018, equation 10, for classification: loss / sigma^2 + log sigma.
                    s = spread.values[i]
                    value = ops.exp(-s) * value + s / 2
                total = total + weights[name] * value
            return sum(self.losses, total)

    outputs = dict(logits)
    if learnt:
        spread = LogVariances(name="log_variances")
        first = next(iter(outputs))
        outputs[first] = spread(outputs[first])
    return TrainingModel(inputs, outputs)
