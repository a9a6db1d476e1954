"""Wrong usage names what is valid, the close name and an example; every command's help has one that works."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from facefeat.cli import COMMANDS, cli, run
from facefeat.cli._usage import EXAMPLES, with_examples


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, lazy in COMMANDS.items():
        command = with_examples(lazy.load(), name)
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {n}": c for n, c in command.commands.items()}
    return found


def test_every_command_has_examples_and_only_those_there_are() -> None:
    assert set(EXAMPLES) == {n for n, c in commands().items() if n == "plugins" or not isinstance(c, click.Group)}


@pytest.mark.parametrize(("path", "line"), [(path, line) for path, lines in EXAMPLES.items() for line in lines])
def test_an_example_can_be_typed(path: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = commands()[path]
    words = shlex.split(line.partition(" > ")[0])
    assert words[: 1 + len(path.split())] == ["facefeat", *path.split()]
    for parameter in command.params:  # a path need not be there
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    command.make_context(path, words[1 + len(path.split()) :])
    assert line in (command.epilog or "")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("predict a.jpg --out x.csv", "no such option. Received: '--out'. Did you mean '--output'? Valid: --preset"),
        ("edit a.jpg --sex Female -o b.png", "Did you mean '--gender'?"),
        ("train --lr 1e-3", "Did you mean '--learning-rate'?"),
        ("--preset x predict a.jpg", "Options of a command come after its name: facefeat COMMAND ... --preset"),
        ("predict a.jpg -v", "-v comes before the command: facefeat -v predict ..."),
        ("morph a b -o c.gif --path sphere", "no such value of --path. Received: 'sphere'. Did you mean 'spherical'?"),
        (
            "predict a.jpg --device gpu",
            "Received: 'gpu'. Did you mean 'cuda'? Valid: auto, cpu",
        ),
        ("predict a.jpg --min-confidence 90%", "'90%' is not a number. Valid: a share from 0 to 1, such as 0.9 for"),
        ("predict a.jpg --min-confidence 90", "90.0 is not in the range 0<=x<=1. Valid: a share from 0 to 1"),
        ("predict a.jpg --threads many", "--threads: 'many' is not a whole number."),
        ("edit a.jpg --age +20", "--output is missing: the picture to write, .png or .jpg. Such as: facefeat edit"),
        ("edit", "PHOTO is missing. Such as: facefeat edit photo.jpg"),
        (
            "export -o a.onnx b.onnx",
            "facefeat export takes no further argument. Received: b.onnx. Such as: facefeat exp",
        ),
        ("data imprt x", "no such command. Received: 'imprt'. Did you mean 'import'?"),
        ("import faces.csv", "Received: 'import'. Did you mean 'data import'?"),
        ("classify a.jpg", "Received: 'classify'. Did you mean 'predict'?"),
        ("plugins --kind backbones", "Did you mean 'backbone'?"),
    ],
)
def test_wrong_usage_names_what_is_valid(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shlex.split(typed)) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_mistyped_file_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("predictions.csv").write_text("gender_true,gender_pred\n")
    assert run(["audit", "prediction.csv"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "no such file or folder: 'prediction.csv'. Did you mean 'predictions.csv'?" in said


def test_a_mistyped_preset_folder_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "preset").mkdir()
    assert run(["presets", str(tmp_path / "prset")]) == 2
    assert f"Did you mean {str(tmp_path / 'preset')!r}?" in capsys.readouterr().err


def test_a_group_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data"]) == 2
    err = capsys.readouterr().err
    assert "Commands:" in err
    assert "..." not in err.partition("Commands:")[2]  # no summary is cut
    assert cli.name == "cli"
