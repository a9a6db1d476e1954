"""What decoding loses of a face, restored in its edits; and a changed face in its photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from facefeat import Face, InputError
from facefeat.image.align import ALIGNMENTS, align_face, crop_transform, paste_face
from facefeat.image.video import enlarge
from facefeat.latent.colours import hold_colours
from facefeat.latent.edit import edit
from facefeat.latent.portraits import FADE, Portraits
from latent_fake import FakeModel

FACES = arrays("uint8", (2, 16, 16, 3))


class Blurred(FakeModel):
    """Its decoder leaves the second half of every crop black, where the faces have a pattern."""

    PATTERN = np.random.default_rng(0).integers(0, 255, (4, 8, 3)).astype("uint8")

    def faces(self, n: int) -> np.ndarray:
        """(n, 8, 8, 3) uint8."""
        crops = self.decode(self.latents[:n])
        crops[:, 4:] = self.PATTERN
        return crops


def portraits(crops: np.ndarray, made: np.ndarray, large: np.ndarray | None = None) -> Portraits:
    return Portraits(crops, crops if large is None else large, np.zeros((len(crops), 1), "float32"), made)


@settings(max_examples=30)
@given(FACES, FACES)
def test_a_face_that_is_decoded_as_before_is_its_photo_again(crops: np.ndarray, made: np.ndarray) -> None:
    large = enlarge(crops, 40)
    both = portraits(crops, made, large)
    assert (both.restore(made, [0, 1]) == crops).all()
    assert np.abs(both.restore(made, [0, 1], large=True).astype(int) - large).max() <= 1


@settings(max_examples=30)
@given(FACES, FACES, FACES)
def test_a_restored_face_lies_between_the_decoded_one_and_the_whole_residual(
    crops: np.ndarray, made: np.ndarray, decoded: np.ndarray
) -> None:
    out = portraits(crops, made).restore(decoded, [0, 1]).astype(int)
    decoded = hold_colours(decoded, made)
    ends = np.stack([decoded.astype(int), np.clip(decoded.astype(int) + crops - made.astype(int), 0, 255)])
    assert (out >= ends.min(axis=0) - 1).all() and (out <= ends.max(axis=0) + 1).all()


def test_where_an_edit_changes_much_little_is_restored() -> None:
    made = np.full((1, 32, 32, 3), 100, "uint8")
    crops, decoded = made + np.uint8(40), made.copy()
    decoded[:, :16] += np.uint8(round(FADE))
    out = portraits(crops, made).restore(decoded, [0]).astype(int) - decoded
    assert (out[:, 16:] == 40).all()
    assert np.allclose(out[:, :16], 40 / np.e, atol=1)


def test_a_larger_cut_keeps_its_own_sharpness() -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(60, 190, (1, 64, 64, 3)).astype("uint8")
    made = np.full((1, 16, 16, 3), 120, "uint8")
    out = portraits(enlarge(large, 16), made, large).restore(made + np.uint8(10), [0], large=True).astype(float)
    assert out.shape == large.shape
    assert np.corrcoef(out.ravel(), large.ravel())[0, 1] > 0.999
    share = np.exp(-10 / FADE)
    assert (out - share * large).mean() == pytest.approx(130 - share * 120, abs=1)


def test_faces_that_do_not_fit_are_refused() -> None:
    model = FakeModel()
    crops = model.decode(model.latents[:2])
    for large in (crops[:1], crops[:, :4]):
        with pytest.raises(InputError, match=r"large must be \(2, T, T, 3\)"):
            Portraits.of(model, crops, large)
    none = Portraits.of(model, crops[:0], crops[:0])
    assert len(none) == 0 and none.restore(crops[:0], []).shape == (0, 8, 8, 3)


def test_an_edit_keeps_what_the_decoder_cannot_draw() -> None:
    model = Blurred()
    crops = model.faces(6)
    found = edit(model, crops, {"age": 15})
    plain = edit(model, crops, {"age": 15}, residual=False)
    assert found.reached.all() and plain.reached.all()
    assert (found.crops[:, 5:] == crops[:, 5:]).all() and not plain.crops[:, 5:].any()
    assert (plain.crops == model.decode(plain.latents)).all()
    # What is predicted is what is shown.
    again = model.predict_faces(found.crops)
    assert np.allclose(again.age_years, found.predictions.age_years)


def test_the_pictures_of_an_edit_are_as_large_as_the_faces_were_cut() -> None:
    model = Blurred()
    crops = model.faces(3)
    large = enlarge(crops, 24)
    found = edit(model, crops, {"age": 15}, large)
    assert (edit(model, crops, {"age": 15}).pictures == found.crops).all()
    assert found.pictures.shape == (3, 24, 24, 3) and (found.pictures != large).any()
    own = edit(model, large, {"age": 15})  # larger crops are drawn as large as they are
    assert own.pictures.shape == (3, 24, 24, 3) and own.crops.shape == crops.shape
    plain = edit(model, crops, {"age": 15}, large, residual=False)
    assert (plain.pictures == enlarge(plain.crops, 24)).all()


def test_an_edit_is_saved_as_a_picture_or_a_strip(tmp_path: Path) -> None:
    model = Blurred()
    for count in (1, 2):
        crops = model.faces(count)
        found = edit(model, crops, {"age": 15}, enlarge(crops, 24))
        with Image.open(found.save(tmp_path / f"{count}.png")) as picture:
            assert picture.size == ((24, 24) if count == 1 else (2 * 28 + 4, 32))
        strip = found.strip(steps=3)
        assert strip.shape[1] == 5 * 28 + 4 and strip.shape[0] > count * 28
        with Image.open(found.save(tmp_path / f"s{count}.png", strip=3)) as picture:
            assert (np.asarray(picture) == strip).all()
            assert (strip[4:28, 4:28] == found.faces.large[0]).all()  # the photo
            assert (strip[4:28, -28:-4] == found.pictures[0]).all()  # the edited face
    with pytest.raises(InputError, match="no faces"):
        edit(model, crops[:0], {"age": 15}).save(tmp_path / "none.png")


@settings(max_examples=30)
@given(FACES, FACES, st.floats(0, 1))
def test_near_a_face_a_blend_is_that_face(crops: np.ndarray, made: np.ndarray, t: float) -> None:
    both = portraits(crops, made, enlarge(crops, 24))
    ends = both.blend(made, np.eye(2, dtype="float32"))
    assert (ends == crops).all() and (both.restore(made, [0, 1]) == ends).all()
    between = np.rint((1 - t) * made[:1] + t * made[1:]).astype("uint8")
    weights = np.array([[1 - t, t]], "float32")
    out = both.blend(between, weights).astype(float)
    lost = np.abs(crops.astype(float) - made)
    assert (np.abs(out - between) <= (1 - t) * lost[0] + t * lost[1] + 1).all()
    assert both.blend(between, weights, large=True).shape == (1, 24, 24, 3)


UTKFACE = ALIGNMENTS["utkface"]


def a_face(x: float, y: float, scale: float, turn: float) -> Face:
    """A face with the landmarks of the alignment, so large, turned and placed."""
    marks = np.asarray(UTKFACE.landmarks) - 0.5
    c, s = np.cos(turn), np.sin(turn)
    return Face((0, 0, 1, 1), landmarks=marks @ np.array([[c, s], [-s, c]]) * scale + (x, y))


@settings(max_examples=25)
@given(st.floats(-40, 240), st.floats(-40, 200), st.floats(20, 200), st.floats(-3, 3), st.integers(32, 128))
def test_a_face_that_did_not_change_leaves_the_photo(x: float, y: float, scale: float, turn: float, size: int) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (160, 200, 3)).astype("uint8")
    face = a_face(x, y, scale, turn)
    crop = align_face(photo, face, UTKFACE, size)
    to_crop = crop_transform(face, UTKFACE, size, (200, 160))
    assert (paste_face(photo, crop, crop, to_crop) == photo).all()
    made = paste_face(photo, crop, np.full_like(crop, 255), to_crop)
    assert made.shape == photo.shape and (made >= photo).all()


@pytest.mark.parametrize("turn", [0.0, 0.5])
def test_a_changed_face_lies_in_the_photo_where_it_was(turn: float) -> None:
    photo = np.full((200, 240, 3), 100, "uint8")
    face = a_face(130, 90, 90, turn)
    crop = align_face(photo, face, UTKFACE, 64)
    after = crop.copy()
    after[20:30, 36:46, 0] += np.uint8(80)
    made = paste_face(photo, crop, after, crop_transform(face, UTKFACE, 64, (240, 200)))
    again = align_face(made, face, UTKFACE, 64)
    assert again[22:28, 38:44, 0].min() > 170 and again[:16].max() <= 101 and (made[..., 1:] == 100).all()
    assert (made[:20] == 100).all() and (made[:, :60] == 100).all()


def test_a_photo_that_is_one_whole_face_is_changed_in_its_central_square() -> None:
    photo = np.full((60, 100, 3), 100, "uint8")
    face = Face((0, 0, 100, 60))
    crop = align_face(photo, face, UTKFACE, 30)
    made = paste_face(photo, crop, crop + np.uint8(50), crop_transform(face, UTKFACE, 30, (100, 60)))
    assert (made[:, :20] == 100).all() and (made[:, 80:] == 100).all() and (made[10:50, 30:70] == 150).all()
    assert 100 < made[0, 50, 0] < 150  # it begins softly
