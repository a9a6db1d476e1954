"""Attributes of every kind, from a table to an exported file, by commands and data alone; and kinds one by one."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facefeat import AttributePrediction, Component, FaceFeatureModel, LabelError, RecipeError, Schema, SchemaError
from facefeat.cli import run
from facefeat.data import load_dataset
from facefeat.networks.postprocess import Calibration, read_logits
from facefeat.plugins.kinds import captions, get_kind, say
from facefeat.schema import Attribute, get_schema
from facefeat.testing import check_attribute_kind, check_loss, registered, toy_crops
from facefeat.training import load_recipe
from facefeat.utils.text import with_unit

EMOTIONS = ("calm", "glad", "sad", "angry", "afraid", "disgusted", "surprised")
SCHEMA = f"""
name = "mine"

[attributes]
emotion = {{ classes = {json.dumps(EMOTIONS)} }}
wears = {{ kind = "multilabel", classes = ["glasses", "hat"] }}
yaw = {{ kind = "continuous", unit = "degrees", range = [-90, 90], bins = [-30, 30] }}
"""
RECIPE = """
summary = "every kind"
image_size = 32
schema = "SCHEMA"
backbone = { name = "compact", config = { widths = [8, 8], blocks = [1, 1], stem = 8 } }
head = { name = "mlp", config = { trunk = [] } }
train = { epochs = 2, batch_size = 16, warmup_epochs = 0.5 }
augment = { flip = false }

[loss.emotion]
balance = "inverse"

[loss.yaw]
kind = "huber"
delta = 0.2
weight = 2.0
"""


def faces(folder: Path, count: int = 96) -> Path:
    """A CSV of squares; every tenth cell is empty, and one row has a hat that nobody knows."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = ["file,split,emotion,wears,yaw"]
    for i in range(count):
        picture = rng.integers(0, 80, (40, 40, 3)) + 20 * (i % 7)
        Image.fromarray(picture.astype("uint8")).save(folder / f"{i}.png")
        cells = [
            EMOTIONS[i % 7],
            ("glasses, hat", "glasses|HAT", "none", "hat")[i // 4 % 4],
            f"{rng.uniform(-90, 90):.1f}",
        ]
        if i % 10 == 9:
            cells[i // 10 % 3] = ""
        rows.append(f'{i}.png,{"val" if i % 4 == 3 else "train"},{cells[0]},"{cells[1]}",{cells[2]}')
    rows += ["0.png,train,glad,helmet,0", "1.png,train,glad,hat,91"]
    table = folder / "faces.csv"
    table.write_text("\n".join(rows) + "\n", "utf-8")
    return table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schema, the imported table and what training wrote: commands only."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.toml").write_text(SCHEMA, "utf-8")
    (folder / "recipe.toml").write_text(RECIPE.replace("SCHEMA", str(folder / "mine.toml")), "utf-8")
    source = faces(folder / "pictures")
    imported = f"data import {source} --schema {folder / 'mine.toml'} --output {folder / 'table'}"
    assert run(imported.split()) == 0
    trained = f"train --recipe {folder / 'recipe.toml'} --data {folder / 'table'} --output {folder / 'run'}"
    assert run(trained.split()) == 0
    return folder


@pytest.fixture(scope="module")
def model(made: Path) -> FaceFeatureModel:
    return FaceFeatureModel.from_preset(made / "run" / "preset", detector="whole-image")


def test_a_summary_counts_each_class_of_several_in_each_split(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = made / "pictures" / "faces.csv"
    assert run(f"data import {source} --schema {made / 'mine.toml'} --output {tmp_path / 'a'}".split()) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (hat,) = [cells for cells in lines if cells[:2] == ["wears", "hat"]]
    assert int(hat[2]) == sum(map(int, hat[3:])) and "0" not in hat[3:]


def test_a_table_with_every_kind_is_imported_with_its_gaps(made: Path) -> None:
    data = load_dataset(made / "table")
    assert len(data) == 96 and {s.file: s.reason.split(". ")[0] for s in data.skipped} == {
        "0.png": "no such wears",
        "1.png": "no such yaw",
    }
    assert list(data.table.columns) == ["file", "split", "emotion", "wears", "yaw"]
    assert data.table["wears"].iloc[[0, 4, 8, 12]].tolist() == ["glasses, hat", "glasses, hat", "none", "hat"]
    targets = data.targets()
    assert {n: t.shape for n, t in targets.items()} == {"emotion": (96, 1), "wears": (96, 2), "yaw": (96, 1)}
    assert [int(np.isnan(t).any(axis=1).sum()) for t in targets.values()] == [3, 3, 3]
    counts = data.counts["wears"]
    assert counts[""] == 3 and counts["hat"] + counts["none"] == 93 and counts["glasses"] > counts["none"] > 20
    assert list(data.counts["yaw"]) == ["-90 to -30", "-30 to 30", "30 to 90", ""]
    again = load_dataset(made / "pictures" / "faces.csv", schema=get_schema(made / "mine.toml"))
    assert again.fingerprint == data.fingerprint


def test_it_is_trained_calibrated_and_evaluated(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = json.loads((made / "run" / "training.json").read_text())
    assert len(log["epochs"]) == 2 and np.isfinite(log["epochs"][-1]["loss"])
    report = json.loads((made / "run" / "report.json").read_text())
    assert {"emotion_accuracy", "wears_exact_accuracy", "yaw_mae", "score"} <= set(report["metrics"])
    groups = {(row["attribute"], row["group"]) for row in report["by_group"]}
    assert {("wears", "glasses"), ("wears", "none"), ("yaw", "-30 to 30"), ("emotion", "afraid")} <= groups
    card = (made / "run" / "preset" / "model_card.md").read_text()
    assert "| yaw mae |" in card and "| wears | hat |" in card
    pytest.importorskip("jinja2")
    where = f"--data {made / 'table'} --preset {made / 'run' / 'preset'} --bootstrap 20 --report {made / 'audit'}"
    assert run(f"evaluate {where}".split()) == 0
    audit = json.loads((made / "audit" / "report.json").read_text())
    assert {"emotion", "wears: glasses", "wears: hat"} == set(audit["confusion"])
    assert set(audit["errors"]) == {"yaw"} and {"mae", "bias"} <= set(audit["errors"]["yaw"][0])
    assert "degrees" in (made / "audit" / "report.html").read_text()
    assert (made / "audit" / "figures" / "yaw-error.png").is_file()


def test_it_is_predicted_as_csv_json_and_lines(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = made / "pictures" / "0.png"
    command = ["predict", str(photo), "--preset", str(made / "run" / "preset"), "--detector", "whole-image"]
    assert run([*command, "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {"yaw", "yaw_low", "yaw_high", "wears:hat", "wears_probability", "emotion:glad"} <= set(row)
    assert -90 <= float(row["yaw"]) <= 90 and row["wears"] in ("glasses, hat", "glasses", "hat", "none")
    assert run([*command, "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)[0]["faces"]
    assert face["attributes"]["yaw"]["unit"] == "degrees" and face["attributes"]["yaw"]["probability"] is None
    assert isinstance(face["attributes"]["wears"]["labels"], list) and face["age_years"] is None
    assert run([*command, "--annotate", str(made / "drawn"), "--min-confidence", "0.999"]) == 0
    line = capsys.readouterr().out
    assert "emotion unsure" in line and "degrees" in line and (made / "drawn" / "0-faces.jpg").is_file()


def test_its_predictions_are_a_table(model: FaceFeatureModel) -> None:
    table = model.predict_faces(toy_crops(3, 32)).to_frame()
    assert list(table.columns[:4]) == ["yaw", "yaw_low", "yaw_high", "emotion"] and len(table) == 3


def test_it_is_exported_and_answers_as_keras_does(model: FaceFeatureModel, tmp_path: Path) -> None:
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    from facefeat.export.metadata import ExportMetadata
    from facefeat.export.runtimes import outputs_of

    fitted = {
        "emotion": {"temperature": 0.7, "bias": [0.1] * 7},
        "wears": {"slopes": [2.0, 0.5], "offsets": [0.1, -0.2]},
        "yaw": {"scale": 0.9, "offset": 3.0, "interval": {"coverage": 0.9, "margin": 20.0}},
    }
    model.classifier.calibration = Calibration.from_dict(fitted, model.schema)
    made = model.export(tmp_path / "mine.onnx")
    about = ExportMetadata.from_json(made.metadata.to_json(), "mine.onnx")
    assert about.schema == model.schema
    crops = toy_crops(6, 32)
    found = outputs_of(made.path, "onnx", crops)
    assert found is not None
    ours, theirs = model.predict_faces(crops), about.batch(found)
    # A preset stores half precision: 0.02 of 180 degrees is what that leaves.
    for name, near in (("probabilities", 1e-3), ("values", 0.02), ("intervals", 0.02)):
        for attribute, wanted in getattr(ours, name).items():
            np.testing.assert_allclose(getattr(theirs, name)[attribute], wanted, atol=near)
    assert theirs.coverages == {"yaw": 0.9}
    assert [captions(theirs.row(i)) for i in range(6)] == [captions(ours.row(i)) for i in range(6)]


def test_directions_and_explanations_know_every_kind(model: FaceFeatureModel, made: Path) -> None:
    from facefeat.latent.fit_directions import directions_of

    data = load_dataset(made / "table")
    latents = model.classifier.encode(data.crops(32)[:])
    probes = directions_of(latents, data.targets(), data.schema, latents.shape[1]).probes
    assert ("yaw", "") in probes and ("wears", "none") in probes and ("emotion", "glad") in probes
    for name in model.schema.attributes:
        assert np.isfinite(model.explain(toy_crops(2, 32), name).maps).all()


def attribute(kind: str, **table: Any) -> Attribute:
    return Attribute.from_dict("toy", {"kind": kind, **table})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "continous", "range": [0, 1]}, "no such attribute_kind.*Did you mean 'continuous'"),
        ({"kind": 3}, "'kind' must be a name"),
        ({"kind": "continuous"}, "needs its range, such as"),
        ({"kind": "continuous", "range": [3, 3]}, "needs its range"),
        ({"kind": "continuous", "range": [0, "x"]}, "needs its range"),
        ({"kind": "continuous", "range": [0, 9], "unit": 3}, "'unit' must be a string"),
        ({"kind": "continuous", "range": [0, 9], "bins": [5, 4]}, "'bins' must be rising numbers"),
        ({"kind": "continuous", "range": [0, 9], "bins": [9]}, "'bins' must be rising numbers"),
        ({"kind": "continuous", "range": [0, 9], "classes": ["a", "b"]}, "unknown key"),
        ({"kind": "multilabel", "classes": []}, "needs at least one class"),
        ({"kind": "multilabel", "classes": ["hat, cap"]}, "cannot be parsed from a list"),
        ({"kind": "multilabel", "classes": ["None"]}, "cannot be parsed from a list"),
        ({"kind": "multilabel", "classes": ["hat"], "years": [[0, 1]]}, "unknown key"),
        ({"kind": "categorical", "classes": ["a", "b"], "ordered": True}, "has no order"),
    ],
)
def test_a_table_that_does_not_fit_its_kind_says_why(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.from_dict({"name": "x", "attributes": {"toy": table}})


@pytest.mark.parametrize("text", ["91", "-90.5", "nan", "inf", "about 3", "3 degrees", "1e9"])
def test_a_number_outside_its_range_is_no_label(text: str) -> None:
    yaw = attribute("continuous", range=[-90, 90], unit="degrees")
    with pytest.raises(LabelError, match="Valid: a number from -90 to 90 degrees"):
        yaw.strategy.parse(yaw, text)


def test_answers_are_said_in_words() -> None:
    schema = Schema(
        "x",
        {
            "age": get_schema("utkface")["age"],
            "size": attribute("ordered", classes=["small", "large"]),
            "wears": attribute("multilabel", classes=["glasses", "hat"]),
            "yaw": attribute("continuous", range=[-90, 90], unit="degrees"),
        },
    )
    logits = {"age": np.full((1, 117), -30.0), "size": np.array([[9.0, 0]]), "yaw": np.array([[0.5]])}
    logits["age"][0, 34] = 30
    on, off = np.array([[3.0, 2.0]]), np.array([[-3.0, -2.0]])
    row = read_logits(schema, {**logits, "wears": on}).row(0)
    assert captions(row) == ["34 years", "size small >99%", "glasses 95%, hat 88%", "yaw 45 degrees"]
    assert say("age", row["age"]).text == "34 (30-39 >99%)" and row["wears"].labels == ("glasses", "hat")
    assert say("wears", read_logits(schema, {**logits, "wears": off}).row(0)["wears"]).short == "wears none 88%"


def test_intervals_of_a_number_cover_what_they_say() -> None:
    yaw, rng = attribute("continuous", range=[-90, 90]), np.random.default_rng(0)
    true = rng.uniform(-60, 60, 1000)
    outputs = ((0.5 * true + rng.normal(0, 8, 1000)) / 90)[:, None]
    targets = true[:, None].astype("float32")
    fitted = yaw.strategy.calibrate(yaw, outputs[:500], targets[:500], 0.9, 0)
    assert 1.2 < fitted["scale"] < 2  # the outputs were too narrow by half
    answers = yaw.strategy.read(yaw, outputs[500:], fitted)
    scores = yaw.strategy.score(yaw, answers, targets[500:], np.ones((1, 500)))
    assert scores["coverage"][0] == pytest.approx(0.9, abs=0.04) and scores["skill"][0] > 0.5


def test_platt_scaling_makes_sure_answers_honest() -> None:
    wears, rng = attribute("multilabel", classes=["glasses", "hat"]), np.random.default_rng(0)
    z = rng.normal(0, 1.5, (4000, 2))
    targets = (rng.random((4000, 2)) < 1 / (1 + np.exp(-z))).astype("float32")
    fitted = wears.strategy.calibrate(wears, 3 * z, targets, 0.9, 0)
    np.testing.assert_allclose(fitted["slopes"], 1 / 3, atol=0.05)
    before, after = (wears.strategy.read(wears, 3 * z, c) for c in ({}, fitted))
    eces = [wears.strategy.score(wears, a, targets, np.ones((1, 4000)))["ece"][0] for a in (before, after)]
    assert eces[1] < 0.03 < eces[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[loss.yaw]\nkind = 'focal'", r"loss\.yaw\.kind: loss 'focal' does not fit 'yaw', which is continuous. Valid"),
        ("[loss.yaw]\ndelta = 0", r"line \d+: loss\.yaw\.delta: loss 'huber': 'delta' must be a number"),
        ("[loss.yaw]\ndelte = 0.1", r"loss\.yaw\.delte: unknown key.*Did you mean 'delta'"),
        ("[loss.wears]\nbalance = 'inverse'", r"loss\.wears\.balance: a 'balance' is for attributes with one class"),
    ],
)
def test_a_loss_must_fit_the_kind(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SCHEMA, "utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"schema = {json.dumps(str(tmp_path / 'mine.toml'))}\n{text}\n", "utf-8")
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe)


CHECKED = {
    "categorical": {},
    "ordered": {
        "table": {"classes": ["young", "old"], "years": [[0, 39], [40, 99]], "exact": True},
        "labels": ["3", "old", "77"],
    },
    "multilabel": {"table": {"classes": ["a", "b", "c"]}, "labels": ["a, b", "none", "c"]},
    "continuous": {"table": {"range": [-5, 5]}, "labels": ["-5", "0.25", "5"]},
}


@pytest.mark.parametrize("kind", CHECKED)
def test_the_built_in_kinds_keep_the_contract(kind: str) -> None:
    from facefeat.plugins.registry import get_registry

    component = get_registry().get("attribute_kind", kind).component
    check_attribute_kind(component, **CHECKED[kind], skip=["import"])


YEARS = {"classes": ["young", "old"], "years": [[0, 39], [40, 99]], "exact": True}
LOSSES: dict[str, dict[str, Any]] = {
    "cross-entropy": {"changed": {"label_smoothing": 0.1}},
    "distribution": {"changed": {"sigma": 5, "label_smoothing": 0.1}, "table": YEARS, "labels": ["3", "old", "77"]},
    "focal": {"changed": {"gamma": 1, "label_smoothing": 0.1}},
    "ordinal": {"changed": {"label_smoothing": 0.1}, "table": YEARS, "labels": ["3", "old", "77"]},
    "squared": {"changed": {"label_smoothing": 0.1}},
    "binary-cross-entropy": {
        "changed": {"label_smoothing": 0.1},
        "table": {"kind": "multilabel", "classes": ["a", "b"]},
        "labels": ["a", "a, b", "none"],
    },
    "huber": {
        "changed": {"delta": 0.5},
        "table": {"kind": "continuous", "range": [-5, 5]},
        "labels": ["-5", "0.25", "5"],
    },
    "mse": {"table": {"kind": "continuous", "range": [-5, 5]}, "labels": ["-5", "0.25", "5"]},
}


def test_every_loss_is_checked() -> None:
    from facefeat.plugins.registry import get_registry

    assert {i.name for i in get_registry().all("loss") if i.distribution == "facefeat"} == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_the_built_in_losses_keep_the_contract(name: str) -> None:
    from facefeat.plugins.registry import get_registry

    check_loss(get_registry().get("loss", name).component, **LOSSES[name], skip=["import"])


EXAMPLE = Path(__file__).resolve().parent.parent / "plugins" / "facefeat-example" / "src"


def test_a_kind_and_a_loss_of_a_plugin_are_used_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example plugin's `circular` and `poly`: one file each, and nothing else."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from facefeat_example.kind import KIND
    from facefeat_example.loss import LOSS

    with registered({"attribute_kind": [KIND], "loss": [LOSS]}, "facefeat-example"):
        schema = {
            "name": "turned",
            "attributes": {
                "emotion": {"classes": ["calm", "glad"]},
                "roll": {"kind": "circular", "range": [-180, 180], "unit": "degrees"},
            },
        }
        roll = Schema.from_dict(schema)["roll"]
        answers = roll.strategy.read(roll, np.array([[np.sin(3.1), np.cos(3.1)]]), {})
        assert roll.outputs == 2 and answers.values is not None and answers.values[0] == pytest.approx(177.6, abs=0.1)
        error = roll.strategy.per_face(roll, answers, np.array([[-178.0]], "float32"))["mae"]
        assert error[0] == pytest.approx(4.4, abs=0.1)  # the short way round
        assert get_kind("circular").losses(roll) == ("huber", "mse")

        (tmp_path / "turned.toml").write_text(
            'name = "turned"\n[attributes.emotion]\nclasses = ["calm", "glad"]\n'
            '[attributes.roll]\nkind = "circular"\nrange = [-180, 180]\nunit = "degrees"\n'
        )
        rng = np.random.default_rng(0)
        rows = ["file,split,emotion,roll"]
        for i in range(32):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), "uint8")).save(tmp_path / f"{i}.png")
            rows.append(f"{i}.png,{'val' if i % 4 == 0 else 'train'},{('calm', 'glad')[i % 2]},{i * 11 - 170}")
        (tmp_path / "faces.csv").write_text("\n".join(rows))
        data = load_dataset(tmp_path / "faces.csv", schema=tmp_path / "turned.toml")
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(
            f"schema = {json.dumps(str(tmp_path / 'turned.toml'))}\nimage_size = 32\n"
            'backbone = { name = "compact", config = { widths = [8, 8], blocks = [1, 1], stem = 8 } }\n'
            'head = { name = "mlp", config = { trunk = [] } }\n'
            "train = { epochs = 2, batch_size = 8, warmup_epochs = 0.5 }\n"
            '[loss.emotion]\nkind = "poly"\nepsilon = 0.5\nbalance = "inverse"\n[loss.roll]\nkind = "mse"\n'
        )
        model = FaceFeatureModel.from_recipe(recipe, detector="whole-image")
        model.fit(data.split("train"), data.split("val"), recipe)
        assert {"roll_mae", "emotion_accuracy"} <= set(model.evaluate(data.split("val"), bootstrap=0).metrics)
        model.save(tmp_path / "preset")
        again = FaceFeatureModel.from_preset(tmp_path / "preset", detector="whole-image")
        crops = data.crops(32)[:]
        np.testing.assert_allclose(
            again.predict_faces(crops).values["roll"], model.predict_faces(crops).values["roll"], atol=2
        )


def test_a_kind_that_breaks_its_contract_is_told(tmp_path: Path) -> None:
    from facefeat.testing import ContractError

    with pytest.raises(ContractError, match="build must give an AttributeKind"):
        check_attribute_kind(Component("nothing", object, "no kind at all"), skip=["import"])

    def forgetful(*, attribute: Attribute) -> Any:
        from facefeat.plugins.registry import get_registry

        loss = get_registry().build("loss", "mse", attribute=attribute)
        return lambda targets, outputs: loss(np.nan_to_num(targets), outputs)

    table = {"kind": "continuous", "range": [-5, 5]}
    with pytest.raises(ContractError, match="unknown .NaN. must cost nothing"):
        check_loss(Component("forgetful", forgetful, "x"), table=table, labels=["1", "2"], skip=["import"])


def test_files_that_a_kind_or_a_loss_takes(repo: Path) -> None:
    """One file each, beside its line in the list of the room."""
    names = {p.stem for p in (repo / "src/facefeat/builtin/losses").glob("*.py")} - {"__init__", "common"}
    assert names == {name.replace("-", "_") for name in LOSSES}
    assert {f"{k}.py" for k in CHECKED} <= set(os.listdir(repo / "src/facefeat/builtin/kinds"))
    outside = [p for p in (repo / "src").rglob("*.py") if "builtin" not in p.parts and p.name != "schema.py"]
    assert not [p for p in outside if any(f'"{k}"' in p.read_text("utf-8") for k in ("multilabel", "continuous"))]


def test_one_year_is_a_year() -> None:
    baby = AttributePrediction("0-2", 0.9, {"0-2": 0.9}, value=1.2, unit="years", kind="ordered")
    assert (
        captions({"age": baby}) == ["1 year"] and with_unit("41", "years") == "41 years" and with_unit("3", "") == "3"
    )
