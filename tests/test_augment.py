"""Augmentation: every change does what its key says, is drawn from the seed alone, and mixing costs what it shows."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facefeat import RecipeError
from facefeat.cli import run
from facefeat.training.recipe import Augment
from made import dataset, recipe_of, squares, tiny_recipe

LUMA = np.array([0.299, 0.587, 0.114])

ALONE: dict[str, dict[str, Any]] = {
    **{name: {name: 0.2} for name in ("shift", "zoom", "shear", "coarse_dropout")},
    **{name: {name: 0.3} for name in ("brightness", "hue")},
    **{name: {name: 0.6} for name in ("contrast", "saturation", "jpeg", "erase")},
    **{name: {name: 1.0} for name in ("mixup", "cutmix")},
    "flip": {"flip": True},
    "rotation": {"rotation": 20.0},
    "randaugment": {"randaugment": 2, "magnitude": 0.5},
    "both": {"mixup": 1.0, "cutmix": 1.0},
}


def crops(n: int = 6, size: int = 24, seed: int = 0) -> np.ndarray:
    """(n, size, size, 3) float32: smooth coloured waves, no two alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    waves = [np.sin(rng.uniform(1, 9) * x + rng.uniform(1, 9) * y + rng.uniform(0, 6)) for _ in range(3 * n)]
    return (127 + 100 * np.stack(waves).reshape(n, 3, size, size).transpose(0, 2, 3, 1)).astype("float32")


def layers_of(**keys: Any) -> list[Any]:
    from facefeat.training.augmentation import augmentation_layers
    from facefeat.training.mixing import mixing_layer

    augment = Augment(**{"flip": False, **keys})
    mixing = mixing_layer(augment, 1)
    return [*augmentation_layers(augment, 1), *([mixing] if mixing is not None else [])]


def through(layers: list[Any], x: np.ndarray, training: bool = True, epoch: int | None = None) -> list[np.ndarray]:
    """Crops, and partner and own share where something is mixed; seeded as the trainer does it."""
    import keras

    from facefeat.training.loop import seed_layers

    if epoch is not None:
        seed_layers(SimpleNamespace(variables=[v for layer in layers for v in layer.variables]), 1, epoch)
    out: Any = keras.ops.convert_to_tensor(x)
    for layer in layers:
        out = layer(out, training=training)
    parts = out if isinstance(out, tuple) else (out,)
    return [keras.ops.convert_to_numpy(p) for p in parts]


@pytest.mark.backend
@pytest.mark.parametrize("name", ALONE)
def test_each_change_is_drawn_from_the_seed_and_only_in_training(name: str) -> None:
    layers, x = layers_of(**ALONE[name]), crops()
    first, again, other = (through(layers, x, epoch=e)[0] for e in (0, 0, 1))
    assert first.shape == x.shape and first.dtype == np.float32
    assert first.min() >= -1e-3 and first.max() <= 255.001
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1 and np.abs(first - x).max() > 1
    np.testing.assert_allclose(through(layers, x, training=False)[0], x, atol=1e-3)


def test_without_a_key_there_is_no_layer() -> None:
    assert layers_of() == [] and len(layers_of(flip=True)) == 1
    assert layers_of(magnitude=1.0, jpeg_low=30) == []


def test_contrast_goes_both_ways_by_as_much_as_asked() -> None:
    x = crops(60)
    out = through(layers_of(contrast=0.4), x)[0]
    spread = out.std(axis=(1, 2, 3)) / x.std(axis=(1, 2, 3))
    assert 0.59 < spread.min() < 0.7 and spread.max() > 1.1


def test_saturation_goes_both_ways_by_as_much_as_asked_and_leaves_grey_alone() -> None:
    x = np.tile(np.array([100.0, 120.0, 150.0], "float32"), (80, 8, 8, 1))
    out = through(layers_of(saturation=0.5), x)[0][:, 0, 0]
    saturation = (out.max(axis=1) - out.min(axis=1)) / (150 - 100)
    assert 0.49 < saturation.min() < 0.6 and 1.4 < saturation.max() < 1.51
    np.testing.assert_allclose(out @ LUMA, x[0, 0, 0] @ LUMA, atol=0.1)
    grey = np.full((4, 8, 8, 3), 90, "float32")
    np.testing.assert_allclose(through(layers_of(saturation=0.9), grey)[0], grey, atol=0.1)


def test_brightness_goes_both_ways_by_as_much_as_asked() -> None:
    x = np.full((80, 8, 8, 3), 120, "float32")
    out = through(layers_of(brightness=0.3), x)[0]
    added = out[:, 0, 0, 0] - 120
    assert (out == out[:, :1, :1, :1]).all() and np.abs(added).max() <= 0.3 * 255 + 0.01
    assert added.min() < -60 and added.max() > 60


@settings(max_examples=20)
@given(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 9))
def test_one_pass_of_colour_is_brightness_then_contrast_then_saturation(b: float, c: float, s: float, n: int) -> None:
    from keras import ops, random

    from facefeat.builtin.augmentations import colour

    x = 90 + 0.1 * crops(5, 12, seed=n)  # far from black and white, where clipping between the steps would differ
    layer = colour.build(brightness=0.3 * b, contrast=c, saturation=s, hue=0.0, seed=n + 1)
    out = ops.convert_to_numpy(layer(x, training=True))
    draw = ops.convert_to_numpy(random.uniform((4, 5, 1), -1.0, 1.0, seed=random.SeedGenerator(n + 1)))
    light = x + (draw[0] * 255 * 0.3 * b)[:, :, None, None]
    mean = light.mean(axis=(1, 2), keepdims=True)
    wide = (light - mean) * (1 + draw[1] * c)[:, :, None, None] + mean
    grey = wide @ LUMA[:, None]
    wanted = grey + (wide - grey) * (1 + draw[2] * s)[:, :, None, None]
    np.testing.assert_allclose(out, np.clip(wanted, 0, 255), atol=0.02)


def test_hue_turns_colours_by_as_much_as_asked_and_keeps_grey_and_luma() -> None:
    x = np.tile(np.array([150.0, 120.0, 100.0], "float32"), (80, 8, 8, 1))
    out = through(layers_of(hue=0.25), x)[0][:, 0, 0]
    np.testing.assert_allclose(out @ LUMA, x[0, 0, 0] @ LUMA, atol=0.1)
    axes = np.array([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    colour, was = out @ axes.T, axes @ x[0, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(colour, axis=1), np.linalg.norm(was), rtol=0.01)
    angles = np.degrees(np.arctan2(colour[:, 1], colour[:, 0]) - np.arctan2(was[1], was[0]))
    assert -45.5 < angles.min() < -38 and 38 < angles.max() < 45.5
    grey = np.full((4, 8, 8, 3), 90, "float32")
    np.testing.assert_allclose(through(layers_of(hue=0.9), grey)[0], grey, atol=0.1)


def test_a_mirror_with_other_moves_mirrors_half_of_the_crops() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 32, dtype="float32")[None, :, None], (200, 32, 32, 3)).copy()
    layers = layers_of(flip=True, rotation=5.0)
    assert len(layers) == 1
    out = through(layers, ramp)[0]
    mirrored = out[:, :, :8].mean(axis=(1, 2, 3)) > out[:, :, -8:].mean(axis=(1, 2, 3))
    assert abs(mirrored.mean() - 0.5) < 0.12
    np.testing.assert_allclose(out[mirrored].mean(axis=0)[:, ::-1], out[~mirrored].mean(axis=0), atol=6)


@pytest.mark.parametrize(("key", "share"), [("erase", 0.3), ("jpeg", 0.4)])
def test_the_share_of_crops_is_what_is_asked(key: str, share: float) -> None:
    x = crops(400, 16)
    changed = np.abs(through(layers_of(**{key: share}), x, epoch=0)[0] - x).max(axis=(1, 2, 3)) > 0.5
    assert abs(changed.mean() - share) < 0.06


def test_coarse_dropout_blackens_whole_squares() -> None:
    out = through(layers_of(coarse_dropout=0.25), np.full((50, 32, 32, 3), 200, "float32"), epoch=0)[0]
    squares_of = out.reshape(50, 8, 4, 8, 4, 3)
    assert set(np.unique(out)) == {0, 200} and (squares_of.std(axis=(2, 4, 5)) == 0).all()
    assert abs((out == 0).mean() - 0.25) < 0.03


def test_randaugment_changes_every_crop_by_itself_and_keeps_tones_in_order() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 32, dtype="float32")[:, None], (40, 32, 32, 3)).copy()
    out = through(layers_of(randaugment=2, magnitude=0.6), ramp, epoch=0)[0]
    changed = np.abs(out - ramp).max(axis=(1, 2, 3))
    assert len(np.unique(changed.round(3))) > 20, "each crop draws its own"
    # Solarisation would turn bright into dark: the right half stays the brighter one, whatever is drawn.
    halves = out[:, 8:24].mean(axis=(1, 3))
    assert (halves[:, 20:30].mean(axis=1) > halves[:, 2:12].mean(axis=1)).all()


def by_pillow(x: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(x.astype("uint8")).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), "float32")


@pytest.mark.backend
@pytest.mark.parametrize("size", [32, 44])
def test_jpeg_is_what_libjpeg_does(size: int, repo: Path) -> None:
    import keras

    from facefeat.builtin.augmentations.jpeg import jpeg

    portrait = Image.open(repo / "docs" / "assets" / "portrait.jpg").convert("RGB").resize((size, size))
    x = np.stack([np.asarray(portrait, "float32")] * 3)
    qualities = (25, 40, 90)
    out = keras.ops.convert_to_numpy(jpeg(keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(qualities)))
    for i, quality in enumerate(qualities):
        want = by_pillow(x[i], quality)
        ours, lost = np.abs(out[i] - want).mean(), np.abs(x[i] - want).mean()
        assert ours < 2.5 and ours < 0.35 * lost, (quality, ours, lost)
    assert ((out >= 0) & (out <= 255) & (out == np.round(out))).all()


@settings(max_examples=20)
@given(grey=st.integers(0, 255), quality=st.integers(1, 100))
def test_jpeg_of_a_grey_crop_is_grey_and_near(grey: int, quality: int) -> None:
    import keras

    from facefeat.builtin.augmentations.jpeg import jpeg

    out = keras.ops.convert_to_numpy(jpeg(np.full((1, 20, 20, 3), grey, "float32"), np.array([quality])))
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    step = min(255, max(1, (16 * scale + 50) // 100))  # of the mean, in eighths of a grey level
    assert len(np.unique(out)) == 1 and abs(out[0, 0, 0, 0] - grey) <= step / 16 + 1


@pytest.mark.backend
@pytest.mark.parametrize("name", ["mixup", "cutmix", "both"])
def test_what_is_mixed_is_what_is_told(name: str) -> None:
    x = crops(16)
    mixed, partner, own = through(layers_of(**ALONE[name]), x, epoch=3)
    assert partner.dtype == np.int32 and own.dtype == np.float32 and partner.shape == own.shape == (16,)
    assert ((own >= 0) & (own <= 1)).all() and set(partner) <= set(range(16)) and own.std() > 0.05
    for i in range(16):
        a, b = x[i], x[partner[i]]
        blended = np.abs(own[i] * a + (1 - own[i]) * b - mixed[i]).max() < 0.05
        from_a, from_b = (np.abs(mixed[i] - v).max(axis=-1) < 1e-3 for v in (a, b))
        pasted = (from_a | from_b).all() and abs(from_a.mean() - own[i]) < 0.02
        assert (blended, pasted, blended or pasted)[("mixup", "cutmix", "both").index(name)] or partner[i] == i
    same, alone, all_own = through(layers_of(**ALONE[name]), x, training=False)
    np.testing.assert_array_equal(same, x)
    assert (alone == np.arange(16)).all() and (all_own == 1).all()


def test_an_alpha_that_underflows_leaves_the_crop_alone() -> None:
    x = crops(200, 8)
    mixed, _, own = through(layers_of(mixup=0.001), x, epoch=0)
    assert np.isfinite(mixed).all() and ((own >= 0) & (own <= 1)).all()


@pytest.mark.backend
def test_the_loss_of_a_mixed_row_is_the_mean_of_both_targets_losses() -> None:
    import keras

    from facefeat.schema import get_schema
    from facefeat.training.losses import build_losses
    from facefeat.training.mixing import append_mix, mixed_loss

    loss = build_losses(get_schema("utkface"), {})["race"]
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 5)).astype("float32")
    target = np.array([[0, -1], [1, -1], [4, -1], [-1, -1]], "float32")
    partner, own = np.array([2, 0, 3, 1], "int32"), np.array([0.25, 1.0, 0.5, 0.0], "float32")
    carried = append_mix({"race": keras.ops.convert_to_tensor(logits)}, partner, own)["race"]
    assert carried.shape == (4, 7)
    got = keras.ops.convert_to_numpy(mixed_loss(loss)(keras.ops.convert_to_tensor(target), carried))
    one, two = (keras.ops.convert_to_numpy(loss(keras.ops.convert_to_tensor(t), logits)) for t in
                (target, target[partner]))  # fmt: skip
    np.testing.assert_allclose(got, own * one + (1 - own) * two, rtol=1e-5)


def test_a_run_with_mixing_repeats(tmp_path: Path) -> None:
    from facefeat import FaceFeatureModel

    data = dataset(tmp_path, 24)
    recipe = tiny_recipe(epochs=1, augment={"mixup": 1.0, "cutmix": 1.0})
    plain = tiny_recipe(epochs=1, augment={})
    losses = []
    for r in (recipe, recipe, plain):
        log = FaceFeatureModel.from_recipe(r).fit(data.split("train"), data.split("val"), r)
        losses.append(log.epochs[0]["loss"])
    assert losses[0] == losses[1] != losses[2] and np.isfinite(losses).all()


@pytest.mark.parametrize(
    ("line", "message"),
    {
        "mixupp = 0.2": r"line 2: augment.mixupp: unknown key.*Did you mean 'mixup'",
        "mixup = 2.0": r"line 2: augment.mixup: impossible value. Received: 2.0. Valid: 0 to 1",
        "hue = -0.1": r"augment.hue: impossible value",
        "shear = 1.0": r"augment.shear: impossible value.*0 to under 1",
        "randaugment = 12": r"augment.randaugment: impossible value.*0 to 9",
        "randaugment = 0.5": r"augment.randaugment: must be a whole number",
        "jpeg_high = 20": r"augment.jpeg_high: impossible value. Received: 20. Valid: jpeg_low to 100",
        "jpeg_low = 0": r"augment.jpeg_low: impossible value",
        "coarse_dropout = 1.0": r"augment.coarse_dropout: impossible value",
    }.items(),
)
def test_impossible_augmentation_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, f"[augment]\n{line}\n")


def test_the_preview_shows_originals_first_and_repeats() -> None:
    from facefeat.training.preview import augmented, describe, preview_grid

    x = crops(2).astype("uint8")
    augment = Augment(rotation=10.0, mixup=0.5)
    grid = preview_grid(x, augment, columns=3, seed=4, cell=24)
    assert grid.dtype == np.uint8 and (preview_grid(x, augment, columns=3, seed=4, cell=24) == grid).all()
    windows = np.lib.stride_tricks.sliding_window_view(grid[:, :60], (24, 24, 3))[:, :, 0]
    assert any((w == x[0]).all() for row in windows for w in row)
    pixels, captions = augmented(x, augment, 3, 4)
    assert np.shape(pixels) == (2, 3, 24, 24, 3) and np.shape(captions) == (2, 3)
    assert describe(augment) == "flip = true, rotation = 10.0, mixup = 0.5"
    assert describe(Augment(flip=False)) == "no augmentation"


def test_preview_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, picture = squares(tmp_path / "data", 12), tmp_path / "new" / "preview.png"
    (tmp_path / "r.toml").write_text("image_size = 32\n[augment]\nflip = true\ncoarse_dropout = 0.1\n", "utf-8")
    args = ["data", "preview", "--data", str(table), "--recipe"]
    assert run([*args, str(tmp_path / "r.toml"), "-o", str(picture), "--rows", "20", "--columns", "2"]) == 0
    out, err = capsys.readouterr()
    assert "Written to" in out and "only 9 faces could be drawn" in err
    assert Image.open(picture).size[0] > 3 * 96
    for wrong, message in (
        (["utkface-compac", "-o", "x.png"], "Did you mean 'utkface-compact'"),
        (["utkface-compact", "-o", "x.jpg"], "must be a .png file"),
        (["utkface-compact", "-o", "x.png", "--rows", "0"], "0 is not in the range"),
        (["utkface-compact", "-o", str(table / "x.png")], "cannot write"),
    ):
        assert run([*args, *wrong]) in (1, 2)
        assert message in capsys.readouterr().err


def test_one_resampling_turns_zooms_shears_and_shifts_about_the_centre_within_its_bounds() -> None:
    from facefeat.builtin.augmentations import affine

    # Each pixel says where it came from, so the way it went can be read back: far from the border, 9 x 9 of 65.
    side, middle = 65, slice(28, 37)
    y, x = np.mgrid[:side, :side].astype("float32") - (side - 1) / 2
    picture = np.repeat(np.stack([x, y, 0 * x], axis=-1)[None], 64, axis=0)
    near = np.stack([x[middle, middle].ravel(), y[middle, middle].ravel(), np.ones(81)], axis=1)

    def ways(*amounts: float) -> np.ndarray:
        config = dict(zip(("rotation", "zoom", "shear", "shift"), amounts, strict=True))
        moved = np.asarray(affine.build(**config, flip=False, seed=1)(picture, training=True))[:, middle, middle, :2]
        return np.stack([np.linalg.lstsq(near, m.reshape(81, 2), rcond=None)[0] for m in moved])  # (64, 3, 2)

    turned, zoomed, shifted = ways(20, 0, 0, 0), ways(0, 0.2, 0, 0), ways(0, 0, 0, 0.1)
    sheared = ways(0, 0, 0.2, 0)
    angles = np.degrees(np.arctan2(turned[:, 0, 1], turned[:, 0, 0]))
    assert np.allclose(np.linalg.det(turned[:, :2]), 1, atol=1e-3)
    assert 15 < np.abs(angles).max() <= 20.01 and angles.min() < 0 < angles.max()
    sizes = 1 / zoomed[:, 0, 0]
    assert 0.8 <= sizes.min() + 1e-3 < 0.85 and 1.15 < sizes.max() <= 1.201
    for way in (turned, zoomed, sheared):
        assert np.allclose(way[:, 2], 0, atol=1e-2)  # the centre stays
    assert np.allclose(shifted[:, :2], np.eye(2), atol=1e-3) and 5 < np.abs(shifted[:, 2]).max() <= 6.51
    lean = sheared[:, [0, 1], [1, 0]]
    assert 0.15 < np.abs(lean).max() <= 0.201
    assert np.allclose(ways(0, 0, 0, 0)[:, :2], np.eye(2), atol=1e-4)


CHANGED: dict[str, dict[str, Any]] = {
    "affine": {"rotation": 30.0, "zoom": 0.3, "shear": 0.1, "shift": 0.1, "flip": False},
    "colour": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.5, "hue": 0.2},
    "randaugment": {"changes": 3, "magnitude": 0.7},
    "jpeg": {"share": 0.9, "low": 10, "high": 20},
    "erasing": {"share": 0.9},
    "coarse-dropout": {"share": 0.4, "grid": 4},
}


@pytest.mark.backend
@pytest.mark.parametrize("name", CHANGED)
def test_built_in_augmentations_keep_their_contract(name: str) -> None:
    from facefeat.plugins.registry import get_registry
    from facefeat.testing import check_augmentation

    item = get_registry().get("augmentation", name)
    check_augmentation(item.component, changed=CHANGED[name], skip=["import", "backends", "files"])


def test_a_recipe_names_registered_augmentations_after_its_keys() -> None:
    from facefeat import InputError, UnknownComponentError
    from facefeat.training.augmentation import augmentation_layers
    from facefeat.training.recipe import Recipe

    def augment(**layer: Any) -> Augment:
        return Recipe.from_dict({"name": "x", "augment": {"rotation": 9.0, "layers": [layer]}}).augment

    chosen = augment(name="jpeg", config={"share": 0.5})
    assert [c.name for c in chosen.choices()] == ["affine", "jpeg"] and len(augmentation_layers(chosen, 1)) == 2
    with pytest.raises(RecipeError, match=r"augment\.layers\.1\.nam: unknown key.*'name'"):
        augment(nam="jpeg")
    with pytest.raises(UnknownComponentError, match="Did you mean 'jpeg'"):
        augmentation_layers(augment(name="jpg"), 1)
    with pytest.raises(InputError, match="'low' must be a whole number from 1 to 100"):
        augmentation_layers(augment(name="jpeg", config={"low": 0}), 1)
