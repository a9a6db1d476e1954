"""`vggface`: VGG-16 with the weights that Oxford's Visual Geometry Group trained to recognise 2,622 people.

Parkhi, Vedaldi, Zisserman: "Deep Face Recognition", BMVC 2015. The Caffe weights were converted to Keras by the project
keras-vggface, whose release holds the convolutions alone (about 59 MB). Its README says of the weights: for
non-commercial research, Creative Commons Attribution. Crops should be 224 px, as in the paper; smaller ones work.

We found no published SHA-256 of that file, and none is invented here: the hash of the first download is stored next to
it (`facefeat.utils.download`), every later use must match it, and before it is pinned the file must hold the thirteen
convolutions in their right shapes. If you know the hash, check the pin against it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.builtin.backbones import weights as files
from facefeat.errors import DownloadError, InputError
from facefeat.plugins.contracts import Component
from facefeat.utils.download import fetch
from facefeat.utils.machine import cache_dir

if TYPE_CHECKING:
    import keras

WHAT = "backbone 'vggface'"
URL = "https://github.com/rcmalli/keras-vggface/releases/download/v2.0/rcmalli_vggface_tf_notop_vgg16.h5"
FILE = "vggface/rcmalli_vggface_tf_notop_vgg16.h5"
MEAN_RGB = (129.1863, 104.7624, 93.5940)
"""Mean of the training faces, as published with the model (there in the order BGR: 93.5940, 104.7624, 129.1863)."""
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(filters, convolutions) of each block; a 2x2 max pooling ends each."""


@checks.checked(WHAT)
def build(*, image_size: int, weights: str | None = "vggface") -> keras.Model:
    """Crops (B, S, S, 3) float 0..255 -> feature map (B, S // 32, S // 32, 512).

    weights: "vggface" fetches the published ones on first use; the path of such a file (keras-vggface's, DeepFace's
    vgg_face_weights.h5 of the whole network, or this model's own .weights.h5); or None for random ones.
    Raises InputError for a size under 32, an unknown key or a file that does not fit; DownloadError where the weights
    cannot be fetched.
    """
    import keras
    from keras import layers

    from facefeat.builtin.backbones.layers import Normalise

    size = checks.size_of(WHAT, image_size, 32)
    file = _file(weights)
    crops = keras.Input((size, size, 3), name="crops")
    x = Normalise(MEAN_RGB, bgr=True, name="normalise")(crops)
    for i, (filters, count) in enumerate(BLOCKS, start=1):
        for j in range(1, count + 1):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", data_format="channels_last", name=f"conv{i}_{j}"
            )(x)
        x = layers.MaxPooling2D(2, data_format="channels_last", name=f"pool{i}")(x)  # (B, S / 2**i, same, filters)
    model = keras.Model(crops, x, name="vggface")
    if file is not None and file.name.endswith(".weights.h5"):
        files.load_into(model, file, WHAT)
    elif file is not None:
        for name, arrays in files.read_convolutions(file, kernel_shapes(), WHAT).items():
            model.get_layer(name).set_weights(arrays)
    return model


def kernel_shapes() -> dict[str, tuple[int, ...]]:
    """Layer name -> shape of its kernel (3, 3, in, out), for the thirteen convolutions in order."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for i, (filters, count) in enumerate(BLOCKS, start=1):
        for j in range(1, count + 1):
            shapes[f"conv{i}_{j}"] = (3, 3, channels, filters)
            channels = filters
    return shapes


def _file(weights: Any) -> Path | None:
    if weights is None:
        return None
    if weights == "vggface":
        return fetch(URL, None, cache_dir() / FILE, check=_check, max_bytes=1_000_000_000)
    try:
        return files.existing(weights, WHAT)
    except InputError as e:
        raise InputError(
            f"{e} Valid: 'vggface' (fetched on first use), the path of a file, or null (random)."
        ) from None


def _check(path: Path) -> None:
    """A page that says "please log in" has a hash too: look inside before it is pinned. Raises DownloadError."""
    try:
        files.read_convolutions(path, kernel_shapes(), WHAT)
    except InputError as e:
        raise DownloadError(f"is not the VGG-Face weights ({e})") from None


COMPONENT = Component("vggface", build, "VGG-16 with the published VGG-Face weights (59 MB, fetched on first use)")
