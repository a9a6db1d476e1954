"""Carrying a decoder over to another classifier, whose features say the same in other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facefeat.networks.decoder import FaceDecoder
from facefeat.training import weight_transfer

CONFIG = {"code": 6, "filters": [8, 6], "encoder": [4, 6]}


def detail(features: int, size: int = 32, **changed: Any) -> FaceDecoder:
    made = FaceDecoder.build("detail", feature_dim=features, image_size=size, config={**CONFIG, **changed})
    rng = np.random.default_rng(features)
    made.model.set_weights([w + rng.normal(0, 0.1, w.shape).clip(-0.09, 0.3) for w in made.model.get_weights()])
    return made


def test_features_turned_and_mixed_draw_the_same_faces() -> None:
    rng = np.random.default_rng(0)
    old, new = detail(5), detail(7)
    features = rng.normal(0, 1, (300, 5)).astype("float32")
    mixed = (features @ rng.normal(0, 3, (5, 7)) + rng.normal(0, 1, 7)).astype("float32")
    codes = rng.uniform(-0.25, 0.25, (300, 6)).astype("float32")
    before = new.decode(np.concatenate([mixed, codes], axis=1))
    for kind, weights in weight_transfer.transfer(old, features, new, mixed).items():
        new.parts[kind].set_weights(weights)
    want = old.decode(np.concatenate([features, codes], axis=1))
    made = new.decode(np.concatenate([mixed, codes], axis=1))
    assert np.abs(made - want).mean() < 0.02 * np.abs(before - want).mean()
    for mine, its in zip(new.detail_encoder.get_weights(), old.detail_encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_what_cannot_be_told_is_drawn_as_the_mean_face() -> None:
    rng = np.random.default_rng(1)
    old, new = detail(5), detail(5)
    features, noise = (rng.normal(0, 1, (4000, 5)).astype("float32") for _ in range(2))
    for kind, weights in weight_transfer.transfer(old, features, new, noise).items():
        new.parts[kind].set_weights(weights)
    codes = np.zeros((1, 6), "float32")
    mean = old.decode(np.concatenate([features.mean(axis=0, keepdims=True), codes], axis=1))
    made = new.decode(np.concatenate([noise[:1], codes], axis=1))
    np.testing.assert_allclose(made, mean, atol=0.05)


def _coarse(pixels: np.ndarray) -> np.ndarray:
    """The means of four by four places."""
    n, side = pixels.shape[:2]
    return pixels.reshape(n, 4, side // 4, 4, side // 4, 3).mean(axis=(2, 4))


def test_larger_crops_are_drawn_as_the_smaller_ones_were() -> None:
    rng = np.random.default_rng(3)
    old, new = detail(5), detail(5, size=64)
    features = rng.normal(0, 1, (300, 5)).astype("float32")
    few = features[:20]
    crops = rng.uniform(0, 255, (20, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2).astype("uint8")
    large = crops.repeat(2, axis=1).repeat(2, axis=2)
    latents = old.latents(few, crops)
    want, before, coded = old.decode(latents), new.decode(latents), new.latents(few, large)
    for kind, weights in weight_transfer.transfer(old, features, new, features).items():
        new.parts[kind].set_weights(weights)
    made = new.decode(latents)
    assert made.shape == (20, 64, 64, 3)
    assert np.abs(_coarse(made) - _coarse(want)).mean() < 0.5 * np.abs(_coarse(before) - _coarse(want)).mean()
    assert np.abs(new.latents(few, large) - latents).mean() < 0.7 * np.abs(coded - latents).mean()


def test_larger_crops_with_faces_as_large_as_before_are_the_same_faces() -> None:
    rng = np.random.default_rng(4)
    old, new = detail(5), detail(5, size=64, side=32)
    features = rng.normal(0, 1, (300, 5)).astype("float32")
    for kind, weights in weight_transfer.transfer(old, features, new, features).items():
        new.parts[kind].set_weights(weights)
    crops = rng.uniform(0, 255, (20, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2).astype("uint8")
    latents, large = old.latents(features[:20], crops), crops.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(new.latents(features[:20], large), latents, atol=0.01)
    np.testing.assert_allclose(_coarse(new.decode(latents)), _coarse(old.decode(latents)), atol=0.03)


@pytest.mark.parametrize("changed", [{"code": 5}, {"filters": [8, 7]}, {"filters": [8, 6, 4]}, {"encoder": [4, 5]}])
def test_another_architecture_cannot_be_transferred(changed: dict[str, Any]) -> None:
    assert weight_transfer.can_transfer(detail(5), detail(7))
    assert not weight_transfer.can_transfer(detail(5), detail(7, **changed))


def test_rounding_is_the_same_classifier_and_another_seed_is_not() -> None:
    features = np.random.default_rng(2).normal(0, 1, (50, 4)).astype("float32")
    assert weight_transfer.alike(features, features.astype("float16").astype("float32"))
    assert not weight_transfer.alike(features, features[:, ::-1])
    assert not weight_transfer.alike(features, features[:, :3])
