"""Preset folders: what is wrong with one is said in a sentence that names the file, the plugin or the version."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefeat import FaceFeatureModel, InputError, PresetError
from facefeat.networks.runtime import RuntimeOptions
from facefeat.presets.store import find_preset, load_classifier, read_config, save_preset, update_card
from made import TINY


@pytest.fixture(scope="module")
def model() -> FaceFeatureModel:
    return FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32, detector="whole-image")


@pytest.fixture(scope="module")
def saved(model: FaceFeatureModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("saved") / "preset", name="tiny")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "preset"))  # a test may spoil its own


def sign(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir() if p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit config.json and sign the folder again, as a careless or hostile author would."""
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))
    sign(folder)


def test_a_new_card_leaves_the_preset_whole(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    update_card(folder, "# Another card\n")
    assert read_config(folder)["name"] == "tiny" and (folder / "model_card.md").read_text() == "# Another card\n"
    after = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)} == {"model_card.md", "SHA256SUMS"}
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("detail", ["x" * 9, "", None, [], 1e400])
def test_a_decoder_of_no_detail_is_refused(detail: object, folder: Path) -> None:
    change(folder, lambda c: c.update(decoder={"detail": detail}))
    with pytest.raises(PresetError, match=r"config\.json, decoder: incomplete or a wrong type"):
        read_config(folder)


def test_a_new_card_does_not_vouch_for_a_file_that_was_altered(folder: Path) -> None:
    with (folder / "head.weights.h5").open("ab") as f:
        f.write(b"x")
    update_card(folder, "# Another card\n")
    with pytest.raises(PresetError, match=r"'head.weights.h5' was altered"):
        read_config(folder)


def test_a_card_that_cannot_be_written_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(self: Path, *_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(InputError, match=r"cannot write the preset to .*: No space left"):
            update_card(folder, "# Another card\n")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["config.json", "SHA256SUMS", "backbone.weights.h5", "head.weights.h5"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(PresetError, match=f"the file '{name}' is missing"):
        load_classifier(folder)


@pytest.mark.parametrize("name", ["config.json", "backbone.weights.h5", "head.weights.h5", "model_card.md"])
def test_one_changed_byte_is_noticed(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(PresetError, match=f"'{name}' was altered|not valid JSON|format"):
        load_classifier(folder)


def edit_backbone(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda c: c["backbone"].update(changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(format=99, facefeat="9.1"), r"format 99, made by facefeat 9\.1.*pip install -U facefeat"),
        (lambda c: c.pop("format"), "has format None"),
        (lambda c: c.pop("schema"), "incomplete or has a wrong type: KeyError"),
        (lambda c: c.update(image_size="large"), r"'image_size' must be from 1 to 1,024 pixels\. Received: 'large'"),
        (lambda c: c.update(image_size=17), "image_size"),
        (edit_backbone(name="compakt"), r"'compakt' of facefeat .*has no such backbone.*Did you mean 'compact'"),
        (edit_backbone(name="compakt", version="0.0.1"), r'.compakt. of facefeat 0\.0\.1, .*"facefeat==0\.0\.1"'),
        (
            edit_backbone(name="resnext", distribution="facefeat-more", version="1.2"),
            r'needs the backbone .resnext. of facefeat-more 1\.2.*pip install "facefeat-more==1\.2"',
        ),
        (edit_backbone(config={"widths": [4]}), r"'blocks' must be equally long|do not fit|does not fit"),
        (edit_backbone(config={**TINY, "widths": [8, 16]}), r"'backbone.weights.h5' does not fit the backbone"),
        (edit_backbone(config={**TINY, "blocks": [1, 2]}), r"'backbone.weights.h5' does not fit the backbone"),
        (edit_backbone(config={"wdths": [4]}), "wdths"),
    ],
    ids="newer no-format no-schema type size name old-name plugin config weights more key".split(),
)
def test_what_does_not_fit_is_said(folder: Path, edit: Callable[[dict[str, Any]], Any], message: str) -> None:
    change(folder, edit)
    with pytest.raises(PresetError, match=message):
        load_classifier(folder, RuntimeOptions("keras"))


def test_a_preset_of_format_1_is_read_and_a_newer_one_says_what_to_type(model: FaceFeatureModel, folder: Path) -> None:
    """Format 1 had no graphs, and temperatures in place of a calibration of each attribute."""
    for graph in folder.glob("*.onnx"):
        graph.unlink()

    def older(config: dict[str, Any]) -> None:
        config["format"] = 1
        config["calibration"] = {}
        config["temperatures"] = dict.fromkeys(config["schema"]["attributes"], 2.0)

    change(folder, older)
    sign(folder)
    read = FaceFeatureModel.from_preset(folder)
    crops = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), "uint8")
    assert read.classifier.calibration.of("gender")["temperature"] == 2.0
    sure, unsure = (m.predict_faces(crops).probabilities["gender"].max(axis=1) for m in (model, read))
    assert (unsure <= sure + 1e-6).all()
    change(folder, lambda config: config.update(format=99))
    with pytest.raises(PresetError, match=r"has format 99.*Next: pip install -U facefeat"):
        FaceFeatureModel.from_preset(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00\xff"])
def test_a_config_that_is_no_table(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, "latin-1")
    sign(folder)
    with pytest.raises(PresetError, match="config.json (is not valid JSON|must hold a table)"):
        read_config(folder)


def test_a_list_of_hashes_that_is_no_text(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PresetError, match="SHA256SUMS is not text. Valid: a SHA-256 and a file name on each line"):
        read_config(folder)


def test_a_list_of_hashes_cannot_point_outside(folder: Path) -> None:
    with (folder / "SHA256SUMS").open("a") as f:
        f.write(f"{'0' * 64}  ../../etc/passwd\n")
    with pytest.raises(PresetError, match="which is not in the folder"):
        read_config(folder)


def test_unknown_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=r"no such preset.*Did you mean 'mobilenet-112-utkface'"):
        find_preset("mobilenet-112-utkfase")
    with pytest.raises(PresetError, match="no such preset"):
        find_preset("x" * 5000)
    with pytest.raises(PresetError, match=r"the file 'config.json' is missing"):
        load_classifier(tmp_path)


def test_saving_replaces_a_preset_but_nothing_else(model: FaceFeatureModel, folder: Path, tmp_path: Path) -> None:
    model.save(folder, name="again")
    assert read_config(folder)["name"] == "again"
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_bytes(b"x")
    for target in (other, other / "a.jpg"):
        with pytest.raises(InputError, match="exists and is not a preset"):
            model.save(target)
    assert [p.name for p in other.iterdir()] == ["a.jpg"]
    with pytest.raises(InputError, match="cannot write .*Not a directory"):
        model.save(other / "a.jpg" / "deeper")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("disk quota"), "disk quota"),
    ],
)
def test_a_save_that_fails_leaves_the_old_preset(
    error: Exception, said: str, model: FaceFeatureModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("facefeat.presets.store._save_weights", full)
    with pytest.raises(InputError, match=f"cannot write the preset.*: {said}$"):
        save_preset(folder, model._classifier, name="new")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["preset"]


_FULL = """
import resource, sys
from facefeat import FaceFeatureModel, InputError
from made import TINY

model = FaceFeatureModel(backbone_config=TINY, head_config={"trunk": []}, image_size=32, detector="whole-image")
for most in (100, 20_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        model.save(sys.argv[1])
    except InputError as e:
        print(e)
"""


def test_a_full_disk_is_one_sentence_and_python_ends_well(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    # In a process of its own, which may not write a larger file: HDF5 used to crash there as Python ended.
    command = [sys.executable, "-c", _FULL, str(tmp_path / "preset")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == 2 * f"cannot write the preset to {str(tmp_path / 'preset')!r}: File too large\n"
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_has_its_card(model: FaceFeatureModel, folder: Path, tmp_path: Path) -> None:
    assert model.card == "# untrained\n\n\n"
    assert FaceFeatureModel.from_preset(folder, detector="whole-image").card == "# tiny\n\n\n"
    model.save(tmp_path / "other", card="# Mine\n")
    again = FaceFeatureModel.from_preset(tmp_path / "other", detector="whole-image")
    again.save(tmp_path / "third")
    assert again.card == (tmp_path / "third" / "model_card.md").read_text("utf-8") == "# Mine\n"


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        (np.zeros((2, 32, 32, 3), "float32") + np.nan, "uint8"),
        (np.zeros((32, 32, 3), "uint8"), r"\(N, H, W, 3\)"),
        (np.zeros((2, 32, 32, 1), "uint8"), r"\(N, H, W, 3\)"),
        ("a.jpg", r"\(N, H, W, 3\)|array"),
        (np.zeros((2, 0, 32, 3), "uint8"), "0"),
    ],
    ids=["nan", "one", "grey", "path", "no-pixels"],
)
def test_crops_that_are_none_are_refused(model: FaceFeatureModel, crops: Any, message: str) -> None:
    for ask in (model.predict_faces, model.encode):
        with pytest.raises(InputError, match=message):
            ask(crops)


def test_no_crops_and_no_images_give_empty_answers(model: FaceFeatureModel) -> None:
    batch = model.predict_faces(np.zeros((0, 50, 50, 3), "uint8"))
    assert len(batch) == 0 and batch.probabilities["race"].shape == (0, 5) and batch.age_years is not None
    assert model.encode(np.zeros((0, 32, 32, 3), "uint8")).shape == (0, 8)
    assert len(model.predict_faces([])) == 0
    assert model.predict([]) == [] and model.align([]).shape == (0, 32, 32, 3)


def test_a_bad_array_is_an_error_of_its_own_only(model: FaceFeatureModel) -> None:
    good = np.zeros((40, 40, 3), "uint8")
    results = model.predict([good, np.full((40, 40, 3), np.nan), np.zeros((3,), "uint8"), None, good])
    assert [r.error is None for r in results] == [True, False, False, False, True]
    assert all("Received" in (r.error or "Received") for r in results)


def test_networks_that_the_weights_cannot_fill_are_not_built(folder: Path) -> None:
    change(folder, edit_backbone(config={**TINY, "widths": [8192, 8192]}))
    with pytest.raises(PresetError, match=r"describes networks of [\d,]+ numbers, and the weights files hold [\d,]+\."):
        load_classifier(folder, RuntimeOptions("keras"))


def test_a_weights_file_that_unpacks_to_more_than_the_network_takes_is_not_read(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "head.weights.h5", "r+") as file:
        file.create_dataset("more", (200_000,), "f4", compression="gzip")
    sign(folder)
    with pytest.raises(PresetError, match=r"describes networks of [\d,]+ numbers, and the weights files hold 20\d,\d+"):
        load_classifier(folder, RuntimeOptions("keras"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_weights_that_no_training_gives_are_refused(folder: Path, value: float) -> None:
    import h5py

    with h5py.File(folder / "head.weights.h5", "r+") as file:
        names: list[str] = []
        file.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) and item.ndim == 1 else None)
        file[names[0]][0] = value
    sign(folder)
    with pytest.raises(PresetError, match=r"'head\.weights\.h5': .* holds numbers that are NaN, infinite or too large"):
        load_classifier(folder, RuntimeOptions("keras"))


@pytest.mark.parametrize("kind", ["texts", "lists", "references", "bytes"])
def test_a_weights_file_holds_numbers_alone(tmp_path: Path, kind: str) -> None:
    import h5py

    from facefeat.utils.hdf5 import check_hdf5

    kinds = {"texts": h5py.string_dtype(), "lists": h5py.vlen_dtype("f4"), "references": h5py.ref_dtype, "bytes": "S9"}
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("w", (3,), kinds[kind])
        with pytest.raises(ValueError, match="'w' holds no numbers"):
            check_hdf5(file)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", ["config.json", "SHA256SUMS", "head.onnx", "head.weights.h5", "model_card.md"])
def test_no_file_of_a_preset_is_a_link_out_of_it_or_a_pipe(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "other").write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "other")
    with pytest.raises(PresetError, match=r"cannot read .*leads out of"):
        load_classifier(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(PresetError, match="no regular file|is missing"):
        load_classifier(folder)


def test_outputs_that_are_no_numbers_are_an_error_and_no_answer() -> None:
    from facefeat.networks.finite import check_outputs

    assert check_outputs({"age": np.zeros((1, 2))}, "x")
    with pytest.raises(PresetError, match="gives NaN or infinity as 'age'"):
        check_outputs({"age": np.array([[0.0, np.nan]])}, "x")
