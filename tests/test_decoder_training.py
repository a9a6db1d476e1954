"""A decoder, end to end: it learns, resumes with the same numbers, is saved and read again, and says what it lacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from facefeat import FaceFeatureModel, InputError, PresetError, RecipeError, TrainingError
from facefeat.cli import cli
from facefeat.data import FaceDataset
from facefeat.latent.portraits import Portraits
from facefeat.networks.runtime import RuntimeOptions
from facefeat.training import DecoderRecipe, list_decoder_recipes, load_decoder_recipe
from made import TINY, Copies, dataset, squares
from test_training import Recorder

DETAIL = {"name": "detail", "config": {"code": 6, "filters": [12, 12, 8, 8], "encoder": [8, 12, 12]}}
SMALL = {"name": "detail", "config": {"code": 6, "filters": [6, 6], "encoder": [6]}}
SPATIAL = {
    "name": "spatial",
    "config": {
        "code": 3, "planes": 1, "filters": [6, 6, 4], "fine": 4, "first": 3, "encoder": [6, 6], "encoder_side": 16,
        "places": [4, 4],
    },
}  # fmt: skip
SMALLEST = {"name": "detail", "config": {"code": 3, "filters": [6, 6], "encoder": [6]}}
# Narrower ones learn by luck: with few ReLU units a backend's random numbers may leave most of them dead.
UPSAMPLING = {"name": "upsampling", "config": {"filters": [32, 32, 16]}}
ALL = {"pixels": 1.0, "perceptual": 0.01, "swap": 0.01, "features": 0.01, "independence": 0.01, "adversarial": 0.001}
KEPT = ("loss", "mse", "psnr", "kept_race", "score")


def recipe(
    decoder: Mapping[str, Any] = SMALL,
    loss: Mapping[str, float] = ALL,
    view: Mapping[str, float] | None = None,
    **train: Any,
) -> DecoderRecipe:
    options = {"epochs": 2, "batch_size": 12, "warmup_epochs": 0.5, "learning_rate": 3e-3, **train}
    options["mixed_precision"] = "float32"
    table = {"name": "tiny", "decoder": decoder, "train": options, "loss": loss, "view": view or {}}
    return DecoderRecipe.from_dict(table)


def model() -> FaceFeatureModel:
    from keras.utils import set_random_seed

    set_random_seed(3)
    return FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32, detector="whole-image")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    return dataset(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def trained(faces: FaceDataset) -> FaceFeatureModel:
    made = model()
    made.fit_decoder(faces.split("train"), faces.split("val"), recipe(loss={"pixels": 1.0}))
    return made


@pytest.fixture(scope="module")
def presets(trained: FaceFeatureModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two presets, to be copied before one is changed: `tiny` of what was trained, `plain` without a decoder."""
    folder = tmp_path_factory.mktemp("presets")
    trained.save(folder / "tiny", name="tiny", card="# tiny\n")
    model().save(folder / "plain", name="plain")
    return folder


@pytest.fixture
def copied(presets: Path, tmp_path: Path) -> Path:
    """A copy of `tiny`."""
    return Path(shutil.copytree(presets / "tiny", tmp_path / "a"))


@pytest.mark.backend
@pytest.mark.parametrize("decoder", [UPSAMPLING, DETAIL], ids=["upsampling", "detail"])
def test_a_decoder_beats_the_mean_picture(faces: FaceDataset, decoder: dict[str, Any]) -> None:
    made = model()
    before = made._classifier.backbone_model.get_weights()
    train, val = faces.split("train"), faces.split("val")
    log = made.fit_decoder(train, val, recipe(decoder, {"pixels": 1.0}, epochs=30))
    pictures = val.crops(32)[:].astype("float32")
    mean = np.mean((train.crops(32)[:].mean(axis=0) - pictures) ** 2)
    error = np.mean((made.reconstruct(val.crops(32)[:]).astype("float32") - pictures) ** 2)
    assert error < 0.7 * mean
    assert log.epochs[log.best_epoch]["mse"] == pytest.approx(error / 255**2, rel=0.02)
    for a, b in zip(before, made._classifier.backbone_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert made._classifier.backbone_model.trainable


def test_a_decoder_may_draw_larger_faces_than_the_classifier_sees(faces: FaceDataset, tmp_path: Path) -> None:
    made = model()
    log = made.fit_decoder(faces.split("train"), faces.split("val"), recipe(SPATIAL, classifier_from=0.0))
    seen, shown = (faces.split("val").crops(side)[:3] for side in (32, 64))
    assert made.image_size == 32 and made.decoder.face_size == 64
    drawn = made.reconstruct(seen)
    assert drawn.shape == (3, 64, 64, 3) and np.isfinite(log.epochs[log.best_epoch]["score"])
    loaded = FaceFeatureModel.from_preset(made.save(tmp_path / "preset"), detector="whole-image")
    assert loaded.decoder.runtime.name == "onnx" and np.abs(loaded.reconstruct(seen).astype(int) - drawn).max() <= 2
    portraits = Portraits.of(loaded, seen, shown)
    assert portraits.crops.shape == portraits.reconstructions.shape == shown.shape
    assert (portraits.restore(portraits.reconstructions, [0, 1, 2]) == portraits.crops).all()
    frames = loaded.morph_faces(seen, shown, steps=3).frames
    assert frames.shape[1:] == (64, 64, 3) and (frames[0] == shown[0]).all()


@pytest.mark.backend
def test_a_resumed_run_ends_with_the_same_numbers(faces: FaceDataset, tmp_path: Path) -> None:
    data = faces.split("train"), faces.split("val")
    loss = {"pixels": 1.0, "swap": 0.01, "adversarial": 0.001}
    view = {"rotation": 8.0, "brightness": 0.1}
    chosen = recipe(SMALLEST, loss, view, epochs=2, classifier_from=0.5, traverse=3.0)
    straight, resumed, copies, recorder = model(), model(), Copies(tmp_path / "run", 1), Recorder()
    log = straight.fit_decoder(*data, chosen, folder=copies.folder, reporter=copies)
    again = resumed.fit_decoder(*data, chosen, folder=copies.at(1), resume=True, reporter=recorder)
    assert recorder.first == 1 and recorder.epochs == 1
    for a, b in zip(log.epochs, again.epochs, strict=True):
        assert {k: a[k] for k in KEPT} == {k: b[k] for k in KEPT}
    for one, other in zip(straight.decoder.weights, resumed.decoder.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert "swap_kept_gender" in log.epochs[0]
    with pytest.raises(TrainingError, match="belongs to another recipe"):
        model().fit_decoder(*data, recipe(SMALLEST, epochs=4), folder=copies.at(1), resume=True)


def test_a_preset_keeps_its_decoder(trained: FaceFeatureModel, faces: FaceDataset, copied: Path) -> None:
    crops = faces.crops(32)[:5]
    assert trained.latent_dim == 8 + 6 and trained.encode(crops).shape == (5, 14)
    again = FaceFeatureModel.from_preset(copied)
    assert again.has_decoder and again.latent_dim == 14
    made = again.decode(again.encode(crops))
    assert made.shape == (5, 32, 32, 3) and made.dtype == np.uint8
    # Kernels are kept in float16.
    assert np.abs(made.astype(int) - trained.reconstruct(crops)).max() <= 3
    np.testing.assert_array_equal(made, again.reconstruct(crops))
    again.save(copied)  # over the folder that the decoder is read from
    once_more = FaceFeatureModel.from_preset(copied)
    np.testing.assert_array_equal(once_more.reconstruct(crops), made)
    assert (copied / "model_card.md").read_text() == "# tiny\n"
    config = json.loads((copied / "config.json").read_text())["decoder"]
    assert config["name"] == "detail" and config["distribution"] == "facefeat" and config["detail"] == 6
    assert json.loads((copied / "decoder_training.json").read_text())["recipe"]["name"] == "tiny"


@pytest.mark.parametrize("name", ["decoder.weights.h5", "detail_encoder.weights.h5"])
def test_a_missing_or_altered_decoder_is_named(copied: Path, name: str) -> None:
    data = bytearray((copied / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / name).write_bytes(bytes(data))
    with pytest.raises(PresetError, match=f"'{name}' was altered"):
        FaceFeatureModel.from_preset(copied)
    (copied / name).unlink()
    with pytest.raises(PresetError, match=f"the file '{name}' is missing"):
        FaceFeatureModel.from_preset(copied)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(name="detial"), r"needs the decoder 'detial' of facefeat .*Did you mean 'detail'"),
        (lambda d: d["config"].update(code=7), "does not fit|breaks its contract"),
        (lambda d: d.pop("feature_dim"), "incomplete or has a wrong type"),
        (lambda d: d.update(feature_dim=9), "does not fit"),
    ],
    ids=["name", "config", "key", "width"],
)
def test_a_decoder_that_does_not_fit(copied: Path, edit: Any, message: str) -> None:
    from test_presets_store import change

    change(copied, lambda c: edit(c["decoder"]))
    # What needs no decoder goes on to work.
    read = FaceFeatureModel.from_preset(copied, runtime=RuntimeOptions("keras"))
    with pytest.raises(PresetError, match=message):
        read.decode(np.zeros((1, 14), "float32"))


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (np.zeros((2, 8), "float32"), r"latents must be \(N, 14\). Received: an array of shape \(2, 8\)"),
        (np.zeros(14, "float32"), r"must be \(N, 14\)"),
        (np.full((2, 14), np.nan), "finite.*2 of 2, first in row 0"),
        (np.full((1, 14), 1e300), "finite"),
        (np.full((1, 14), "a"), "numbers"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
        (None, r"must be \(N, 14\)"),
    ],
    ids=["width", "one", "nan", "infinite", "text", "ragged", "none"],
)
def test_latents_that_are_none_are_refused(trained: FaceFeatureModel, latents: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trained.decode(latents)


def test_no_latents_give_no_faces(trained: FaceFeatureModel) -> None:
    assert trained.decode(np.zeros((0, 14))).shape == (0, 32, 32, 3)
    assert trained.reconstruct(np.zeros((0, 40, 40, 3), "uint8")).shape == (0, 32, 32, 3)


def test_a_model_without_decoder_says_what_to_train() -> None:
    plain = model()
    crops = np.zeros((1, 32, 32, 3), "uint8")
    assert not plain.has_decoder and plain.encode(crops).shape == (1, 8)
    for ask in (lambda: plain.decode(np.zeros((1, 8))), lambda: plain.reconstruct(crops), plain.require_decoder):
        with pytest.raises(PresetError, match=r"has no decoder.*facefeat train-decoder --recipe utkface-detail"):
            ask()


@pytest.mark.parametrize("name", sorted(list_decoder_recipes()))
def test_the_shipped_recipes_fit_the_bundled_preset(name: str) -> None:
    from facefeat.training import build_decoder

    shipped = load_decoder_recipe(name)
    assert shipped.summary and DecoderRecipe.from_dict(shipped.to_dict()) == shipped
    bundled = FaceFeatureModel.from_preset(shipped.preset)
    decoder = build_decoder(bundled._classifier, shipped)
    weights = sum(part.count_params() for part in decoder.parts.values())
    assert decoder.image_size == 112 and weights * 2 < 15e6  # two bytes each in a preset


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[loss]\nswpa = 1.0\n", r"line 2: loss.swpa: unknown key. .*Did you mean 'swap'"),
        ("[train]\nepochs = 0\n", "line 2: train.epochs: impossible value"),
        ("[loss]\npixels = 0.0\n", "at least one weight"),
        ("[decoder]\nconfig = {}\n", "decoder.name: is missing"),
        ("seed = 'a'\n", "must be a whole number"),
    ],
)
def test_a_mistake_in_a_recipe_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_decoder_recipe(tmp_path / "mine.toml")


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'utkface-detail'"):
        load_decoder_recipe("utkface-detial")


def test_the_command_writes_a_preset_with_a_decoder(presets: Path, tmp_path: Path) -> None:
    table = squares(tmp_path / "data", 24)
    lines = [
        'decoder = { name = "detail", config = { code = 4, filters = [8, 8], encoder = [8] } }',
        "[train]\nepochs = 3\nbatch_size = 8",
        "[loss]\nswap = 0.1",
    ]
    (tmp_path / "mine.toml").write_text("\n".join(lines))
    words = ["--recipe", tmp_path / "mine.toml", "--preset", presets / "plain", "--data", table]
    words += ["--output", tmp_path / "run", "--epochs", "1"]
    done = CliRunner().invoke(cli, ["train-decoder", *map(str, words)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "run" / "preset")
    made = FaceFeatureModel.from_preset(tmp_path / "run" / "preset")
    assert made.name == "plain" and made.reconstruct(np.zeros((1, 32, 32, 3), "uint8")).shape == (1, 32, 32, 3)
    again = CliRunner().invoke(cli, ["train-decoder", *map(str, words)])
    assert isinstance(again.exception, InputError) and "--resume" in str(again.exception)


@pytest.mark.backend
def test_a_critic_learns_beside_the_decoder_and_pulls_it_from_its_epoch_on(faces: FaceDataset) -> None:
    from facefeat.training import build_decoder
    from facefeat.training.decoder_graph import decoder_model

    made = model()
    crops = faces.crops(32)[:6].astype("float32")
    chosen = recipe(SMALLEST, {"pixels": 1e-9, "adversarial": 1.0}, warmup_epochs=0.0)
    decoder = build_decoder(made._classifier, chosen)
    graph = decoder_model(made._classifier, decoder, chosen, 1)
    watched = [decoder.model.get_layer("pixels").bias, *graph.critic.trainable_variables]
    everything = [*graph.variables, *graph.optimizer.variables]
    start = [np.asarray(w).copy() for w in everything]

    def step(fooling: float) -> tuple[float, float]:
        """How far the first step moves the decoder's last bias, and the least moved weights of the critic."""
        for variable, value in zip(everything, start, strict=True):
            variable.assign(value)
        graph.fooling.assign(fooling)
        before = [np.asarray(w).copy() for w in watched]
        graph.fit(crops, batch_size=6, epochs=1, verbose=0)
        moved = [float(np.abs(np.asarray(w) - b).max()) for w, b in zip(watched, before, strict=True)]
        return moved[0], min(moved[1:-1])  # the last bias is pulled equally by real and made at the start

    # Adam's first step has the size of the learning rate, 0.003, wherever there is a gradient to speak of.
    decoder_moved, critic_moved = step(fooling=0.0)
    assert decoder_moved < 3e-4 and critic_moved > 1e-3
    decoder_moved, critic_moved = step(fooling=1.0)
    assert decoder_moved > 1e-3 and critic_moved > 1e-3


@pytest.mark.backend
def test_the_classifier_looks_from_its_epoch_on(faces: FaceDataset) -> None:
    from facefeat.training import build_decoder
    from facefeat.training.decoder_graph import decoder_model

    made, crops = model(), faces.crops(32)[:6].astype("float32")
    chosen = recipe(SMALLEST, {"pixels": 1e-9, "swap": 1.0, "perceptual": 1.0}, warmup_epochs=0.0)
    decoder = build_decoder(made._classifier, chosen)
    graph = decoder_model(made._classifier, decoder, chosen, 1)
    bias = decoder.model.get_layer("pixels").bias
    for looks in (False, True):
        before = np.asarray(bias).copy()
        graph.read_decoded(looks)
        graph.fit(crops, batch_size=6, epochs=1, verbose=0)
        assert (np.abs(np.asarray(bias) - before).max() > 1e-3) == looks


@pytest.mark.backend
def test_moves_go_along_the_ways_of_the_attributes(faces: FaceDataset) -> None:
    from facefeat.training.random_traverse import RandomTraverse, class_shifts

    made, train = model(), faces.split("train")
    features = made.encode(train.crops(32)[:])
    ways = class_shifts(features, train.targets(), made.schema)
    assert len(ways) == len(made.schema.attributes)
    layer = RandomTraverse(ways, 3.0, seed=1)
    start = np.tile(features, (1 + 400 // len(features), 1))[:400]
    drawn = np.asarray(layer(start, training=True))
    chosen = []
    for face, shift in zip(start.astype("float64"), drawn, strict=True):
        if not shift.any():  # to a class that these few faces do not tell
            continue
        # Each is a way from the face's own class, at most three times as long.
        near = []
        for way in ways:
            read = face @ way.weights.T + way.offsets
            own = int(read.argmax()) if len(read) > 1 else int((read > way.bounds).sum())
            for to in range(len(way.table)):
                unit = way.table[own, to]
                size = np.linalg.norm(unit)
                assert own != to or size == 0
                if size:
                    alike = float(shift @ unit / size / np.linalg.norm(shift))
                    near.append((alike, np.linalg.norm(shift) / size, way, to))
        alike, far, way, to = max(near, key=lambda found: found[0])
        assert alike > 0.999 and 0 < far <= 3.0001
        chosen.append((id(way), to, far))
    assert {c[0] for c in chosen} == {id(w) for w in ways}
    assert len(chosen) > 200 and len({c[1] for c in chosen if c[0] == id(ways[0])}) > 3
    assert max(c[2] for c in chosen) > 2.8
    assert not np.asarray(layer(start)).any()


def test_moved_features_are_asked_for_as_the_head_reads_them(faces: FaceDataset) -> None:
    from facefeat.training import build_decoder
    from facefeat.training.decoder_graph import decoder_model
    from facefeat.training.random_traverse import ClassShifts, RandomTraverse

    made, chosen = model(), recipe(SMALLEST, {"pixels": 1.0, "swap": 1.0})
    way = np.linspace(-1, 1, 8, dtype="float32")[None]
    table = np.stack([[0 * way[0], way[0]], [-way[0], 0 * way[0]]])
    moves = RandomTraverse([ClassShifts(np.ones((1, 8), "f"), np.zeros(1, "f"), np.zeros(1, "f"), table)], 2.0, seed=1)
    graph = decoder_model(made.classifier, build_decoder(made.classifier, chosen), chosen, 1, moves)
    seen = graph(faces.crops(32)[:8].astype("float32"), training=True)
    rows = [0, 4, 2, 6]
    before, asked = np.asarray(seen["features"])[rows], np.asarray(seen["asked"]["features"])
    far = (asked - before) @ way[0] / (way @ way[0])
    np.testing.assert_allclose(asked, before + far[:, None] * way, atol=1e-4)
    assert 0.05 < np.abs(far).max() <= 2.0 and len(set(far.round(4))) == 4
    # This head is linear, so it reads from one place what it reads from the mean of many.
    told = made.classifier.head_model(asked[:, None, None, :].repeat(4, 1).repeat(4, 2), training=False)
    for name, logits in told.items():
        np.testing.assert_allclose(np.asarray(seen["asked"]["logits"][name]), np.asarray(logits), atol=1e-3)


@pytest.mark.backend
def test_a_decoder_without_detail_learns_from_moved_features_too(faces: FaceDataset) -> None:
    chosen = recipe(UPSAMPLING, {"pixels": 1.0, "swap": 0.1}, {"shift": 0.05, "erase": 0.2}, epochs=1, traverse=2.0)
    log = model().fit_decoder(faces.split("train"), faces.split("val"), chosen)
    assert np.isfinite(log.epochs[0]["loss"])


def test_a_run_starts_from_another_presets_decoder(
    trained: FaceFeatureModel, faces: FaceDataset, presets: Path
) -> None:
    chosen = recipe(loss={"pixels": 1.0}, epochs=1, learning_rate=1e-12).replace(start=str(presets / "tiny"))
    made = model()
    made.fit_decoder(faces.split("train"), faces.split("val"), chosen)
    mine, its = (m.decoder.model.get_layer("pixels").get_weights()[0] for m in (made, trained))
    np.testing.assert_allclose(mine, its, atol=2e-3)  # kept in float16
    mixed = model()
    log = mixed.fit_decoder(
        faces.split("train"), faces.split("val"), chosen.replace(learning_rate=1.0, start_share=0.999)
    )
    half = mixed.decoder.model.get_layer("pixels").get_weights()[0]
    assert 1e-4 < np.abs(half - its).max() < 0.02
    alone = model()
    alone.fit_decoder(faces.split("train"), faces.split("val"), chosen.replace(learning_rate=1.0))
    assert np.abs(alone.decoder.model.get_layer("pixels").get_weights()[0] - its).max() > 1
    error = np.mean(
        (mixed.reconstruct(faces.split("val").crops(32)[:]) / 255.0 - faces.split("val").crops(32)[:] / 255.0) ** 2
    )
    assert log.epochs[log.best_epoch]["mse"] == pytest.approx(error, rel=0.02)
    with pytest.raises(TrainingError, match=r"start = .*its decoder 'detail' .*has other weights"):
        model().fit_decoder(
            faces.split("train"), faces.split("val"), recipe(SMALLEST, {"pixels": 1.0}).replace(start=chosen.start)
        )
    with pytest.raises(TrainingError, match=r"starts from another run's decoder. Next: --start PRESET"):
        model().fit_decoder(faces.split("train"), faces.split("val"), recipe(start_share=0.5))
    with pytest.raises(TrainingError, match="has no decoder"):
        model().fit_decoder(faces.split("train"), faces.split("val"), recipe().replace(start=str(presets / "plain")))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"classifier_from": 1.5}, r"classifier_from.*0 to 1"),
        ({"start_share": 1.0}, r"start_share.*0 to under 1"),
        ({"traverse": -1.0}, r"traverse.*0 to 20"),
        ({"view": {"shift": 1.0}}, r"shift.*0 to under 1"),
        ({"view": {"jpeg": 0.5}}, r"view.*jpeg"),
    ],
)
def test_impossible_values_are_told(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        recipe(SMALLEST, **wrong)


def test_a_mistaken_setting_of_the_decoder_comes_before_the_data_are_read(presets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('decoder = { name = "detail", config = { codes = 4 } }')
    words = ["--recipe", tmp_path / "mine.toml", "--preset", presets / "plain", "--data", tmp_path / "mine.toml"]
    done = CliRunner().invoke(cli, ["train-decoder", *map(str, words), "--output", str(tmp_path / "run")])
    assert isinstance(done.exception, InputError) and "'codes'" in str(done.exception)
