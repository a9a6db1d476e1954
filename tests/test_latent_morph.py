"""Morphing, from photos to files, with a tiny model and its tiny decoder."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from facefeat import FaceFeatureModel, InputError, PresetError
from facefeat.cli import cli
from facefeat.image.video import enlarge
from facefeat.latent.morph import MorphOptions
from facefeat.testing import toy_crops
from facefeat.training import DecoderRecipe
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
    model.fit_decoder(faces.split("train"), faces.split("val"), DecoderRecipe.from_dict(recipe))
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


def test_a_morph_begins_and_ends_with_the_faces(model: FaceFeatureModel) -> None:
    faces = toy_crops(3, 32)
    made = model.morph_faces(faces, steps=201, bounce=True)
    assert made.frames.shape == (400, 32, 32, 3) and made.frames.dtype == np.uint8 and len(made) == 400
    assert made.latents.shape == (400, model.latent_dim) and made.weights.shape == (400, 3)
    for at, face in ((0, 0), (100, 1), (200, 2), (300, 1)):
        assert np.abs(made.frames[at].astype(int) - faces[face]).max() <= 2
    step = np.abs(np.diff(made.frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert step.max() < 6  # no frame jumps: faces differ by some 60 shades


def test_without_the_residual_it_begins_and_ends_with_the_reconstructions(model: FaceFeatureModel) -> None:
    faces = toy_crops(3, 32)
    ends = model.reconstruct(faces)
    for path in ("linear", "spherical"):
        frames = model.morph_faces(faces, steps=9, path=path, residual=False).frames
        # Batches of another size may round a pixel the other way.
        for at, end in zip((0, 4, 8), ends, strict=True):
            assert np.abs(frames[at].astype(int) - end).max() <= 1


def test_frames_and_predictions_are_those_of_the_iteration(model: FaceFeatureModel) -> None:
    faces = toy_crops(2, 32)
    made = model.morph_faces(faces, enlarge(faces, 48), steps=70)
    frames = np.stack(list(made))
    assert frames.shape == (70, 48, 48, 3)
    assert np.abs(frames.astype(int) - made.frames).max() <= 1
    assert len(made.predictions) == 70 and set(made.to_dict()) == {"predictions", "latents", "weights"}
    small = model.morph_faces(faces, steps=70)
    again = model.predict_faces(small.frames)
    for name, p in small.predictions.probabilities.items():  # predicted from what is shown
        np.testing.assert_allclose(p, again.probabilities[name], atol=0.02)


def test_an_array_is_an_image_and_is_aligned(model: FaceFeatureModel, photos: list[str]) -> None:
    by_name = model.morph(photos[0], photos[1], steps=3, size=64)
    with Image.open(photos[0]) as one, Image.open(photos[1]) as other:
        by_pixels = model.morph(np.asarray(one), np.asarray(other), steps=3, size=64)
    assert by_name.frames.shape == (3, 64, 64, 3) and (by_name.frames == by_pixels.frames).all()
    assert (by_name.faces.crops == model.align(photos[:2])).all()


def test_python_and_the_command_have_the_same_defaults() -> None:
    from facefeat.cli.edit import edit
    from facefeat.cli.morph import morph

    for command, method in ((morph, FaceFeatureModel.morph_faces), (edit, FaceFeatureModel.edit)):
        python = {n: p.default for n, p in inspect.signature(method).parameters.items() if p.default is not p.empty}
        typed = {p.name: p.to_info_dict()["default"] for p in command.params}
        shared = python.keys() & typed.keys() - {"bounce"}  # a flag, off in both
        assert len(shared) >= 3 and {n: python[n] for n in shared} == {n: typed[n] for n in shared}
    size = inspect.signature(FaceFeatureModel.morph).parameters["size"].default
    assert size == next(p.default for p in morph.params if p.name == "size") == 256
    assert set(MorphOptions.__annotations__) == {
        n for n, p in inspect.signature(FaceFeatureModel.morph_faces).parameters.items() if p.kind is p.KEYWORD_ONLY
    }


def test_a_long_morph_is_drawn_a_few_frames_at_a_time() -> None:
    fake, decoded = FakeModel(), []
    decode = fake.decode

    def counted(latents: np.ndarray) -> np.ndarray:
        decoded.append(len(latents))
        return decode(latents)

    fake.decode = counted  # type: ignore[method-assign]
    ends = decode(fake.latents[:2])
    made = FaceFeatureModel.morph_faces(fake, ends, enlarge(ends, 16), steps=150)  # type: ignore[arg-type]
    decoded.clear()
    frames = iter(made)
    assert next(frames).shape == (16, 16, 3) and decoded == [64]
    assert len(list(frames)) == 149 and decoded == [64, 64, 22]
    _ = made.frames, made.predictions
    assert decoded[3:] == [150]  # once for both


def test_options_that_are_not_valid_are_refused(model: FaceFeatureModel) -> None:
    a, b = toy_crops(2, 32)
    for options, said in (
        ({"steps": 1}, "steps"),
        ({"easing": "slow"}, "no such easing"),
        ({"size": 0}, "size must be"),
    ):
        with pytest.raises(InputError, match=said):
            model.morph(a, b, **options)
    with pytest.raises(InputError, match="at least two faces"):
        model.morph_faces(toy_crops(1, 32))
    plain = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32)
    for ask_for in (lambda: plain.morph(a, b), lambda: plain.morph_faces(toy_crops(2, 32))):
        with pytest.raises(PresetError, match="train-decoder"):
            ask_for()


def test_photos_become_a_file(preset: Path, photos: list[str], tmp_path: Path) -> None:
    out = tmp_path / "m.gif"
    done = ask(*photos[:2], "-o", out, "--preset", preset, "--steps", 7, "--size", 64, "--attributes", "--bounce")
    assert done.exit_code == 0, done.output
    assert "12 frames of 128 x 64 pixels" in done.stdout
    with Image.open(out) as picture:
        assert (picture.size, picture.n_frames) == ((128, 64), 12)


def test_the_main_one_of_several_faces_is_taken_aloud_and_another_on_request(
    preset: Path, photos: list[str], tmp_path: Path
) -> None:
    common = ("--preset", preset, "--steps", 3, "--size", 32)
    said = ask(photos[0], photos[2], "-o", tmp_path / "m.png", *common)
    assert said.exit_code == 0 and "has 2 faces; face 1, the main one, is taken" in said.stderr
    chosen = ask(photos[0], photos[2], "-o", tmp_path / "n.png", *common, "--face", 1, "--face", 2)
    assert chosen.exit_code == 0 and "the main one" not in chosen.stderr
    none = ask(photos[0], photos[2], "-o", tmp_path / "o.png", *common, "--face", 3)
    assert isinstance(none.exception, InputError) and "has 1 face. Received: --face 3" in str(none.exception)


def test_predictions_are_written_beside_the_frames(tmp_path: Path) -> None:
    fake = FakeModel()
    ends = fake.decode(fake.latents[:2])
    made = FaceFeatureModel.morph_faces(fake, enlarge(ends, 32), steps=5)  # type: ignore[arg-type]
    made.save(tmp_path / "frames", attributes=True)
    names = sorted(p.name for p in (tmp_path / "frames").iterdir())
    assert len(names) == 5
    with Image.open(tmp_path / "frames" / names[0]) as picture:
        assert picture.size == made.frame_size(attributes=True) == (64, 32)
        assert np.asarray(picture)[:, 32:].std() > 5
    with pytest.raises(InputError, match="too much for an animation"):
        FaceFeatureModel.morph_faces(fake, enlarge(ends, 512), steps=9999).save(tmp_path / "m.gif")  # type: ignore[arg-type]


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
