"""Edits take no new colours: `hold_colours`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facefeat.latent.colours import GROWTH, hold_colours

FACES = arrays("uint8", (2, 4, 4, 3), elements=st.integers(0, 255))


def strength(faces: np.ndarray) -> np.ndarray:
    exact = faces.astype("float64")
    return np.asarray(np.linalg.norm(exact - exact.mean(-1, keepdims=True), axis=-1))


@given(FACES)
def test_a_face_decoded_as_before_stays_as_it_is(faces: np.ndarray) -> None:
    np.testing.assert_array_equal(hold_colours(faces, faces), faces)


@settings(max_examples=60)
@given(FACES, FACES)
def test_no_colour_grows_stronger_than_its_limit(decoded: np.ndarray, before: np.ndarray) -> None:
    held = hold_colours(decoded, before)
    assert (strength(held) <= np.maximum(strength(before), 1) + GROWTH + 1).all()  # 1: rounding


def test_light_and_shade_pass_whole() -> None:
    before = np.full((1, 2, 2, 3), (150, 110, 90), "uint8")
    np.testing.assert_array_equal(hold_colours(before - np.uint8(60), before), before - np.uint8(60))


def test_hair_loses_colour_but_eyes_do_not_turn_blue() -> None:
    brown, grey, blue = (np.full((1, 1, 1, 3), c, "uint8") for c in ((110, 70, 40), (73, 73, 73), (20, 60, 160)))
    assert strength(hold_colours(grey, brown)).item() < strength(brown).item() / 1.3
    red, _, b = hold_colours(blue, brown)[0, 0, 0].tolist()
    assert red > b


@pytest.mark.parametrize("count", [1, 3])
def test_one_reconstruction_serves_many_decoded_faces(count: int) -> None:
    before = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype("uint8")
    decoded = np.random.default_rng(1).integers(0, 256, (count, 4, 4, 3)).astype("uint8")
    one_by_one = [hold_colours(decoded[[i]], before)[0] for i in range(count)]
    np.testing.assert_array_equal(hold_colours(decoded, before), np.stack(one_by_one))
