"""The backbone `dlib-age-gender`: the two networks of Cydral Technology in dlib-models, side by side, as Keras layers.

Age: a ResNet of ten layers, on 64 x 64 pixels, up to its last map of 3 x 3 x 256. Gender: four convolutions and a dense
layer of 16, on 32 x 32 pixels. The sixteen stand at every place of the map, so that the mean over places, the latent,
holds 256 numbers for age and 16 for gender. dlib's affine layers are folded into the convolutions before them.
Source: https://github.com/davisking/dlib-models, `dnn_age_predictor_v1` and `dnn_gender_classifier_v1`, CC0 1.0.
"""

from __future__ import annotations

from pathlib import Path

from facefeat import InputError

PRESET_FOLDER = Path(__file__).parent / "presets" / "cc0-age-gender"
AGE_SIZE, GENDER_SIZE = 64, 32
"""Sides of the crops, in pixels, that the two networks were trained on."""
MEANS = (122.782, 117.001, 104.298)
"""Of red, green and blue, as dlib's `input_rgb_image` takes them off; then it divides by 256."""
AGE_CHANNELS, GENDER_CHANNELS = 256, 16


def build(*, image_size: int, weights: str | None = "cc0"):
    """Crops (B, S, S, 3) float 0..255 RGB -> feature map (B, 3, 3, 272): 256 channels for age, 16 for gender.

    Crops of another size than 64 are resized to it. Both networks want the geometry `utkface`, which is that of dlib's
    face chips with a padding of 0.2.
    weights: "cc0" for those that the plugin brings; None for random ones.
    Raises InputError for another name.
    """
    import keras
    from keras import layers

    if weights not in ("cc0", None):
        raise InputError(f"backbone 'dlib-age-gender': no such weights. Received: {weights!r}. Valid: 'cc0', None.")
    crops = keras.Input((image_size, image_size, 3), name="crops")
    x = crops
    if image_size != AGE_SIZE:
        x = layers.Resizing(AGE_SIZE, AGE_SIZE, antialias=image_size > AGE_SIZE, name="resize")(x)
    x = layers.Rescaling(1 / 256, offset=[-m / 256 for m in MEANS], name="normalise")(x)
    age = _age(x)  # (B, 3, 3, 256)
    gender = layers.UpSampling2D(age.shape[1], name="gender_places")(_gender(x))  # (B, 3, 3, 16)
    model = keras.Model(crops, layers.Concatenate(name="features")([age, gender]), name="dlib_age_gender")
    if weights is not None:
        model.load_weights(PRESET_FOLDER / "backbone.weights.h5")
    return model


def _age(x):
    """(B, 64, 64, 3) -> (B, 3, 3, 256)."""
    from keras import layers

    x = layers.Conv2D(64, 7, strides=2, activation="relu", name="age_stem")(x)  # (B, 29, 29, 64)
    x = layers.MaxPooling2D(3, strides=2, name="age_stem_pool")(x)  # (B, 14, 14, 64)
    x = _residual(x, 64, "age_1")
    x = _residual_down(x, 128, "age_2")  # (B, 7, 7, 128)
    x = _residual(x, 128, "age_3")
    x = _residual_down(x, 256, "age_4")  # (B, 3, 3, 256)
    return _residual(x, 256, "age_5")


def _residual(x, filters, name):
    """Two convolutions in parallel with the identity."""
    from keras import layers

    y = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"{name}_a")(x)
    y = layers.Conv2D(filters, 3, padding="same", name=f"{name}_b")(y)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))


def _residual_down(x, filters, name):
    """The same at half the size, with twice the channels: what is missing on either side is zero, as in dlib."""
    from keras import layers

    y = layers.Conv2D(filters, 3, strides=2, activation="relu", name=f"{name}_a")(x)
    y = layers.Conv2D(filters, 3, padding="same", name=f"{name}_b")(y)
    x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    x = layers.Concatenate(name=f"{name}_channels")([x, layers.Rescaling(0.0, name=f"{name}_zeros")(x)])
    rows = x.shape[1] - y.shape[1]
    if rows:
        y = layers.ZeroPadding2D(((0, rows), (0, rows)), name=f"{name}_rows")(y)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))


def _gender(x):
    """(B, 64, 64, 3) -> (B, 1, 1, 16)."""
    from keras import layers

    x = layers.AveragePooling2D(AGE_SIZE // GENDER_SIZE, name="gender_resize")(x)  # (B, 32, 32, 3)
    for stage, filters in ((1, 32), (2, 64)):
        for part in "ab":
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"gender_{stage}{part}")(x)
        x = layers.AveragePooling2D(2, name=f"gender_{stage}_pool")(x)  # last: (B, 8, 8, 64)
    x = layers.Dense(GENDER_CHANNELS, activation="relu", name="gender_dense")(layers.Flatten(name="gender_flat")(x))
    return layers.Reshape((1, 1, GENDER_CHANNELS), name="gender_map")(x)
