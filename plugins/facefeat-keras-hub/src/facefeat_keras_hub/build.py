"""From a network's settings, or from a preset of KerasHub, to a backbone that keeps facefeat's contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat import DownloadError, InputError
from facefeat_keras_hub.networks import Network

if TYPE_CHECKING:
    import keras

SMALLEST = 32  # pixels: most of the networks halve the side five times
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training pixels, RGB, 0..1."""
SCHEMES = ("kaggle://", "hf://", "modelscope://")


def build(network: Network, /, *, image_size: int, preset: str | None = None, trainable: bool = True) -> keras.Model:
    """Crops (B, S, S, 3) RGB float 0..255 -> feature map (B, S // 32 or ceil(S / 32), same, C); of a ViT, S / 16.

    preset: None for random weights; or a preset of KerasHub for this network: a name such as "resnet_18_imagenet", a
    handle such as "hf://keras/resnet_18_imagenet", or a folder that `save_to_preset` wrote. Names and handles are
    fetched on first use. The preset also says how its pixels are normalised; where it does not, and for random weights,
    they are put in ImageNet's standard deviations.
    trainable: False freezes the weights.
    Raises InputError for a size that the network does not take and for a preset that is none or of another network;
    DownloadError where a preset cannot be fetched.
    """
    import keras
    import keras_hub

    from facefeat.plugins.naming import stable_names

    what = f"backbone {network.name!r}"
    size = _size(network, image_size, what)
    if keras.config.image_data_format() != "channels_last":
        raise InputError(f"{what}: needs Keras's image_data_format 'channels_last'. Received: 'channels_first'.")
    constructor = getattr(keras_hub.models, network.constructor)
    # First, so that one who has no connection waits for nothing else.
    fetched = None if preset is None else _fetch(constructor, preset, what)
    whole = constructor(**{network.shape: (size, size, 3)}, **network.settings)
    scale = tuple(1 / (255 * d) for d in DEVIATION)
    offset = tuple(-m / d for m, d in zip(MEAN, DEVIATION, strict=True))
    if fetched is not None:
        source, converter = fetched
        whole = _with_weights(network, whole, source, preset, what)
        if converter is not None:
            # KerasHub's None means that there is nothing to do.
            scale = 1.0 if converter.scale is None else converter.scale
            offset = 0.0 if converter.offset is None else converter.offset
    # A plain model of the same layers: KerasHub's own class carries presets and loaders that facefeat has no use for.
    inner = keras.Model(whole.inputs[0], whole.outputs[0], name="network")
    stable_names(inner)
    crops = keras.Input((size, size, 3), name="crops")
    # float32 under mixed precision, too: half precision cannot tell neighbouring pixel values apart.
    x = inner(keras.layers.Rescaling(scale, offset, dtype="float32", name="normalise")(crops))
    if network.tokens:
        side = size // network.multiple
        x = keras.layers.Cropping1D((1, 0), name="without_class_token")(x)  # (B, 1 + h * w, C) -> (B, h * w, C)
        x = keras.layers.Reshape((side, side, x.shape[-1]), name="map")(x)  # -> (B, h, w, C)
    model = keras.Model(crops, x, name=network.name.replace("-", "_"))
    model.trainable = bool(trainable)
    return model


def _size(network: Network, size: Any, what: str) -> int:
    good = not isinstance(size, bool) and isinstance(size, int) and size >= SMALLEST and size % network.multiple == 0
    if not good:
        also = "" if network.multiple == 1 else f" and a multiple of {network.multiple}"
        raise InputError(
            f"{what}: 'image_size' must be a whole number of pixels, at least {SMALLEST}{also}. Received: {size!r}."
        )
    return int(size)


def _fetch(constructor: Any, preset: str, what: str) -> tuple[Any, Any]:
    """KerasHub's own model of a preset, and its converter of pixels, or None where the preset has none."""
    import keras_hub

    remote = isinstance(preset, str) and (preset in constructor.presets or preset.startswith(SCHEMES))
    if not remote:
        if not isinstance(preset, str) or not Path(preset).expanduser().is_dir():
            raise InputError(
                f"{what}: 'preset' must be a name, a folder, or a handle that starts with {' or '.join(SCHEMES)}. "
                f"Received: {preset!r}. Valid names: {', '.join(sorted(constructor.presets))}."
            )
        preset = str(Path(preset).expanduser())
    try:
        source = constructor.from_preset(preset)
    except Exception as e:  # KerasHub's loaders raise the errors of four other libraries, which share no base
        if remote:
            raise DownloadError(
                f"{what}: the preset {preset!r} cannot be fetched: {_first_line(e)}. Check the connection, or give the "
                f"folder of a preset that was downloaded before. With preset = null the weights are random."
            ) from e
        raise InputError(f"{what}: the folder {preset!r} is no preset for it: {_first_line(e)}.") from e
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except (FileNotFoundError, ValueError):
        converter = None  # a backbone that was saved without its preprocessing
    return source, converter


def _with_weights(network: Network, ours: Any, source: Any, preset: str | None, what: str) -> Any:
    """The model of a preset, for crops of our size. Raises InputError where it is another network than ours."""
    shapes = [tuple(w.shape) for w in ours.weights]
    theirs = [tuple(w.shape) for w in source.weights]
    if shapes != theirs:
        trained = _side(source.get_config().get(network.shape))
        hint = f" It was trained on {trained} px." if network.tokens and trained else ""
        raise InputError(
            f"{what}: the preset {preset!r} is of another network or size: it has {source.count_params()} weights, not "
            f"{ours.count_params()}, or other shapes.{hint}"
        )
    # Built again from the preset's own settings: they hold what shapes do not show, such as an activation. Not its
    # dtype: that is for Keras's policy of the moment.
    config = {k: v for k, v in source.get_config().items() if k not in ("dtype", "trainable", network.shape)}
    made = type(source)(**{network.shape: next(iter(ours.inputs)).shape[1:]}, **config)
    made.set_weights(source.get_weights())
    return made


def _side(shape: Any) -> int | None:
    return shape[0] if isinstance(shape, list | tuple) and isinstance(shape[0], int) else None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
