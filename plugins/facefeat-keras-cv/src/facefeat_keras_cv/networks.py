"""The networks: what KerasCV's generic classes need to become each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from facefeat import InputError

SMALLEST = 32  # pixels: each network halves the side five times


@dataclass(frozen=True)
class Network:
    """constructor: a class of keras_cv.models. settings: its arguments, as in the paper that the summary names."""

    name: str
    constructor: str
    summary: str
    settings: dict[str, Any] = field(repr=False)


def build(network: Network, /, *, image_size, trainable=True):
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, S / 32, same, C). KerasCV's own rescaling to 0..1 is inside.

    trainable: False freezes the weights. Raises InputError for a size under 32.
    """
    import keras
    import keras_cv

    from facefeat.plugins.naming import stable_names

    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < SMALLEST:
        raise InputError(
            f"backbone {network.name!r}: 'image_size' must be a whole number of pixels, at least {SMALLEST}. "
            f"Received: {image_size!r}."
        )
    make = getattr(keras_cv.models, network.constructor)
    whole = make(include_rescaling=True, input_shape=(image_size, image_size, 3), **network.settings)
    # A plain model of the same layers: KerasCV's own class carries presets and loaders that facefeat has no use for.
    model = keras.Model(whole.inputs[0], whole.outputs[0], name=network.name.replace("-", "_"))
    if network.constructor == "CSPDarkNetBackbone":
        model = keras.models.clone_model(model, clone_function=_without_lambda, recursive=True)
    stable_names(model)
    model.trainable = bool(trainable)
    return model


def _without_lambda(layer):
    """A copy of a layer; the Lambda layers of CSPDarkNet, each of which is a SiLU, become what they are."""
    import keras

    if isinstance(layer, keras.layers.Lambda):
        return keras.layers.Activation("silu", name=layer.name.replace("lambda", "activation"))
    return layer.__class__.from_config(layer.get_config())


def _efficientnet(repeats, inputs, outputs):
    return {
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "stackwise_kernel_sizes": [3] * 6,
        "stackwise_num_repeats": repeats,
        "stackwise_input_filters": inputs,
        "stackwise_output_filters": outputs,
        "stackwise_expansion_ratios": [1, 4, 4, 4, 6, 6],
        "stackwise_squeeze_and_excite_ratios": [0.0, 0.0, 0.0, 0.25, 0.25, 0.25],
        "stackwise_strides": [1, 2, 2, 2, 1, 2],
        "stackwise_conv_types": ["fused"] * 3 + ["unfused"] * 3,
    }


def _resnet(block, repeats):
    return {
        "stackwise_filters": [64, 128, 256, 512],
        "stackwise_blocks": repeats,
        "stackwise_strides": [1, 2, 2, 2],
        "block_type": block,
    }


def _darknet(channels, depth):
    return {"stackwise_channels": channels, "stackwise_depth": depth}


NETWORKS = (
    Network(
        "cv-efficientnetv2-b0",
        "EfficientNetV2Backbone",
        "KerasCV's EfficientNetV2 B0 (Tan and Le 2021)",
        _efficientnet([1, 2, 2, 3, 5, 8], [32, 16, 32, 48, 96, 112], [16, 32, 48, 96, 112, 192]),
    ),
    Network(
        "cv-efficientnetv2-s",
        "EfficientNetV2Backbone",
        "KerasCV's EfficientNetV2 S (Tan and Le 2021)",
        _efficientnet([2, 4, 4, 6, 9, 15], [24, 24, 48, 64, 128, 160], [24, 48, 64, 128, 160, 256]),
    ),
    Network(
        "cv-resnet18v2",
        "ResNetV2Backbone",
        "KerasCV's ResNet-18 V2 (He et al. 2016)",
        _resnet("basic_block", [2, 2, 2, 2]),
    ),
    Network(
        "cv-resnet50v2", "ResNetV2Backbone", "KerasCV's ResNet-50 V2 (He et al. 2016)", _resnet("block", [3, 4, 6, 3])
    ),
    Network(
        "cv-csp-darknet-tiny",
        "CSPDarkNetBackbone",
        "KerasCV's CSPDarkNet tiny (Wang et al. 2019)",
        _darknet([48, 96, 192, 384], [1, 3, 3, 1]),
    ),
    Network(
        "cv-csp-darknet-s",
        "CSPDarkNetBackbone",
        "KerasCV's CSPDarkNet S (Wang et al. 2019)",
        _darknet([64, 128, 256, 512], [1, 3, 3, 1]),
    ),
    Network(
        "cv-mobilenetv3-small",
        "MobileNetV3Backbone",
        "KerasCV's MobileNetV3 small (Howard et al. 2019)",
        {
            "stackwise_expansion": [1, 72 / 16, 88 / 24, 4, 6, 6, 3, 3, 6, 6, 6],
            "stackwise_filters": [16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96],
            "stackwise_kernel_size": [3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5],
            "stackwise_stride": [2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1],
            "stackwise_se_ratio": [0.25, None, None, *[0.25] * 8],
            "stackwise_activation": ["relu"] * 3 + ["hard_swish"] * 8,
        },
    ),
)
