"""The networks: what KerasHub's classes need to become each of them. Plain data; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Network:
    """One network of KerasHub.

    name: "hub-" and the name that facefeat-keras-cv uses for the same network, where it has that.
    constructor: a class of keras_hub.models. settings: its arguments, as in the paper that the summary names.
    shape: the argument that takes the shape of a crop. multiple: what the side of a crop must be a multiple of, in
    pixels; 1 where any will do. tokens: it gives (B, 1 + h * w, C), a class token first, rather than a map.
    """

    name: str
    constructor: str
    summary: str
    settings: Mapping[str, Any] = field(repr=False)
    shape: str = "image_shape"
    multiple: int = 1
    tokens: bool = False


def _resnet(depth: str, block: str, blocks: Sequence[int], version: int) -> Network:
    settings = {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_blocks": list(blocks),
        "stackwise_num_strides": [1, 2, 2, 2],
        "block_type": block,
        "use_pre_activation": version == 2,
    }
    second = version == 2
    summary = f"KerasHub's ResNet-{depth}{' V2 (He et al. 2016)' if second else ' (He et al. 2015)'}"
    return Network(f"hub-resnet{depth}{'v2' * second}", "ResNetBackbone", summary, settings)


def _efficientnetv2(size: str, repeats: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]) -> Network:
    settings = {
        "stackwise_width_coefficients": [1.0] * 6,
        "stackwise_depth_coefficients": [1.0] * 6,
        "stackwise_kernel_sizes": [3] * 6,
        "stackwise_num_repeats": list(repeats),
        "stackwise_input_filters": list(inputs),
        "stackwise_output_filters": list(outputs),
        "stackwise_expansion_ratios": [1, 4, 4, 4, 6, 6],
        "stackwise_squeeze_and_excite_ratios": [0.0, 0.0, 0.0, 0.25, 0.25, 0.25],
        "stackwise_strides": [1, 2, 2, 2, 1, 2],
        "stackwise_block_types": ["fused"] * 3 + ["unfused"] * 3,
        # KerasHub's own defaults are for seven stages.
        "stackwise_force_input_filters": [0] * 6,
        "stackwise_nores_option": [False] * 6,
    }
    summary = f"KerasHub's EfficientNetV2 {size.upper()} (Tan and Le 2021)"
    return Network(f"hub-efficientnetv2-{size}", "EfficientNetBackbone", summary, settings, shape="input_shape")


_EFFICIENTNET_B0 = {
    "stackwise_width_coefficients": [1.0] * 7,
    "stackwise_depth_coefficients": [1.0] * 7,
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_squeeze_and_excite_ratios": [0.25] * 7,
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    "stackwise_block_types": ["v1"] * 7,
}

_MOBILENETV3_SMALL = {
    "stackwise_num_blocks": [2, 3, 2, 3],
    "stackwise_expansion": [[72, 88], [96, 240, 240], [120, 144], [288, 576, 576]],
    "stackwise_num_filters": [[24] * 2, [40] * 3, [48] * 2, [96] * 3],
    "stackwise_kernel_size": [[3] * 2, [5] * 3, [5] * 2, [5] * 3],
    "stackwise_num_strides": [[2, 1], [2, 1, 1], [1, 1], [2, 1, 1]],
    "stackwise_se_ratio": [[None] * 2, [0.25] * 3, [0.25] * 2, [0.25] * 3],
    "stackwise_activation": [["relu"] * 2, ["hard_swish"] * 3, ["hard_swish"] * 2, ["hard_swish"] * 3],
    "stackwise_padding": [[1] * 2, [2] * 3, [2] * 2, [2] * 3],
    "output_num_filters": 1024,
    "depthwise_filters": 16,
    "depthwise_stride": 2,
    "depthwise_residual": False,
    "squeeze_and_excite": 0.5,
    "last_layer_filter": 576,
}

_MOBILENETV3_LARGE = {
    "stackwise_num_blocks": [2, 3, 4, 2, 3],
    "stackwise_expansion": [[64, 72], [72, 120, 120], [240, 200, 184, 184], [480, 672], [672, 960, 960]],
    "stackwise_num_filters": [[24] * 2, [40] * 3, [80] * 4, [112] * 2, [160] * 3],
    "stackwise_kernel_size": [[3] * 2, [5] * 3, [3] * 4, [3] * 2, [5] * 3],
    "stackwise_num_strides": [[2, 1], [2, 1, 1], [2, 1, 1, 1], [1, 1], [2, 1, 1]],
    "stackwise_se_ratio": [[None] * 2, [0.25] * 3, [None] * 4, [0.25] * 2, [0.25] * 3],
    "stackwise_activation": [["relu"] * 2, ["relu"] * 3, ["hard_swish"] * 4, ["hard_swish"] * 2, ["hard_swish"] * 3],
    "stackwise_padding": [[1] * 2, [2] * 3, [1] * 4, [1] * 2, [2] * 3],
    "output_num_filters": 1024,
    "depthwise_filters": 16,
    "depthwise_stride": 1,
    "depthwise_residual": True,
    "squeeze_and_excite": None,
    "last_layer_filter": 960,
}

_CSP_DARKNET_53 = {
    "stem_filters": 32,
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stem_padding": "same",
    "stackwise_depth": [1, 2, 8, 8, 4],
    "stackwise_strides": [2] * 5,
    "stackwise_num_filters": [64, 128, 256, 512, 1024],
    "bottle_ratio": [0.5, 1.0],
    "block_ratio": [1.0, 0.5],
    "expand_ratio": [2.0, 1.0],
    "stage_type": "csp",
    "block_type": "dark_block",
    "down_growth": True,
}


def _vit(size: str, source: str, layers: int, heads: int, width: int) -> Network:
    settings = {"patch_size": 16, "num_layers": layers, "num_heads": heads, "hidden_dim": width, "mlp_dim": 4 * width}
    summary = f"KerasHub's vision transformer, {size}, patches of 16 px ({source})"
    return Network(f"hub-vit-{size}", "ViTBackbone", summary, settings, multiple=16, tokens=True)


def _mobilenetv3(size: str, settings: Mapping[str, Any]) -> Network:
    summary = f"KerasHub's MobileNetV3 {size} (Howard et al. 2019)"
    return Network(f"hub-mobilenetv3-{size}", "MobileNetBackbone", summary, settings)


NETWORKS = (
    _resnet("18", "basic_block", [2, 2, 2, 2], 1),
    _resnet("50", "bottleneck_block", [3, 4, 6, 3], 1),
    _resnet("18", "basic_block", [2, 2, 2, 2], 2),
    _resnet("50", "bottleneck_block", [3, 4, 6, 3], 2),
    Network(
        "hub-efficientnet-b0",
        "EfficientNetBackbone",
        "KerasHub's EfficientNet B0 (Tan and Le 2019)",
        _EFFICIENTNET_B0,
        shape="input_shape",
    ),
    _efficientnetv2("b0", [1, 2, 2, 3, 5, 8], [32, 16, 32, 48, 96, 112], [16, 32, 48, 96, 112, 192]),
    _efficientnetv2("s", [2, 4, 4, 6, 9, 15], [24, 24, 48, 64, 128, 160], [24, 48, 64, 128, 160, 256]),
    _mobilenetv3("small", _MOBILENETV3_SMALL),
    _mobilenetv3("large", _MOBILENETV3_LARGE),
    Network("hub-csp-darknet-53", "CSPNetBackbone", "KerasHub's CSPDarkNet-53 (Wang et al. 2019)", _CSP_DARKNET_53),
    Network(
        "hub-densenet121",
        "DenseNetBackbone",
        "KerasHub's DenseNet-121 (Huang et al. 2016)",
        {"stackwise_num_repeats": [6, 12, 24, 16]},
    ),
    _vit("tiny", "Touvron et al. 2020", 12, 3, 192),
    _vit("base", "Dosovitskiy et al. 2020", 12, 12, 768),
)
