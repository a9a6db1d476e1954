"""Morphing, from photos to files, with a tiny model and its tiny decoder."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from facefeat import FaceFeatureModel, InputError, PresetError
from facefeat.cli import cli
from facefeat.cli.morph import Lost, shown
from facefeat.image.video import enlarge
from facefeat.latent.residual import Residual
from facefeat.testing import toy_crops
from facefeat.training.decoder_recipe import decoder_recipe_from_dict
from latent_fake import FakeModel
from made import TINY, dataset


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from keras.utils import set_random_seed

    set_random_seed(3)
    model = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32)
    recipe = {
        "name": "tiny",
        "decoder": {"name": "upsampling", "config": {"filters": [12, 8]}},
        "train": {"epochs": 1, "batch_size": 12, "warmup_epochs": 0.5},
    }
    faces = dataset(tmp_path_factory.mktemp("faces"), 24)
    model.fit_decoder(faces.split("train"), faces.split("val"), decoder_recipe_from_dict(recipe))
    return model.save(tmp_path_factory.mktemp("made") / "preset", name="tiny")


@pytest.fixture(scope="module")
def model(preset: Path) -> FaceFeatureModel:
    return FaceFeatureModel.from_preset(preset)


@pytest.fixture
def photos(repo: Path, tmp_path: Path) -> list[str]:
    """The portrait, its mirror image, and both side by side: one photo with two faces."""
    portrait = Image.open(repo / "docs" / "assets" / "portrait.jpg").convert("RGB")
    mirrored = portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    both = Image.new("RGB", (2 * portrait.width, portrait.height))
    both.paste(portrait, (0, 0))
    both.paste(mirrored, (portrait.width, 0))
    names = []
    for name, picture in (("a.png", portrait), ("b.png", mirrored), ("two.png", both)):
        picture.save(tmp_path / name)
        names.append(str(tmp_path / name))
    return names


def ask(*args: object) -> Result:
    return CliRunner().invoke(cli, ["morph", *map(str, args)])


def test_a_morph_begins_and_ends_with_the_reconstructions(model: FaceFeatureModel) -> None:
    a, b, c = toy_crops(3, 32)
    ends = model.reconstruct(np.stack([a, b, c]))
    for path in ("linear", "spherical"):
        frames = model.morph(a, b, c, steps=9, path=path, easing="smooth")
        assert frames.shape == (9, 32, 32, 3) and frames.dtype == np.uint8
        # Batches of another size may round a pixel the other way.
        for at, end in zip((0, 4, 8), ends, strict=True):
            assert np.abs(frames[at].astype(int) - end).max() <= 1
    assert len(model.morph(a, b, steps=5, bounce=True)) == 8


def test_with_what_decoding_loses_it_begins_and_ends_with_the_faces(model: FaceFeatureModel) -> None:
    faces = toy_crops(3, 32)
    frames = model.morph(*faces, steps=201, residual=True, easing="smooth", bounce=True)
    plain = model.morph(*faces, steps=201, easing="smooth", bounce=True)
    assert frames.shape == plain.shape == (400, 32, 32, 3)
    for at, face in ((0, 0), (100, 1), (200, 2), (300, 1)):
        assert np.abs(frames[at].astype(int) - faces[face]).max() <= 2
    step = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert step.max() < 6  # no frame jumps: faces differ by some 60 shades


def test_photos_are_aligned_first(model: FaceFeatureModel, photos: list[str]) -> None:
    assert (model.morph(photos[0], photos[1], steps=3) == model.morph(*model.align(photos[:2]), steps=3)).all()


def test_a_long_morph_needs_floats_of_one_batch_alone(model: FaceFeatureModel, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = toy_crops(2, 32)
    model.morph(a, b, steps=2)

    def drawn(latents: np.ndarray) -> np.ndarray:
        assert len(latents) <= 64
        return np.repeat(latents[:, :1, None, None] > 0, 32 * 32 * 3, axis=3).reshape(-1, 32, 32, 3).astype("float32")

    monkeypatch.setattr(model.decoder, "_runners", {"decoder": drawn})
    tracemalloc.start()
    try:
        frames = model.morph(a, b, steps=2000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frames.shape == (2000, 32, 32, 3)
    # As floats all frames are four times as large.
    assert most < 2 * frames.nbytes


def test_what_cannot_be_morphed_is_said(model: FaceFeatureModel) -> None:
    a, b = toy_crops(2, 32)
    with pytest.raises(InputError, match="steps"):
        model.morph(a, b, steps=1)
    with pytest.raises(PresetError, match="train-decoder"):
        FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32).morph(a, b)


def test_photos_become_a_file(preset: Path, photos: list[str], tmp_path: Path) -> None:
    out = tmp_path / "m.gif"
    done = ask(*photos[:2], "-o", out, "--preset", preset, "--steps", 7, "--size", 64, "--attributes", "--bounce")
    assert done.exit_code == 0, done.output
    assert "12 frames of 128 x 64 pixels" in done.stdout
    with Image.open(out) as picture:
        assert (picture.size, picture.n_frames) == ((128, 64), 12)


def test_the_largest_of_several_faces_is_taken_aloud_and_another_on_request(
    preset: Path, photos: list[str], tmp_path: Path
) -> None:
    common = ("--preset", preset, "--steps", 3, "--size", 32)
    said = ask(photos[0], photos[2], "-o", tmp_path / "m.png", *common)
    assert said.exit_code == 0 and "has 2 faces; the largest is taken" in said.stderr
    chosen = ask(photos[0], photos[2], "-o", tmp_path / "n.png", *common, "--face", 1, "--face", 2)
    assert chosen.exit_code == 0 and "the largest" not in chosen.stderr
    none = ask(photos[0], photos[2], "-o", tmp_path / "o.png", *common, "--face", 3)
    assert isinstance(none.exception, InputError) and "has 1 face. Received: --face 3" in str(none.exception)


def test_frames_are_made_as_they_are_taken() -> None:
    fake, asked = FakeModel(), []
    decode = fake.decode

    def counted(latents: np.ndarray) -> np.ndarray:
        asked.append(len(latents))
        return decode(latents)

    fake.decode = counted  # type: ignore[method-assign]
    latents = fake.latents[:150].astype("float32")
    made = shown(fake, latents, 16, True)  # type: ignore[arg-type]
    assert next(made).shape == (16, 32, 3) and asked == [64]
    assert len(list(made)) == 149 and asked == [64, 64, 22]
    small = np.stack(list(shown(fake, latents, 8, False)))  # type: ignore[arg-type]
    assert (small == decode(latents)).all()
    ends = decode(latents[:2])
    lost = Lost(Residual(ends, ends), enlarge(ends, 16), np.tile(np.float32(0.5), (150, 2)))
    whole = np.stack(list(shown(fake, latents, 16, False, lost)))  # type: ignore[arg-type]
    assert whole.shape == (150, 16, 16, 3)


def test_mistakes_are_answered_before_the_work(preset: Path, photos: list[str], tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (200, 200), (90, 90, 90)).save(grey)
    for args, words in (
        ((photos[0], "-o", tmp_path / "m.gif"), "at least two faces"),
        ((*photos[:2], "-o", tmp_path / "m.avi"), "no such format: '.avi'"),
        ((*photos, "-o", tmp_path / "m.gif", "--face", 1, "--face", 1), "--face must be given once"),
        ((*photos[:2], "-o", tmp_path / "m.gif", "--path", "round"), "'round' is not one of 'linear'"),
        ((*photos[:2], "-o", tmp_path / "m.gif", "--preset", "none", "--fps", 0), "fps must be over 0"),
        ((*photos[:2], "-o", tmp_path / "m.gif", "--preset", "none", "--steps", 9999, "--size", 512), "7.9 GB"),
        ((photos[0], grey, "-o", tmp_path / "m.gif", "--preset", preset), "no face was found"),
        ((photos[0], tmp_path / "none.jpg", "-o", tmp_path / "m.gif", "--preset", preset), "no such file"),
    ):
        failed = ask(*args)
        assert failed.exception is not None and words in f"{failed.output}{failed.exception}", failed.output
    assert not (tmp_path / "m.gif").exists()
