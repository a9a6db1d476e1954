"""The built-in analyzers: each keeps the contract, finds what was planted, and finds nothing in noise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from facefeat import FaceFeatureModel, InputError
from facefeat.builtin.analyzers import COMPONENTS
from facefeat.builtin.analyzers.masks import blanked, landmark_mask
from facefeat.builtin.analyzers.statistics import bootstrap_mean, correlation, holm, sign_flips, two_sided
from facefeat.image.align import ALIGNMENTS
from facefeat.schema import get_schema
from facefeat.testing import check_analyzer, toy_crops, toy_preset
from facefeat.types import FaceSet

pytest.importorskip("matplotlib")
BUILD = {c.name: c.build for c in COMPONENTS}
CHANGED: dict[str, dict[str, Any]] = {
    "pca": {"components": 3},
    "tsne": {"perplexity": 5.0, "limit": 30},
    "directions": {"orthogonal": True},
    "probe": {"seed": 1},
    "coordinates": {"top": 3},
    "neighbours": {"k": 2, "metric": "cosine"},
    "background": {"fill": "black"},
}
KEPT = {
    "tsne": ("seed",),
    "directions": ("seed",),
    "coordinates": ("show",),
    "neighbours": ("show", "seed"),
    "background": ("masks", "grow", "limit", "draws", "top", "seed"),
}
UTK = get_schema("utkface")


class Schemed:
    """What an analyzer needs of a model to know the order of classes."""

    schema = UTK


def planted(n: int = 300, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray], FaceSet]:
    """Latents (n, 12): coordinate 0 is age, 1 gender with some age, 2 is race Black; the rest is noise."""
    rng = np.random.default_rng(seed)
    years = rng.integers(1, 90, n).astype("float32")
    gender, race = rng.integers(0, 2, n), rng.integers(0, 5, n)
    z = rng.normal(size=(n, 12))
    z[:, 0] = years / 20 + rng.normal(0, 0.1, n)
    z[:, 1] = 4 * gender + 0.5 * years / 20 + rng.normal(0, 0.1, n)
    z[:, 2] = 4 * (race == 1) + rng.normal(0, 0.1, n)
    labels = {
        "age": np.array([UTK["age"].classes[UTK["age"].axis.group_of(y)] for y in years]),
        "gender": np.asarray(UTK["gender"].classes)[gender],
        "race": np.asarray(UTK["race"].classes)[race],
    }
    files = tuple(f"f{i}.png" for i in range(n))
    faces = FaceSet(files, {"age": years}, lambda at: np.zeros((len(at), 8, 8, 3), "uint8"))
    return z.astype("float32"), labels, faces


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)
def test_contract(component: Any) -> None:
    config = {"draws": 2} if component.name == "background" else {}
    check_analyzer(
        component, config=config, changed=CHANGED[component.name], keep=KEPT.get(component.name, ()), skip=("import",)
    )


@pytest.mark.parametrize("name", sorted(BUILD))
def test_a_wrong_setting_is_told(name: str) -> None:
    with pytest.raises(InputError, match=name):
        BUILD[name](nonsense=1)
    key = {"pca": "components", "directions": "orthogonal", "coordinates": "top"}.get(name, "seed")
    with pytest.raises(InputError, match=f"{name}.*{key}"):
        BUILD[name](**{key: "many"})


def test_unknown_labels_and_a_constant_coordinate_are_no_obstacle() -> None:
    z, labels, faces = planted(80)
    z[:, 5] = 1.0
    labels = {n: np.where(np.arange(80) % 7 == 0, "", v) for n, v in labels.items()}
    for name in set(BUILD) - {"background"}:
        analysis = BUILD[name]().analyze(z, labels, Schemed(), faces)
        assert len(analysis.table)
        numbers = analysis.table.select_dtypes("number").drop(
            columns=["low", "high", "cosine", "seen"], errors="ignore"
        )
        assert np.isfinite(numbers.drop(columns=[c for c in numbers if c.startswith("same_")])).all().all(), name


def test_nan_and_mismatched_labels_are_refused() -> None:
    z, labels, _ = planted(30)
    with pytest.raises(InputError, match="29 labels of 'age'"):
        BUILD["pca"]().analyze(z, {"age": labels["age"][1:]})
    z[3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        BUILD["probe"]().analyze(z, labels)


def test_directions_are_in_the_attributes_units_and_orthogonal_on_request() -> None:
    z, labels, faces = planted()
    found = BUILD["directions"]().analyze(z, labels, Schemed(), faces)
    table = found.table.set_index("direction")
    assert list(table.index) == ["age", "gender", *(f"race-{c}" for c in UTK["race"].classes)]
    assert table.loc["age", "unit"] == "years" and table.loc["age", "held_out"] > 0.98
    # A length of 1 along coordinate 0 is 20 years, a step one standard deviation of the faces; coordinate 1 goes along.
    per_length, age = table["per_step"] / table["spread"], found.directions["age"]
    assert age[0] > 0.8 and per_length["age"] == pytest.approx(20 * age[0], rel=0.1)
    assert table.loc["gender", "class"] == "Female" and table.loc["gender", "held_out"] > 0.99
    assert abs(table.loc["race-White", "held_out"] - 0.5) < 0.2, "nothing but Black was planted"
    apart = BUILD["directions"](orthogonal=True).analyze(z, labels, Schemed(), faces)
    assert abs(found.directions["gender"] @ found.directions["age"]) > 0.01
    assert abs(apart.directions["gender"] @ found.directions["age"]) < 1e-5
    assert table.loc["gender", "per_step"] > apart.table.set_index("direction").loc["gender", "per_step"] > 0


def test_probe_reads_what_was_planted_on_held_out_faces_and_nothing_more() -> None:
    z, labels, faces = planted()
    found = BUILD["probe"]().analyze(z, labels, Schemed(), faces)
    table = found.table
    assert found.summary is not None and set(found.summary["attribute"]) == set(labels)
    assert len(found.summary) == (table["read_from"] == "all").sum()
    of = table.set_index(["attribute", "read_from", "measure"])
    gender = of.loc[("gender", "all", "accuracy")]
    assert gender["value"] > 0.97 and gender["low"] <= gender["value"] <= gender["high"]
    assert of.loc[("age", "all", "mae"), "value"] < 3 < 15 < of.loc[("age", "all", "mae"), "chance"]
    assert of.loc[("gender", "1", "balanced_accuracy"), "value"] > 0.95
    assert abs(of.loc[("gender", "4", "balanced_accuracy"), "value"] - 0.5) < 0.12
    noise = {"gender": np.random.default_rng(1).permutation(labels["gender"])}
    shuffled = BUILD["probe"]().analyze(z, noise).table.query("read_from == 'all' and measure == 'balanced_accuracy'")
    assert abs(shuffled["value"].iloc[0] - 0.5) < 0.12


def test_coordinates_name_faces_and_attributes_and_correct_for_many_tests() -> None:
    z, labels, faces = planted()
    found = BUILD["coordinates"](top=2).analyze(z, labels, Schemed(), faces)
    assert list(found.table["carries"][:3]) == ["age", "gender", "race"]
    assert found.table["most"][0].split()[0] == f"f{z[:, 0].argmax()}.png"
    assert found.table["least"][0].split()[0] == f"f{z[:, 0].argmin()}.png"
    assert "coordinates-faces" in found.figures and "coordinates-traversal" not in found.figures
    rng = np.random.default_rng(0)
    noise = BUILD["coordinates"]().analyze(rng.normal(size=(200, 300)).astype("float32"), planted(200)[1], Schemed())
    assert (noise.table["carries"] == "").all()


def test_a_traversal_is_drawn_where_there_is_a_decoder_and_only_there() -> None:
    z, labels, faces = planted(40)

    class Decoding(Schemed):
        def decode(self, latents: np.ndarray) -> np.ndarray:
            return np.zeros((len(latents), 8, 8, 3), "uint8")

    class Without(Schemed):
        def decode(self, latents: np.ndarray) -> np.ndarray:
            raise InputError("no decoder")

    build = BUILD["coordinates"](top=2, show=2)
    assert "coordinates-traversal" in build.analyze(z, labels, Decoding(), faces).figures
    assert "coordinates-traversal" not in build.analyze(z, labels, Without(), faces).figures


def test_neighbours_are_exact() -> None:
    z, labels, faces = planted(50)
    found = BUILD["neighbours"](k=3).analyze(z, labels, Schemed(), faces)
    table = found.table
    assert found.summary is not None and list(found.summary["attribute"]) == list(labels)
    for row in found.summary.itertuples(index=False):
        assert row[1] == pytest.approx(table[f"same_{row.attribute}"].mean()) and 0 < row.chance <= 1
    far = np.linalg.norm(z[:, None] - z[None], axis=-1) + np.where(np.eye(50), np.inf, 0)
    np.testing.assert_array_equal(table["neighbour"].to_numpy().reshape(50, 3), far.argsort(axis=1)[:, :3])
    np.testing.assert_allclose(table["distance"].to_numpy().reshape(50, 3), np.sort(far, axis=1)[:, :3], rtol=1e-4)


class Reading:
    """A model whose latent is (middle grey, corner grey, both): face, background, half and half; reads "gender"."""

    image_size, alignment, schema = 16, ALIGNMENTS["utkface"], UTK

    def encode(self, crops: np.ndarray) -> np.ndarray:
        x = crops.astype("float32").mean(axis=-1) / 64
        face, corner = x[:, 6:10, 6:10].mean(axis=(1, 2)), x[:, :2, :2].mean(axis=(1, 2))
        return np.stack([face, corner, face + 0.5 * corner], axis=1)

    def predict_without(self, crops: np.ndarray, coordinates: Any, at: np.ndarray) -> Any:
        z = self.encode(crops)
        z[:, list(coordinates)] = at[list(coordinates)]

        class Said:
            labels = {"gender": np.where(z[:, 1] > z[:, 1].mean() if z[:, 1].std() else z[:, 0] < 0, "Female", "Male")}  # noqa: RUF012

        return Said()


def test_background_is_found_and_masking_it_is_measured_with_significance() -> None:
    rng = np.random.default_rng(0)
    crops = np.zeros((120, 16, 16, 3), "uint8")
    crops[:] = rng.integers(0, 255, (120, 1, 1, 1))
    crops[:, 3:13, 3:13] = rng.integers(0, 255, (120, 1, 1, 1))
    model = Reading()
    z = model.encode(crops)
    labels = {"gender": np.where(z[:, 1] > z[:, 1].mean(), "Female", "Male")}  # a model that lives on the background
    faces = FaceSet(tuple(f"{i}.png" for i in range(120)), {}, lambda at: crops[at])
    table = BUILD["background"](draws=3).analyze(z, labels, model, faces).table
    coordinates = table[table["kind"] == "coordinate"]
    assert list(coordinates["carries_background"].astype(bool)) == [False, True, False]
    assert coordinates["background_share"].iloc[1] > 0.95 and coordinates["background_share"].iloc[0] < 0.05
    masking = table[table["kind"] == "masking"].iloc[0]
    assert masking["difference"] < -0.3 and masking["high"] < 0 and masking["p"] < 0.01
    asked = BUILD["background"](draws=3, top=1).analyze(z, labels, model, faces).table
    pd.testing.assert_frame_equal(asked, table)  # the one with the highest share is the one that was found
    two = BUILD["background"](draws=3, top=2).analyze(z, labels, model, faces).table
    assert (two["kind"] == "masking").sum() == 1 and not two.equals(table)
    with pytest.raises(InputError, match="--data"):
        BUILD["background"]().analyze(z, labels)

    class Detailed(Reading):
        """What it keeps of the background is a detail code, which no head sees: there is nothing to mask."""

        has_decoder, decoder = True, SimpleNamespace(feature_dim=1)

    table = BUILD["background"](draws=3).analyze(z, labels, Detailed(), faces).table
    assert table["carries_background"].tolist() == [False, True, False]
    table = BUILD["background"](draws=3, top=3).analyze(z, labels, Detailed(), faces).table
    masking = table[table["kind"] == "masking"].iloc[0]
    assert masking["difference"] == masking["random_difference"]  # of one coordinate that is seen, both draw that one


def test_masks_come_from_landmarks_or_from_a_folder(tmp_path: Path) -> None:
    from PIL import Image

    mask = landmark_mask(ALIGNMENTS["utkface"], 96, 1.9)
    marks = (np.asarray(ALIGNMENTS["utkface"].landmarks) * 96).astype(int)
    assert mask[marks[:, 1], marks[:, 0]].all() and not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert 0.3 < mask.mean() < 0.7
    crops = toy_crops(2, 96)
    hidden = blanked(crops, np.broadcast_to(mask, (2, 96, 96)), "black")
    assert not hidden[:, mask].any() and (hidden[:, ~mask] == crops[:, ~mask]).all()

    model = FaceFeatureModel.from_preset(toy_preset(tmp_path / "preset"))
    some = toy_crops(10, model.image_size)
    faces = FaceSet(tuple(f"a/{i}.jpg" for i in range(10)), {}, lambda at: some[at])
    z = model.encode(some)
    with pytest.raises(InputError, match=r"mask of none.*'\d\.png'"):
        BUILD["background"](masks=str(tmp_path)).analyze(z, {}, model, faces)
    for i in range(9):
        Image.fromarray(mask).save(tmp_path / f"{i}.png")
    table = BUILD["background"](masks=str(tmp_path)).analyze(z, {}, model, faces).table
    assert len(table) == model.latent_dim
    with pytest.raises(InputError, match="no such folder"):
        BUILD["background"](masks=str(tmp_path / "nowhere")).analyze(z, {}, model, faces)


def test_statistics() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, np.nan])), [0.03, 0.06, 0.06, np.nan])
    rng = np.random.default_rng(0)
    d = rng.normal(size=(100, 50))
    assert (sign_flips(d, 0) > 0.05).all()
    d[:, 7] += 1
    p = sign_flips(d, 0)
    assert p[7] < 0.001 and (np.delete(p, 7) > 0.05).all()
    assert two_sided(np.zeros(5), 0) == 1 and two_sided(-np.ones(20), 0) < 0.01
    low, high = bootstrap_mean(d, 0)
    assert (
        (low < d.mean(axis=0)).all()
        and (d.mean(axis=0) < high).all()
        and high[0] - low[0] == pytest.approx(0.39, abs=0.1)
    )
    assert correlation(d, d)[3] == pytest.approx(1) and correlation(np.ones((5, 2)), np.arange(5.0)).tolist() == [0, 0]


def test_the_command_writes_an_atomic_folder_and_tells_what_is_wrong_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from facefeat.cli import cli
    from facefeat.cli.analyze import setting
    from facefeat.data import load_dataset
    from made import TINY, squares

    assert setting("seed=1") == ("seed", 1) and setting("metric=cosine") == ("metric", "cosine")
    with pytest.raises(InputError, match="KEY=VALUE"):
        setting("seed")
    table = squares(tmp_path / "data", 24)
    model = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32)
    preset = model.save(tmp_path / "preset", name="tiny")
    arguments = ["--data", str(table), "--split", "train", "--preset", str(preset), "--output", str(tmp_path / "out")]
    for wrong in (["pcaa"], ["pca", "--option", "components=0"], ["pca", "--option", "parts=2"]):
        result = CliRunner().invoke(cli, ["analyze", *wrong, *arguments])
        assert result.exception is not None and not (tmp_path / "out").exists()
    result = CliRunner().invoke(cli, ["analyze", "pca", *arguments, "--option", "components=2"], catch_exceptions=False)
    assert result.exit_code == 0 and "table.csv (2 rows)" in result.output
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"table.csv", "directions.npz", "pca-variance.png"}
    dataset = load_dataset(table, schema="utkface")
    study = model.analyze(dataset, "neighbours", k=1)
    assert len(study.table) == 24 and study.table["file"][0].endswith(".png")
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(InputError, match="is not an analysis"):
        study.save(tmp_path / "out")
