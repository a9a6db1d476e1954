"""What goes in comes out, nearest first; stopped runs go on; another model's latents are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facefeat import DataError, FaceFeatureModel, InputError, MissingExtraError
from facefeat.cli import cli, run
from made import TINY, dataset

pytest.importorskip("lancedb", reason="the index needs LanceDB: pip install 'facefeat[search]'")

from facefeat.index import DatasetFaces, FaceIndex, PhotoFaces, build_index
from facefeat.index import database as store
from facefeat.index.build import check_index_output, partial
from facefeat.index.sheet import neighbour_sheet
from facefeat.utils.neighbors import nearest


def tiny(seed: int = 3) -> FaceFeatureModel:
    from keras.utils import set_random_seed

    set_random_seed(seed)
    return FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32, detector="whole-image")


@pytest.fixture(scope="module")
def model() -> FaceFeatureModel:
    return tiny()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dataset(tmp_path_factory.mktemp("faces"), 24)


@pytest.fixture(scope="module")
def index(model: FaceFeatureModel, faces: Any, tmp_path_factory: pytest.TempPathFactory) -> FaceIndex:
    return build_index(model, DatasetFaces(faces), tmp_path_factory.mktemp("out") / "index")


def test_the_nearest_are_those_of_an_exact_search(model: FaceFeatureModel, faces: Any, index: FaceIndex) -> None:
    z = model.encode(faces.crops(32).take(np.arange(24)))
    near, far = nearest(z, 5, queries=z[:6])
    for i, found in enumerate(index.nearest(z[:6], 5)):
        assert [n.file for n in found] == [faces.table["file"].iloc[j] for j in near[i]]
        np.testing.assert_allclose([n.distance for n in found], far[i], atol=2e-3)
        assert [n.rank for n in found] == [1, 2, 3, 4, 5]
        row = faces.table.iloc[near[i][0]]
        assert found[0].labels == {n: row[n] for n in faces.schema.attributes}
        assert found[0].age_years == row["age_years"] and found[0].box is None
        assert found[0].crop is not None and found[0].crop.shape == (32, 32, 3)
    assert len(index.nearest(z[:1], 100)[0]) == len(index) == 24
    assert index.nearest(z[:1], 1, crops=False)[0][0].crop is None


def test_cosine_leaves_lengths_out(model: FaceFeatureModel, faces: Any, tmp_path: Path) -> None:
    made = build_index(model, DatasetFaces(faces), tmp_path / "i", metric="cosine", crops=False)
    z = model.encode(faces.crops(32).take(np.arange(3)))
    one, longer = made.nearest(z, 4), made.nearest(2.5 * z, 4)
    assert [[n.file for n in f] for f in one] == [[n.file for n in f] for f in longer]
    _, far = nearest(model.encode(faces.crops(32).take(np.arange(24))), 4, "cosine", z)
    np.testing.assert_allclose([[n.distance for n in f] for f in one], far, atol=1e-5)
    assert made.facts["crops"] is False
    with pytest.raises(InputError, match="keeps no pictures"):
        neighbour_sheet(None, one[0], "cosine")


@settings(max_examples=6)
@given(stop=st.integers(0, 5), chunk=st.integers(4, 9))
def test_a_stopped_run_goes_on_and_no_face_is_lost_or_doubled(
    model: FaceFeatureModel, faces: Any, tmp_path_factory: pytest.TempPathFactory, stop: int, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("stopped") / "index"
    seen: list[int] = []

    def killed(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) > stop:
            raise KeyboardInterrupt

    part = DatasetFaces(faces, chunk=chunk)
    try:
        build_index(model, part, folder, progress=killed)
    except KeyboardInterrupt:
        assert not folder.exists() and partial(folder).is_dir()
        with pytest.raises(InputError, match="not finished"):
            FaceIndex(partial(folder))
    seen.clear()
    made = build_index(model, part, folder, progress=lambda done, total: seen.append(done))
    assert not partial(folder).exists()
    rows = made._table.search().select(["unit", "file"]).limit(100).to_list()
    assert sorted(r["unit"] for r in rows) == list(range(24))
    assert {r["file"] for r in rows} == set(faces.table["file"])


def test_two_runs_cannot_write_one_index(model: FaceFeatureModel, faces: Any, tmp_path: Path) -> None:
    def start_another(done: int, total: int) -> None:
        with pytest.raises(InputError, match="another run is writing the index"):
            build_index(model, DatasetFaces(faces), tmp_path / "i")

    assert len(build_index(model, DatasetFaces(faces, chunk=9), tmp_path / "i", progress=start_another)) == 24
    assert [p.name for p in tmp_path.iterdir()] == ["i"]


def test_damaged_facts_are_another_run(model: FaceFeatureModel, faces: Any, tmp_path: Path) -> None:
    partial(tmp_path / "i").mkdir()
    for text in ("{}", "[]", "no JSON"):
        (partial(tmp_path / "i") / "index.json").write_text(text)
        assert len(build_index(model, DatasetFaces(faces), tmp_path / "i")) == 24
        partial(tmp_path / "i").mkdir()


def test_a_damaged_index_is_told_as_one(index: FaceIndex, model: FaceFeatureModel, faces: Any, tmp_path: Path) -> None:
    shutil.copytree(index.folder, tmp_path / "i")
    (data,) = (tmp_path / "i" / "faces.lance" / "data").iterdir()
    data.write_bytes(data.read_bytes()[:300])
    with pytest.raises(InputError, match=r"cannot be read: .*\. Next: facefeat index DATA -o FOLDER"):
        FaceIndex(tmp_path / "i").nearest(np.zeros((1, index.latent_dim)))
    shutil.copytree(index.folder, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone" / "faces.lance")
    with pytest.raises(InputError, match=r"cannot be read: Table .* was not found"):
        FaceIndex(tmp_path / "gone")
    facts = json.loads((tmp_path / "i" / "index.json").read_text())
    for wrong in ({"latent_dim": "8"}, {"metric": "x"}, {"attributes": [7]}, {"latent_dim": 10**9}):
        (tmp_path / "i" / "index.json").write_text(json.dumps(facts | wrong))
        with pytest.raises(InputError, match="is no index of faces"):
            FaceIndex(tmp_path / "i")
    (tmp_path / "i" / "index.json").write_text(json.dumps(facts | {"complete": False}))
    (tmp_path / "i").rename(partial(tmp_path / "i"))
    assert len(build_index(model, DatasetFaces(faces), tmp_path / "i")) == 24  # made anew, where a stopped run left it


def test_a_full_disk_is_a_sentence(
    model: FaceFeatureModel, faces: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(table: Any, metric: str) -> bool:
        raise RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), /x/y.rs:191:9")

    monkeypatch.setattr("facefeat.index.build.make_searchable", full)
    with pytest.raises(InputError, match=r"cannot write the index '.*': No space left on device \(os error 28\)$"):
        build_index(model, DatasetFaces(faces), tmp_path / "i")


def test_another_run_does_not_go_on_with_it(model: FaceFeatureModel, faces: Any, tmp_path: Path) -> None:
    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(model, DatasetFaces(faces, chunk=5), tmp_path / "i", progress=killed)
    other = tiny(seed=8)
    made = build_index(other, DatasetFaces(faces, chunk=5), tmp_path / "i")
    assert len(made) == 24 and made.facts["encoder"] == other.encoder_hash
    again = build_index(model, DatasetFaces(faces.split("val")), tmp_path / "i")  # an earlier one is replaced
    assert len(again) == 6 and sorted(p.name for p in tmp_path.iterdir()) == ["i"]


def test_another_models_latents_are_refused(model: FaceFeatureModel, index: FaceIndex, tmp_path: Path) -> None:
    index.check(model)
    index.check(FaceFeatureModel.from_preset(model.save(tmp_path / "saved", name="tiny")))  # its weights are rounded
    other = tiny(seed=8)
    with pytest.raises(InputError, match="holds latents of another version of the model 'untrained': index the faces"):
        index.check(other)
    other._metadata = replace(other._metadata, name="theirs")
    with pytest.raises(InputError, match=r"holds latents of the model 'untrained' \(\w{12}\), and 'theirs' gives"):
        index.check(other)
    for wrong, words in ((np.zeros((1, 3)), r"must be \(N, 8\)"), (np.full((1, 8), np.nan), "NaN")):
        with pytest.raises(InputError, match=words):
            index.nearest(wrong)
    with pytest.raises(InputError, match="count must be"):
        index.nearest(np.zeros((1, 8)), 0)


def test_the_hash_forgets_the_head_and_sees_every_weight_of_the_backbone(model: FaceFeatureModel) -> None:
    before, other = model.encoder_hash, tiny()
    assert other.encoder_hash == before
    other._classifier.head_model.set_weights([w + 1 for w in other._classifier.head_model.get_weights()])
    assert other.encoder_hash == before
    weights = other._classifier.backbone_model.get_weights()
    weights[0].flat[3] += 0.5
    other._classifier.backbone_model.set_weights(weights)
    assert other.encoder_hash != before


def test_what_is_in_the_way_stays(model: FaceFeatureModel, faces: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").touch()
    with pytest.raises(InputError, match="exists and is not an index"):
        build_index(model, DatasetFaces(faces), tmp_path / "mine")
    with pytest.raises(InputError, match="is no name for a new folder"):
        build_index(model, DatasetFaces(faces), ".")
    with pytest.raises(InputError, match="no such metric"):
        build_index(model, DatasetFaces(faces), tmp_path / "i", metric="manhattan")
    with pytest.raises(InputError, match="is no index of faces"):
        FaceIndex(tmp_path / "mine")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(DataError, match="no face was found"):
        build_index(model, PhotoFaces([str(tmp_path / "text.jpg")]), tmp_path / "i")
    assert not partial(tmp_path / "i").exists()


def test_a_large_index_is_searched_approximately_and_exactly_on_request(
    model: FaceFeatureModel, faces: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "EXACT_UP_TO", 1000)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 16)).astype("float32")
    import pyarrow as pa

    schema = store.schema_of(16, ())
    table = store.connect(tmp_path).create_table(store.TABLE, schema=schema)
    n = len(z)
    table.add(
        pa.table(
            {
                "unit": range(n), "file": [str(i) for i in range(n)], "face": [1] * n, "box": [None] * n,
                "age_years": [None] * n, "crop": [None] * n, "vector": list(z),
            },
            schema=schema,
        )
    )  # fmt: skip
    assert store.make_searchable(table, "euclidean")
    facts = {"version": 1, "complete": True, "encoder": "", "model": "m", "latent_dim": 16, "metric": "euclidean"}
    (tmp_path / "index.json").write_text(json.dumps({**facts, "attributes": [], "preset": "", "approximate": True}))
    made = FaceIndex(tmp_path)
    near, far = nearest(z, 10, queries=z[:20])
    exact, about = made.nearest(z[:20], 10, exact=True), made.nearest(z[:20], 10)
    assert [[int(n.file) for n in f] for f in exact] == near.tolist()
    recall = np.mean([len({int(n.file) for n in f} & set(t)) / 10 for f, t in zip(about, near, strict=True)])
    assert recall > 0.9
    np.testing.assert_allclose([f[0].distance for f in about], far[:, 0], atol=2e-3)


# ---------------------------------------------------------------- the commands


def test_a_data_set_keeps_its_own_labels_in_the_index(model: FaceFeatureModel, tmp_path: Path) -> None:
    for i in range(4):
        Image.new("RGB", (40, 40), (60 * i, 90, 90)).save(tmp_path / f"{i}.png")
    (tmp_path / "faces.csv").write_text(
        'file,mood,wears\n0.png,glad,"glasses, hat"\n1.png,sad,\n2.png,,hat\n3.png,sad,none\n'
    )
    wears = '[attributes.wears]\nkind = "multilabel"\nclasses = ["glasses", "hat"]\n'
    (tmp_path / "own.toml").write_text(f'name = "own"\n[attributes.mood]\nclasses = ["glad", "sad"]\n{wears}')
    assert (
        run(
            [
                "data",
                "import",
                str(tmp_path / "faces.csv"),
                "--schema",
                str(tmp_path / "own.toml"),
                "-o",
                str(tmp_path / "d"),
            ]
        )
        == 0
    )
    preset = model.save(tmp_path / "preset", name="tiny")
    done = ask("index", tmp_path / "d", "-o", tmp_path / "i", "--preset", preset)
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    found = FaceIndex(tmp_path / "i").nearest(np.zeros((1, 8), "float32"), 4)[0]
    labels = {n.file: (n.labels["mood"], n.labels["wears"]) for n in found}
    assert labels["0.png"] == ("glad", "glasses, hat") and labels["3.png"] == ("sad", "none")
    assert labels["1.png"][1] == "" == labels["2.png"][0]
    for i in range(4):  # photos of which nobody said so
        (tmp_path / "album").mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "album" / f"{i}.png")
    said = ask("index", tmp_path / "album", "-o", tmp_path / "j", "--preset", preset)
    assert "the same command with --photos" in str(said.exception)


def ask(*args: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, args)])


def test_photos_are_indexed_and_found_from_the_command_line(model: FaceFeatureModel, tmp_path: Path) -> None:
    preset = model.save(tmp_path / "preset", name="tiny")
    album = tmp_path / "album"
    album.mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (4, 4, 3), "uint8")
        Image.fromarray(pixels).resize((40, 40)).save(album / f"{i}.png")
    (album / "broken.jpg").write_bytes(b"no")
    common = ("--detector", "whole-image")
    done = ask("index", album, "--photos", "-o", tmp_path / "i", "--preset", preset, *common)
    assert done.exit_code == 0, done.output
    assert "6 faces, latents of 8 numbers" in done.stdout and "broken.jpg" in done.stderr
    query = album / "4.png"
    # The model is that of the index; no --preset.
    found = ask("similar", query, "--index", tmp_path / "i", "--count", 3, "-o", tmp_path / "s.png", "--json", *common)
    assert found.exit_code == 0, found.output
    listed = json.loads(found.stdout)
    assert len(listed) == 3 and Path(listed[0]["file"]).name == "4.png" and listed[0]["distance"] < 1e-3
    assert set(listed[0]) >= {"gender", "race", "age", "age_years", "box", "face", "rank"}
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 3 * 2 * 160
    np.save(tmp_path / "z.npy", model.encode(np.asarray(Image.open(query))[None])[0])
    by_latent = ask("similar", tmp_path / "z.npy", "--index", tmp_path / "i", "--count", 3)
    assert by_latent.exit_code == 0, by_latent.output
    lines = by_latent.stdout.splitlines()
    assert len(lines) == 4 and "4.png" in lines[1] and lines[0].split()[0] == "euclidean"
    facts = json.loads((tmp_path / "i" / "index.json").read_text())
    for address in ("hf://somebody/model", "https://example.com/a", "\\\\server\\share", "//server/share"):
        (tmp_path / "i" / "index.json").write_text(json.dumps({**facts, "preset": address}))
        refused = ask("similar", query, "--index", tmp_path / "i", *common)
        assert isinstance(refused.exception, InputError) and "Next: --preset with that address" in str(
            refused.exception
        )
    refused = ask("similar", query, "--index", tmp_path / "i", "--preset", "mobilenet-112-utkface", *common)
    assert isinstance(refused.exception, InputError) and "holds latents of the model 'tiny'" in str(refused.exception)


def test_mistakes_are_answered_before_the_work(index: FaceIndex, tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.zeros((2, 8)))
    (tmp_path / "text.npy").write_text("no array")
    for args, words in (
        (("index", "a", "b", "-o", tmp_path / "i"), "one data set at a time"),
        (("index", tmp_path, "--photos", "--split", "val", "-o", tmp_path / "i"), "not for --photos"),
        (
            ("index", tmp_path / "none", "-o", tmp_path / "i", "--metric", "l1"),
            "'l1' is not one of 'euclidean'",
        ),
        (("similar", "a.jpg", "--index", tmp_path), "is no index of faces"),
        (("similar", "a.jpg", "--index", index.folder), "no such file: 'a.jpg'"),
        (("similar", "a.jpg", "--index", index.folder, "-o", tmp_path / "s.pdf"), "a sheet is a picture"),
        (("similar", tmp_path / "two.npy", "--index", index.folder), "must hold one latent"),
        (("similar", tmp_path / "text.npy", "--index", index.folder), "is no .npy file"),
        (("similar", tmp_path / "gone.npy", "--index", index.folder), "no such file"),
    ):
        failed = ask(*args)
        assert failed.exception is not None and words in f"{failed.output}{failed.exception}", (args, failed.output)


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lancedb", None)
    said = ask("index", "a", "-o", tmp_path / "i")
    assert isinstance(said.exception, MissingExtraError) and '"facefeat[search]"' in str(said.exception)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "a\x7f"])
def test_a_name_with_control_characters_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no control characters"):
        check_index_output(tmp_path / name, "euclidean")
    assert list(tmp_path.iterdir()) == []
