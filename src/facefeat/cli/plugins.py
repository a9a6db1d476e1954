"""`facefeat plugins`: what is registered, and what did not load."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from facefeat.cli._show import rows, say
from facefeat.plugins.contracts import KINDS
from facefeat.plugins.loading import PluginProblem
from facefeat.plugins.registry import get_registry


def _problems() -> tuple[PluginProblem, ...]:
    """Those of the registry and of the command line's own hook."""
    from facefeat.cli import COMMANDS
    from facefeat.cli._group import plugin_commands

    return (*get_registry().problems, *plugin_commands(COMMANDS)[1])


def _list(kind: str | None) -> None:
    items = [(i.kind, i.name, i.distribution, i.version, i.component.summary) for i in get_registry().all(kind)]
    rows(("Kind", "Name", "Distribution", "Version", "Summary"), items)


def _as_json(kind: str | None, problems: Sequence[PluginProblem]) -> str:
    components = [
        {
            "kind": i.kind,
            "name": i.name,
            "distribution": i.distribution,
            "version": i.version,
            "summary": i.component.summary,
            "requires": list(i.component.requires),
            "extra": i.component.extra,
        }
        for i in get_registry().all(kind)
    ]
    faults = [
        {
            "distribution": p.distribution,
            "version": p.version,
            "entry_point": p.entry_point,
            "reason": p.reason,
            "traceback": p.traceback,
        }
        for p in problems
    ]
    return json.dumps({"components": components, "problems": faults}, indent=2)


@click.group(invoke_without_command=True)
@click.option("--kind", type=click.Choice(KINDS), help="Only the components of this kind.")
@click.option("--problems", "show", is_flag=True, help="Show why plugins did not load, with tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="Print components and problems as JSON.")
@click.pass_context
def plugins(ctx: click.Context, kind: str | None, show: bool, as_json: bool) -> None:
    """List every component: the built-in ones and those of plugins.

    FACEFEAT_PLUGINS=a,b loads only those plugins (distributions or entry points); FACEFEAT_STRICT=1 turns a plugin's
    problem into an error.
    """
    if ctx.invoked_subcommand is not None:
        return
    if as_json:
        say(_as_json(kind, _problems()))
    elif show:
        _show_problems(_problems())
    else:
        _list(kind)


def _show_problems(problems: Sequence[PluginProblem]) -> None:
    if not problems:
        say("No problems.")
    for problem in problems:
        say(str(problem))
        for line in problem.traceback.splitlines():
            say(f"    {line}")


@plugins.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Exit with 1 where a plugin has a problem, and name each."""
    problems = _problems()
    for problem in problems:
        say(str(problem))
    if problems:
        ctx.exit(1)
    count = len({p.distribution for p in get_registry().plugins}) - 1
    say(f"No problems. {len(get_registry().all())} components of facefeat and {count} plugin distribution(s).")


@plugins.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin adds.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write it; by default a folder of the plugin's name here.",
)
def new(name: str, kind: str, folder: Path | None) -> None:
    """Write a plugin's project, with tests that pass."""
    from facefeat.cli._scaffold import names_of, write

    names = names_of(name, kind)
    target = write(names, Path(names.distribution) if folder is None else folder)
    say(f"{names.distribution}: the {kind} {names.component!r}, in {target}")
    for line in (f"cd {shlex.quote(str(target))}", 'pip install -e ".[test]"', "pytest"):
        say(f"  {line}")
