"""Corruptions of crops: nothing at severity 0, the same by seed, stronger with severity, and alike on every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facefeat import InputError
from facefeat.image import corruptions
from facefeat.image.corrupt import CORRUPTIONS, corrupt, corrupt_crops

NAMES = pytest.mark.parametrize("name", CORRUPTIONS)


@pytest.fixture(scope="module")
def portrait(repo: Path) -> np.ndarray:
    photo = Image.open(repo / "docs" / "assets" / "portrait.jpg").convert("RGB")
    return np.asarray(photo.crop((130, 40, 390, 300)).resize((64, 64)))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(CORRUPTIONS),
    severity=st.floats(0, 1),
    seed=st.integers(0, 2**40),
    shape=st.tuples(st.integers(4, 40), st.integers(4, 40)),
)
def test_any_crop_keeps_shape_and_type_and_repeats_by_seed(
    name: str, severity: float, seed: int, shape: tuple[int, int]
) -> None:
    crop = np.random.default_rng(seed).integers(0, 256, (*shape, 3), "uint8")
    before = crop.copy()
    out = corrupt(crop, name, severity, seed)
    assert out.dtype == np.uint8 and out.shape == crop.shape and (crop == before).all()
    assert (corrupt(crop, name, severity, seed) == out).all()
    assert (corrupt(crop, name, 0.0, seed) == crop).all()


@NAMES
def test_more_severity_changes_more(name: str, portrait: np.ndarray) -> None:
    some = np.repeat(portrait[None], 8, axis=0)
    changed = [np.abs(corrupt_crops(some, name, s, 1) - some.astype(float)).mean() for s in (0.1, 0.4, 0.9)]
    assert changed[0] > 0 and changed == sorted(changed) and changed[-1] > 2 * changed[0]


def test_a_crop_is_changed_by_its_place_and_the_seed_alone(portrait: np.ndarray) -> None:
    several = np.repeat(portrait[None], 70, axis=0)
    out = corrupt_crops(several, "hand", 0.5, seed=3)
    assert (out[:5] == corrupt_crops(several[:5], "hand", 0.5, seed=3)).all()
    assert len(np.unique(out.reshape(70, -1), axis=0)) == 70
    assert (out[0] != corrupt_crops(several[:1], "hand", 0.5, seed=4)[0]).any()
    assert corrupt_crops(several[:0], "hand", 0.5).shape[0] == 0


def test_names_may_have_underscores_and_mistakes_are_named(portrait: np.ndarray) -> None:
    assert (corrupt(portrait, "motion_blur", 0.5) == corrupt(portrait, "motion-blur", 0.5)).all()
    assert set(CORRUPTIONS) == {*corruptions.SUMMARIES, "jpeg"}
    with pytest.raises(InputError, match="Received: 'motionblur'. Did you mean 'motion-blur'"):
        corrupt(portrait, "motionblur", 0.5)
    for severity in (1.5, -0.1, float("nan"), True, "much"):
        with pytest.raises(InputError, match="a severity is a number from 0 to 1"):
            corrupt(portrait, "dark", severity)  # type: ignore[arg-type]


def test_a_mask_covers_the_mouth_and_sunglasses_the_eyes(portrait: np.ndarray) -> None:
    def moved(name: str, x: float, y: float) -> float:
        out = corrupt(portrait, name, 0.6).astype(float)
        at = slice(round(64 * y) - 2, round(64 * y) + 2), slice(round(64 * x) - 2, round(64 * x) + 2)
        return float(np.abs(out[at] - portrait[at]).mean())

    assert moved("mask", 0.5, 0.7) > 20 and moved("mask", 0.3, 0.3) == 0
    assert moved("sunglasses", 0.3, 0.3) > 20 and moved("sunglasses", 0.5, 0.7) == 0
    assert moved("hat", 0.5, 0.05) > 20 and moved("hat", 0.5, 0.5) == 0


@pytest.mark.backend
@pytest.mark.parametrize("name", [n for n in corruptions.SUMMARIES if n not in ("noise", "dark")])
def test_the_layer_changes_crops_as_the_benchmark_does(name: str, portrait: np.ndarray) -> None:
    from keras import ops

    from facefeat.builtin.augmentations.corruption import _corrupted
    from facefeat.image.corrupt import _changed

    crops = np.stack([portrait, portrait[::-1]])
    s = np.full((2, 1, 1, 1), 0.4, "float32")
    draw = list(np.random.default_rng(0).random((corruptions.DRAWS, 2, 1, 1, 1), "float32"))
    ours = np.clip(_changed(crops, name, s, draw, 0.0), 0, 255).astype("float32")
    there = [ops.convert_to_tensor(x) for x in (crops.astype("float32"), s, *draw)]
    layers = ops.convert_to_numpy(ops.clip(_corrupted(name, there[0], there[1], there[2:], None), 0.0, 255.0))
    middle = (slice(None), slice(24, 40), slice(24, 40))  # what is moved in from outside is blended with black or not
    where: Any = middle if name in corruptions.MOVES else ...
    np.testing.assert_allclose(layers[where], ours[where], atol=1.6 if name in corruptions.MOVES else 0.02)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["motion-blur", "low-resolution", "dark", "hand", "half-profile"])
def test_corruption_layers_keep_their_contract(name: str) -> None:
    from facefeat.plugins.registry import get_registry
    from facefeat.testing import check_augmentation

    item = get_registry().get("augmentation", name)
    changed = {"share": 0.9, "severity": 1.0}
    check_augmentation(item.component, image_size=64, changed=changed, skip=["import", "backends", "files"])


def test_a_layer_changes_the_share_that_is_asked_up_to_the_severity(portrait: np.ndarray) -> None:
    from facefeat.builtin.augmentations.corruption import COMPONENTS

    bright = next(c for c in COMPONENTS if c.name == "bright")
    crops = np.repeat(np.full((1, 4, 4, 3), 40, "float32"), 600, axis=0)
    lit = np.asarray(bright.build(seed=1, share=0.3, severity=0.5)(crops, training=True))[:, 0, 0, 0]
    assert abs((lit > 40).mean() - 0.3) < 0.06 and 70 < lit.max() <= 80.01
    assert (np.asarray(bright.build(seed=1, share=1.0, severity=0.0)(crops, training=True)) == crops).all()
    with pytest.raises(InputError, match="'severity' must be a number from 0 to 1"):
        bright.build(seed=1, severity=2.0)
