"""Directions in a preset, and the commands that need them, with a tiny model and its tiny decoder."""

from __future__ import annotations

import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from facefeat import FaceFeatureModel, InputError, PresetError
from facefeat.cli import cli
from facefeat.errors import DataError
from facefeat.latent import fit_directions
from facefeat.presets.latent_directions import as_stored, read_directions
from facefeat.presets.store import sha256
from facefeat.testing import toy_crops
from facefeat.training import DecoderRecipe
from made import TINY, dataset

RECIPE = """
seed = 1
[decoder]
name = "detail"
config = { code = 4, filters = [8, 8], encoder = [4, 4] }
[train]
epochs = 1
batch_size = 12
warmup_epochs = 0.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three presets of one model: `plain`, with a decoder in `run/preset`, and `old`, the same without directions."""
    from keras.utils import set_random_seed

    set_random_seed(3)
    home = tmp_path_factory.mktemp("presets")
    dataset(home / "faces", 48)
    FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32).save(home / "plain", name="tiny")
    (home / "tiny.toml").write_text(RECIPE, "utf-8")
    done = ask("train-decoder", "--recipe", home / "tiny.toml", "--preset", home / "plain",
               "--data", home / "faces" / "faces.csv", "--output", home / "run")  # fmt: skip
    assert done.exit_code == 0, done.output
    model = FaceFeatureModel.from_preset(home / "run" / "preset")
    model._parts.replace_decoder(model.decoder)
    model.save(home / "old")
    return home


@pytest.fixture(scope="module")
def model(folder: Path) -> FaceFeatureModel:
    return FaceFeatureModel.from_preset(folder / "run" / "preset")


def ask(*args: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, args)))


def test_training_a_decoder_leaves_directions_that_are_hashed(folder: Path, model: FaceFeatureModel) -> None:
    preset = folder / "run" / "preset"
    assert f"{sha256(preset / 'directions.npz')}  directions.npz" in (preset / "SHA256SUMS").read_text("utf-8")
    d = model.directions
    assert (d.feature_dim, d.latent_dim, d.faces) == (8, 12, 36)
    assert [a for a, _ in d.probes] == ["age", *["gender"] * 2, *["race"] * 5]
    latents = model.encode(toy_crops(5, 32))
    assert d.values(latents).shape == (5, 8) and model.latent_dim == 12


def test_they_go_with_the_model(model: FaceFeatureModel, tmp_path: Path) -> None:
    again = FaceFeatureModel.from_preset(model.save(tmp_path / "again")).directions
    assert again.probes == model.directions.probes
    for name in ("mean", "weights", "follow", "group_means", "components"):
        assert (getattr(again, name) == getattr(model.directions, name)).all()


def test_an_older_preset_loads_and_says_which_command_fits_them(folder: Path, tmp_path: Path) -> None:
    old = FaceFeatureModel.from_preset(folder / "old")
    assert old.reconstruct(toy_crops(2, 32)).shape == (2, 32, 32, 3)
    for call in (lambda: old.edit(toy_crops(1, 32), {"age": 5}), lambda: old.compose({"age": 5})):
        with pytest.raises(PresetError, match="Next: facefeat fit-directions"):
            call()
    shutil.copytree(folder / "old", tmp_path / "old")
    done = ask("fit-directions", "--preset", tmp_path / "old", "--data", folder / "faces" / "faces.csv")
    assert done.exit_code == 0 and "directions of age, gender, race, from 36 faces" in done.stdout, done.output
    assert FaceFeatureModel.from_preset(tmp_path / "old").directions.faces == 36


def test_of_many_faces_the_least_sharp_quarter_is_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FaceFeatureModel.from_preset(folder / "run" / "preset")
    faces = dataset(tmp_path / "d", 24)
    assert fit_directions.fit_directions(model, faces).faces == 24
    monkeypatch.setattr(fit_directions, "FEW", 24)
    assert fit_directions.fit_directions(model, faces).faces == 18


@pytest.mark.parametrize(("largest", "stored"), [(1.0, "float16"), (1e6, "float32")])
def test_components_are_stored_in_half_of_the_bytes_where_they_fit(
    model: FaceFeatureModel, tmp_path: Path, largest: float, stored: str
) -> None:
    components = model.directions.components
    d = replace(model.directions, components=as_stored(components * np.float32(largest / np.abs(components).max())))
    d.write(tmp_path / "directions.npz")
    with np.load(tmp_path / "directions.npz") as arrays:
        assert arrays["components"].dtype == stored
    again = read_directions(tmp_path / "directions.npz", model.schema, d.feature_dim, d.latent_dim)
    assert (again.components == d.components).all()


def test_a_plain_preset_says_what_to_train(folder: Path, repo: Path, tmp_path: Path) -> None:
    portrait, out = repo / "docs" / "assets" / "portrait.jpg", tmp_path / "o.png"
    data = folder / "faces" / "faces.csv"
    for args in (
        ("edit", portrait, "--age", "+20", "-o", out, "--preset", folder / "plain"),
        ("compose", "--age", 70, "-o", out, "--preset", folder / "plain"),
        ("fit-directions", "--preset", folder / "plain", "--data", data),
    ):
        failed = ask(*args)
        assert isinstance(failed.exception, PresetError) and "Next: facefeat train-decoder" in str(failed.exception)
    assert not out.exists()
    with pytest.raises(PresetError, match="train-decoder"):
        FaceFeatureModel.from_preset(folder / "plain").fit_directions(dataset(tmp_path / "d", 24))


def test_a_new_decoder_drops_them(folder: Path, tmp_path: Path) -> None:
    model = FaceFeatureModel.from_preset(folder / "run" / "preset")
    faces = dataset(tmp_path / "d", 24)
    recipe = {"name": "t", "decoder": {"name": "upsampling", "config": {"filters": [4]}}}
    recipe |= {"train": {"epochs": 1, "warmup_epochs": 0.5}}
    model.fit_decoder(faces.split("train"), faces.split("val"), DecoderRecipe.from_dict(recipe))
    with pytest.raises(PresetError, match="no directions"):
        _ = model.directions
    with pytest.raises(DataError, match="10 faces or more"):
        model.fit_directions(faces.take(range(9)))


def test_a_file_that_is_not_what_was_written_is_refused(folder: Path, model: FaceFeatureModel, tmp_path: Path) -> None:
    good = folder / "run" / "preset" / "directions.npz"
    widths = model.schema, 8, 12
    assert read_directions(good, *widths).faces == 36
    arrays = dict(np.load(good))
    bad = tmp_path / "directions.npz"

    def refused(said: str, schema_and_widths: tuple = widths, **changes: object) -> None:
        if changes:
            np.savez(bad, **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
        with pytest.raises(PresetError, match=said):
            read_directions(bad, *schema_and_widths)

    refused("weights", weights=None)
    refused("holds Python objects", weights=np.array([{"a": 1}], object))
    refused("finite", mean=np.full(12, np.nan, "float32"))
    refused("float32", mean=np.zeros(12))
    refused("follow must be", follow=arrays["follow"][:, :3])
    refused("not in the schema", readouts=np.array([("hair", "")] * 8))
    refused("pairs of names", readouts=np.zeros((8, 2)))
    refused("weights must be", weights=np.zeros(3, "float32"))
    refused("the model has 13", (model.schema, 8, 13), faces=np.array(36))
    bad.write_bytes(b"no archive")
    refused("does not fit the model.*Next: facefeat fit-directions")
    np.savez(bad, **{k: v for k, v in arrays.items() if k != "mean"})
    with zipfile.ZipFile(bad, "a") as archive:  # a header that claims more numbers than memory holds
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
        archive.writestr("mean.npy", header.getvalue())
    refused("claims more numbers than it has")
    with zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", b"\0" * 65_000_000)
    refused("unpacks to over")


def test_one_that_is_not_listed_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "old", tmp_path / "p")
    shutil.copy(folder / "run" / "preset" / "directions.npz", tmp_path / "p")
    with pytest.raises(PresetError, match=r"SHA256SUMS does not list 'directions.npz'"):
        FaceFeatureModel.from_preset(tmp_path / "p")


def test_edit_draws_a_picture_and_a_strip(folder: Path, repo: Path, tmp_path: Path) -> None:
    portrait, preset = repo / "docs" / "assets" / "portrait.jpg", folder / "run" / "preset"
    done = ask("edit", portrait, "--age", "-20", "-o", tmp_path / "a.png", "--preset", preset, "--size", 64)
    assert done.exit_code == 0 and "age " in done.stdout and "reached at" in done.stdout, done.output
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (64, 64)
    whole = ask(
        "edit", portrait, "--age", "+10", "--whole", "--no-residual", "-o", tmp_path / "w.png", "--preset", preset
    )
    assert whole.exit_code == 0, whole.output
    with Image.open(tmp_path / "w.png") as picture, Image.open(portrait) as photo:
        assert picture.size == photo.size
        changed = np.asarray(picture).astype(int) != np.asarray(photo.convert("RGB"))
        assert changed.any() and not changed[:5].any() and not changed[:, :5].any()
    strip = ask("edit", portrait, "--age", "+10", "--gender", "Female:0.6", "--attribute", "race=Asian", "--synthetic",
                "--grid", "-o", tmp_path / "s.jpg", "--preset", preset, "--size", 64,
                "--method", "orthogonal")  # fmt: skip
    assert strip.exit_code == 0, strip.output
    with Image.open(tmp_path / "s.jpg") as picture:
        assert picture.width == 6 * (64 + 4) + 4 and picture.height > 64 + 30
    assert ask("edit", portrait, "--race", "Asian", "--allow-race-edit", "-o", tmp_path / "r.png", "--preset", preset,
               "--size", 64).exit_code == 0  # fmt: skip
    ages = ask("edit", portrait, "--strip", "-o", tmp_path / "ages.png", "--preset", preset, "--size", 64)
    assert ages.exit_code == 0 and "can be read as" in ages.stdout, ages.output
    with Image.open(tmp_path / "ages.png") as picture:
        assert picture.width == 8 * (64 + 4) + 4
    for args, said in (
        ((), "nothing to change"),
        (("--age", "old"), "age takes a step in years"),
        (("--gender", "Femal"), "Did you mean 'Female'"),
        (("--attribute", "hair=red"), "no such attribute"),
        (("--attribute", "hair"), "NAME=VALUE"),
        (("--age", "+1", "--attribute", "age=2"), "asked for twice"),
        (("--age", "20"), "age 20 could mean 20 years more, or 20 years in all"),
        (("--age", "+1", "--face", "2"), "has 1 face"),
        (("--age", "1", "--whole", "--grid"), "leave --grid out"),
        (("--age", "+1", "--strip"), "leave --age, --gender"),
        (("--strip", "--whole"), "leave --whole out"),
        (("--race", "Asian"), "--allow-race-edit if the person agrees"),
        (("--age", "1", "--whole", "--size", "64"), "leave --size out"),
    ):
        failed = ask("edit", portrait, *args, "-o", tmp_path / "n.png", "--preset", preset)
        assert isinstance(failed.exception, InputError) and said in str(failed.exception), failed.output
    wrong = ask("edit", portrait, "--age", "+1", "-o", tmp_path / "n.gif", "--preset", preset)
    assert "a .png or .jpg file" in str(wrong.exception) and not list(tmp_path.glob("n.*"))


def test_compose_draws_faces_and_the_nearest_real_ones(folder: Path, tmp_path: Path) -> None:
    preset, out = folder / "run" / "preset", tmp_path / "c.png"
    done = ask("compose", "--age", 70, "--gender", "Female", "--set", "3=2.5", "--set", "11=-1", "--count", 2,
               "-o", out, "--preset", preset, "--size", 64, "--nearest", folder / "faces" / "faces.csv",
               "--split", "val")  # fmt: skip
    assert done.exit_code == 0 and "written to" in done.stdout, done.output
    with Image.open(out) as picture:
        assert picture.width == 6 * (64 + 4) + 4 and picture.height > 2 * (64 + 30)
    for args, said in (
        (("--set", "x=1"), "--set takes COORDINATE=VALUE"),
        (("--set", "12=1"), "whole numbers from 0 to 11"),
        (("--age", 300), "age takes years from 0 to 116"),
        (("--race", "Martian"), "no such race"),
    ):
        failed = ask("compose", *args, "-o", tmp_path / "n.png", "--preset", preset)
        assert isinstance(failed.exception, InputError) and said in str(failed.exception), failed.output
    assert not (tmp_path / "n.png").exists()


def test_the_nearest_face_of_a_face_is_itself(folder: Path, model: FaceFeatureModel) -> None:
    from facefeat.latent.compose import nearest_faces

    faces = dataset(folder / "again", 24)
    crops = faces.crops(32).take([2, 9])
    near = nearest_faces(model, model.encode(crops), faces, 3)
    assert near.rows[:, 0].tolist() == [2, 9] and (near.crops[:, 0] == crops).all() and near.distances[0, 0] < 1e-3
    assert near.files[1][0] == faces.table["file"].iloc[9]
    with pytest.raises(DataError, match="fewer than the 30"):
        nearest_faces(model, model.encode(crops), faces, 30)
