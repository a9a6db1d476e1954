"""What a user mistypes: told in a sentence, before TensorFlow starts, and nothing is left behind."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

from facefeat.cli import COMMANDS, run
from facefeat.cli._numbers import Finite
from made import squares

PRESETS = Path(importlib.import_module("facefeat").__file__ or "").parent / "assets" / "presets"


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, lazy in COMMANDS.items():
        command = lazy.load()
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {n}", c) for n, c in command.commands.items())


OPTIONS = [(name, p) for name, c in commands() for p in c.params if isinstance(p, click.Option)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, what is none, a data set, and a run; and no Keras."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), (90, 90, 90)).save("photo.jpg")
    Path("text.jpg").write_text("this is no picture")
    Path("file").write_text("a file")
    Path("empty").mkdir()
    Path("folder.png").mkdir()
    squares(tmp_path / "data", 4)
    shutil.copytree(PRESETS / "mobilenet-112-utkface", tmp_path / "run" / "preset")

    def started(*_: object) -> None:
        raise AssertionError("TensorFlow was started, or the model read")

    for lazy in COMMANDS.values():
        module = importlib.import_module(lazy.module)
        for early in ("start_keras", "load_model"):
            if hasattr(module, early):
                monkeypatch.setattr(module, early, started)
    for name in ("facefeat.cli.data_pictures",):
        monkeypatch.setattr(f"{name}.start_keras", started)
    return tmp_path


# ---------------------------------------------------------------- options


def test_every_option_says_what_it_is_for() -> None:
    assert [(name, p.opts) for name, p in OPTIONS if not p.help and not p.hidden] == []


def test_output_has_its_short_form_everywhere() -> None:
    assert [name for name, p in OPTIONS if "--output" in p.opts and "-o" not in p.opts] == []


def test_faces_are_counted_from_one_everywhere() -> None:
    faces = [p for _, p in OPTIONS if "--face" in p.opts]
    assert len(faces) == 4
    assert all(isinstance(p.type, click.IntRange) and p.type.min == 1 for p in faces)


def test_the_choices_are_those_of_the_library() -> None:
    from facefeat.batch.run import ENGINES
    from facefeat.index.database import METRICS
    from facefeat.latent.explain import METHODS as EXPLAINS
    from facefeat.latent.interpolate import EASINGS, PATHS
    from facefeat.presets.latent_directions import METHODS

    offered = {f"{name} {p.opts[0]}": set(p.type.choices) for name, p in OPTIONS if isinstance(p.type, click.Choice)}
    assert offered["edit --method"] == set(METHODS) and offered["explain --method"] == set(EXPLAINS)
    assert offered["morph --path"] == set(PATHS) and offered["morph --easing"] == set(EASINGS)
    assert offered["index --metric"] == set(METRICS) and offered["batch --engine"] == set(ENGINES)


@pytest.mark.parametrize("text", ["nan", "inf", "2", "x"])
def test_a_number_in_a_range_is_a_number(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Finite(0, 1).convert(text, None, None)
    assert Finite(0, 1).convert("0.5", None, None) == 0.5


# ---------------------------------------------------------------- presets

_TAKES_PRESET = [
    "presets {}",
    "predict photo.jpg --preset {}",
    "batch photo.jpg -o o.parquet --preset {}",
    "edit photo.jpg --age +20 -o o.png --preset {}",
    "compose --age 70 -o o.png --preset {}",
    "explain photo.jpg -o o.png --preset {}",
    "morph photo.jpg photo.jpg -o o.gif --preset {}",
    "evaluate --data data --preset {}",
    "analyze pca --data data -o o --preset {}",
    "fit-directions --data data -o o --preset {}",
    "export -o o.onnx --preset {}",
    "train --recipe utkface-compact --data data -o o --start {}",
    "train-decoder --recipe utkface-upsampling --data data -o o --preset {}",
    "train-decoder --recipe utkface-upsampling --data data -o o --start {}",
]


@pytest.mark.parametrize("line", _TAKES_PRESET)
def test_a_mistyped_preset_is_answered_with_the_nearest(
    line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    assert run(line.format("mobilenet-112-utkfase").split()) == 2
    assert "Did you mean 'mobilenet-112-utkface'?" in capsys.readouterr().err
    assert run(line.format("run").split()) == 1
    assert (
        "'run' is no preset: the file 'config.json' is missing. Did you mean 'run/preset'?" in capsys.readouterr().err
    )
    assert run(line.format("empty").split()) == 1
    assert "'empty' is no preset" in capsys.readouterr().err
    assert sorted(here.rglob("*")) == before


# ---------------------------------------------------------------- everything else


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("predict photo.jpg --min-score nan", 2, "is no finite number"),
        ("predict photo.jpg --min-confidence nan", 2, "is no finite number"),
        ("edit photo.jpg -o o.png", 2, "nothing to change. Such as: facefeat edit photo.jpg --age +20 -o edited.png"),
        ("edit photo.jpg -o o.png --age +20 --limit nan", 2, "is no finite number"),
        ("edit photo.jpg -o o.png --age +20 --limit 0", 2, "0<x<=20"),
        (
            "edit photo.jpg -o o.png --age +20 --method lest",
            2,
            "Received: 'lest'. Did you mean 'least'?",
        ),
        ("edit none.jpg -o o.png --age +20", 2, "no such file: 'none.jpg'"),
        ("edit text.jpg -o o.png --age +20", 2, "is not a picture that can be read"),
        ("edit empty -o o.png --age +20", 2, "'empty' is a folder"),
        ("explain none.jpg -o o.png", 2, "no such file"),
        ("explain photo.jpg -o file/o.png", 2, "file' is no folder"),
        ("explain photo.jpg -o none/o.png", 2, "there is no folder"),
        ("explain photo.jpg -o folder.png", 2, "is a folder. Give the name of a file"),
        ("morph photo.jpg none.jpg -o o.gif", 2, "no such file"),
        ("compose -o o.png --split val", 2, "Add: --nearest DATA"),
        ("compose -o o.png --nearest none", 1, "Valid: an imported folder, tar, zip or CSV"),
        ("evaluate --data none", 1, "Valid: an imported folder, tar, zip or CSV"),
        ("evaluate --data data --splits none.csv", 1, "Valid: a CSV with the columns file and split"),
        ("evaluate --data data --bootstrap -1", 2, "not in the range 0<=x<=10000"),
        ("analyze pca --data none -o o", 1, "no such file or folder: 'none'"),
        ("fit-directions --preset run/preset --data none", 1, "no such file or folder: 'none'"),
        ("train --recipe utkface-compact --data none -o o", 1, "no such file or folder: 'none'"),
        ("train-decoder --recipe utkface-upsampling --data none -o o", 1, "no such file or folder: 'none'"),
        ("evaluate --data empty", 1, "'empty' is empty. Valid: an imported folder"),
        ("train --recipe utkface-compact --data data -o file", 2, "'file' is a file. Give another --output"),
        ("train --recipe utkface-compact --data data -o file/x", 2, "cannot write 'file/x': Not a directory"),
        ("export -o file/o.onnx", 2, "cannot write 'file/o.onnx': Not a directory"),
        ("tune --recipe utkface-compact --data none -o o", 1, "no such file or folder: 'none'"),
        ("tune --recipe utkface-compact --data data -o file/x", 2, "cannot write 'file/x': Not a directory"),
        ("tune --recipe utkface-compact --data data -o o --storage x", 2, "Valid for --storage: a database address"),
        ("edit photo.jpg --age +5 -o ./photo.jpg --overwrite", 2, "'photo.jpg' is read by this command"),
        ("explain photo.jpg -o photo.jpg --overwrite", 2, "would be lost. Next: another --output"),
        ("morph data/0.png photo.jpg -o photo.jpg --overwrite", 2, "is read by this command"),
        ("similar photo.jpg --index none -o photo.jpg", 2, "is read by this command"),
        ("evaluate --data data --predictions data/faces.csv", 2, "Next: another --predictions"),
        ("data import empty -o o", 1, "Valid: a folder, tar or zip of pictures, or a CSV file"),
        ("data import text.jpg -o o", 1, "neither a folder nor a tar nor a zip archive, nor a .csv"),
        ("data import data/faces.csv -o file", 1, "'file' is a file. Choose another --output"),
        ("data import data/faces.csv -o file/x", 1, "cannot write 'file/x': Not a directory"),
        ("data import data/faces.csv -o run", 1, "not empty and not an imported data set"),
        ("data explore data/faces.csv -o file/x", 1, "cannot write 'file/x': Not a directory"),
        ("data preview --recipe utkface-compact --data data -o file/o.png", 1, "Not a directory"),
        ("data download fairface -o file", 1, "'file' is a file. Give another --output"),
        ("data download fairface -o file/x", 1, "cannot write 'file/x': Not a directory"),
    ],
)
def test_a_mistake_is_told_before_the_work_and_leaves_nothing(
    line: str, code: int, words: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facefeat.data.check_pictures", lambda *_: pytest.fail("the pictures were read"))
    before = sorted(here.rglob("*"))
    assert run(line.split()) == code
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told
    assert sorted(here.rglob("*")) == before


def test_numbers_have_no_nan_and_their_range_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    ranges = [p for _, p in OPTIONS if isinstance(p.type, click.FloatRange)]
    assert ranges and all(isinstance(p.type, Finite) for p in ranges)
    for words, valid in (
        (["predict", "a.jpg", "--threads", ""], "is not a whole number. Valid: from 0 to 1024."),
        (["predict", "a.jpg", "--min-score", "x"], "a share from 0 to 1"),
        (["train", "--epochs", "x"], "is not a whole number."),
        (["audit", "a.csv", "--bootstrap", "x"], "from 0 to 10000."),
    ):
        assert run(words) == 2
        assert valid in capsys.readouterr().err


def test_resamples_have_a_limit() -> None:
    found = [p.type for _, p in OPTIONS if "--bootstrap" in p.opts]
    assert len(found) == 3 and all(isinstance(t, click.IntRange) and t.max == 10_000 for t in found)
