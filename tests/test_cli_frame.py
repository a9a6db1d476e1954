"""The frame of the command line: help, exit codes, and messages in place of tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from facefeat import DataError, InputError, __version__
from facefeat.cli import COMMANDS, INTERRUPTED, cli, run
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
