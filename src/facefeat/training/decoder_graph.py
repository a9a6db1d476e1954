"""The model that a decoder is trained with: frozen classifier, detail encoder, decoder and losses in one graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.schema import Schema
    from facefeat.training.decoder_recipe import DecoderLoss, DecoderRecipe

TINY = 1e-6
"""Added to what something is divided by."""


def feature_maps(backbone: Any) -> Any:
    """Crops (B, S, S, 3) -> its feature maps, a list: the last one of every size on the way, and its output at the end.

    Of a backbone whose layers have no outputs of their own, the output alone.
    """
    import keras

    size = backbone.input_shape[1]
    last: dict[int, Any] = {}
    for layer in backbone.layers:
        try:
            tensor = layer.output
        except (AttributeError, ValueError):  # a layer that is used twice has no one output
            continue
        shape: tuple[Any, ...] = tuple(getattr(tensor, "shape", ()))
        if len(shape) == 4 and isinstance(shape[1], int) and 1 < shape[1] < size:
            last[shape[1]] = tensor
    last.pop(backbone.output_shape[1], None)
    return keras.Model(backbone.inputs, [*last.values(), backbone.output], name="feature_maps")


def decoder_model(
    classifier: Classifier,
    decoder: FaceDecoder,
    recipe: DecoderRecipe,
    steps: int,
    traverse: Any = None,
    second: Classifier | None = None,
) -> Any:
    """Crops (B, F, F, 3) 0..255 -> what the losses compare, compiled; its weights are those of the two.

    The classifier's weights are frozen, and it runs as outside training. steps: batches in an epoch. traverse: a
    layer, attribute features (B, D) -> (B, D) what they are moved by before they are read again; None to leave them.
    second: another classifier, frozen, too, that reads what the first is to read (`DecoderLoss.reader`).
    `read_decoded(False)` spares the forward pass of the classifier over decoded faces, `read_decoded(True)` brings it
    back.
    """
    import keras

    from facefeat.networks.keras_backend import use_jit
    from facefeat.training.augmentation import augmentation_layers
    from facefeat.training.critic import Critic
    from facefeat.training.optimizer import build_optimizer
    from facefeat.training.recipe import Augment

    weights, schema = recipe.loss, classifier.schema
    for frozen in (classifier, second) if second else (classifier,):
        frozen.backbone_model.trainable = frozen.head_model.trainable = False
    size, seed = decoder.face_size, recipe.seed % 2**31  # a backend may hold seeds in 32 bits
    crops = keras.Input((size, size, 3), name="crops")
    x = crops
    for layer in augmentation_layers(Augment(flip=recipe.train.flip), seed):
        x = layer(x)
    reader = _FrozenReader(classifier, augmentation_layers(recipe.view.augment(), seed + 1), second)
    out = _decoded(x, reader, decoder)
    read = {**out, **_read_decoded(out, reader, decoder, weights, traverse)}

    class DecoderModel(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="decoder_training")
            self.with_reading, self.without = keras.Model(crops, read), keras.Model(crops, out)
            self.reads = True
            # So that Keras trains the one, and keeps the other.
            self.critic: Any = critic.model if critic else None
            self.fooling: Any = critic.fooling if critic else None

        def call(self, inputs: Any, training: bool = False) -> Any:
            return (self.with_reading if self.reads else self.without)(inputs, training=training)

        def read_decoded(self, reads: bool) -> None:
            if reads != self.reads:
                self.reads = reads
                self.make_train_function(force=True)

        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any) -> Any:
            terms = loss_terms(y_pred, weights, schema)
            if critic is not None:
                terms["adversarial"] = critic.terms(y_pred["truth"], y_pred.get("shown", y_pred["made"]))
            return sum(self.losses, sum(getattr(weights, name) * value for name, value in terms.items()))

    critic = Critic(size) if weights.adversarial else None
    model = DecoderModel()
    model.compile(build_optimizer(recipe.train, recipe.train.plan()[0], steps), jit_compile=use_jit(model))
    model.build((None, size, size, 3))
    model.optimizer.build(model.trainable_variables)
    return model


class _FrozenReader:
    """The frozen classifier: faces (B, F, F, 3) 0..255 -> feature maps, features and logits, at its own size.

    view: layers of the augmented forward pass. second: a classifier that is shown the same.
    """

    def __init__(self, classifier: Classifier, view: Sequence[Any], second: Classifier | None = None) -> None:
        from keras import layers

        self.view, self.second = view, None if second is None else _one_model(second)
        self.size = classifier.image_size
        self.maps_of, self.head = feature_maps(classifier.backbone_model), classifier.head_model
        self.pool = layers.GlobalAveragePooling2D(dtype="float32", name="attribute_features")

    def __call__(self, x: Any) -> dict[str, Any]:
        maps = self.maps_of(at_size(x, self.size), training=False)
        return {"maps": maps, **self.read(maps[-1])}

    def read_augmented(self, x: Any) -> dict[str, Any]:
        """An augmented forward pass: the features and logits of the crops, changed at random in training."""
        for layer in self.view:
            x = layer(x)
        return {**self.read(self.maps_of(at_size(x, self.size), training=False)[-1]), **self.read_by_second(x)}

    def read_by_second(self, x: Any) -> dict[str, Any]:
        """The second classifier's logits of the crops, at its own size; nothing where there is none."""
        if self.second is None:
            return {}
        return {"second": self.second(at_size(x, self.second.input_shape[1]), training=False)}

    def read(self, last: Any) -> dict[str, Any]:
        """The features and logits of the backbone's output (B, h, w, D)."""
        return {"features": self.pool(last), "logits": self.head(last, training=False)}


def at_size(x: Any, size: int) -> Any:
    """Faces (B, F, F, 3) -> (B, size, size, 3)."""
    from keras import ops

    if x.shape[1] == size:
        return x
    return ops.image.resize(x, (size, size), "bilinear", antialias=True, data_format="channels_last")


def _one_model(classifier: Classifier) -> Any:
    """Crops (B, S, S, 3) -> logits, in one model: the names of its parts may be those of the other classifier's."""
    import keras

    size = classifier.image_size
    crops = keras.Input((size, size, 3), name="crops")
    return keras.Model(crops, classifier.head_model(classifier.backbone_model(crops)), name="second_reader")


def _decoded(x: Any, reader: _FrozenReader, decoder: FaceDecoder) -> dict[str, Any]:
    """Faces (B, F, F, 3) -> what is read from them, their codes (B, K), and the faces decoded again, in 0..1."""
    from keras import ops

    out: dict[str, Any] = {"truth": ops.cast(x, "float32") / 255.0, **reader(x)}
    z = out["features"]
    if decoder.detail_encoder is not None:
        out["code"] = decoder.detail_encoder(at_size(x, decoder.image_size))  # (B, K)
        z = ops.concatenate([z, out["code"]], axis=1)
    out["made"] = decoder.model(z)
    return out


def _read_decoded(
    out: dict[str, Any], reader: _FrozenReader, decoder: FaceDecoder, weights: DecoderLoss, traverse: Any
) -> dict[str, Any]:
    """What the classifier sees in decoded faces, with what it should see: each pair has half of the batch.

    These terms are means, and the halves of a batch, whose order is drawn anew in every epoch, tell them at half the
    cost: the reconstructions of odd rows, and even rows with the detail of their neighbour. Where features are moved,
    every second of these has its own detail, as an edited face has. shown: what a critic is to judge, of both.
    """
    from keras import ops

    seen: dict[str, Any] = {}
    swaps = bool(weights.swap or weights.features or weights.reader)
    apart = swaps and (traverse is not None or decoder.detail_encoder is not None)
    if weights.perceptual or (swaps and not apart):
        made = reader(out["made"][1::2, ...] * 255.0)
        seen["pairs"] = list(zip([m[1::2, ...] for m in out["maps"]], made["maps"], strict=True))
        seen["asked"] = {
            "features": out["features"][1::2, ...],
            "logits": {k: v[1::2, ...] for k, v in out["logits"].items()},
        }
        seen["read"] = {k: made[k] for k in ("features", "logits")}
        if swaps and not apart:
            seen["read"] |= reader.read_by_second(out["made"][1::2, ...] * 255.0)
    if apart:
        starts = (
            (0,) if traverse is None else (0, 2)
        )  # the first rows of those that have their neighbour's detail, or own
        some = _picker(*starts)
        asked = {"features": some(out["features"]), "logits": {k: some(v) for k, v in out["logits"].items()}}
        if traverse is not None:
            last = some(out["maps"][-1])
            asked = reader.read(last + ops.cast(traverse(asked["features"]), last.dtype)[:, None, None, :])
        parts = [asked["features"]]
        if decoder.detail_encoder is not None:
            codes = (ops.roll(out["code"], 1, axis=0), out["code"])
            parts.append(
                ops.concatenate([c[at :: 2 * len(starts), ...] for c, at in zip(codes, starts, strict=False)], axis=0)
            )
        made = decoder.model(ops.concatenate(parts, axis=1))
        seen |= {"asked": asked, "read": reader.read_augmented(made * 255.0)}
        seen["shown"] = ops.concatenate([out["made"][1::2, ...], made], axis=0)
    return seen


def _picker(*starts: int) -> Callable[[Any], Any]:
    """Takes every second row of a tensor, or first the rows 0, 4, 8 ... and then 2, 6, 10 ...."""
    from keras import ops

    return lambda x: ops.concatenate([x[at :: 2 * len(starts), ...] for at in starts], axis=0)


def loss_terms(out: Mapping[str, Any], weights: DecoderLoss, schema: Schema) -> dict[str, Any]:
    """The terms with a weight: name -> scalar; what each is, `DecoderLoss` says. out: of `decoder_model`."""
    from keras import ops

    terms: dict[str, Any] = {}
    if weights.pixels:
        terms["pixels"] = ops.mean(ops.square(out["made"] - out["truth"]))
    if weights.perceptual and "pairs" in out:
        terms["perceptual"] = sum(_relative(a, b) for a, b in out["pairs"]) / len(out["pairs"])
    if weights.features and "read" in out:
        true, read = out["asked"]["features"], out["read"]["features"]  # (B, D)
        spread = ops.mean(ops.var(true, axis=0)) + TINY
        terms["features"] = ops.mean(ops.square(read - true)) / spread
    if weights.swap and "read" in out:
        terms["swap"] = _divergences(schema, out["asked"]["logits"], out["read"]["logits"])
    if weights.reader and "second" in out.get("read", {}):
        terms["reader"] = _divergences(schema, out["asked"]["logits"], out["read"]["second"])
    if weights.independence and "code" in out:
        terms["independence"] = _explained(out["logits"], out["code"], schema)
    return terms


def _relative(true: Any, made: Any) -> Any:
    """Squared error of a feature map (B, h, w, C), relative to its mean square."""
    from keras import ops

    true, made = ops.cast(true, "float32"), ops.cast(made, "float32")
    return ops.mean(ops.square(made - true)) / (ops.mean(ops.square(true)) + TINY)


def _divergences(schema: Schema, asked: Mapping[str, Any], read: Mapping[str, Any]) -> Any:
    """How far the second outputs, attribute -> (B, M), are from the first, as the attributes' kinds measure it."""
    from keras import ops

    kinds = {name: (schema[name].strategy, schema[name]) for name in asked}
    return sum(ops.mean(k.divergence(a, asked[n], read[n])) for n, (k, a) in kinds.items()) / len(asked)


def _explained(logits: Mapping[str, Any], code: Any, schema: Schema) -> Any:
    """Squared correlation over the batch of each class's probability, or of a number, with each of the code (B, K).

    Summed over the code and averaged over classes: what chance leaves of it in B faces is K / B.
    """
    from keras import ops

    # Of what a kind makes of a head's outputs, the first is what it is about: probabilities, or the number.
    read = [next(iter(schema[k].strategy.graph(schema[k], v, {}).values())) for k, v in logits.items()]
    columns = [v if len(v.shape) > 1 else ops.expand_dims(v, -1) for v in read]
    truth, code = _standardised(ops.concatenate(columns, axis=1)), _standardised(code)  # (B, classes), (B, K)
    faces = ops.cast(ops.shape(code)[0], "float32")
    return ops.mean(ops.sum(ops.square(ops.matmul(ops.transpose(truth), code) / faces), axis=1))


def _standardised(x: Any) -> Any:
    from keras import ops

    centred = x - ops.mean(x, axis=0, keepdims=True)
    return centred / ops.sqrt(ops.mean(ops.square(centred), axis=0, keepdims=True) + TINY)
