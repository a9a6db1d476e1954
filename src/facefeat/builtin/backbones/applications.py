"""Well-known networks through `keras.applications`, without their classifiers, with their own normalisation inside.

One table says of each what differs: its constructor, how it wants its pixels, and where its ImageNet weights are. The
addresses and hashes are the ones that Keras publishes in its own source; most are MD5, so the SHA-256 of the first
download is pinned as well (`facefeat.utils.download`). Keras's own preprocessing is left out where it has any: ours
does the same, is there for all of them, and has a stable name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facefeat.builtin import checks
from facefeat.builtin.backbones import weights as files
from facefeat.errors import InputError
from facefeat.plugins.contracts import Component
from facefeat.utils.download import fetch
from facefeat.utils.machine import cache_dir

if TYPE_CHECKING:
    import keras

BASE = "https://storage.googleapis.com/tensorflow/keras-applications/"
SMALLEST = 32  # pixels: each of them halves the side five times


@dataclass(frozen=True)
class Application:
    """One network of keras.applications.

    pixels: "caffe" (BGR minus ImageNet's mean), "torch" (RGB in ImageNet's standard deviations) or "symmetric" (-1..1).
    own_preprocessing: its constructor would add its own. file: the ImageNet weights without classifier, under BASE.
    """

    name: str
    constructor: str
    pixels: str
    file: str
    summary: str
    sha256: str | None = None
    md5: str | None = None
    own_preprocessing: bool = False

    def build(self, *, image_size: int, weights: str | None = None, view: float = 1.0) -> keras.Model:
        """Crops (B, S, S, 3) float 0..255 -> feature map (B, ceil(V / 32) or V // 32, same, C).

        view: the share of a crop's side that the network looks at, V = round(view * S) pixels of the middle. Less than
        1 keeps crops with hair and shoulders, and spends no work on what is around the face.
        weights: None for random ones; "imagenet" fetches the published ones on first use; or the path of that file, or
        of this model's own .weights.h5.
        Raises InputError for a size or view under 32 pixels, an unknown key or a file that does not fit; DownloadError
        where the weights cannot be fetched.
        """
        import keras

        what = f"backbone {self.name!r}"
        size = checks.size_of(what, image_size, SMALLEST)
        seen = _seen(what, size, view)
        if keras.config.image_data_format() != "channels_last":
            raise InputError(f"{what}: needs Keras's image_data_format 'channels_last'. Received: 'channels_first'.")
        file = None
        if weights == "imagenet":
            target = cache_dir() / "imagenet" / self.file.rpartition("/")[2]
            file = fetch(BASE + self.file, self.sha256, target, md5=self.md5, max_bytes=500_000_000)
        elif weights is not None:
            file = files.existing(weights, what)
        crops = keras.Input((size, size, 3), name="crops")
        options = {"include_preprocessing": False} if self.own_preprocessing else {}
        make = getattr(keras.applications, self.constructor)
        before = (size - seen) // 2
        around = (before, size - seen - before)
        x = crops if seen == size else keras.layers.Cropping2D((around, around), name="view")(crops)
        whole = make(include_top=False, weights=None, input_tensor=_normalise(self.pixels)(x), **options)
        model = keras.Model(crops, whole.output, name=self.name.replace("-", "_"))
        _stable_names(model)
        if file is not None:
            files.load_into(model, file, what)
        return model


def _seen(what: str, size: int, view: float) -> int:
    """Pixels of the side that the network looks at. Raises InputError."""
    share = checks.real(what, "view", view, 0.0, 1.0)
    seen = round(share * size)
    if seen < SMALLEST:
        raise InputError(
            f"{what}: 'view' = {view:g} of {size} pixels leaves {seen}. Valid: {SMALLEST / size:g} to 1 at this size."
        )
    return seen


def _normalise(pixels: str) -> keras.layers.Layer:
    from facefeat.builtin.backbones.layers import IMAGENET_MEAN, IMAGENET_STD, Normalise

    if pixels == "caffe":
        return Normalise((123.68, 116.779, 103.939), bgr=True, name="normalise")
    if pixels == "torch":
        return Normalise(IMAGENET_MEAN, IMAGENET_STD, name="normalise")
    return Normalise((127.5,) * 3, (127.5,) * 3, name="normalise")


def _stable_names(model: keras.Model) -> None:
    """Number the layers that Keras named itself from 1 in each model: its own counter runs over the whole process."""
    counts: dict[str, int] = {}
    for layer in model.layers:
        kind = re.sub(r"_\d+$", "", layer.name)
        if kind in ("activation", "re_lu", "layer_normalization"):
            counts[kind] = counts.get(kind, 0) + 1
            layer.name = f"{kind}_{counts[kind]}"


# What differs: name, class of keras.applications, pixels, summary, file of the ImageNet weights.
# fmt: off
APPLICATIONS = (
    Application("vgg16", "VGG16", "caffe", "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "VGG-16 (Simonyan and Zisserman 2014), random or ImageNet weights",
                md5="6d6bbae143d832006294945121d1f1fc"),
    Application("vgg19", "VGG19", "caffe", "vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "VGG-19 (Simonyan and Zisserman 2014), random or ImageNet weights",
                md5="253f8cb515780f3b799900260a226db6"),
    Application("resnet50", "ResNet50", "caffe", "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "ResNet-50 (He et al. 2015), random or ImageNet weights",
                md5="4d473c1dd8becc155b73f8504c6f6626"),
    Application("mobilenetv3-small", "MobileNetV3Small", "symmetric",
                "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
                "MobileNetV3 small (Howard et al. 2019), random or ImageNet weights",
                md5="d3e8ec802a04aa4fc771ee12a9a9b836", own_preprocessing=True),
    Application("mobilenetv3-large", "MobileNetV3Large", "symmetric",
                "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
                "MobileNetV3 large (Howard et al. 2019), random or ImageNet weights",
                md5="07fb09a5933dd0c8eaafa16978110389", own_preprocessing=True),
    Application("efficientnetv2-b0", "EfficientNetV2B0", "torch", "efficientnet_v2/efficientnetv2-b0_notop.h5",
                "EfficientNetV2 B0 (Tan and Le 2021), random or ImageNet weights",
                md5="893217f2bb855e2983157299931e43ff", own_preprocessing=True),
    Application("convnext-tiny", "ConvNeXtTiny", "torch", "convnext/convnext_tiny_notop.h5",
                "ConvNeXt tiny (Liu et al. 2022), random or ImageNet weights",
                sha256="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1", own_preprocessing=True),
)
# fmt: on


def _component(application: Application) -> Component:
    build = checks.checked(f"backbone {application.name!r}")(application.build)
    return Component(application.name, build, application.summary)


COMPONENTS = [_component(a) for a in APPLICATIONS]
