"""Wrong usage, told so that the next command is known: what was typed, what is valid, the nearest name, an example."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import click

from facefeat.errors import did_you_mean
from facefeat.utils.files import nearest_file
from facefeat.utils.text import printable

EXAMPLES = {
    "predict": ("facefeat predict photo.jpg", "facefeat predict album/ -o faces.csv"),
    "batch": ("facefeat batch photos/ -o faces.parquet",),
    "demo": ("facefeat demo",),
    "presets": ("facefeat presets", "facefeat presets mobilenet-112-utkface"),
    "data download": ("facefeat data download fairface -o fairface --import",),
    "data import": (
        "facefeat data import faces.csv --schema mine.toml --detect -o mine",
        "facefeat data import UTKFace.tar -o utkface",
    ),
    "data merge": ("facefeat data merge utkface lfw -o both",),
    "data explore": ("facefeat data explore mine -o explored",),
    "data doctor": (
        "facefeat data doctor mine -o sheet",
        "facefeat data doctor mine --apply decisions.csv -o corrected",
    ),
    "data preview": ("facefeat data preview --recipe utkface-compact --data mine -o preview.png",),
    "train": (
        "facefeat train --recipe finetune-head --data mine -o runs/head",
        "facefeat train --recipe finetune-head --data mine -o runs/head --resume",
    ),
    "train-decoder": (
        "facefeat train-decoder --recipe utkface-detail --preset runs/mine/preset --data utkface -o runs/decoder",
    ),
    "fit-directions": ("facefeat fit-directions --preset runs/decoder/preset --data utkface",),
    "morph": ("facefeat morph a.jpg b.jpg -o morph.gif",),
    "edit": (
        "facefeat edit photo.jpg --age +20 -o older.png",
        "facefeat edit photo.jpg --gender Female --grid -o steps.png",
    ),
    "compose": ("facefeat compose --age 70 --gender Female -o face.png",),
    "tune": ("facefeat tune --recipe utkface-compact --data mine --trials 20 -o search",),
    "recipes": ("facefeat recipes", "facefeat recipes finetune-head > mine.toml"),
    "compare": ("facefeat compare runs/head runs/all",),
    "calibrate": ("facefeat calibrate --preset runs/head/preset --data mine -o calibrated",),
    "evaluate": ("facefeat evaluate --preset runs/head/preset --data mine --report report",),
    "audit": (
        "facefeat audit predictions.csv --map gender.truth=sex --report report",
        "facefeat audit ours.csv theirs.csv --compare",
    ),
    "census": ("facefeat census photos/ --report census",),
    "analyze": ("facefeat analyze pca --data mine -o pca",),
    "explain": ("facefeat explain photo.jpg --attribute gender -o explained.png",),
    "index": ("facefeat index mine -o faces-index", "facefeat index photos/ --photos -o faces-index"),
    "similar": ("facefeat similar photo.jpg --index faces-index -o similar.png",),
    "export": ("facefeat export -o model.onnx",),
    "quantize": ("facefeat quantize --data mine -o fast",),
    "plugins": ("facefeat plugins --kind head",),
    "plugins check": ("facefeat plugins check",),
    "plugins new": ("facefeat plugins new facefeat-mine --kind head",),
}
"""Lines for the help of each command; the first is shown where something is missing."""
_COMMANDS = {"classify": "predict", "detect": "predict", "fit": "train", "finetune": "train", "test": "evaluate",
             "search": "similar", "gui": "demo", "ui": "demo", "web": "demo"}  # fmt: skip
_OPTIONS = {"lr": "learning-rate", "sex": "gender", "model": "preset", "weights": "preset", "gpu": "device",
            "dataset": "data", "format": "output", "outdir": "output"}  # fmt: skip
_VALUES = {"gpu": "cuda", "metal": "coreml", "mps": "coreml", "tensorflow": "keras", "tf": "keras", "torch": "keras"}
"""What newcomers type, from other programs, and what it is called here."""
_NUMBERS = {"a valid float range": "a number", "a valid integer range": "a whole number", "a valid float": "a number",
            "a valid integer": "a whole number"}  # fmt: skip
_NOT_ONE_OF = re.compile(r"(?s)^'(.+?)' is not one of")
_NOT_THERE = re.compile(r"(?s)^(?:File|Path|Directory) '(.+)' does not exist\.$")
_TOO_MANY = "Got unexpected extra argument"
_NO_COMMAND = re.compile(r"(?s)^No such command '(.+?)'\.")


def with_examples(command: click.Command, path: str) -> click.Command:
    """The command with the lines of EXAMPLES under its help; those of a group's commands, too. path: as EXAMPLES."""
    if path in EXAMPLES:
        command.epilog = "\b\n" + "\n".join(("Such as:", *(f"  {line}" for line in EXAMPLES[path])))
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            with_examples(inner, f"{path} {name}")
    return command


def unknown_command(name: str, valid: Iterable[str], groups: Iterable[click.Group]) -> str:
    """The sentence for a command that there is none of. groups: those whose own commands it may be one of."""
    names = sorted(valid)
    inner = [f"{g.name} {name}" for g in groups if name in g.commands]
    known = inner or [n for n in (_COMMANDS.get(name),) if n in names]
    if known:
        return f"no such command. Received: {name!r}. Did you mean {known[0]!r}? Valid: {', '.join(names)}."
    return f"no such command. {did_you_mean(name, names)}"


def explained(error: click.ClickException) -> click.ClickException:
    """A usage error of click's with what is valid, the nearest name and an example; other errors as they are."""
    ctx = getattr(error, "ctx", None)
    if not isinstance(error, click.UsageError) or isinstance(error, click.exceptions.NoArgsIsHelpError) or ctx is None:
        vars(error)["message"] = printable(error.message)
        return error
    text = printable(_sentence(error, ctx))
    path = ctx.command_path.partition(" ")[2]
    if path in EXAMPLES and "uch as" not in text and _lacks_words(error):
        text += f" Such as: {EXAMPLES[path][0]}"
    return click.UsageError(text, ctx)


def _lacks_words(error: click.UsageError) -> bool:
    return isinstance(error, click.MissingParameter) or error.message.startswith(_TOO_MANY)


def _sentence(error: click.UsageError, ctx: click.Context) -> str:
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error.option_name, ctx)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name = error.param.human_readable_name if isinstance(error.param, click.Argument) else _names(error.param)
        what = getattr(error.param, "help", None)
        return f"{name} is missing" + (f": {what[0].lower()}{what[1:].split('  [')[0]}" if what else ".")
    if isinstance(error, click.BadParameter) and error.param is not None:
        return _bad_value(error.message, error.param)
    if error.message.startswith(_TOO_MANY):
        given = error.message.partition("(")[2].removesuffix(")")
        return f"{ctx.command_path} takes no further argument. Received: {given}."
    found = _NO_COMMAND.match(error.message)
    if found and isinstance(ctx.command, click.Group):
        return f"no such command. {did_you_mean(found[1], ctx.command.list_commands(ctx))}"
    return error.format_message()


def _no_such_option(given: str, ctx: click.Context) -> str:
    top = ctx.find_root()
    if ctx is top:
        own = ", ".join(_options(ctx))
        return (
            f"no such option of facefeat itself. Received: {given!r}. Valid here: {own}. Options of a command come "
            f"after its name: facefeat COMMAND ... {given}"
        )
    if any(given in p.opts for p in top.command.params):
        return f"{given} comes before the command: {top.command_path} {given} {ctx.command_path.partition(' ')[2]} ..."
    names = _options(ctx)
    bare = {n.lstrip("-"): n for n in names}
    word = given.lstrip("-")
    near = [n for n in (_OPTIONS.get(word),) if n in bare] or difflib.get_close_matches(word, bare, n=2, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(bare[n]) for n in near)}?" if near else ""
    return f"no such option. Received: {given!r}.{hint} Valid: {', '.join(names)}."


def _bad_value(message: str, parameter: click.Parameter) -> str:
    found = _NOT_ONE_OF.match(message)
    if found and isinstance(parameter.type, click.Choice):
        valid = [str(c) for c in parameter.type.choices]
        meant = _VALUES.get(found[1].lower())
        if meant in valid:
            said = f"Received: {found[1]!r}. Did you mean {meant!r}? Valid: {', '.join(valid)}."
        else:
            said = did_you_mean(found[1], valid)
        return f"no such value of {_names(parameter)}. {said}"
    absent = _NOT_THERE.match(message)
    if absent:
        return f"{_names(parameter)}: no such file or folder: {absent[1]!r}.{nearest_file(absent[1])}"
    said = f"{_names(parameter)}: {message}"
    for of_click, ours in _NUMBERS.items():
        said = said.replace(of_click, ours)
    if isinstance(parameter.type, click.FloatRange) and (parameter.type.min, parameter.type.max) == (0, 1):
        said += " Valid: a share from 0 to 1, such as 0.9 for 90 %."
    elif isinstance(parameter.type, click.IntRange | click.FloatRange) and "not in the range" not in said:
        low, high = parameter.type.min, parameter.type.max
        said += " Valid:" + f" from {low}" * (low is not None) + f" to {high}" * (high is not None) + "."
    return said


def _options(ctx: click.Context) -> list[str]:
    shown = [p for p in ctx.command.get_params(ctx) if isinstance(p, click.Option) and not p.hidden]
    return [max((*p.opts, *p.secondary_opts), key=lambda n: (n in p.opts, len(n))) for p in shown]


def _names(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.human_readable_name
    return max(parameter.opts, key=len)
