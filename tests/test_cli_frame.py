"""The frame of the command line: help, exit codes, and messages in place of tracebacks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import ClassVar

import click
import pytest

from facefeat import DataError, InputError, __version__
from facefeat.cli import COMMANDS, INTERRUPTED, _show, cli, run
from facefeat.cli._group import Lazy
from facefeat.cli._show import Bar, megabytes, progress, rows


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"facefeat {__version__}\n"
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and lazy.help in shown for name, lazy in COMMANDS.items())


def test_no_command_prints_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Usage: facefeat" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_with_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"Usage: facefeat {name}" in capsys.readouterr().out


def test_an_unknown_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pedict"]) == 2
    assert "Did you mean 'predict'" in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--jsn"]) == 2
    assert "--json" in capsys.readouterr().err


@click.command()
@click.option("--code", type=int)
@click.pass_context
def _exits(ctx: click.Context, code: int) -> int:
    ctx.exit(code)


@click.command()
def _returns() -> int:
    return 7


def _raising(error: BaseException) -> click.Command:
    def callback() -> None:
        raise error

    return click.Command("probe", callback=callback)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setitem(cli._lazy, "probe", Lazy("test_cli_frame", "_probe", "A probe."))  # type: ignore[attr-defined]
    return monkeypatch


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("give a photo"), 2, "facefeat: give a photo\n"),
        (DataError("no rows"), 1, "facefeat: no rows\n"),
        (click.UsageError("not so"), 2, "Error: not so\n"),
        (click.ClickException("nor so"), 1, "Error: nor so\n"),
        (KeyboardInterrupt(), INTERRUPTED, "facefeat: interrupted\n"),
        (click.Abort(), INTERRUPTED, "facefeat: interrupted\n"),
        (PermissionError(13, "Permission denied", "/x/y"), 1, "facefeat: Permission denied: '/x/y'\n"),
        (OSError(28, "No space left on device"), 1, "facefeat: No space left on device\n"),
    ],
)
def test_an_error_is_its_message_and_its_code(
    probe: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, says: str
) -> None:
    probe.setattr(Lazy, "load", lambda self: _raising(error))
    assert run(["probe"]) == code
    shown = capsys.readouterr().err
    assert shown.endswith(says) and "Traceback" not in shown
    if not isinstance(error, KeyboardInterrupt | click.Abort):
        assert run(["-v", "probe"]) == code
        assert "Traceback" in capsys.readouterr().err


def test_a_defect_of_ours_keeps_its_traceback(probe: pytest.MonkeyPatch) -> None:
    probe.setattr(Lazy, "load", lambda self: _raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run(["probe"])


def test_only_an_exit_on_purpose_sets_the_code(probe: pytest.MonkeyPatch) -> None:
    probe.setattr(Lazy, "load", lambda self: _returns)
    assert run(["probe"]) == 0
    probe.setattr(Lazy, "load", lambda self: _exits)
    assert run(["probe", "--code", "3"]) == 3


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise there")
def test_a_reader_that_goes_away_gets_no_message() -> None:
    code = "from facefeat.cli import cli, main; import click\n"
    code += "@click.command()\ndef probe():\n  for i in range(100000): click.echo('a line')\n"
    code += "cli.get_command = lambda ctx, name: probe\nmain(['probe'])"
    done = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.stdout is not None and done.stderr is not None
    assert done.stdout.readline() == "a line\n"
    done.stdout.close()
    assert done.stderr.read() == ""
    done.stderr.close()
    assert done.wait(timeout=30) == 1


def test_running_the_command_line_sets_no_environment_at_import() -> None:
    code = "import os; before = dict(os.environ); import facefeat.cli; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---------------------------------------------------------------- what commands share


def test_rows_are_plain_and_whole_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    rows(("Name", "Summary"), [("[red]x[/]", "a" * 200), ("long-name", "b\x1b[31m\nc")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["Name       Summary", f"[red]x[/]  {'a' * 200}", "long-name  b [31m c"]


@pytest.mark.parametrize(("size", "text"), [(0, "0.0 kB"), (1500, "1.5 kB"), (4_900_000, "4.9 MB")])
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert megabytes(size) == text


def test_a_bar_without_a_terminal_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("working", 3) as bar:
        bar.show()
        bar.advance(3, "still")
        with bar.aside():
            click.echo("a result")
    assert capsys.readouterr() == ("a result\n", "")


def test_a_bar_steps_aside_and_comes_back() -> None:
    calls: list[str] = []

    class Shown:
        def start(self) -> None:
            calls.append("start")

        def stop(self) -> None:
            calls.append("stop")

    bar = Bar(Shown(), None)  # type: ignore[arg-type]
    with bar.aside():
        pass
    assert calls == []  # it was not shown yet
    bar.show()
    with bar.aside():
        calls.append("output")
    bar.close()
    bar.show()
    assert calls == ["start", "stop", "output", "start", "stop"]


# ---------------------------------------------------------------- what is wrong is said before TensorFlow starts


@pytest.fixture
def no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a command reads the model or starts Keras; the index's own check wants LanceDB, no matter here."""

    def started(*_: object) -> None:
        raise AssertionError("the model was read first")

    for name in ("predict", "index", "similar", "edit", "evaluate", "analyze", "fit_directions"):
        monkeypatch.setattr(f"facefeat.cli.{name}.load_model", started)
    for name in ("export", "train_decoder"):
        monkeypatch.setattr(f"facefeat.cli.{name}.start_keras", started)
    monkeypatch.setattr("facefeat.index.build.check_index_output", lambda *_: None)


@pytest.mark.parametrize(
    "args",
    [
        ["predict", "photo.jpg"],
        ["export", "-o", "model.tflite"],
        ["index", "data", "-o", "faces.index"],
        ["edit", "photo.jpg", "--age", "+20", "-o", "older.png"],
        ["evaluate", "--data", "data"],
        ["analyze", "pca", "--data", "data", "--output", "out"],
        ["fit-directions", "--data", "data"],
        ["fit-directions", "--data", "data", "--output", "out"],
        ["train-decoder", "--recipe", "utkface-detail", "--data", "data", "--output", "out"],
    ],
    ids=lambda args: args[0],
)
def test_an_unknown_preset_is_wrong_usage_and_said_at_once(
    no_keras: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert run([*args, "--preset", "mobilenet-112-utkfase"]) == 2
    shown = capsys.readouterr().err
    assert "no such preset" in shown and "Did you mean 'mobilenet-112-utkface'" in shown


@pytest.mark.parametrize("key", ["preset", "start"])
def test_an_unknown_preset_in_a_recipe_is_said_at_once(
    no_keras: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str
) -> None:
    (tmp_path / "mine.toml").write_text(f'{key} = "mobilenet-112-utkfase"\n', "utf-8")
    paths = ["--data", str(tmp_path), "--output", str(tmp_path / "out")]
    assert run(["train-decoder", "--recipe", str(tmp_path / "mine.toml"), *paths]) == 2
    assert "Did you mean 'mobilenet-112-utkface'" in capsys.readouterr().err


def test_similar_and_the_card_take_no_unknown_preset_either(no_keras: None, capsys: pytest.CaptureFixture[str]) -> None:
    from facefeat import InputError, PresetError
    from facefeat.cli.similar import encode_photo

    class Index:
        facts: ClassVar = {"preset": "gone"}

    for preset in ("nope", None):
        with pytest.raises(PresetError, match="no such preset") as failed:
            encode_photo(Index(), "photo.jpg", 0, preset, None)  # type: ignore[arg-type]
        assert isinstance(failed.value, InputError)
    assert run(["presets", "nope"]) == 2
    assert "no such preset" in capsys.readouterr().err


def test_index_looks_for_the_data_and_the_detector_first(
    no_keras: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["index", "NOSUCHDATA", "-o", str(tmp_path / "faces.index")]) == 1
    assert "no such file or folder: 'NOSUCHDATA'" in capsys.readouterr().err
    assert run(["index", str(tmp_path), "-o", str(tmp_path / "faces.index"), "--detector", "mtcn"]) == 2
    assert "Did you mean 'mtcnn'" in capsys.readouterr().err


def test_the_list_of_presets_says_what_its_parameters_are_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets"]) == 0
    heading = capsys.readouterr().out.splitlines()[0]
    assert "Classifier parameters" in heading and "On disk" in heading


def test_the_commands_print_foreign_text_escaped() -> None:
    """One place prints: `_show.say`, so that no name, card or message of a stranger reaches a terminal as it is."""
    folder = Path(_show.__file__).parent
    places = [
        p.name for p in folder.glob("*.py") if re.search(r"click\.s?echo\(|(?<![.])\bprint\(", p.read_text("utf-8"))
    ]
    assert places == ["_show.py"]


@pytest.mark.parametrize(
    "line", ["no\x1b[2Jsuch", "presets no\x1b[2Jsuch", "presets --no\x1b[2Jsuch", "export -o x\x1b"]
)
def test_an_escape_code_in_an_argument_is_shown_as_one(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split(" ")) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told and "x1b" in told


def test_a_warning_of_the_library_is_a_line_without_a_place_in_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(DeprecationWarning), _show.warned():
        warnings.warn("no graphs: \x1b[31m", stacklevel=1)
        warnings.warn("of another library", DeprecationWarning, stacklevel=1)
    told = capsys.readouterr().err
    assert told.startswith("facefeat: no graphs: ") and "\x1b" not in told and len(told.splitlines()) == 1
